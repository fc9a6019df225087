"""Is the likelihood the true one, with delayed entry and censoring inside an interval? Five independent answers.

A brute-force twin that walks through time; lifelines' Cox regression on a fine grid; simulated delayed entry whose
truth is known; the gradient at extreme log hazards; and two wrong ways to count time, which must be seen to fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath  # type: ignore[import-untyped]  # ships no types
import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from numpy.typing import NDArray
from scipy.optimize import minimize
from tests.doubles import drawn_weights, model_spec
from torch import Tensor

from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.curves import survival_curves
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import (
    LARGEST_EXPONENT,
    PatientTensors,
    negative_log_likelihood,
    patient_losses,
)
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

AtRisk = Callable[[TimeGrid, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class FollowUp:
    """One endpoint of patients: x (patients, columns); entry, exit_, observed (patients,), in months."""

    x: FloatArray
    entry: FloatArray
    exit_: FloatArray
    observed: BoolArray

    def tensors(self, grid: TimeGrid, *, at_risk: AtRisk = TimeGrid.at_risk) -> PatientTensors:
        return PatientTensors.of(
            torch.as_tensor(self.x),
            torch.as_tensor(grid.events(self.exit_, self.observed)[:, None, :]),
            torch.as_tensor(at_risk(grid, self.entry, self.exit_)[:, None, :]),
        )


# Against a twin that walks through time


def walked_loss(weights: list[mpmath.mpf], spec: ModelSpec, follow_up: FollowUp, patient: int) -> mpmath.mpf:
    """Minus log likelihood of one patient: hazard times time in each interval, minus the log hazard at the event.

    weights  baseline correction an interval, then one coefficient a column. In the likelihood an event counts with
             its hazard a month; ours leaves the interval's width, which no parameter changes, out of the logarithm.
    """
    corrections, coefficients = weights[: spec.grid.intervals], weights[spec.grid.intervals :]
    log_ratio = sum(c * mpmath.mpf(float(value)) for c, value in zip(coefficients, follow_up.x[patient], strict=True))
    entry, exit_ = mpmath.mpf(float(follow_up.entry[patient])), mpmath.mpf(float(follow_up.exit_[patient]))
    loss = mpmath.mpf(0)
    for k in range(spec.grid.intervals):
        start, end = mpmath.mpf(spec.grid.bounds[k]), mpmath.mpf(spec.grid.bounds[k + 1])
        hazard = mpmath.mpf(spec.baseline_hazard[0]) * mpmath.exp(spec.baseline_weight * corrections[k] + log_ratio)
        months = max(mpmath.mpf(0), min(exit_, end) - max(entry, start))
        loss += hazard * months
        if follow_up.observed[patient] and start < exit_ <= end:
            loss -= mpmath.log(hazard * (end - start))
    return loss


LINEAR = model_spec(columns=2, hidden_units=(), baseline_weight=0.7)
BY_HAND = FollowUp(
    x=np.array([[0.5, -1.0], [2.0, 0.3], [-1.5, 0.0], [0.0, 0.0], [1.0, 1.0], [3.0, -2.0], [0.2, 0.1], [0.4, -0.4]]),
    #  event inside; censored inside; entry inside, event inside; both in one interval; event at a bound;
    #  event beyond the grid; entry at a bound, censored at a bound; entry in the first, exit in the last interval
    entry=np.array([0.0, 0.0, 7.5, 13.0, 0.0, 2.0, 6.0, 1.5]),
    exit_=np.array([8.0, 20.0, 30.0, 17.0, 12.0, 75.0, 24.0, 59.0]),
    observed=np.array([True, False, True, True, True, True, False, True]),
)


def test_likelihood_and_gradient_equal_a_walk_through_time() -> None:
    weights = drawn_weights(LINEAR, seed=3)
    network = network_with(LINEAR, weights)
    ours = patient_losses(network, BY_HAND.tensors(LINEAR.grid)).detach().numpy()
    with mpmath.workdps(50):
        exact = [mpmath.mpf(float(weight)) for weight in weights]
        for patient in range(len(BY_HAND.x)):
            loss = walked_loss(exact, LINEAR, BY_HAND, patient)
            assert ours[patient] == pytest.approx(float(loss), rel=1e-10, abs=1e-10)  # x is on a grid
            one = BY_HAND.tensors(LINEAR.grid).rows(slice(patient, patient + 1))
            gradient = clipped_gradient_sum(network, one, l2_norm_bound=math.inf).vector
            for number in range(len(exact)):
                step = mpmath.mpf(10) ** -20
                moved = list(exact)
                moved[number] += step
                slope = (walked_loss(moved, LINEAR, BY_HAND, patient) - loss) / step
                # The weights are cut at 2^-29 of the largest one, where `one_by_one` multiplies exactly.
                assert gradient[number] == pytest.approx(float(slope), rel=1e-8, abs=1e-9)


def test_the_loss_is_a_sum_over_endpoints() -> None:
    spec = model_spec(columns=2, endpoints=2, hidden_units=(3,))
    network = network_with(spec, drawn_weights(spec, seed=4))
    one, other = BY_HAND.tensors(spec.grid), BY_HAND.tensors(spec.grid).rows(torch.arange(7, -1, -1))
    log_hazard = network.log_hazard(one.x)
    together = negative_log_likelihood(
        log_hazard, torch.cat([one.events, other.events], dim=1), torch.cat([one.at_risk, other.at_risk], dim=1)
    )
    apart = negative_log_likelihood(log_hazard[:, :1], one.events, one.at_risk) + negative_log_likelihood(
        log_hazard[:, 1:], other.events, other.at_risk
    )
    torch.testing.assert_close(together, apart, rtol=1e-14, atol=0.0)
    assert together.shape == (8,)
    assert together.dtype == torch.float64


def test_each_patients_loss_depends_on_that_patient_alone() -> None:
    network = network_with(LINEAR, drawn_weights(LINEAR, seed=3))
    everyone = BY_HAND.tensors(LINEAR.grid)
    alone = torch.cat([patient_losses(network, everyone.rows(slice(row, row + 1))) for row in range(len(everyone))])
    torch.testing.assert_close(patient_losses(network, everyone), alone, rtol=1e-14, atol=1e-14)


# Fits of our likelihood


def fitted(spec: ModelSpec, patients: PatientTensors) -> PrognosisNetwork:
    """Maximum likelihood, by the clipped sum without a clip: the very gradient that a hospital computes."""
    network = PrognosisNetwork(spec, initialisation_seed=0)
    n = len(patients)

    def loss_and_gradient(vector: FloatArray) -> tuple[float, FloatArray]:
        candidate = network_with(spec, vector)
        with torch.no_grad():
            loss = float(patient_losses(candidate, patients).sum())
        return loss / n, clipped_gradient_sum(candidate, patients, l2_norm_bound=math.inf).vector / n

    result = minimize(
        loss_and_gradient,
        parameter_vector(network),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
    )
    assert np.abs(result.jac).max() < 1e-5
    return network_with(spec, result.x)


def coefficients_of(network: PrognosisNetwork) -> FloatArray:
    assert network.linear_branch is not None
    return np.asarray(network.linear_branch.weight.detach().numpy()[0])


def simulated(
    n: int, coefficients: FloatArray, *, hazards: FloatArray, grid: TimeGrid, latest_entry: float, seed: int
) -> FollowUp:
    """Deaths from a piecewise-constant hazard, by inversion; those who die before their entry are never seen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(coefficients)))
    cumulative = np.concatenate([[0.0], np.cumsum(hazards * grid.widths)])
    needed = rng.exponential(size=n) / np.exp(x @ coefficients)
    beyond = grid.bounds[-1] + (needed - cumulative[-1]) / hazards[-1]
    death = np.where(needed < cumulative[-1], np.interp(needed, cumulative, grid.bounds), beyond)
    entry = np.where(rng.random(n) < 0.2, 0.0, rng.uniform(0, latest_entry, n))
    censored = entry + rng.exponential(1.5 * grid.bounds[-1], n)
    seen = death > entry
    return FollowUp(x[seen], entry[seen], np.minimum(death, censored)[seen], (death <= censored)[seen])


def test_on_a_fine_grid_the_coefficients_are_those_of_cox() -> None:
    true = np.array([0.8, -0.5, 0.3])
    coarse = TimeGrid((0.0, 10.0, 30.0, 60.0))
    follow_up = simulated(2500, true, hazards=np.array([0.05, 0.02, 0.04]), grid=coarse, latest_entry=30.0, seed=5)
    fine = TimeGrid(tuple(np.linspace(0, 60, 121)))
    inside = follow_up.exit_ <= 60.0  # lifelines has no last bound: end its follow-up there as well
    table = pd.DataFrame(follow_up.x, columns=["a", "b", "c"]).assign(
        entry=follow_up.entry, exit=np.minimum(follow_up.exit_, 60.0), observed=follow_up.observed & inside
    )
    cox = CoxPHFitter().fit(table, "exit", "observed", entry_col="entry").params_.to_numpy()
    spec = model_spec(columns=3, hidden_units=(), grid=fine, baseline_weight=10.0)  # the weight helps L-BFGS along
    ours = coefficients_of(fitted(spec, follow_up.tensors(fine)))
    np.testing.assert_allclose(ours, cox, rtol=0.01)
    # power: without the delayed entry they would be further off than that
    unaware = fitted(
        spec, FollowUp(follow_up.x, 0 * follow_up.entry, follow_up.exit_, follow_up.observed).tensors(fine)
    )
    assert np.abs(coefficients_of(unaware) / cox - 1).max() > 0.03


TEN = TimeGrid((0.0, 2.0, 4.0, 7.0, 10.0, 14.0, 19.0, 26.0, 36.0, 50.0, 72.0))
TRUE_HAZARDS = np.array([0.06, 0.05, 0.045, 0.04, 0.035, 0.03, 0.025, 0.02, 0.02, 0.015])
TRUE_COEFFICIENTS = np.array([0.8, -0.4])


@pytest.fixture(scope="module")
def delayed_entry() -> FollowUp:
    return simulated(200_000, TRUE_COEFFICIENTS, hazards=TRUE_HAZARDS, grid=TEN, latest_entry=40.0, seed=6)


def errors_of_fit(follow_up: FollowUp, at_risk: AtRisk) -> tuple[float, float]:
    """(largest relative error of a coefficient, largest error of S(t) at any bound or middle of an interval)."""
    spec = model_spec(columns=2, hidden_units=(), grid=TEN)
    network = fitted(spec, follow_up.tensors(TEN, at_risk=at_risk))
    with torch.no_grad():
        log_baseline = network.baseline.log_hazard()[0].numpy()
    times = np.sort(np.concatenate([TEN.bounds, (np.array(TEN.bounds[1:]) + np.array(TEN.bounds[:-1])) / 2]))
    ours = survival_curves(np.zeros(1), log_baseline_hazard=log_baseline, grid=TEN, times=times)[0]
    cumulative = np.concatenate([[0.0], np.cumsum(TRUE_HAZARDS * TEN.widths)])
    truth = np.exp(-np.interp(times, TEN.bounds, cumulative))
    return (
        float(np.abs(coefficients_of(network) / TRUE_COEFFICIENTS - 1).max()),
        float(np.abs(ours - truth).max()),
    )


def touched_intervals(grid: TimeGrid, entry: FloatArray, exit_: FloatArray) -> FloatArray:
    """Wrong: each interval that was touched counts as a whole one."""
    return np.asarray((grid.at_risk(entry, exit_) > 0).astype(np.float64))


def without_entry_interval(grid: TimeGrid, entry: FloatArray, exit_: FloatArray) -> FloatArray:
    """Wrong: the interval of a late entry does not count at all."""
    low, high = np.array(grid.bounds[:-1]), np.array(grid.bounds[1:])
    entered_inside = (entry[:, None] > low) & (entry[:, None] < high)
    return np.asarray(np.where(entered_inside, 0.0, grid.at_risk(entry, exit_)))


def entry_forgotten(grid: TimeGrid, entry: FloatArray, exit_: FloatArray) -> FloatArray:
    """Wrong: everybody was there from the beginning, though the dead were never seen."""
    return grid.at_risk(np.zeros_like(entry), exit_)


def test_delayed_entry_on_ten_intervals_finds_the_truth(delayed_entry: FollowUp) -> None:
    coefficient_error, survival_error = errors_of_fit(delayed_entry, TimeGrid.at_risk)
    assert coefficient_error < 0.02
    assert survival_error < 0.01


def test_wrong_ways_to_count_time_fail(delayed_entry: FollowUp) -> None:
    """Where the true S(24) is 0.487, touched intervals give 0.601 and no entry interval 0.368."""
    some = FollowUp(
        delayed_entry.x[:30_000],
        delayed_entry.entry[:30_000],
        delayed_entry.exit_[:30_000],
        delayed_entry.observed[:30_000],
    )
    for wrong in (touched_intervals, without_entry_interval, entry_forgotten):
        assert errors_of_fit(some, wrong)[1] > 0.04
    assert errors_of_fit(some, TimeGrid.at_risk)[1] < 0.01  # the same patients, counted right


# Extremes


def extreme_case(log_hazard: float, *, event: bool) -> tuple[PrognosisNetwork, PatientTensors]:
    """One patient, one interval, whose b + f is `log_hazard` by way of the linear branch."""
    spec = model_spec(columns=1, hidden_units=(), grid=TimeGrid((0.0, 1.0)))
    log_public = math.log(spec.baseline_hazard[0])
    network = network_with(spec, np.array([0.0, log_hazard - log_public]))
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    return network, PatientTensors.of(torch.ones(1, 1, dtype=torch.float64), one * float(event), one * 0.5)


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("log_hazard", [-1e6, -1e3, -100.0, 100.0, LARGEST_EXPONENT, 301.0, 1e3, 1e6])
def test_extreme_log_hazards_keep_finite_losses_and_gradients_of_the_right_sign(log_hazard: float, event: bool) -> None:
    network, patient = extreme_case(log_hazard, event=event)
    loss = patient_losses(network, patient)
    assert torch.isfinite(loss).all()
    gradient = clipped_gradient_sum(network, patient, l2_norm_bound=0.25).vector
    assert np.isfinite(gradient).all()
    assert np.linalg.norm(gradient) <= 0.25 * (1 + 1e-12)
    if log_hazard > 0:  # far too much hazard for half an interval: both parameters must go down, at the full clip
        assert loss.item() > 1e40
        assert (gradient > 0).all()
        assert np.linalg.norm(gradient) == pytest.approx(0.25, rel=1e-12)
    elif event:  # an event where there is next to no hazard: up
        assert loss.item() == pytest.approx(-log_hazard, rel=1e-12)
        assert (gradient < 0).all()
        assert np.linalg.norm(gradient) == pytest.approx(0.25, rel=1e-12)
    else:  # nothing happened, as expected; what is left of the gradient points the right way
        assert 0 <= loss.item() < 1e-40
        assert (gradient >= 0).all()


def test_no_clamp_flattens_the_loss() -> None:
    """Beyond LARGEST_EXPONENT the loss goes on rising in its tangent, without a jump or a kink."""
    log_hazard = torch.tensor(
        [299.0, 300.0 - 1e-9, 300.0 + 1e-9, 301.0, 400.0], dtype=torch.float64, requires_grad=True
    )
    ones = torch.ones(5, 1, 1, dtype=torch.float64)
    loss = negative_log_likelihood(log_hazard[:, None, None], 0 * ones, ones)
    (slope,) = torch.autograd.grad(loss.sum(), log_hazard)
    edge = math.exp(LARGEST_EXPONENT)
    assert (loss.diff() > 0).all()
    assert (slope > 0).all()
    np.testing.assert_allclose(loss.detach().numpy()[1:], edge * np.array([1, 1, 2, 101]), rtol=1e-8)
    np.testing.assert_allclose(slope.numpy()[1:], edge, rtol=1e-8)
    assert math.isfinite(edge**2)


def test_an_interval_never_at_risk_does_not_count_however_large_its_hazard() -> None:
    log_hazard = torch.tensor([[[0.3, 900.0]]], dtype=torch.float64, requires_grad=True)
    events = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    at_risk = torch.tensor([[[0.4, 0.0]]], dtype=torch.float64)
    loss: Tensor = negative_log_likelihood(log_hazard, events, at_risk)
    (slope,) = torch.autograd.grad(loss.sum(), log_hazard)
    assert loss.item() == pytest.approx(0.4 * math.exp(0.3) - 0.3, rel=1e-14)
    assert slope[0, 0, 1] == 0.0
