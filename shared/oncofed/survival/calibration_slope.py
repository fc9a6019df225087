"""By which factor should log hazard ratios be multiplied, so that they fit what happened?

The slope is the coefficient of log(-log(1 - predicted risk)) in a Cox model (Breslow's, with delayed entry) of the
follow-up up to a horizon: 1 is right, below 1 predictions are too extreme.

A patient's influence is that of Lin and Wei: the score residual over the information. It needs no proportional hazards
to give the variance of the slope, and sums over patients of several figures' influences give the variance of anything
made of them.

Sources: Crowson, Atkinson and Therneau, Stat. Methods Med. Res. 25 (2016); Lin and Wei, JASA 84 (1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.survival.follow_up import FloatArray, FollowUp


@dataclass(frozen=True, eq=False)
class CalibrationSlope:
    """value      NaN without events, with equal predictions, or with a perfect order (it is infinite).
    deviation  standard deviation, from the information of the partial likelihood; NaN where the slope is.
    influence  (patients,), of each on the slope; they add up to 0. NaN where the slope is.
    """

    value: float
    deviation: float
    influence: FloatArray


def calibration_slope(horizon: float, predicted: FloatArray, follow_up: FollowUp) -> CalibrationSlope:
    """One-covariate Cox regression (Breslow) of the follow-up cut at the horizon, by damped Newton steps.

    predicted  (patients,), probability of the event by `horizon`, in [0, 1].
    """
    unknown = CalibrationSlope(float("nan"), float("nan"), np.full(len(follow_up), np.nan))
    # risks of exactly 0 or 1 have no finite log(-log); they are moved in by an amount no prediction can mean
    inside = np.clip(predicted, 1e-12, 1 - 1e-12)
    covariate = np.log(-np.log1p(-inside))
    covariate -= covariate.mean()
    order = np.argsort(-follow_up.time, kind="stable")
    exit_, entry, covariate = follow_up.time[order], follow_up.entry[order], covariate[order]
    event = follow_up.observed[order] & (exit_ <= horizon)
    if not event.any() or np.ptp(covariate) == 0:
        return unknown

    # by falling exit time, those still followed at t are a prefix; those not yet entered are one by falling entry
    by_entry = np.argsort(-entry, kind="stable")
    died_at = exit_[event]
    followed = np.searchsorted(-exit_, -died_at, side="right")
    not_entered = np.searchsorted(-entry[by_entry], -died_at, side="right")

    def at_risk(slope: float, powers: int) -> tuple[FloatArray, list[FloatArray]]:
        """Log hazard ratios (patients,), and at each event the sum over those at risk of ratio times covariate**power.

        Ratios are against the highest, so that none overflows.
        """
        score = slope * covariate
        score -= score.max()
        sums = []
        for power in range(powers):
            term = np.exp(score) * covariate**power
            total = np.concatenate(([0.0], np.cumsum(term)))[followed]
            sums.append(total - np.concatenate(([0.0], np.cumsum(term[by_entry])))[not_entered])
        return score, sums

    def moments(slope: float) -> tuple[float, float, float]:
        """Log partial likelihood, its derivative, and minus its second derivative."""
        score, sums = at_risk(slope, 3)
        mean, square = sums[1] / sums[0], sums[2] / sums[0]
        return (
            float((score[event] - np.log(sums[0])).sum()),
            float((covariate[event] - mean).sum()),
            float((square - mean**2).sum()),
        )

    def found(slope: float, curvature: float) -> CalibrationSlope:
        score, sums = at_risk(slope, 2)
        mean = sums[1] / sums[0]
        rising = np.argsort(died_at, kind="stable")
        hazard = np.concatenate(([0.0], np.cumsum(1 / sums[0][rising])))
        of_mean = np.concatenate(([0.0], np.cumsum(mean[rising] / sums[0][rising])))
        until = np.searchsorted(died_at[rising], exit_, side="right")
        since = np.searchsorted(died_at[rising], entry, side="right")
        expected = covariate * (hazard[until] - hazard[since]) - (of_mean[until] - of_mean[since])
        residual = -np.exp(score) * expected
        residual[event] += covariate[event] - mean
        influence = np.empty_like(residual)
        influence[order] = residual / curvature
        return CalibrationSlope(slope, curvature**-0.5, influence)

    slope = 0.0
    likelihood, gradient, curvature = moments(slope)
    for _ in range(100):
        if not curvature > 1e-12 * event.sum() * np.ptp(covariate) ** 2:
            return unknown  # flat: nobody to compare with, or the slope runs away to infinity
        step = gradient / curvature
        new = moments(slope + step)
        while not new[0] >= likelihood - 1e-12 * abs(likelihood):
            step /= 2
            if abs(step) < 1e-12:
                return found(slope, curvature)
            new = moments(slope + step)
        slope += step
        likelihood, gradient, curvature = new
        if abs(step) < 1e-10 * max(1.0, abs(slope)):
            return found(slope, curvature)
    return unknown
