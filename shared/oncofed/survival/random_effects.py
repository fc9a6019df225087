"""If a figure of a model differs between hospitals, what is it on average, and what may it be in the next hospital?

Each hospital has a true figure of its own; these are spread as a normal distribution about a mean, and each is known
with an error of known variance, which may hold the noise of a private release. The spread between hospitals is found by
restricted maximum likelihood, and the interval of the mean is that of Hartung and Knapp, never narrower than the plain
one: by chance hospitals agree better than their own errors allow.

The prediction interval says where the true figure of one more hospital of the same kind lies with the stated
probability. It is the figure a hospital should look at that thinks of using the model: an average of many says little
about one. The usual one takes the spread as if it were known, and where that comes out near 0, which it often does, it
is too narrow: of 20 hospitals with 30 events, a spread of 0.05 and a stated 95 % it held 88 %. So here the spread has
its whole confidence distribution. With V the spread's variance, the weighted squared deviations

    Q(V) = sum (y - mean(V))^2 / (v + V)

have a chi-squared distribution with one degree of freedom less than there are hospitals, whatever V is, and fall as V
rises. Each quantile of it gives the V at which Q(V) is that quantile (0 where Q(0) is below), and for each such V the
next hospital is normal about mean(V) with variance V + 1 / sum of weights. The interval is that of the mixture, or that
of the mean where this is wider: nobody knows one more hospital better than the mean of all.

Promise: estimates and variances alone go in, nothing is drawn at random, their order does not matter. Coverage:
`tests/statistical/test_random_effects.py`.

Sources: Viechtbauer, J. Educ. Behav. Stat. 30 (2005), restricted maximum likelihood; Hartung and Knapp, Statistics in
Medicine 20 (2001); Roever, Knapp and Friede, BMC Med. Res. Methodol. 15 (2015); Higgins, Thompson and Spiegelhalter,
JRSS A 172 (2009), the usual prediction interval; Nagashima, Noma and Furukawa, Stat. Methods Med. Res. 28 (2019), one
from the confidence distribution; Viechtbauer, Statistics in Medicine 26 (2007), Q(V).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2
from scipy.stats import t as student

from oncofed.survival.follow_up import FloatArray

FEWEST_FOR_PREDICTION = 3
"""Hospitals. From two nothing can be said about how much hospitals differ."""
_QUANTILES = 400
"""Of the confidence distribution of the spread."""
_ASKED = 800
"""Values of the spread at which Q is computed; between them it is interpolated."""


@dataclass(frozen=True)
class RandomEffects:
    """estimates, variances  (hospitals,), as they went in.

    mean            over hospitals.
    standard_error  of the mean (Hartung and Knapp).
    between_sd      standard deviation of the true figures between hospitals; 0 where they differ by chance alone.
    """

    estimates: tuple[float, ...]
    variances: tuple[float, ...]
    mean: float
    standard_error: float
    between_sd: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Limits of the mean."""
        half = self.standard_error * float(student.ppf((1 + level) / 2, len(self.estimates) - 1))
        return self.mean - half, self.mean + half

    def prediction(self, level: float = 0.95, *, variance: float = 0.0) -> tuple[float, float]:
        """Limits for one more hospital: of its true figure, or of what will be estimated there with this variance.

        NaN from fewer hospitals than FEWEST_FOR_PREDICTION.
        """
        if len(self.estimates) < FEWEST_FOR_PREDICTION:
            return float("nan"), float("nan")
        y, v = np.array(self.estimates), np.array(self.variances)
        weight = 1 / (v + _confidence(y, v)[:, None])
        mean = (weight * y).sum(axis=1) / weight.sum(axis=1)
        spread = np.sqrt(_confidence(y, v) + 1 / weight.sum(axis=1) + variance)
        low, high = (_quantile_of_mixture(share, mean, spread) for share in ((1 - level) / 2, (1 + level) / 2))
        of_mean = self.interval(level)
        return min(low, of_mean[0]), max(high, of_mean[1])


def random_effects(estimates: Sequence[float], variances: Sequence[float]) -> RandomEffects:
    """estimates, variances  (hospitals,), two at least; variances positive and finite, on the estimates' scale."""
    y, v = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if y.ndim != 1 or y.shape != v.shape or len(y) < 2:
        raise ValueError("estimates and variances must be one a hospital, of two at least")
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ValueError("estimates must be finite, variances positive")
    between = _between_variance(y, v)
    weight = 1 / (v + between)
    mean = float((weight * y).sum() / weight.sum())
    scale = float((weight * (y - mean) ** 2).sum() / (len(y) - 1))
    return RandomEffects(
        tuple(y.tolist()), tuple(v.tolist()), mean, math.sqrt(max(1.0, scale) / weight.sum()), math.sqrt(between)
    )


def _confidence(y: FloatArray, v: FloatArray) -> FloatArray:
    """(_QUANTILES,), rising: the variance between hospitals at as many equally likely places of its distribution."""
    wanted = chi2.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES, len(y) - 1)[::-1]
    # Q(V) is at most the sum of squares about the plain mean by V, so beyond this it is below all that is wanted.
    most = max(float(((y - y.mean()) ** 2).sum()) / float(wanted[-1]), 1e-12)
    asked = np.concatenate([[0.0], np.geomspace(1e-8 * most, most, _ASKED)])
    weight = 1 / (v + asked[:, None])
    mean = (weight * y).sum(axis=1) / weight.sum(axis=1)
    found = (weight * (y - mean[:, None]) ** 2).sum(axis=1)
    return np.asarray(np.interp(-wanted, -found, asked, left=0.0))


def _quantile_of_mixture(share: float, mean: FloatArray, spread: FloatArray) -> float:
    """By bisection, between limits of the components."""
    low, high = float((mean - 12 * spread).min()), float((mean + 12 * spread).max())
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if ndtr((middle - mean) / spread).mean() < share else (low, middle)
    return (low + high) / 2


def _between_variance(y: FloatArray, v: FloatArray) -> float:
    """Where the restricted likelihood is highest.

    Looked for on a grid first, since its slope may pass through 0 more than once, then by bisection of the slope.
    """
    most = 4 * float(np.var(y, ddof=1)) + float(v.max())
    asked = np.concatenate([[0.0], np.geomspace(1e-6 * most, most, 200)])
    best = int(np.argmax([_restricted_likelihood(each, y, v) for each in asked]))
    if best == 0 and _slope(0.0, y, v) <= 0:
        return 0.0
    low, high = float(asked[max(best - 1, 0)]), float(asked[min(best + 1, len(asked) - 1)])
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(middle, y, v) > 0 else (low, middle)
    return (low + high) / 2


def _restricted_likelihood(between: float, y: FloatArray, v: FloatArray) -> float:
    weight = 1 / (v + between)
    mean = (weight * y).sum() / weight.sum()
    return float(np.log(weight).sum() - np.log(weight.sum()) - (weight * (y - mean) ** 2).sum()) / 2


def _slope(between: float, y: FloatArray, v: FloatArray) -> float:
    weight = 1 / (v + between)
    mean = (weight * y).sum() / weight.sum()
    return float(((weight * (y - mean)) ** 2).sum() - weight.sum() + (weight**2).sum() / weight.sum()) / 2
