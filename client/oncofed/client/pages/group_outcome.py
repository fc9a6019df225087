"""How did a group of this hospital's patients fare? A function of what is told of its parts, and of nothing else.

An actuarial life table on the public axis (`outcome_parts`). A told count is at least so many, and fewer than the floor
more; what is drawn goes through the middle of that. The limits hold the chance of so many patients and the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.disclosure import survival as rounded_survival
from oncofed.client.pages.outcome_parts import Part
from oncofed.client.pages.wording import time
from oncofed.survival.curves import NOT_REACHED

FloatArray = NDArray[np.float64]

_HALF_READ_OFF = 601
_Z = float(ndtri(0.975))


@dataclass(frozen=True, eq=False)
class GroupOutcome:
    """times   (times,), rising, from 0 or from when enough are under observation.

    survival, low, high  (times,), with pointwise 95 % limits.
    median    in the grid's unit, or NOT_REACHED within `times`, which may end long before the grid does.
    """

    name: str
    times: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    median: float

    @property
    def has_curve(self) -> bool:
        """Not when there is nothing to tell after the first moment."""
        return len(self.times) > 1

    def median_words(self, unit: str) -> str:
        """A median that lies beyond what may be shown is not said to be unreached."""
        if not self.has_curve:
            return "not known: too few events, or too few were followed"
        if self.median != NOT_REACHED:
            return time(self.median, unit)
        return f"not reached by {time(float(self.times[-1]), unit)}"

    def at(self, moment: float) -> float | None:
        """Between two told times by a straight line, as the curve is drawn; None outside."""
        if not self.times[0] <= moment <= self.times[-1]:
            return None
        return float(np.interp(moment, self.times, self.survival))


@dataclass(frozen=True, eq=False)
class Estimated:
    """Of some parts: events by each time of the axis, and patients under observation, in the middle of what is told.

    squared_error  of a number of events, from its rounding.
    """

    events: FloatArray
    at_risk: FloatArray
    squared_error: float


def estimated(part: Part, axis: FloatArray, disclosure: Disclosure) -> Estimated:
    """Events come evenly between the times at which their told number has grown.

    At such a time they have grown by half of what comes from one time to the next more than is told.
    """
    floor = disclosure.floor
    half = (floor - 1) / 2
    at_risk = np.minimum(np.where(part.at_risk > 0, part.at_risk + half, half / 2), part.patients)
    places, counts = [0], [0.0]
    for place in range(1, len(axis)):
        grown = float(part.events[place] - part.events[place - 1])
        if grown > 0:
            more = min(grown / (place - places[-1]), floor - 1) / 2
            places.append(place)
            counts.append(min(float(part.events[place]) + more, part.patients))
    last = int(np.flatnonzero(part.at_risk)[-1]) if part.at_risk.any() else 0
    if last > places[-1]:
        places.append(last)
        counts.append(max(counts[-1], min(float(part.events[last]) + half, part.patients)))
    return Estimated(np.interp(axis, axis[places], counts), at_risk, floor**2 / 12)


def group_outcome(name: str, parts: Sequence[Part], *, axis: FloatArray, disclosure: Disclosure) -> GroupOutcome | None:
    """None without a part, or when too few are ever observed at one time."""
    if not parts:
        return None
    told = np.flatnonzero(np.sum([part.at_risk for part in parts], axis=0) >= disclosure.crowd)
    if not len(told):
        return None
    first, last = int(told[0]), int(told[0])
    while last + 1 in told:
        last += 1
    if not sum(int(part.events[last] - part.events[first]) for part in parts):
        last = first  # so few events that none is told
    each = [estimated(part, axis, disclosure) for part in parts]
    here = slice(first, last + 1)
    at_risk = np.sum([part.at_risk for part in each], axis=0)[here]
    events = np.diff(np.sum([part.events for part in each], axis=0)[here])
    exposed = (at_risk[:-1] + at_risk[1:] + events) / 2
    lost = np.clip(events / exposed, 0.0, 0.99)
    survival = np.concatenate([[1.0], np.cumprod(1 - lost)])
    by_chance = np.concatenate([[0.0], np.cumsum(lost / (exposed * (1 - lost)))])
    by_rounding = np.concatenate([[0.0], sum(part.squared_error for part in each) / at_risk[1:] ** 2])
    deviation = _Z * np.sqrt(by_chance + by_rounding)
    return GroupOutcome(
        name=name,
        times=axis[here],
        survival=rounded_survival(survival),
        low=rounded_survival(survival * np.exp(-deviation)),
        high=rounded_survival(np.minimum(survival * np.exp(deviation), 1.0)),
        median=_half(axis[here], rounded_survival(survival), float(axis[-1])),
    )


def _half(times: FloatArray, survival: FloatArray, last: float) -> float:
    """When the drawn curve has fallen to one half, in steps of the whole axis' six hundredth."""
    moments = np.linspace(0.0, last, _HALF_READ_OFF)
    moments = moments[(moments >= times[0]) & (moments <= times[-1])]
    below = np.flatnonzero(np.interp(moments, times, survival) <= 0.5)
    return float(moments[below[0]]) if len(below) else NOT_REACHED
