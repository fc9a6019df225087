"""Are events and expected events counted on the day on which they belong?"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from oncofed.client.fit.calendar import course_of
from oncofed.simulations.model_here.measuring import course
from oncofed.simulations.model_here.true_hospital import ADVANCED, DAYS_A_MONTH, GRID

START = float(date(2024, 12, 31).toordinal())
END = float(date(2025, 4, 15).toordinal())
PATIENTS = ADVANCED.patients(np.random.default_rng(2), 200, first_day=START - 2000, cut=END)
FOUND = course(ADVANCED, PATIENTS, start=START, end=END)


def expected_slowly(begin: float, end: float) -> float:
    """Day by day in steps of a fiftieth: everybody who is under observation adds the hazard of the interval."""
    total = 0.0
    for day in np.arange(begin, end, 1 / 50) + 1 / 100:
        months = (day - PATIENTS.zero_days) / DAYS_A_MONTH
        there = (months > PATIENTS.entry) & (months <= PATIENTS.exit) & (months <= GRID.bounds[-1])
        interval = np.searchsorted(GRID.bounds, months[there], side="left") - 1
        rate = np.array(ADVANCED.monthly_hazard)[interval] * np.exp(PATIENTS.log_hazard_ratio[there])
        total += float(rate.sum()) / DAYS_A_MONTH / 50
    return total


def test_expected_events_are_the_hazard_of_whoever_is_there_on_each_day() -> None:
    for begin, end in ((START, END), (START + 10, START + 17.5)):
        low, high = FOUND.expected_by(np.array([begin, end]))
        assert high - low == pytest.approx(expected_slowly(begin, end), rel=2e-3)


def test_events_count_after_the_start_until_the_end_and_inside_the_grid() -> None:
    days = PATIENTS.zero_days + PATIENTS.exit * DAYS_A_MONTH
    inside = PATIENTS.observed & (PATIENTS.exit <= 60) & (days > START) & (days <= END)
    assert 0 < inside.sum() < PATIENTS.observed.sum()
    np.testing.assert_array_equal(FOUND.event_days, np.sort(days[inside]))


def test_months_are_of_the_calendar_and_add_up() -> None:
    months = FOUND.months()
    assert [each.begin for each in months] == [date(2025, month, 1) for month in (1, 2, 3, 4)]
    assert sum(each.observed for each in months) == FOUND.observed
    assert sum(each.expected for each in months) == pytest.approx(float(FOUND.expected[-1]))
    february = [date.fromordinal(int(np.ceil(day))) for day in FOUND.event_days]
    assert months[1].observed == sum(each.month == 2 for each in february)


def test_one_patient_by_hand() -> None:
    """From the 10th day, under observation for 20 days at a hazard of 0.1 in 40 days, then an event."""
    found = course_of(
        zero_days=np.array([START]),
        entry=np.array([10.0]),
        exit_=np.array([30.0]),
        observed=np.array([True]),
        hazard=np.full((1, GRID.intervals), 0.1) * GRID.widths / 40,
        grid=GRID,
        days_per_unit=1.0,
        start=START,
        end=END,
    )
    np.testing.assert_allclose(
        found.expected_by(START + np.array([5.0, 10.0, 20.0, 30.0, 90.0])), [0, 0, 0.025, 0.05, 0.05]
    )
    assert found.event_days.tolist() == [START + 30]
    assert found.day_of(0.025) == pytest.approx(START + 20)
