"""The Brier score against patient-by-patient sums, without any event, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from oncofed.survival.brier import brier_score, integrated_brier_score
from oncofed.survival.kaplan_meier import censoring_distribution

EVERYBODY = np.array([True, True, True, True])
TIME = np.array([1.0, 2.0, 3.0, 4.0])
UNCENSORED = censoring_distribution(time=TIME, observed=EVERYBODY)


def test_without_censoring_it_is_the_mean_squared_error() -> None:
    survival = np.array([[0.1], [0.4], [0.8], [0.9]])
    score = brier_score(
        survival=survival, horizons=np.array([2.0]), time=TIME, observed=EVERYBODY, censoring=UNCENSORED
    )
    assert score[0] == pytest.approx((0.1**2 + 0.4**2 + 0.2**2 + 0.1**2) / 4)


def test_no_events_has_an_answer() -> None:
    """scikit-survival refuses; the formula does not: who is followed past the horizon is weighted by 1 / G."""
    censored = ~EVERYBODY
    censoring = censoring_distribution(time=TIME, observed=censored)
    score = brier_score(
        survival=np.full((4, 1), 0.7), horizons=np.array([2.0]), time=TIME, observed=censored, censoring=censoring
    )
    assert score[0] == pytest.approx(2 * 0.3**2 / 0.5 / 4)  # two of four left, G(2) = 0.5


def test_weights_undo_censoring() -> None:
    """With heavy censoring the score is near the one without any; unweighted it would not be."""
    rng = np.random.default_rng(2)
    n = 20_000
    death, censored_at = rng.exponential(10.0, n), rng.exponential(10.0, n)
    survival, horizons = np.full((n, 1), 0.2), np.array([10.0])
    full = brier_score(
        survival=survival,
        horizons=horizons,
        time=death,
        observed=np.ones(n, dtype=bool),
        censoring=censoring_distribution(time=death, observed=np.ones(n, dtype=bool)),
    )
    time, observed = np.minimum(death, censored_at), death <= censored_at
    weighted = brier_score(
        survival=survival,
        horizons=horizons,
        time=time,
        observed=observed,
        censoring=censoring_distribution(time=time, observed=observed),
    )
    unweighted = brier_score(
        survival=survival,
        horizons=horizons,
        time=time,
        observed=observed,
        censoring=censoring_distribution(time=time, observed=np.ones(n, dtype=bool)),
    )
    assert weighted[0] == pytest.approx(full[0], abs=0.01)
    assert abs(unweighted[0] - full[0]) > 0.05


def test_events_after_the_horizon_may_outlive_training() -> None:
    """Weights are needed only where they are used: a long test follow-up must not stop an early horizon."""
    censoring = censoring_distribution(time=TIME, observed=np.array([True, False, True, True]))
    long_follow_up = np.array([1.0, 2.0, 50.0, 60.0])
    score = brier_score(
        survival=np.full((4, 1), 0.5),
        horizons=np.array([1.5]),
        time=long_follow_up,
        observed=EVERYBODY,
        censoring=censoring,
    )
    assert score[0] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="training follow-up"):
        brier_score(
            survival=np.full((4, 1), 0.5),
            horizons=np.array([55.0]),
            time=long_follow_up,
            observed=EVERYBODY,
            censoring=censoring,
        )


@pytest.mark.parametrize(
    ("survival", "horizons"),
    [
        (np.full((4, 1), 0.5), np.array([4.0])),  # nobody is followed longer
        (np.full((4, 1), 0.5), np.array([-1.0])),
        (np.full((4, 2), 0.5), np.array([2.0, 1.0])),
        (np.full((4, 2), 0.5), np.array([1.0])),
        (np.full((4, 1), 1.5), np.array([1.0])),
        (np.full((4, 1), np.nan), np.array([1.0])),
    ],
)
def test_malformed_predictions_are_refused(survival: np.ndarray, horizons: np.ndarray) -> None:
    with pytest.raises(ValueError):
        brier_score(survival=survival, horizons=horizons, time=TIME, observed=EVERYBODY, censoring=UNCENSORED)


def test_an_integral_needs_two_horizons() -> None:
    with pytest.raises(ValueError, match="two horizons"):
        integrated_brier_score(
            survival=np.full((4, 1), 0.5),
            horizons=np.array([1.0]),
            time=TIME,
            observed=EVERYBODY,
            censoring=UNCENSORED,
        )
