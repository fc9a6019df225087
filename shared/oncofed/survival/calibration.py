"""Of patients told a risk of 30 %, do 30 % have the event by the horizon?

Promises: groups of rising predicted risk, each with its Kaplan-Meier observed risk and interval (delayed entry and
censoring before the horizon are handled there); the ratio of expected to observed; and the calibration slope, the
coefficient of log(-log(1 - predicted risk)) in a Cox model of the follow-up up to the horizon. A slope of 1 is
right, below 1 the predictions are too extreme (the usual sign of overfitting), above 1 too timid, below 0 upside down.

Where other events may come first, the observed risk is that of Aalen and Johansen, and the slope is of the hazard
itself among those who have had none: by it the log hazard ratios of this event should be multiplied.

What the data cannot say is NaN: observed risk of a group not followed to the horizon, its limits where nobody or
everybody had the event, a slope without events, with equal predictions, or with a perfect order (it is infinite).

Source: Crowson, Atkinson and Therneau, Stat. Methods Med. Res. 25 (2016); Austin, Harrell and van Klaveren,
Statistics in Medicine 39 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from oncofed.survival.aalen_johansen import aalen_johansen
from oncofed.survival.calibration_slope import calibration_slope
from oncofed.survival.follow_up import BoolArray, FloatArray, FollowUp, checked_follow_up, checked_per_patient
from oncofed.survival.kaplan_meier import kaplan_meier


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients of similar predicted risk. Risks are probabilities of the event by the horizon.

    patients   how many.
    predicted  their mean predicted risk.
    observed   Kaplan-Meier, or Aalen-Johansen; low, high its interval. NaN where not known.
    """

    patients: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """At one horizon.

    groups                by rising predicted risk.
    expected_to_observed  mean predicted risk over mean observed risk, each group by its patients; above 1 the model
                          is too gloomy. Not one Kaplan-Meier of everybody: with delayed entry that estimates the risk
                          of those who never came to entry too, whom nobody made a prediction for.
    slope                 see the module; 1 is right. slope_low, slope_high: its interval, from the information of the
                          partial likelihood; NaN where the slope is.
    """

    horizon: float
    groups: tuple[CalibrationGroup, ...]
    expected_to_observed: float
    slope: float
    slope_low: float
    slope_high: float


def calibration_at(
    horizon: float,
    *,
    predicted_risk: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    entry: FloatArray | None = None,
    competing: BoolArray | None = None,
    cumulative_hazard: FloatArray | None = None,
    groups: int = 10,
    level: float = 0.95,
) -> Calibration:
    """Predicted against observed risk of the event by `horizon`.

    predicted_risk         (patients,), probability of the event by the horizon, in [0, 1]; at least one patient.
    time, observed, entry  (patients,), see `oncofed.survival.follow_up`.
    competing              (patients,), whether follow-up ended with another event, which rules this one out; with
    cumulative_hazard      (patients,), positive: of this event by the horizon, which risks follow from, but not alone.
    groups                 wanted, cut at quantiles of the predicted risk. Equal predictions stay together, so fewer
                           groups come back when many are equal.
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    predicted = checked_per_patient(predicted_risk, patients=len(follow_up), name="predicted_risk")
    if len(follow_up) == 0 or ((predicted < 0) | (predicted > 1)).any():
        raise ValueError("predicted_risk must hold probabilities of at least one patient")
    if (competing is None) != (cumulative_hazard is None):
        raise ValueError("competing and cumulative_hazard belong together")
    if groups < 1 or not np.isfinite(horizon) or horizon <= 0:
        raise ValueError("groups and horizon must be positive")
    cuts = np.quantile(predicted, np.arange(1, groups) / groups)
    member = np.searchsorted(cuts, predicted, side="left")
    found = tuple(
        _group(horizon, predicted[rows], follow_up.rows(rows), None if competing is None else competing[rows], level)
        for rows in (np.flatnonzero(member == number) for number in range(groups))
        if len(rows)
    )
    expected = sum(group.patients * group.predicted for group in found)
    seen = sum(group.patients * group.observed for group in found)
    alone = predicted if cumulative_hazard is None else -np.expm1(-cumulative_hazard)
    fitted = calibration_slope(horizon, alone, follow_up)
    half = float(ndtri((1 + level) / 2)) * fitted.deviation
    return Calibration(
        horizon=horizon,
        groups=found,
        expected_to_observed=expected / seen if seen > 0 else float("nan"),
        slope=fitted.value,
        slope_low=fitted.value - half,
        slope_high=fitted.value + half,
    )


def _group(
    horizon: float, predicted: FloatArray, follow_up: FollowUp, competing: BoolArray | None, level: float
) -> CalibrationGroup:
    entry = np.maximum(follow_up.entry, 0.0)  # -inf, "from the origin", is not a time a caller may pass
    time, observed = follow_up.time, follow_up.observed
    if competing is None:
        curve = kaplan_meier(time=time, observed=observed, entry=entry, level=level)
    else:
        curve = aalen_johansen(time=time, observed=observed, competing=competing, entry=entry, level=level)
    at = np.array([horizon])
    survival_low, survival_high = curve.interval_at(at)
    return CalibrationGroup(
        patients=len(predicted),
        predicted=float(predicted.mean()),
        observed=float(1.0 - curve.at(at)[0]),
        low=float(1.0 - survival_high[0]),
        high=float(1.0 - survival_low[0]),
    )
