"""Events against those expected: right for a true model whatever the follow-up, and wrong where a model is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from oncofed.survival.calibration import calibration_at
from oncofed.survival.expected_events import Expected, ExpectedOfGroup, expected_events
from oncofed.survival.grid import TimeGrid

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 36.0, 60.0, 120.0))
WINDOWS = (0.0, 12.0, 36.0, 120.0)
BASE = np.log(0.02 * GRID.widths)
FloatArray = NDArray[np.float64]


def followed(
    ratio: FloatArray, rng: np.random.Generator, *, shape: float = 1.0
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.intp]]:
    """Entry, exit, event, and which patients were ever seen. Weibull hazards of that shape, 0.02 e^f at 24 months;
    half enter late, and the sicker are censored sooner.
    """
    patients = len(ratio)
    scale = 0.02 * np.exp(ratio) * 24 / (shape * 24**shape)
    event = (rng.exponential(size=patients) / scale) ** (1 / shape)
    entry = np.where(rng.random(patients) < 0.5, rng.exponential(8, patients), 0.0)
    censored = rng.uniform(6, 100, patients) * np.exp(-0.3 * ratio)
    seen = np.flatnonzero(np.minimum(event, censored) > entry)
    exit_ = np.minimum(event, censored)[seen]
    return entry[seen], exit_, (event <= censored)[seen], seen


def all_of(ratio: FloatArray, rng: np.random.Generator) -> ExpectedOfGroup:
    entry, exit_, event, seen = followed(ratio, rng)
    return expected_events(
        ratio[seen],
        log_baseline_hazard=BASE,
        grid=GRID,
        bounds=WINDOWS,
        entry=entry,
        exit_=exit_,
        observed=event,
        groups={"all": np.ones(len(seen), dtype=bool)},
    )[0]


def test_a_true_model_expects_what_comes_under_late_entry_and_censoring_of_the_sick() -> None:
    rng = np.random.default_rng(1)
    found = all_of(rng.normal(0, 0.8, 60_000), rng)
    for window in (*found.windows, found.all_along):
        assert window.ratio == pytest.approx(1.0, abs=4 / window.expected**0.5)
        assert window.expected > 3000
    assert found.all_along.observed == sum(each.observed for each in found.windows)


def test_intervals_cover_and_p_values_are_small_as_seldom_as_they_say() -> None:
    rng, inside, small, repeats = np.random.default_rng(2), 0, 0, 600
    for _ in range(repeats):
        window = all_of(rng.normal(0, 0.8, 250), rng).windows[0]
        low, high = window.interval()
        inside += low <= 1 <= high
        small += window.p_value < 0.05
    assert 0.94 <= inside / repeats <= 0.99, "exact intervals of a small number cover rather more"
    assert binomtest(small, repeats, 0.05).pvalue > 1e-3 or small < 0.05 * repeats
    # the published limits of Garwood (1936) for 10 events
    assert Expected(10, 10.0).interval() == pytest.approx((0.4795, 1.8390), abs=1e-4)
    assert Expected(0, 2.0).interval() == pytest.approx((0.0, 3.6889 / 2), abs=1e-4)


def test_one_shape_for_two_tumours_is_right_on_the_whole_and_wrong_in_each() -> None:
    """One tumour's hazard rises, the other's falls; the model has the mean of both."""
    rng = np.random.default_rng(3)
    ratio = rng.normal(0, 0.5, 40_000)
    rising = followed(ratio, rng, shape=1.6)
    falling = followed(ratio, rng, shape=0.6)
    entry, exit_ = (np.concatenate((one, other)) for one, other in zip(rising[:2], falling[:2], strict=True))
    event = np.concatenate((rising[2], falling[2]))
    f = np.concatenate((ratio[rising[3]], ratio[falling[3]]))
    tumour = np.repeat(["rising", "falling"], [len(rising[0]), len(falling[0])])
    baseline = BASE.copy()
    spent, came = GRID.at_risk(entry, exit_), GRID.events(exit_, event)
    baseline = np.log(came.sum(axis=0) / (spent * np.exp(f)[:, None]).sum(axis=0))  # the best single shape
    whole, up, down = expected_events(
        f,
        log_baseline_hazard=baseline,
        grid=GRID,
        bounds=WINDOWS,
        entry=entry,
        exit_=exit_,
        observed=event,
        groups={"all": tumour != "", "rising": tumour == "rising", "falling": tumour == "falling"},
    )
    assert [each.ratio for each in whole.windows] == pytest.approx([1.0] * 3, abs=1e-9)
    assert up.windows[0].ratio < 0.75 < 4 / 3 < up.windows[2].ratio
    assert down.windows[2].ratio < 0.75
    assert max(each.p_value for each in (up.windows[0], up.windows[2], down.windows[2])) < 1e-6


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_the_interval_of_a_calibration_slope_covers_it(spread: float) -> None:
    """Of predictions that are this many times too extreme, the slope is one over it."""
    rng, inside, repeats = np.random.default_rng(4), 0, 400
    for _ in range(repeats):
        ratio = rng.normal(0, 0.8, 300)
        entry, exit_, event, seen = followed(ratio, rng)
        risk = -np.expm1(-24 * 0.02 * np.exp(spread * ratio[seen]))
        found = calibration_at(36.0, predicted_risk=risk, time=exit_, observed=event, entry=entry, groups=3)
        inside += found.slope_low <= 1 / spread <= found.slope_high
        assert found.slope_low < found.slope < found.slope_high
    assert 0.925 <= inside / repeats <= 0.975
