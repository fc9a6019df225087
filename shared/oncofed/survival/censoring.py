"""How likely is it that a patient is still followed at a time, in the hospital where the patient is followed?

Hospitals differ in when their data were cut, and in how ill their patients are. One curve for all of them then weighs
wrongly: where the hospital with the shorter follow-up has the sicker patients, a Brier score came out 0.013 too low,
which is more than one way of training differs from another. So each hospital has a curve of its own, and those of whom
too few are followed for long enough share one.

Promise: from follow-up of training patients alone. No delayed entry: see `kaplan_meier.censoring_distribution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.follow_up import BoolArray, FloatArray
from oncofed.survival.kaplan_meier import KaplanMeier, censoring_distribution

FEWEST_FOLLOWED = 10
"""Training patients still followed at the last time asked for, for a curve of a hospital's own."""


@dataclass(frozen=True, eq=False)
class CensoringByGroup:
    """curves  one a group. of  (patients,), which curve is each patient's."""

    curves: tuple[KaplanMeier, ...]
    of: NDArray[np.intp]

    @staticmethod
    def same(curve: KaplanMeier, *, patients: int) -> CensoringByGroup:
        """One curve for everybody."""
        return CensoringByGroup((curve,), np.zeros(patients, dtype=np.intp))

    def just_before(self, times: FloatArray) -> FloatArray:
        """(patients,): of each at a time of its own, the probability of not having been censored before that time.

        An event is seen of all who were not censored earlier: whoever is censored at the same time left after it.
        """
        return np.asarray(np.stack([curve.before(times) for curve in self.curves])[self.of, np.arange(len(self.of))])

    def at(self, times: FloatArray) -> FloatArray:
        """(patients, times): of each, of not being censored by any of the same times."""
        return np.asarray(np.stack([curve.at(times) for curve in self.curves])[self.of])


def censoring_by_hospital(
    training: Mapping[str, tuple[FloatArray, BoolArray]], hospital_of: NDArray[np.str_], *, until: float
) -> CensoringByGroup:
    """A curve for each hospital.

    training     (time, observed) of each hospital's training patients.
    hospital_of  (patients,), of those who are evaluated; hospitals without training patients share the common curve.
    until        the last time that is asked for.

    All curves may still end before it: the caller sees NaN.
    """
    pooled = [np.concatenate([each[part] for each in training.values()]) for part in (0, 1)]
    alone = [name for name, (time, _) in training.items() if (time > until).sum() >= FEWEST_FOLLOWED]
    rest = [each for name, each in training.items() if name not in alone]
    common = [np.concatenate([each[part] for each in rest]) for part in (0, 1)] if rest else pooled
    if (common[0] > until).sum() < FEWEST_FOLLOWED:
        common = pooled
    curves = [censoring_distribution(time=common[0], observed=common[1])]
    curves += [censoring_distribution(time=training[name][0], observed=training[name][1]) for name in alone]
    numbers = {name: number for number, name in enumerate(alone, start=1)}
    return CensoringByGroup(tuple(curves), np.array([numbers.get(str(each), 0) for each in hospital_of], dtype=np.intp))
