"""How much longer does one piece of work take than another? Ratios, from repetitions in turn, never absolute claims.

Each repetition runs every work once, one after the other, so that a slow moment of the machine meets them all; a ratio
is taken within each repetition, and its median and middle half over the repetitions are reported. Time is this
process's own processor time on one thread of torch: what else runs on the machine takes turns, but is not counted.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

processor_seconds = time.process_time


@dataclass(frozen=True)
class Spread:
    """Median over repetitions, and the quartiles around it."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return Spread(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Of the seconds of one work to those of another, repetition by repetition."""
    return Spread.of([one / other for one, other in zip(of, to, strict=True)])


def interleaved(
    works: Mapping[str, Callable[[], object]], *, repetitions: int, at_least_seconds: float = 0.02
) -> dict[str, list[float]]:
    """Seconds of one call of each work, by repetition: the mean of as many calls as make up `at_least_seconds`."""
    calls: dict[str, int] = {}
    for name, work in works.items():
        work()
        calls[name] = max(1, math.ceil(at_least_seconds / _seconds_a_call(work, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            work()  # or else it would pay for what its predecessor left in the caches
            seconds[name].append(_seconds_a_call(work, calls[name]))
    return seconds


def _seconds_a_call(work: Callable[[], object], calls: int) -> float:
    began = processor_seconds()
    for _ in range(calls):
        work()
    return max((processor_seconds() - began) / calls, 1e-9)
