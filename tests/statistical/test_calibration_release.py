"""Does a calibration release tell the truth of a model's risks, with intervals that hold what they promise?

The truth is in how patients are drawn (`tests.calibration_cohorts`): hazards of a known multiple, log hazard ratios of
a known slope, delayed entry, and censoring that depends on risk. 1,144 patients, and the noise of epsilon 3 in mode
`distributed`, 20 hospitals, a fifth of the budget. Seeded, so that nothing flakes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.calibration_cohorts import NOISE, World, releases
from torch import Tensor

from oncofed.client.patients import held_out_sums
from oncofed.server.evaluation import calibration
from oncofed.server.evaluation.calibration import EndpointCalibration
from oncofed.server.evaluation.concordance import Estimate
from oncofed.survival.likelihood import cumulative_hazard
from oncofed.survival.stopped_residuals import stopped_residuals

QUICK, MANY = 200, 1000
RATIO_WORLDS = [World(), World(level=0.7), World(level=1.3), World(late=0.0, lost_by_risk=0.0), World(late=20.0)]
SLOPE_WORLDS = [
    World(),
    World(slope=0.8),
    World(slope=1.2),
    World(level=0.7, slope=0.8),
    World(level=1.3, slope=1.2),
    World(late=20.0, lost_by_risk=1.0),
]


def ratio(found: EndpointCalibration) -> Estimate | None:
    return found.overall.ratio


def slope(found: EndpointCalibration) -> Estimate | None:
    return found.slope


def shown(found: list[EndpointCalibration], of: Callable[[EndpointCalibration], Estimate | None]) -> list[Estimate]:
    estimates = [each for each in map(of, found) if each is not None]
    assert len(estimates) == len(found), "one that is suppressed could not be covered"
    return estimates


def coverage(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in estimates]))


def half_width(estimates: list[Estimate]) -> float:
    return float(np.mean([(each.high - each.low) / 2 for each in estimates]))


TIMES = pytest.mark.parametrize(
    ("count", "least", "most"),
    [
        pytest.param(QUICK, 0.91, 0.985, id="200"),  # less than 0.91 of 200 are 2.6 deviations off
        pytest.param(MANY, 0.93, 0.97, id="1000", marks=pytest.mark.slow),
    ],
)


@TIMES
@pytest.mark.parametrize("world", RATIO_WORLDS, ids=str)
def test_observed_over_expected_is_covered_and_unbiased(world: World, count: int, least: float, most: float) -> None:
    found = shown(releases(world, count), ratio)
    assert least <= coverage(found, world.level) <= most
    spread = float(np.std([each.value for each in found])) / count**0.5
    assert np.mean([each.value for each in found]) == pytest.approx(world.level, abs=4 * spread)


@TIMES
@pytest.mark.parametrize("world", SLOPE_WORLDS, ids=str)
def test_the_slope_is_covered_and_nearly_unbiased(world: World, count: int, least: float, most: float) -> None:
    """Its closed form takes expected events to be spread normally: a fifth of a deviation off is allowed."""
    found = shown(releases(world, count), slope)
    assert least <= coverage(found, world.slope) <= most
    spread = float(np.std([each.value for each in found]))
    assert np.mean([each.value for each in found]) == pytest.approx(world.slope, abs=(0.2 + 4 / count**0.5) * spread)


@TIMES
def test_windows_are_covered(count: int, least: float, most: float) -> None:
    for level in (0.7, 1.3):
        found = releases(World(level=level), count)
        for window in (0, 1):
            estimates = [each.windows[window].ratio for each in found]
            assert least <= coverage([each for each in estimates if each is not None], level) <= most
            assert None not in estimates


def test_at_1144_patients_and_epsilon_3_half_widths_are_what_a_clinic_needs() -> None:
    found = releases(World(), QUICK)
    assert half_width(shown(found, ratio)) <= 0.10
    assert half_width(shown(found, slope)) <= 0.15


# What the tests notice


def cut(log_hazard: Tensor, events: Tensor, at_risk: Tensor, *, cap: float) -> Tensor:
    """In place of `stopped_residuals`: the hazard is cut at the cap, and every event counts."""
    hazard = at_risk * cumulative_hazard(log_hazard)
    until = hazard.cumsum(dim=2).clamp(max=cap)
    return torch.diff(until, dim=2, prepend=torch.zeros_like(until[:, :, :1])) - events


@pytest.mark.parametrize(("level", "cut_to"), [(0.7, 0.77), (1.3, 1.4)])
def test_cut_and_not_stopped_it_is_wrong_by_more_than_the_noise(
    level: float, cut_to: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_sums, "stopped_residuals", cut)
    found = shown(releases(World(level=level), QUICK), ratio)
    assert np.mean([each.value for each in found]) > cut_to
    assert coverage(found, level) < 0.75


def test_an_interval_that_forgets_the_noise_is_refused_by_the_same_test(monkeypatch: pytest.MonkeyPatch) -> None:
    found = releases(World(), QUICK, noise=3 * NOISE)
    honest = coverage([each for each in map(ratio, found) if each is not None], 1.0)
    monkeypatch.setattr(calibration, "MORE_ON_EXPECTED", 0.0)
    sums_of = calibration.sums_of
    monkeypatch.setattr(
        "tests.calibration_cohorts.sums_of",
        lambda layout, vector, noise_of_sum: sums_of(layout, vector, noise_of_sum=0.0),
    )
    forgetful = releases(World(), QUICK, noise=3 * NOISE)
    assert honest >= 0.91
    assert coverage([each for each in map(ratio, forgetful) if each is not None], 1.0) < 0.85
    assert coverage([each for each in map(slope, forgetful) if each is not None], 1.0) < 0.85


def test_without_the_time_before_entry_being_left_out_the_ratio_would_be_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Delayed entry is exact: who counts as followed from time zero makes too few events of too much exposure."""

    def from_zero(log_hazard: Tensor, events: Tensor, at_risk: Tensor, *, cap: float) -> Tensor:
        seen = (at_risk > 0).flip(2).cumsum(dim=2).flip(2) > 0
        last = seen & ~torch.roll(seen, -1, 2).index_fill(2, torch.tensor([seen.shape[2] - 1]), value=False)
        return stopped_residuals(log_hazard, events, torch.where(seen & ~last, 1.0, at_risk), cap=cap)

    monkeypatch.setattr(held_out_sums, "stopped_residuals", from_zero)
    found = shown(releases(World(late=20.0), 100), ratio)
    assert coverage(found, 1.0) < 0.5
