"""Is everything watched under one allowance, in years, and against whom it says?"""

from __future__ import annotations

import numpy as np
import pytest
from tests.pages_hospital import GRID, hospital

from oncofed.client.fit import drift as module
from oncofed.client.fit.calendar import Course
from oncofed.client.fit.drift import Drift, Watched, drift_of, watched

START = 738_000.0


def looked_at(zero_days: np.ndarray, *, end: float) -> Drift:
    """Patients of two endpoints with these days of time zero."""
    cohort = hospital(len(zero_days)).cohort
    hazard = np.zeros((len(zero_days), 2, GRID.intervals))
    return drift_of(
        cohort,
        zero_days,
        hazard,
        deviations=(0.0, 0.0),
        days_per_unit=30.4375,
        start=START,
        end=end,
        rng=np.random.default_rng(0),
    )


def test_one_false_signal_in_five_years_is_allowed_to_both_sums_of_all_endpoints_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def noted(endpoint: str, course: Course, *, allowed: float, **_: object) -> Watched:
        given.append(allowed)
        return Watched(endpoint, course, (), float("inf"))

    monkeypatch.setattr(module, "watched", noted)
    looked_at(np.full(20, START - 100), end=START + 400)
    assert given == [0.25, 0.25]


def test_who_came_of_late_is_held_against_who_came_before() -> None:
    """Of late: after the day, and in the last year of the time that is watched."""
    days = START + np.repeat([-500.0, 0.0, 30.0, 640.0, 990.0, 1010.0, np.nan], [3, 2, 4, 5, 6, 1, 7])
    found = looked_at(days, end=START + 1000)
    assert (found.patients_before, found.patients_since, found.undated) == (5, 11, 7)
    found = looked_at(days, end=START + 100)
    assert (found.patients_before, found.patients_since) == (5, 4)


def test_a_threshold_is_of_as_many_events_as_are_expected_in_five_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 12 in two years, 30; and who finds a change by 15 expected ones finds it in two and a half years."""
    asked = []

    def threshold(expected: float, **_: object) -> float:
        asked.append(expected)
        return 4.0

    monkeypatch.setattr(module, "threshold_for", threshold)
    monkeypatch.setattr(module, "found_within", lambda *_, **__: 15.0)
    ends = START + np.array([0.0, 730.5])
    course = Course(START, START + 730.5, np.zeros(0), ends, np.array([0.0, 12.0]))
    found = watched("death", course, allowed=0.25, rng=np.random.default_rng(0))
    assert asked == pytest.approx([30.0, 30.0])
    assert found.found_months == pytest.approx(30.0)
