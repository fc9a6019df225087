"""How far are predicted survival probabilities from what happened, at a time and over a span of time?

The Brier score at t is the mean squared distance between the predicted probability of being event-free at t and the
truth (0 or 1). Patients censored before t have no known truth; inverse probability of censoring weights let the
others speak for them. 0 is perfect; predicting 0.5 for everybody gives 0.25.

An event at T is weighted by the probability of not having been censored *before* T, because at a time with both the
event came first. scikit-survival takes the probability after T. Where no time has both, the answers are equal; of
follow-up in whole quarters theirs is 0.010 too high, of half-years 0.019. Unlike theirs, this also answers without any
event.

Where other events may come first, who has had one of them is known to be without this one for good, and is weighted
like an event.

It takes no delayed entry, and nobody who has some should ask: see `kaplan_meier.censoring_distribution`.

Sources: Graf et al., Statistics in Medicine 18 (1999); Gerds and Schumacher, Biometrical Journal 48 (2006); Schoop et
al., Biometrical Journal 53 (2011), competing events.
"""

from __future__ import annotations

import numpy as np

from oncofed.survival.censoring import CensoringByGroup
from oncofed.survival.follow_up import BoolArray, FloatArray, checked_follow_up
from oncofed.survival.kaplan_meier import KaplanMeier


def brier_score(
    *,
    survival: FloatArray,
    horizons: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    censoring: KaplanMeier | CensoringByGroup,
    competing: BoolArray | None = None,
) -> FloatArray:
    """Brier score at each horizon.

    survival        (patients, horizons), predicted probability of being event-free, in [0, 1]: not a risk.
    horizons        (horizons,), strictly rising, not negative, each before the last follow-up of these patients.
    time, observed  (patients,), of the patients evaluated.
    censoring       of the *training* patients: `kaplan_meier.censoring_distribution`, or one for each hospital.
    competing       (patients,), whether follow-up ended with another event, which is no censoring either.
    returns         (horizons,)

    An event, or a horizon, where the training data leave no chance of being uncensored (G = 0) gets weight zero, as
    in scikit-survival. ValueError where G is not known: before a horizon, after the last training follow-up.
    """
    follow_up = checked_follow_up(time=time, observed=observed)
    points = np.asarray(horizons, dtype=np.float64)
    predicted = np.asarray(survival, dtype=np.float64)
    if points.ndim != 1 or not (np.diff(points) > 0).all() or not (points >= 0).all():
        raise ValueError("horizons must be one-dimensional, strictly rising and not negative")
    if predicted.shape != (len(follow_up), len(points)):
        raise ValueError("survival must have one row a patient and one column a horizon")
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError("survival must hold probabilities")
    if len(points) and (len(follow_up) == 0 or points[-1] >= follow_up.time.max()):
        raise ValueError("horizons must lie before the last follow-up of the patients evaluated")

    died = follow_up.observed[:, None] & (follow_up.time[:, None] <= points)
    alive = follow_up.time[:, None] > points
    rival = np.zeros_like(follow_up.observed) if competing is None else np.asarray(competing, dtype=np.bool_)
    if rival.shape != follow_up.observed.shape or (rival & follow_up.observed).any():
        raise ValueError("competing must have one value a patient, and nobody may have both events")
    spared = rival[:, None] & (follow_up.time[:, None] <= points)
    curves = (
        CensoringByGroup.same(censoring, patients=len(follow_up)) if isinstance(censoring, KaplanMeier) else censoring
    )
    uncensored_at_end = curves.just_before(follow_up.time)
    uncensored_at_horizon = curves.at(points)
    if np.isnan(uncensored_at_horizon).any() or np.isnan(uncensored_at_end[(died | spared).any(axis=1)]).any():
        raise ValueError("horizons must lie within the training follow-up")
    weight_died = _inverse(uncensored_at_end)[:, None] * died
    weight_alive = _inverse(uncensored_at_horizon) * alive + _inverse(uncensored_at_end)[:, None] * spared
    scores: FloatArray = np.mean(predicted**2 * weight_died + (1.0 - predicted) ** 2 * weight_alive, axis=0)
    return scores


def integrated_brier_score(
    *,
    survival: FloatArray,
    horizons: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    censoring: KaplanMeier | CensoringByGroup,
    competing: BoolArray | None = None,
) -> float:
    """Mean of the Brier score between the first and the last horizon (trapezoids). Needs at least two horizons."""
    points = np.asarray(horizons, dtype=np.float64)
    if len(points) < 2:
        raise ValueError("an integral needs at least two horizons")
    scores = brier_score(
        survival=survival, horizons=points, time=time, observed=observed, censoring=censoring, competing=competing
    )
    return float(np.trapezoid(scores, points) / (points[-1] - points[0]))


def _inverse(uncensored: FloatArray) -> FloatArray:
    """1 / G; 0 where G is 0 or not known (the callers have refused unknown values that matter)."""
    known = uncensored > 0
    return np.divide(1.0, uncensored, out=np.zeros_like(uncensored), where=known)
