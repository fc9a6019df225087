"""Is a question answered only if the coordinator put this very one?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.question import request_in, signed_question
from oncofed.protocol.signing import new_signing_key, public_key_of, sign
from oncofed.protocol.wire_form import serialised

KEY = new_signing_key()
PUBLIC = public_key_of(KEY)
REQUEST = b"round 3, attempt 0"
SIGNED = signed_question(REQUEST, method="Contribute", signing_key=KEY)


def code_of(question: bytes, *, method: str = "Contribute", public_key: bytes = PUBLIC) -> RefusalCode | None:
    try:
        request_in(question, method=method, public_key=public_key)
    except RequestRefused as refusal:
        return refusal.code
    return None


@given(request=st.binary(max_size=200), method=st.sampled_from(["Contribute", "Summarise", "OfferPlan"]))
def test_what_the_coordinator_signed_comes_out_as_it_went_in(request: bytes, method: str) -> None:
    question = signed_question(request, method=method, signing_key=KEY)
    assert request_in(question, method=method, public_key=PUBLIC) == request
    assert signed_question(request, method=method, signing_key=KEY) == question, "asked again, it is the same question"


@pytest.mark.parametrize("bit", range(8 * len(SIGNED)))
def test_no_bit_of_it_can_be_changed(bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[bit // 8] ^= 1 << bit % 8
    assert code_of(bytes(changed)) is RefusalCode.NOT_SIGNED


NOT_THE_COORDINATORS = {
    "nothing": b"",
    "the bare request": REQUEST,
    "no signature": serialised(pb.Question(request=REQUEST)),
    "another's signature": signed_question(REQUEST, method="Contribute", signing_key=new_signing_key()),
    "a signature of another kind": serialised(
        pb.Question(request=REQUEST, signature=sign(KEY, context="plan", message=REQUEST))
    ),
    "something behind it": SIGNED + b"\x7a\x00",
    "a signature of another request": serialised(
        pb.Question(request=REQUEST + b"0", signature=SIGNED[-64:]),
    ),
}


@pytest.mark.parametrize("question", NOT_THE_COORDINATORS.values(), ids=NOT_THE_COORDINATORS)
def test_anybody_elses_is_refused(question: bytes) -> None:
    assert code_of(question) is RefusalCode.NOT_SIGNED


def test_a_question_of_one_method_is_none_of_another() -> None:
    assert code_of(SIGNED) is None
    assert code_of(SIGNED, method="Summarise") is RefusalCode.NOT_SIGNED
