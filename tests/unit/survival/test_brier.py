"""The Brier score against patient-by-patient sums, without any event, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from oncofed.survival.brier import brier_score, integrated_brier_score
from oncofed.survival.censoring import CensoringByGroup, censoring_by_hospital
from oncofed.survival.kaplan_meier import KaplanMeier, censoring_distribution

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


# Against what is true of patients whose whole course is known


def courses(patients: int = 200_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log hazard ratios; times of event and of censoring, in months."""
    rng = np.random.default_rng(1)
    ratio = rng.normal(0, 0.7, patients)
    return ratio, 40 * rng.exponential(size=patients) / np.exp(ratio), rng.exponential(30, patients)


@pytest.mark.parametrize("months", [1, 3, 6])
def test_coarse_times_change_nothing(months: int) -> None:
    """Whoever has the event in the month of another's censoring had it first. With the probability of being followed
    after the event's time instead, the score would be 0.003, 0.010 and 0.019 too high.
    """
    ratio, event, censored = courses()
    survival = np.exp(-36 * np.exp(ratio) / 40)
    truth = np.mean((survival - (event > 36)) ** 2)
    event, censored = (np.ceil(each / months) * months for each in (event, censored))
    time, observed = np.minimum(event, censored), event <= censored
    censoring = censoring_distribution(time=time, observed=observed)
    score = brier_score(
        survival=survival[:, None], horizons=np.array([36.0]), time=time, observed=observed, censoring=censoring
    )
    assert score[0] == pytest.approx(truth, abs=0.0015)


def test_hospitals_that_cut_their_data_at_other_times_are_weighed_by_their_own_curves() -> None:
    rng = np.random.default_rng(7)
    recent = rng.random(100_000) < 0.5
    ratio = rng.normal(0, 0.7, len(recent)) + np.where(recent, 0.8, -0.4)  # the sicker patients came lately
    event = 60 * rng.exponential(size=len(recent)) / np.exp(ratio)
    censored = np.where(recent, rng.uniform(6, 40, len(recent)), rng.uniform(40, 90, len(recent)))
    time, observed = np.minimum(event, censored), event <= censored
    survival = np.exp(-36 * np.exp(ratio) / 60)
    truth = np.mean((survival - (event > 36)) ** 2)

    def score(censoring: KaplanMeier | CensoringByGroup) -> float:
        return float(
            brier_score(
                survival=survival[:, None], horizons=np.array([36.0]), time=time, observed=observed, censoring=censoring
            )[0]
        )

    sites = np.where(recent, "recent", "early")
    training = {name: (time[sites == name], observed[sites == name]) for name in ("early", "recent")}
    assert score(censoring_by_hospital(training, sites, until=36.0)) == pytest.approx(truth, abs=0.004)
    assert score(censoring_distribution(time=time, observed=observed)) < truth - 0.015


def test_hospitals_with_hardly_anybody_followed_share_a_curve_and_who_has_none_gets_that_of_the_rest() -> None:
    long, short = np.linspace(1, 60, 100), np.linspace(1, 20, 50)
    training = {
        "long": (long, np.zeros(100, dtype=bool)),
        "also": (long[:80], np.zeros(80, dtype=bool)),
        "short": (short, np.zeros(50, dtype=bool)),
    }
    found = censoring_by_hospital(training, np.array(["short", "long", "unknown", "also"]), until=36.0)
    assert found.of.tolist() == [0, 1, 0, 2]
    assert not np.isnan(found.at(np.array([36.0]))).any(), "the common curve is everybody's where the rest ends early"
