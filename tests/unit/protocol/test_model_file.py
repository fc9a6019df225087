"""A delivered model is the coordinator's, of this plan, and nothing but weights."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

from oncofed.errors import InvalidInput, SignatureInvalid
from oncofed.protocol.model_file import SignedModel, signed_model, verified_weights
from oncofed.protocol.signing import new_signing_key, public_key_of, sign

KEY = new_signing_key()
PLAN = "ab" * 32
WEIGHTS = np.random.default_rng(3).normal(size=17)


def read(model: SignedModel, *, plan_hash: str = PLAN, parameters: int = 17) -> list[float]:
    weights = verified_weights(model, public_key=public_key_of(KEY), plan_hash=plan_hash, parameters=parameters)
    return [float(weight) for weight in weights]


def signed(content: bytes) -> SignedModel:
    """Whatever the bytes are: a coordinator that signs nonsense must not crash a hospital either."""
    return SignedModel(content, sign(KEY, context="oncofed model 1", message=content))


def test_the_weights_arrive_bit_for_bit() -> None:
    model = signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY)
    assert read(model) == WEIGHTS.tolist()
    assert len({signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY).hash for _ in range(20)}) == 1


def test_the_file_is_one_that_the_library_reads() -> None:
    content = signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY).content
    assert safetensors.numpy.load(content)["weights"].tolist() == WEIGHTS.tolist()


def test_one_changed_byte_is_refused() -> None:
    model = signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY)
    changed = bytearray(model.content)
    changed[-1] ^= 1
    with pytest.raises(SignatureInvalid):
        read(SignedModel(bytes(changed), model.signature))


def test_another_signers_model_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        read(signed_model(WEIGHTS, plan_hash=PLAN, signing_key=new_signing_key()))


def test_another_plans_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="of this plan"):
        read(signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY), plan_hash="cd" * 32)


def test_a_model_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="another size"):
        read(signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY), parameters=18)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        read(signed_model(np.append(WEIGHTS[1:], np.nan), plan_hash=PLAN, signing_key=KEY))


METADATA = {"format": "oncofed model 1", "plan_hash": PLAN}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"\xff" * 300,
        b"\x02" + b"\0" * 7 + b"[]",
        safetensors.numpy.save({"weights": WEIGHTS.astype(np.float32)}, metadata=METADATA),
        safetensors.numpy.save({"weights": WEIGHTS, "more": WEIGHTS}, metadata=METADATA),
        safetensors.numpy.save({"weights": WEIGHTS}),
        signed_model(WEIGHTS, plan_hash=PLAN, signing_key=KEY).content[:-8],
    ],
    ids=["empty", "length only", "absurd length", "list", "float32", "two arrays", "no metadata", "cut short"],
)
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(signed(content))
