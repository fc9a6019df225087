"""Survival curves, risks and medians against numerical integration of the hazard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from oncofed.survival.curves import (
    NOT_REACHED,
    cumulative_incidence,
    median_survival,
    risk_at,
    survival_curves,
    time_to_survival,
)
from oncofed.survival.grid import TimeGrid

GRID = TimeGrid((0.0, 3.0, 6.0, 12.0, 36.0))
BASELINE = np.log([0.05, 0.2, 0.1, 0.8])


def integrated(time: float, log_hazard_ratio: float) -> float:
    """exp(-integral of the hazard), with the hazard of interval k its whole cumulative hazard over its width."""

    def hazard(t: float) -> float:
        k = min(int(np.searchsorted(GRID.bounds, t, side="right")) - 1, GRID.intervals - 1)
        return float(np.exp(BASELINE[k] + log_hazard_ratio) / GRID.widths[k])

    inner = [bound for bound in GRID.bounds[1:-1] if bound < time]
    return float(np.exp(-quad(hazard, 0.0, time, points=inner or None)[0]))


@pytest.mark.parametrize("ratio", [-1.5, 0.0, 2.0])
def test_curve_integrates_the_hazard(ratio: float) -> None:
    times = np.array([0.0, 1.0, 3.0, 5.9, 6.0, 20.0, 36.0])
    curve = survival_curves(np.array([ratio]), log_baseline_hazard=BASELINE, grid=GRID, times=times)
    np.testing.assert_allclose(curve[0], [integrated(time, ratio) for time in times], rtol=1e-9)
    for time, survival in zip(times, curve[0], strict=True):
        risk = risk_at(float(time), np.array([ratio]), log_baseline_hazard=BASELINE, grid=GRID)
        assert risk[0] == pytest.approx(1 - survival, abs=1e-12)


def test_hazard_of_a_whole_interval_is_the_designs() -> None:
    """1 - exp(-exp(b_k + f)) of those who reach interval k have the event in it."""
    f = 0.7
    at_bounds = survival_curves(np.array([f]), log_baseline_hazard=BASELINE, grid=GRID, times=np.array(GRID.bounds))[0]
    np.testing.assert_allclose(1 - at_bounds[1:] / at_bounds[:-1], 1 - np.exp(-np.exp(BASELINE + f)), rtol=1e-12)


@given(st.floats(-4, 6), st.floats(0.01, 0.99))
def test_time_to_survival_inverts_the_curve(ratio: float, level: float) -> None:
    f = np.array([ratio])
    time = time_to_survival(level, f, log_baseline_hazard=BASELINE, grid=GRID)
    if time[0] == NOT_REACHED:
        end = survival_curves(f, log_baseline_hazard=BASELINE, grid=GRID, times=np.array([36.0]))
        assert end[0, 0] > level
    else:
        there = survival_curves(f, log_baseline_hazard=BASELINE, grid=GRID, times=time)
        assert there[0, 0] == pytest.approx(level, abs=1e-9)


def test_median_known_by_hand() -> None:
    # constant rate of log(2) / 10 a month: the median is 10 months
    grid = TimeGrid((0.0, 4.0, 24.0))
    baseline = np.log(np.log(2) / 10 * grid.widths)
    medians = median_survival(np.log([1.0, 2.0, 0.1]), log_baseline_hazard=baseline, grid=grid)
    np.testing.assert_allclose(medians, [10.0, 5.0, NOT_REACHED])


def test_intervals_without_hazard_are_waited_out() -> None:
    grid = TimeGrid((0.0, 1.0, 2.0, 3.0))
    baseline = np.array([np.log(np.log(2)), -np.inf, 0.0])
    # half are gone at exactly 1, and the next event cannot come before 2
    f = np.array([0.0, -0.01])
    first = median_survival(f, log_baseline_hazard=baseline, grid=grid)
    assert first[0] == pytest.approx(1.0)
    assert 2.0 < first[1] < 2.1


def test_extreme_ratios_stay_probabilities() -> None:
    f = np.array([-1e4, -100.0, 100.0, 1e4])
    times = np.array([0.0, 1e-3, 36.0])
    curves = survival_curves(f, log_baseline_hazard=BASELINE, grid=GRID, times=times)
    np.testing.assert_array_equal(curves[:, 0], 1.0)
    np.testing.assert_array_equal(curves[2:, 1:], 0.0)
    np.testing.assert_array_equal(curves[:2, 1:], 1.0)
    risk = risk_at(36.0, np.array([-60.0]), log_baseline_hazard=BASELINE, grid=GRID)
    assert risk[0] == pytest.approx(np.exp(-60.0) * 1.15, rel=1e-9, abs=0)  # not rounded away
    medians = median_survival(f, log_baseline_hazard=BASELINE, grid=GRID)
    assert (medians[:2] == NOT_REACHED).all()
    np.testing.assert_allclose(medians[2:], 0.0, atol=1e-12)


@pytest.mark.parametrize("time", [-0.1, 36.1, np.nan, np.inf])
def test_times_off_the_grid_are_refused(time: float) -> None:
    f = np.zeros(1)
    with pytest.raises(ValueError, match="grid's last bound"):
        survival_curves(f, log_baseline_hazard=BASELINE, grid=GRID, times=np.array([time]))
    with pytest.raises(ValueError, match="grid's last bound"):
        risk_at(time, f, log_baseline_hazard=BASELINE, grid=GRID)


def test_malformed_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="one value an interval"):
        median_survival(np.zeros(2), log_baseline_hazard=BASELINE[:-1], grid=GRID)
    with pytest.raises(ValueError, match="finite"):
        median_survival(np.array([np.nan]), log_baseline_hazard=BASELINE, grid=GRID)
    for level in (0.0, 1.0, 50.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            time_to_survival(level, np.zeros(1), log_baseline_hazard=BASELINE, grid=GRID)


def test_cumulative_incidence_is_the_integral_of_each_hazard_over_those_who_are_still_free() -> None:
    grid = TimeGrid((0.0, 6.0, 18.0, 60.0))
    rates = np.array([[0.02, 0.05, 0.01], [0.03, 0.0, 0.04]])  # a month
    times = np.array([0.0, 3.0, 6.0, 20.0, 60.0])

    def rate(cause: int, t: float) -> float:
        return float(rates[cause, min(int(np.searchsorted(grid.bounds, t, side="left")) - 1, 2)]) if t > 0 else 0.0

    def free(t: float) -> float:
        fine = np.clip(t - np.asarray(grid.bounds[:-1]), 0, grid.widths)
        return float(np.exp(-(rates.sum(axis=0) * fine).sum()))

    found = cumulative_incidence(rates * grid.widths, grid=grid, times=times)
    for cause in (0, 1):
        slowly = [quad(lambda t, c=cause: rate(c, t) * free(t), 0, end, points=(6, 18), limit=200)[0] for end in times]
        np.testing.assert_allclose(found[cause], slowly, atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=0) + [free(t) for t in times], 1.0)


def test_with_deaths_fewer_have_the_event_than_in_a_world_without() -> None:
    grid = TimeGrid((0.0, 36.0))
    event, died = cumulative_incidence(np.array([[0.02 * 36], [0.03 * 36]]), grid=grid, times=np.array([36.0]))[:, 0]
    assert event == pytest.approx(0.4 * (1 - np.exp(-1.8)))  # 0.334; one minus exp(-0.72) is 0.513
    assert died == pytest.approx(0.6 * (1 - np.exp(-1.8)))
    with pytest.raises(ValueError, match="last bound"):
        cumulative_incidence(np.array([[1.0]]), grid=grid, times=np.array([37.0]))
    with pytest.raises(ValueError, match="negative"):
        cumulative_incidence(np.array([[-1.0]]), grid=grid, times=np.array([1.0]))
