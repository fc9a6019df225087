"""If all were treated whose predicted risk reaches a threshold, would that do more good than treating all or nobody?

A threshold p says what treating is worth: who treats at a risk of 20 % takes four who are treated for nothing for one
who needs it. The net benefit is the share of patients who are treated and have the event by the horizon, less the share
who are treated and do not, times p / (1 - p). Treating nobody has 0. It depends on whether risks are right, too, and
tells whether a model is worth using at all, which neither a C-index nor a calibration slope does.

Censoring: the risk of those treated is their Kaplan-Meier (or Aalen-Johansen) estimate at the horizon, from time zero
on where some came under observation later; their share is that among all patients evaluated, who did come.

Intervals are of the trained model and the patients evaluated, from each patient's influence on the share and on the
estimate (`influence_on_incidence`), for each threshold by itself; a difference of two rules is paired by patient.

Sources: Vickers and Elkin, Med. Decis. Making 26 (2006); Vickers, Cronin, Elkin and Gonen, BMC Med. Inform. Decis. Mak.
8 (2008), censoring and competing events; Sande et al., Statistics in Medicine 39 (2020), intervals of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from oncofed.survival.aalen_johansen import aalen_johansen, influence_on_incidence
from oncofed.survival.follow_up import BoolArray, FloatArray, checked_per_patient

THRESHOLDS = tuple(round(0.05 * place, 2) for place in range(1, 20))
"""Of risk: 5 % to 95 %. Which of them matter is for those to say who decide."""

FEWEST_TREATED = 10
"""Patients treated, and not treated, for an interval: of fewer its form is a guess."""


@dataclass(frozen=True)
class Outcomes:
    """Follow-up of the patients evaluated, all (patients,): see `oncofed.survival.follow_up`.

    competing  whether follow-up ended with another event, which rules this one out; None where nothing does.
    """

    time: FloatArray
    observed: BoolArray
    entry: FloatArray | None = None
    competing: BoolArray | None = None

    def rows(self, rows: BoolArray) -> Outcomes:
        return Outcomes(
            self.time[rows],
            self.observed[rows],
            None if self.entry is None else self.entry[rows],
            None if self.competing is None else self.competing[rows],
        )


@dataclass(frozen=True, eq=False)
class Benefit:
    """Net benefit of a rule, or what it is above another's, at each threshold: all (thresholds,).

    value      NaN where nobody who is treated was followed to the horizon.
    low, high  NaN where the interval is not known.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """horizon        in the grid's unit.
    treated        (thresholds,), the share of patients whose predicted risk reaches the threshold.
    model          treat whose predicted risk reaches the threshold.
    everybody      treat all. Treating nobody is 0 at every threshold.
    above_everybody  the model's less that of treating all.
    """

    horizon: float
    thresholds: FloatArray
    treated: FloatArray
    model: Benefit
    everybody: Benefit
    above_everybody: Benefit


def decision_curve(
    risk: FloatArray,
    horizon: float,
    *,
    outcomes: Outcomes,
    thresholds: tuple[float, ...] = THRESHOLDS,
    level: float = 0.95,
) -> DecisionCurve:
    """risk: (patients,), predicted probability of the event by `horizon`. At least one patient."""
    model, everybody = _told(risk, horizon, outcomes, thresholds), _told(None, horizon, outcomes, thresholds)
    return DecisionCurve(
        horizon=horizon,
        thresholds=np.array(thresholds),
        treated=np.array([each.share for each in model]),
        model=_benefit(model, level),
        everybody=_benefit(everybody, level),
        above_everybody=_difference(model, everybody, level),
    )


def benefit_above(
    risk: FloatArray,
    other: FloatArray,
    horizon: float,
    *,
    outcomes: Outcomes,
    thresholds: tuple[float, ...] = THRESHOLDS,
    level: float = 0.95,
) -> Benefit:
    """Net benefit of treating by one predicted risk, less that of treating by another: (patients,) each."""
    return _difference(_told(risk, horizon, outcomes, thresholds), _told(other, horizon, outcomes, thresholds), level)


@dataclass(frozen=True, eq=False)
class _Told:
    """One rule at one threshold. influence: (patients,), of each on the value, about 0; None where not known."""

    value: float
    share: float
    influence: FloatArray | None


def _told(
    risk: FloatArray | None, horizon: float, outcomes: Outcomes, thresholds: tuple[float, ...]
) -> tuple[_Told, ...]:
    """risk: None treats all."""
    patients = len(outcomes.time)
    if not patients or not (np.isfinite(horizon) and horizon > 0):
        raise ValueError("a decision curve needs a patient and a positive horizon")
    if not all(0 < each < 1 for each in thresholds):
        raise ValueError("thresholds must lie between 0 and 1")
    if risk is None:
        return tuple(_at(each, np.ones(patients, dtype=np.bool_), horizon, outcomes) for each in thresholds)
    predicted = checked_per_patient(risk, patients=patients, name="risk")
    if ((predicted < 0) | (predicted > 1)).any():
        raise ValueError("risk must hold probabilities")
    return tuple(_at(each, predicted >= each, horizon, outcomes) for each in thresholds)


def _at(threshold: float, treated: BoolArray, horizon: float, outcomes: Outcomes) -> _Told:
    share, odds = float(treated.mean()), threshold / (1 - threshold)
    if not treated.any():
        return _Told(0.0, 0.0, None)
    of_treated = outcomes.rows(treated)
    competing = np.zeros_like(of_treated.observed) if of_treated.competing is None else of_treated.competing
    curve = aalen_johansen(
        time=of_treated.time, observed=of_treated.observed, competing=competing, entry=of_treated.entry
    )
    incidence = 1 - float(curve.at(np.array([horizon]))[0])
    of_one = (1 + odds) * incidence - odds
    if math.isnan(incidence):
        return _Told(float("nan"), share, None)
    if treated.sum() < FEWEST_TREATED:
        return _Told(share * of_one, share, None)
    influence = np.where(treated, of_one, 0.0) - share * of_one
    influence[treated] += (1 + odds) * influence_on_incidence(
        horizon, time=of_treated.time, observed=of_treated.observed, competing=competing, entry=of_treated.entry
    )
    return _Told(share * of_one, share, influence)


def _benefit(told: tuple[_Told, ...], level: float) -> Benefit:
    return _with_limits([(each.value, each.influence) for each in told], level)


def _difference(told: tuple[_Told, ...], other: tuple[_Told, ...], level: float) -> Benefit:
    pairs: list[tuple[float, FloatArray | None]] = []
    for mine, theirs in zip(told, other, strict=True):
        known = mine.influence is not None and theirs.influence is not None
        influence = mine.influence - theirs.influence if known else None  # type: ignore[operator]
        pairs.append((mine.value - theirs.value, influence))
    return _with_limits(pairs, level)


def _with_limits(found: list[tuple[float, FloatArray | None]], level: float) -> Benefit:
    quantile = float(ndtri((1 + level) / 2))
    value = np.array([each for each, _ in found], dtype=np.float64)
    half = np.array(
        [float("nan") if each is None else quantile * math.sqrt(float(each @ each)) / len(each) for _, each in found],
        dtype=np.float64,
    )
    return Benefit(value, value - half, value + half)
