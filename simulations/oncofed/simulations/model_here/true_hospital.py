"""A hospital whose patients' hazard is known, because it is what draws their events: the truth for `client.fit`.

The hazard of a patient is that of the interval, times exp(slope f), times a level; from a day on it may be so many
times as high. Patients come at random days. Of most, observation begins late (at sequencing, say), and who died before
is never seen; they leave at random, the ill sooner, and at the data cut. Nothing here is computed by the code that is
judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

DAYS_A_MONTH = 30.4375
DAYS_A_YEAR = 365.25
GRID = TimeGrid((0.0, 3.0, 6.0, 12.0, 24.0, 36.0, 60.0))
_LATE, _LATEST_MONTHS = 0.6, 6.0
_LEAVES_A_MONTH, _ILL_LEAVE = 0.008, 0.5
_AFTER_THE_GRID = 6000.0


@dataclass(frozen=True, eq=False)
class Patients:
    """(patients,) each. zero_days: ordinals. entry, exit: months since time zero."""

    log_hazard_ratio: FloatArray
    zero_days: FloatArray
    entry: FloatArray
    exit: FloatArray
    observed: NDArray[np.bool_]

    def rows(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Patients:
        return Patients(
            self.log_hazard_ratio[rows], self.zero_days[rows], self.entry[rows], self.exit[rows], self.observed[rows]
        )


@dataclass(frozen=True)
class TrueHospital:
    """monthly_hazard  (intervals,), of a model that is right where level and slope are 1. spread: sd of f.

    level, slope  of this hospital against the model.
    change_day    from this ordinal on the hazard is `change` times as high.
    """

    monthly_hazard: tuple[float, ...]
    spread: float = 0.7
    level: float = 1.0
    slope: float = 1.0
    change_day: float = np.inf
    change: float = 1.0

    @property
    def log_baseline_hazard(self) -> FloatArray:
        """(intervals,), as the model has it."""
        return np.log(np.array(self.monthly_hazard) * GRID.widths)

    def patients(self, rng: np.random.Generator, a_year: float, *, first_day: float, cut: float) -> Patients:
        """All who came under observation, as the table has them on the day of the cut. a_year: diagnosed."""
        count = int(rng.poisson(a_year * (cut - first_day) / DAYS_A_YEAR))
        zero = np.sort(rng.uniform(first_day, cut, count))
        f = rng.normal(0, self.spread, count)
        event = self._event_months(f, zero, rng.exponential(size=count))
        leaves = rng.exponential(size=count) / (_LEAVES_A_MONTH * np.exp(_ILL_LEAVE * f))
        seen = np.minimum(leaves, (cut - zero) / DAYS_A_MONTH)
        entry = np.where(rng.random(count) < _LATE, rng.uniform(0, _LATEST_MONTHS, count), 0.0)
        exit_ = np.minimum(event, seen)
        return Patients(f, zero, entry, exit_, event <= seen).rows(exit_ > entry)

    def _event_months(self, f: FloatArray, zero: FloatArray, needed: FloatArray) -> FloatArray:
        """When the hazard that a patient has lived through reaches what it takes."""
        knots = np.array([*GRID.bounds, _AFTER_THE_GRID])
        rates = np.array([*self.monthly_hazard, self.monthly_hazard[-1]])
        lived = np.concatenate(([0.0], np.cumsum(rates * np.diff(knots))))
        target = needed / (self.level * np.exp(self.slope * f))
        until_change = np.interp(np.maximum(self.change_day - zero, 0.0) / DAYS_A_MONTH, knots, lived)
        target = np.where(target <= until_change, target, until_change + (target - until_change) / self.change)
        return np.asarray(np.interp(target, lived, knots, right=np.inf))

    def true_hazard(self, found: Patients) -> FloatArray:
        """(patients, intervals), of whole intervals, without a change."""
        log_hazard = self.log_baseline_hazard + np.log(self.level) + self.slope * found.log_hazard_ratio[:, None]
        return np.asarray(np.exp(log_hazard))

    def changed(self, day: float, times: float) -> TrueHospital:
        """The same, from a day on with so many times the hazard."""
        return replace(self, change_day=day, change=times)


ADVANCED = TrueHospital((0.05, 0.045, 0.04, 0.03, 0.02, 0.015))
"""About two thirds have died after two years, as of mixed advanced tumours."""
EARLY = TrueHospital((0.008, 0.010, 0.012, 0.012, 0.010, 0.008))
"""About a quarter have died after two years."""
