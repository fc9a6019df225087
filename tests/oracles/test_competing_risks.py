"""Are cumulative incidences those of lifelines, of simulated patients with known hazards, and of a slow twin?"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from oncofed.survival.aalen_johansen import aalen_johansen
from oncofed.survival.curves import cumulative_incidence
from oncofed.survival.grid import TimeGrid
from oncofed.survival.kaplan_meier import kaplan_meier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import AalenJohansenFitter

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 3.0, 6.0, 12.0, 24.0, 36.0, 60.0))
RATES = np.array([[0.05, 0.03, 0.02, 0.015, 0.01, 0.01], [0.005, 0.01, 0.015, 0.02, 0.03, 0.03]])
"""(causes, intervals), a month: of the disease early, of other causes late."""


def simulated(
    patients: int, *, seed: int, rates: FloatArray = RATES, until: float = 80.0
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Ends of follow-up and what ended it: 0 censored, then causes. Each cause would come at a time of its own."""
    rng = np.random.default_rng(seed)
    at_bounds = np.concatenate((np.zeros((len(rates), 1)), np.cumsum(rates * GRID.widths, axis=1)), axis=1)
    drawn = rng.exponential(size=(len(rates), patients))
    comes = np.stack(
        [
            np.where(row > gathered[-1], np.inf, np.interp(row, gathered, GRID.bounds))
            for row, gathered in zip(drawn, at_bounds, strict=True)
        ]
    )
    censored = np.minimum(rng.uniform(1.0, until, patients), GRID.bounds[-1])
    time = np.minimum(comes.min(axis=0), censored)
    return time, np.where(comes.min(axis=0) <= censored, 1 + comes.argmin(axis=0), 0)


def lifelines(time: FloatArray, cause: NDArray[np.int64], of: int) -> AalenJohansenFitter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves ties apart at random, and says so
        return AalenJohansenFitter(calculate_variance=True, seed=0).fit(time, cause, event_of_interest=of)


def at(fitted: AalenJohansenFitter, times: FloatArray) -> FloatArray:
    known = fitted.cumulative_density_
    places = np.searchsorted(known.index.to_numpy(), times, side="right") - 1
    return np.asarray(known.iloc[places, 0], dtype=np.float64)


@pytest.mark.parametrize("cause", [1, 2])
def test_equals_lifelines_to_the_last_digits_with_its_variance(cause: int) -> None:
    time, ended = simulated(1_500, seed=cause)
    ours = aalen_johansen(time=time, observed=ended == cause, competing=(ended > 0) & (ended != cause))
    theirs = lifelines(time, ended, cause)
    asked = np.array([1.0, 5.0, 20.0, 40.0, 59.0])
    np.testing.assert_allclose(1 - ours.at(asked), at(theirs, asked), rtol=0, atol=1e-12)
    low, high = ours.interval_at(asked)
    of_theirs = np.asarray(theirs.variance_).ravel()  # from time 0 on
    spread = np.sqrt(of_theirs[np.searchsorted(ours.times, asked, side="right")])
    survival = ours.at(asked)
    half = 1.959964 * spread / (survival * -np.log(survival))
    np.testing.assert_allclose(low, survival ** np.exp(half), rtol=1e-2)
    np.testing.assert_allclose(high, survival ** np.exp(-half), rtol=1e-2)


@pytest.mark.parametrize("cause", [1, 2])
def test_of_grouped_follow_up_it_equals_lifelines_within_a_thousandth(cause: int) -> None:
    """Whole months: many end at one time, and lifelines moves them apart at random."""
    time, ended = simulated(20_000, seed=3)
    months = np.maximum(np.ceil(time), 1.0)
    ours = aalen_johansen(time=months, observed=ended == cause, competing=(ended > 0) & (ended != cause))
    asked = np.array([6.5, 12.5, 24.5, 36.5, 59.5])
    np.testing.assert_allclose(1 - ours.at(asked), at(lifelines(months, ended, cause), asked), rtol=0, atol=1e-3)


def test_the_closed_form_of_hazards_that_were_counted_equals_lifelines_within_a_thousandth() -> None:
    """Events over time lived, of each cause and interval of half a month: what a fitted model has."""
    time, ended = simulated(20_000, seed=4)
    fine = TimeGrid(tuple(np.arange(0.0, 60.5, 0.5).tolist()))
    bounds = np.asarray(fine.bounds)
    lived = np.clip((time[:, None] - bounds[:-1]) / fine.widths, 0, 1).sum(axis=0)
    events = np.array([np.histogram(time[ended == cause], bounds)[0] for cause in (1, 2)])
    found = cumulative_incidence(events / lived, grid=fine, times=bounds)
    for cause in (1, 2):
        np.testing.assert_allclose(found[cause - 1], at(lifelines(time, ended, cause), bounds), rtol=0, atol=1e-3)


def test_patients_with_known_hazards_have_the_event_as_often_as_the_closed_form_says() -> None:
    """Nobody is censored before the end, so that shares are counted. One minus the exponential of a cause's own hazard
    is too large by more than 0.1 of the first cause and 0.25 of the second.
    """
    time, ended = simulated(200_000, seed=5, until=1e9)
    asked = np.asarray(GRID.bounds)
    found = cumulative_incidence(RATES * GRID.widths, grid=GRID, times=asked)
    for cause in (1, 2):
        counted = np.array([((ended == cause) & (time <= moment)).mean() for moment in asked])
        np.testing.assert_allclose(found[cause - 1], counted, rtol=0, atol=5e-3)
    alone = 1 - np.exp(-(RATES * GRID.widths).sum(axis=1))
    assert (alone - found[:, -1] > (0.1, 0.25)).all()
    free = np.exp(-np.interp(asked, asked, np.concatenate(([0], np.cumsum((RATES * GRID.widths).sum(axis=0))))))
    np.testing.assert_allclose(found.sum(axis=0) + free, 1.0, atol=1e-12)


def test_many_patients_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(0)
    hazards = rng.exponential(0.2, (5, 3, GRID.intervals))
    times = np.array([0.0, 2.0, 30.0, 60.0])
    together = cumulative_incidence(hazards, grid=GRID, times=times)
    assert together.shape == (5, 3, 4)
    for one, row in zip(together, hazards, strict=True):
        np.testing.assert_array_equal(one, cumulative_incidence(row, grid=GRID, times=times))


def test_where_nothing_competes_it_is_kaplan_meier_with_its_interval() -> None:
    time, ended = simulated(300, seed=6)
    entry = np.minimum(np.random.default_rng(1).uniform(0, 4, len(time)), time / 2)
    nobody = np.zeros(len(time), dtype=bool)
    ours = aalen_johansen(time=time, observed=ended > 0, competing=nobody, entry=entry)
    theirs = kaplan_meier(time=time, observed=ended > 0, entry=entry)
    for name in ("times", "survival", "low", "high", "at_risk", "events"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, err_msg=name)


def test_both_incidences_and_those_without_either_are_everybody_under_delayed_entry() -> None:
    time, ended = simulated(400, seed=7)
    entry = np.minimum(np.random.default_rng(2).uniform(0, 10, len(time)), time / 2)
    of_each = [
        aalen_johansen(time=time, observed=ended == cause, competing=ended == 3 - cause, entry=entry)
        for cause in (1, 2)
    ]
    free = kaplan_meier(time=time, observed=ended > 0, entry=entry)
    np.testing.assert_allclose(sum(1 - each.survival for each in of_each) + free.survival, 1.0, atol=1e-12)


def test_after_the_last_event_of_everybody_the_share_stays_and_else_it_is_not_known() -> None:
    time, observed, competing = np.array([1.0, 2.0, 3.0]), np.array([True, False, False]), np.array([False, True, True])
    assert aalen_johansen(time=time, observed=observed, competing=competing).at(np.array([9.0])) == pytest.approx(2 / 3)
    competing[2] = False
    assert np.isnan(aalen_johansen(time=time, observed=observed, competing=competing).at(np.array([9.0])))


def test_an_event_of_both_at_once_is_refused() -> None:
    both = np.array([True])
    with pytest.raises(ValueError, match="nobody may have both"):
        aalen_johansen(time=np.array([1.0]), observed=both, competing=both)


def test_intervals_of_simulated_cohorts_hold_the_true_incidence() -> None:
    """Nominally 95 of 100."""
    truth = cumulative_incidence(RATES * GRID.widths, grid=GRID, times=np.array([24.0]))[0, 0]
    held = 0
    for seed in range(200):
        time, ended = simulated(200, seed=1000 + seed)
        curve = aalen_johansen(time=time, observed=ended == 1, competing=ended == 2)
        low, high = curve.interval_at(np.array([24.0]))
        held += bool(1 - high[0] <= truth <= 1 - low[0])
    assert 180 <= held <= 198


def test_deaths_of_the_disease_in_real_patients_equal_lifelines_within_a_thousandth(real_cohorts: Path) -> None:
    """TCGA: patients whose cause of death is known. Hazards are counted on a fine grid."""
    path = real_cohorts / "tcga_pancancer" / "clinical.parquet"
    if not path.exists():
        pytest.skip("needs ../shared/data/tcga_pancancer/clinical.parquet")
    table = pd.read_parquet(path)[["dss", "os", "os_months"]].dropna()
    table = table[table["os_months"] > 0]
    time = table["os_months"].to_numpy()
    ended = np.where(table["dss"] == 1, 1, np.where(table["os"] == 1, 2, 0))
    assert (ended == 2).sum() > 100
    fine = TimeGrid(tuple(np.arange(0.0, 120.5, 0.25).tolist()))
    bounds = np.asarray(fine.bounds)
    lived = fine.at_risk(np.zeros(len(time)), time).sum(axis=0)
    events = np.array([fine.events(time, ended == cause).sum(axis=0) for cause in (1, 2)])
    found = cumulative_incidence(events / lived, grid=fine, times=bounds)
    free = np.exp(-np.concatenate(([0.0], np.cumsum((events / lived).sum(axis=0)))))
    np.testing.assert_allclose(found.sum(axis=0) + free, 1.0, atol=1e-12)
    asked = np.array([12.0, 36.0, 60.0, 120.0])
    for cause in (1, 2):
        theirs = at(lifelines(time, ended, cause), asked)
        ours = aalen_johansen(time=time, observed=ended == cause, competing=ended == 3 - cause)
        np.testing.assert_allclose(1 - ours.at(asked), theirs, rtol=0, atol=1e-3)
        np.testing.assert_allclose(np.interp(asked, bounds, found[cause - 1]), theirs, rtol=0, atol=2e-3)
