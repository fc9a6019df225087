"""How much does a pair of markers add to the log hazard ratio, judged by the outcomes and by its two markers?

The quantity: the root mean square of what the pair adds, slope * u_i * u_j, its spread over the patients; what a pair's
strength is where the truth is known. `interaction_evidence` estimates the slope and its standard error; taken at
its word, the strongest of 61,075 pairs are mostly those with the luckiest noise. So the estimate s of a pair, with
standard error e, is read in the light of all the others. Two groups (Efron, Statist. Sci. 23, 2008): a pair adds
nothing, or something drawn from a normal distribution of spread tau; it belongs to the second group with probability
    logit = a + b * h,    h = log(own spread of i) + log(own spread of j), standardised over the pairs,
the own spread of a marker being that of what it adds by itself in the additive model. That pairs of strong markers are
the likelier to interact is known as heredity (Chipman, Canad. J. Statist. 24, 1996), but here nobody has to believe it:
a, b and tau are those under which the estimates of all pairs are likeliest. Where interactions lie anywhere, b comes
out about 0 and the order is that of the estimates. Then
    strength**2 = P(second group | s) * ((k * s)**2 + k * e**2),    k = tau**2 / (tau**2 + e**2),
is the mean of the squared addition, given what was seen.

This is an order and a size, no test: what the outcomes prove is told by `q` of the evidence, which knows nothing of h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from oncofed.explanation.interaction_evidence import InteractionEvidence

FloatArray = NDArray[np.float64]

_LEAST_OF_MEDIAN = 0.01
"""A marker's own spread counts as no less than this share of the median: nobody can tell it from nothing."""
_LOGIT_BOUNDS = (-15.0, -3.0)
_HEREDITY_BOUNDS = (0.0, 4.0)
"""Never against strong markers; and where nothing interacts, one lucky pair could carry b anywhere."""
_SPREAD_BOUNDS = (1.0, 10.0)
"""Of tau, in median standard errors: below one nothing could be told from noise."""


@dataclass(frozen=True)
class PairPrior:
    """logit, heredity, spread  a, b and tau of the module's docstring; tau is a log hazard ratio."""

    logit: float
    heredity: float
    spread: float


@dataclass(frozen=True, eq=False)
class InteractionStrength:
    """names     markers, in the order of the rows and columns.
    strength  (markers, markers), symmetric, not negative, log hazard ratio; 0 for a pair that was not tested.
    """

    names: tuple[str, ...]
    strength: FloatArray
    prior: PairPrior


def interaction_strength(
    evidence: InteractionEvidence, *, values: FloatArray, own_spreads: FloatArray
) -> InteractionStrength:
    """The strength of every pair that was tested.

    values       (patients, markers) that the evidence was made of.
    own_spreads  (markers,), log hazard ratio: see `interaction_evidence.own_spreads`.
    """
    markers = len(evidence.names)
    first, second = np.nonzero(np.triu(~np.isnan(evidence.slope), k=1))
    strength = np.zeros((markers, markers))
    if not len(first):
        return InteractionStrength(evidence.names, strength, PairPrior(_LOGIT_BOUNDS[0], 0.0, 0.0))
    spreads = _spreads_of_products(values)[first, second]
    estimate = evidence.slope[first, second] * spreads
    error = evidence.standard_error[first, second] * spreads
    closeness = _heredity(own_spreads, first, second)
    prior = fitted_prior(estimate, error, closeness)
    square = mean_square(prior, estimate, error, closeness)
    strength[first, second] = strength[second, first] = np.sqrt(square)
    return InteractionStrength(evidence.names, strength, prior)


def fitted_prior(estimate: FloatArray, error: FloatArray, closeness: FloatArray) -> PairPrior:
    """The likeliest prior for these (pairs,), within the bounds above. closeness: h of the module's docstring."""
    typical = float(np.log(np.median(error)))

    def minus_log_likelihood(parameters: FloatArray) -> float:
        prior = PairPrior(parameters[0], parameters[1], float(np.exp(parameters[2])))
        odds = _log_odds(prior, estimate, error, closeness)
        return -float((np.logaddexp(odds, 0.0) - np.logaddexp(prior.logit + prior.heredity * closeness, 0.0)).sum())

    bounds = [_LOGIT_BOUNDS, _HEREDITY_BOUNDS, tuple(typical + np.log(_SPREAD_BOUNDS))]
    # With and without heredity at the start: the likelihood may have a hilltop at each.
    found = [
        minimize(minus_log_likelihood, [-7.0, heredity, typical + np.log(3.0)], method="L-BFGS-B", bounds=bounds)
        for heredity in (0.0, 1.0)
    ]
    logit, heredity, log_spread = min(found, key=lambda each: float(each.fun)).x.tolist()
    return PairPrior(logit, heredity, float(np.exp(log_spread)))


def mean_square(prior: PairPrior, estimate: FloatArray, error: FloatArray, closeness: FloatArray) -> FloatArray:
    """(pairs,): of what a pair adds, given its estimate."""
    kept = prior.spread**2 / (prior.spread**2 + np.square(error))
    probability: FloatArray = expit(_log_odds(prior, estimate, error, closeness))
    return probability * (np.square(kept * estimate) + kept * np.square(error))


def _log_odds(prior: PairPrior, estimate: FloatArray, error: FloatArray, closeness: FloatArray) -> FloatArray:
    """Of adding something, given the estimate."""
    ratio = 1 + np.square(prior.spread / error)
    seen: FloatArray = np.square(estimate / error) * (1 - 1 / ratio) / 2 - np.log(ratio) / 2
    return prior.logit + prior.heredity * closeness + seen


def _heredity(own_spreads: FloatArray, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
    """(pairs,): h of the module's docstring; 0 where the markers do not differ."""
    least = max(_LEAST_OF_MEDIAN * float(np.median(own_spreads)), np.finfo(np.float64).tiny)
    logarithms = np.log(np.maximum(own_spreads, least))
    found: FloatArray = logarithms[first] + logarithms[second]
    found -= found.mean()
    spread = float(found.std())
    return found / spread if spread > 0 else found


def _spreads_of_products(values: FloatArray) -> FloatArray:
    """(markers, markers): standard deviation over patients of each product of two values."""
    means = values.T @ values / len(values)
    squares = np.square(values).T @ np.square(values) / len(values)
    found: FloatArray = np.sqrt(np.maximum(squares - np.square(means), 0.0))
    return found
