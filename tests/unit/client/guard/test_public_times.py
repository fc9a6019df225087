"""Do answers leave at public times, whatever they are and however long they took?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import grpc
import pytest

from oncofed.client.guard.public_times import PUBLIC_SECONDS, PublicTimes

ROUND_SECONDS, READING_SECONDS = 0.5, 2.0
ARRIVAL = 1000.0


@dataclass
class Clock:
    now: float = ARRIVAL
    late: float = 0.0
    """By which a sleep of more than a millisecond ends too late."""

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + (self.late if seconds > 0.001 else 0.0)


@dataclass
class Hospital:
    """What it does with one question takes so many seconds.

    public   before patients are looked at: parsing, looking up, charging. None of them where `answers` is False.
    reads    patients are read first.
    """

    public: float = 0.0
    takes: float = 0.0
    reads: float | None = None
    answers: bool = True
    clock: Clock = field(default_factory=Clock)

    def waited(self, method: str = "Contribute") -> float:
        """Seconds from arrival until the answer leaves."""
        times = PublicTimes(clock=self.clock.read, sleep=self.clock.sleep)

        def answer(given: bytes, _: grpc.ServicerContext) -> bytes:
            assert given == b"a question"
            if self.reads is not None:
                with times.reading(READING_SECONDS):
                    self.clock.now += self.reads
            self.clock.now += self.public
            if self.answers:
                times.begins(ROUND_SECONDS)
            self.clock.now += self.takes
            return b"an answer"

        arrival = self.clock.now
        assert times.of(method, answer)(b"a question", cast(grpc.ServicerContext, None)) == b"an answer"
        return self.clock.now - arrival


def seconds(expected: float) -> object:
    return pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("takes", "leaves"),
    [(0.0, 0.5), (0.001, 0.5), (0.2, 0.5), (0.499, 0.5), (0.51, 1.0), (0.99, 1.0), (1.7, 2.0)],
)
def test_an_answer_leaves_at_the_first_multiple_that_is_possible(takes: float, leaves: float) -> None:
    assert Hospital(takes=takes).waited() == seconds(PUBLIC_SECONDS + leaves)


@pytest.mark.parametrize("public", [0.0, 0.013, 0.31, 0.4999, 0.7, 3.3])
def test_however_long_a_question_and_its_charge_take_few_patients_and_many_are_answered_at_once(public: float) -> None:
    """Counted in, 0.31 s of a question and its charge would tell 150 ms of computing from 250 ms."""
    few, many = Hospital(public=public, takes=0.15).waited(), Hospital(public=public, takes=0.25).waited()
    assert few == seconds(many)
    assert public + ROUND_SECONDS - 1e-6 <= few <= public + ROUND_SECONDS + PUBLIC_SECONDS + 1e-6


def test_what_comes_before_takes_a_multiple_of_a_short_time() -> None:
    for public in (0.001, 0.0101, 0.0199):
        assert Hospital(public=public, takes=0.1).waited() == seconds(PUBLIC_SECONDS + ROUND_SECONDS)


@pytest.mark.parametrize("reads", [0.0, 0.1, 1.9])
def test_reading_patients_ends_at_a_time_of_its_own(reads: float) -> None:
    for public in (0.0, 0.4):
        waited = Hospital(reads=reads, public=public, takes=0.3).waited()
        rest = max(public, PUBLIC_SECONDS)
        assert waited == seconds(PUBLIC_SECONDS + READING_SECONDS + rest + ROUND_SECONDS)


def test_reading_that_fails_ends_at_its_time_too() -> None:
    clock = Clock()
    times = PublicTimes(clock=clock.read, sleep=clock.sleep)

    def fails(_: bytes, __: grpc.ServicerContext) -> bytes:
        def lost() -> None:
            clock.now += 0.7
            raise OSError

        with pytest.raises(OSError), times.reading(READING_SECONDS):
            lost()
        return b"a refusal"

    times.of("Contribute", fails)(b"", cast(grpc.ServicerContext, None))
    assert clock.now - ARRIVAL == seconds(PUBLIC_SECONDS + READING_SECONDS + PUBLIC_SECONDS)


def test_a_refusal_for_which_no_patient_was_looked_at_leaves_at_a_multiple_of_a_short_time() -> None:
    for public, leaves in ((0.0, 1), (0.011, 1), (0.021, 2), (0.43, 22)):
        assert Hospital(public=public, answers=False).waited("Summarise") == seconds(leaves * PUBLIC_SECONDS)


def test_one_question_does_not_wait_for_the_time_of_the_one_before_it() -> None:
    clock = Clock()
    times = PublicTimes(clock=clock.read, sleep=clock.sleep)
    answers: list[Callable[[], None]] = [lambda: times.begins(60.0), lambda: None]

    def answer(_: bytes, __: grpc.ServicerContext) -> bytes:
        answers.pop(0)()
        return b""

    behaviour = times.of("Contribute", answer)
    behaviour(b"", cast(grpc.ServicerContext, None))
    before = clock.now
    behaviour(b"", cast(grpc.ServicerContext, None))
    assert clock.now - before == seconds(PUBLIC_SECONDS)


@pytest.mark.parametrize("method", ["OfferPlan", "PlanStatus", "DeliverModel", "MaskingKeys", "Describe"])
def test_what_reads_no_patient_does_not_wait(method: str) -> None:
    assert Hospital(public=0.123, answers=False).waited(method) == pytest.approx(0.123)


def test_a_long_sleep_that_ends_late_does_not_make_the_answer_late() -> None:
    for late in (0.0, 0.0007, 0.0015):
        assert Hospital(takes=0.1, clock=Clock(late=late)).waited() == seconds(PUBLIC_SECONDS + 0.5)


def test_longer_than_the_time_is_told_here(caplog: pytest.LogCaptureFixture) -> None:
    Hospital(public=0.9, takes=0.4).waited()
    assert caplog.text == ""
    Hospital(takes=0.6).waited()
    assert "longer answer times" in caplog.text
