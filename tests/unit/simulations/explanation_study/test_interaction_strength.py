"""Is a pair's likely size the posterior it is said to be, is heredity learnt and not presumed, is noise kept small?"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from oncofed.cohort.encoding import Role, columns, encode
from oncofed.cohort.schema import Kind
from oncofed.cohort.validation import validate
from oncofed.explanation.interaction_evidence import AdditiveFit, InteractionEvidence, fit_additive_to, own_spreads
from oncofed.explanation.interactions import ranked_pairs
from oncofed.simulations.explanation_study.interaction_strength import (
    InteractionStrength,
    PairPrior,
    fitted_prior,
    interaction_strength,
    mean_square,
)
from oncofed.simulations.synthetic.consortium import generate

MARKERS = 120
TRUE_PAIRS = 20
FIRST, SECOND = np.triu_indices(MARKERS, k=1)


def by_integration(prior: PairPrior, estimate: float, error: float, closeness: float) -> float:
    """The mean of effect**2 given the estimate, effect by effect."""
    share = 1 / (1 + np.exp(-prior.logit - prior.heredity * closeness))
    effects, step = np.linspace(-0.7, 0.7, 20_001, retstep=True)
    density = share * norm.pdf(effects, scale=prior.spread) * norm.pdf(estimate, loc=effects, scale=error) * step
    nothing = (1 - share) * norm.pdf(estimate, scale=error)
    return float((effects**2 * density).sum() / (density.sum() + nothing))


def test_the_mean_square_is_the_posteriors() -> None:
    prior = PairPrior(logit=-2.0, heredity=1.5, spread=0.05)
    cases = list(itertools.product((0.0, 0.03, -0.12), (0.01, 0.04), (-1.0, 0.5, 2.0)))
    estimate, error, closeness = np.array(cases).T
    exact = [by_integration(prior, *case) for case in cases]
    np.testing.assert_allclose(mean_square(prior, estimate, error, closeness), exact, rtol=1e-6)


def pairs_with(*, heredity: float, share: float, spread: float, seed: int) -> tuple[np.ndarray, ...]:
    """Estimates, errors and closeness of 60,000 pairs drawn from the model itself."""
    rng = np.random.default_rng(seed)
    closeness, error = rng.normal(size=60_000), rng.uniform(0.01, 0.02, size=60_000)
    logit = np.log(share / (1 - share)) + heredity * closeness
    adds = rng.random(60_000) < 1 / (1 + np.exp(-logit))
    effect = np.where(adds, rng.normal(scale=spread, size=60_000), 0.0)
    return effect + rng.normal(scale=error), error, closeness


def test_the_prior_is_learnt_from_the_pairs() -> None:
    for heredity in (0.0, 1.5):
        found = fitted_prior(*pairs_with(heredity=heredity, share=0.01, spread=0.06, seed=1))
        assert found.heredity == pytest.approx(heredity, abs=0.25)
        assert found.logit == pytest.approx(np.log(0.01 / 0.99), abs=0.4)
        assert found.spread == pytest.approx(0.06, rel=0.15)


def strength_of(
    true_pairs: list[tuple[int, int]], *, own: np.ndarray, seed: int, error: float = 0.015
) -> tuple[InteractionStrength, InteractionEvidence]:
    """Evidence of so many pairs, each true one 4 errors large, and what is made of it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2000, MARKERS)) * np.linspace(0.5, 2.0, MARKERS)
    spreads = (values[:, FIRST] * values[:, SECOND]).std(axis=0)
    size = np.zeros((MARKERS, MARKERS))
    for pair in true_pairs:
        size[pair] = 4 * error * rng.choice([-1, 1])
    slope, errors = np.full((MARKERS, MARKERS), np.nan), np.full((MARKERS, MARKERS), np.nan)
    drawn = size[FIRST, SECOND] + rng.normal(scale=error, size=len(FIRST))
    slope[FIRST, SECOND] = slope[SECOND, FIRST] = drawn / spreads
    errors[FIRST, SECOND] = errors[SECOND, FIRST] = error / spreads
    names = tuple(map(str, range(MARKERS)))
    nothing = np.ones((MARKERS, MARKERS))
    evidence = InteractionEvidence(names, slope / errors, nothing, nothing, slope, errors)
    return interaction_strength(evidence, values=values, own_spreads=own), evidence


def found_among(order: np.ndarray, true_pairs: list[tuple[int, int]]) -> int:
    return len(set(ranked_pairs(np.nan_to_num(order))[:TRUE_PAIRS]) & set(true_pairs))


OWN = np.exp(np.random.default_rng(8).normal(size=MARKERS))
STRONG = np.sort(np.argsort(-OWN)[:12])
AMONG_STRONG = [tuple(pair) for pair in itertools.combinations(STRONG.tolist(), 2)][::3][:TRUE_PAIRS]
ANYWHERE = [ranked_pairs(np.ones((MARKERS, MARKERS)))[place] for place in range(7, 7000, 350)][:TRUE_PAIRS]


def test_pairs_of_strong_markers_are_found_that_the_evidence_alone_misses() -> None:
    by_strength, by_evidence = [], []
    for seed in range(4):
        found, evidence = strength_of(AMONG_STRONG, own=OWN, seed=seed)
        assert found.prior.heredity > 1
        by_strength.append(found_among(found.strength, AMONG_STRONG))
        by_evidence.append(found_among(np.abs(evidence.z), AMONG_STRONG))
    assert np.mean(by_strength) > np.mean(by_evidence) + 3


def test_where_pairs_lie_anywhere_nothing_is_lost() -> None:
    assert len(ANYWHERE) == TRUE_PAIRS
    by_strength, by_evidence = [], []
    for seed in range(4):
        found, evidence = strength_of(ANYWHERE, own=OWN, seed=seed)
        assert found.prior.heredity < 0.5
        by_strength.append(found_among(found.strength, ANYWHERE))
        by_evidence.append(found_among(np.abs(evidence.z), ANYWHERE))
    assert np.mean(by_strength) > np.mean(by_evidence) - 0.7


def test_a_clear_pair_has_about_its_size_and_noise_has_none() -> None:
    found, evidence = strength_of(AMONG_STRONG, own=OWN, seed=6)
    of_true = np.array([found.strength[pair] for pair in AMONG_STRONG])
    assert np.sqrt(np.square(of_true).mean()) == pytest.approx(0.06, rel=0.25)
    np.testing.assert_array_equal(found.strength, found.strength.T)
    squares = [np.square(strength_of([], own=OWN, seed=seed)[0].strength).sum() / 2 for seed in range(6)]
    assert np.mean(squares) < 0.02 * len(FIRST) * 0.015**2, "2 % of what the estimates themselves would say"
    assert not found.strength.diagonal().any()
    assert evidence.names == found.names


def test_a_pair_that_was_not_tested_has_no_strength() -> None:
    _, evidence = strength_of(AMONG_STRONG, own=OWN, seed=7)
    values = np.random.default_rng(1).normal(size=(50, MARKERS))
    for untested in ([AMONG_STRONG[0]], [(i, j) for i in range(MARKERS) for j in range(MARKERS)]):
        slope = evidence.slope.copy()
        for i, j in untested:
            slope[i, j] = slope[j, i] = np.nan
        found = interaction_strength(replace(evidence, slope=slope), values=values, own_spreads=OWN)
        assert all(found.strength[pair] == 0 for pair in untested)
        assert np.isfinite(found.strength).all()
    assert not found.strength.any()


def test_a_markers_own_spread_is_of_its_values_and_their_curve_not_of_its_flag() -> None:
    made = generate(patients=300, hospitals=2, seed=4)
    cohort = validate(made.table, made.schema, where="synthetic")
    encoded, x = columns(cohort.schema), encode(cohort)
    fit = fit_additive_to(cohort.subset(np.arange(40)), endpoint=0)
    place = [marker.name for marker in cohort.schema.markers].index("age_years")
    value = next(i for i, c in enumerate(encoded) if c.source == "age_years" and c.role is Role.VALUE)
    coefficients = np.zeros_like(fit.coefficients)
    coefficients[value] = 2.0
    coefficients[[i for i, c in enumerate(encoded) if c.role is Role.MISSING]] = 50.0

    def spreads(own: np.ndarray) -> np.ndarray:
        return own_spreads(cohort, AdditiveFit(own, fit.residual, fit.expected))

    expected = np.zeros(len(cohort.schema.markers))
    expected[place] = (2 * x[:, value]).std()
    np.testing.assert_allclose(spreads(coefficients), expected, atol=1e-12)
    coefficients[len(encoded) :] = 3.0
    curved = spreads(coefficients)
    assert curved[place] == pytest.approx((2 * x[:, value] + 3 * x[:, value] ** 2).std())
    binary = [marker.kind is Kind.BINARY for marker in cohort.schema.markers]
    assert not curved[binary].any(), "0 and 1 have no curve"
