"""Do the audit's bounds prove what they say? Against the papers' numbers, scipy, and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from tests.doubles import FULL_BATCH_SIGMA

from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent, epsilon_of
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease
from oncofed.simulations.audit.accountant import agree, independent_epsilon
from oncofed.simulations.audit.bounds import (
    epsilon_of_rates,
    gaussian_epsilon,
    gaussian_true_positives,
    mu_at_least,
    one_run_epsilon,
    one_run_p_value,
    rate_interval,
)

DELTA = 1e-5


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "delta", "published"),
    [
        (100, 100, 75, 0.0, 0.702),  # appendix D
        (100, 100, 75, 1e-4, 0.699),
        (1000, 100, 75, 1e-4, 0.673),
        (100_000, 1510, 1439, 1e-5, 2.675),  # section 7, cut off rather than rounded
    ],
)
def test_one_run_gives_the_papers_numbers(
    canaries: int, guesses: int, correct: int, delta: float, published: float
) -> None:
    ours = one_run_epsilon(canaries=canaries, guesses=guesses, correct=correct, delta=delta, significance=0.05)
    assert ours == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.0])
def test_randomised_response_reaches_the_one_run_bound(epsilon: float) -> None:
    """The mechanism that tells each coin rightly with probability e^eps / (1 + e^eps): enumerated, it is the bound."""
    right, coins = math.exp(epsilon) / (1 + math.exp(epsilon)), 7
    for correct in range(coins + 1):
        truth = sum(
            math.prod(right if hit else 1 - right for hit in hits)
            for hits in itertools.product((True, False), repeat=coins)
            if sum(hits) >= correct
        )
        bound = one_run_p_value(canaries=coins, guesses=coins, correct=correct, epsilon=epsilon, delta=0.0)
        assert bound == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize(("coins", "delta"), [(6, 0.01), (9, 0.05)])
def test_a_mechanism_that_tells_all_with_probability_delta_stays_below_the_one_run_bound(
    coins: int, delta: float
) -> None:
    """Randomised response that with probability delta tells every coin is (epsilon, delta)-private."""
    epsilon = 0.8
    right = math.exp(epsilon) / (1 + math.exp(epsilon))
    for correct in range(1, coins + 1):
        truth = (1 - delta) * stats.binom.sf(correct - 1, coins, right) + delta
        bound = one_run_p_value(canaries=coins, guesses=coins, correct=correct, epsilon=epsilon, delta=delta)
        assert truth <= bound + 1e-12
        if correct == coins:  # and the bound without delta would not hold
            assert truth > one_run_p_value(canaries=coins, guesses=coins, correct=correct, epsilon=epsilon, delta=0.0)


def test_guesses_beyond_the_canaries_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="among"):
        one_run_p_value(canaries=3, guesses=4, correct=1, epsilon=1.0, delta=0.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (40, 900)])
def test_rates_have_clopper_and_pearsons_interval(successes: int, trials: int) -> None:
    low, high = rate_interval(successes, trials, significance=0.025)
    theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_gaussian_bound_is_the_accountants() -> None:
    for mu in (0.1, 0.268, 1.0, 3.0):
        assert gaussian_epsilon(mu, DELTA) == pytest.approx(
            epsilon_of([GaussianRelease(1 / mu)], delta=DELTA), abs=2e-3
        )
    assert gaussian_epsilon(math.inf, DELTA) == math.inf
    assert gaussian_epsilon(0.0, DELTA) == 0.0


def test_an_attack_on_a_gaussian_has_the_true_positives_of_neyman_and_pearson() -> None:
    rng = np.random.default_rng(3)
    present, absent = rng.normal(0.5, 1, 400_000), rng.normal(0, 1, 400_000)
    caught = float((present > np.quantile(absent, 0.99)).mean())
    assert gaussian_true_positives(0.5, 0.01) == pytest.approx(caught, abs=0.002)


def test_the_bound_on_mu_errs_no_more_often_than_it_says() -> None:
    """With its significance at 5 %, over many samples of a Gaussian whose mu is known; and it is not idle."""
    rng, mu = np.random.default_rng(4), 0.7
    bounds = [mu_at_least(rng.normal(mu, 1, 60), rng.normal(0, 1, 45), significance=0.05) for _ in range(1000)]
    wrong = int((np.array(bounds) > mu).sum())
    assert stats.binomtest(wrong, 1000, 0.05).pvalue > 1e-6
    assert np.median(bounds) > 0.3


def test_the_bound_on_mu_without_noise_is_infinite_and_without_a_shift_is_zero() -> None:
    assert mu_at_least(np.ones(5), np.zeros(5), significance=0.01) == math.inf
    assert mu_at_least(np.zeros(5), np.ones(5), significance=0.01) == 0.0


def test_rates_bound_epsilon_by_the_definition() -> None:
    assert epsilon_of_rates(true_positive_low=0.5 + DELTA, false_positive_high=0.1, delta=DELTA) == pytest.approx(
        math.log(5)
    )
    assert epsilon_of_rates(true_positive_low=DELTA / 2, false_positive_high=0.1, delta=DELTA) == 0.0


SHARED = SharedIntegerRelease(12.0, 5000, 10, 1.0, sites=8, dropouts=1, colluding=2)


@pytest.mark.parametrize(
    "events",
    [
        [GaussianRelease(FULL_BATCH_SIGMA)] * 60,
        [GaussianRelease(5.0), GaussianRelease(9.0)],
        [SHARED] * 30,
        [SampledIntegerRelease(2.0, 5000, 10, 1.0, 0.05, 100)],
        [SampledIntegerRelease(2.0, 5000, 20, 1.0, 0.05, 50), GaussianRelease(8.0)],
    ],
    ids=str,
)
def test_the_independent_accountant_agrees_with_the_ledgers(events: list[PrivacyEvent]) -> None:
    ours = independent_epsilon(events, delta=DELTA)
    assert agree(epsilon_of(events, delta=DELTA), ours)
    one_more = epsilon_of([*events, *events[: max(1, len(events) // 10)]], delta=DELTA)
    assert not agree(one_more, ours)


def test_no_noise_costs_everything() -> None:
    assert independent_epsilon([GaussianRelease(0.0)], delta=DELTA) == math.inf
