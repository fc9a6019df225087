"""How did a group of this hospital's patients fare? In aggregate only, and only for a group that is large enough.

Kaplan-Meier, told at those times of a public axis that `disclosure` allows: each after enough more events that none of
them can be told apart, and no further than enough patients are under observation. No number of patients or events is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.disclosure import survival as rounded_survival
from oncofed.client.pages.wording import time
from oncofed.cohort.cohort import Cohort
from oncofed.survival.curves import NOT_REACHED
from oncofed.survival.grid import TimeGrid
from oncofed.survival.kaplan_meier import kaplan_meier

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_POINTS = 60


@dataclass(frozen=True, eq=False)
class GroupOutcome:
    """times   (times,), rising, from 0 or from when enough are under observation.

    survival, low, high  (times,), Kaplan-Meier with pointwise 95 % limits; low and high NaN where they are not known.
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


def group_outcome(
    name: str, cohort: Cohort, rows: BoolArray, *, endpoint: int, grid: TimeGrid, disclosure: Disclosure
) -> GroupOutcome | None:
    """None for a group of which nothing may be told, or when too few of it are ever observed at one time."""
    if not disclosure.told(int(rows.sum())):
        return None
    entry, exit_ = cohort.entry[rows, endpoint], cohort.exit[rows, endpoint]
    observed = cohort.observed[rows, endpoint] & (exit_ <= grid.bounds[-1])
    axis = np.linspace(0.0, grid.bounds[-1], _POINTS + 1)
    entered = (entry[None, :] < axis[:, None]) | (entry[None, :] == 0)
    at_risk = (entered & (exit_[None, :] >= axis[:, None])).sum(axis=1).astype(np.float64)
    events = (observed[None, :] & (exit_[None, :] <= axis[:, None])).sum(axis=1)
    times = axis[disclosure.moments(events, at_risk)]
    if not len(times):
        return None
    curve = kaplan_meier(time=exit_, observed=observed, entry=entry)
    low, high = curve.interval_at(times)
    survival = rounded_survival(curve.at(times))
    return GroupOutcome(
        name=name,
        times=times,
        survival=survival,
        low=rounded_survival(low),
        high=rounded_survival(high),
        median=_half(times, survival, axis),
    )


def _half(times: FloatArray, survival: FloatArray, axis: FloatArray) -> float:
    """When the drawn curve has fallen to one half, on the public axis."""
    below = np.flatnonzero(np.interp(axis, times, survival, left=1.0, right=1.0) <= 0.5)
    return float(axis[below[0]]) if len(below) else NOT_REACHED
