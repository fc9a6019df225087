"""When does an answer leave the guard? At a time that follows from public numbers.

An answer to a round or a summary leaves at its arrival + k x a time of its plan (`protocol.answer_times`), with the
smallest k that is possible. Refusals and repeated answers too: whoever asks learns k and no more. Everything that
depends on patients is done before the wait: computing, checking, writing down, signing, serialising. k above 1 tells
something of their number; the local log then says so.

Where patients had to be read from the disk the time of a round is four times as long. They are read at a plan's first
question after a start or an approval, and only then, which is no secret.

The guard answers one question at a time, and the wait holds its one thread on purpose: whatever is asked meanwhile is
answered when the one before it has left, so that it does not tell when that one was finished.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc

from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer_times import AnswerTimes
from oncofed.protocol.wire_form import WrongForm, parsed

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]

_FORMS = {"Contribute": pb.ContributeRequest, "Summarise": pb.SummariseRequest}
"""The questions whose answers wait. All others are answered without a patient."""
_FINE_SECONDS = 0.002
"""A long sleep ends late by what the machine pleases; the last bit of it is slept in short ones."""
_SHORT_SECONDS = 0.0002

_log = logging.getLogger(__name__)


class Paced(Protocol):
    """What a guard says about times."""

    @property
    def readings(self) -> int:
        """How often patients were read so far."""

    def times_of(self, plan_hash: str) -> AnswerTimes:
        """Those of a plan. Never raises."""


class PublicTimes:
    """For the questions to one guard. clock: in seconds, never going back. sleep: for so many seconds, or longer."""

    def __init__(
        self, guard: Paced, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._sleep = sleep

    def of(self, method: str, behaviour: Behaviour) -> Behaviour:
        """The same behaviour, whose answers leave at public times where the method is one that reads patients."""
        form = _FORMS.get(method)
        if form is None:
            return behaviour

        def waiting(content: bytes, context: grpc.ServicerContext) -> bytes:
            arrival, readings = self._clock(), self._guard.readings
            answer = behaviour(content, context)
            read = self._guard.readings != readings
            times = self._guard.times_of(_plan_hash(form, content))
            self._wait(arrival, times.period(of_summary=method == "Summarise", read=read))
            return answer

        return waiting

    def _wait(self, arrival: float, period: float) -> None:
        if self._clock() - arrival > period:
            _log.warning(
                "an answer took longer than %g s, so it leaves later, and how much later tells something of the "
                "number of patients. Ask the coordinator for a plan with longer answer times.",
                period,
            )
        leaves = arrival + period * max(1, math.ceil((self._clock() - arrival) / period))
        while (left := leaves - self._clock()) > 0:
            self._sleep(left - _FINE_SECONDS if left > 2 * _FINE_SECONDS else min(left, _SHORT_SECONDS))


def _plan_hash(form: Any, content: bytes) -> str:
    try:
        found: str = parsed(form, parsed(pb.Question, content).request).plan_hash
    except WrongForm:
        return ""
    return found
