"""When does an answer leave the guard? At a time that follows from public numbers.

Two pieces of work take longer with more patients: reading them, at a plan's first question after a start or an
approval, and making an answer. Each of the two ends at its beginning + k x a time of the plan
(`protocol.answer_times`), with the smallest k that is possible: whoever asks learns k and no more. The answer's piece
ends when it leaves, so all that is done with it, checking, writing down, signing, is in it. k above 1 tells something
of the number of patients; the local log then says so.

What comes before a piece is the same for any patients: a question is parsed, looked up and charged. It counts into no
piece, or a coordinator with a long question, or a long ledger before it, could bring an answer near its time, and k
would tell what a few milliseconds do. It takes as long as it takes, up to the next multiple of `PUBLIC_SECONDS`, which
hides what is left in a processor's caches. An answer for which no patient was looked at, a refusal or a repetition,
leaves at such a multiple, too.

The guard answers one question at a time, and the waits hold its one thread on purpose: whatever is asked meanwhile is
answered when the one before it has left, so that it does not tell when that one was finished.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import grpc

from oncofed.protocol.wire_form import Method

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]

PUBLIC_SECONDS = 0.02
"""What is done without patients takes a multiple of so long."""

_PACED = (Method.CONTRIBUTE.value, Method.SUMMARISE.value)
"""The questions whose answers wait. All others are answered without a patient."""
_FINE_SECONDS = 0.002
"""A long sleep ends late by what the machine pleases; the last bit of it is slept in short ones."""
_SHORT_SECONDS = 0.0002

_log = logging.getLogger(__name__)


class Pace(Protocol):
    """What a guard tells about its work with patients."""

    def reading(self, seconds: float) -> AbstractContextManager[None]:
        """Inside, patients are read. It ends after a multiple of seconds."""

    def begins(self, seconds: float) -> None:
        """An answer is about to be made from patients; it leaves after a multiple of seconds from here."""


class NoPace:
    """Of a guard that waits for nothing: in a trial, or in a test."""

    def reading(self, seconds: float) -> AbstractContextManager[None]:
        """As `Pace` says."""
        return nullcontext()

    def begins(self, seconds: float) -> None:
        """As `Pace` says."""


class PublicTimes:
    """For the questions to one guard; its `Pace`. For one thread.

    clock: in seconds, never going back. sleep: for so many seconds, or longer.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._began = self._clock()
        self._seconds = PUBLIC_SECONDS

    def of(self, method: str, behaviour: Behaviour) -> Behaviour:
        """The same behaviour, whose answers leave at public times where the method is one that reads patients."""
        if method not in _PACED:
            return behaviour

        def waiting(content: bytes, context: grpc.ServicerContext) -> bytes:
            self._now_begins(self._clock(), PUBLIC_SECONDS)
            answer = behaviour(content, context)
            self._wait()
            return answer

        return waiting

    @contextmanager
    def reading(self, seconds: float) -> Iterator[None]:
        """As `Pace` says."""
        self._now_begins(self._wait(), seconds)
        try:
            yield
        finally:
            self._now_begins(self._wait(), PUBLIC_SECONDS)

    def begins(self, seconds: float) -> None:
        """As `Pace` says."""
        self._now_begins(self._wait(), seconds)

    def _now_begins(self, began: float, seconds: float) -> None:
        self._began, self._seconds = began, seconds

    def _wait(self) -> float:
        """Until the piece of work that goes on may end: that time."""
        took = self._clock() - self._began
        if took > self._seconds > PUBLIC_SECONDS:
            _log.warning(
                "an answer took longer than %g s, so it leaves later, and how much later tells something of the "
                "number of patients. Ask the coordinator for a plan with longer answer times.",
                self._seconds,
            )
        ends = self._began + self._seconds * max(1, math.ceil(took / self._seconds))
        while (left := ends - self._clock()) > 0:
            self._sleep(left - _FINE_SECONDS if left > 2 * _FINE_SECONDS else min(left, _SHORT_SECONDS))
        return ends
