"""What does a patient add to a table of time at risk, whenever it came and left?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout
from oncofed.survival.time_at_risk import AtRiskLayout, followed

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
LAYOUT = AtRiskLayout(1, (-0.5, 0.5), (0.0, 12.0, 60.0))
"""Its first time is two intervals of the grid, of one width; its second two of 12 and 36 months."""


def added(ratio: float, *, entry: float, exit_: float, observed: bool) -> np.ndarray:
    """(groups, numbers): patients, parts of times at risk, events."""
    rows = followed(
        LAYOUT,
        GRID,
        log_hazard_ratio=np.array([[ratio]]),
        events=GRID.events(np.array([exit_]), np.array([observed]))[:, None],
        at_risk=GRID.at_risk(np.array([entry]), np.array([exit_]))[:, None],
    )
    assert rows.shape == (1, LAYOUT.cells)
    return np.asarray(rows.reshape(LAYOUT.shape)[0] / LAYOUT.weights)


@pytest.mark.parametrize(
    ("entry", "exit_", "observed", "expected"),
    [
        (0.0, 3.0, True, (1, 3 / 12, 0, 1, 0)),
        (4.0, 9.0, False, (1, 5 / 12, 0, 0, 0)),
        (4.0, 30.0, True, (1, 8 / 12, 18 / 48, 0, 1)),
        (13.0, 12.0 + 36.0, True, (1, 0, 35 / 48, 0, 1)),  # after the first interval, and after the first time
        (5.0, 12.0, True, (1, 7 / 12, 0, 1, 0)),  # a bound belongs to the time before it
        (0.0, 90.0, True, (1, 1, 1, 0, 0)),  # beyond the grid: censored at its end
        (0.0, 60.0, True, (1, 1, 1, 0, 1)),
    ],
)
def test_being_there_the_parts_of_times_at_risk_and_the_event(
    entry: float, exit_: float, observed: bool, expected: tuple[float, ...]
) -> None:
    for group, ratio in enumerate((-0.5, 0.1, 1e9)):  # an edge belongs to the group below it
        found = added(ratio, entry=entry, exit_=exit_, observed=observed)
        np.testing.assert_allclose(found[group], expected, atol=1e-12)
        assert not np.delete(found, group, axis=0).any()


def test_who_is_never_there_or_has_no_risk_is_not_counted() -> None:
    assert not added(0.0, entry=60.0, exit_=90.0, observed=True).any()
    assert not added(math.nan, entry=0.0, exit_=30.0, observed=True).any()


def test_a_row_is_one_long_at_the_very_most() -> None:
    whole = added(0.0, entry=0.0, exit_=60.0, observed=True) * LAYOUT.weights
    assert np.linalg.norm(whole) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        entry = rng.uniform(0, 60)
        row = added(0.0, entry=entry, exit_=entry + rng.exponential(20), observed=bool(rng.integers(2)))
        assert np.linalg.norm(row * LAYOUT.weights) < 1


def test_a_table_is_cut_like_one_of_counts_and_has_other_cells() -> None:
    counts = CountLayout(3, (0.0,), GRID.bounds)
    layout = AtRiskLayout(3, counts.edges, counts.time_bounds)
    assert (layout.cells, counts.cells) == (3 * 2 * 9, 3 * 2 * 8)
    assert layout.faults(GRID) == []
    assert AtRiskLayout(1, (), (0.0, 7.0, 60.0)).faults(GRID) == CountLayout(1, (), (0.0, 7.0, 60.0)).faults(GRID)
    np.testing.assert_allclose(layout.weights, AtRiskLayout(1, (), GRID.bounds).weights / math.sqrt(3))
