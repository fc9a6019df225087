"""Does what the ledger charges for integer noise over patients drawn by lot bound its true privacy loss?

The truth is had by enumeration, to forty digits: of one number, a few other patients and one patient more, each of whom
joins with the sampling rate, every outcome of the rounded sum with its noise is listed, with the patient and without.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import mpmath  # type: ignore[import-untyped]  # ships no types
import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.privacy import accounting
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.integer_noise import rounded
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease

FloatArray = NDArray[np.float64]
DELTAS = (1e-3, 1e-6, 1e-9)
DIGITS = 40
Distribution = dict[int, mpmath.mpf]


@dataclass(frozen=True)
class Example:
    """others, patient: what each would add, in units of the bound. Their sums are exact in float64."""

    noise_multiplier: float
    scale_bits: int
    rate: Fraction
    others: tuple[float, ...]
    patient: float = 1.0

    @property
    def step(self) -> SampledIntegerRelease:
        return SampledIntegerRelease(self.noise_multiplier, 1, self.scale_bits, 1.0, float(self.rate), 1)

    def rounded_sums(self, *, patient_joins: bool) -> dict[int, Fraction]:
        """The rounded sum of those who join, without noise, and how likely it is."""
        sums: dict[int, Fraction] = {}
        for joins in itertools.product((False, True), repeat=len(self.others)):
            likely = math.prod((self.rate if one else 1 - self.rate for one in joins), start=Fraction(1))
            total = math.fsum(itertools.compress(self.others, joins)) + (self.patient if patient_joins else 0.0)
            (whole,) = rounded(np.array([total]), release=self.step.of_one_step, largest_patients=100).tolist()
            sums[whole] = sums.get(whole, Fraction(0)) + likely
        return sums

    def released(self, *, is_there: bool, noise: float = 1.0) -> Distribution:
        """What leaves, with the patient among those who may join or without. noise: drawn, of what is promised."""
        absent, joined = (self.rounded_sums(patient_joins=joins) for joins in (False, True))
        rate = self.rate if is_there else Fraction(0)
        weights = {mean: (1 - rate) * absent.get(mean, 0) + rate * joined.get(mean, 0) for mean in {*absent, *joined}}
        with mpmath.workdps(DIGITS):
            share = discrete_gaussian(noise * self.step.of_one_step.share_standard_deviation)
            low, high = min(absent | joined) + min(share), max(absent | joined) + max(share)
            return {
                outcome: mpmath.fsum(
                    mpmath.mpf(weight.numerator) / weight.denominator * share.get(outcome - mean, mpmath.mpf(0))
                    for mean, weight in weights.items()
                )
                for outcome in range(low, high + 1)
            }


def discrete_gaussian(standard_deviation: float) -> Distribution:
    """What is left out is below 1e-40."""
    reach = math.ceil(14 * standard_deviation)
    raw = {
        x: mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * mpmath.mpf(standard_deviation) ** 2))
        for x in range(-reach, reach + 1)
    }
    total = mpmath.fsum(raw.values())
    return {x: value / total for x, value in raw.items()}


def true_delta(epsilon: float, example: Example, *, noise: float = 1.0) -> mpmath.mpf:
    """The larger of both directions: the patient is added, or removed."""
    there, not_there = (example.released(is_there=is_there, noise=noise) for is_there in (True, False))
    with mpmath.workdps(DIGITS):
        raised = mpmath.exp(mpmath.mpf(epsilon))
        return max(
            mpmath.fsum(max(one[outcome] - raised * other[outcome], mpmath.mpf(0)) for outcome in one)
            for one, other in ((there, not_there), (not_there, there))
        )


TIE = Example(6.0, 0, Fraction(1, 5), (0.5,))
"""Whoever joins with the other one is rounded up by half a step, who does not join down: two steps for one bound."""
FINE = Example(1.0, 6, Fraction(1, 10), ())
"""In steps so fine that rounding hardly matters."""
EXAMPLES = {
    "a tie": TIE,
    "fine steps": FINE,
    "fine steps among others": replace(FINE, others=(1.0, -0.75, 0.3125)),
    "a patient to the other side": replace(FINE, others=(1.0, 1.0, 0.25), patient=-1.0),
    "nearly always": Example(2.0, 2, Fraction(9, 10), (0.125, 0.5)),
}
MORE = {
    "a tie, every other time": replace(TIE, noise_multiplier=3.0, rate=Fraction(1, 2)),
    "many others": Example(2.0, 1, Fraction(1, 4), (0.25, 0.25, 0.75, -0.25, 0.5, -1.0)),
    "hardly ever": Example(0.7, 3, Fraction(1, 100), (0.5, -0.3125)),
    "little noise": Example(2.0, 0, Fraction(1, 4), (0.5, 0.5)),
}
ALL = [
    *(pytest.param(example, id=name) for name, example in EXAMPLES.items()),
    *(pytest.param(example, id=name, marks=pytest.mark.slow) for name, example in MORE.items()),
]


@pytest.mark.parametrize("example", ALL)
def test_what_is_charged_bounds_the_mixture_in_both_directions(example: Example) -> None:
    for delta in DELTAS:
        assert true_delta(epsilon_of([example.step], delta=delta), example) <= delta


@pytest.mark.parametrize("example", ALL)
def test_the_bound_is_not_empty(example: Example) -> None:
    assert true_delta(epsilon_of([example.step], delta=1e-6) / 4, example) > 1e-6


def test_in_fine_steps_the_bound_is_nearly_reached() -> None:
    charged = epsilon_of([FINE.step], delta=1e-6)
    assert true_delta(0.95 * charged, FINE) > 1e-6


def test_noise_that_is_a_tenth_too_small_breaks_the_bound() -> None:
    for delta in DELTAS:
        assert true_delta(epsilon_of([FINE.step], delta=delta), FINE, noise=0.9) > delta


@pytest.fixture
def rounding_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sensitivity is one bound and no more."""
    monkeypatch.setattr(SharedIntegerRelease, "integer_sensitivity", property(lambda self: float(self.scale)))
    accounting._epsilon.cache_clear()
    yield
    accounting._epsilon.cache_clear()


@pytest.mark.usefixtures("rounding_is_forgotten")
def test_a_sensitivity_without_the_rounding_breaks_the_bound() -> None:
    for delta in DELTAS:
        assert true_delta(epsilon_of([TIE.step], delta=delta), TIE) > delta


def test_forgetting_that_others_are_drawn_too_is_seen() -> None:
    """Of the charge for a smaller rate the bound does not hold."""
    rarer = replace(FINE.step, sampling_rate=0.05)
    assert true_delta(epsilon_of([rarer], delta=1e-6), FINE) > 1e-6


FIRST = Example(1.0, 5, Fraction(1, 10), ())
THEN = {True: FIRST, False: replace(FIRST, others=(0.25, -0.5), patient=-1.0)}
"""The second step's example, by whether the first released more than nothing. Both are the plan's one release."""


def two_steps(*, is_there: bool) -> FloatArray:
    """(first outcome, second outcome), in one order for both."""
    reach = range(-500, 501)  # the first released more or less with probability zero
    second = {positive: example.released(is_there=is_there) for positive, example in THEN.items()}
    after = {positive: np.array([float(of.get(two, 0)) for two in reach]) for positive, of in second.items()}
    first = FIRST.released(is_there=is_there)
    return np.array([float(first.get(one, 0)) * after[one > 0] for one in reach])


def test_steps_that_are_chosen_on_the_way_compose() -> None:
    """Which others there are and which way the patient pulls follows from what the first step released."""
    there, not_there = two_steps(is_there=True), two_steps(is_there=False)
    assert [there.sum(), not_there.sum()] == pytest.approx([1, 1], abs=1e-12)
    assert {example.step for example in THEN.values()} == {FIRST.step}

    def delta_at(epsilon: float) -> float:
        pairs = ((there, not_there), (not_there, there))
        return max(float(np.maximum(one - math.exp(epsilon) * other, 0).sum()) for one, other in pairs)

    assert delta_at(epsilon_of([replace(FIRST.step, steps=2)], delta=1e-4)) <= 1e-4
    assert delta_at(epsilon_of([FIRST.step], delta=1e-4)) > 1e-4
