"""Do answers leave at public times, whatever they are and however long they took?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import grpc
import pytest
from tests.node_guards import REQUEST, SUMMARY, signed

from oncofed.client.service.public_times import PublicTimes
from oncofed.protocol.answer_times import AnswerTimes
from oncofed.protocol.wire_form import Method, question_of

ROUND, WHOLE_SUMMARY = signed(question_of(REQUEST)), signed(question_of(SUMMARY), Method.SUMMARISE)
TIMES = AnswerTimes(round_seconds=0.5, summary_seconds=3.0)
ARRIVAL = 1000.0


@dataclass
class Clock:
    now: float = ARRIVAL
    late: float = 0.0
    """By which a sleep of more than a millisecond ends too late."""
    slept: list[float] = field(default_factory=list)

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds + (self.late if seconds > 0.001 else 0.0)


@dataclass
class Guard:
    """Knows the times of one plan."""

    readings: int = 0
    asked_for: list[str] = field(default_factory=list)

    def times_of(self, plan_hash: str) -> AnswerTimes:
        self.asked_for.append(plan_hash)
        return TIMES if plan_hash == REQUEST.plan_hash else AnswerTimes()


def waited(
    method: str,
    content: bytes,
    *,
    takes: float,
    reads: bool = False,
    clock: Clock | None = None,
    guard: Guard | None = None,
) -> float:
    """Seconds from arrival until the answer leaves."""
    clock, guard = clock or Clock(), guard or Guard()

    def answer(given: bytes, _: grpc.ServicerContext) -> bytes:
        assert given == content
        clock.now += takes
        guard.readings += reads
        return b"an answer"

    behaviour = PublicTimes(guard, clock=clock.read, sleep=clock.sleep).of(method, answer)
    arrival = clock.now
    assert behaviour(content, cast(grpc.ServicerContext, None)) == b"an answer"
    return clock.now - arrival


@pytest.mark.parametrize(
    ("takes", "leaves"),
    [(0.0, 0.5), (0.001, 0.5), (0.2, 0.5), (0.499, 0.5), (0.51, 1.0), (0.99, 1.0), (1.7, 2.0)],
)
def test_an_answer_leaves_at_the_first_multiple_that_is_possible(takes: float, leaves: float) -> None:
    assert waited("Contribute", ROUND, takes=takes) == pytest.approx(leaves, abs=1e-6)


def test_a_summary_has_a_time_of_its_own() -> None:
    assert waited("Summarise", WHOLE_SUMMARY, takes=0.7) == pytest.approx(3.0, abs=1e-6)
    assert waited("Summarise", WHOLE_SUMMARY, takes=0.7, reads=True) == pytest.approx(3.0, abs=1e-6)


def test_an_answer_for_which_patients_were_read_takes_four_times_as_long() -> None:
    for takes in (0.1, 0.9, 1.9):
        assert waited("Contribute", ROUND, takes=takes, reads=True) == pytest.approx(2.0, abs=1e-6)
    assert waited("Contribute", ROUND, takes=0.1, guard=Guard(readings=7)) == pytest.approx(0.5, abs=1e-6)


OTHER: dict[str, bytes] = {
    "another plan": ROUND.replace(REQUEST.plan_hash.encode(), b"cd" * 32),
    "no message": b"\xff\xff\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("content", OTHER.values(), ids=OTHER)
def test_a_question_of_no_known_plan_waits_as_a_plan_that_does_not_say(content: bytes) -> None:
    assert waited("Contribute", content, takes=0.2) == pytest.approx(AnswerTimes().round_seconds, abs=1e-6)
    assert waited("Summarise", content, takes=0.2) == pytest.approx(AnswerTimes().summary_seconds, abs=1e-6)


@pytest.mark.parametrize("method", ["OfferPlan", "PlanStatus", "DeliverModel", "Describe"])
def test_what_reads_no_patient_does_not_wait(method: str) -> None:
    assert waited(method, b"", takes=0.123) == pytest.approx(0.123)


def test_the_plan_is_looked_up_before_the_wait_and_a_slow_look_up_counts() -> None:
    clock = Clock()

    class Slow(Guard):
        def times_of(self, plan_hash: str) -> AnswerTimes:
            assert clock.slept == []
            clock.now += 0.4
            return super().times_of(plan_hash)

    assert waited("Contribute", ROUND, takes=0.3, clock=clock, guard=Slow()) == pytest.approx(1.0, abs=1e-6)


def test_a_long_sleep_that_ends_late_does_not_make_the_answer_late() -> None:
    for late in (0.0, 0.0007, 0.0015):
        assert waited("Contribute", ROUND, takes=0.1, clock=Clock(late=late)) == pytest.approx(0.5, abs=1e-6)


def test_longer_than_the_time_is_told_here(caplog: pytest.LogCaptureFixture) -> None:
    waited("Contribute", ROUND, takes=0.4)
    assert caplog.text == ""
    waited("Contribute", ROUND, takes=0.6)
    assert "longer answer times" in caplog.text
