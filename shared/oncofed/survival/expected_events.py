"""How many events did a model expect in the follow-up of some patients, and how many came?

Each patient counts from entry to the end of follow-up, in each window of time, with the model's own hazard. The number
expected is right on average whatever the censoring and however late patients entered, for observed minus expected is
a martingale. So groups and windows may be looked at by themselves, which neither a C-index nor one ratio at one horizon
can replace: a model with one shape of hazard for all tumours may be right on the whole and wrong by a factor of two in
each of them.

Intervals are exact for a Poisson number of events. Predictions are taken as they are: nothing of how they were learned
is in an interval.

Sources: Andersen, Borgan, Gill and Keiding, Statistical Models Based on Counting Processes (1993), chapter 6; Crowson,
Atkinson and Therneau, Stat. Methods Med. Res. 25 (2016); Garwood, Biometrika 28 (1936), the interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrc
from scipy.stats import chi2

from oncofed.survival.follow_up import BoolArray, FloatArray
from oncofed.survival.grid import TimeGrid


@dataclass(frozen=True)
class Expected:
    """observed  events. expected  by the model, in the same follow-up."""

    observed: int
    expected: float

    @property
    def ratio(self) -> float:
        """Observed over expected: 1 is right, above 1 the model is too hopeful. NaN where nothing was expected."""
        return self.observed / self.expected if self.expected > 0 else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Limits of the ratio."""
        if not self.expected > 0:
            return float("nan"), float("nan")
        tail = (1 - level) / 2
        low = chi2.ppf(tail, 2 * self.observed) / 2 if self.observed else 0.0
        return float(low / self.expected), float(chi2.ppf(1 - tail, 2 * self.observed + 2) / 2 / self.expected)

    @property
    def p_value(self) -> float:
        """Two-sided, that the model is right."""
        fewer = pdtr(self.observed, self.expected)
        more = pdtrc(self.observed - 1, self.expected) if self.observed else 1.0
        return float(min(1.0, 2 * min(fewer, more)))


@dataclass(frozen=True)
class ExpectedOfGroup:
    """name  of the group. windows  one a window of time, in order."""

    name: str
    patients: int
    windows: tuple[Expected, ...]

    @property
    def all_along(self) -> Expected:
        return Expected(sum(each.observed for each in self.windows), float(sum(each.expected for each in self.windows)))


def expected_events(
    log_hazard_ratio: FloatArray,
    *,
    log_baseline_hazard: FloatArray,
    grid: TimeGrid,
    bounds: tuple[float, ...],
    entry: FloatArray,
    exit_: FloatArray,
    observed: BoolArray,
    groups: dict[str, NDArray[np.bool_]],
) -> tuple[ExpectedOfGroup, ...]:
    """Counts of each group in each window (bounds[k], bounds[k + 1]].

    log_hazard_ratio, entry, exit_, observed  (patients,). log_baseline_hazard  (intervals,) of the grid, or
              (patients, intervals) where each has a course of its own.
    bounds  rising, from 0 to the grid's last bound at most.
    groups  by name, (patients,) each; a patient may be in several.
    """
    hazard = np.exp(log_baseline_hazard)
    expected, came = [], []
    for begin, end in pairwise(bounds):
        spent = grid.at_risk(np.maximum(entry, begin), np.minimum(exit_, end))
        expected.append(
            np.exp(log_hazard_ratio) * (spent @ hazard if hazard.ndim == 1 else (spent * hazard).sum(axis=1))
        )
        came.append(observed & (exit_ > begin) & (exit_ <= end))
    return tuple(
        ExpectedOfGroup(
            name,
            int(rows.sum()),
            tuple(
                Expected(int(event[rows].sum()), float(number[rows].sum()))
                for number, event in zip(expected, came, strict=True)
            ),
        )
        for name, rows in groups.items()
    )
