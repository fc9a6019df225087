"""Do a question's and an answer's bytes pass Flower's records as they are, and does nothing else pass?"""

from __future__ import annotations

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import InflatableObject
from hypothesis import given
from hypothesis import strategies as st

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.answer import AnswerRejected
from oncofed.protocol.codec import (
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    encode_unanswered,
    payload_bytes,
)
from oncofed.protocol.wire_form import ASKED_FROM_OUTSIDE, Method

OF_THE_RELAY = (RefusalCode.NOT_READY, RefusalCode.INTERNAL)


def over_the_wire(content: RecordDict) -> RecordDict:
    """The records as they are after Flower has written and read them."""

    def rebuilt(part: InflatableObject) -> InflatableObject:
        children = {key: rebuilt(child) for key, child in (part.children or {}).items()}
        return type(part).inflate(part.deflate(), children or None)

    received = rebuilt(content)
    assert isinstance(received, RecordDict)
    return received


@given(method=st.sampled_from(ASKED_FROM_OUTSIDE), content=st.binary())
def test_a_question_arrives_as_it_was_sent(method: Method, content: bytes) -> None:
    assert decode_question(over_the_wire(encode_question(method, content))) == (method, content)


@given(answer=st.binary())
def test_an_answer_arrives_as_it_was_sent_whatever_it_is(answer: bytes) -> None:
    assert decode_answer(over_the_wire(encode_answer(answer))) == answer


@pytest.mark.parametrize("answer", ["patient 4711", None, bytearray(b"4711"), memoryview(b"4711"), 4711])
def test_only_bytes_may_leave(answer: object) -> None:
    with pytest.raises(TypeError) as fault:
        encode_answer(answer)  # type: ignore[arg-type]  # on purpose
    assert "4711" not in str(fault.value)


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_relay_can_say_two_codes_and_no_other(code: RefusalCode) -> None:
    """Or it could claim, without a signature, that its hospital was charged: that costs everybody a new attempt."""
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(over_the_wire(encode_unanswered(code)))
    assert refusal.value.code is (code if code in OF_THE_RELAY else RefusalCode.INTERNAL)


def test_payload_counts_the_bytes() -> None:
    assert payload_bytes(encode_question(Method.CONTRIBUTE, b"12345")) == 5
    assert payload_bytes(encode_answer(b"1234567")) == 7
    assert payload_bytes(encode_unanswered(RefusalCode.INTERNAL)) == 0


def config(key: str, **fields: object) -> RecordDict:
    return RecordDict({key: ConfigRecord(fields)})  # type: ignore[arg-type]  # values of any type, on purpose


def both(one: RecordDict, other: RecordDict) -> RecordDict:
    return RecordDict({**one, **other})


QUESTION = {"method": "Contribute", "content": b"q"}
BAD_QUESTIONS = {
    "nothing": RecordDict(),
    "another key": config("request", **QUESTION),
    "another record beside": both(
        config("question", **QUESTION), RecordDict({"metrics": MetricRecord({"epsilon": 9})})
    ),
    "another kind": RecordDict({"question": ArrayRecord({"content": Array("uint8", (1,), "plain", b"q")})}),
    "no content": config("question", method="Contribute"),
    "no method": config("question", content=b"q"),
    "another entry": config("question", **QUESTION, epsilon=100.0),
    "a text": config("question", method="Contribute", content="q"),
    "a list": config("question", method="Contribute", content=[b"q"]),
    "a method in bytes": config("question", method=b"Contribute", content=b"q"),
    "a list of methods": config("question", method=["Contribute"], content=b"q"),
    "a method of the hospital's own": config("question", method="Describe", content=b"q"),
    "an unknown method": config("question", method="ListFiles", content=b"q"),
    "a path": config("question", method="../Contribute", content=b"q"),
}
BAD_ANSWERS = {
    "nothing": RecordDict(),
    "another key": config("contribution", content=b"a"),
    "another record beside": both(encode_answer(b"a"), RecordDict({"metrics": MetricRecord({"num-examples": 128})})),
    "unanswered beside it": both(encode_answer(b"a"), encode_unanswered(RefusalCode.INTERNAL)),
    "another kind": RecordDict({"answer": MetricRecord({"content": 1})}),
    "another entry": config("answer", content=b"a", patients=128),
    "a text": config("answer", content="a"),
    "a code that is a guard's": config("unanswered", code="request_conflict"),
    "a code of its own": config("unanswered", code="patient 4711"),
    "a code in a list": config("unanswered", code=["internal"]),
    "a code and a text": config("unanswered", code="internal", why="patient 4711"),
}


@pytest.mark.parametrize("content", BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_a_malformed_question_is_refused(content: RecordDict) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decode_question(content)
    assert refusal.value.code is RefusalCode.INTERNAL


@pytest.mark.parametrize("content", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_malformed_answer_is_noticed(content: RecordDict) -> None:
    with pytest.raises(AnswerRejected) as rejected:
        decode_answer(content)
    assert "4711" not in str(rejected.value)


def test_what_the_bad_ones_start_from_is_well_formed() -> None:
    assert decode_question(config("question", **QUESTION)) == (Method.CONTRIBUTE, b"q")
    assert decode_answer(config("answer", content=b"a")) == b"a"
