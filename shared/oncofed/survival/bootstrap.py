"""How far could a measure have come out otherwise, had other patients of the same kind been sampled?

Promise: the percentile interval over resamples of patients with replacement, from the caller's generator alone, so
the same generator gives the same interval. Resamples on which the measure is undefined (NaN: no comparable pair) are
left out and counted; if more than half are undefined, so is the interval.

It is the uncertainty of the *evaluation* for one trained model. It holds none of the spread between trainings,
splits, or noise of the privacy mechanism, and too little if patients are related or in the table twice.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class BootstrapInterval:
    """low, high    limits; NaN if the measure was undefined on more than half of the resamples.
    level           nominal coverage.
    resamples       drawn.
    undefined       of these, left out because the measure was NaN.
    """

    low: float
    high: float
    level: float
    resamples: int
    undefined: int


def bootstrap_interval(
    statistic: Callable[[IndexArray], float],
    n: int,
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> BootstrapInterval:
    """Percentile interval of `statistic`.

    statistic  takes (n,) row numbers, drawn from 0 .. n-1 with replacement, and returns the measure on those rows.
    n          patients, at least 1.
    """
    if n < 1 or resamples < 1 or not 0 < level < 1:
        raise ValueError("n and resamples must be positive and level must lie between 0 and 1")
    values = np.array([statistic(rng.integers(0, n, size=n)) for _ in range(resamples)], dtype=np.float64)
    defined = values[~np.isnan(values)]
    undefined = resamples - len(defined)
    if 2 * undefined > resamples:
        return BootstrapInterval(float("nan"), float("nan"), level, resamples, undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return BootstrapInterval(float(low), float(high), level, resamples, undefined)
