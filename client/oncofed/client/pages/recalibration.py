"""How sure is a survival curve of this hospital, as far as its own patients can tell?

The released model is one set of weights, so there is no ensemble whose spread could be shown. What a hospital has is
patients with known outcomes. So the model's baseline hazard and the spread of its hazard ratios are adjusted to them:
the log hazard of interval k becomes b_k + a_k + s f, with one correction a_k for each interval and one slope s. The
posterior of (a, s) is taken as Gaussian around its mode, with the inverse of the information matrix as its covariance
(Laplace), and carried over to the log cumulative hazard by its derivative; the band is symmetric there, so that it
stays between 0 and 1.

The band covers: how few patients and events the hospital has, for the level and the spread of risks. It does not
cover: whether f orders this very patient rightly (a marker that the model lacks, noise in the released weights, an
unusual patient), changes of treatment over time, wrong entries in the table. The adjustment uses all of the hospital's
patients, the one shown included, who is one of many. A simulation's pages apply it. On those of a node it is told how
the model fits, and what is applied is what the hospital has adopted (`Decided`, `oncofed.client.fit`), if anything.

Weak public priors keep an interval without events finite. All intervals share one level, a_1 ~ N(0, 9), and each
differs from the one before by N(0, 0.25); s ~ N(1, 1). So what is known of the neighbours counts where an interval has
few events, and the level is hardly held at all. (A prior for each interval by itself would pull K times on the level:
with 30 events and deaths at 40 % of the model's, its 95 % bands held the truth 3 times of 4.)

**Whose outcomes.** On the patients that a model learned from, s is near 1 whatever it learned by heart. So s is fitted
on patients who were set aside, or where the noise of training hid each of them; else it is held at 1, and only the
level is adjusted (`with_slope`).

Sources: the piecewise exponential model as in `oncofed.survival.likelihood`; van Houwelingen, Statistics in Medicine 19
(2000), recalibration of a survival model by intercept and slope; Tierney and Kadane, JASA 81 (1986), Laplace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.client.pages.disclosure import Disclosure
from oncofed.survival.curves import NOT_REACHED
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

FEWEST_EVENTS = 30
"""With fewer observed events nothing is adjusted and no band is shown."""
LEVEL = 0.95
_LEVEL_VARIANCE, _STEP_VARIANCE, _OWN_VARIANCE, _SLOPE_VARIANCE = 9.0, 0.25, 0.01, 1.0
_MOST_STEPS = 100
_CONVERGED = 1e-9
_LARGEST_STEP = 2.0
"""Of any parameter in one step: from a far start, Newton's full step would overflow the exponential."""


@dataclass(frozen=True, eq=False)
class Recalibration:
    """corrections  (intervals,), a_k. slope  s, 1 where hazard ratios are spread as the model says, or held at 1.

    with_slope  whether s was fitted; else its part of the covariance is 0.
    set_aside   whether none of these patients was learned from.

    covariance  (intervals + 1, intervals + 1), of (a, s).
    expected    events that the released model would expect in the follow-up of these patients; `events` were observed.
    """

    corrections: FloatArray
    slope: float
    covariance: FloatArray
    patients: int
    events: int
    expected: float
    with_slope: bool = True
    set_aside: bool = False


@dataclass(frozen=True, eq=False)
class Decided:
    """What a hospital has decided about adjusting a model to its own outcomes.

    on     the day, YYYY-MM-DD; empty where nobody has decided, so that the model is shown as released.
    fits   by the endpoint's number, what pages apply; an endpoint that is not there is shown as released.
    """

    on: str
    fits: Mapping[int, Recalibration]


@dataclass(frozen=True)
class Fitted:
    """How the model fits here, as it is told: patients at least so many, events and what was expected as coarsely."""

    patients: int
    events: int
    expected: int

    @staticmethod
    def of(found: Recalibration, disclosure: Disclosure) -> Fitted:
        return Fitted(found.patients, disclosure.count(found.events), disclosure.count(round(found.expected)))


@dataclass(frozen=True, eq=False)
class Band:
    """survival, low, high  (times,), the adjusted curve and its pointwise limits. median and its limits, in time."""

    times: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    median: float
    median_low: float
    median_high: float


def recalibrate(
    log_hazard_ratio: FloatArray,
    *,
    log_baseline_hazard: FloatArray,
    events: FloatArray,
    at_risk: FloatArray,
    with_slope: bool,
) -> Recalibration | None:
    """Fit (a, s), or a alone, to a hospital's own patients; None with fewer than FEWEST_EVENTS events.

    log_hazard_ratio     (patients,), f of one endpoint.
    log_baseline_hazard  (intervals,), b_k, finite, or (patients, intervals) where tumours differ in it.
    events, at_risk      (patients, intervals), d_k and p_k as `TimeGrid` gives them.
    with_slope           whether these patients may say how far hazard ratios are spread (see the module).
    """
    observed = int(events.sum())
    if observed < FEWEST_EVENTS:
        return None
    intervals = log_baseline_hazard.shape[-1]
    middle = np.concatenate((np.zeros(intervals), [1.0]))
    free = intervals + 1 if with_slope else intervals
    precision = np.asarray(np.linalg.inv(prior_covariance(intervals)))[:free, :free]
    theta = middle.copy()
    for _ in range(_MOST_STEPS):
        gradient, information = _score(theta, log_hazard_ratio, log_baseline_hazard, events, at_risk)
        step = np.linalg.solve(
            information[:free, :free] + precision, gradient[:free] - precision @ (theta - middle)[:free]
        )
        theta[:free] += step * min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < _CONVERGED:
            break
    _, information = _score(theta, log_hazard_ratio, log_baseline_hazard, events, at_risk)
    covariance = np.zeros((intervals + 1, intervals + 1))
    covariance[:free, :free] = np.linalg.inv(information[:free, :free] + precision)
    as_released = at_risk * np.exp(log_baseline_hazard + log_hazard_ratio[:, None])
    return Recalibration(
        theta[:-1],
        float(theta[-1]),
        covariance,
        len(log_hazard_ratio),
        observed,
        float(as_released.sum()),
        with_slope=with_slope,
    )


def prior_covariance(intervals: int) -> FloatArray:
    """(intervals + 1, intervals + 1), of (a, s): a random walk from one level, and s by itself."""
    covariance = np.zeros((intervals + 1, intervals + 1))
    steps = np.arange(1, intervals + 1)
    covariance[:-1, :-1] = _LEVEL_VARIANCE + _STEP_VARIANCE * np.minimum.outer(steps, steps)
    covariance[:-1, :-1] += _OWN_VARIANCE * np.eye(intervals)
    covariance[-1, -1] = _SLOPE_VARIANCE
    return covariance


def _score(
    theta: FloatArray, ratio: FloatArray, baseline: FloatArray, events: FloatArray, at_risk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The log likelihood's gradient, and minus its second derivatives, without priors."""
    corrections, slope = theta[:-1], theta[-1]
    expected = at_risk * np.exp(baseline + corrections + slope * ratio[:, None])
    residual = events - expected
    gradient = np.concatenate((residual.sum(axis=0), [(ratio * residual.sum(axis=1)).sum()]))
    information = np.zeros((len(theta), len(theta)))
    np.fill_diagonal(information[:-1, :-1], expected.sum(axis=0))
    information[:-1, -1] = information[-1, :-1] = ratio @ expected
    information[-1, -1] = (ratio**2 * expected.sum(axis=1)).sum()
    return gradient, information


def band(
    recalibration: Recalibration,
    log_hazard_ratio: float,
    *,
    log_baseline_hazard: FloatArray,
    grid: TimeGrid,
    times: FloatArray,
    since: float = 0.0,
    level: float = LEVEL,
) -> Band:
    """One patient's adjusted survival curve with pointwise limits.

    times  rising, from `since` to the grid's last bound at most; medians are read off between them: give some hundred.
    since  of those who have lived so long; their curve begins there.
    """
    bounds = np.asarray(grid.bounds)
    lived = np.clip((times[:, None] - bounds[:-1]) / grid.widths, 0.0, 1.0)
    lived = lived - np.clip((since - bounds[:-1]) / grid.widths, 0.0, 1.0)
    slope = recalibration.slope * log_hazard_ratio
    by_interval = lived * np.exp(log_baseline_hazard + recalibration.corrections + slope)
    cumulative = by_interval.sum(axis=1)
    share = np.divide(by_interval, cumulative[:, None], out=np.zeros_like(by_interval), where=cumulative[:, None] > 0)
    direction = np.column_stack((share, np.full(len(times), log_hazard_ratio)))
    deviation = np.sqrt(((direction @ recalibration.covariance) * direction).sum(axis=1))
    factor = np.exp(ndtri((1 + level) / 2) * deviation)
    survival, low, high = np.exp(-cumulative), np.exp(-cumulative * factor), np.exp(-cumulative / factor)
    return Band(times, survival, low, high, *(fallen_to(0.5, times, curve) for curve in (survival, low, high)))


def fallen_to(share: float, times: FloatArray, curve: FloatArray) -> float:
    """When a curve first falls to a share, between two times by a straight line; NOT_REACHED if it never does."""
    below = np.flatnonzero(curve <= share)
    if not len(below):
        return NOT_REACHED
    after = int(below[0])
    if after == 0:
        return float(times[0])
    fall = curve[after - 1] - curve[after]
    return float(times[after - 1] + (times[after] - times[after - 1]) * (curve[after - 1] - share) / fall)
