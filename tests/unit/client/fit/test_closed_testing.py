"""Is what the closed test looks at the likelihood ratio, and is what cannot be told not a number?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2

from oncofed.client.fit.closed_testing import Degree, Outcomes, choose, level_and_slope

FloatArray = NDArray[np.float64]


def drawn(seed: int, *, patients: int = 200, level: float = 1.0, slope: float = 1.0) -> Outcomes:
    """Patients who are followed as long as the model would expect 0.6 events of the middle one, or until one comes."""
    rng = np.random.default_rng(seed)
    f = rng.normal(0.5, 0.8, patients)
    needed = rng.exponential(size=patients) / (level * np.exp(slope * f))
    return Outcomes(f, (needed <= 0.6).astype(float), np.exp(f) * np.minimum(needed, 0.6))


def log_likelihood(theta: FloatArray, found: Outcomes) -> float:
    """Of events, each with its hazard; constants left out."""
    hazard = theta[0] + (theta[1] - 1) * found.log_hazard_ratio
    return float((found.events * hazard - found.expected * np.exp(hazard)).sum())


def highest(found: Outcomes, *, with_slope: bool) -> FloatArray:
    """Where the likelihood is highest, found slowly."""

    def loss(free: FloatArray) -> float:
        return -log_likelihood(free if with_slope else np.array([free[0], 1.0]), found)

    best = minimize(loss, [0.0, 1.0] if with_slope else [0.0], tol=1e-12).x
    return np.asarray(best if with_slope else [best[0], 1.0])


def slowly(found: Outcomes) -> tuple[float, float, float]:
    """The highest log likelihood with nothing, the level, and both free."""
    level, both = (log_likelihood(highest(found, with_slope=each), found) for each in (False, True))
    return log_likelihood(np.array([0.0, 1.0]), found), level, both


@pytest.mark.parametrize("seed", range(4))
def test_both_p_values_are_those_of_likelihood_ratios_found_slowly(seed: int) -> None:
    causes = [drawn(seed, slope=0.7), drawn(seed + 50, level=1.3)]
    nothing, level, both = (sum(each) for each in zip(*map(slowly, causes), strict=True))
    found = choose(causes)
    assert found.p_any == pytest.approx(chi2.sf(2 * (both - nothing), 4), rel=1e-4)
    assert found.p_slope == pytest.approx(chi2.sf(2 * (both - level), 2), rel=1e-4)
    alone = choose(causes[:1])
    nothing, level, both = slowly(causes[0])
    assert alone.p_any == pytest.approx(chi2.sf(2 * (both - nothing), 2), rel=1e-4)
    assert alone.p_slope == pytest.approx(chi2.sf(2 * (both - level), 1), rel=1e-4)


@pytest.mark.parametrize(
    ("level", "slope", "degree"),
    [(1.0, 1.0, Degree.NONE), (1.7, 1.0, Degree.LEVEL), (1.7, 0.4, Degree.LEVEL_AND_SLOPE)],
)
def test_the_degree_is_what_differs(level: float, slope: float, degree: Degree) -> None:
    assert choose([drawn(1, patients=1500, level=level, slope=slope)]).degree is degree


def test_the_slope_is_taken_only_after_both_tests() -> None:
    """A slope that looks wrong by itself, where both together may be chance, is left alone."""
    for seed in range(400):
        found = choose([drawn(seed, patients=60)])
        if found.p_any >= 0.05 > found.p_slope:
            assert found.degree is Degree.NONE
            return
    pytest.fail("no such draw: look for another seed")


def test_level_and_slope_are_where_the_likelihood_is_highest() -> None:
    found = drawn(3, level=0.5, slope=1.6)
    best = highest(found, with_slope=True)
    at = level_and_slope(found)
    alpha, slope = at.level, at.slope
    np.testing.assert_allclose([alpha, slope], best, atol=1e-5)
    step = 1e-3 * np.eye(2)

    def curvature(i: int, j: int) -> float:
        signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
        moved = (a * b * log_likelihood(best + a * step[i] + b * step[j], found) for a, b in signs)
        return -sum(moved) / 4e-6

    information = np.array([[curvature(i, j) for j in range(2)] for i in range(2)])
    np.testing.assert_allclose(at.covariance, np.linalg.inv(information), rtol=1e-3)
    assert at.slope_deviation == pytest.approx(at.covariance[1, 1] ** 0.5)


def test_what_cannot_be_told_is_not_a_number_and_adjusts_no_slope() -> None:
    found = drawn(4)
    alike = Outcomes(np.full(200, 0.3), found.events, found.expected)
    nobody = Outcomes(found.log_hazard_ratio, np.zeros(200), found.expected)
    for each in (alike, nobody):
        assert np.isnan([level_and_slope(each).level, level_and_slope(each).slope]).all()
        assert choose([each]).degree in (Degree.NONE, Degree.LEVEL)
    none_came = choose([nobody])
    assert none_came.p_any == pytest.approx(chi2.sf(2 * found.expected.sum(), 2))
    assert none_came.p_slope == 1.0
