"""Into which cell does a patient fall, and who falls into none?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout, counted

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
LAYOUT = CountLayout(1, (-0.5, 0.5), (0.0, 12.0, 60.0))


def cell_of(ratio: float, *, exit_: float, observed: bool, entry: float = 0.0) -> list[tuple[int, int, int]]:
    """(group, time, event) of every cell that one patient adds to."""
    rows = counted(
        LAYOUT,
        GRID,
        log_hazard_ratio=np.array([[ratio]]),
        events=GRID.events(np.array([exit_]), np.array([observed]))[:, None],
        at_risk=GRID.at_risk(np.array([entry]), np.array([exit_]))[:, None],
    ).reshape(LAYOUT.shape[1:])
    assert set(rows[rows != 0].tolist()) <= {1.0}
    return [tuple(int(index) for index in place) for place in np.argwhere(rows)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ratio", "exit_", "observed", "expected"),
    [
        (-1.0, 3.0, True, (0, 0, 1)),
        (-0.5, 3.0, True, (0, 0, 1)),  # an edge belongs to the group below it
        (-0.49, 12.0, True, (1, 0, 1)),  # and a bound to the time before it
        (0.51, 12.1, False, (2, 1, 0)),
        (0.0, 60.0, False, (1, 1, 0)),
        (0.0, 60.0, True, (1, 1, 1)),
        (0.0, 90.0, True, (1, 1, 0)),  # beyond the grid: censored at its end
        (1e9, 0.001, True, (2, 0, 1)),
    ],
)
def test_the_cell(ratio: float, exit_: float, observed: bool, expected: tuple[int, int, int]) -> None:
    assert cell_of(ratio, exit_=exit_, observed=observed) == [expected]


def test_who_comes_late_or_has_no_risk_is_not_counted() -> None:
    assert cell_of(0.0, exit_=30.0, observed=True, entry=6.0) == []
    assert cell_of(0.0, exit_=30.0, observed=True, entry=5.9) == [(1, 1, 1)]
    assert cell_of(0.0, exit_=90.0, observed=True, entry=70.0) == []
    assert cell_of(math.nan, exit_=30.0, observed=True) == []


def test_each_endpoint_counts_by_itself_and_all_together_are_one_long() -> None:
    layout = CountLayout(3, (), GRID.bounds)
    rng = np.random.default_rng(0)
    exit_ = rng.uniform(1, 70, (50, 3))
    observed = rng.random((50, 3)) < 0.5
    rows = counted(
        layout,
        GRID,
        log_hazard_ratio=rng.normal(size=(50, 3)),
        events=np.stack([GRID.events(exit_[:, e], observed[:, e]) for e in range(3)], axis=1),
        at_risk=np.stack([GRID.at_risk(np.zeros(50), exit_[:, e]) for e in range(3)], axis=1),
    )
    assert rows.shape == (50, layout.cells)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    per_endpoint = rows.reshape(50, 3, -1).sum(axis=2)
    np.testing.assert_allclose(per_endpoint, layout.weight)


@pytest.mark.parametrize(
    "layout",
    [
        CountLayout(1, (0.5, 0.5), GRID.bounds),
        CountLayout(1, (0.5, math.inf), GRID.bounds),
        CountLayout(1, (), (0.0, 60.0, 12.0)),
        CountLayout(1, (), (6.0, 60.0)),
        CountLayout(1, (), (0.0, 24.0)),
        CountLayout(1, (), (0.0, 7.0, 60.0)),
        CountLayout(1, (), (0.0,)),
    ],
)
def test_numbers_that_cut_nothing_are_named(layout: CountLayout) -> None:
    assert layout.faults(GRID)
    assert LAYOUT.faults(GRID) == []
    assert replace(LAYOUT, edges=(-1.7e308, 1.7e308)).faults(GRID) == [], "whose difference is no float"
