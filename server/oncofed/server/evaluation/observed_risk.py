"""What share of a group had the event by a horizon, as far as noised counts can tell?

The actuarial estimate: the product over times of 1 - d / (N - c / 2), with N at risk when the time begins, d events
and c censored in it. Counts keep their signs: a product of noised counts is right on average as long as the
denominators are large against their noise, and one from which negative events were cut is too large, most of all where
events are few.
So an estimate may lie below 0 or above 1. Its interval may not.

The interval is by inversion: all risks r are kept from which the estimate lies no further than 1.96 standard deviations
*at r*: of who happened to be there (Greenwood's variance, with the hazards that r would mean), and of the noise on each
count that the estimate uses. A deviation that is itself estimated from the counts is 0 where no event was seen, and
such an interval is sure of what it cannot know. How a risk is spread over the times is taken from the model's baseline.

Sources: Cutler and Ederer, Journal of Chronic Diseases 8 (1958); Greenwood (1926); Wilson, JASA 22 (1927), inversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.server.evaluation.concordance import Estimate

FloatArray = NDArray[np.float64]

MOST_NOISE = 0.1
"""Standard deviation that noise alone may put on a risk that is shown. Judged at the risk that the model predicts: at
the estimate itself, groups would be left out or shown by how high they came out."""

_NORMAL_95 = 1.959964
_ASKED = np.linspace(0.0, 1.0, 2001)[:-1]


def exposed(n: FloatArray) -> FloatArray:
    """(..., times) from (..., times, 2): patients at risk in each time; who is censored in it counts half."""
    ended = n.sum(axis=-1)
    beginning = np.cumsum(ended[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(beginning - 0.5 * n[..., 0])


def conditional_risks(n: FloatArray) -> FloatArray:
    """(..., times): of those at risk in a time, the share with the event in it; NaN where nobody is at risk."""
    at_risk = exposed(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(at_risk > 0, n[..., 1] / at_risk, np.nan)


def observed_risk(n: FloatArray, *, times: int) -> float:
    """Risk by the end of the first `times` times in one group; n is (times, 2). NaN where nobody is at risk."""
    return float(1 - np.prod(1 - conditional_risks(n)[:times]))


def observed_risk_with_interval(
    n: FloatArray, *, noise_sd: float, predicted: float, spread_of_hazard: FloatArray
) -> Estimate | None:
    """The risk of one group by the end of the first times, as many as `spread_of_hazard` has.

    n                 (times, 2), with noise.
    noise_sd          on each count.
    predicted         a risk of about what the model says of this group.
    spread_of_hazard  (times to the horizon,): which part of the cumulative hazard by then falls in each time.

    None: noise alone would move the risk by more than MOST_NOISE, or leaves nobody at risk.
    """
    times = len(spread_of_hazard)
    value, at_risk = observed_risk(n, times=times), exposed(n)[:times]
    if not (np.isfinite(value) and (at_risk > 0).all()):
        return None
    hazard = -np.log1p(-_ASKED)[:, None] * spread_of_hazard
    survival = (1 - _ASKED) ** 2
    sampling = survival * (np.expm1(hazard) / at_risk).sum(axis=1)
    noise = survival * noise_sd**2 * _squared_slopes(np.expm1(hazard), at_risk, later_times=len(n) - times)
    if np.interp(predicted, _ASKED, noise) > MOST_NOISE**2:
        return None
    kept = _ASKED[(value - _ASKED) ** 2 <= _NORMAL_95**2 * (sampling + noise)]
    if not len(kept):  # an estimate far outside of what a risk can be
        edge = min(max(value, 0.0), 1.0)
        return Estimate(value, edge, edge)
    return Estimate(value, float(kept[0]), float(kept[-1]) if kept[-1] < _ASKED[-1] else 1.0)


def _squared_slopes(odds: FloatArray, at_risk: FloatArray, *, later_times: int) -> FloatArray:
    """(asked,): sum over all counts of the squared derivative of the log survival; odds are q / (1 - q) of each time.

    With E = N - c / 2 and q = d / E, -log(1 - q) changes by 1 / E with an event of its own time, by half of -odds / E
    with one censored in it, and by -odds / E with anybody who ends in a later one.
    """
    pull = odds / at_risk  # (asked, times)
    before = np.cumsum(pull, axis=1) - pull
    of_events = (1 / at_risk - before) ** 2
    of_censored = (0.5 * pull + before) ** 2
    of_later = 2 * later_times * pull.sum(axis=1) ** 2
    return np.asarray((of_events + of_censored).sum(axis=1) + of_later)
