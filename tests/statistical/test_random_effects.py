"""Does the interval for one more hospital hold its true figure as often as it says, with noise and without?

The truth is drawn: each hospital's log ratio of events from a normal distribution, its events from Poisson's, its noise
from the normal one. The usual interval, which takes the spread between hospitals as known, is computed here beside it
and must be seen to fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import t as student

from oncofed.survival.across_hospitals import Counts, ratios_across

MEAN = 0.1
"""Of the log ratio."""


@dataclass(frozen=True)
class Covered:
    """Shares of consortia."""

    next_one: float
    usual: float
    mean: float
    bias: float
    between: float
    """Mean of the spread that is found."""


def covered(hospitals: int, spread: float, events: float, *, noise_sd: float = 0.0, told: bool = True) -> Covered:
    """events: expected of a hospital, on average. told: whether the variances know of the noise."""
    rng, consortia = np.random.default_rng([hospitals, int(1000 * spread), int(noise_sd)]), 300
    next_one, usual, mean, means, between = 0, 0, 0, [], []
    for _ in range(consortia):
        expected = 10 + (events - 10) * rng.gamma(2, 0.5, hospitals)
        came = rng.poisson(np.exp(rng.normal(MEAN, spread, hospitals)) * expected)
        less = came - expected + rng.normal(0, noise_sd, hospitals)
        as_told = expected + rng.normal(0, 2 * noise_sd, hospitals)
        known = noise_sd if told else 0.0
        found = ratios_across(
            [
                Counts("", float(few + many), float(many), 0.0, 0.0, known, 2 * known)
                for few, many in zip(less, as_told, strict=True)
            ]
        ).effects
        assert found is not None
        true, k = rng.normal(MEAN, spread), len(found.estimates)
        low, high = found.prediction()
        next_one += low <= true <= high
        half = student.ppf(0.975, k - 2) * np.hypot(found.between_sd, found.standard_error)
        usual += abs(true - found.mean) <= half
        begin, end = found.interval()
        mean += begin <= MEAN <= end
        means.append(found.mean)
        between.append(found.between_sd)
    return Covered(
        next_one / consortia, usual / consortia, mean / consortia, float(np.mean(means)) - MEAN, float(np.mean(between))
    )


def test_twenty_hospitals_that_differ_say_what_the_next_may_be() -> None:
    found = covered(20, 0.2, 80)
    assert 0.92 < found.next_one < 0.98
    assert 0.92 < found.mean < 0.98
    assert abs(found.bias) < 0.01


def test_where_hospitals_hardly_differ_the_usual_interval_fails_and_this_one_holds() -> None:
    found = covered(20, 0.05, 40)
    assert found.next_one > 0.93
    assert found.usual < 0.915


def test_five_hospitals_are_enough_for_an_honest_interval() -> None:
    found = covered(5, 0.2, 80)
    assert found.next_one > 0.92
    assert found.mean > 0.92


def test_with_the_noise_of_a_release_the_next_hospital_is_held_as_often() -> None:
    found = covered(8, 0.2, 100, noise_sd=5.0)
    assert 0.92 < found.next_one < 0.99
    assert abs(found.bias) < 0.02


@pytest.mark.slow
def test_noise_is_not_taken_for_a_difference_between_hospitals() -> None:
    knows, does_not = (covered(8, 0.0, 100, noise_sd=8.0, told=told) for told in (True, False))
    assert knows.between < 0.7 * does_not.between
