"""Does the model give the higher risk to those who will have had the event by a time, against those who will not?

The area under the curve at t (cumulative cases, dynamic controls) is the chance that a patient who has had the event
by t was told a higher risk by t than one who has not; equal risks count one half. 0.5 is chance, 1 is perfect. A
C-index is one number over all of follow-up and may hide that a model orders early events and not late ones. Neither
says whether risks are right: calibration does.

Patients censored before t have no known status, and others stand for them (`status_by`): a weighted share of pairs.
Where other events may come first, who has had one of them is among those without this one (Blanche's definition 2),
as for the C-index of this package. No delayed entry: the weights are not defined with it.

Interval: of the trained model and the patients evaluated, on the logit scale, from each patient's influence on the
weighted share, with the weights taken as known. Weights estimated from the very same patients would make the figure a
little more precise than that, so the interval is rather too wide than too narrow then.

Equal to scikit-survival's `cumulative_dynamic_auc` where no time has both an event and a censoring.

Sources: Heagerty, Lumley and Pepe, Biometrics 56 (2000); Uno, Cai, Tian and Wei, JASA 102 (2007); Blanche, Dartigues
and Jacqmin-Gadda, Statistics in Medicine 32 (2013), competing events and the influence of a patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from oncofed.survival.concordance import TIE_TOLERANCE
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.status_by import StatusBy

FEWEST_OF_EACH = 5
"""Patients known to have had the event, and known not to have had it, for an interval: of fewer its form is a guess."""


@dataclass(frozen=True, eq=False)
class AucOverTime:
    """All (times,).

    times      in the grid's unit.
    auc        NaN where nobody is known to have had the event, or nobody not to have had it.
    low, high  its interval; NaN where it is not known, too.
    cases      patients who had had the event by then.
    """

    times: FloatArray
    auc: FloatArray
    low: FloatArray
    high: FloatArray
    cases: FloatArray


def auc_over_time(risk: FloatArray, times: FloatArray, *, known: StatusBy, level: float = 0.95) -> AucOverTime:
    """At each time.

    risk   (patients, times), finite, higher = worse: told for each of the times.
    times  (times,), those of `known`.
    """
    told, asked = np.asarray(risk, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if told.shape != known.had.shape or asked.shape != told.shape[1:]:
        raise ValueError("risk must have one row a patient and one column a time")
    if not np.isfinite(told).all():
        raise ValueError("risk must be finite")
    found = [_at(told[:, place], known.had[:, place], known.free[:, place], level) for place in range(len(asked))]
    auc, low, high = (np.array([each[part] for each in found], dtype=np.float64) for part in range(3))
    return AucOverTime(asked, auc, low, high, (known.had > 0).sum(axis=0).astype(np.float64))


def _at(risk: FloatArray, had: FloatArray, free: FloatArray, level: float) -> tuple[float, float, float]:
    """The area and its limits."""
    nan = float("nan")
    if not had.any() or not free.any():
        return nan, nan, nan
    below_me = _share_below(risk, free)  # (patients,), of those without the event
    above_me = 1 - _share_below(risk, had)
    auc = float(had @ below_me / had.sum())
    if min((had > 0).sum(), (free > 0).sum()) < FEWEST_OF_EACH or not 0 < auc < 1:
        return auc, nan, nan
    influence = had * (below_me - auc) / had.sum() + free * (above_me - auc) / free.sum()
    half = float(ndtri((1 + level) / 2)) * math.sqrt(float(influence @ influence)) / (auc * (1 - auc))
    return auc, float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def _share_below(risk: FloatArray, weight: FloatArray) -> FloatArray:
    """(patients,): the weighted share whose risk is lower than each one's, and half of those with an equal one."""
    order = np.argsort(risk, kind="stable")
    ordered, gathered = risk[order], np.concatenate(([0.0], np.cumsum(weight[order])))
    below = gathered[np.searchsorted(ordered, risk - TIE_TOLERANCE, side="left")]
    up_to = gathered[np.searchsorted(ordered, risk + TIE_TOLERANCE, side="right")]
    return np.asarray((below + up_to) / 2 / gathered[-1])
