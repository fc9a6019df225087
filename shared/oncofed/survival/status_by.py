"""Who is known to have had the event by a time, who not to have had it, and for how many does each of them stand?

Patients censored before the time have no known status; inverse probability of censoring weights let the others speak
for them. An event at T stands for one over the probability of not having been censored *before* T, because at a time
with both the event came first; who is still followed at t, for one over the probability of being so. Where other events
may come first, who has had one of them is known to be without this one for good, and is weighted like an event.

It takes no delayed entry, and nobody who has some should ask: see `kaplan_meier.censoring_distribution`.

Sources: Graf et al., Statistics in Medicine 18 (1999); Gerds and Schumacher, Biometrical Journal 48 (2006); Schoop et
al., Biometrical Journal 53 (2011), competing events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.survival.censoring import CensoringByGroup
from oncofed.survival.follow_up import BoolArray, FloatArray, checked_follow_up
from oncofed.survival.kaplan_meier import KaplanMeier


@dataclass(frozen=True, eq=False)
class StatusBy:
    """Weights, 0 where the status is not the one, or not known.

    had   (patients, times), of having had the event by each time.
    free  (patients, times), of not having had it.
    """

    had: FloatArray
    free: FloatArray


def status_by(
    horizons: FloatArray,
    *,
    time: FloatArray,
    observed: BoolArray,
    censoring: KaplanMeier | CensoringByGroup,
    competing: BoolArray | None = None,
) -> StatusBy:
    """What is known by each horizon.

    horizons        (horizons,), strictly rising, not negative, each before the last follow-up of these patients.
    time, observed  (patients,), of the patients evaluated.
    censoring       of the *training* patients: `kaplan_meier.censoring_distribution`, or one for each hospital.
    competing       (patients,), whether follow-up ended with another event, which is no censoring either.

    Where the training data leave no chance of being uncensored (G = 0) the weight is 0, as in scikit-survival.
    ValueError where G is not known: before a horizon, after the last training follow-up.
    """
    follow_up = checked_follow_up(time=time, observed=observed)
    points = np.asarray(horizons, dtype=np.float64)
    if points.ndim != 1 or not (np.diff(points) > 0).all() or not (points >= 0).all():
        raise ValueError("horizons must be one-dimensional, strictly rising and not negative")
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
    at_end = _inverse(uncensored_at_end)[:, None]
    return StatusBy(had=at_end * died, free=_inverse(uncensored_at_horizon) * alive + at_end * spared)


def _inverse(uncensored: FloatArray) -> FloatArray:
    """1 / G; 0 where G is 0 or not known (the caller has refused unknown values that matter)."""
    known = uncensored > 0
    return np.divide(1.0, uncensored, out=np.zeros_like(uncensored), where=known)
