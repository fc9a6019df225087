"""Is every reply that must not count kept out, and the right hospital named for it?"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from tests.summaries import evaluation_of

from oncofed.errors import RefusalCode
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, Masked, Unprotected, release_of_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.codec import encode_answer, encode_unanswered
from oncofed.protocol.plan import Member, PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.wire_form import serialised
from oncofed.server.rounds.admission import Admission, Rejection, admit

GOOD = np.arange(6.0)
STEP = 2.0**-20
PLAIN = Unprotected(6, 1.0)
NOISED = Local(SharedIntegerRelease(4.0, 6, 20, 1.0, 1, 0, 0), 2.0, largest_patients=60)
MASKED = Masked(SharedIntegerRelease(4.0, 6, 20, 1.0, 5, 1, 1), 2.0, largest_patients=60)
NAN = np.array([0.0, 1.0, np.nan, 3.0, 4.0, 5.0])
INFINITE = np.array([0.0, 1.0, -np.inf, 3.0, 4.0, 5.0])
PLANTED = "patient 4711"
GOOD_REPLY = serialised(pb.ContributeReply(vector=GOOD.tobytes()))
UNKNOWN_FIELD = b"\x7a\x03abc"


def admitted_sites(admission: Admission) -> list[str]:
    return [one.site for one in admission.admitted]


def ask(exchange: Any, replies: list[Message], release: Release = PLAIN) -> Admission:
    return admit(replies, questions=exchange.questions, patience_seconds=30.0, release=release)


def test_good_replies_are_admitted_in_roster_order_whatever_the_arrival(
    plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    replies = open_round.all_well({site: GOOD + index for index, site in enumerate(plan.roster)})
    random.Random(3).shuffle(replies)
    admission = ask(open_round, replies)
    assert admitted_sites(admission) == list(plan.roster)
    assert [one.vector[0] for one in admission.admitted] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert admission.rejected == ()


BAD: dict[str, tuple[Callable[[Any], list[Message]], str]] = {
    "silent": (lambda x: [], "no answer within 30 s"),
    "node gone": (lambda x: [x.failure("Bonn", 5, PLANTED)], "the node is unavailable"),
    "relay raised": (lambda x: [x.failure("Bonn", 2, PLANTED)], "the relay raised an exception"),
    "new error": (lambda x: [x.failure("Bonn", 77, PLANTED)], "Flower reports error 77"),
    "refuses": (
        lambda x: [x.refusal("Bonn", RefusalCode.BUDGET_EXCEEDED)],
        "refused: budget_exceeded",
    ),
    "refuses in words": (
        lambda x: [x.containing("Bonn", RecordDict({"unanswered": ConfigRecord({"code": PLANTED})}))],
        "malformed answer: not in the protocol's records",
    ),
    "relay has no answer": (
        lambda x: [x.containing("Bonn", encode_unanswered(RefusalCode.NOT_READY))],
        "refused: not_ready",
    ),
    "relay says it was charged": (
        lambda x: [x.containing("Bonn", RecordDict({"unanswered": ConfigRecord({"code": "request_conflict"})}))],
        "malformed answer: not in the protocol's records",
    ),
    "another reply": (
        lambda x: [
            x.containing("Bonn", encode_answer(x.answer("Bonn", serialised(pb.PlanReply(state=pb.PLAN_STATE_OFFERED)))))
        ],
        "malformed answer: unknown fields, or not in the one form",
    ),
    "a field rides along": (
        lambda x: [x.containing("Bonn", encode_answer(x.answer("Bonn", GOOD_REPLY + UNKNOWN_FIELD)))],
        "malformed answer: unknown fields, or not in the one form",
    ),
    "a field rides along outside": (
        lambda x: [x.containing("Bonn", encode_answer(x.answer("Bonn", GOOD_REPLY) + UNKNOWN_FIELD))],
        "malformed answer: unknown fields, or not in the one form",
    ),
    "NaN": (lambda x: [x.reply("Bonn", NAN)], "sent numbers that are not finite"),
    "infinite": (lambda x: [x.reply("Bonn", INFINITE)], "sent numbers that are not finite"),
    "short": (lambda x: [x.reply("Bonn", GOOD[:5])], "sent 5 numbers where 6 were asked for"),
    "long": (lambda x: [x.reply("Bonn", np.arange(7.0))], "sent 7 numbers where 6 were asked for"),
    "empty": (
        lambda x: [x.containing("Bonn", RecordDict())],
        "malformed answer: not in the protocol's records",
    ),
    "twice": (lambda x: [x.reply("Bonn", GOOD), x.reply("Bonn", GOOD)], "answered 2 times"),
    "impostor": (lambda x: [x.reply("Bonn", GOOD, src_node_id=1000)], "node 1000 answered in its place"),
} | {
    f"other {field}": (
        lambda x, field=field, value=value: [x.reply("Bonn", GOOD, question={field: value})],
        "answered another question than the one it was sent",
    )
    for field, value in {"plan_hash": "f" * 64, "site": "Essen", "round": 2, "attempt": 1}.items()
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_reply_is_rejected_for_its_hospital_alone(
    bad: Callable[[Any], list[Message]], reason: str, plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    others = [site for site in plan.roster if site != "Bonn"]
    admission = ask(open_round, bad(open_round) + open_round.all_well(dict.fromkeys(others, GOOD)))
    assert admitted_sites(admission) == others
    assert admission.rejected == (Rejection("Bonn", reason),)
    assert PLANTED not in str(admission.rejected)


def test_a_refusal_keeps_its_code_for_whoever_decides_what_to_ask_next(
    plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    admission = ask(open_round, [open_round.refusal("Bonn", RefusalCode.REQUEST_CONFLICT)])
    codes = {rejection.site: rejection.code for rejection in admission.rejected}
    assert codes == {site: RefusalCode.REQUEST_CONFLICT if site == "Bonn" else None for site in plan.roster}


LONGEST = 60 + 4 * (math.sqrt(6) + 6)
"""93.8 clip norms: the patients' and the noise's."""
LARGEST = 60 + 40 * 4.0
"""Of one number."""
NO_STEPS = "sent numbers that are no whole steps of the plan's noise"
TOO_LARGE = "sent a number larger than any hospital's can be"
TOO_LONG = f"sent a vector longer than any honest one can be ({LONGEST:.0f} clip norms)"
FORMS: dict[str, tuple[Any, Release, str]] = {
    "whole steps": (np.array([0.0, -STEP, 3 * STEP, 5.0, -80.0, 47.0]), NOISED, ""),
    "half a step": (GOOD + np.array([0, 0, 0, 0, 0, STEP / 2]), NOISED, NO_STEPS),
    "a tenth": (np.full(6, 0.1), NOISED, NO_STEPS),
    "less than a step": (np.array([5e-324, 0.0, 0.0, 0.0, 0.0, 0.0]), NOISED, NO_STEPS),
    "another zero": (np.array([1.0, -0.0, 0.0, 0.0, 0.0, 0.0]), NOISED, NO_STEPS),
    "too large": (np.array([0.0, 0.0, LARGEST + STEP, 0.0, 0.0, 0.0]), NOISED, TOO_LARGE),
    "too small": (np.array([0.0, 0.0, -LARGEST - STEP, 0.0, 0.0, 0.0]), NOISED, TOO_LARGE),
    "squares overflow": (np.full(6, 1e300), NOISED, TOO_LARGE),
    "the largest, which is too long": (np.array([0.0, 0.0, LARGEST, 0.0, 0.0, 0.0]), NOISED, TOO_LONG),
    "just short enough": (np.array([0.0, 93.75, 0.0, 0.0, 0.0, 0.0]), NOISED, ""),
    "each number short enough, all together too long": (np.full(6, 50.0), NOISED, TOO_LONG),
    "one number too long": (np.array([0.0, -93.875, 0.0, 0.0, 0.0, 0.0]), NOISED, TOO_LONG),
    "masked": (np.arange(6, dtype=np.uint64), MASKED, ""),
    "any words": (np.full(6, 2**64 - 1, dtype=np.uint64), MASKED, ""),
    "not masked": (GOOD, MASKED, "sent unmasked numbers"),
    "too few masked": (np.arange(5, dtype=np.uint64), MASKED, "sent 5 numbers where 6 were asked for"),
    "masked in a plan without masks": (
        np.arange(6, dtype=np.uint64),
        NOISED,
        "sent masked numbers where the plan has none",
    ),
    "any number, without noise": (np.array([0.1, -0.0, 1e300, 0.0, 0.0, 0.0]), PLAIN, ""),
}

KEY = new_signing_key()


def of_bonns_key(plan: StudyPlan) -> StudyPlan:
    """The same plan, which names Bonn's key."""
    keys = {"Bonn": public_key_of(KEY).hex()}
    return replace(plan, members=tuple(Member(site, "", keys.get(site, "")) for site in plan.roster))


def one_byte_changed(answer: bytes) -> bytes:
    """A number of the vector, as a relay that encodes anew might have it: in its lowest bit."""
    place = answer.index(GOOD.tobytes()) + 8
    return answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]


SIGNED: dict[str, tuple[Callable[[Any], Message], str]] = {
    "unsigned": (lambda x: x.reply("Bonn", GOOD), "its guard has not signed the answer"),
    "another's key": (
        lambda x: x.reply("Bonn", GOOD, signing_key=new_signing_key()),
        "the answer is not what its guard signed",
    ),
    "one bit changed on the way": (
        lambda x: x.containing("Bonn", encode_answer(one_byte_changed(x.answer("Bonn", GOOD_REPLY, signing_key=KEY)))),
        "the answer is not what its guard signed",
    ),
    "of another round": (
        lambda x: x.reply("Bonn", GOOD, question={"round": 2}, signing_key=KEY),
        "answered another question than the one it was sent",
    ),
    "an unsigned refusal": (
        lambda x: x.refusal("Bonn", RefusalCode.REQUEST_CONFLICT),
        "its guard has not signed the answer",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), SIGNED.values(), ids=SIGNED)
def test_where_the_plan_names_a_key_only_what_its_guard_signed_is_admitted(
    bad: Callable[[Any], Message], reason: str, plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(of_bonns_key(plan))
    others = [site for site in plan.roster if site != "Bonn"]
    admission = ask(open_round, [bad(open_round), *open_round.all_well(dict.fromkeys(others, GOOD))])
    assert admitted_sites(admission) == others
    assert admission.rejected == (Rejection("Bonn", reason),)
    assert admission.rejected[0].code is None, "so that nobody is charged anew for what a relay claims"


def test_what_the_guard_signed_is_admitted(plan: StudyPlan, exchange: Callable[..., Any]) -> None:
    open_round = exchange(of_bonns_key(plan))
    admission = ask(open_round, [open_round.reply("Bonn", GOOD, signing_key=KEY)])
    assert admitted_sites(admission) == ["Bonn"]


def test_a_signature_that_nobody_can_check_is_no_part_of_an_answer(
    plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    admission = ask(open_round, [open_round.reply("Bonn", GOOD, signing_key=KEY)])
    assert admitted_sites(admission) == []


@pytest.mark.parametrize(("vector", "release", "reason"), FORMS.values(), ids=FORMS)
def test_what_no_honest_hospital_sends_is_rejected_by_name(
    vector: Any, release: Release, reason: str, plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    good = GOOD if release is not MASKED else np.arange(6, dtype=np.uint64)
    vectors = dict.fromkeys(plan.roster, good) | {"Bonn": vector}
    admission = ask(open_round, open_round.all_well(vectors), release)
    assert ("Bonn" in admitted_sites(admission)) is (reason == "")
    assert admission.rejected == (() if reason == "" else (Rejection("Bonn", reason),))


def test_the_longest_honest_vector_follows_from_the_plan_alone(plan: StudyPlan) -> None:
    private = replace(
        plan,
        training=TrainingSpec(mode=TrainingMode.FULL_BATCH),
        privacy=PrivacySpec(PrivacyMode.LOCAL, 3.0, 1e-5, 4.0, 2.0),
    )

    def longest(plan: StudyPlan) -> float:
        """Found by asking."""
        release, low, high = release_of_round(plan), 1.0, 1e9
        one = np.zeros(plan.model.parameters)
        while high - low > 1e-3:
            one[0] = (low + high) / 2
            low, high = (low, one[0]) if release.implausibility_of(one) else (one[0], high)
        return low

    parameters = plan.model.parameters
    expected = 10_000 + 4 * (parameters**0.5 + 6)
    assert longest(private) == pytest.approx(expected, abs=0.01)
    # The clip norm is the unit, so it does not matter; where nothing is clipped, or weights travel, nothing is known.
    assert longest(replace(private, privacy=replace(private.privacy, l2_norm_bound=9.0))) == longest(private)
    smaller = replace(private, privacy=replace(private.privacy, delta=1e-4))
    assert longest(smaller) == pytest.approx(expected - 9_000, abs=0.01)
    assert longest(replace(private, privacy=plan.privacy)) == pytest.approx(1e9)
    assert longest(replace(private, training=plan.training)) == pytest.approx(1e9)


def test_a_summarys_longest_vector_has_its_own_noise_and_length(plan: StudyPlan) -> None:
    private = replace(plan, privacy=PrivacySpec(PrivacyMode.LOCAL, 3.0, 1e-5, 4.0, 2.0))
    release = release_of_summary(private, evaluation_of(private, noise_multiplier=300.0))
    expected = 10_000 + 300 * (release.numbers**0.5 + 6)
    for length, told in ((expected - 1, False), (expected + 1, True)):
        vector = np.zeros(release.numbers)
        vector[0] = math.floor(length)
        assert bool(release.implausibility_of(vector)) is told


def test_replies_to_no_question_of_the_round_are_named_and_harm_nobody(
    plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    open_round = exchange(plan)
    late = open_round.reply("Bonn", GOOD, reply_to="of yesterday")
    stranger = open_round.reply("Bonn", GOOD, reply_to="", src_node_id=66)
    admission = ask(open_round, [late, stranger, *open_round.all_well(dict.fromkeys(plan.roster, GOOD))])
    assert admitted_sites(admission) == list(plan.roster)
    assert admission.rejected == (
        Rejection("node 66", "answered no question of this round"),
        Rejection("Bonn", "answered no question of this round"),
    )
