"""Is the reference patient's log hazard ratio zero, and do parameters travel in one order?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.doubles import drawn_weights, model_spec

from oncofed.protocol.plan import ModelSpec
from oncofed.survival.network import (
    PrognosisNetwork,
    load_parameter_vector,
    network_with,
    parameter_count,
    parameter_vector,
)

SPECS = [
    model_spec(hidden_units=()),
    model_spec(hidden_units=(3,)),
    model_spec(hidden_units=(3,), linear_branch=False),
    model_spec(columns=7, hidden_units=(5, 4, 2), endpoints=3, baseline_weight=0.1),
    model_spec(hidden_units=(), linear_branch=False, endpoints=2),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))


@each_spec
def test_the_reference_patient_has_ratio_zero_whatever_the_weights(spec: ModelSpec) -> None:
    network = network_with(spec, drawn_weights(spec, seed=1, scale=10.0))
    ratio = network(torch.zeros(2, spec.columns, dtype=torch.float64))
    assert ratio.shape == (2, len(spec.endpoints))
    assert (ratio == 0).all()
    torch.testing.assert_close(
        network.log_hazard(torch.zeros(1, spec.columns, dtype=torch.float64))[0], network.baseline.log_hazard()
    )


@each_spec
def test_the_vector_is_as_long_as_is_said(spec: ModelSpec) -> None:
    network = PrognosisNetwork(spec, initialisation_seed=0)
    assert parameter_vector(network).shape == (parameter_count(spec),)
    assert parameter_vector(network).dtype == np.float64


@each_spec
def test_a_vector_comes_back_as_it_went(spec: ModelSpec) -> None:
    vector = drawn_weights(spec, seed=2)
    network = network_with(spec, vector)
    np.testing.assert_array_equal(parameter_vector(network), vector)
    x = torch.as_tensor(np.random.default_rng(3).normal(size=(4, spec.columns)))
    torch.testing.assert_close(network_with(spec, parameter_vector(network)).log_hazard(x), network.log_hazard(x))


def test_network_and_vector_share_no_memory() -> None:
    spec = SPECS[1]
    vector = drawn_weights(spec, seed=2)
    kept = vector.copy()
    network = network_with(spec, vector)
    vector[:] = 7.0
    np.testing.assert_array_equal(parameter_vector(network), kept)
    parameter_vector(network)[:] = 7.0
    np.testing.assert_array_equal(parameter_vector(network), kept)


def test_a_read_only_vector_can_be_loaded() -> None:
    """As it comes out of a message."""
    vector = drawn_weights(SPECS[1], seed=2)
    vector.setflags(write=False)
    np.testing.assert_array_equal(parameter_vector(network_with(SPECS[1], vector)), vector)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_vector_of_another_length_is_refused(change: int) -> None:
    spec = SPECS[1]
    network = PrognosisNetwork(spec, initialisation_seed=0)
    before = parameter_vector(network)
    with pytest.raises(ValueError, match="parameters"):
        load_parameter_vector(network, np.zeros(parameter_count(spec) + change))
    with pytest.raises(ValueError, match="parameters"):
        load_parameter_vector(network, np.zeros((parameter_count(spec), 1)))
    np.testing.assert_array_equal(parameter_vector(network), before)


def test_the_order_is_baseline_then_linear_then_relu() -> None:
    """Against the formula written out, with numbers for which it can be followed by hand."""
    spec = model_spec(columns=2, endpoints=2, hidden_units=(1,), baseline_weight=0.5)
    corrections = np.arange(8.0).reshape(2, 4)
    linear = np.array([[1.0, 2.0], [3.0, 4.0]])
    hidden, output = np.array([[1.0, -1.0]]), np.array([[10.0], [20.0]])
    vector = np.concatenate([part.reshape(-1) for part in (corrections, linear, hidden, output)])
    network = network_with(spec, vector)
    x = np.array([[5.0, 2.0], [1.0, 2.0]])
    ratio = x @ linear.T + np.maximum(x @ hidden.T, 0) @ output.T  # the second patient's unit is off
    np.testing.assert_allclose(ratio, [[39.0, 83.0], [5.0, 11.0]])
    got = network(torch.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(got, ratio, rtol=1e-15)
    rates = np.array(spec.baseline_hazard)[:, None] * spec.grid.widths
    expected = np.log(rates)[None] + 0.5 * corrections[None] + ratio[:, :, None]
    np.testing.assert_allclose(network.log_hazard(torch.as_tensor(x)).detach().numpy(), expected, rtol=1e-14)


def test_a_new_network_predicts_the_public_rate_for_everybody() -> None:
    spec = model_spec(endpoints=2, hidden_units=(6, 3))
    for seed in (0, 1):
        network = PrognosisNetwork(spec, initialisation_seed=seed)
        x = torch.as_tensor(np.random.default_rng(3).normal(size=(5, spec.columns)))
        assert (network(x) == 0).all()
        hazard = network.log_hazard(x).exp().detach().numpy()
        np.testing.assert_allclose(hazard[4], np.outer(spec.baseline_hazard, spec.grid.widths), rtol=1e-14)


def test_the_seed_picks_the_hidden_layers_alone() -> None:
    spec = model_spec(columns=50, hidden_units=(40, 30))
    first, same, other = (parameter_vector(PrognosisNetwork(spec, initialisation_seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    head, tail = spec.grid.intervals + spec.columns, 30
    for vector in (first, other):
        assert not vector[:head].any()
        assert not vector[-tail:].any()
    hidden = slice(head, len(first) - tail)
    assert not np.intersect1d(first[hidden], other[hidden]).size
    # He et al. 2015: variance 2 / inputs, layer by layer
    assert first[head : head + 50 * 40].std() == pytest.approx(np.sqrt(2 / 50), rel=0.1)
    assert first[head + 50 * 40 : -tail].std() == pytest.approx(np.sqrt(2 / 40), rel=0.1)


def test_no_seed_of_torchs_is_read_or_moved() -> None:
    spec = model_spec(hidden_units=(6, 3))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = parameter_vector(PrognosisNetwork(spec, initialisation_seed=0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    np.testing.assert_array_equal(parameter_vector(PrognosisNetwork(spec, initialisation_seed=0)), first)
