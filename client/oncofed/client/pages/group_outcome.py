"""How did a group of this hospital's patients fare? A function of what is told of its parts, and of nothing else.

An actuarial life table on the public axis (`outcome_parts`), of several decrements where other events compete: who has
had one of these stays without the event for good, and is not taken to be censored. A told count is at least so many,
and fewer than the floor more; what is drawn goes through the middle of that. The limits hold the chance of so many
patients and the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.disclosure import survival as rounded_survival
from oncofed.client.pages.outcome_parts import IntArray, Part
from oncofed.client.pages.wording import DATIVE, time
from oncofed.survival.aalen_johansen import incidence_variance
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]

_HALF_READ_OFF = 601
_Z = float(ndtri(0.975))


@dataclass(frozen=True, eq=False)
class GroupOutcome:
    """name    in English.
    times   (times,), rising, from 0 or from when enough are under observation.

    survival, low, high  (times,), who have not had the event, whatever else, with pointwise 95 % limits.
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

    def median_words(self, unit: str, *, say: Language = ENGLISH) -> str:
        """A median that lies beyond what may be shown is not said to be unreached."""
        if not self.has_curve:
            return say("not known: too few events, or too few were followed")
        if self.median != NOT_REACHED:
            return time(self.median, unit, say=say)
        return say("not reached by %(when)s", when=time(float(self.times[-1]), unit, say=say, case=DATIVE))

    def at(self, moment: float) -> float | None:
        """Between two told times by a straight line, as the curve is drawn; None outside."""
        if not self.times[0] <= moment <= self.times[-1]:
            return None
        return float(np.interp(moment, self.times, self.survival))


@dataclass(frozen=True, eq=False)
class Estimated:
    """Of some parts: events by each time of the axis, and patients under observation, in the middle of what is told.

    competing      events of another kind, the same.
    squared_error  of a number of events, from its rounding.
    """

    events: FloatArray
    at_risk: FloatArray
    competing: FloatArray
    squared_error: float


def estimated(part: Part, axis: FloatArray, disclosure: Disclosure) -> Estimated:
    """Both kinds of events as `_evenly` has them."""
    half = (disclosure.floor - 1) / 2
    at_risk = np.minimum(np.where(part.at_risk > 0, part.at_risk + half, half / 2), part.patients)
    events = _evenly(part.events, part, axis, disclosure)
    none = np.zeros(len(axis))
    competing = _evenly(part.competing, part, axis, disclosure) if part.competing.any() else none
    return Estimated(events, at_risk, competing, disclosure.floor**2 / 12)


def _evenly(told: IntArray, part: Part, axis: FloatArray, disclosure: Disclosure) -> FloatArray:
    """(times,) events. They come evenly between the times at which their told number has grown.

    At such a time they have grown by half of what comes from one time to the next more than is told.
    """
    floor = disclosure.floor
    half = (floor - 1) / 2
    places, counts = [0], [0.0]
    for place in range(1, len(axis)):
        grown = float(told[place] - told[place - 1])
        if grown > 0:
            more = min(grown / (place - places[-1]), floor - 1) / 2
            places.append(place)
            counts.append(min(float(told[place]) + more, part.patients))
    last = int(np.flatnonzero(part.at_risk)[-1]) if part.at_risk.any() else 0
    if last > places[-1]:
        places.append(last)
        counts.append(max(counts[-1], min(float(told[last]) + half, part.patients)))
    return np.interp(axis, axis[places], counts)


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
    rivals = np.diff(np.sum([part.competing for part in each], axis=0)[here])
    exposed = (at_risk[:-1] + at_risk[1:] + events + rivals) / 2
    survival, by_chance = _without(events, rivals, exposed)
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


def _without(events: FloatArray, rivals: FloatArray, exposed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Who have not had the event at each time from the first on, and the variance of the logarithm of that."""
    ended = np.clip((events + rivals) / exposed, 0.0, 0.99)
    free = np.concatenate([[1.0], np.cumprod(1 - ended)])
    if not rivals.any():
        return free, np.concatenate([[0.0], np.cumsum(ended / (exposed * (1 - ended)))])
    whose = np.divide(events, events + rivals, out=np.zeros_like(events), where=events + rivals > 0)
    incidence = np.cumsum(free[:-1] * ended * whose)
    variance = incidence_variance(
        incidence, free[:-1], own=exposed * ended * whose, with_any=exposed * ended, at_risk=exposed
    )
    survival = 1 - incidence
    return np.concatenate([[1.0], survival]), np.concatenate([[0.0], np.maximum(variance, 0.0) / survival**2])


def _half(times: FloatArray, survival: FloatArray, last: float) -> float:
    """When the drawn curve has fallen to one half, in steps of the whole axis' six hundredth."""
    moments = np.linspace(0.0, last, _HALF_READ_OFF)
    moments = moments[(moments >= times[0]) & (moments <= times[-1])]
    below = np.flatnonzero(np.interp(moments, times, survival) <= 0.5)
    return float(moments[below[0]]) if len(below) else NOT_REACHED
