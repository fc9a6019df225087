"""Do questions and replies arrive as they were sent, bit for bit, and in one form only?"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Delivery,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.wire_form import (
    BYTES_A_NUMBER,
    DELIVERY_STATES,
    LARGEST_MESSAGE,
    MOST_ANSWERED,
    PLAN_STATES,
    REFUSALS,
    Method,
    WrongForm,
    contribute_request,
    contribution_in,
    delivery_question,
    delivery_state_in,
    description_in,
    is_hash,
    masking_keys_in,
    method_of,
    offer_question,
    parsed,
    plan_state_in,
    question_of,
    questions_of,
    serialised,
    summarise_request,
)

ROUND = ContributeRequest("ab12", "Köln/Süd", 3, 1, ("Essen", "Köln/Süd"), np.arange(4.0))
SUMMARY = SummariseRequest("ab12", "Köln/Süd", "evaluation", 1, ("Essen", "Köln/Süd"), np.arange(4.0), cells=7)


@given(weights=arrays(np.float64, st.integers(0, 50), elements=st.floats()))
def test_a_request_arrives_as_it_was_sent_even_when_it_is_not_finite(weights: np.ndarray) -> None:
    of_round, of_summary = replace(ROUND, weights=weights), replace(SUMMARY, weights=weights)
    summary = summarise_request(question_of(of_summary))
    pairs: tuple[tuple[AnyRequest, AnyRequest], ...] = (
        (of_round, contribute_request(question_of(of_round))),
        (of_round, contribute_request(question_of(replace(of_round, answered=("ab12/Köln/Süd/2/0",))))),
        (of_summary, summarise_request(question_of(replace(of_summary, answered=("ab12/Köln/Süd/2/0",))))),
        (of_summary, summary),
    )
    for sent, found in pairs:
        assert (found.identity, found.roster, found.hash) == (sent.identity, sent.roster, sent.hash)
        assert found.weights.tobytes() == weights.tobytes()
    assert summary.cells == 7


def test_received_weights_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="read-only"):
        contribute_request(question_of(ROUND)).weights[0] = 7.0


@pytest.mark.parametrize("request_", [ROUND, SUMMARY], ids=["round", "summary"])
def test_each_site_is_asked_as_if_it_were_the_only_one(request_: AnyRequest) -> None:
    sites = ("Essen", "Köln/Süd", "")
    answered = {"Essen": ("ab12/Essen/2/0", "cd34/Essen/summary/evaluation/1"), "elsewhere": ("x",)}
    asked = list(questions_of(request_, sites=sites, answered=answered))
    assert [site for site, _, _ in asked] == list(sites)
    for site, question, sha256 in asked:
        assert question == question_of(replace(request_, site=site, answered=answered.get(site, ())))
        assert sha256 == hashlib.sha256(question).digest()


def test_a_question_for_a_round_is_none_for_a_summary_and_the_other_way_round() -> None:
    assert (method_of(ROUND), method_of(SUMMARY)) == (Method.CONTRIBUTE, Method.SUMMARISE)
    with pytest.raises(WrongForm):
        summarise_request(question_of(ROUND))
    with pytest.raises(WrongForm):
        contribute_request(question_of(SUMMARY))


UNKNOWN_FIELD = b"\x7a\x03abc"
GOOD = question_of(ROUND)
BAD_QUESTIONS = {
    "no message": b"\xff\xff",
    "an unknown field": GOOD + UNKNOWN_FIELD,
    "a field twice": GOOD + serialised(pb.ContributeRequest(round=3)),
    "the site first": serialised(pb.ContributeRequest(site="Köln/Süd")) + question_of(replace(ROUND, site="")),
    "half a number": serialised(pb.ContributeRequest(weights=b"1234567")),
    "no roster": serialised(pb.ContributeRequest(roster=b"\xff")),
    "a former answer twice": GOOD + serialised(pb.ContributeRequest(answered=["a/1", "a/1"])),
    "a former answer that is long": GOOD + serialised(pb.ContributeRequest(answered=["a" * 257])),
    "too many former answers": GOOD + serialised(pb.ContributeRequest(answered=map(str, range(MOST_ANSWERED + 1)))),
    "an unknown field in the roster": serialised(pb.ContributeRequest(roster=UNKNOWN_FIELD)),
}


@pytest.mark.parametrize("question", BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_a_question_has_one_form(question: bytes) -> None:
    with pytest.raises(WrongForm):
        contribute_request(question)


def test_no_summary_has_more_numbers_than_a_message_can_hold_and_none_has_no_number() -> None:
    for cells in (1, LARGEST_MESSAGE // BYTES_A_NUMBER):
        assert summarise_request(question_of(replace(SUMMARY, cells=cells))).cells == cells
    for cells in (0, LARGEST_MESSAGE // BYTES_A_NUMBER + 1, 2**31 - 1):
        with pytest.raises(WrongForm, match="no number of cells"):
            summarise_request(question_of(replace(SUMMARY, cells=cells)))


def test_a_hash_is_64_small_hexadecimal_digits() -> None:
    """On a disk that does not tell large letters from small ones, two ways to write one would be one file."""
    digest = hashlib.sha256(b"").hexdigest()
    assert is_hash(digest)
    for wrong in (digest.upper(), digest[:-1], digest + "0", digest[:-1] + "g", digest[:-1] + "/", ""):
        assert not is_hash(wrong), wrong


def test_as_many_former_answers_as_a_coordinator_can_have_are_read() -> None:
    told = [f"{number:0256d}" for number in range(MOST_ANSWERED)]
    assert list(contribute_request(GOOD + serialised(pb.ContributeRequest(answered=told))).answered) == told


def test_a_roster_beyond_any_plan_is_not_even_parsed() -> None:
    """It would take many times as much memory, and be kept."""

    def of(hospitals: int) -> bytes:
        message = pb.ContributeRequest()
        message.ParseFromString(GOOD)
        message.roster = serialised(pb.Roster(site=[""] * hospitals))
        return serialised(message)

    assert len(contribute_request(of(1_000_000)).roster) == 1_000_000
    with pytest.raises(WrongForm, match="more hospitals than a plan can name"):
        contribute_request(of(1_000_001))


def test_more_masking_keys_than_a_study_can_have_are_not_read() -> None:
    def of(keys: int) -> bytes:
        return serialised(pb.MaskingKeysRequest(plan_hash="0" * 64, key=[pb.SignedMaskingKey()] * keys))

    assert len(masking_keys_in(of(10_000))[1]) == 10_000
    with pytest.raises(WrongForm):
        masking_keys_in(of(1_300_000))


def test_documents_and_models_arrive_as_they_were_sent() -> None:
    assert parsed(pb.OfferPlanRequest, offer_question(b"\0\xffdocument", nonce=b"n")).document == b"\0\xffdocument"
    sent = parsed(pb.DeliverModelRequest, delivery_question(Delivery("ab", model=b"\0model", signature=b"s")))
    assert (sent.plan_hash, sent.model, sent.signature) == ("ab", b"\0model", b"s")


# Replies


@given(vector=arrays(np.float64, st.integers(0, 20), elements=st.floats()))
def test_a_vector_arrives_as_it_was_sent(vector: np.ndarray) -> None:
    noised = contribution_in(serialised(pb.ContributeReply(vector=vector.tobytes())))
    counts = contribution_in(serialised(pb.ContributeReply(counts=vector.tobytes())))
    assert noised.vector.tobytes() == counts.vector.tobytes() == vector.tobytes()
    assert (noised.noised, counts.noised) == (True, False)


def test_masked_words_arrive_as_they_were_sent() -> None:
    words = np.array([0, 1, 2**64 - 1], dtype=np.uint64)
    found = contribution_in(serialised(pb.ContributeReply(masked=words.tobytes()))).vector
    assert (str(found.dtype), found.tolist()) == ("uint64", words.tolist())


def test_states_and_descriptions_arrive() -> None:
    for state, number in PLAN_STATES.items():
        assert plan_state_in(serialised(pb.PlanReply(state=number))) is PlanState(state)
    for delivered, number in DELIVERY_STATES.items():
        assert delivery_state_in(serialised(pb.DeliverModelReply(state=number))) is DeliveryState(delivered)
    described = pb.DescribeReply(description=pb.Description(site="Bonn", protocol_version=7))
    assert description_in(serialised(described)) == NodeDescription("Bonn", 7)


READERS = (contribution_in, plan_state_in, delivery_state_in, description_in)


@pytest.mark.parametrize("read", READERS)
def test_a_refusal_is_raised_by_its_code(read: object) -> None:
    for code, number in REFUSALS.items():
        with pytest.raises(RequestRefused) as refusal:
            read(serialised(pb.PlanReply(refusal=number)))  # type: ignore[operator]  # one of the four above
        assert refusal.value.code is RefusalCode(code)


BAD_REPLIES = {
    "nothing": b"",
    "no message": b"\xff\xff",
    "half a number": serialised(pb.ContributeReply(vector=b"0" * 43)),
    "an unknown refusal": serialised(pb.PlanReply(refusal=99)),  # type: ignore[arg-type]  # outside its list, on purpose
    "no refusal": serialised(pb.PlanReply(refusal=pb.REFUSAL_UNSPECIFIED)),
    "an unknown state": serialised(pb.PlanReply(state=99)),  # type: ignore[arg-type]  # outside its list, on purpose
    "more fields": serialised(pb.PlanReply(refusal=pb.REFUSAL_INTERNAL)) + UNKNOWN_FIELD,
}


@pytest.mark.parametrize("content", BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_a_reply_has_one_form(content: bytes) -> None:
    for read in READERS:
        with pytest.raises(WrongForm):
            read(content)
