"""Which hospitals count, on which scale, and does the prediction from others hold what is seen in one?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oncofed.survival.across_hospitals import (
    AcrossHospitals,
    Counts,
    OfHospital,
    OnScale,
    Scale,
    ratios_across,
    with_interval,
)

NAN = float("nan")


def counts(observed: float, expected: float, *, noise_sd: float = 0.0) -> Counts:
    return Counts("", observed, expected, NAN, NAN, noise_sd, 2 * noise_sd)


@pytest.mark.parametrize(("scale", "value"), [(Scale.LOG, 0.4), (Scale.LOGIT, 0.71), (Scale.PLAIN, -0.3)])
def test_a_value_comes_back_from_its_scale(scale: Scale, value: float) -> None:
    assert scale.back(scale.to(value)) == pytest.approx(value)


def test_a_hospital_counts_by_what_was_expected_and_not_by_what_came() -> None:
    found = ratios_across([counts(0, 12), counts(40, 9.9), counts(20, 20), counts(35, 30)])
    assert [each.compared is not None for each in found.hospitals] == [True, False, True, True]
    assert found.counted == 3
    assert [each.value for each in found.hospitals] == pytest.approx([0, 40 / 9.9, 1, 35 / 30])


def test_hospitals_with_the_same_expectation_weigh_the_same_however_many_events_came() -> None:
    few, many, _ = (each.compared for each in ratios_across([counts(10, 40), counts(60, 40), counts(50, 40)]).hospitals)
    assert few is not None
    assert many is not None
    assert few.variance == many.variance == pytest.approx(1 / 40)


def test_of_few_events_the_logarithm_is_right_on_average() -> None:
    """Truth: drawn events. That of the plain ratio lies a half over the events too low, which is 4 % at 12."""
    came, times = np.unique(np.random.default_rng(3).poisson(12.0, 50_000), return_counts=True)
    told = [ratios_across([counts(float(each), 12.0)]).hospitals[0].compared for each in came]
    mean = np.average([each.estimate for each in told if each is not None], weights=times)
    assert mean == pytest.approx(0.0, abs=0.008)
    assert np.average(np.log(np.maximum(came, 0.5) / 12), weights=times) < -0.03, "the check must be able to fail"


def test_where_noise_is_a_quarter_of_the_expected_events_nobody_counts() -> None:
    found = ratios_across([counts(39, 39, noise_sd=10), counts(41, 41, noise_sd=10), counts(41, 41, noise_sd=10)])
    assert [each.compared is not None for each in found.hospitals] == [False, True, True]


def test_the_variance_of_a_noisy_ratio_is_what_many_releases_show() -> None:
    """Truth: drawn events, drawn noise; the ratio of all is 1.5, so that noise on expected events matters."""
    rng, noise, expected = np.random.default_rng(1), 4.0, 60.0
    less = rng.poisson(1.5 * expected, 200_000) - expected + rng.normal(0, noise, 200_000)
    told = expected + rng.normal(0, 2 * noise, 200_000)
    seen = float(np.log((less + told + 0.5) / told).var())
    one = ratios_across([counts(1.5 * expected, expected, noise_sd=noise)] * 3).hospitals[0].compared
    assert one is not None
    assert one.variance == pytest.approx(seen, rel=0.05)
    assert 1 / (1.5 * expected) < 0.8 * seen  # what chance alone would be, so that a term left out is noticed


def test_a_figure_without_a_place_on_its_scale_is_shown_and_does_not_count() -> None:
    told = [
        with_interval(Scale.LOGIT, "all in order", 1.0, 0.9, 1.0, counts=True),
        with_interval(Scale.LOGIT, "not known", NAN, NAN, NAN, counts=True),
        with_interval(Scale.PLAIN, "few events", 0.9, 0.5, 1.3, counts=False),
        with_interval(Scale.LOG, "none", 0.0, 0.0, 0.2, counts=True),
    ]
    assert [each.compared for each in told] == [None] * 4
    kept = with_interval(Scale.PLAIN, "slope", 0.9, 0.9 - 1.959964 * 0.2, 0.9 + 1.959964 * 0.2, counts=True).compared
    assert kept is not None
    assert (kept.estimate, kept.variance) == pytest.approx((0.9, 0.04))


def test_of_one_hospital_nothing_is_said_of_others() -> None:
    found = ratios_across([counts(20, 20)])
    assert found.effects is None
    assert all(math.isnan(each) for each in (found.mean, *found.interval, *found.prediction))


def _hospitals(values: list[float], variance: float) -> AcrossHospitals:
    return AcrossHospitals.of(
        Scale.PLAIN, [OfHospital(str(n), each, NAN, NAN, OnScale(each, variance)) for n, each in enumerate(values)]
    )


def test_a_hospital_unlike_all_others_is_not_foretold_and_one_like_them_is() -> None:
    values = [0.95, 1.0, 1.05, 0.98, 1.02, 1.01, 0.99, 3.0]
    told = _hospitals(values, 0.01).foretold()
    assert told == (True,) * 7 + (False,)
    assert _hospitals(values, 4.0).foretold() == (True,) * 8  # its own error could explain it
    assert _hospitals(values[:3], 0.01).foretold() == ()


@pytest.mark.slow
def test_of_hospitals_of_one_kind_95_in_100_are_foretold() -> None:
    rng = np.random.default_rng(4)
    told = [
        each
        for _ in range(40)
        for each in _hospitals((rng.normal(0, 0.2, 15) + rng.normal(0, 0.15, 15)).tolist(), 0.15**2).foretold()
    ]
    assert 0.92 < np.mean(told) < 0.98
