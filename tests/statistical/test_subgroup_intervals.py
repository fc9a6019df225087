"""Do the intervals of all groups together hold the truth as often as they say, and are influences what they claim?

Events are drawn from the very network that is measured, so in every group as many come as it expects, and the slope
is 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from tests.pages_hospital import follow_up, hospital
from tests.unit.simulations.test_evaluation import consortium

from oncofed.cohort.encoding import encode
from oncofed.simulations.study import EvaluationSpec, Split
from oncofed.simulations.subgroups import subgroups
from oncofed.simulations.told import Told
from oncofed.survival.calibration_slope import calibration_slope
from oncofed.survival.concordance import concordance_influence
from oncofed.survival.follow_up import checked_follow_up
from oncofed.survival.simultaneous import max_t_quantile

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

EVERYBODY = hospital(1_600, seed=4)
EVALUATION = EvaluationSpec(24.0, Split.RANDOM, bootstrap_resamples=2, subgroups=("age_years", "smoker"))


@pytest.mark.slow
def test_of_100_tables_95_have_no_interval_that_misses() -> None:
    rng = np.random.default_rng(1)
    told = Told.of(EVERYBODY.network, torch.as_tensor(encode(EVERYBODY.cohort)))
    log_hazard = told.baselines[:, 0] + told.ratios[:, 0, None]
    missed: dict[str, list[bool]] = {"ratio": [], "slope": [], "ratio, each by itself": []}
    for _ in range(120):
        time, observed = follow_up(log_hazard, rng)
        exit_, events = EVERYBODY.cohort.exit.copy(), EVERYBODY.cohort.observed.copy()
        exit_[:, 0], events[:, 0] = time, observed
        cohort = replace(EVERYBODY.cohort, exit=exit_, observed=events)
        found = subgroups(EVERYBODY.network, patients=consortium(cohort), evaluation=EVALUATION, seed=1)
        groups = [
            each for each in found["overall_survival"].groups if not np.isnan([each.slope.low, each.c_index.low]).any()
        ]
        assert len(groups) >= 8
        missed["ratio"].append(
            any(not each.observed_to_expected.low <= 1 <= each.observed_to_expected.high for each in groups)
        )
        missed["slope"].append(any(not each.slope.low <= 1 <= each.slope.high for each in groups))
        narrow = [abs(np.log(each.observed_to_expected.value)) * each.events**0.5 > 1.96 for each in groups]
        missed["ratio, each by itself"].append(any(narrow))
    share = {name: float(np.mean(each)) for name, each in missed.items()}
    assert 0 < share["ratio"] < 0.1, share
    assert 0 < share["slope"] < 0.1, share
    assert share["ratio, each by itself"] > 0.2, "this is what it is for"


def test_the_quantile_is_that_of_independent_figures_and_of_one_that_is_told_twice() -> None:
    apart: FloatArray = np.kron(np.eye(12), np.ones(50)).astype(np.float64)
    expected = norm.ppf((1 + 0.95 ** (1 / 12)) / 2)  # Sidak: the largest of twelve
    assert max_t_quantile(apart, np.random.default_rng(1)) == pytest.approx(expected, abs=0.03)
    same = np.ones((12, 50))
    assert max_t_quantile(same, np.random.default_rng(1)) == pytest.approx(1.96, abs=0.03)
    assert np.isnan(max_t_quantile(np.zeros((0, 50)), np.random.default_rng(1)))


def drawn(n: int, *, late: bool) -> tuple[FloatArray, FloatArray, BoolArray, FloatArray | None]:
    """Risk, time, event, entry; some times and risks are the same."""
    rng = np.random.default_rng(3)
    risk = np.round(rng.normal(size=n), 1)
    time = np.ceil(rng.exponential(20 * np.exp(-risk))) + 1
    entry = np.where(rng.random(n) < 0.5, np.floor(time * rng.random(n)), 0.0) if late else None
    return risk, time, rng.random(n) < 0.7, entry


@pytest.mark.parametrize("late", [False, True])
def test_the_influence_on_c_is_what_it_moves_by_when_a_patient_counts_for_more(late: bool) -> None:
    risk, time, observed, entry = drawn(60, late=late)
    since = np.full(60, -1.0) if entry is None else np.where(entry > 0, entry, -1.0)

    def weighted(weights: FloatArray) -> float:
        """Pair by pair."""
        concordant = comparable = 0.0
        for i in np.flatnonzero(observed):
            for j in range(60):
                later = time[j] > time[i] or (time[j] == time[i] and not observed[j])
                if later and since[j] < time[i]:
                    comparable += weights[i] * weights[j]
                    concordant += weights[i] * weights[j] * (0.5 + 0.5 * np.sign(risk[i] - risk[j]))
        return concordant / comparable

    found = concordance_influence(risk=risk, time=time, observed=observed, entry=entry)
    step = 1e-5
    moved = [
        (weighted(np.ones(60) + step * one) - weighted(np.ones(60) - step * one)) / (2 * step) for one in np.eye(60)
    ]
    np.testing.assert_allclose(found, moved, atol=1e-7)
    assert found.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_the_influence_on_the_slope_is_what_it_moves_by_when_a_patient_counts_for_more(late: bool) -> None:
    risk, time, observed, entry = drawn(60, late=late)
    since = np.full(60, -1.0) if entry is None else np.where(entry > 0, entry, -1.0)
    horizon, predicted = 25.0, -np.expm1(-np.exp(0.5 * risk - 1))
    covariate = 0.5 * risk - 1

    def weighted(weights: FloatArray) -> float:
        """The slope at which the weighted log partial likelihood is highest: its score is 0."""

        def score(slope: float) -> float:
            total = 0.0
            for i in np.flatnonzero(observed & (time <= horizon)):
                at_risk = (time >= time[i]) & (since < time[i])
                share = weights * at_risk * np.exp(slope * covariate)
                total += weights[i] * (covariate[i] - (share @ covariate) / share.sum())
            return total

        return float(minimize_scalar(lambda slope: score(slope) ** 2, bracket=(0.5, 1.5), tol=1e-13).x)

    found = calibration_slope(horizon, predicted, checked_follow_up(time=time, observed=observed, entry=entry))
    assert found.value == pytest.approx(weighted(np.ones(60)), abs=1e-5)
    step = 1e-2
    for patient in range(0, 60, 5):
        one = np.eye(60)[patient]
        moved = (weighted(np.ones(60) + step * one) - weighted(np.ones(60) - step * one)) / (2 * step)
        assert found.influence[patient] == pytest.approx(moved, abs=1e-3)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


def test_without_pairs_or_events_nothing_moves_anything() -> None:
    time, nobody = np.array([1.0, 2.0]), np.zeros(2, dtype=np.bool_)
    assert np.isnan(concordance_influence(risk=np.zeros(2), time=time, observed=nobody)).all()
    slope = calibration_slope(5.0, np.array([0.2, 0.4]), checked_follow_up(time=time, observed=nobody))
    assert np.isnan(slope.influence).all()
