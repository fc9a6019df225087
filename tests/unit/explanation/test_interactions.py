"""Is a pair's interaction the mixed difference it is said to be, and is evidence for it controlled and found?"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import false_discovery_control, kstest

from oncofed.cohort.encoding import Column, Role
from oncofed.explanation.interaction_evidence import benjamini_hochberg, fit_additive, interaction_evidence, with_curves
from oncofed.explanation.interactions import model_interactions, ranked_pairs
from oncofed.explanation.rules import Rule, relevance_of_columns
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, load_parameter_vector, parameter_count

GRID = TimeGrid((0, 6, 12, 24))
MARKERS = 9
NAMES = tuple(f"marker_{index}" for index in range(MARKERS))
COLUMNS = tuple(Column(name, Role.VALUE, 1.0) for name in NAMES)


def trained_network(*, hidden_units: tuple[int, ...] = (6,)) -> PrognosisNetwork:
    spec = ModelSpec(MARKERS, ("death", "next_treatment"), GRID, (0.01, 0.02), hidden_units)
    network = PrognosisNetwork(spec, initialisation_seed=None)
    load_parameter_vector(network, np.random.default_rng(3).normal(size=parameter_count(spec)))
    return network


def patients(count: int) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(5).normal(size=(count, MARKERS)))


def by_brute_force(network: PrognosisNetwork, x: torch.Tensor, first: int, second: int) -> np.ndarray:
    """(patients,): the mixed difference, averaged over all subsets of the others."""
    others = [column for column in range(MARKERS) if column not in (first, second)]

    def value(known: tuple[int, ...]) -> np.ndarray:
        with torch.no_grad():
            mask = torch.tensor([float(column in known) for column in range(MARKERS)])
            return np.asarray(network(x * mask)[:, 1].numpy())

    found = np.zeros(len(x))
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(others) + 1)
        for known in itertools.combinations(others, size):
            both, one = value((*known, first, second)), value((*known, first))
            found += weight * (both - one - value((*known, second)) + value(known))
    return found


def test_strength_is_the_mean_square_of_the_shapley_interaction() -> None:
    network, x = trained_network(), patients(25)
    found = model_interactions(network, x, COLUMNS, names=NAMES, values=x.numpy(), endpoint=1)
    pairs = [(0, 1), (2, 7), (3, 4), (5, 8), (1, 6), (4, 8)]
    exact = np.array([np.sqrt(np.square(by_brute_force(network, x, *pair)).mean()) for pair in pairs])
    ours = np.array([found.strength[pair] for pair in pairs])
    # A normal approximation, with only seven other markers.
    np.testing.assert_allclose(ours, exact, atol=0.15 * exact.max())
    assert np.corrcoef(ours, exact)[0, 1] > 0.97
    slopes = []
    for first, second in pairs:
        products = (x[:, first] * x[:, second]).numpy()
        slopes.append(by_brute_force(network, x, first, second) @ products / (products @ products))
    np.testing.assert_array_equal(np.sign([found.slope[pair] for pair in pairs]), np.sign(slopes))
    np.testing.assert_allclose(found.strength, found.strength.T, rtol=1e-12)


def test_markers_that_are_added_up_do_not_interact() -> None:
    linear = model_interactions(
        trained_network(hidden_units=()), patients(9), COLUMNS, names=NAMES, values=patients(9).numpy(), endpoint=0
    )
    assert not linear.strength.any()
    network = trained_network()
    assert network.relu_branch is not None
    with torch.no_grad():
        weight = next(network.relu_branch.parameters())
        weight[:, 0] *= torch.tensor([1.0, 0, 0, 0, 0, 0])  # marker 0 goes into unit 0 alone ...
        weight[0, 1] = 0.0  # ... and marker 1 into all the others
    found = model_interactions(network, patients(9), COLUMNS, names=NAMES, values=patients(9).numpy(), endpoint=0)
    assert found.strength[0, 1] == 0
    assert found.strength[0, 2] > 0


def test_the_interaction_is_how_relevance_changes_when_the_other_marker_becomes_known() -> None:
    """R_i(x) - R_i(x without j), summed over who gains, comes from the pair: the sign and size agree."""
    network, x = trained_network(hidden_units=(40,)), patients(60)
    found = model_interactions(network, x, COLUMNS, names=NAMES, values=x.numpy(), endpoint=0)
    changes = np.zeros((MARKERS, MARKERS))
    for second in range(MARKERS):
        without = x.clone()
        without[:, second] = 0.0
        whole, less = (relevance_of_columns(network, each, endpoint=0, rule=Rule.AVERAGED) for each in (x, without))
        products = x * x[:, [second]]
        changes[:, second] = ((whole - less) * products).sum(dim=0) / products.square().sum(dim=0)
    upper = np.triu_indices(MARKERS, k=1)
    assert np.corrcoef(changes[upper], found.slope[upper])[0, 1] > 0.9


def test_a_deeper_network_is_refused() -> None:
    with pytest.raises(ValueError, match="one hidden layer"):
        model_interactions(
            trained_network(hidden_units=(4, 3)), patients(3), COLUMNS, names=NAMES, values=np.ones((3, 9)), endpoint=0
        )


def test_pairs_come_strongest_first_and_once() -> None:
    strength = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    assert ranked_pairs(strength) == [(0, 2), (1, 2), (0, 1)]


def outcomes(log_hazard: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    months = rng.exponential(20 / np.exp(log_hazard))
    censored = rng.exponential(40.0, len(months))
    seen = np.minimum(np.minimum(months, censored), 24.0)
    return GRID.events(seen, (months <= censored) & (months <= 24.0)), GRID.at_risk(np.zeros(len(seen)), seen)


def evidence_of(interaction: float, *, seed: int, markers: int = 30, count: int = 4000) -> np.ndarray:
    """Correlated markers with main and curved effects, and one true pair: 2 with 7. returns z."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, markers)) + 0.6 * rng.normal(size=(count, 1)) + 0.3
    f = 0.4 * x[:, 0] - 0.3 * x[:, 1] + 0.3 * x[:, 2] + 0.1 * x[:, 3] ** 2 + interaction * x[:, 2] * x[:, 7]
    events, at_risk = outcomes(f, rng)
    additive = fit_additive(with_curves(x, tuple(range(markers))), events=events, at_risk=at_risk)
    names = tuple(map(str, range(markers)))
    found = interaction_evidence(x, names=names, residual=additive.residual, expected=additive.expected)
    return np.asarray(found.z)


def test_without_any_interaction_z_is_standard_normal() -> None:
    upper = np.triu_indices(30, k=1)
    z = np.concatenate([evidence_of(0.0, seed=seed)[upper] for seed in (1, 2)])
    assert kstest(z, "norm").pvalue > 1e-3
    assert kstest(1.3 * z, "norm").pvalue < 1e-3, "the check must notice 30 %"


def test_a_main_effect_that_the_penalty_held_back_does_not_pass_for_an_interaction() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(4000, 10)) + 1.0  # so that a product goes with each of its two
    events, at_risk = outcomes(0.4 * x[:, 0] - 0.4 * x[:, 1], rng)
    fit = fit_additive(x, events=events, at_risk=at_risk, penalty=1e5)
    found = interaction_evidence(x, names=tuple("abcdefghij"), residual=fit.residual, expected=fit.expected)
    assert np.abs(found.z[0, 2:]).max() < 4


def test_a_true_pair_is_found_with_its_sign() -> None:
    for sign in (1, -1):
        z = evidence_of(0.15 * sign, seed=3)
        assert divmod(int(np.nanargmax(np.abs(z))), len(z)) in {(2, 7), (7, 2)}
        assert sign * z[2, 7] > 4


def test_false_discovery_control_is_benjamini_hochbergs() -> None:
    p = np.random.default_rng(2).uniform(size=200) ** 3
    tested = np.ones(200, dtype=bool)
    np.testing.assert_allclose(benjamini_hochberg(p, tested=tested), false_discovery_control(p))
    tested[::2] = False
    q = benjamini_hochberg(p, tested=tested)
    np.testing.assert_allclose(q[1::2], false_discovery_control(p[1::2]))
    assert (q[::2] == 1).all()


def test_a_pair_that_hardly_occurs_is_not_tested() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(500, 3))
    x[:, 1] = 0.0
    x[:2, 1] = 1.0
    events, at_risk = outcomes(0.3 * x[:, 0], rng)
    fit = fit_additive(x, events=events, at_risk=at_risk)
    found = interaction_evidence(x, names=("a", "b", "c"), residual=fit.residual, expected=fit.expected)
    assert np.isnan(found.z[0, 1])
    assert found.q[0, 1] == found.p[0, 1] == 1
    assert np.isfinite(found.z[0, 2])
    np.testing.assert_allclose(found.slope / found.standard_error, found.z)
    assert np.isnan(np.diag(found.z)).all()


def test_the_additive_fit_is_the_penalised_optimum() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 4))
    events, at_risk = outcomes(x @ [0.5, -0.3, 0.0, 0.2], rng)
    fit = fit_additive(x, events=events, at_risk=at_risk, penalty=3.0)
    np.testing.assert_allclose(x.T @ fit.residual, 3.0 * fit.coefficients, atol=1e-4)
    np.testing.assert_allclose(fit.residual.sum(), 0.0, atol=1e-9)  # the baseline is at its best
    assert np.sign(fit.coefficients[[0, 1, 3]]).tolist() == [1, -1, 1]
