"""What do sums of patients' rows say of two options, and how sure is it?

Arithmetic of public numbers: sums (`treatment.rows`), noised or not, and the standard deviation of their noise. With
D = sum h, the survival under an option is sum u_a / D, and a figure f of the sums has the variance

    g' M g + noise^2 |g|^2,      g the gradient of f by the sums, M the sums of products,

for the rows' parts u_a - S_a h have a mean of 0 in the population weighted by h, whose weights are public. So limits
hold both that other patients would have come and that the sums were noised. They are of groups of patients, never of
one, and each is right by itself in 95 of 100; of many of them, some are wrong.

Sources: Tsiatis, Semiparametric Theory and Missing Data (2006), chapter 3; VanderWeele and Ding, Annals of Internal
Medicine 167 (2017), the E-value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.treatment.rows import COUNT_SHARE, NUMBERS, PRODUCT_SHARE, PRODUCTS, SUM_SHARE, SUMS

FloatArray = NDArray[np.float64]

LEVEL = 0.95
_FROM_SUMS, _FROM_PRODUCTS = 2, 2 + len(SUMS)
_OVERLAP, _SURVIVAL, _MEAN_TIME = 0, (1, 2), (3, 4)


@dataclass(frozen=True)
class Figure:
    """value, with its standard error (chance of the patients, and noise) and limits."""

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        return self.value - _quantile() * self.standard_error

    @property
    def high(self) -> float:
        return self.value + _quantile() * self.standard_error

    @property
    def holds_zero(self) -> bool:
        """Whether the limits hold 0: no difference is shown. Not where there are none."""
        return self.low <= 0 <= self.high

    def less(self, other: Figure) -> Figure:
        """The difference of two groups that share no patient."""
        return Figure(self.value - other.value, math.hypot(self.standard_error, other.standard_error))


@dataclass(frozen=True)
class Comparison:
    """Of some patients. Differences are the second option less the first.

    patients        with the first and with the second option, as counted (noised).
    survival        at the horizon, under the first and under the second option. difference: of these.
    mean_time       difference of the mean time lived up to the horizon, in horizons.
    log_risk_ratio  log of the risk under the second option over that under the first; NaN where one is not positive.
    predicted       the difference in survival that the models alone foretold.
    effective       so many patients of equal weight would tell as much, but for noise.
    overlap_noise   standard deviation of the noise of sum h, as a share of it.
    """

    patients: tuple[float, float]
    survival: tuple[Figure, Figure]
    difference: Figure
    mean_time: Figure
    log_risk_ratio: Figure
    predicted: float
    effective: float
    overlap_noise: float


def compare(sums: FloatArray, *, noise: float) -> Comparison:
    """Of all groups in `sums` together.

    sums   (groups, NUMBERS), or (NUMBERS,) of one. noise: standard deviation of what was added to each number.
    """
    groups = sums.reshape(-1, NUMBERS)
    total = groups.sum(axis=0)
    counts = total[:_FROM_SUMS] / COUNT_SHARE
    v = total[_FROM_SUMS:_FROM_PRODUCTS] / SUM_SHARE
    products = _matrix(total[_FROM_PRODUCTS:] / PRODUCT_SHARE)
    deviation = noise * math.sqrt(len(groups)) / SUM_SHARE
    overlap = float(v[_OVERLAP])

    def figure(value: float, **gradient: float) -> Figure:
        g = np.array([gradient.get(name, 0.0) for name in SUMS])
        return Figure(value, math.sqrt(max(float(g @ products @ g), 0.0) + deviation**2 * float(g @ g)))

    if not overlap > 0:  # also NaN: all but noise, or nobody
        nothing = Figure(math.nan, math.nan)
        both = (nothing, nothing)
        return Comparison(_pair(counts[::-1]), both, nothing, nothing, nothing, math.nan, 0.0, math.inf)
    under_1, under_0 = (float(v[place]) / overlap for place in _SURVIVAL)
    lived_1, lived_0 = (float(v[place]) / overlap for place in _MEAN_TIME)
    one = 1 / overlap
    risks = 1 - under_1, 1 - under_0
    if min(risks) > 0:
        ratio = figure(
            math.log(risks[0] / risks[1]),
            overlap=(under_1 / risks[0] - under_0 / risks[1]) * one,
            survival_1=-one / risks[0],
            survival_0=one / risks[1],
        )
    else:
        ratio = Figure(math.nan, math.nan)
    return Comparison(
        patients=_pair(counts[::-1]),
        survival=(
            figure(under_0, overlap=-under_0 * one, survival_0=one),
            figure(under_1, overlap=-under_1 * one, survival_1=one),
        ),
        difference=figure(under_1 - under_0, overlap=(under_0 - under_1) * one, survival_1=one, survival_0=-one),
        mean_time=figure(lived_1 - lived_0, overlap=(lived_0 - lived_1) * one, mean_time_1=one, mean_time_0=-one),
        log_risk_ratio=ratio,
        predicted=float(v[SUMS.index("predicted")]) * one,
        effective=overlap**2 / float(products[_OVERLAP, _OVERLAP]) if products[_OVERLAP, _OVERLAP] > 0 else 0.0,
        overlap_noise=deviation * one,
    )


def by_modifier(sums: FloatArray, modifier: int, *, noise: float) -> tuple[Comparison, Comparison]:
    """Of patients without and with it; its number as in `TargetTrial.modifiers`, sums of `TargetTrial.groups`."""
    has = (np.arange(len(sums)) >> modifier & 1).astype(bool)
    return compare(sums[~has], noise=noise), compare(sums[has], noise=noise)


def e_value(ratio: Figure) -> tuple[float, float]:
    """How strongly something unrecorded would have to go with both the option and death to explain all of it.

    ratio    log of the risk ratio. returns: risk ratios, for the estimate and for the limit that is nearer to 1 (1
             where the limits hold 1).
    """
    near = 0.0 if ratio.holds_zero else min(abs(ratio.low), abs(ratio.high))
    return _of_ratio(abs(ratio.value)), _of_ratio(near)


def _of_ratio(log_ratio: float) -> float:
    ratio = math.exp(log_ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))


def _pair(counts: FloatArray) -> tuple[float, float]:
    return float(counts[0]), float(counts[1])


def _matrix(products: FloatArray) -> FloatArray:
    """(sums, sums); 0 of pairs that no figure needs."""
    found = np.zeros((len(SUMS), len(SUMS)))
    for (left, right), value in zip(PRODUCTS, products, strict=True):
        found[left, right] = found[right, left] = value
    return found


def _quantile() -> float:
    return float(ndtri((1 + LEVEL) / 2))
