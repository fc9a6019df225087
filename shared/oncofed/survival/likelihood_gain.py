"""By how much is what happened more likely under one model than under another, on the same patients?

The gain of a patient is the log of the ratio of both likelihoods: with d_k the event in interval k, p_k the part of it
spent at risk, and b_k and c_k the two models' log hazards, sum_k d_k (b_k - c_k) - p_k (exp b_k - exp c_k). Constants
drop out. Where the first model is right, its mean is what the second one lacks (their Kullback-Leibler divergence over
the follow-up that there was), so it is never below 0, whatever the censoring and however late patients enter. Where
neither is right, the one nearer to the truth gains. It sees order and level of risks alike, and is paired: what is hard
to foretell about a patient is hard for both, and goes.

The interval is that of a sum of independent patients, for the two models as they are.

Sources: Schemper and Henderson, Biometrics 56 (2000), on what a C-index does not see; Vuong, Econometrica 57 (1989),
the paired comparison of two models by their likelihoods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from oncofed.survival.follow_up import FloatArray


@dataclass(frozen=True)
class LikelihoodGain:
    """total  over all patients, in natural logarithms; above 0 the first model is the better one. low, high: limits."""

    total: float
    low: float
    high: float


def gain_of_each(log_hazard: FloatArray, other: FloatArray, events: FloatArray, at_risk: FloatArray) -> FloatArray:
    """(patients,): the gain of the first over the other.

    All (patients, intervals): log cumulative hazards over whole intervals, d_k and p_k.
    """
    gains: FloatArray = (events * (log_hazard - other) - at_risk * (np.exp(log_hazard) - np.exp(other))).sum(axis=1)
    return gains


def likelihood_gain(gains: FloatArray, *, level: float = 0.95) -> LikelihoodGain:
    """gains: (patients,), as `gain_of_each` has them. Limits are NaN for fewer than two patients."""
    total = float(gains.sum())
    if len(gains) < 2:
        return LikelihoodGain(total, float("nan"), float("nan"))
    half = float(ndtri((1 + level) / 2)) * math.sqrt(len(gains)) * float(gains.std(ddof=1))
    return LikelihoodGain(total, total - half, total + half)
