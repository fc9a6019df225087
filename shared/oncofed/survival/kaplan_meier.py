"""Without any model: what share of patients is still free of the event (or of censoring) at a time?

Promises: the product-limit estimate, with delayed entry (a patient is at risk at t when entry < t <= exit); pointwise
log-log intervals from Greenwood's variance; the censoring distribution as scikit-survival estimates it, for inverse
probability of censoring weights. Equal to scikit-survival where that answers.

Where the data say nothing the answer is NaN, never a guess: survival after the last follow-up if somebody was then
still event-free, and interval limits where the estimate is exactly 0 or 1 (Greenwood's variance is 0 there, which
would look like certainty).

With delayed entry the first risk sets may hold very few patients, and one early event among them can pull the
estimate to 0 for good. That is the estimator, not a fault of this code; look at `at_risk`.

Sources: Kaplan and Meier, JASA 53 (1958); Borgan and Liestøl, Scand. J. Statist. 17 (1990), log-log interval; Tsai,
Jewell and Wang, Biometrika 74 (1987), delayed entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from oncofed.survival.follow_up import BoolArray, FloatArray, FollowUp, checked_follow_up


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """A right-continuous step function; survival is 1 before the first step.

    times     (steps,), distinct ends of follow-up, rising.
    survival  (steps,), probability of being free of the event after each of `times`.
    low, high (steps,), pointwise interval for `survival`; NaN where survival is 0 or 1.
    at_risk   (steps,), patients under observation just before each of `times`.
    events    (steps,)
    ended     whether nobody is left after the last step who could have the event, so that the last value stays.
    """

    times: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: FloatArray
    events: FloatArray
    ended: bool = False

    def at(self, times: FloatArray) -> FloatArray:
        """Survival at any times. NaN after the last follow-up, unless survival had reached 0 by then, or `ended`."""
        return self._step(self.survival, before=1.0, times=times)

    def before(self, times: FloatArray) -> FloatArray:
        """Survival just before any times: what happens at the very time is not in it yet. NaN as in `at`."""
        return self._step(self.survival, before=1.0, times=times, side="left")

    def interval_at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper limit at any times; NaN where they are not known."""
        return self._step(self.low, before=np.nan, times=times), self._step(self.high, before=np.nan, times=times)

    def _step(
        self, values: FloatArray, *, before: float, times: FloatArray, side: Literal["left", "right"] = "right"
    ) -> FloatArray:
        asked = np.asarray(times, dtype=np.float64)
        answer = np.concatenate(([before], values))[np.searchsorted(self.times, asked, side=side)]
        settled = self.ended or (len(self.times) > 0 and self.survival[-1] <= 0)
        known_until = -np.inf if len(self.times) == 0 else np.inf if settled else self.times[-1]
        return np.where(asked > known_until, np.nan, answer)


def kaplan_meier(
    *, time: FloatArray, observed: BoolArray, entry: FloatArray | None = None, level: float = 0.95
) -> KaplanMeier:
    """Survival curve of a group of patients.

    time, observed, entry  (patients,), see `oncofed.survival.follow_up`. No patients: a curve that is NaN everywhere.
    level                  coverage of the pointwise interval.
    """
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1")
    return _product_limit(checked_follow_up(time=time, observed=observed, entry=entry), level=level)


def censoring_distribution(*, time: FloatArray, observed: BoolArray) -> KaplanMeier:
    """G(t), the probability of not being censored by t. Here a "step" is a censoring, and its `events` count those.

    At a time with both, events come first and leave the risk set before the censored are counted, as in
    scikit-survival. There is no entry argument: with delayed entry a patient's censoring time is bound to the entry
    time, so this G, and every weight made from it, would be biased.
    """
    follow_up = checked_follow_up(time=time, observed=observed)
    return _product_limit(follow_up, level=0.95, censoring=True)


def _product_limit(follow_up: FollowUp, *, level: float, censoring: bool = False) -> KaplanMeier:
    times, position = np.unique(follow_up.time, return_inverse=True)
    died = np.bincount(position[follow_up.observed], minlength=len(times)).astype(np.float64)
    left = np.bincount(position, minlength=len(times)).astype(np.float64)
    entered = np.searchsorted(np.sort(follow_up.entry), times, side="left").astype(np.float64)
    at_risk = entered - (np.cumsum(left) - left)
    at_risk, events = (at_risk - died, left - died) if censoring else (at_risk, died)

    share = np.divide(events, at_risk, out=np.zeros_like(at_risk), where=events > 0)
    survival = np.cumprod(1.0 - share, dtype=np.float64)
    # Greenwood's variance of log S; a step to zero adds nothing finite, and S = 0 gets no interval anyway
    added = np.divide(share, at_risk - events, out=np.zeros_like(at_risk), where=(events > 0) & (events < at_risk))
    low, high = log_log_interval(survival, deviation_of_log=np.sqrt(np.cumsum(added)), level=level)
    return KaplanMeier(times=times, survival=survival, low=low, high=high, at_risk=at_risk, events=events)


def log_log_interval(
    survival: FloatArray, *, deviation_of_log: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits of a curve, pointwise; NaN where it is 0 or 1. deviation_of_log: of log(survival)."""
    inside = (survival > 0) & (survival < 1)
    log_survival = np.log(survival, out=np.full_like(survival, np.nan), where=inside)
    spread = ndtri((1 + level) / 2) * deviation_of_log / -log_survival
    return np.exp(np.exp(spread) * log_survival), np.exp(np.exp(-spread) * log_survival)
