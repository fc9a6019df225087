"""Do a patient's relevances add up to the log hazard ratio, and to nothing else?"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from oncofed.cohort.encoding import Column, Role, columns, encode
from oncofed.cohort.validation import validate
from oncofed.explanation import relevance as explanation
from oncofed.explanation.relevance import captum_relevance, column_relevance, fold_to_markers, marker_relevance
from oncofed.explanation.rules import Rule, curvature
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.synthetic.consortium import generate
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


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("endpoint", [0, 1])
@pytest.mark.parametrize("hidden_units", [(), (5,), (7, 4)])
def test_relevances_add_up_to_the_log_hazard_ratio(hidden_units: tuple[int, ...], endpoint: int, rule: Rule) -> None:
    network, x = trained_network(hidden_units=hidden_units), patients()
    totals = column_relevance(network, x, endpoint=endpoint, rule=rule).sum(axis=1)
    expected = network(x)[:, endpoint].detach().numpy()
    assert np.abs(expected).max() > 1, "the check must have something to add up"
    np.testing.assert_allclose(totals, expected, atol=1e-7)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("linear_branch", [True, False])
def test_they_add_up_for_patients_with_markers_and_modalities_missing(linear_branch: bool, rule: Rule) -> None:
    consortium = generate(patients=300, hospitals=3, seed=4)
    cohort = validate(consortium.table, consortium.schema, where="synthetic")
    assert np.isnan(cohort.values).any(axis=1).all(), "the check must have something missing"
    encoded = columns(cohort.schema)
    spec = ModelSpec(len(encoded), ("death",), GRID, (0.01,), (6,), linear_branch=linear_branch)
    network = PrognosisNetwork(spec, initialisation_seed=0)
    load_parameter_vector(network, np.random.default_rng(3).normal(size=parameter_count(spec)))
    x = torch.as_tensor(encode(cohort))
    names, relevance = marker_relevance(network, x, encoded, endpoint=0, rule=rule)
    np.testing.assert_allclose(relevance.sum(axis=1), network(x)[:, 0].detach().numpy(), atol=1e-7)
    flags = [name for name in names if name not in {marker.name for marker in cohort.schema.markers}]
    assert flags, "a modality that is missing as a whole is a row of its own"
    missing = np.column_stack([x[:, [c.source for c in encoded].index(flag)].numpy() > 0 for flag in flags])
    of_flags = relevance[:, [names.index(flag) for flag in flags]]
    assert missing.any()
    if linear_branch:  # the epsilon rule gives nothing to what flows into inactive units alone
        assert (of_flags[missing] != 0).all(), "being unmeasured is explained"
    assert (of_flags[~missing] == 0).all()


def test_the_reference_patient_has_nothing_to_explain() -> None:
    network = trained_network(hidden_units=(5,))
    for rule in Rule:
        found = column_relevance(network, torch.zeros(2, 12, dtype=torch.float64), endpoint=0, rule=rule)
        np.testing.assert_array_equal(found, np.zeros((2, 12)))


def test_the_averaged_rule_is_the_shapley_value() -> None:
    """Against all subsets of the columns, by brute force; the normal approximation is good even for 12 columns."""
    network, x = trained_network(hidden_units=(5,)), patients(20)
    exact = shapley_by_brute_force(network, x)
    error = {
        rule: float(np.sqrt(np.square(column_relevance(network, x, endpoint=1, rule=rule) - exact).mean()))
        for rule in Rule
    }
    size = float(np.sqrt(np.square(exact).mean()))
    assert error[Rule.AVERAGED] < 0.1 * size
    assert error[Rule.EPSILON] > 0.25 * size, "the check must tell the rules apart"


def shapley_by_brute_force(network: PrognosisNetwork, x: torch.Tensor) -> np.ndarray:
    count = x.shape[1]
    with torch.no_grad():
        value = {
            known: network(x * torch.tensor([float(column in known) for column in range(count)]))[:, 1].numpy()
            for size in range(count + 1)
            for known in itertools.combinations(range(count), size)
        }
    found = np.zeros(tuple(x.shape))
    for column in range(count):
        for known, before in value.items():
            if column not in known:
                weight = math.factorial(len(known)) * math.factorial(count - len(known) - 1) / math.factorial(count)
                found[:, column] += weight * (value[tuple(sorted((*known, column)))] - before)
    return found


def test_the_averaged_rule_does_not_jump_where_a_unit_switches() -> None:
    network, x = trained_network(hidden_units=(5,), linear_branch=False), patients(1)
    assert network.relu_branch is not None
    unit = parameters_of(network.relu_branch[0])[0]
    on_the_edge = x - (x @ unit)[:, None] / unit.square().sum() * unit
    steps = [on_the_edge + sign * 1e-9 * unit for sign in (-1, 1)]
    jumps = {
        rule: float(np.abs(np.subtract(*[column_relevance(network, at, endpoint=0, rule=rule) for at in steps])).max())
        for rule in Rule
    }
    assert jumps[Rule.EPSILON] > 0.1
    assert jumps[Rule.AVERAGED] < 1e-7


def test_the_linear_branch_is_explained_exactly() -> None:
    network, x = trained_network(hidden_units=()), patients()
    assert network.linear_branch is not None
    expected = x.numpy() * network.linear_branch.weight[1].detach().numpy()
    np.testing.assert_array_equal(column_relevance(network, x, endpoint=1), expected)


@pytest.mark.parametrize("endpoint", [0, 1])
def test_the_closed_form_of_the_epsilon_rule_is_captums(endpoint: int) -> None:
    network, x = trained_network(hidden_units=(7,)), patients()
    expected = captum_relevance(network, x, endpoint=endpoint).numpy()
    found = column_relevance(network, x, endpoint=endpoint, rule=Rule.EPSILON)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_on_these_networks_the_epsilon_rule_is_gradient_times_input() -> None:
    network, x = trained_network(hidden_units=(7, 4)), patients().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
    expected = (gradient * x).detach().numpy()
    np.testing.assert_allclose(column_relevance(network, x.detach(), endpoint=0), expected, atol=1e-5)


def test_batches_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = trained_network(hidden_units=(5,)), patients()
    whole = column_relevance(network, x, endpoint=0)
    markers = tuple(Column(f"marker_{index // 2}", Role.VALUE, 1.0) for index in range(12))
    monkeypatch.setattr(explanation, "PATIENTS_AT_ONCE", 7)
    np.testing.assert_allclose(column_relevance(network, x, endpoint=0), whole, atol=1e-12)
    names, folded = marker_relevance(network, x, markers, endpoint=0)
    assert len(names) == 6
    np.testing.assert_allclose(folded, whole[:, ::2] + whole[:, 1::2], atol=1e-12)


def test_explaining_leaves_the_network_as_it_was() -> None:
    network, x = trained_network(hidden_units=(5,)), patients()
    before = network(x).detach().clone()
    column_relevance(network, x, endpoint=0)
    assert torch.equal(network(x).detach(), before)
    network(x).sum().backward()


def parameters_of(layer: torch.nn.Module) -> torch.Tensor:
    (weight,) = layer.parameters()
    return weight.detach()


def test_nobody_to_explain_gives_an_empty_table() -> None:
    assert column_relevance(trained_network(hidden_units=(5,)), patients(0), endpoint=0).shape == (0, 12)


def test_columns_fold_back_to_their_markers_and_lose_nothing() -> None:
    encoded = (
        Column("age", Role.VALUE, 1.0),
        Column("age", Role.MISSING, 0.03),
        Column("entity", Role.CATEGORY, 2.0, "lung"),
        Column("entity", Role.CATEGORY, 2.0, "colon"),
        Column("rna_expression", Role.MISSING, 0.03),
        Column("entity", Role.MISSING, 0.03),
        Column("entity", Role.CATEGORY, 2.0, "skin"),
    )
    relevance = np.array([[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], [-1.0, 0.5, 0.0, 0.0, 3.0, 0.25, 0.0]])
    names, folded = fold_to_markers(relevance, encoded)
    assert names == ("age", "entity", "rna_expression")
    np.testing.assert_array_equal(folded, [[3.0, 108.0, 16.0], [-0.5, 0.25, 3.0]])


def test_the_averaged_rule_has_the_integral_of_its_docstring() -> None:
    """kappa = integral over t of the normal density of a subset's sum at 0, by quadrature."""
    for total, squares in ((0.7, 0.5), (-1.3, 2.0), (0.0, 1.5), (4.0, 0.3)):

        def density(t: float, total: float = total, squares: float = squares) -> float:
            return float(norm.pdf(0.0, loc=t * total, scale=math.sqrt(t * (1 - t) * squares)))

        expected, _ = quad(density, 0, 1, limit=200)
        found = curvature(torch.tensor([[total]]).double(), torch.tensor([[squares]]).double())
        assert float(found) == pytest.approx(expected, rel=1e-5)
