"""What would the prognosis of one patient become if something that is missing were measured?

Nobody knows the result beforehand. What is known are the model, the patient's other values, and other patients in whom
it was measured. The model is asked what it would say with each of their results; how that goes with what is known of
the patient is learned from them; so there is one answer for each of them, as if their result had come out in a
patient who is known as this one is. From the answers follow how far the prognosis may be expected to move, up or down,
and where most results would put it.

A prognosis is a share of patients without the event by a set time. Answers are compared on the logarithm of the
cumulative hazard, log(-log(share)), where a model of proportional hazards adds up.

**What goes with it.** A result that other values foretell is worth less than its spread over all patients says: who
knows the neutrophils nearly knows the leukocytes. So the change that a result makes is regressed on values that are
known of this patient, forward, the one that goes most with what is left first (orthogonal matching pursuit), as long
as it goes with it more than chance would have it among so many (Bonferroni at 5 %, Fisher's z). Each patient's own
residual is the one of a fit without this patient, so a fit cannot look better than it is.

Few numbers of many patients: one coefficient for each `crowd` patients at most, or a regression would hand out what
few of them have. What is then left, and still goes with something known (a correlation of `MATERIAL` or more), makes
every answer too wide, and a mere spread over others misleads: that is the reason then, in place of a number.

Nothing here is rounded, and nothing knows of disclosure: who shows figures of other patients does that (`twin_view`).
Deterministic, without any draw.

Sources: Pati, Rezaiifar, Krishnaprasad, Asilomar 1993 (the pursuit); Cook and Weisberg, Residuals and Influence in
Regression (1982), 2.2, on residuals left one out; Satterthwaite, Biometrics Bulletin 2 (1946), 110-114.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, ndtri

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MATERIAL = 0.3
"""A correlation that widens a spread by 5 % where it is left out."""
_BY_CHANCE = 0.05
_NEAR = 1e-12
"""Of 0 or 1: a share that has no logarithm of a hazard."""


class Unsaid(StrEnum):
    """Why nothing can be said of a measurement, in the order in which it is looked at."""

    TOO_FEW = "too_few"
    """Too few other patients have it."""
    UNLIKE = "unlike"
    """They are unlike this patient in what goes with it: the answer would be made of fewer than the floor."""
    GOES_WITH = "goes_with"
    """It goes with more of what is known than so many patients can tell."""
    MAY_BE_NOISE = "may_be_noise"
    """Noise of the model's training alone could have made what the model makes of it."""


@dataclass(frozen=True, eq=False)
class Answers:
    """now   the share without the event, as the model says without the measurement.
    shares   (patients,), the same with it, once for each other patient's result.
    known    places of what is known of the patient that foretells the result, the strongest first.
    """

    now: float
    shares: FloatArray
    known: tuple[int, ...]

    @property
    def expected_change(self) -> float:
        """The mean of how far it moves, up or down; a share of patients."""
        return float(np.abs(self.shares - self.now).mean())

    @property
    def moved(self) -> FloatArray:
        """(patients,): by how much the log of the cumulative hazard moves."""
        return log_hazard_of(self.shares) - float(log_hazard_of(np.array([self.now]))[0])

    def share_after(self, moved: float) -> float:
        """The share without the event after such a move."""
        return float(np.exp(-np.exp(log_hazard_of(np.array([self.now]))[0] + moved)))


def log_hazard_of(shares: FloatArray) -> FloatArray:
    """Of the cumulative hazard that would leave these shares without the event."""
    return np.asarray(np.log(-np.log(np.clip(shares, _NEAR, 1 - _NEAR))))


def answers_of(
    now: float, measured: FloatArray, known: FloatArray, own: FloatArray, *, fewest: int, crowd: int
) -> Answers | Unsaid:
    """What the model would say if it were measured.

    now       the share without the event, as it is.
    measured  (patients,), the same with each other patient's result in this patient's place.
    known     (patients, values), what is known of them, NaN where it is not. own: (values,), of this patient.
    fewest    patients of whom a spread is told.
    crowd     patients for each coefficient. What is expected is a weighted sum of results, of half a crowd or more:
              the squared weights add up to 2 / crowd at most.
    """
    if len(measured) < fewest:
        return Unsaid.TOO_FEW
    moved = log_hazard_of(measured) - float(log_hazard_of(np.array([now]))[0])
    rows, chosen = np.ones(len(moved), dtype=np.bool_), list[int]()
    while True:
        fit = _Fit.of(moved[rows], known[rows][:, chosen])
        strength, significant = _goes_with(fit.left, known[rows], own, chosen)
        more = np.flatnonzero(significant)
        if not len(more):
            break
        best = int(more[np.argmax(strength[more])])
        both = rows & ~np.isnan(known[:, best])
        if both.sum() < max(fewest, crowd * (len(chosen) + 2)):
            if strength[best] >= MATERIAL:
                return Unsaid.GOES_WITH
            break
        rows, chosen = both, [*chosen, best]
    expected, leverage = fit.at(own[chosen])
    if leverage > 2 / crowd:
        return Unsaid.UNLIKE
    log_hazard = float(log_hazard_of(np.array([now]))[0]) + expected + fit.left_alone
    return Answers(now, np.exp(-np.exp(log_hazard)), tuple(chosen))


@dataclass(frozen=True, eq=False)
class _Fit:
    """Least squares with an intercept. left: residuals. left_alone: each by the fit without its own patient."""

    coefficients: FloatArray
    inverse: FloatArray
    left: FloatArray
    left_alone: FloatArray

    @classmethod
    def of(cls, values: FloatArray, by: FloatArray) -> _Fit:
        design = np.column_stack((np.ones(len(values)), by))
        inverse = np.asarray(np.linalg.pinv(design.T @ design), dtype=np.float64)
        coefficients = inverse @ design.T @ values
        left = values - design @ coefficients
        leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
        return cls(coefficients, inverse, left, left / np.maximum(1 - leverage, _NEAR))

    def at(self, own: FloatArray) -> tuple[float, float]:
        """What is expected there, and the squared length of the weights of which that is the sum."""
        row = np.concatenate(([1.0], own))
        return float(row @ self.coefficients), float(row @ self.inverse @ row)


def _goes_with(left: FloatArray, known: FloatArray, own: FloatArray, chosen: list[int]) -> tuple[FloatArray, BoolArray]:
    """(values,) each: the absolute correlation of what is left with a value, and whether chance would not have it."""
    there = ~np.isnan(known)
    counts = there.sum(axis=0)
    filled = np.where(there, known, 0.0)
    centred = np.where(there, known - filled.sum(axis=0) / np.maximum(counts, 1), 0.0)
    of_left = np.where(there, left[:, None], 0.0)
    of_left = np.where(there, of_left - of_left.sum(axis=0) / np.maximum(counts, 1), 0.0)
    lengths = np.sqrt((centred**2).sum(axis=0) * (of_left**2).sum(axis=0))
    freedom = counts - 3 - len(chosen)
    possible = (lengths > _NEAR) & (freedom > 0) & ~np.isnan(own)
    possible[chosen] = False
    products = np.abs((centred * of_left).sum(axis=0))
    strength = np.minimum(np.divide(products, lengths, out=np.zeros(len(own)), where=possible), 1 - _NEAR)
    limit = -float(ndtri(_BY_CHANCE / 2 / max(int(possible.sum()), 1)))
    return strength, np.asarray(possible & (np.arctanh(strength) * np.sqrt(np.maximum(freedom, 0)) > limit))


def may_be_noise(changes: FloatArray, filled: FloatArray, *, weight_noise: float, deviations: float) -> bool:
    """Whether weights of nothing but noise would have moved the log hazard ratio as far.

    changes       (patients,), what the model makes of each result. filled: (patients, columns), by what each result
                  changes the columns that the model reads.
    weight_noise  standard deviation of a weight by noise alone. deviations: how far out a single number stands out.

    By noise alone the mean square is sum of weights of squared normal numbers, which is told as a multiple of a
    chi-squared one with the same mean and variance; of one column it is exactly so many deviations.
    """
    noise = weight_noise**2 * (filled @ filled.T) / len(filled)
    mean, square = float(np.trace(noise)), float((noise**2).sum())
    if not (mean > 0 and square > 0):
        return True
    freedom = mean**2 / square
    tail = 2 * float(ndtr(-deviations))
    limit = mean / freedom * float(chdtri(freedom, tail))
    return not math.sqrt(float((changes**2).mean())) > math.sqrt(limit)
