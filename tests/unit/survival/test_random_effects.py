"""Is the mean of hospitals what a published example says, and does nothing depend on how hospitals are listed?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.survival.random_effects import RandomEffects, random_effects

# The 13 trials of the vaccine against tuberculosis (Colditz et al., JAMA 271, 1994): cases, others, vaccinated first.
BCG = np.array(
    [
        (4, 119, 11, 128),
        (6, 300, 29, 274),
        (3, 228, 11, 209),
        (62, 13536, 248, 12619),
        (33, 5036, 47, 5761),
        (180, 1361, 372, 1079),
        (8, 2537, 10, 619),
        (505, 87886, 499, 87892),
        (29, 7470, 45, 7232),
        (17, 1699, 65, 1600),
        (186, 50448, 141, 27197),
        (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ],
    dtype=np.float64,
)


def log_risk_ratios() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b, c, d = BCG.T
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def found() -> RandomEffects:
    return random_effects(*(each.tolist() for each in log_risk_ratios()))


def test_the_trials_of_a_vaccine_give_the_published_figures() -> None:
    """Restricted maximum likelihood with Hartung's and Knapp's interval, as the documentation of the R package metafor
    prints them for these data.
    """
    told = found()
    assert told.between_sd**2 == pytest.approx(0.3132, abs=5e-5)
    assert told.mean == pytest.approx(-0.7145, abs=5e-5)
    assert told.standard_error == pytest.approx(0.1808, abs=5e-5)
    assert told.interval() == pytest.approx((-1.1084, -0.3206), abs=5e-5)


def test_one_more_trial_is_less_certain_than_the_mean_and_about_as_the_usual_interval_says() -> None:
    """There the spread is taken as known; with 13 trials that makes little difference."""
    told = found()
    low, high = told.prediction()
    half = 2.201 * math.hypot(0.5597, 0.1808)  # of Student's t with 11 degrees of freedom
    assert (low, high) == pytest.approx((-0.7145 - half, -0.7145 + half), abs=0.1)
    assert low < -1.1084
    assert high > -0.3206


def test_an_estimates_own_error_widens_its_prediction() -> None:
    told = found()
    widths = [high - low for low, high in (told.prediction(variance=each) for each in (0.0, 0.5, 50.0))]
    assert widths[0] < widths[1] < widths[2]
    assert widths[2] == pytest.approx(2 * 1.96 * math.sqrt(50.3), rel=0.02)  # all but its own error is small by then


def test_the_order_of_hospitals_does_not_matter() -> None:
    y, v = log_risk_ratios()
    other = np.random.default_rng(1).permutation(len(y))
    again = random_effects(y[other].tolist(), v[other].tolist())
    assert (again.mean, again.between_sd) == pytest.approx((found().mean, found().between_sd), abs=1e-12)
    assert again.prediction() == pytest.approx(found().prediction(), abs=1e-9)


def test_hospitals_that_agree_by_chance_differ_by_nothing_and_keep_their_own_errors() -> None:
    told = random_effects([0.1, 0.1, 0.1, 0.1], [0.04] * 4)
    assert told.between_sd == 0
    assert told.standard_error == pytest.approx(0.1)  # not the 0 of how little they differ
    low, high = told.prediction()
    assert low <= told.interval()[0] < told.interval()[1] <= high


def test_from_two_hospitals_there_is_a_mean_and_no_prediction() -> None:
    told = random_effects([0.0, 0.3], [0.01, 0.01])
    assert told.interval()[0] < 0.15 < told.interval()[1]
    assert all(math.isnan(each) for each in told.prediction())


@pytest.mark.parametrize(
    ("estimates", "variances"),
    [([0.1], [0.1]), ([0.1, 0.2], [0.1]), ([0.1, math.nan], [0.1, 0.1]), ([0.1, 0.2], [0.1, 0.0])],
)
def test_what_is_no_estimate_is_refused(estimates: list[float], variances: list[float]) -> None:
    with pytest.raises(ValueError, match=r"hospital|positive"):
        random_effects(estimates, variances)
