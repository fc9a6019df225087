"""What do an attacker's successes prove about epsilon? Lower bounds that hold with a stated probability.

Each bound errs with probability at most `significance`: it exceeds the true epsilon no more often than that.

Sources: Clopper and Pearson, Biometrika 26 (1934); Steinke, Nasr, Jagielski, NeurIPS 2023 (arXiv 2305.08846, theorem
5.2 and corollary 5.4); Balle and Wang, ICML 2018, theorem 8 (the exact Gaussian mechanism); Dong, Roth, Su, JRSS B 2022
(a Gaussian mechanism is one number mu), used for auditing as in Nasr et al., USENIX Security 2023. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

_LARGEST_EPSILON = 700.0
"""Beyond it exp() overflows; no audit proves so much."""


def rate_interval(successes: int, trials: int, *, significance: float) -> tuple[float, float]:
    """Below and above the success rate, each wrong with probability at most `significance` (Clopper and Pearson)."""
    low = 0.0 if successes == 0 else float(stats.beta.ppf(significance, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.isf(significance, successes + 1, trials - successes))
    return low, high


def one_run_p_value(*, canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Probability of at least so many correct guesses if the run was (epsilon, delta)-private; an upper bound.

    canaries  each of which took part or not by a fair coin of its own. guesses  of them, the others are abstentions.

    Under pure epsilon the number of correct guesses is stochastically below a Binomial(guesses, e^eps / (1 + e^eps)).
    delta adds at most 2 m delta times the largest of P[v - i <= Binomial < v] / i over i.
    """
    if not 0 <= correct <= guesses <= canaries:
        raise ValueError("correct guesses are among the guesses, and these among the canaries")
    binomial = stats.binom(guesses, special.expit(epsilon))
    by_luck = float(binomial.sf(correct - 1))
    if delta == 0 or correct == 0:
        return min(1.0, by_luck)
    back = np.arange(1, correct + 1)
    within = np.cumsum(binomial.pmf(correct - back))
    return min(1.0, by_luck + 2 * canaries * delta * float((within / back).max()))


def one_run_epsilon(*, canaries: int, guesses: int, correct: int, delta: float, significance: float) -> float:
    """The largest epsilon that one run refutes; 0 when it refutes none."""

    def refuted(epsilon: float) -> bool:
        p = one_run_p_value(canaries=canaries, guesses=guesses, correct=correct, epsilon=epsilon, delta=delta)
        return p < significance

    return _largest(refuted)


def epsilon_of_rates(*, true_positive_low: float, false_positive_high: float, delta: float) -> float:
    """(epsilon, delta)-privacy allows TPR <= e^epsilon FPR + delta; the smallest epsilon that allows these."""
    if true_positive_low <= delta or false_positive_high <= 0:
        return 0.0
    return max(0.0, math.log((true_positive_low - delta) / false_positive_high))


def gaussian_delta(epsilon: float, mu: float) -> float:
    """delta of a Gaussian mechanism of sensitivity mu and standard deviation 1."""
    if mu <= 0:
        return 0.0
    log_first, log_second = stats.norm.logcdf(mu / 2 - epsilon / mu), stats.norm.logcdf(-mu / 2 - epsilon / mu)
    # A difference of near equals: the logarithms keep what is left of it.
    return float(np.exp(log_first) * -np.expm1(min(0.0, epsilon + log_second - log_first)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """epsilon of that mechanism at delta."""
    if mu <= 0:
        return 0.0
    if not math.isfinite(mu) or gaussian_delta(_LARGEST_EPSILON, mu) > delta:
        return math.inf
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    return float(optimize.brentq(lambda epsilon: gaussian_delta(epsilon, mu) - delta, 0.0, _LARGEST_EPSILON))


def gaussian_true_positives(mu: float, false_positives: float) -> float:
    """The most true positives that any attack on that mechanism has at this share of false ones."""
    return float(stats.norm.cdf(stats.norm.ppf(false_positives) + mu))


def mu_at_least(present: NDArray[np.float64], absent: NDArray[np.float64], *, significance: float) -> float:
    """A lower bound on mu from a Gaussian statistic, seen with and without a canary. 0 when nothing is shown.

    (n,) and (m,), at least two each. Their difference over the pooled standard deviation, times s with
    s^2 = n m / (n + m), is a noncentral t with n + m - 2 degrees of freedom and noncentrality mu s. The bound is the mu
    at which what was seen would be too large with probability `significance`.
    """
    n, m = len(present), len(absent)
    freedom, root = n + m - 2, math.sqrt(n * m / (n + m))
    pooled = math.sqrt(((n - 1) * present.var(ddof=1) + (m - 1) * absent.var(ddof=1)) / freedom)
    shift = float(present.mean() - absent.mean())
    if shift <= 0:
        return 0.0
    if pooled < 1e-9 * shift:
        return math.inf
    estimate = shift / pooled

    def too_large(mu: float) -> float:
        return _noncentral_t_sf(estimate * root, freedom, mu * root) - significance

    if too_large(0.0) >= 0:
        return 0.0
    # At the estimate itself what was seen has a probability of about one half.
    return float(optimize.brentq(too_large, 0.0, estimate * 2, xtol=1e-9))


def _noncentral_t_sf(t: float, freedom: int, noncentrality: float) -> float:
    """P[T > t] of T = (Z + noncentrality) / sqrt(chi2 / freedom), integrated over chi2.

    scipy's own survival function loses its digits in the tail.
    """
    return float(special.ndtr(noncentrality - t * _scales(freedom)).mean())


@lru_cache(maxsize=16)
def _scales(freedom: int) -> NDArray[np.float64]:
    """Equally likely values of sqrt(chi2 / freedom)."""
    levels = (np.arange(4000) + 0.5) / 4000
    return np.asarray(np.sqrt(stats.chi2.ppf(levels, freedom) / freedom))


def _largest(refuted: Callable[[float], bool]) -> float:
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high < _LARGEST_EPSILON and refuted(high):
        low, high = high, 2 * high
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
