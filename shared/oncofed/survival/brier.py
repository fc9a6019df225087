"""How far are predicted survival probabilities from what happened, at a time and over a span of time?

The Brier score at t is the mean squared distance between the predicted probability of being event-free at t and the
truth (0 or 1), weighted as in `status_by`. 0 is perfect; predicting 0.5 for everybody gives 0.25.

An event at T is weighted by the probability of not having been censored before T. scikit-survival takes the probability
after T. Where no time has both, the answers are equal; of follow-up in whole quarters theirs is 0.010 too high, of
half-years 0.019. Unlike theirs, this also answers without any event. It takes no delayed entry.

Sources: Graf et al., Statistics in Medicine 18 (1999); Gerds and Schumacher, Biometrical Journal 48 (2006); Schoop et
al., Biometrical Journal 53 (2011), competing events.
"""

from __future__ import annotations

import numpy as np

from oncofed.survival.censoring import CensoringByGroup
from oncofed.survival.follow_up import BoolArray, FloatArray
from oncofed.survival.kaplan_meier import KaplanMeier
from oncofed.survival.status_by import status_by


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
    known = status_by(horizons, time=time, observed=observed, censoring=censoring, competing=competing)
    predicted = np.asarray(survival, dtype=np.float64)
    if predicted.shape != known.had.shape:
        raise ValueError("survival must have one row a patient and one column a horizon")
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError("survival must hold probabilities")
    scores: FloatArray = np.mean(predicted**2 * known.had + (1.0 - predicted) ** 2 * known.free, axis=0)
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
