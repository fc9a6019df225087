"""Does C from counts equal scikit-survival's on the same patients, when risk and time are cut as the counts are?"""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.metrics import concordance_index_censored

from oncofed.server.evaluation.concordance import concordance_of
from oncofed.server.evaluation.held_out_table import EndpointCounts
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout, counted

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
EDGES = (-0.8, -0.2, 0.1, 0.9)


def drawn(patients: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log hazard ratio, time and whether the event was seen; higher is worse."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=patients)
    event = rng.exponential(30 / np.exp(risk))
    censored = rng.exponential(40, patients)
    return risk, np.minimum(np.minimum(event, censored), 59.9), (event <= censored) & (event < 59.9)


def table_of(risk: np.ndarray, time: np.ndarray, observed: np.ndarray) -> EndpointCounts:
    layout = CountLayout(1, EDGES, GRID.bounds)
    rows = counted(
        layout,
        GRID,
        log_hazard_ratio=risk[:, None],
        events=GRID.events(time, observed)[:, None],
        at_risk=GRID.at_risk(np.zeros(len(time)), time)[:, None],
    )
    return EndpointCounts(rows.sum(axis=0).reshape(layout.shape)[0], 0.0, EDGES, GRID.bounds)


@pytest.mark.parametrize("seed", range(4))
def test_c_of_the_counts_is_that_of_the_cut_patients(seed: int) -> None:
    """scikit-survival counts a patient censored in the time of another's event as later: at the very end of the time it
    is, at its beginning it is not. The half that we count is the mean of both.
    """
    risk, time, observed = drawn(300, seed=seed)
    group = np.searchsorted(EDGES, risk, side="left").astype(float)
    interval = np.searchsorted(GRID.bounds, time, side="left").astype(float)
    pairs, agreeing = 0.0, 0.0
    for censored_at in (interval, np.where(observed, interval, interval - 0.5)):
        _, concordant, discordant, tied, _ = concordance_index_censored(observed, censored_at, group)
        pairs += concordant + discordant + tied
        agreeing += concordant + 0.5 * tied
    found = concordance_of(table_of(risk, time, observed))
    assert found.value == pytest.approx(agreeing / pairs, abs=1e-12)
    exact = concordance_index_censored(observed, time, risk)[0]
    assert abs(found.value - exact) < 0.03
    assert found.low < found.value < found.high


def test_the_whole_is_a_slow_sum_over_pairs() -> None:
    risk, time, observed = drawn(60, seed=9)
    group = np.searchsorted(EDGES, risk, side="left")
    interval = np.searchsorted(GRID.bounds, time, side="left")
    pairs = agreeing = 0.0
    for i in np.flatnonzero(observed):
        for j in range(60):
            weight = (
                1.0 if interval[j] > interval[i] else 0.5 if interval[j] == interval[i] and not observed[j] else 0.0
            )
            pairs += weight
            agreeing += weight * (1.0 if group[i] > group[j] else 0.5 if group[i] == group[j] else 0.0)
    assert concordance_of(table_of(risk, time, observed)).value == pytest.approx(agreeing / pairs)
