"""Does exactly what the protocol allows pass the codec, bit for bit, and nothing else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import InflatableObject
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import (
    MalformedAnswer,
    decode_answer,
    decode_request,
    encode_contribution,
    encode_refusal,
    encode_request,
    encode_requests,
    payload_bytes,
    question_of,
)
from oncofed.protocol.messages import ContributeRequest, Contribution

REQUEST = ContributeRequest(
    plan_hash="ab12", site="Köln/Süd", round=3, attempt=1, roster=("Essen", "Köln/Süd"), weights=np.arange(4.0)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def over_the_wire(content: RecordDict) -> RecordDict:
    """The records as they are after Flower has written and read them."""

    def rebuilt(part: InflatableObject) -> InflatableObject:
        children = {key: rebuilt(child) for key, child in (part.children or {}).items()}
        return type(part).inflate(part.deflate(), children or None)

    received = rebuilt(content)
    assert isinstance(received, RecordDict)
    return received


@given(weights=arrays(np.float64, st.integers(1, 50), elements=NUMBERS))
def test_a_request_arrives_as_it_was_sent(weights: np.ndarray) -> None:
    sent = replace(REQUEST, weights=weights)
    received = decode_request(over_the_wire(encode_request(sent)))
    assert received.identity == sent.identity
    assert received.roster == sent.roster
    assert received.weights.tobytes() == weights.tobytes()
    assert received.hash == sent.hash


@given(vector=arrays(np.float64, 4, elements=st.floats()))
def test_a_contribution_arrives_as_it_was_sent_even_when_it_is_not_finite(vector: np.ndarray) -> None:
    question, received = decode_answer(over_the_wire(encode_contribution(Contribution(vector), to=REQUEST)))
    assert question == question_of(REQUEST)
    assert received.vector.tobytes() == vector.tobytes()


def test_each_site_gets_its_own_name_and_the_same_weights() -> None:
    contents = encode_requests(REQUEST, sites=("Essen", "Köln/Süd"))
    received = {site: decode_request(over_the_wire(content)) for site, content in contents.items()}
    assert [request.site for request in received.values()] == ["Essen", "Köln/Süd"]
    assert {request.weights.tobytes() for request in received.values()} == {REQUEST.weights.tobytes()}


def test_received_weights_cannot_be_changed_in_place() -> None:
    received = decode_request(encode_request(REQUEST))
    with pytest.raises(ValueError, match="read-only"):
        received.weights[0] = 7.0


@pytest.mark.parametrize("code", list(RefusalCode))
def test_every_refusal_arrives(code: RefusalCode) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(over_the_wire(encode_refusal(code)))
    assert refusal.value.code is code


def test_a_refusal_holds_no_text_of_its_own() -> None:
    with pytest.raises(ValueError):
        encode_refusal("patient 4711 has no stage")  # type: ignore[arg-type]
    with pytest.raises(MalformedAnswer) as fault:
        decode_answer(RecordDict({"refusal": ConfigRecord({"code": "patient 4711"})}))
    assert "4711" not in str(fault.value)


def test_an_answer_has_these_keys_and_no_others() -> None:
    content = encode_contribution(Contribution(np.ones(4)), to=REQUEST)
    assert {key: set(record) for key, record in content.items()} == {
        "contribution": {"vector"},
        "answers": {"question"},
    }


@pytest.mark.parametrize(
    "contribution",
    [
        Contribution(np.ones(5)),
        Contribution(np.ones((2, 2))),
        Contribution(np.ones(4, dtype=np.float32)),
        Contribution(np.array(["patient 4711"] * 4, dtype=object)),
        Contribution("patient 4711"),  # type: ignore[arg-type]
        np.ones(4),
        None,
    ],
)
def test_only_a_vector_of_the_models_shape_may_leave(contribution: object) -> None:
    with pytest.raises(TypeError) as fault:
        encode_contribution(contribution, to=REQUEST)  # type: ignore[arg-type]
    assert "4711" not in str(fault.value)


def test_payload_counts_the_vectors() -> None:
    assert payload_bytes(encode_request(REQUEST)) == 4 * 8
    assert payload_bytes(encode_refusal(RefusalCode.INTERNAL)) == 0


def _array(**changes: object) -> Callable[[RecordDict], None]:
    good: dict[str, object] = {
        "dtype": "float64",
        "shape": (4,),
        "stype": "little-endian",
        "data": np.arange(4.0).tobytes(),
    }

    def change(content: RecordDict) -> None:
        name = "weights" if "weights" in content else "contribution"
        content[name] = ArrayRecord({"vector": Array(**(good | changes))})  # type: ignore[call-overload]

    return change


def _config(**changes: object) -> Callable[[RecordDict], None]:
    def change(content: RecordDict) -> None:
        record = content.config_records["request" if "request" in content else "answers"]
        for key, value in changes.items():
            record[key.replace("_", "-")] = value  # type: ignore[assignment]

    return change


def _remove(*path: str) -> Callable[[RecordDict], None]:
    def change(content: RecordDict) -> None:
        if len(path) == 1:
            del content[path[0]]
        else:
            del content[path[0]][path[1]]

    return change


def _put(key: str, record: ArrayRecord | ConfigRecord | MetricRecord) -> Callable[[RecordDict], None]:
    def change(content: RecordDict) -> None:
        content[key] = record

    return change


BAD_VECTORS = {
    "float32": _array(dtype="float32"),
    "float32 bytes": _array(data=np.arange(4, dtype=np.float32).tobytes()),
    "npy file": _array(stype="numpy.ndarray"),
    "pickle": _array(stype="pickle"),
    "two dimensions": _array(shape=(2, 2)),
    "no dimension": _array(shape=()),
    "longer shape": _array(shape=(5,)),
    "huge shape": _array(shape=(10**15,)),
    "negative shape": _array(shape=(-4,)),
    "a byte short": _array(data=np.arange(4.0).tobytes()[:-1]),
    "a byte more": _array(data=np.arange(4.0).tobytes() + b"\0"),
}
BAD_REQUESTS = BAD_VECTORS | {
    "NaN": _array(data=np.array([1.0, np.nan, 2.0, 3.0]).tobytes()),
    "infinite": _array(data=np.array([1.0, np.inf, 2.0, 3.0]).tobytes()),
    "no weights": _remove("weights"),
    "no request": _remove("request"),
    "no vector": _remove("weights", "vector"),
    "no attempt": _remove("request", "attempt"),
    "another record": _put("metrics", MetricRecord({"epsilon": 100.0})),
    "another array": _put("weights", ArrayRecord([np.arange(4.0)])),
    "weights of another kind": _put("weights", ConfigRecord({"vector": b"0" * 32})),
    "request of another kind": _put("request", MetricRecord({"round": 1})),
    "another setting": _config(epsilon=100.0),
    "round is a flag": _config(round=True),
    "round is a text": _config(round="1"),
    "attempt is a fraction": _config(attempt=0.5),
    "site is bytes": _config(site=b"Essen"),
    "plan is a number": _config(plan_hash=12),
    "roster is no JSON": _config(roster="Essen, Bonn"),
    "roster is one name": _config(roster='"Essen"'),
    "roster of numbers": _config(roster="[1, 2]"),
    "roster is a list": _config(roster=["Essen"]),
    "roster nests deeply": _config(roster="[" * 100_000),
}
BAD_ANSWERS = BAD_VECTORS | {
    "no contribution": _remove("contribution"),
    "no question": _remove("answers", "question"),
    "another record": _put("metrics", MetricRecord({"num-examples": 128})),
    "another entry": _config(patients=128),
    "question is a number": _config(question=1),
    "a refusal beside it": _put("refusal", ConfigRecord({"code": "internal"})),
}


@pytest.mark.parametrize("change", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_malformed_request_is_refused(change: Callable[[RecordDict], None]) -> None:
    content = encode_request(REQUEST)
    change(content)
    with pytest.raises(RequestRefused) as refusal:
        decode_request(content)
    assert refusal.value.code is RefusalCode.MALFORMED_WEIGHTS


@pytest.mark.parametrize("change", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_malformed_answer_is_noticed(change: Callable[[RecordDict], None]) -> None:
    content = encode_contribution(Contribution(np.ones(4)), to=REQUEST)
    change(content)
    with pytest.raises(MalformedAnswer):
        decode_answer(content)


def test_the_changes_above_start_from_something_well_formed() -> None:
    request, answer = encode_request(REQUEST), encode_contribution(Contribution(np.ones(4)), to=REQUEST)
    _array()(request)
    _array()(answer)
    assert decode_request(request).weights.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert decode_answer(answer)[1].vector.tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("change", [{"plan_hash": "other"}, {"site": "Celle"}, {"round": 9}, {"attempt": 9}])
def test_a_question_differs_with_all_that_a_charge_is_for(change: dict[str, Any]) -> None:
    """An answer to an earlier attempt has the noise of that attempt, and must not pass for this one's."""
    assert question_of(replace(REQUEST, **change)) != question_of(REQUEST)
