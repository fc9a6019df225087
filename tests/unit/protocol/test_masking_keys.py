"""A masking key is of one hospital, for one plan, and of one length."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles import study_plan

from oncofed.errors import SignatureInvalid
from oncofed.privacy.masking import new_masking_key, public_masking_key_of
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key, verify_masking_key
from oncofed.protocol.plan import Member
from oncofed.protocol.signing import new_signing_key, public_key_of, sign

KEY = new_signing_key()
# The two have one answer key: what is said of one is still not said of the other.
PLAN = replace(
    study_plan(),
    members=(Member("Bonn", "", public_key_of(KEY).hex()), Member("Essen", "", public_key_of(KEY).hex())),
)
PUBLIC = public_masking_key_of(new_masking_key())
BONN = signed_masking_key(PUBLIC, plan_hash=PLAN.hash, site="Bonn", answer_key=KEY)
OTHERS = {
    "another hospital": replace(BONN, site="Essen"),
    "a stranger": replace(BONN, site="Hof"),
    "another key": replace(BONN, public_key=public_masking_key_of(new_masking_key())),
    "no key": replace(BONN, public_key=b""),
    "another plan": signed_masking_key(PUBLIC, plan_hash="ab" * 32, site="Bonn", answer_key=KEY),
    "a longer key": signed_masking_key(PUBLIC + b"x", plan_hash=PLAN.hash, site="Bonn", answer_key=KEY),
    **{
        name: signed_masking_key(point, plan_hash=PLAN.hash, site="Bonn", answer_key=KEY)
        for name, point in {
            "no point": bytes(32),
            "the point of order 1": (1).to_bytes(32, "little"),
            "a point of order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            "a second spelling of it": PUBLIC[:31] + bytes([PUBLIC[31] | 128]),
            "a second spelling of a small number": (2**255 - 19 + 9).to_bytes(32, "little"),
        }.items()
    },
    "another signer": signed_masking_key(PUBLIC, plan_hash=PLAN.hash, site="Bonn", answer_key=new_signing_key()),
    "no signature": replace(BONN, signature=b""),
    "an answer's signature": replace(BONN, signature=sign(KEY, context="answer", message=PUBLIC)),
    "parts that run together": signed_masking_key(
        PUBLIC, plan_hash=PLAN.hash[:-1], site=f"{PLAN.hash[-1]}Bonn", answer_key=KEY
    ),
}


def test_a_hospitals_own_is_verified() -> None:
    verify_masking_key(BONN, plan=PLAN)


@pytest.mark.parametrize("key", OTHERS.values(), ids=OTHERS)
def test_anything_else_is_not(key: SignedMaskingKey) -> None:
    with pytest.raises(SignatureInvalid):
        verify_masking_key(key, plan=PLAN)


def test_a_member_without_an_answer_key_has_no_masking_key() -> None:
    plan = replace(PLAN, members=(Member("Bonn", ""), PLAN.members[1]))
    key = signed_masking_key(PUBLIC, plan_hash=plan.hash, site="Bonn", answer_key=KEY)
    with pytest.raises(SignatureInvalid):
        verify_masking_key(key, plan=plan)
