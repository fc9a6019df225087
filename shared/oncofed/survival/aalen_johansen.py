"""Without any model: what share of patients has had one event by a time, where others may come first and rule it out?

One minus Kaplan-Meier, with what came first counted as censored, is the share in a world without it, and too large.
Here whoever has had another event stays in the denominator and never has this one (cumulative incidence).

Promises: delayed entry as in `kaplan_meier`; pointwise log-log intervals from the delta variance, both as of a curve of
those who have not had the event; where nothing competes, all is what `kaplan_meier` answers. Equal to lifelines.

Where the data say nothing the answer is NaN: after the last follow-up, unless nobody was left who could have an event.

Sources: Aalen and Johansen, Scand. J. Statist. 5 (1978); Gaynor et al., JASA 88 (1993), the variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.survival.follow_up import BoolArray, FloatArray, FollowUp, checked_follow_up
from oncofed.survival.kaplan_meier import KaplanMeier, log_log_interval


def aalen_johansen(
    *,
    time: FloatArray,
    observed: BoolArray,
    competing: BoolArray,
    entry: FloatArray | None = None,
    level: float = 0.95,
) -> KaplanMeier:
    """`survival` is the share who have not had the event, whatever else: one minus its cumulative incidence.

    time, observed, entry  (patients,), see `oncofed.survival.follow_up`.
    competing              (patients,), whether follow-up ended with another event. Nobody has both.
    level                  coverage of the pointwise interval.
    """
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1")
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    rival = np.asarray(competing, dtype=np.bool_)
    steps = _steps(follow_up, rival)
    free, at_risk, own, incidence = steps.free, steps.at_risk, steps.own, steps.incidence
    survival: FloatArray = 1.0 - incidence if rival.any() else free  # the same but for rounding

    variance = incidence_variance(incidence, steps.free_before, own=own, with_any=steps.with_any, at_risk=at_risk)
    of_log = np.sqrt(np.maximum(variance, 0.0)) / np.where(survival > 0, survival, np.nan)
    low, high = log_log_interval(survival, deviation_of_log=of_log, level=level)
    return KaplanMeier(
        times=steps.times,
        survival=survival,
        low=low,
        high=high,
        at_risk=at_risk,
        events=own,
        ended=bool(len(free)) and bool(free[-1] <= 0),
    )


def incidence_variance(
    incidence: FloatArray, free_before: FloatArray, *, own: FloatArray, with_any: FloatArray, at_risk: FloatArray
) -> FloatArray:
    """(steps,): of a cumulative incidence, by the delta method.

    incidence    (steps,), after each. free_before: the share who had none of the events, before each.
    own          (steps,), with this event, with_any: with any of them, of at_risk.

    The sum over earlier steps k of (I - I_k)^2 d_k / (n_k (n_k - d_k)) + S_k^2 d1_k (n_k - d1_k) / n_k^3
    - 2 (I - I_k) S_k d1_k / n_k^2, with d1 this event, d any, and S before the step; its powers of I taken out.
    """
    by_any = np.divide(
        with_any,
        at_risk * (at_risk - with_any),
        out=np.zeros_like(at_risk),
        where=(with_any > 0) & (at_risk > with_any),
    )
    rate = _share(own, at_risk)
    by_own = free_before**2 * _share(rate * (1 - rate), at_risk)
    both = free_before * _share(rate, at_risk)
    constant = np.cumsum(incidence**2 * by_any + by_own + 2 * incidence * both)
    linear = np.cumsum(incidence * by_any + both)
    return np.asarray(constant - 2 * incidence * linear + incidence**2 * np.cumsum(by_any))


def influence_on_incidence(
    horizon: float,
    *,
    time: FloatArray,
    observed: BoolArray,
    competing: BoolArray,
    entry: FloatArray | None = None,
) -> FloatArray:
    """(patients,): the influence of each on the cumulative incidence at `horizon`; they add up to 0.

    Its sum of squares, over the squared number of patients, is the delta variance; sums over patients of several
    estimates' influences give the variance of anything made of them. With F the incidence at the horizon, F_k and S_k
    the incidence after and the share free before step k, and n_k at risk, who is at risk there adds
    S_k (own - d1_k / n_k) / n_k - (F - F_k) (any - d_k / n_k) / (n_k - d_k), times the number of patients, with own and
    any whether this patient had this event, or any, at that step.

    Arguments as in `aalen_johansen`. Source: Andersen et al., Statistical Models Based on Counting Processes (1993),
    IV.4.
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    rival = np.asarray(competing, dtype=np.bool_)
    steps = _steps(follow_up, rival)
    counted = steps.times <= horizon
    at_horizon = float(steps.incidence[counted][-1]) if counted.any() else 0.0
    # Where all who are left have an event at once, nothing comes after it, and the second part is 0.
    left = steps.at_risk - steps.with_any
    of_own = np.where(counted, _share(steps.free_before, steps.at_risk), 0.0)
    of_any = np.where(counted & (left > 0), at_horizon - steps.incidence, 0.0) / np.maximum(left, 1.0)
    expected = of_own * _share(steps.own, steps.at_risk) - of_any * _share(steps.with_any, steps.at_risk)
    gathered = np.concatenate(([0.0], np.cumsum(expected)))
    place = np.searchsorted(steps.times, follow_up.time)
    entered = np.searchsorted(steps.times, follow_up.entry, side="right")
    came = np.where(follow_up.observed, of_own[place], 0.0)
    came -= np.where(follow_up.observed | rival, of_any[place], 0.0)
    return np.asarray(len(follow_up) * (came - (gathered[place + 1] - gathered[entered])))


@dataclass(frozen=True, eq=False)
class _Steps:
    """At each distinct end of follow-up, all (steps,): counts, the share free of any event, the incidence after it."""

    times: FloatArray
    own: FloatArray
    with_any: FloatArray
    at_risk: FloatArray
    free: FloatArray
    free_before: FloatArray
    incidence: FloatArray


def _steps(follow_up: FollowUp, rival: BoolArray) -> _Steps:
    if rival.shape != follow_up.observed.shape or (rival & follow_up.observed).any():
        raise ValueError("competing must have one value a patient, and nobody may have both events")
    times, position = np.unique(follow_up.time, return_inverse=True)

    def count(rows: BoolArray) -> FloatArray:
        return np.bincount(position[rows], minlength=len(times)).astype(np.float64)

    left, own, other = count(np.ones_like(rival)), count(follow_up.observed), count(rival)
    entered = np.searchsorted(np.sort(follow_up.entry), times, side="left").astype(np.float64)
    at_risk = entered - (np.cumsum(left) - left)
    with_any = own + other
    free: FloatArray = np.cumprod(1.0 - _share(with_any, at_risk), dtype=np.float64)
    free_before: FloatArray = np.concatenate((np.ones(1), free))[:-1]
    return _Steps(times, own, with_any, at_risk, free, free_before, np.cumsum(free_before * _share(own, at_risk)))


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=part > 0)
