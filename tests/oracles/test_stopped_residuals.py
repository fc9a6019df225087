"""Is a stopped gradient that of a follow-up which really ended there, within its bound for every outcome, and unbiased?

The truth is a walk through time, finite differences in 50 digits, and patients drawn from a known hazard. The cut
gradient is seen to fail what the stopped one passes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import mpmath  # type: ignore[import-untyped]  # ships no types
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, model_spec
from tests.oracles.test_likelihood import BY_HAND, LINEAR, FollowUp, walked_loss

from oncofed.privacy import mechanism
from oncofed.privacy.mechanism import clipped_gradient_sum, stopped_gradient_sum
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with
from oncofed.survival.stopped_residuals import stopped_residuals
from oncofed.survival.time_shapes import TimeShapes

FloatArray = NDArray[np.float64]


BESIDE = (Comparator("one", (0, 2), (), 0.5), Comparator("other", (1,), (), 3.0))


# Against follow-up that really ends there


def time_of_the_cap(weights: FloatArray, follow_up: FollowUp, patient: int, *, cap: float) -> float:
    """When the hazard since entry reaches the cap, for one who is followed for ever."""
    spec = LINEAR
    ratio = math.exp(float(weights[spec.grid.intervals :] @ follow_up.x[patient]))
    now, left = float(follow_up.entry[patient]), cap
    for k, end in enumerate(spec.grid.bounds[1:]):
        hazard = spec.baseline_hazard[0] * math.exp(spec.baseline_weight * weights[k]) * ratio
        if now < end:
            if hazard * (end - now) >= left:
                return now + left / hazard
            left -= hazard * (end - now)
            now = end
    return math.inf


@pytest.mark.parametrize("cap", [0.05, 0.3, 1.0, 4.0])
def test_it_is_the_gradient_of_a_follow_up_that_ends_at_the_cap(cap: float) -> None:
    weights = drawn_weights(LINEAR, seed=3)
    ends = np.array([time_of_the_cap(weights, BY_HAND, row, cap=cap) for row in range(len(BY_HAND.x))])
    cut = FollowUp(
        BY_HAND.x, BY_HAND.entry, np.minimum(BY_HAND.exit_, ends), BY_HAND.observed & (BY_HAND.exit_ <= ends)
    )
    assert (ends < BY_HAND.exit_).any() == (cap < 4)
    patients, network = BY_HAND.tensors(LINEAR.grid), network_with(LINEAR, weights)
    with mpmath.workdps(50):
        exact = [mpmath.mpf(float(weight)) for weight in weights]
        for row in range(len(BY_HAND.x)):
            one = patients.rows(slice(row, row + 1))
            gradient = stopped_gradient_sum(network, one, hazard_cap=cap, l2_norm_bound=math.inf).vector
            loss = walked_loss(exact, LINEAR, cut, row)
            for number in range(len(exact)):
                step = mpmath.mpf(10) ** -20
                moved = list(exact)
                moved[number] += step
                slope = float((walked_loss(moved, LINEAR, cut, row) - loss) / step)
                assert gradient[number] == pytest.approx(slope, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize(("endpoints", "units"), [(1, ()), (1, (5,)), (2, (4, 3)), (3, ())])
@pytest.mark.parametrize("shapes", [None, TimeShapes(2, 18.0, 0.5, (1, 2))])
@pytest.mark.parametrize("comparators", [(), BESIDE])
def test_without_cap_and_bound_it_is_the_plain_gradient(
    endpoints: int, units: tuple[int, ...], shapes: TimeShapes | None, comparators: tuple[Comparator, ...]
) -> None:
    spec = model_spec(
        columns=6,
        endpoints=endpoints,
        hidden_units=units,
        baseline_weight=0.5,
        time_shapes=shapes,
        comparators=comparators,
    )
    network, patients = network_with(spec, drawn_weights(spec, seed=1)), drawn_patients(spec, 60, seed=1)
    plain = clipped_gradient_sum(network, patients, l2_norm_bound=math.inf).vector
    stopped = stopped_gradient_sum(network, patients, hazard_cap=1e9, l2_norm_bound=math.inf).vector
    assert np.linalg.norm(plain) > 1
    np.testing.assert_allclose(stopped, plain, rtol=0, atol=1e-8 * float(np.linalg.norm(plain)))


# The bound


def outcomes(spec: ModelSpec, x: FloatArray) -> PatientTensors:
    """One patient's covariates with many outcomes: an event in each interval or none, at risk in any intervals before.

    Not every one of them can happen, and the bound holds for them too.
    """
    intervals, endpoints = spec.grid.intervals, len(spec.endpoints)
    one = []
    for last in range(intervals):
        for event in (0.0, 1.0):
            for kept in itertools.product((0.0, 1.0), repeat=last):
                for part in (1e-6, 0.3, 1.0):
                    events, at_risk = np.zeros(intervals), np.zeros(intervals)
                    events[last], at_risk[: last + 1] = event, [*kept, part]
                    one.append((events, at_risk))
    rng = np.random.default_rng(0)
    # Of one endpoint, all of them; of several, each together with some of the others'.
    chosen = rng.integers(len(one), size=(len(one) if endpoints == 1 else 400, endpoints))
    chosen[: len(one)] = np.arange(len(one))[:, None]
    parts = [np.array([[one[each][which] for each in row] for row in chosen]) for which in (0, 1)]
    repeated = np.repeat(x[None], len(chosen), axis=0)
    return PatientTensors.of(*map(torch.as_tensor, (repeated, *parts)))


FOUR = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
SHAPES = TimeShapes(1, 18.0, 0.5, (1, 2))


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_no_outcome_passes_the_bound_and_the_weight_looks_at_none(data: st.DataObject) -> None:
    """Seen before the core's second look, which would leave out whoever is beyond."""
    endpoints = data.draw(st.integers(1, 3))
    spec = model_spec(
        columns=3,
        endpoints=endpoints,
        hidden_units=data.draw(st.sampled_from([(), (2,), (3, 2)])),
        baseline_weight=data.draw(st.sampled_from([0.05, 0.5, 1.0, 5.0])),
        grid=FOUR,
        time_shapes=data.draw(st.sampled_from([None, SHAPES, replace(SHAPES, functions=2, weight=3.0)])),
        comparators=data.draw(st.sampled_from([(), BESIDE])),
    )
    scale, size = data.draw(st.sampled_from([0.1, 1.0, 5.0])), data.draw(st.sampled_from([0.1, 1.0, 9.0]))
    weights = drawn_weights(spec, seed=data.draw(st.integers(0, 999)), scale=scale)
    cap = data.draw(st.sampled_from([0.05, 0.5, 1.0, 1.7, 6.0]))
    bound = data.draw(st.sampled_from([1e-3, 0.3, 1.0, 40.0]))
    x = size * np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=3)
    network, patients = network_with(spec, weights), outcomes(spec, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mechanism, "_within", lambda _bound, _groups, cut: torch.ones(len(cut[0]), dtype=torch.bool))
        free, bounded = (
            np.array(
                [
                    stopped_gradient_sum(
                        network, patients.rows(slice(row, row + 1)), hazard_cap=cap, l2_norm_bound=limit
                    ).vector
                    for row in range(0, len(patients), 2 if endpoints == 1 else 13)
                ]
            )
            for limit in (math.inf, bound)
        )
    lengths = np.linalg.norm(bounded, axis=1)
    assert lengths.max() <= bound * (1 + 1e-7)
    assert np.isfinite(bounded).all()
    weight = lengths.max() / np.linalg.norm(free, axis=1)[lengths.argmax()]
    np.testing.assert_allclose(bounded, weight * free, rtol=1e-9, atol=1e-12 * lengths.max())


@pytest.mark.parametrize("cap", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("units", [(), (4,)])
@pytest.mark.parametrize("shapes", [None, SHAPES, replace(SHAPES, functions=2)])
@pytest.mark.parametrize("comparators", [(), BESIDE])
def test_the_bound_is_reached_by_some_outcome(
    cap: float, units: tuple[int, ...], shapes: TimeShapes | None, comparators: tuple[Comparator, ...]
) -> None:
    """So noise is not paid for a length that nobody can have."""
    spec = model_spec(
        columns=3, hidden_units=units, baseline_weight=0.5, grid=FOUR, time_shapes=shapes, comparators=comparators
    )
    weights = drawn_weights(spec, seed=5, scale=0.3)
    for baseline in (slice(0, spec.baseline_parameters), *(of_baseline for of_baseline, _ in spec.comparator_parts)):
        weights[baseline] += 8.0  # so that any cap can be reached
    network, patients = network_with(spec, weights), outcomes(spec, np.array([1.0, -2.0, 0.5]))
    each = [patients.rows(slice(row, row + 1)) for row in range(len(patients))]
    longest = max(
        float(np.linalg.norm(stopped_gradient_sum(network, one, hazard_cap=cap, l2_norm_bound=0.2).vector))
        for one in each
    )
    assert longest == pytest.approx(0.2, rel=1e-2)


# Unbiased, and what is cut is not

TRUTH = model_spec(columns=3, hidden_units=(), baseline_weight=0.5, grid=FOUR)
TRUE_WEIGHTS = np.array([0.6, -0.3, 0.2, -0.5, 0.9, -0.7, 0.4])
Bounded = Callable[[FloatArray, PatientTensors], FloatArray]


def drawn_from_the_truth(n: int, *, seed: int) -> PatientTensors:
    """Delayed entry, and censoring that depends on the covariates; nobody who ended before entry."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    hazard = TRUTH.baseline_hazard[0] * np.exp(
        TRUTH.baseline_weight * TRUE_WEIGHTS[:4] + (x @ TRUE_WEIGHTS[4:])[:, None]
    )
    upto = np.concatenate([np.zeros((n, 1)), np.cumsum(hazard * TRUTH.grid.widths, axis=1)], axis=1)
    wanted = rng.exponential(size=n)
    bounds = np.array(TRUTH.grid.bounds)
    interval = np.minimum((upto <= wanted[:, None]).sum(axis=1) - 1, 3)
    row = np.arange(n)
    death = bounds[interval] + (wanted - upto[row, interval]) / hazard[row, interval]  # beyond the grid: cut there
    censored = rng.uniform(2, 80, n) / np.exp(0.5 * x[:, 0])
    entry = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0, 15, n))
    exit_, observed = np.minimum(death, censored), death <= censored
    keep = exit_ > entry
    return FollowUp(x[keep], entry[keep], exit_[keep], observed[keep]).tensors(TRUTH.grid)


def stopped(weights: FloatArray, patients: PatientTensors) -> FloatArray:
    return stopped_gradient_sum(network_with(TRUTH, weights), patients, hazard_cap=1.0, l2_norm_bound=0.5).vector


def clipped(weights: FloatArray, patients: PatientTensors) -> FloatArray:
    return clipped_gradient_sum(network_with(TRUTH, weights), patients, l2_norm_bound=0.5).vector


def cut_to_the_cap(weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """Events after the cap count all the same: bounded alike, and no stopping time."""
    with pytest.MonkeyPatch.context() as patch:
        right = stopped_residuals
        patch.setattr(
            mechanism,
            "stopped_residuals",
            lambda log_hazard, events, at_risk, *, cap: (
                right(log_hazard, torch.zeros_like(events), at_risk, cap=cap) - events
            ),
        )
        return stopped(weights, patients)


def largest_z(bounded: Bounded, *, groups: int = 60, each: int = 1500) -> float:
    """How many standard errors the mean gradient at the truth is away from 0, at the number where it is furthest."""
    sums = np.array([bounded(TRUE_WEIGHTS, drawn_from_the_truth(each, seed=seed)) for seed in range(groups)])
    return float((np.abs(sums.mean(axis=0)) / (sums.std(axis=0, ddof=1) / math.sqrt(groups))).max())


def test_at_the_truth_the_expected_sum_is_zero_and_that_of_cut_gradients_is_not() -> None:
    assert largest_z(stopped) < 4  # of seven numbers; 1 in 2,000 by chance, and the seeds are fixed
    assert largest_z(clipped) > 20
    assert largest_z(cut_to_the_cap) > 20


def fitted(bounded: Bounded, patients: PatientTensors) -> FloatArray:
    """Where the sum is 0: Newton steps with the slope of the sum at the truth, by differences."""
    weights, step = TRUE_WEIGHTS.copy(), 1e-4
    slope = np.array(
        [
            (bounded(weights + step * unit, patients) - bounded(weights - step * unit, patients)) / (2 * step)
            for unit in np.eye(len(weights))
        ]
    ).T
    for _ in range(15):
        weights = weights - 0.7 * np.linalg.solve(slope, bounded(weights, patients))
    assert np.linalg.norm(bounded(weights, patients)) < 5e-4 * len(patients)
    return weights


def test_what_is_fitted_is_the_truth_and_with_cut_gradients_effects_are_too_large() -> None:
    patients = drawn_from_the_truth(12_000, seed=1)
    right, wrong = fitted(stopped, patients), fitted(clipped, patients)
    np.testing.assert_allclose(right[4:], TRUE_WEIGHTS[4:], atol=0.06)
    np.testing.assert_allclose(right[:4], TRUE_WEIGHTS[:4], atol=0.2)  # half of it in log hazard
    too_large = wrong[4:] @ TRUE_WEIGHTS[4:] / (TRUE_WEIGHTS[4:] @ TRUE_WEIGHTS[4:])
    assert too_large > 1.3
