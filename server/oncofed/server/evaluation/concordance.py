"""How well do the groups of risk order the patients? Harrell's C of a noised table, and an interval for it.

A pair is comparable when one patient has the event in a time and the other's follow-up ends in a later time; when the
other is censored in the same time, the pair counts one half (that is about how often the event came first). Two events
in one time are not comparable. A pair within one group of risk counts as a tie, one half. So C here is that of the
groups and not that of the model's continuous risk; docs/privacy.md says how far they differ on real cohorts.

Numerator and denominator are sums over pairs of different cells, and the noise of different cells is independent, so
that both are unbiased whatever the noise.

The interval is by inversion. With T(c) = concordant - c comparable = n' W n for the counts n, the expectation of T(c)
is 0 at the C of the population. T's variance has a part that is linear in the counts' errors and one that is quadratic:
sum v (S mu)^2 + 1/2 sum S^2 v v', with S = W + W' and v the variance of each count: Poisson, and the noise. The first
sum with n in place of mu is too large by twice the second. All c are kept for which T(c) is within 1.96 of its standard
deviations (Fieller's way with a ratio, which stays honest where the denominator is mostly noise: then nothing is
excluded). Counts are taken to be Poisson.

Sources: Harrell et al., JAMA 247 (1982); Fieller, JRSS B 16 (1954).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.server.evaluation.held_out_table import EndpointCounts

FloatArray = NDArray[np.float64]

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, which covers who happened to be there and the privacy noise together.

    value NaN: undefined on these counts.
    """

    value: float
    low: float
    high: float


def concordance_of(table: EndpointCounts) -> Estimate:
    """C of the table. NaN, with the interval [0, 1], where no pair is comparable."""
    concordant, comparable = _pair_weights(*table.counts.shape[:2])
    n, variances = table.counts.reshape(-1), table.variances.reshape(-1)
    pairs, agreeing = float(n @ comparable @ n), float(n @ concordant @ n)
    if pairs == 0:
        return Estimate(float("nan"), 0.0, 1.0)
    asked = np.linspace(0.0, 1.0, 2001)
    kept = asked[_within(agreeing, pairs, asked, concordant, comparable, n, variances)]
    value = agreeing / pairs
    if not len(kept):
        return Estimate(value, 0.0, 1.0)
    return Estimate(value, float(kept[0]), float(kept[-1]))


def told_concordance(found: Estimate) -> Estimate | None:
    """The same, or None where it says nothing: noise has carried it out of what a C can be, or no C is excluded.

    An undefined one is told, as that.
    """
    knows_nothing = found.low == 0.0 and found.high == 1.0
    return None if not np.isnan(found.value) and (knows_nothing or not 0.0 <= found.value <= 1.0) else found


def _within(
    agreeing: float,
    pairs: float,
    asked: FloatArray,
    concordant: FloatArray,
    comparable: FloatArray,
    n: FloatArray,
    variances: FloatArray,
) -> NDArray[np.bool_]:
    # Every variance is a quadratic polynomial in c: S is linear in it.
    s_1, s_0 = concordant + concordant.T, comparable + comparable.T
    l_1, l_0 = s_1 @ n, s_0 @ n
    linear = [float(variances @ part) for part in (l_1 * l_1, l_1 * l_0, l_0 * l_0)]
    quadratic = [0.5 * float(variances @ part @ variances) for part in (s_1 * s_1, s_1 * s_0, s_0 * s_0)]

    def at(parts: list[float]) -> FloatArray:
        return parts[0] - 2 * asked * parts[1] + asked**2 * parts[2]

    variance = np.maximum(at(linear) - at(quadratic), at(quadratic))
    off = agreeing - asked * pairs
    return np.asarray(off**2 <= _NORMAL_95**2 * variance)


def _pair_weights(groups: int, times: int) -> tuple[FloatArray, FloatArray]:
    """(cells, cells) each: how much a patient of the row's cell with one of the column's adds to either count."""
    group, time, event = (index.reshape(-1) for index in np.indices((groups, times, 2)))
    later = (time[None, :] > time[:, None]) + 0.5 * ((time[None, :] == time[:, None]) & (event[None, :] == 0))
    comparable = (event[:, None] == 1) * later
    higher = (group[:, None] > group[None, :]) + 0.5 * (group[:, None] == group[None, :])
    return comparable * higher, comparable
