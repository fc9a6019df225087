"""Are the two options' patients alike in what is adjusted for, once each counts by its weight?

Of a patient, w (2 A - 1) z for each confounder z, standardised by public constants, with w = 1 - pi for who got the
second option and pi for who got the first. Where the released pi is right its mean is 0; divided by the mean of
h = pi (1 - pi) it is the difference of both options' weighted means, in standard deviations. It is a test of pi alone,
without any outcome. Bounded as in `treatment.rows`, by a weight that looks at covariates alone.

Source: Austin and Stuart, Statistics in Medicine 34 (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.one_by_one import totals
from oncofed.treatment.estimate import Figure

FloatArray = NDArray[np.float64]

USUAL_LENGTH = 2.0
"""Who pulls less than this counts in full."""


def balance_rows(propensity: FloatArray, second: NDArray[np.bool_], confounders: FloatArray) -> FloatArray:
    """(patients, 1 + confounders), each of length 1 at most.

    propensity  (patients,), released. second: (patients,), who got the second option.
    confounders (patients, confounders), standardised, finite: 0 where not measured.
    """
    overlap = propensity * (1 - propensity)
    weight = np.where(second, 1 - propensity, -propensity)
    largest = np.maximum(propensity, 1 - propensity)
    longest = np.sqrt(overlap**2 + largest**2 * totals(np.square(confounders)))
    found: FloatArray = np.concatenate([overlap[:, None], weight[:, None] * confounders], axis=1)
    found /= np.maximum(longest, USUAL_LENGTH)[:, None]
    return found


@dataclass(frozen=True)
class Imbalance:
    """Of one confounder: the weighted difference, in standard deviations."""

    confounder: str
    difference: Figure


def imbalances(sums: FloatArray, names: Sequence[str], *, noise: float) -> tuple[Imbalance, ...]:
    """sums: (1 + confounders,). noise: standard deviation of what was added to each of them.

    The chance of patients is taken as that of a confounder with a standard deviation of 1, as the schema has it.
    """
    overlap = float(sums[0])
    if not overlap > 0:
        return tuple(Imbalance(name, Figure(float("nan"), float("nan"))) for name in names)
    error = float(np.sqrt(1 / (USUAL_LENGTH * overlap) + (noise / overlap) ** 2))
    return tuple(
        Imbalance(name, Figure(float(each) / overlap, error)) for name, each in zip(names, sums[1:], strict=True)
    )
