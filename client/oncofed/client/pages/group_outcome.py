"""How did a group of this hospital's patients fare? In aggregate only, and only for a group that is large enough.

Kaplan-Meier on a fixed time axis, so that no step tells the day of one patient's death, and no further than there are
as many patients under observation as the floor asks for. Counts below the floor are said to be small, no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """times   (times,), from 0, no further than the floor's patients are at risk.

    survival, low, high  (times,), Kaplan-Meier with pointwise 95 % limits; low and high NaN where they are not known.
    at_risk   (times,), under observation just before each time; at least the floor.
    median    in the grid's unit, or NOT_REACHED within `times`, which may end long before the grid does.
    """

    name: str
    patients: int
    events: int
    times: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: FloatArray
    median: float

    @property
    def has_curve(self) -> bool:
        """Not when so few are left after the first moment that there is nothing to draw."""
        return len(self.times) > 1

    def median_words(self, unit: str) -> str:
        """A median that lies beyond what may be shown is not said to be unreached."""
        if not self.has_curve:
            return "not known: too few were followed"
        if self.median != NOT_REACHED:
            return time(self.median, unit)
        return f"not reached by {time(float(self.times[-1]), unit)}"


def group_outcome(
    name: str, cohort: Cohort, rows: BoolArray, *, endpoint: int, grid: TimeGrid, floor: int
) -> GroupOutcome | None:
    """None for fewer patients than the floor, or when they are never that many at one time."""
    if int(rows.sum()) < floor:
        return None
    entry, exit_ = cohort.entry[rows, endpoint], cohort.exit[rows, endpoint]
    observed = cohort.observed[rows, endpoint] & (exit_ <= grid.bounds[-1])
    times = np.linspace(0.0, grid.bounds[-1], _POINTS + 1)
    entered = (entry[None, :] < times[:, None]) | (entry[None, :] == 0)
    at_risk = (entered & (exit_[None, :] >= times[:, None])).sum(axis=1).astype(np.float64)
    enough = np.flatnonzero(at_risk >= floor)
    if not len(enough):
        return None
    # With delayed entry few may be under observation at first: what comes before the floor is met is left out, too.
    begin = int(enough[0])
    stop = begin + int(np.argmin(np.append(at_risk[begin:] >= floor, False)))
    kept = slice(begin, stop)
    curve = kaplan_meier(time=exit_, observed=observed, entry=entry)
    low, high = curve.interval_at(times[kept])
    survival = curve.at(times[kept])
    below = np.flatnonzero(survival <= 0.5)
    return GroupOutcome(
        name=name,
        patients=int(rows.sum()),
        events=int(observed.sum()),
        times=times[kept],
        survival=survival,
        low=low,
        high=high,
        at_risk=at_risk[kept],
        median=float(times[kept][below[0]]) if len(below) else NOT_REACHED,
    )
