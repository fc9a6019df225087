"""Which number of a summary of kind `calibration` means what, and how long is a patient's part of it at most?

A patient's follow-up is stopped where the final model's cumulative hazard since entry reaches `cap`
(`survival.stopped_residuals`): stopped and not cut, so observed less expected events is 0 on average where the model is
right, whatever the censoring and however late patients enter. Of an endpoint, with d_w the event in window w of time
and L_w the hazard there, both stopped, R_w = d_w - L_w, R and L the sums of these over windows, and z the log hazard
ratio less a public centre, cut to a public range and scaled to [-1, 1]:

    OVERALL  R, R z, L, L z, L z^2, weighted with OVERALL_WEIGHTS: level and slope.
    BLOCK    (rows, windows, 2): R_w and L_w, weighted with BLOCK_WEIGHTS: in a row of everybody, left out where there
             is one window, and in the row of the patient's own group, where there are several. Everybody has a row
             beside the groups, since a sum over these would have the noise of all of them.

Weights share out a patient's length. Expected events need to be known less exactly than observed less expected; and z
is seldom near 1, so its numbers are small, and the slope would drown in noise that suits the others.

The length. With p_i for the OVERALL_WEIGHTS, and a^2 and e^2 for the squared BLOCK_WEIGHTS times the number of rows in
which a patient counts (0, 1 or 2), the squared length of an endpoint's numbers is

    R^2 (p_1^2 + p_2^2 z^2) + L^2 (p_3^2 + p_4^2 z^2 + p_5^2 z^4) + sum_w (a^2 R_w^2 + e^2 L_w^2).

It grows with z^2 <= 1. There is at most one event, so d_w is 1 in at most one window; and L_w >= 0 with sum at most
cap, = c. In (L_w) it is convex, so over that simplex it is largest at a corner: no hazard at all, or all of c in one
window. With P = p_1^2 + p_2^2 and Q = p_3^2 + p_4^2 + p_5^2:

| corner                                     | squared length                                     |
|--------------------------------------------|----------------------------------------------------|
| no event, c in one window                  | c^2 (P + Q + a^2 + e^2)                            |
| the event, no hazard                       | P + a^2                                            |
| the event and c in the same window         | (1 - c)^2 (P + a^2) + c^2 (Q + e^2)                |
| the event in one window, c in another      | (1 - c)^2 P + c^2 Q + a^2 + c^2 (a^2 + e^2)        |

Endpoints are at their worst together at most: the bound of all is sqrt(endpoints) times that of one. All numbers are
divided by the bound, a constant, so sums over patients stay plain counts of events. For c = 1 it is 2.55 without a
block, 2.78 with windows, and 3 with windows and groups. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import time_faults

OVERALL_WEIGHTS = (1.0, 2.0, 0.5, 0.5, 1.0)
"""Of R, R z, L, L z, L z^2. With 1 in place of 2 and 1/2 in place of the last 1 the slope's interval (1,144 patients,
epsilon 3, `distributed`, a tenth of the budget) is wider by a tenth, and that of observed over expected narrower by a
twentieth."""
BLOCK_WEIGHTS = (1.0, 0.5)
"""Of R_w and L_w."""
OVERALL = len(OVERALL_WEIGHTS)


@dataclass(frozen=True)
class ExpectedLayout:
    """The numbers' shape. Of each endpoint OVERALL numbers and then its block, the last index fastest.

    time_bounds  (windows + 1,) rising, each a bound of the grid, the grid's first and last among them.
    groups       of patients; the first one holds those of no other.
    risks        the two log hazard ratios at which z is -1 and 1.
    cap          expected events at which a patient's follow-up ends.
    """

    endpoints: int
    time_bounds: tuple[float, ...]
    groups: int
    risks: tuple[float, float]
    cap: float

    @property
    def windows(self) -> int:
        return len(self.time_bounds) - 1

    @property
    def block(self) -> tuple[int, int, int]:
        """Rows, windows, and observed less expected (0) or expected (1)."""
        return self.rows_of_everybody + self.rows_of_groups, self.windows, 2

    @property
    def rows_of_everybody(self) -> int:
        """None where OVERALL has it already."""
        return int(self.windows > 1)

    @property
    def rows_of_groups(self) -> int:
        """They stand after that of everybody."""
        return self.groups if self.groups > 1 else 0

    @property
    def numbers(self) -> int:
        """Of an endpoint."""
        return OVERALL + math.prod(self.block)

    @property
    def cells(self) -> int:
        return self.endpoints * self.numbers

    @property
    def centre(self) -> float:
        """The log hazard ratio at which z is 0."""
        return (self.risks[0] + self.risks[1]) / 2

    @property
    def spread(self) -> float:
        """In log hazard ratio, of one unit of z."""
        return (self.risks[1] - self.risks[0]) / 2

    @property
    def bound(self) -> float:
        """The most that one patient's numbers of all endpoints together are long, before they are weighted."""
        c = self.cap
        of_residual, of_hazard = (
            sum(weight**2 for weight in part) for part in (OVERALL_WEIGHTS[:2], OVERALL_WEIGHTS[2:])
        )
        counted_in = self.rows_of_everybody + min(self.rows_of_groups, 1)
        a, e = (counted_in * weight**2 for weight in BLOCK_WEIGHTS)
        squared = max(
            c**2 * (of_residual + of_hazard + a + e),
            of_residual + a,
            (1 - c) ** 2 * (of_residual + a) + c**2 * (of_hazard + e),
            (1 - c) ** 2 * of_residual + c**2 * of_hazard + a + c**2 * (a + e),
        )
        return math.sqrt(self.endpoints * squared)

    @property
    def weight(self) -> float:
        """Of everything, so that a patient's numbers together are at most 1 long."""
        return 1 / self.bound


def expected_layout(plan: StudyPlan, spec: SummarySpec) -> ExpectedLayout:
    """The numbers that the plan asks for, where `expected_faults` finds nothing."""
    low, high = spec.edges
    groups = 1 + len(spec.group_columns)
    return ExpectedLayout(len(plan.model.endpoints), spec.time_bounds, groups, (low, high), plan.privacy.hazard_cap)


def expected_faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
    """Why it cannot be computed so, in words; empty when it can."""
    found = time_faults(spec.time_bounds, plan.model.grid)
    if len(spec.edges) != 2 or not spec.edges[0] < spec.edges[1]:
        found.append("its log hazard ratios are not two, rising")
    if any(not 0 <= column < plan.model.columns for column in spec.group_columns):
        found.append("it looks for groups in columns that are not there")
    if not found and (cells := expected_layout(plan, spec).cells) != spec.cells:
        found.append(f"it states {spec.cells} cells where its windows and groups make {cells}")
    return found


def expected_windows(grid: TimeGrid, horizon: float) -> tuple[float, ...]:
    """Bounds of three windows: to a third of the horizon, to the horizon, to the end; the nearest that the grid has."""
    third, until = (min(grid.bounds, key=lambda bound: abs(bound - wanted)) for wanted in (horizon / 3, horizon))
    return tuple(sorted({grid.bounds[0], third, until, grid.bounds[-1]}))
