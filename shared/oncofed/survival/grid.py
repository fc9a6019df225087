"""On which public time axis is the hazard piecewise constant, and what does a patient add to each interval?

Promise: delayed entry and censoring inside an interval are exact, because a patient counts with the *fraction* of
the interval spent at risk. Nothing here is learned from data: the bounds come from the study's schema. Imports no
torch.

Source: Friedman, "Piecewise exponential models for survival data with covariates", Annals of Statistics 10 (1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TimeGrid:
    """Intervals (bounds[k], bounds[k+1]] of a public time axis.

    bounds  strictly increasing, first 0, in `unit`. Follow-up beyond the last bound is cut there (the event then
            counts as not observed), so choose the last bound as the longest horizon of interest.
    """

    bounds: tuple[float, ...]
    unit: str = "months"

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        if len(self.bounds) < 2 or self.bounds[0] != 0 or not rising or not np.isfinite(self.bounds).all():
            raise ValueError("a grid needs strictly increasing finite bounds that start at 0")

    @property
    def intervals(self) -> int:
        return len(self.bounds) - 1

    @property
    def widths(self) -> FloatArray:
        """(intervals,), in `unit`."""
        return np.diff(np.asarray(self.bounds, dtype=np.float64))

    def at_risk(self, entry: FloatArray, exit_: FloatArray) -> FloatArray:
        """Fraction of each interval that each patient spends under observation.

        entry, exit_  (patients,), in `unit`, 0 <= entry < exit_.
        returns       (patients, intervals), each in [0, 1].
        """
        low = np.asarray(self.bounds[:-1])
        high = np.asarray(self.bounds[1:])
        spent = np.minimum(exit_[:, None], high) - np.maximum(entry[:, None], low)
        fraction: FloatArray = np.clip(spent, 0.0, None) / self.widths
        return fraction

    def events(self, exit_: FloatArray, observed: NDArray[np.bool_]) -> FloatArray:
        """1 in the interval in which the patient's event was observed, else 0.

        exit_     (patients,), in `unit`, positive (an event at 0 lies in no interval). An event exactly at bounds[k+1]
                  belongs to interval k.
        observed  (patients,), whether the follow-up ended with the event.
        returns   (patients, intervals), at most one 1 a row; none beyond the last bound.
        """
        interval = np.searchsorted(np.asarray(self.bounds), exit_, side="left") - 1
        inside = observed & (interval >= 0) & (interval < self.intervals)
        indicator = np.zeros((len(exit_), self.intervals))
        indicator[np.flatnonzero(inside), interval[inside]] = 1.0
        return indicator
