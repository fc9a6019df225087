"""Do time at risk and events land in the right intervals, exactly?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.survival.grid import TimeGrid

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0))


def at_risk(entry: float, exit_: float, grid: TimeGrid = GRID) -> list[float]:
    return [float(share) for share in grid.at_risk(np.array([entry]), np.array([exit_]))[0]]


def events(exit_: float, observed: bool = True, grid: TimeGrid = GRID) -> list[float]:
    return [float(event) for event in grid.events(np.array([exit_]), np.array([observed]))[0]]


def test_shares_of_intervals_by_hand() -> None:
    assert at_risk(0.0, 24.0) == [1.0, 1.0, 1.0]
    assert at_risk(0.0, 9.0) == [1.0, 0.5, 0.0]  # leaves inside the second
    assert at_risk(3.0, 15.0) == [0.5, 1.0, 0.25]  # enters and leaves inside
    assert at_risk(7.0, 10.0) == pytest.approx([0.0, 0.5, 0.0])  # enters and leaves in the same
    assert at_risk(6.0, 12.0) == [0.0, 1.0, 0.0]  # from bound to bound
    assert at_risk(0.0, 1e-9) == pytest.approx([1e-9 / 6, 0.0, 0.0], rel=1e-12)


def test_follow_up_beyond_the_grid_is_cut_there() -> None:
    assert at_risk(0.0, 1000.0) == [1.0, 1.0, 1.0]
    assert at_risk(30.0, 40.0) == [0.0, 0.0, 0.0]
    assert at_risk(18.0, float("inf")) == [0.0, 0.0, 0.5]
    assert events(24.0) == [0.0, 0.0, 1.0]
    assert events(np.nextafter(24.0, 25.0)) == [0.0, 0.0, 0.0]
    assert events(float("inf")) == [0.0, 0.0, 0.0]


def test_an_event_exactly_at_a_bound_belongs_to_the_interval_that_ends_there() -> None:
    assert events(6.0) == [1.0, 0.0, 0.0]
    assert events(12.0) == [0.0, 1.0, 0.0]
    assert events(np.nextafter(6.0, 7.0)) == [0.0, 1.0, 0.0]
    assert events(np.nextafter(6.0, 5.0)) == [1.0, 0.0, 0.0]
    assert events(1e-300) == [1.0, 0.0, 0.0]


def test_an_event_at_time_zero_lies_in_no_interval() -> None:
    assert events(0.0) == [0.0, 0.0, 0.0]
    assert events(-1.0) == [0.0, 0.0, 0.0]


def test_a_censored_patient_has_no_event() -> None:
    assert events(9.0, observed=False) == [0.0, 0.0, 0.0]


def test_a_time_that_is_not_a_number_stays_one() -> None:
    """So that the likelihood sets the patient aside rather than counting a follow-up that nobody wrote down."""
    assert np.isnan(at_risk(0.0, float("nan"))).any()
    assert events(float("nan")) == [0.0, 0.0, 0.0]


@given(
    bounds=st.lists(st.floats(0.01, 50.0), min_size=1, max_size=8),
    entry=st.floats(0.0, 100.0),
    length=st.floats(1e-3, 300.0),
)
def test_time_at_risk_adds_up(bounds: list[float], entry: float, length: float) -> None:
    """Over all intervals: the time under observation inside the grid. And an event lies where there is time at risk."""
    grid = TimeGrid(tuple(float(bound) for bound in np.cumsum([0.0, *bounds])))
    exit_ = entry + length
    share = np.array(at_risk(entry, exit_, grid))
    assert ((share >= 0) & (share <= 1 + 1e-12)).all()
    last = grid.bounds[-1]
    assert (share * grid.widths).sum() == pytest.approx(max(0.0, min(exit_, last) - min(entry, last)), abs=1e-9)
    event = np.array(events(exit_, grid=grid))
    assert event.sum() == (1.0 if exit_ <= last else 0.0)
    assert (share[event > 0] > 0).all()


def test_patients_are_computed_by_row() -> None:
    entry, exit_ = np.array([0.0, 3.0, 30.0]), np.array([9.0, 15.0, 40.0])
    rows = [at_risk(*times) for times in zip(entry, exit_, strict=True)]
    np.testing.assert_array_equal(GRID.at_risk(entry, exit_), rows)
    observed = np.array([True, False, True])
    np.testing.assert_array_equal(GRID.events(exit_, observed), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert GRID.events(exit_[:0], observed[:0]).shape == (0, 3)
    assert GRID.at_risk(entry[:0], exit_[:0]).shape == (0, 3)


def test_widths_and_intervals() -> None:
    assert GRID.intervals == 3
    np.testing.assert_array_equal(GRID.widths, [6.0, 6.0, 12.0])


@pytest.mark.parametrize(
    "bounds",
    [
        (),
        (0.0,),
        (1.0, 2.0),
        (0.0, 2.0, 2.0),
        (0.0, 3.0, 2.0),
        (0.0, float("inf")),
        (0.0, float("nan"), 2.0),
        (-1.0, 0.0, 2.0),
    ],
    ids=str,
)
def test_bounds_that_are_no_grid_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="increasing"):
        TimeGrid(bounds)
