"""Since when have more events come than the model expects, or fewer?

A sum goes up with each event and down while events are expected, or the other way round, and never below 0: what
happened long ago and was in order does not hide what happens now. For a hazard of r times the expected one it is the
log likelihood ratio against the model: G rises by log r with an event, and falls by (r - 1) dLambda while events are
expected. There are two, for r = 1.5 and r = 1 / 1.5. A sum that reaches its threshold is a *signal*, and begins at 0
again.

**The threshold** is found by simulation of the expected hazards. Where a model is right, time counted in expected
events turns the events of a hospital into those of a Poisson process of rate 1, whatever the hazards of its patients,
their delayed entry and their censoring (Watanabe 1964). So all that a threshold depends on is how many events are
expected in five years. It is the smallest for which no more signals than allowed are to be expected in that time,
raised by two standard errors of the simulation. A model that is a little wrong from the first day gives more signals
than a right one: that is what it is for. But where the level was adopted from this hospital's own events, it is known
as exactly as these tell, and signals of what they could not tell would be false ones: so each simulated hospital has a
true level of its own, as far from the adopted one as that may be.

Sources: Page, Biometrika 41 (1954); Steiner, Cook, Farewell and Treasure, Biostatistics 1 (2000), risk-adjusted CUSUM;
Biswas and Kalbfleisch, Statistics in Medicine 27 (2008), of survival in continuous time; Watanabe, Jap. J. Math. 34
(1964), the change of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oncofed.client.fit.calendar import Course

FloatArray = NDArray[np.float64]

RATIO = 1.5
YEARS = 5.0
_REPLICATES = 2000
_HALVINGS = 18
_LARGEST = 200.0


@dataclass(frozen=True)
class Signal:
    """day: when the threshold was reached. since: when the sum last left 0, the likeliest day of the change."""

    day: float
    since: float


@dataclass(frozen=True, eq=False)
class Cusum:
    """One sum. ratio: above 1 it looks for more events, below 1 for fewer.

    days, values  (points,), the sum as it was; before and after each event, and at the end of each month.
    """

    ratio: float
    threshold: float
    days: FloatArray
    values: FloatArray
    signals: tuple[Signal, ...]


def moved(
    values: FloatArray, gaps: FloatArray, *, ratio: float, threshold: float
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Sums after so many more events were expected and none came, and how many signals that gave. Any shape."""
    values = np.maximum(values + (1 - ratio) * gaps, 0.0)
    signals = np.floor(values / threshold)
    return np.asarray(values - signals * threshold), signals.astype(np.intp)


def after_event(values: FloatArray, *, ratio: float, threshold: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Sums after an event, and whether that gave a signal. Any shape."""
    values = np.maximum(values + np.log(ratio), 0.0)
    signals = values >= threshold
    return np.where(signals, 0.0, values), signals


def signals_expected(threshold: float, *, ratio: float, gaps: FloatArray, expected: float) -> tuple[float, float]:
    """How many signals come while so many events are expected, on average; and the standard error of that.

    gaps  (steps, replicates), between events, in expected ones; as many steps as reach beyond `expected`.
    """
    counts, _ = _simulated(threshold, ratio=ratio, gaps=gaps, expected=expected)
    return float(counts.mean()), float(counts.std() / np.sqrt(len(counts)))


def first_signals(threshold: float, *, ratio: float, gaps: FloatArray, expected: float) -> FloatArray:
    """(replicates,), the number of expected events by which the first signal came; infinite where none did.

    gaps  as for `signals_expected`.
    """
    return _simulated(threshold, ratio=ratio, gaps=gaps, expected=expected)[1]


def _simulated(
    threshold: float, *, ratio: float, gaps: FloatArray, expected: float
) -> tuple[NDArray[np.intp], FloatArray]:
    values, so_far = np.zeros(gaps.shape[1]), np.zeros(gaps.shape[1])
    counts, first = np.zeros(gaps.shape[1], dtype=np.intp), np.full(gaps.shape[1], np.inf)
    for gap in gaps:
        lived = np.minimum(gap, expected - so_far)
        values, between = moved(values, lived, ratio=ratio, threshold=threshold)
        so_far = so_far + lived
        event = so_far < expected
        values_then, at_event = after_event(values, ratio=ratio, threshold=threshold)
        values, came = np.where(event, values_then, values), between + (event & at_event)
        first = np.where((came > 0) & np.isinf(first), so_far, first)
        counts += came
        if not event.any():
            break
    return counts, first


def exponential_gaps(
    rng: np.random.Generator,
    *,
    expected: float,
    replicates: int = _REPLICATES,
    hazard_ratio: FloatArray | float = 1.0,
) -> FloatArray:
    """(steps, replicates), between events of patients whose hazard is so many times the expected one.

    hazard_ratio  of all, or (replicates,).
    """
    events = expected * float(np.max(hazard_ratio))
    steps = int(np.ceil(events + 7 * np.sqrt(events) + 20))
    return np.asarray(rng.exponential(size=(steps, replicates)) / hazard_ratio)


def threshold_for(
    expected: float,
    *,
    ratio: float,
    allowed: float,
    rng: np.random.Generator,
    replicates: int = _REPLICATES,
    deviation: float = 0.0,
) -> float:
    """The smallest threshold that gives so few signals while a right model expects so many events.

    allowed    signals on average, such as 0.5.
    deviation  standard deviation of the log of the level, where that was learned from this hospital's own events.
    """
    true_level = np.exp(deviation * rng.normal(size=replicates))
    gaps = exponential_gaps(rng, expected=expected, replicates=replicates, hazard_ratio=true_level)
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mean, error = signals_expected(middle, ratio=ratio, gaps=gaps, expected=expected)
        low, high = (low, middle) if mean + 2 * error <= allowed else (middle, high)
    return high


def found_within(share: float, threshold: float, *, ratio: float, expected: float, rng: np.random.Generator) -> float:
    """By how many expected events so large a share of changes to `ratio` is found; infinite if never.

    It begins at 0, as after a long time without a sign: that is the latest.
    """
    gaps = exponential_gaps(rng, expected=expected, hazard_ratio=ratio)
    found = np.sort(first_signals(threshold, ratio=ratio, gaps=gaps, expected=expected))
    return float(found[int(np.ceil(share * len(found))) - 1])


def cusum(course: Course, *, ratio: float, threshold: float) -> Cusum:
    """The sum over a course of calendar time."""
    points = list(_points(course, ratio=ratio, threshold=threshold))
    days, values = (np.array(each) for each in zip(*((day, value) for day, value, _ in points), strict=True))
    return Cusum(ratio, threshold, days, values, tuple(signal for _, _, signal in points if signal is not None))


def _points(course: Course, *, ratio: float, threshold: float) -> Iterator[tuple[float, float, Signal | None]]:
    """Day, sum, and the signal that it gave."""
    bounds = np.unique(np.concatenate(([course.start], course.event_days, _month_ends(course), [course.end])))
    expected = course.expected_by(bounds).tolist()
    events = dict(zip(*np.unique(course.event_days, return_counts=True), strict=True))
    value, since, up = 0.0, course.start, float(np.log(ratio))
    yield course.start, 0.0, None
    for (_, day), (before, now) in zip(pairwise(bounds.tolist()), pairwise(expected), strict=True):
        risen = value + (1 - ratio) * (now - before)
        if risen <= 0:
            value, since = 0.0, day
        elif ratio < 1 and value == 0.0:
            value, since = risen, course.day_of(before)
        else:
            value = risen
        while value >= threshold:
            value -= threshold
            reached = course.day_of(now - value / (1 - ratio))
            yield reached, threshold, Signal(reached, since)
            yield reached, 0.0, None
            since = reached
        yield day, value, None
        for _ in range(events.get(day, 0)):
            if value == 0.0:
                since = day
            value = max(value + up, 0.0)
            if value >= threshold:
                yield day, value, Signal(day, since)
                value, since = 0.0, day
            yield day, value, None


def _month_ends(course: Course) -> list[float]:
    return [float(month.begin.toordinal() - 1) for month in course.months()[1:]]
