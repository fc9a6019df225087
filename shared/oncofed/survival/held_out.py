"""Into which cell of a public table does each held-out patient fall?

A cell is an endpoint, a group of risk, a time at which follow-up ended, and whether it ended with the event. Groups and
times are cut by public numbers: the log hazard ratios `edges`, and `time_bounds`, which are bounds of the model's grid.
A patient counts once for each endpoint, so that a row of `counted` is at most sqrt(endpoints) long.

Not counted: who entered after the grid's first interval (alive until then by definition, which would make hazards look
small), and who was never under observation before the grid's end. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CountLayout:
    """The table's shape. Cells stand in the order of `shape`, the last index fastest.

    edges        (groups - 1,) rising log hazard ratios; a patient with exactly an edge's belongs to the group below.
    time_bounds  (times + 1,) rising, each a bound of the grid, the grid's first and last among them.
    """

    endpoints: int
    edges: tuple[float, ...]
    time_bounds: tuple[float, ...]

    @property
    def groups(self) -> int:
        return len(self.edges) + 1

    @property
    def times(self) -> int:
        return len(self.time_bounds) - 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Endpoints, groups of risk, times, and censored (0) or event (1)."""
        return self.endpoints, self.groups, self.times, 2

    @property
    def cells(self) -> int:
        return int(np.prod(self.shape))

    @property
    def weight(self) -> float:
        """What one count adds to its cell, so that a patient's counts of all endpoints together are 1 long."""
        return 1 / math.sqrt(self.endpoints)

    def faults(self, grid: TimeGrid) -> list[str]:
        """Why these numbers cut nothing, in words."""
        found = []
        if not (np.isfinite(self.edges).all() and _rising(self.edges)):
            found.append("its edges do not rise")
        return found + time_faults(self.time_bounds, grid)


def time_faults(bounds: tuple[float, ...], grid: TimeGrid) -> list[str]:
    """Why these bounds do not cut the grid's time, in words."""
    if len(bounds) < 2 or (bounds[0], bounds[-1]) != (grid.bounds[0], grid.bounds[-1]):
        return ["its times do not begin and end with the grid"]
    if not (set(bounds) <= set(grid.bounds) and _rising(bounds)):
        return ["its times are not bounds of the grid, rising"]
    return []


def _rising(numbers: tuple[float, ...]) -> bool:
    """Compared, not subtracted: the difference of two large floats overflows."""
    return all(first < second for first, second in pairwise(numbers))


def counted(
    layout: CountLayout, grid: TimeGrid, *, log_hazard_ratio: FloatArray, events: FloatArray, at_risk: FloatArray
) -> FloatArray:
    """What each patient adds.

    log_hazard_ratio  (patients, endpoints).
    events, at_risk   (patients, endpoints, intervals) on the grid, as `TimeGrid` gives them.
    returns           (patients, cells), `layout.weight` in one cell for each endpoint that counts, else 0.
    """
    patients, _, intervals = events.shape
    rows = np.zeros((patients, *layout.shape))
    group = np.searchsorted(np.asarray(layout.edges), log_hazard_ratio, side="left")
    seen = (at_risk > 0) | (events > 0)
    last = intervals - 1 - np.argmax(seen[:, :, ::-1], axis=2)
    observed = np.any(events > 0, axis=2)
    time = np.searchsorted(np.asarray(layout.time_bounds), np.asarray(grid.bounds)[last + 1], side="left") - 1
    patient, endpoint = np.nonzero(seen[:, :, 0] & np.isfinite(log_hazard_ratio))
    place = (patient, endpoint)
    rows[patient, endpoint, group[place], time[place], observed[place].astype(np.int64)] = layout.weight
    return rows.reshape(patients, layout.cells)
