"""Are ratios and slopes of noised sums told with the right limits, and not told where the noise would speak?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.doubles import model_spec, study_plan
from tests.summaries import calibration_of

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.expected_layout import BLOCK_WEIGHTS, OVERALL, OVERALL_WEIGHTS, expected_layout
from oncofed.server.evaluation.calibration import (
    MOST_NOISE,
    Sums,
    calibration_figures,
    measured_calibration,
    ratio_of,
    slope_of,
    sums_of,
)
from oncofed.server.rounds.state import ReleasedSummary

FloatArray = NDArray[np.float64]


def sums(
    *, less: float = 0.0, less_z: float = 0.0, expected: float = 400.0, mean: float = 0.1, variance: float = 0.2,
    noise_sd: float = 0.0, windows: FloatArray | None = None, groups: FloatArray | None = None,
) -> Sums:  # fmt: skip
    overall = np.array([less, less_z, expected, expected * mean, expected * (variance + mean**2)])
    none_of_windows, none_of_groups = np.zeros((0, 2)), np.zeros((0, 1, 2))
    return Sums(
        overall, none_of_windows if windows is None else windows, none_of_groups if groups is None else groups, noise_sd
    )


# Observed over expected


def test_without_noise_the_limits_are_where_a_poisson_number_is_1_96_deviations_off() -> None:
    found = ratio_of(-40.0, 400.0, noise_sd=0.0, smallest_expected=10.0).ratio
    assert found is not None
    assert found.value == pytest.approx(0.9)
    for limit in (found.low, found.high):
        assert abs(360 - 400 * limit) == pytest.approx(1.959964 * math.sqrt(400 * limit))


def test_with_noise_they_are_where_both_together_are() -> None:
    found = ratio_of(60.0, 300.0, noise_sd=12.0, smallest_expected=10.0).ratio
    assert found is not None
    for limit in (found.low, found.high):
        variance = 300 * limit + 12**2 * (1 + (1 - limit) ** 2 * 4)  # expected events have half of the weight
        assert abs(360 - 300 * limit) == pytest.approx(1.959964 * math.sqrt(variance))


@pytest.mark.parametrize(
    ("expected", "noise_sd", "is_shown"),
    [
        (10.0, 0.0, True),
        (9.9, 0.0, False),
        (0.0, 0.0, False),
        (-5.0, 0.0, False),
        (20.0, 20.0 * MOST_NOISE, True),
        (20.0, 20.1 * MOST_NOISE, False),
        (math.nan, 0.0, False),
    ],
)
def test_of_few_expected_events_or_much_noise_no_ratio_is_shown(
    expected: float, noise_sd: float, is_shown: bool
) -> None:
    assert (ratio_of(1.0, expected, noise_sd=noise_sd, smallest_expected=10.0).ratio is not None) == is_shown


def test_without_a_floor_nothing_is_divided_by_nothing() -> None:
    assert ratio_of(0.0, 0.0, noise_sd=0.0, smallest_expected=0.0).ratio is None


def test_a_ratio_is_wrong_where_it_matters_and_is_no_chance_among_all_that_are_looked_at() -> None:
    def is_wrong(observed: float, *, looked_at: int = 1, noise_sd: float = 0.0) -> bool:
        found = ratio_of(observed - 100.0, 100.0, noise_sd=noise_sd, smallest_expected=10.0, looked_at=looked_at)
        return found.wrong

    assert [is_wrong(each) for each in (70, 78, 100, 130, 136)] == [True, False, False, False, True]
    assert not is_wrong(70, noise_sd=20.0)
    assert not is_wrong(70, looked_at=60)
    assert is_wrong(40, looked_at=60)


# Slope


def test_the_slope_of_a_normal_spread_is_exact_whatever_the_level() -> None:
    """Oracle: the sums of a Poisson model with hazards exp(a + b z) times the expected ones, z normal."""
    expected, mean, variance, spread = 400.0, 0.15, 0.2, 1.5
    for level, slope in [(1.0, 1.0), (0.7, 0.8), (1.3, 1.2), (2.0, 0.5)]:
        b = (slope - 1) * spread
        observed = level * expected * math.exp(b * mean + b**2 * variance / 2)
        less_z = observed * (mean + b * variance) - expected * mean
        found = slope_of(
            sums(less=observed - expected, less_z=less_z, expected=expected, mean=mean, variance=variance),
            spread=spread,
            smallest_expected=10.0,
        )
        assert found is not None
        assert found.value == pytest.approx(slope)
        width = 2 * 1.959964 / math.sqrt(observed * variance) / spread
        assert found.high - found.low == pytest.approx(width)


def test_noise_on_each_of_the_five_sums_moves_the_slope_as_far_as_its_interval_says() -> None:
    """Oracle: the slope computed again of sums with noise."""
    rng, spread, noise_sd = np.random.default_rng(7), 1.5, 4.0
    at = sums(less=-1200.0, less_z=-860.0, expected=4000.0, mean=0.8, noise_sd=noise_sd)
    deviations = noise_sd / np.array(OVERALL_WEIGHTS)
    values, truth = [], slope_of(replace(at, noise_sd=0.0), spread=spread, smallest_expected=10.0)
    for _ in range(6000):
        noised = replace(at, overall=at.overall + deviations * rng.standard_normal(OVERALL), noise_sd=0.0)
        found = slope_of(noised, spread=spread, smallest_expected=10.0)
        assert found is not None
        values.append(found.value)
    told = slope_of(at, spread=spread, smallest_expected=10.0)
    assert told is not None
    assert truth is not None
    of_noise = math.sqrt((told.high - told.low) ** 2 - (truth.high - truth.low) ** 2) / 2 / 1.959964
    assert np.std(values) == pytest.approx(of_noise, rel=0.05)


@pytest.mark.parametrize(
    "changed",
    [
        {"variance": 0.0},
        {"variance": -0.1},
        {"less": -400.0},
        {"expected": 9.0},
        {"noise_sd": 60.0},
        {"noise_sd": 101.0},
    ],
    ids=str,
)
def test_a_slope_that_the_sums_cannot_tell_is_not_shown(changed: dict[str, float]) -> None:
    assert slope_of(sums(), spread=1.5, smallest_expected=10.0) is not None
    spoilt = sums(**changed)  # type: ignore[arg-type]  # none of them is an array
    assert slope_of(spoilt, spread=1.5, smallest_expected=10.0) is None


def test_a_slope_is_wrong_where_it_matters_and_its_interval_leaves_1_out() -> None:
    def is_wrong(slope: float, *, expected: float = 4000.0) -> bool:
        less_z = (slope - 1) * 1.5 * expected * 0.2
        found = calibration_figures(
            sums(less_z=less_z, expected=expected, mean=0.0), spread=1.5, smallest_expected=10.0
        )
        return found.slope_wrong

    assert [is_wrong(each) for each in (0.8, 0.9, 1.0, 1.1, 1.2)] == [True, False, False, False, True]
    assert not is_wrong(0.8, expected=100.0)


# Windows and groups


def test_windows_stand_by_themselves_and_groups_are_summed_over_them_with_the_noise_of_so_many() -> None:
    windows = np.array([[15.0, 165.0], [-5.0, 123.0]])
    groups = np.array([[[5.0, 100.0], [-5.0, 80.0]], [[10.0, 60.0], [0.0, 40.0]], [[0.0, 5.0], [0.0, 3.0]]])
    found = calibration_figures(sums(noise_sd=2.0, windows=windows, groups=groups), spread=1.5, smallest_expected=10.0)

    def width(less: float, expected: float, summed: int) -> float:
        ratio = ratio_of(less, expected, noise_sd=2.0 * math.sqrt(summed), smallest_expected=10.0).ratio
        assert ratio is not None
        return ratio.high - ratio.low

    assert [each.expected for each in found.windows] == [165.0, 123.0]
    assert [[each.expected for each in group] for group in found.groups] == [
        [100.0, 80.0, 180.0],
        [60.0, 40.0, 100.0],
        [5.0, 3.0, 8.0],
    ]
    first, all_along = found.windows[0].ratio, found.groups[1][2].ratio
    assert first is not None
    assert all_along is not None
    assert (first.value, all_along.value) == pytest.approx((180 / 165, 110 / 100))
    assert first.high - first.low == pytest.approx(width(15.0, 165.0, 1))
    assert all_along.high - all_along.low == pytest.approx(width(10.0, 100.0, 2))
    assert [each.ratio for each in found.groups[2]] == [None, None, None]


@pytest.mark.parametrize(("less", "is_wrong"), [(-28.0, False), (-29.0, True)])
def test_a_group_is_wrong_among_all_windows_of_all_groups_and_those_that_last_all_along(
    less: float, is_wrong: bool
) -> None:
    """Two windows and three groups with two and all along: 11, so beyond 28.4 of 100 (the root of 100 times 2.84)."""
    groups = np.zeros((3, 2, 2)) + np.array([0.0, 100.0])
    groups[0, 0, 0] = less
    found = calibration_figures(
        sums(windows=np.array([[0.0, 300.0]] * 2), groups=groups), spread=1.5, smallest_expected=10.0
    )
    assert found.groups[0][0].wrong is is_wrong


def test_numbers_stand_where_the_layout_puts_them() -> None:
    plan = study_plan(model=model_spec(endpoints=2))
    spec = calibration_of(plan, group_columns=(1,), noise_multiplier=3.0)
    plan = replace(plan, summaries=(spec,))
    layout = expected_layout(plan, spec)
    overall = np.arange(1.0, 6.0) * 100
    block = np.arange(24.0).reshape(3, 4, 2) + 50
    one = np.concatenate([overall * OVERALL_WEIGHTS, (block * BLOCK_WEIGHTS).ravel()]) / layout.bound
    vector = np.concatenate([one, 2 * one])
    first, second = sums_of(layout, vector, noise_of_sum=0.5)
    np.testing.assert_allclose(first.overall, overall)
    np.testing.assert_allclose(second.windows, 2 * block[0])
    np.testing.assert_allclose(second.groups, 2 * block[1:])
    assert first.noise_sd == pytest.approx(0.5 * layout.bound)

    assert measured_calibration(plan, {}) is None
    assert measured_calibration(replace(plan, summaries=()), {}) is None
    found = measured_calibration(plan, {"calibration": ReleasedSummary(vector, plan.roster)})
    assert found is not None
    assert list(found.endpoints) == list(plan.model.endpoints)
    of_sum = release_of_summary(plan, spec).noise_of_sum(hospitals=len(plan.roster))
    assert found.noise_sd == pytest.approx(of_sum * layout.bound)
