"""Is the gain what follows from known hazards, and does its interval cover that as often as it says?

The truth is in closed form: patients of two kinds, each with a constant hazard, followed to a fixed time. Of hazard r
under the truth, a model that says m instead of r loses (1 - exp(-r t)) (log(r / m) - 1 + m / r) on average.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood_gain import LikelihoodGain, gain_of_each, likelihood_gain

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 3.0, 12.0, 30.0))
TRUE = (0.02, 0.08)
SAID = (0.04, 0.04)
"""By a score that does not tell the two kinds apart."""
FOLLOWED = 24.0


def lost(true: float, said: float, *, followed: float = FOLLOWED) -> float:
    """What the wrong hazard loses a patient on average: no simulation, no code under test."""
    return (1 - math.exp(-true * followed)) * (math.log(true / said) - 1 + said / true)


EXPECTED = sum(lost(true, said) for true, said in zip(TRUE, SAID, strict=True)) / 2


def log_hazards(kind: NDArray[np.int64], hazards: tuple[float, float]) -> FloatArray:
    """(patients, intervals): over whole intervals."""
    return np.asarray(np.log(np.array(hazards)[kind][:, None] * GRID.widths))


def drawn(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Kinds, d_k and p_k."""
    kind = rng.integers(0, 2, n)
    death = rng.exponential(1 / np.array(TRUE)[kind])
    exit_ = np.minimum(death, FOLLOWED)
    return kind, GRID.events(exit_, death < FOLLOWED), GRID.at_risk(np.zeros(n), exit_)


def found(n: int, rng: np.random.Generator) -> tuple[FloatArray, LikelihoodGain]:
    kind, events, at_risk = drawn(n, rng)
    gains = gain_of_each(log_hazards(kind, TRUE), log_hazards(kind, SAID), events, at_risk)
    return gains, likelihood_gain(gains)


def test_the_mean_gain_is_what_the_hazards_say() -> None:
    gains, told = found(400_000, np.random.default_rng(1))
    standard_error = float(gains.std() / math.sqrt(len(gains)))
    assert told.total / len(gains) == pytest.approx(EXPECTED, abs=4 * standard_error)
    assert standard_error < EXPECTED / 150  # so that a term left out, which is as large as the whole, is noticed
    assert told.low < told.total < told.high


def test_the_other_way_round_it_is_the_same_loss() -> None:
    kind, events, at_risk = drawn(1_000, np.random.default_rng(2))
    ours, theirs = log_hazards(kind, TRUE), log_hazards(kind, SAID)
    np.testing.assert_array_equal(
        gain_of_each(ours, theirs, events, at_risk), -gain_of_each(theirs, ours, events, at_risk)
    )
    assert not gain_of_each(ours, ours, events, at_risk).any()


def test_of_100_intervals_95_cover_the_expected_gain() -> None:
    rng = np.random.default_rng(3)
    told = [found(300, rng)[1] for _ in range(2_000)]
    covered = np.mean([each.low <= 300 * EXPECTED <= each.high for each in told])
    assert 0.935 < covered < 0.96
    narrower = np.mean([abs(each.total - 300 * EXPECTED) <= 0.8 * (each.high - each.total) for each in told])
    assert narrower < 0.91  # an interval that is a fifth too narrow would be noticed


def test_of_one_patient_nothing_is_known() -> None:
    told = likelihood_gain(np.array([0.5]))
    assert told.total == 0.5
    assert math.isnan(told.low)
