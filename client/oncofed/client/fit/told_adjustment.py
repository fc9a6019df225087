"""What of an adjustment may patients' pages be told, that was learned from exact outcomes?

Readers of pages may know no more of this hospital's patients than groups of the smallest size, so an adjustment is put
on steps by which about so many events move it. With few events such a step is wide, and a rounded adjustment may be
worse than none: then there is nothing to adopt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.client.fit.before_after import adjustment
from oncofed.client.fit.closed_testing import AS_RELEASED, Degree, LevelAndSlope, Outcomes, best_level, gain
from oncofed.client.pages.disclosure import on_step

_OF_MOMENTS = 0.05
"""The step of mean and standard deviation of a log hazard ratio."""
_LEAST_LOSS = 0.5
"""In nats: what a level that is right gains by chance, on average."""


def as_told(outcomes: Outcomes, degree: Degree, *, smallest_group: int) -> LevelAndSlope | None:
    """The best adjustment of this degree, on its steps.

    Its covariance follows from the told number of events and coarse moments of the log hazard ratio, so that limits
    tell no more than level and slope do; what rounding may be off by is part of it.

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
    f, observed = outcomes.log_hazard_ratio, int(outcomes.events.sum())
    events = observed // smallest_group * smallest_group
    middle = events + (smallest_group - 1) / 2
    step, slope, slope_step = smallest_group / events, 1.0, 0.0
    mean = on_step(float(np.average(f, weights=outcomes.expected)), _OF_MOMENTS)
    spread = max(on_step(float(np.sqrt(np.cov(f, aweights=outcomes.expected))), _OF_MOMENTS), _OF_MOMENTS)
    if degree is Degree.LEVEL_AND_SLOPE:
        slope_step = step / spread
        slope = on_step(best.slope, slope_step)
    exact = best_level(outcomes, slope=slope).level
    level = on_step(exact + np.log(middle / observed), step)
    covariance = _covariance(middle, mean, spread, degree) + np.diag([2 * step**2, slope_step**2]) / 12
    return LevelAndSlope(level, slope, covariance)


def _covariance(events: float, mean: float, spread: float, degree: Degree) -> NDArray[np.float64]:
    """Of level and slope, from so many events whose log hazard ratios have this mean and standard deviation."""
    if degree is Degree.LEVEL:
        return np.diag([1 / events, 0.0])
    of_slope = 1 / (events * spread**2)
    return np.array([[1 / events + mean**2 * of_slope, -mean * of_slope], [-mean * of_slope, of_slope]])
