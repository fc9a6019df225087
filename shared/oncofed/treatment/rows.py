"""What does one patient add to a comparison of two options, and why never more than a vector of length 1?

With pi the chance of the second option given the covariates x (propensity), S_a survival under option a, G_a that of
not being lost by then, A what the patient got (1 or 0), h = pi (1 - pi), and M the martingale of what happened (events
less hazard, while at risk) under the patient's own option,

    xi  = - integral over the follow-up up to the horizon t of S_a(t) / (S_a(u) G_a(u)) dM(u),    a = A,
    u_1 = h S_1(t) + A (1 - pi) xi,        u_0 = h S_0(t) + (1 - A) pi xi,

and (sum u_1 - sum u_0) / sum h is the difference in survival over patients who could have got either option: each
counts by h. It is right where pi and G are right, or where S is (doubly robust), and errors of both enter as their
product only. No weight 1 / pi occurs, so no patient counts without bound. The mean time lived up to the horizon
(restricted mean survival time) is the same with R_a(u), the mean time that is left to who lives at u, in place of
S_a(t) / S_a(u); it is counted in horizons.

pi, S and G are those of *released* models, the same for everybody. A model that was fitted to the same patients here
would make each row depend on all patients, and then nothing would bound what one of them adds to the sum.

Bounded without cutting. Hazards are constant within the grid's intervals, so all integrals are exact. As the event's
time u goes from 0 to t, xi falls from its largest value to C - 1 / G(t), where C = integral of S(t) / (S G) dLambda is
what it is for who lives; it never leaves [C - 1 / G(t), C]. The mean time's lies between minus the largest R / G of any
time and its own C. So the longest that v = (h, u_1, u_0, r_1, r_0, q) can be, whatever the option and the outcome, is a
number b(x) of the covariates alone, and a patient of whom 1 / b(x) is small counts by min(LARGEST_WEIGHT, 1 / b(x)) in
place of LARGEST_WEIGHT. That moves the population to which the answer belongs a little, in a way that is public, and
biases nothing, because it does not look at the outcome; to cut rows would. G does not fall below SMALLEST_UNCENSORED:
there its hazard is 0 (again of x and time alone, so that xi keeps its mean of 0 wherever S is right).

Rows are computed as `survival.one_by_one` says, so that each is the same bits whoever else is there.

A row is (counts of each option, v, products of v's parts), scaled so that its length is at most 1: the products, whose
sum gives the standard errors, are at most as long as |v|^2.

Patients must have been under observation from time zero: who came later has lived until then, whatever the option.

Sources: Li, Morgan and Zaslavsky, JASA 113 (2018), the weights; Bai, Tsiatis, Lu and Song, Lifetime Data Analysis 23
(2017), the influence function of survival; Zhao and Tsiatis, Biometrika 84 (1997), of the mean time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.one_by_one import exponentials, totals

FloatArray = NDArray[np.float64]

SMALLEST_UNCENSORED = 0.5
LARGEST_WEIGHT = 1.25
COUNT_SHARE, PRODUCT_SHARE = 0.25, 0.4
SUM_SHARE = float(np.sqrt(1 - COUNT_SHARE**2 - PRODUCT_SHARE**2))
"""Of a row's length: counts are told coarsely, products are needed for standard errors alone."""

SUMS = ("overlap", "survival_1", "survival_0", "mean_time_1", "mean_time_0", "predicted")
"""v. predicted: h (S_1 - S_0), what the models alone say of the difference."""
PRODUCTS = (
    *((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)),  # of overlap and survival
    *((0, 3), (0, 4), (3, 3), (3, 4), (4, 4)),  # of overlap and mean time
)
NUMBERS = 2 + len(SUMS) + len(PRODUCTS)

_LARGEST_HAZARD = 30.0  # of one interval: survival of 1e-13


@dataclass(frozen=True, eq=False)
class Nuisances:
    """What released models say of some patients, in the intervals up to the horizon.

    propensity  (patients,), pi, within [0, 1].
    hazards     (2, patients, intervals): cumulative hazards over whole intervals under the first and the second option.
    censoring   the same of being lost.
    """

    propensity: FloatArray
    hazards: FloatArray
    censoring: FloatArray


def rows(
    nuisances: Nuisances, second: NDArray[np.bool_], events: FloatArray, at_risk: FloatArray, widths: FloatArray
) -> FloatArray:
    """(patients, NUMBERS): each from one patient alone, of length 1 at most.

    second    (patients,), whether the patient got the second option.
    events, at_risk  (patients, intervals) up to the horizon, as `survival.grid.TimeGrid` has them, from time zero on.
    widths    (intervals,), in any unit.
    """
    pi, treated = nuisances.propensity, second.astype(np.float64)
    overlap = pi * (1 - pi)
    first, other = (
        _Course.of(nuisances.hazards[arm], nuisances.censoring[arm], widths / widths.sum()) for arm in (0, 1)
    )
    v = np.stack(
        [
            overlap,
            overlap * other.survival + treated * (1 - pi) * other.of_survival(events, at_risk),
            overlap * first.survival + (1 - treated) * pi * first.of_survival(events, at_risk),
            overlap * other.mean_time + treated * (1 - pi) * other.of_mean_time(events, at_risk),
            overlap * first.mean_time + (1 - treated) * pi * first.of_mean_time(events, at_risk),
            overlap * (other.survival - first.survival),
        ],
        axis=1,
    )
    v *= np.minimum(LARGEST_WEIGHT, 1 / _longest(pi, first, other))[:, None]
    left, right = zip(*PRODUCTS, strict=True)
    counts = np.stack([treated, 1 - treated], axis=1)
    return np.concatenate(
        [COUNT_SHARE * counts, SUM_SHARE * v, PRODUCT_SHARE * v[:, list(left)] * v[:, list(right)]], axis=1
    )


def population_weights(nuisances: Nuisances, widths: FloatArray) -> FloatArray:
    """(patients,): by how much each counts in the population to which the answer belongs: h, times what is public."""
    pi = nuisances.propensity
    first, other = (
        _Course.of(nuisances.hazards[arm], nuisances.censoring[arm], widths / widths.sum()) for arm in (0, 1)
    )
    found: FloatArray = pi * (1 - pi) * np.minimum(LARGEST_WEIGHT, 1 / _longest(pi, first, other))
    return found


def in_groups(found: FloatArray, group: NDArray[np.intp], *, groups: int) -> FloatArray:
    """(groups, numbers): the sum over each group. A patient is in one, so that the length of all stays a row's."""
    sums = np.zeros((groups, found.shape[1]))
    np.add.at(sums, group, found)
    return sums


def _longest(pi: FloatArray, first: _Course, other: _Course) -> FloatArray:
    """b(x)."""
    overlap = pi * (1 - pi)
    always = overlap**2 * (1 + (other.survival - first.survival) ** 2)

    def if_given(weight: FloatArray, given: _Course, not_given: _Course) -> FloatArray:
        squared = always + overlap**2 * (not_given.survival**2 + not_given.mean_time**2)
        for value, limits in (
            (given.survival, given.limits_of_survival()),
            (given.mean_time, given.limits_of_mean_time()),
        ):
            squared = squared + np.maximum(*((overlap * value + weight * limit) ** 2 for limit in limits))
        return np.asarray(squared)

    return np.sqrt(np.maximum(if_given(1 - pi, other, first), if_given(pi, first, other)))


@dataclass(frozen=True, eq=False)
class _Course:
    """What is foretold of patients under one option, (patients, intervals) each but where said.

    hazard, censoring  over whole intervals, the second after the floor of G. begin: S(t) / (S G) where one begins.
    free               G where one begins. left: the mean time left where one ends, in horizons. width: (intervals,).
    survival, mean_time  (patients,), S(t) and R(0).
    """

    hazard: FloatArray
    censoring: FloatArray
    begin: FloatArray
    free: FloatArray
    left: FloatArray
    width: FloatArray
    survival: FloatArray
    mean_time: FloatArray

    @staticmethod
    def of(hazard: FloatArray, censoring: FloatArray, width: FloatArray) -> _Course:
        hazard = np.minimum(hazard, _LARGEST_HAZARD)
        before = np.cumsum(censoring, axis=1) - censoring
        allowed = np.clip(-np.log(SMALLEST_UNCENSORED) - before, 0.0, None)
        censoring = np.minimum(censoring, allowed)
        free = exponentials(-(np.cumsum(censoring, axis=1) - censoring))
        to_come = np.cumsum(hazard[:, ::-1], axis=1)[:, ::-1]
        left = np.zeros_like(hazard)
        after = np.zeros(len(hazard))
        for interval in reversed(range(hazard.shape[1])):
            left[:, interval] = after
            of_it = hazard[:, interval]
            after = width[interval] * _mean_growth(-of_it) + exponentials(-of_it) * after
        return _Course(
            hazard,
            censoring,
            exponentials(-to_come) / free,
            free,
            left,
            width,
            exponentials(-to_come[:, 0]),
            np.asarray(after),
        )

    def of_survival(self, events: FloatArray, at_risk: FloatArray) -> FloatArray:
        """(patients,): xi."""
        both = (self.hazard + self.censoring) * at_risk
        return totals(self.begin * (self.hazard * at_risk * _mean_growth(both) - events * exponentials(both)))

    def of_mean_time(self, events: FloatArray, at_risk: FloatArray) -> FloatArray:
        """(patients,): the same of the mean time."""
        later = self.hazard * (1 - at_risk)
        if_event = self.width * (1 - at_risk) * _mean_growth(-later) + exponentials(-later) * self.left
        happened = events * if_event * exponentials(self.censoring * at_risk)
        return totals((self._mean_time_foretold(at_risk) - happened) / self.free)

    def _mean_time_foretold(self, at_risk: FloatArray) -> FloatArray:
        """Integral of R / G dLambda over what was spent at risk of each interval, times G where it begins."""
        whole = self.width * at_risk * _mean_growth(self.censoring * at_risk)
        grown = at_risk * _mean_growth((self.hazard + self.censoring) * at_risk)
        return np.asarray(whole + (self.hazard * self.left - self.width) * exponentials(-self.hazard) * grown)

    def limits_of_survival(self) -> tuple[FloatArray, FloatArray]:
        """xi of who dies at the horizon, and of who lives."""
        lives = self.of_survival(np.zeros_like(self.hazard), np.ones_like(self.hazard))
        at_horizon = self.free[:, -1] * exponentials(-self.censoring[:, -1])
        return lives - 1 / at_horizon, lives

    def limits_of_mean_time(self) -> tuple[FloatArray, FloatArray]:
        """R is largest where an interval begins or ends: within, it solves a linear equation, so it is monotone."""
        everybody = np.ones_like(self.hazard)
        begins = np.concatenate([self.mean_time[:, None], self.left[:, :-1]], axis=1)
        largest = np.maximum(begins, self.left) / (self.free * exponentials(-self.censoring))
        return -largest.max(axis=1), self.of_mean_time(np.zeros_like(self.hazard), everybody)


_GROWTH = tuple(1 / math.factorial(degree + 1) for degree in range(13, -1, -1))


def _mean_growth(rate: FloatArray) -> FloatArray:
    """Mean of exp(rate * s) for s from 0 to 1: (exp(rate) - 1) / rate, or its series where that would cancel."""
    near = np.abs(rate) < 0.5
    small, apart = np.where(near, rate, 0.0), np.where(near, 1.0, rate)
    series = np.full_like(small, _GROWTH[0])
    for coefficient in _GROWTH[1:]:
        series = series * small + coefficient
    return np.where(near, series, (exponentials(apart) - 1) / apart)
