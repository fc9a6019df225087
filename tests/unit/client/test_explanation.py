"""Do a patient's relevances add up to the log hazard ratio, and to nothing else?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oncofed.client.explanation import column_relevance, fold_to_markers
from oncofed.cohort.encoding import Column, Role
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, load_parameter_vector, parameter_count

GRID = TimeGrid((0, 6, 12, 24))


def trained_network(*, hidden_units: tuple[int, ...], linear_branch: bool = True) -> PrognosisNetwork:
    spec = ModelSpec(12, ("death", "next_treatment"), GRID, (0.01, 0.02), hidden_units, linear_branch=linear_branch)
    network = PrognosisNetwork(spec, initialisation_seed=0)
    load_parameter_vector(network, np.random.default_rng(3).normal(size=parameter_count(spec)))
    return network


def patients(count: int = 40) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(5).normal(size=(count, 12)))


@pytest.mark.parametrize("endpoint", [0, 1])
@pytest.mark.parametrize("hidden_units", [(), (5,), (7, 4)])
def test_relevances_add_up_to_the_log_hazard_ratio(hidden_units: tuple[int, ...], endpoint: int) -> None:
    network, x = trained_network(hidden_units=hidden_units), patients()
    totals = column_relevance(network, x, endpoint=endpoint).sum(axis=1)
    expected = network(x)[:, endpoint].detach().numpy()
    assert np.abs(expected).max() > 1, "the check must have something to add up"
    np.testing.assert_allclose(totals, expected, atol=1e-7)


def test_the_linear_branch_is_explained_exactly() -> None:
    network, x = trained_network(hidden_units=()), patients()
    assert network.linear_branch is not None
    expected = x.numpy() * network.linear_branch.weight[1].detach().numpy()
    np.testing.assert_array_equal(column_relevance(network, x, endpoint=1), expected)


def test_on_these_networks_the_epsilon_rule_is_gradient_times_input() -> None:
    network, x = trained_network(hidden_units=(7, 4)), patients().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
    expected = (gradient * x).detach().numpy()
    np.testing.assert_allclose(column_relevance(network, x.detach(), endpoint=0), expected, atol=1e-5)


def test_explaining_leaves_the_network_as_it_was() -> None:
    network, x = trained_network(hidden_units=(5,)), patients()
    before = network(x).detach().clone()
    column_relevance(network, x, endpoint=0)
    assert torch.equal(network(x).detach(), before)
    network(x).sum().backward()


def test_nobody_to_explain_gives_an_empty_table() -> None:
    assert column_relevance(trained_network(hidden_units=(5,)), patients(0), endpoint=0).shape == (0, 12)


def test_columns_fold_back_to_their_markers_and_lose_nothing() -> None:
    columns = (
        Column("age", Role.VALUE, 1.0),
        Column("age", Role.MISSING, 0.03),
        Column("entity", Role.CATEGORY, 2.0, "lung"),
        Column("entity", Role.CATEGORY, 2.0, "colon"),
        Column("rna_expression", Role.MISSING, 0.03),
    )
    relevance = np.array([[1.0, 2.0, 4.0, 8.0, 16.0], [-1.0, 0.5, 0.0, 0.0, 3.0]])
    names, folded = fold_to_markers(relevance, columns)
    assert names == ("age", "entity", "rna_expression")
    np.testing.assert_array_equal(folded, [[3.0, 12.0, 16.0], [-0.5, 0.0, 3.0]])
