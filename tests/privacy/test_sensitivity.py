"""By how much can one patient change a hospital's clipped gradient sum? By the bound at most, whoever it is.

privacy.md, test 1. The neighbours are: with the patient, without the patient. The Cox partial likelihood, in which
every patient's gradient depends on all others still at risk, is the loss for which this cannot hold, and must be seen
to fail here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles import drawn_patients, drawn_weights, joined, model_spec, with_inputs, without
from torch import Tensor

from oncofed.errors import PrivacyRefusal
from oncofed.privacy import mechanism
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector
from oncofed.survival.time_shapes import TimeShapes

Losses = Callable[[PrognosisNetwork, PatientTensors], Tensor]


def squared_distance(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """A per-patient loss that grows much faster than a likelihood."""
    target = 1e3 * patients.events
    return (network.log_hazard(patients.x) - target).square().sum(dim=(1, 2))


def discrete_time(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """Logistic hazard of each touched interval (Brown 1975): bounded slopes."""
    logits = network.log_hazard(patients.x)
    touched = (patients.at_risk > 0).to(torch.float64)
    return (touched * torch.nn.functional.softplus(logits) - patients.events * logits).sum(dim=(1, 2))


def exploding(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """Infinite or NaN for ordinary patients already."""
    log_hazard = network.log_hazard(patients.x)
    return (1e6 * log_hazard).exp().sum(dim=(1, 2)) + (1e6 * log_hazard).sqrt().sum(dim=(1, 2))


LOSSES: tuple[Losses, ...] = (patient_losses, squared_distance, discrete_time, exploding)
OUTLIERS = (0.0, 1e3, -1e3, 1e8, -1e15, 1e30, -1e30, 1e77, 1e150, 1e300, np.nan, np.inf, -np.inf)


def largest_influence(
    network: PrognosisNetwork, patients: PatientTensors, *, bound: float, losses: Losses = patient_losses
) -> float:
    """In units of the bound: how far the sum moves when a patient leaves, for the patient who moves it furthest."""
    everyone = clipped_gradient_sum(network, patients, l2_norm_bound=bound, losses=losses).vector
    assert np.isfinite(everyone).all()
    moves = [
        np.linalg.norm(
            everyone - clipped_gradient_sum(network, without(patients, row), l2_norm_bound=bound, losses=losses).vector
        )
        for row in range(len(patients))
    ]
    return float(max(moves)) / bound


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_one_patient_moves_the_sum_by_the_bound_at_most(data: st.DataObject) -> None:
    spec = model_spec(
        columns=data.draw(st.integers(1, 5)),
        endpoints=data.draw(st.integers(1, 3)),
        hidden_units=data.draw(st.sampled_from([(), (1,), (5,), (4, 3)])),
        linear_branch=data.draw(st.booleans()),
        baseline_weight=data.draw(st.sampled_from([0.0, 1e-3, 1.0, -2.0, 1e3])),
        time_shapes=data.draw(st.sampled_from([None, TimeShapes(1, 7.0, 1.0, (0,)), TimeShapes(2, 1e-3, 100.0, (0,))])),
    )
    weights_scale = data.draw(st.sampled_from([0.0, 0.1, 1.0, 30.0, 1e10, 1e100]))
    network = network_with(spec, drawn_weights(spec, seed=data.draw(st.integers(0, 999)), scale=weights_scale))
    patients = drawn_patients(
        spec,
        data.draw(st.integers(1, 9)),
        seed=data.draw(st.integers(0, 999)),
        scale=data.draw(st.sampled_from([1e-8, 1.0, 1e4])),
    )
    for _ in range(data.draw(st.integers(0, 3))):
        row = data.draw(st.integers(0, len(patients) - 1))
        patients = with_inputs(patients, row, data.draw(st.sampled_from(OUTLIERS)))
    bound = data.draw(st.sampled_from([1e-3, 0.1, 1.0, 50.0, 1e6]))
    losses = data.draw(st.sampled_from(LOSSES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mechanism, "PATIENTS_AT_ONCE", data.draw(st.sampled_from([1, 2, 4096])))
        assert largest_influence(network, patients, bound=bound, losses=losses) <= 1 + 1e-7


@pytest.mark.parametrize("hidden_units", [(), (5,), (4, 3)])
@pytest.mark.parametrize("endpoints", [1, 3])
def test_the_bound_is_reached(endpoints: int, hidden_units: tuple[int, ...]) -> None:
    """So the test above is not passed by a sum in which everybody counts next to nothing."""
    spec = model_spec(endpoints=endpoints, hidden_units=hidden_units)
    network = network_with(spec, drawn_weights(spec, seed=1))
    patients = with_inputs(drawn_patients(spec, 8, seed=1), 3, 1e3)
    influence = largest_influence(network, patients, bound=0.5)
    assert 1 - 1e-9 < influence <= 1 + 1e-9


def test_one_clip_covers_all_endpoints_and_layers_together() -> None:
    """Clipped one by one, three endpoints would let a patient move the sum by sqrt(3) bounds."""
    spec = model_spec(endpoints=3, hidden_units=())
    network = network_with(spec, np.zeros_like(drawn_weights(spec, seed=0)))
    patients = drawn_patients(spec, 1, seed=0)
    same_in_each = PatientTensors.of(
        1e3 * patients.x, patients.events[:, :1].repeat(1, 3, 1), patients.at_risk[:, :1].repeat(1, 3, 1)
    )
    one = clipped_gradient_sum(network, same_in_each, l2_norm_bound=1.0).vector
    assert np.linalg.norm(one) == pytest.approx(1.0, rel=1e-9)
    by_endpoint = one[spec.grid.intervals * 3 :].reshape(3, spec.columns)  # and each endpoint has its part of it
    assert (np.linalg.norm(by_endpoint, axis=1) > 0.05).all()


@pytest.mark.parametrize("log_hazard", [-300.0, -372.0, -375.0, -380.0])
def test_gradients_whose_squares_are_nothing_to_float64_are_clipped(log_hazard: float) -> None:
    """A slope of 1e-163 beside hidden units of 1e145: the square of the one is 0, their product is not."""
    spec = model_spec(columns=5, hidden_units=(3,), linear_branch=False)
    intervals = spec.grid.intervals
    weights = np.concatenate([np.full(intervals, log_hazard), np.full(15, 1e145), np.zeros(3)])
    one = torch.ones(1, 1, intervals, dtype=torch.float64)
    patient = PatientTensors.of(torch.ones(1, 5, dtype=torch.float64), 0 * one, one)
    for bound in (1e-4, 1e-18, 1e-20):
        added = clipped_gradient_sum(network_with(spec, weights), patient, l2_norm_bound=bound).vector
        assert np.linalg.norm(added / bound) <= 1 + 1e-7


def cox_partial_likelihood(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """Each patient's term of the negative log partial likelihood (Breslow); the last input is the time of the exit."""
    log_hazard_ratio = network.log_hazard(patients.x)[:, 0, 0]
    latest_first = torch.argsort(patients.x[:, -1], descending=True)
    over_risk_set = torch.empty_like(log_hazard_ratio)
    over_risk_set[latest_first] = torch.logcumsumexp(log_hazard_ratio[latest_first], dim=0)
    return patients.events.sum(dim=(1, 2)) * (over_risk_set - log_hazard_ratio)


@pytest.mark.parametrize(("n", "at_least"), [(128, 63), (512, 250)])
def test_the_cox_partial_likelihood_fails_the_test(n: int, at_least: float) -> None:
    """One long survivor of very high hazard stands in everybody's risk set and takes all the others' blame."""
    spec = model_spec(columns=2, hidden_units=())
    weights = drawn_weights(spec, seed=0, scale=0.0)
    weights[spec.grid.intervals] = 1.0  # f is the first input
    network = network_with(spec, weights)
    x = torch.zeros(n, 2, dtype=torch.float64)
    x[:, 1] = torch.linspace(0, 10, n)
    x[0] = torch.tensor([10.0, 11.0])
    everyone_dies = drawn_patients(spec, n, seed=0)
    patients = PatientTensors.of(x, torch.ones_like(everyone_dies.events), everyone_dies.at_risk)

    def influence(losses: Losses) -> float:
        with_survivor = clipped_gradient_sum(network, patients, l2_norm_bound=0.1, losses=losses).vector
        others = clipped_gradient_sum(network, without(patients, 0), l2_norm_bound=0.1, losses=losses).vector
        return float(np.linalg.norm(with_survivor - others)) / 0.1

    assert influence(cox_partial_likelihood) > at_least
    assert influence(patient_losses) <= 1 + 1e-9  # the very same patients


def test_the_sum_is_a_sum() -> None:
    """Not a mean: twice the patients, twice the vector. And a union's sum is the sum of the sums."""
    spec = model_spec(endpoints=2)
    network = network_with(spec, drawn_weights(spec, seed=2))
    some, others = drawn_patients(spec, 40, seed=2), drawn_patients(spec, 9, seed=3)

    def sum_of(patients: PatientTensors) -> BoundedSum:
        return clipped_gradient_sum(network, patients, l2_norm_bound=0.7)

    np.testing.assert_allclose(sum_of(joined(some, some)).vector, 2 * sum_of(some).vector, rtol=1e-12)
    union = sum_of(some) + sum_of(others)
    np.testing.assert_allclose(sum_of(joined(some, others)).vector, union.vector, rtol=1e-11)
    assert union.l2_norm_bound == 0.7


def test_sums_of_different_bounds_are_not_added() -> None:
    with pytest.raises(ValueError, match="bounds"):
        BoundedSum(np.zeros(3), 1.0) + BoundedSum(np.zeros(3), 2.0)


@pytest.mark.parametrize("bound", [0.0, -1.0, np.nan])
def test_a_bound_that_bounds_nothing_is_refused(bound: float) -> None:
    spec = model_spec()
    network = network_with(spec, drawn_weights(spec, seed=0))
    with pytest.raises(PrivacyRefusal):
        clipped_gradient_sum(network, drawn_patients(spec, 3, seed=0), l2_norm_bound=bound)


@pytest.mark.parametrize("patients_at_once", [1, 7, 50, 4096])
def test_how_many_are_computed_at_once_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch, patients_at_once: int
) -> None:
    spec = model_spec(endpoints=2, hidden_units=(4, 3))
    network = network_with(spec, drawn_weights(spec, seed=4))
    patients = drawn_patients(spec, 50, seed=4)
    expected = clipped_gradient_sum(network, patients, l2_norm_bound=0.5).vector
    monkeypatch.setattr(mechanism, "PATIENTS_AT_ONCE", patients_at_once)
    got = clipped_gradient_sum(network, patients, l2_norm_bound=0.5).vector
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_nobody_adds_nothing_and_the_network_stays_as_it_was() -> None:
    spec = model_spec()
    weights = drawn_weights(spec, seed=5)
    network = network_with(spec, weights)
    nobody = drawn_patients(spec, 3, seed=5).rows(slice(0, 0))
    assert not clipped_gradient_sum(network, nobody, l2_norm_bound=1.0).vector.any()
    clipped_gradient_sum(network, drawn_patients(spec, 3, seed=5), l2_norm_bound=1.0)
    np.testing.assert_array_equal(parameter_vector(network), weights)
