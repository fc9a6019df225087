"""What does a patient do to the sum whose numbers are not finite, or absurd? Nothing, and nobody can tell.

privacy.md, test 4: one NaN makes a whole sum NaN, which breaks the round and says that the patient is there.
"""

from __future__ import annotations

import logging
import math
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import (
    RecordedNoise,
    SeededNoise,
    drawn_patients,
    drawn_weights,
    model_spec,
    request_for,
    study_plan,
    with_inputs,
    without,
)
from torch import Tensor

from oncofed.client.guard.guard import Guard
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.privacy.policy import SitePolicy
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_count

FloatArray = NDArray[np.float64]

SPEC = model_spec(columns=5, hidden_units=(4,), endpoints=2)
PATIENTS = drawn_patients(SPEC, 30, seed=11)
WEIGHTS = drawn_weights(SPEC, seed=11)
ROW = 7
ABSURD = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e154, 1e300, -1e308]


def clipped_sum(patients: PatientTensors, *, bound: float = 1.0) -> FloatArray:
    return clipped_gradient_sum(network_with(SPEC, WEIGHTS), patients, l2_norm_bound=bound).vector


def as_nobody(patients: PatientTensors, row: int) -> PatientTensors:
    """The row stays, so that sums are added up in the same order, but its patient was never observed."""
    x, events, at_risk = patients.x.clone(), patients.events.clone(), patients.at_risk.clone()
    x[row], events[row], at_risk[row] = 0.0, 0.0, 0.0
    return PatientTensors(x, events, at_risk, patients.usable)


@pytest.mark.parametrize("bound", [1e-3, 1.0, np.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_the_sum_is_that_of_the_others_bit_for_bit(value: float, bound: float) -> None:
    got = clipped_sum(with_inputs(PATIENTS, ROW, value), bound=bound)
    np.testing.assert_array_equal(got, clipped_sum(as_nobody(PATIENTS, ROW), bound=bound))
    np.testing.assert_allclose(got, clipped_sum(without(PATIENTS, ROW), bound=bound), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("value", ABSURD)
def test_every_number_stays_finite_and_within_a_bound_of_the_others(value: float) -> None:
    got = clipped_sum(with_inputs(PATIENTS, ROW, value))
    assert np.isfinite(got).all()
    assert np.linalg.norm(got - clipped_sum(without(PATIENTS, ROW))) <= 1 + 1e-9


def test_a_single_absurd_input_counts_for_its_whole_patient_only() -> None:
    x = PATIENTS.x.clone()
    x[ROW, 2] = np.nan
    one_value = PatientTensors.of(x, PATIENTS.events, PATIENTS.at_risk)
    np.testing.assert_array_equal(clipped_sum(one_value), clipped_sum(as_nobody(PATIENTS, ROW)))
    assert int(one_value.usable.sum()) == len(PATIENTS) - 1


@pytest.mark.parametrize("outcome", ["events", "at_risk"])
def test_an_outcome_that_is_not_finite_counts_as_well(outcome: str) -> None:
    parts = {"x": PATIENTS.x, "events": PATIENTS.events.clone(), "at_risk": PATIENTS.at_risk.clone()}
    parts[outcome][ROW, 1, 0] = np.nan
    np.testing.assert_array_equal(clipped_sum(PatientTensors.of(**parts)), clipped_sum(as_nobody(PATIENTS, ROW)))


def test_several_patients_and_all_patients() -> None:
    several = with_inputs(with_inputs(PATIENTS, 0, np.nan), 29, 1e300)
    np.testing.assert_array_equal(clipped_sum(several), clipped_sum(as_nobody(as_nobody(PATIENTS, 0), 29)))
    everyone = PatientTensors.of(torch.full_like(PATIENTS.x, np.inf), PATIENTS.events, PATIENTS.at_risk)
    assert not clipped_sum(everyone).any()


@pytest.mark.parametrize("hidden_units", [(), (4,), (4, 3), (4, 3, 2)])
def test_crafted_weights_that_overflow_for_ordinary_patients_give_zeros_not_nan(hidden_units: tuple[int, ...]) -> None:
    """Inside the network, too: a hidden unit that is infinite times a gradient that was cut to 0 would be NaN."""
    spec = model_spec(columns=5, hidden_units=hidden_units, endpoints=2)
    network = network_with(spec, np.full(parameter_count(spec), 1e200))
    assert np.isfinite(clipped_gradient_sum(network, PATIENTS, l2_norm_bound=1.0).vector).all()


def test_loss_may_be_not_finite_where_its_gradient_is() -> None:
    """A finite gradient of an infinite loss is left out too: whether it is finite is that patient's affair alone."""

    def losses(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
        values = network.log_hazard(patients.x).sum(dim=(1, 2))
        return values + torch.where(patients.x[:, 0] > 1e29, torch.inf, 0.0)

    one = with_inputs(PATIENTS, ROW, 1e30)
    got = clipped_gradient_sum(network_with(SPEC, WEIGHTS), one, l2_norm_bound=1.0, losses=losses).vector
    others = clipped_gradient_sum(
        network_with(SPEC, WEIGHTS), without(PATIENTS, ROW), l2_norm_bound=1.0, losses=losses
    ).vector
    np.testing.assert_allclose(got, others, rtol=1e-12, atol=1e-12)


def _as_loaded(patients: PatientTensors) -> PatientTensors:
    return patients


@pytest.mark.parametrize("value", ABSURD)
def test_what_leaves_the_guard_tells_nothing(value: float, caplog: pytest.LogCaptureFixture) -> None:
    """With the noise taken off again, the release is the others' sum; the log is the same; nothing is raised."""
    plan = study_plan(model=SPEC)
    released, logged = [], []
    for patients in (with_inputs(PATIENTS, ROW, value), as_nobody(PATIENTS, ROW)):
        noise = RecordedNoise(SeededNoise(3))
        policy = SitePolicy("registry", largest_epsilon=2.0, delta=1e-5)
        guard = Guard(
            site="Bonn",
            plan=plan,
            policy=policy,
            patients=partial(_as_loaded, patients),
            ledger=MemoryLedger(policy.budget),
            noise=noise,
        )
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            vector = guard.contribute(request_for(plan, weights=WEIGHTS)).vector
        logged.append([record.getMessage() for record in caplog.records])
        assert vector.shape == WEIGHTS.shape
        assert vector.dtype == np.float64
        assert np.isfinite(vector).all()
        released.append(vector - noise.drawn[0] / 2**plan.privacy.scale_bits)
    assert logged == [[], []]
    whole_steps = math.sqrt(vector.size) / 2**plan.privacy.scale_bits  # to which both were rounded
    assert np.linalg.norm(released[0] - released[1]) <= 1 + whole_steps
    assert np.linalg.norm(released[0] + clipped_sum(without(PATIENTS, ROW))) <= 1 + whole_steps
    if not np.isfinite(value) or abs(value) > 1e160:
        np.testing.assert_array_equal(released[0], released[1])


def test_the_patient_who_is_set_aside_counted_before() -> None:
    """Or else all of the above would be true of a patient without any influence."""
    assert int(PATIENTS.usable.sum()) == len(PATIENTS)
    assert np.linalg.norm(clipped_sum(PATIENTS) - clipped_sum(without(PATIENTS, ROW))) > 0.1
