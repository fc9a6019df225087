"""What of an adjustment may patients' pages be told, that was learned from exact outcomes?

Readers of pages may know no more of this hospital's patients than groups of the smallest size, so an adjustment is put
on steps by which about so many events move it. With few events such a step is wide, and a rounded adjustment may be
worse than none: then there is nothing to adopt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oncofed.client.fit.before_after import adjustment
from oncofed.client.fit.closed_testing import AS_RELEASED, Degree, LevelAndSlope, Outcomes, best_level, gain
from oncofed.client.pages.disclosure import on_step

_LEAST_LOSS = 0.5
"""In nats: what a level that is right gains by chance, on average."""


def as_told(outcomes: Outcomes, degree: Degree, *, smallest_group: int) -> LevelAndSlope | None:
    """The best adjustment of this degree, on its steps; what rounding may be off by is part of the covariance.

    None where rounding costs more than half of the log likelihood that the adjustment gains.
    """
    if degree is Degree.NONE:
        return AS_RELEASED
    if outcomes.events.sum() < smallest_group:
        return None
    best = adjustment(outcomes, degree)
    found = _on_steps(outcomes, best, degree, smallest_group)
    gained = gain(outcomes, best)
    lost = gained - gain(outcomes, found)
    return found if lost <= max(gained / 2, _LEAST_LOSS) else None


def _on_steps(outcomes: Outcomes, best: LevelAndSlope, degree: Degree, smallest_group: int) -> LevelAndSlope:
    """The slope first. The level is the one that suits it and the middle of the told number of events.

    So it says no more of them than that number does, on a step of its own for what was expected.
    """
    observed = int(outcomes.events.sum())
    events = observed // smallest_group * smallest_group
    step, slope, slope_step = smallest_group / events, 1.0, 0.0
    if degree is Degree.LEVEL_AND_SLOPE:
        slope_step = step / float(np.sqrt(np.cov(outcomes.log_hazard_ratio, aweights=outcomes.expected)))
        slope = on_step(best.slope, slope_step)
    exact = best_level(outcomes, slope=slope).level
    level = on_step(exact + np.log((events + (smallest_group - 1) / 2) / observed), step)
    covariance = best.covariance + np.diag([2 * step**2, slope_step**2]) / 12
    return replace(best, level=level, slope=slope, covariance=covariance)
