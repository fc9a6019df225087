"""How long was each held-out patient at risk in each public time, and when did the event come? For late entry.

The table of `held_out` knows when follow-up ended and not when it began. Where patients come under observation late,
this one takes its place: by group of risk, how many patients there are, how much of each time they spent under
observation, and how many events came in it. Events over time at risk is the hazard, whenever somebody came or left; and
who is at risk in a time are those with whom an event of that time can be compared.

The length. Of an endpoint, with T times, a patient adds, in the own group's numbers alone,

    PATIENTS  1 number, PATIENTS_WEIGHT.
    AT_RISK   T numbers, each the part of the time spent at risk, in [0, 1], times AT_RISK_WEIGHT / sqrt(T).
    EVENTS    T numbers, at most one of which is not 0, and that is EVENTS_WEIGHT.

The squared length is at most PATIENTS_WEIGHT^2 + AT_RISK_WEIGHT^2 + EVENTS_WEIGHT^2 = 1, and is that of who is at risk
throughout, with the event at the very end. All of it is divided by sqrt(endpoints). Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout

FloatArray = NDArray[np.float64]

PATIENTS_WEIGHT, AT_RISK_WEIGHT, EVENTS_WEIGHT = math.sqrt(0.1), math.sqrt(0.4), math.sqrt(0.5)
"""An event is worth more than a time at risk: a hazard is their ratio, and far fewer have the event in a time than are
at risk in it, so that noise on events moves it more."""


@dataclass(frozen=True)
class AtRiskLayout:
    """The table's shape. Cells stand in the order of `shape`, the last index fastest.

    edges, time_bounds  as of `CountLayout`.
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
    def shape(self) -> tuple[int, int, int]:
        """Endpoints, groups of risk, and PATIENTS, AT_RISK and EVENTS one after the other."""
        return self.endpoints, self.groups, 1 + 2 * self.times

    @property
    def cells(self) -> int:
        return math.prod(self.shape)

    @property
    def at_risk(self) -> slice:
        return slice(1, 1 + self.times)

    @property
    def events(self) -> slice:
        return slice(1 + self.times, 1 + 2 * self.times)

    @property
    def weights(self) -> FloatArray:
        """(1 + 2 times,): what one patient, one whole time at risk and one event add to their cells."""
        each = [PATIENTS_WEIGHT, *[AT_RISK_WEIGHT / math.sqrt(self.times)] * self.times, *[EVENTS_WEIGHT] * self.times]
        return np.array(each) / math.sqrt(self.endpoints)

    def faults(self, grid: TimeGrid) -> list[str]:
        """Why these numbers cut nothing, in words."""
        return CountLayout(self.endpoints, self.edges, self.time_bounds).faults(grid)


def followed(
    layout: AtRiskLayout, grid: TimeGrid, *, log_hazard_ratio: FloatArray, events: FloatArray, at_risk: FloatArray
) -> FloatArray:
    """What each patient adds. All is done entry by entry, in one order, so that it is of one patient to the last bit.

    log_hazard_ratio  (patients, endpoints).
    events, at_risk   (patients, endpoints, intervals) on the grid, as `TimeGrid` gives them.
    returns           (patients, cells); zeros for an endpoint without a log hazard ratio, and for one of which the
                      patient was never under observation before the grid's end.
    """
    numbers = np.zeros((*events.shape[:2], 1 + 2 * layout.times))
    numbers[:, :, 0] = 1.0
    bounds, widths = np.asarray(grid.bounds), grid.widths
    places = np.searchsorted(bounds, np.asarray(layout.time_bounds))
    came = (events > 0) & (np.cumsum(events > 0, axis=2) == 1)  # one of them, whatever is asked
    for time, (begin, end) in enumerate(pairwise(places)):
        for interval in range(begin, end):
            part = np.clip(at_risk[:, :, interval], 0.0, 1.0) * (widths[interval] / (bounds[end] - bounds[begin]))
            numbers[:, :, 1 + time] += part
            numbers[:, :, 1 + layout.times + time] += came[:, :, interval]
    rows = np.zeros((len(events), *layout.shape))
    group = np.searchsorted(np.asarray(layout.edges), log_hazard_ratio, side="left")
    seen = np.any((at_risk > 0) | (events > 0), axis=2)
    patient, endpoint = np.nonzero(seen & np.isfinite(log_hazard_ratio))
    rows[patient, endpoint, group[patient, endpoint]] = numbers[patient, endpoint] * layout.weights
    return rows.reshape(len(events), layout.cells)
