"""How much of a released model is to be adjusted to this hospital: nothing, its level, or its level and slope?

The log hazard of a patient becomes alpha + s f + b_k. As released alpha is 0 and s is 1. "Level" frees alpha: all
hazards are higher or lower here by one factor. "Level and slope" frees s, too: high and low risks lie further apart
here, or closer together.

**Closed testing.** The freest of the three is tested against the model as released, by its likelihood ratio. If that
says nothing, nothing is adjusted. Else it is tested against the level alone, and the slope is taken only if that says
something, too. So a model that is right here is adjusted once in twenty hospitals at most, although two things are
looked at; and a hospital with few events is left alone, or its level is adjusted, where a slope of its own would be
mostly chance. Of endpoints that rule each other out, what comes of all of them follows from each: they are one
question, whose likelihood is the product of theirs.

Patients must be those from whom the model did not learn (see `pages.recalibration`). Delayed entry and censoring are in
the likelihood: a patient counts while under observation.

Sources: Vergouwe, Nieboer, Oostenbrink, Debray, Murray, Kattan, Koffijberg, Moons and Steyerberg, Statistics in
Medicine 36 (2017) 4529, the closed procedure; Marcus, Peritz and Gabriel, Biometrika 63 (1976), closed testing;
van Houwelingen, Statistics in Medicine 19 (2000), level and slope of a survival model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

FloatArray = NDArray[np.float64]

ALPHA = 0.05
_MOST_STEPS, _CONVERGED, _LARGEST_STEP = 100, 1e-9, 1.0


class Degree(StrEnum):
    """Of an adjustment, from least to most."""

    NONE = "none"
    LEVEL = "level"
    LEVEL_AND_SLOPE = "level and slope"


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of patients, and what was expected of them, for one endpoint.

    log_hazard_ratio  (patients,), f.
    events            (patients,), 1 where follow-up ended with one in the grid.
    expected          (patients,), by the model, in each one's own follow-up: sum_k p_k exp(b_k + f).
    """

    log_hazard_ratio: FloatArray
    events: FloatArray
    expected: FloatArray

    def rows(self, rows: NDArray[np.bool_]) -> Outcomes:
        return Outcomes(self.log_hazard_ratio[rows], self.events[rows], self.expected[rows])


@dataclass(frozen=True)
class Choice:
    """p_any: that nothing differs here. p_slope: that, if anything does, the level alone does."""

    degree: Degree
    p_any: float
    p_slope: float


def choose(causes: Sequence[Outcomes], *, alpha: float = ALPHA) -> Choice:
    """The degree for endpoints that are adjusted together: one, or all that rule each other out."""
    level, both = (sum(gains) for gains in zip(*(_gains(each) for each in causes), strict=True))
    p_any = float(chdtrc(2 * len(causes), 2 * max(both, 0.0)))
    p_slope = float(chdtrc(len(causes), 2 * max(both - level, 0.0)))
    if p_any >= alpha:
        return Choice(Degree.NONE, p_any, p_slope)
    return Choice(Degree.LEVEL_AND_SLOPE if p_slope < alpha else Degree.LEVEL, p_any, p_slope)


def _gains(found: Outcomes) -> tuple[float, float]:
    """By how much the log likelihood rises with the best level, and with the best level and slope."""
    observed, expected = float(found.events.sum()), float(found.expected.sum())
    level = observed * np.log(observed / expected) - (observed - expected) if observed else expected
    best = level_and_slope(found)
    both = gain(found, best)
    return float(level), max(float(level), both) if np.isfinite(both) else float(level)


@dataclass(frozen=True, eq=False)
class LevelAndSlope:
    """level: alpha, the log of a factor on all hazards. slope: s. covariance  (2, 2), of both, in this order."""

    level: float
    slope: float
    covariance: FloatArray

    @property
    def slope_deviation(self) -> float:
        return float(np.sqrt(self.covariance[1, 1]))


def gain(found: Outcomes, by: LevelAndSlope) -> float:
    """By how much the log likelihood (Poisson) rises above that of the model as released."""
    shift = by.level + (by.slope - 1) * found.log_hazard_ratio
    return float((found.events * shift).sum() - (found.expected * np.expm1(shift)).sum())


AS_RELEASED = LevelAndSlope(0.0, 1.0, np.zeros((2, 2)))
_NOT_KNOWN = LevelAndSlope(float("nan"), float("nan"), np.full((2, 2), np.nan))


def best_level(found: Outcomes, *, slope: float = 1.0) -> LevelAndSlope:
    """Where the likelihood is highest with this slope. There is at least one event."""
    observed = float(found.events.sum())
    expected = float((found.expected * np.exp((slope - 1) * found.log_hazard_ratio)).sum())
    return LevelAndSlope(float(np.log(observed / expected)), slope, np.diag([1 / observed, 0.0]))


def level_and_slope(found: Outcomes) -> LevelAndSlope:
    """Where the likelihood is highest, and the inverse of its information there; NaN where there is no such place.

    A Poisson model of events with the expected ones as offset. Damped Newton steps; an endless slope (perfectly parted
    patients) and equal predictions are NaN.
    """
    centre = float(found.log_hazard_ratio.mean())
    f = found.log_hazard_ratio - centre
    observed = float(found.events.sum())
    if observed == 0 or not np.ptp(f) > 0:
        return _NOT_KNOWN
    theta = np.array([np.log(observed / found.expected.sum()), 0.0])
    design = np.column_stack((np.ones(len(f)), f))
    for _ in range(_MOST_STEPS):
        expected = found.expected * np.exp(design @ theta)
        information = design.T @ (expected[:, None] * design)
        step = np.linalg.solve(information, design.T @ (found.events - expected))
        theta = theta + step * min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < _CONVERGED:
            to_origin = np.array([[1.0, -centre], [0.0, 1.0]])
            covariance = to_origin @ np.linalg.inv(information) @ to_origin.T
            return LevelAndSlope(float(theta[0] - theta[1] * centre), float(1 + theta[1]), covariance)
    return _NOT_KNOWN
