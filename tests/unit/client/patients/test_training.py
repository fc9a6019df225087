"""Does a hospital compute the step it says? Against plain torch, one patient at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import (
    RecordedNoise,
    SeededNoise,
    drawn_patients,
    drawn_weights,
    local_privacy,
    model_spec,
    no_privacy,
    round_contribution,
    study_plan,
    with_inputs,
)

from oncofed.client.patients.training import weights_after_local_steps
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]

SPEC = model_spec(columns=5, hidden_units=(4, 3), endpoints=2, baseline_weight=0.5)
WEIGHTS = drawn_weights(SPEC, seed=21)
PATIENTS = drawn_patients(SPEC, 40, seed=21)
EPOCHS = TrainingSpec(
    mode=TrainingMode.EPOCHS,
    local_steps=5,
    sampling_rate=0.4,
    expected_batch_size=13.0,
    local_learning_rate=0.3,
    proximal_mu=0.7,
    weight_decay=0.2,
)


def plan_for(training: TrainingSpec, privacy: PrivacySpec) -> StudyPlan:
    return study_plan(model=SPEC, training=training, privacy=privacy)


def one_by_one(vector: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, parameters): each patient's gradient by plain autograd, from a batch of that patient alone."""
    gradients = []
    for row in range(len(patients)):
        network = network_with(SPEC, vector)
        loss = patient_losses(network, patients.rows(slice(row, row + 1))).sum()
        parts = torch.autograd.grad(loss, list(network.parameters()))
        gradients.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.array(gradients).reshape(len(patients), len(vector))


def clipped(gradients: FloatArray, bound: float) -> FloatArray:
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.asarray(gradients * np.minimum(1.0, bound / norms))


def test_one_full_batch_step_is_the_ascent_direction_in_units_of_the_bound() -> None:
    bound = 0.8
    gradients = one_by_one(WEIGHTS, PATIENTS)
    share_clipped = (np.linalg.norm(gradients, axis=1) > bound).mean()
    assert 0.1 < share_clipped <= 1
    plan = plan_for(TrainingSpec(), no_privacy(l2_norm_bound=bound))
    got = round_contribution(plan, WEIGHTS, PATIENTS, noise=NoNoise(seed=0))
    # Not closer: `survival.one_by_one` cuts inputs and weights to grids, so that products are exact.
    np.testing.assert_allclose(got, -clipped(gradients, bound).sum(axis=0) / bound, rtol=1e-6, atol=1e-7)


def test_without_a_bound_it_is_the_gradient_itself() -> None:
    plan = plan_for(TrainingSpec(), no_privacy(l2_norm_bound=None))
    got = round_contribution(plan, WEIGHTS, PATIENTS, noise=NoNoise(seed=0))
    np.testing.assert_allclose(got, -one_by_one(WEIGHTS, PATIENTS).sum(axis=0), rtol=1e-6, atol=1e-7)


def test_a_step_in_the_direction_improves_the_likelihood() -> None:
    plan = plan_for(TrainingSpec(), no_privacy(l2_norm_bound=1.0))
    direction = round_contribution(plan, WEIGHTS, PATIENTS, noise=NoNoise(seed=0))

    def loss(vector: FloatArray) -> float:
        return float(patient_losses(network_with(SPEC, vector), PATIENTS).sum().detach())

    assert loss(WEIGHTS + 1e-4 * direction) < loss(WEIGHTS) < loss(WEIGHTS - 1e-4 * direction)


def test_weight_decay_of_full_batch_is_the_servers() -> None:
    with_decay = plan_for(TrainingSpec(weight_decay=0.5, proximal_mu=0.5), no_privacy(l2_norm_bound=1.0))
    without = plan_for(TrainingSpec(), no_privacy(l2_norm_bound=1.0))
    first, second = (
        round_contribution(plan, WEIGHTS, PATIENTS, noise=NoNoise(seed=0)) for plan in (with_decay, without)
    )
    np.testing.assert_array_equal(first, second)


def epochs_twin(
    training: TrainingSpec, patients: PatientTensors, *, bound: float, noise: NoiseSource, sigma: float = 0.0
) -> FloatArray:
    """DP-SGD as in Abadi et al. 2016, algorithm 1, with the proximal pull of FedProx. noise: of the same seed.

    A sum is not rounded here, so with noise it is off by half a step of 2**-20 bounds.
    """
    vector = WEIGHTS.copy()
    for _ in range(training.local_steps):
        joins = np.flatnonzero(noise.chosen(len(patients), probability=training.sampling_rate))
        total = np.zeros_like(vector)
        for gradient in one_by_one(vector, patients.rows(torch.as_tensor(joins))):
            norm = np.linalg.norm(gradient)
            total += gradient if norm <= bound else gradient * bound / norm
        if sigma:
            drawn = noise.discrete_gaussian(len(vector), standard_deviation=math.ceil(sigma * 2**20))
            total += drawn * bound / 2**20
        descent = total / training.expected_batch_size
        decayed = np.where(np.arange(len(vector)) < SPEC.baseline_parameters, 0.0, vector)
        descent += training.proximal_mu * (vector - WEIGHTS) + training.weight_decay * decayed
        vector = vector - training.local_learning_rate * descent
    return vector


@pytest.mark.parametrize("bound", [0.3, 1e6])
@pytest.mark.parametrize(
    "training",
    [
        EPOCHS,
        replace(EPOCHS, proximal_mu=0.0),
        replace(EPOCHS, weight_decay=0.0),
        replace(EPOCHS, proximal_mu=0.0, weight_decay=0.0, sampling_rate=1.0),
    ],
    ids=["both", "decay", "proximal", "plain"],
)
def test_local_epochs_without_noise_equal_a_slow_twin(training: TrainingSpec, bound: float) -> None:
    draws = RecordedNoise(NoNoise(seed=5))
    got = round_contribution(plan_for(training, no_privacy(l2_norm_bound=bound)), WEIGHTS, PATIENTS, noise=draws)
    batches = training.local_steps if training.sampling_rate < 1 else 1
    assert len(draws.batches) == training.local_steps
    assert len({tuple(joins) for joins in draws.batches}) == batches
    twin = epochs_twin(training, PATIENTS, bound=bound, noise=NoNoise(seed=5))
    np.testing.assert_allclose(got, twin, rtol=1e-6, atol=1e-8)


def test_local_epochs_with_noise_equal_a_slow_twin() -> None:
    privacy = local_privacy(noise_multiplier=4.0, l2_norm_bound=0.3)
    got = round_contribution(plan_for(EPOCHS, privacy), WEIGHTS, PATIENTS, noise=SeededNoise(6))
    twin = epochs_twin(EPOCHS, PATIENTS, bound=0.3, noise=SeededNoise(6), sigma=4.0)
    np.testing.assert_allclose(got, twin, rtol=1e-6, atol=1e-7)
    for wrong in (3.99, 4.01):
        other = epochs_twin(EPOCHS, PATIENTS, bound=0.3, noise=SeededNoise(6), sigma=wrong)
        assert np.abs(got - other).max() > 1e-5


def test_the_twin_notices_each_setting() -> None:
    """Power: each constant of the plan changes the result by far more than the tolerance above."""
    plan = plan_for(EPOCHS, no_privacy(l2_norm_bound=0.3))
    got = round_contribution(plan, WEIGHTS, PATIENTS, noise=NoNoise(seed=5))
    for other in (
        replace(EPOCHS, proximal_mu=0.6),
        replace(EPOCHS, weight_decay=0.1),
        replace(EPOCHS, expected_batch_size=16.0),
        replace(EPOCHS, local_learning_rate=0.2),
        replace(EPOCHS, sampling_rate=0.5),
        replace(EPOCHS, local_steps=4),
    ):
        assert np.abs(got - epochs_twin(other, PATIENTS, bound=0.3, noise=NoNoise(seed=5))).max() > 1e-4


def test_one_local_step_with_everybody_is_the_full_batch_direction_scaled() -> None:
    bound = 0.4
    one_step = TrainingSpec(
        mode=TrainingMode.EPOCHS,
        local_steps=1,
        sampling_rate=1.0,
        expected_batch_size=40.0,
        local_learning_rate=0.25,
        proximal_mu=0.9,  # at the first step there is nothing to pull back to
    )
    privacy = no_privacy(l2_norm_bound=bound)
    moved = round_contribution(plan_for(one_step, privacy), WEIGHTS, PATIENTS, noise=NoNoise(seed=1)) - WEIGHTS
    direction = round_contribution(plan_for(TrainingSpec(), privacy), WEIGHTS, PATIENTS, noise=NoNoise(seed=0))
    np.testing.assert_allclose(moved, 0.25 * bound / 40.0 * direction, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("mode", TrainingMode)
def test_weights_and_patients_are_left_as_they_were(mode: TrainingMode) -> None:
    weights = WEIGHTS.copy()
    weights.setflags(write=False)
    before = [getattr(PATIENTS, field).clone() for field in ("x", "events", "at_risk", "usable")]
    plan = plan_for(replace(EPOCHS, mode=mode), local_privacy())
    first = round_contribution(plan, weights, PATIENTS, noise=SeededNoise(1))
    np.testing.assert_array_equal(first, round_contribution(plan, weights, PATIENTS, noise=SeededNoise(1)))
    np.testing.assert_array_equal(weights, WEIGHTS)
    for field, kept in zip(("x", "events", "at_risk", "usable"), before, strict=True):
        assert torch.equal(getattr(PATIENTS, field), kept)


@pytest.mark.parametrize("mode", TrainingMode)
def test_a_hospital_without_patients_answers_with_noise_alone(mode: TrainingMode) -> None:
    plan = plan_for(replace(EPOCHS, mode=mode, weight_decay=0.0), local_privacy(noise_multiplier=2.0))
    nobody = PATIENTS.rows(slice(0, 0))
    got = round_contribution(plan, WEIGHTS, nobody, noise=SeededNoise(1))
    assert got.shape == WEIGHTS.shape
    assert np.isfinite(got).all()
    assert (got != (0.0 if mode is TrainingMode.FULL_BATCH else WEIGHTS)).all()


def test_noise_alone_in_place_of_local_steps_is_what_nobody_would_send() -> None:
    plan = plan_for(EPOCHS, local_privacy(noise_multiplier=2.0))
    nobody = round_contribution(plan, WEIGHTS, PATIENTS.rows(slice(0, 0)), noise=SeededNoise(1))
    alone = weights_after_local_steps(plan, WEIGHTS, None, release=release_of_round(plan), noise=SeededNoise(1))
    np.testing.assert_array_equal(alone, nobody)
    assert (alone != round_contribution(plan, WEIGHTS, PATIENTS, noise=SeededNoise(1))).all()


def test_an_empty_batch_takes_a_step_like_any_other() -> None:
    """A skipped step would tell that nobody joined, and would have no noise."""
    training = replace(EPOCHS, sampling_rate=1e-12)
    draws = RecordedNoise(SeededNoise(2))
    got = round_contribution(plan_for(training, local_privacy(l2_norm_bound=0.3)), WEIGHTS, PATIENTS, noise=draws)
    assert len(draws.drawn) == training.local_steps
    sigma = local_privacy().noise_multiplier
    twin = epochs_twin(training, PATIENTS, bound=0.3, noise=SeededNoise(2), sigma=sigma)
    np.testing.assert_allclose(got, twin, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_a_patient_who_is_not_finite_does_not_spoil_local_epochs(value: float) -> None:
    privacy = no_privacy(l2_norm_bound=0.3)
    got = round_contribution(plan_for(EPOCHS, privacy), WEIGHTS, with_inputs(PATIENTS, 3, value), noise=NoNoise(seed=5))
    x = PATIENTS.x.clone()
    x[3] = 0.0
    set_aside = PatientTensors(x, PATIENTS.events, PATIENTS.at_risk, usable=torch.arange(40) != 3)
    expected = round_contribution(plan_for(EPOCHS, privacy), WEIGHTS, set_aside, noise=NoNoise(seed=5))
    np.testing.assert_array_equal(got, expected)
