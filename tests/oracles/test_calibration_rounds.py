"""Do calibration rounds set level and spread of risks right, from rows that are bounded and a patient's own affair?

Patients are drawn from a known hazard; the model that is set right is the truth with wrong level and spread.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, local_privacy, model_spec, no_privacy, study_plan
from tests.oracles.test_stopped_residuals import TRUE_WEIGHTS, TRUTH, drawn_from_the_truth, outcomes

from oncofed.client.patients import calibration_sums
from oncofed.client.patients.calibration_sums import calibration_rows, calibration_sum
from oncofed.protocol.calibration_layout import calibration_numbers
from oncofed.protocol.plan import TrainingSpec
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]

PLAN = study_plan(model=TRUTH, training=TrainingSpec(rounds=10, calibration_rounds=3), privacy=no_privacy())
INTERVALS = TRUTH.grid.intervals


def distorted(*, level: float, spread: float) -> FloatArray:
    weights = TRUE_WEIGHTS.copy()
    weights[:INTERVALS] += level / TRUTH.baseline_weight
    weights[INTERVALS:] *= spread
    return weights


def set_right(weights: FloatArray, *, noise: float, rounds: int = 3, patients: int = 6000, seed: int = 1) -> FloatArray:
    drawn, rng = drawn_from_the_truth(patients, seed=seed), np.random.default_rng(seed)
    for number in range(1, rounds + 1):
        sums = calibration_sum(PLAN, weights, drawn).vector
        weights = recalibrated(
            weights,
            sums + noise * rng.standard_normal(len(sums)),
            model=TRUTH,
            calibration_round=number,
            noise=noise,
        )
    return weights


@pytest.mark.parametrize("noise", [0.0, 30.0])
@pytest.mark.parametrize(("level", "spread"), [(0.3, 1.6), (-0.4, 0.6), (0.0, 1.0)])
def test_level_and_spread_become_the_true_ones(level: float, spread: float, noise: float) -> None:
    reached = set_right(distorted(level=level, spread=spread), noise=noise)
    factor = reached[INTERVALS:] / TRUE_WEIGHTS[INTERVALS:]
    assert factor == pytest.approx(np.full(3, factor[0]), rel=1e-12)  # and the order by risk is as it was
    assert factor[0] == pytest.approx(1.0, abs=0.08)
    moved = TRUTH.baseline_weight * (reached[:INTERVALS] - TRUE_WEIGHTS[:INTERVALS])
    assert moved == pytest.approx(np.full(INTERVALS, moved[0]), abs=1e-12)
    assert moved[0] == pytest.approx(0.0, abs=0.08)


def test_later_rounds_lessen_the_noise() -> None:
    def error(rounds: int) -> float:
        found = [set_right(TRUE_WEIGHTS, noise=150.0, rounds=rounds, seed=seed)[-1] for seed in range(24)]
        return float(np.std(np.array(found) / TRUE_WEIGHTS[-1]))

    assert error(6) < 0.75 * error(1)


def test_where_noise_drowns_the_sums_nothing_moves() -> None:
    weights = distorted(level=0.0, spread=1.0)
    sums = np.zeros(TRUTH.parameters)
    sums[:5] = 1e4
    moved = recalibrated(weights, sums, model=TRUTH, calibration_round=1, noise=1e9)
    np.testing.assert_allclose(moved, weights, atol=1e-3)


@pytest.mark.parametrize("absurd", [1e300, -1e300, 1e9, -1e9, math.inf, math.nan])
@pytest.mark.parametrize("calibration_round", [1, 3])
def test_absurd_sums_move_by_one_step_at_most_and_keep_the_order(absurd: float, calibration_round: int) -> None:
    sums = np.full(TRUTH.parameters, absurd)
    for sign in (1.0, -1.0):
        sums[1] *= sign
        moved = recalibrated(TRUE_WEIGHTS, sums, model=TRUTH, calibration_round=calibration_round, noise=1.0)
        factor = moved[INTERVALS:] / TRUE_WEIGHTS[INTERVALS:]
        assert 0.29 < factor[0] < 1.71
        assert np.isfinite(moved).all()


@pytest.mark.parametrize("units", [(), (4,), (5, 3)])
@pytest.mark.parametrize("linear", [True, False])
def test_each_endpoints_log_hazard_ratio_is_scaled_by_itself(units: tuple[int, ...], linear: bool) -> None:
    if not units and not linear:
        return
    spec = model_spec(columns=6, endpoints=3, hidden_units=units, linear_branch=linear)
    weights, x = drawn_weights(spec, seed=1), torch.as_tensor(np.random.default_rng(0).normal(size=(9, 6)))
    sums = np.zeros(spec.parameters)
    for endpoint, asked in enumerate((0.0, -0.4, 0.3)):
        sums[5 * endpoint : 5 * endpoint + 5] = np.array([0.0, -asked * 1e6, 0.5e6, 0.0, 0.5e6])
    moved = recalibrated(weights, sums, model=spec, calibration_round=1, noise=0.0)
    before, after = (network_with(spec, each)(x).detach().numpy() for each in (weights, moved))
    np.testing.assert_allclose(after, before * np.array([1.0, 0.6, 1.3]), rtol=1e-4)


# What a patient adds


@pytest.mark.parametrize("cap", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("endpoints", [1, 2])
def test_no_outcome_passes_the_bound_before_it_is_enforced_and_some_reach_it(cap: float, endpoints: int) -> None:
    spec = model_spec(columns=3, endpoints=endpoints, baseline_weight=0.5, grid=TRUTH.grid)
    longest = []
    for seed in range(8):
        weights = drawn_weights(spec, seed=seed, scale=0.7)
        weights[: spec.baseline_parameters] += 6.0
        patients = outcomes(spec, np.random.default_rng(seed).normal(size=3))
        longest.append(float(calibration_rows(network_with(spec, weights), patients, cap=cap).norm(dim=1).max()))
    assert max(longest) <= 1 + 1e-12
    assert max(longest) > 0.98


def test_a_row_that_is_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    right = calibration_sums.calibration_rows
    monkeypatch.setattr(calibration_sums, "calibration_rows", lambda *given, **named: 1e3 * right(*given, **named))
    plan = replace(PLAN, privacy=local_privacy(l2_norm_bound=0.25))
    patients = drawn_from_the_truth(40, seed=0)
    for row in range(len(patients)):
        total = calibration_sum(plan, TRUE_WEIGHTS, patients.rows(slice(row, row + 1)))
        assert total.l2_norm_bound == 0.25
        assert np.linalg.norm(total.vector) == pytest.approx(0.25, rel=1e-6)


def test_what_is_not_finite_adds_nothing_and_the_rest_are_zeros() -> None:
    patients = drawn_from_the_truth(30, seed=0)
    weights = np.where(np.arange(TRUTH.parameters) < INTERVALS, 0.0, 1e200)
    assert not calibration_sum(PLAN, weights, patients).vector.any()
    usual = calibration_sum(PLAN, TRUE_WEIGHTS, patients).vector
    assert usual[: calibration_numbers(TRUTH)].all()
    assert not usual[calibration_numbers(TRUTH) :].any()


def test_a_row_is_the_same_bits_whoever_else_is_there() -> None:
    for seed, n in enumerate((2, 3, 64, 251)):
        spec = model_spec(columns=9, endpoints=2, hidden_units=(7, 5))
        weights = drawn_weights(spec, seed=seed) * 10.0 ** np.random.default_rng(seed).integers(-3, 2, spec.parameters)
        network, patients = network_with(spec, weights), drawn_patients(spec, n, seed=seed)
        together = calibration_rows(network, patients, cap=1.0)
        for index in (torch.arange(n)[1:], torch.arange(n).flip(0), torch.tensor([n // 2])):
            alone = calibration_rows(network, patients.rows(index), cap=1.0)
            assert alone.numpy().tobytes() == together[index].numpy().tobytes()


def test_at_the_truth_the_expected_slope_is_zero() -> None:
    sums = np.array(
        [calibration_sum(PLAN, TRUE_WEIGHTS, drawn_from_the_truth(1500, seed=each)).vector[:2] for each in range(60)]
    )
    z = np.abs(sums.mean(axis=0)) / (sums.std(axis=0, ddof=1) / math.sqrt(60))
    assert z.max() < 4
    off = np.array(
        [
            calibration_sum(PLAN, distorted(level=0.1, spread=1.2), drawn_from_the_truth(1500, seed=each)).vector[:2]
            for each in range(60)
        ]
    )
    assert (np.abs(off.mean(axis=0)) / (off.std(axis=0, ddof=1) / math.sqrt(60))).min() > 6
