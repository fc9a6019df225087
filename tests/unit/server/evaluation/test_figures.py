"""What is told of a table, and what is not?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import drawn_weights, local_privacy, model_spec, no_privacy, study_plan
from tests.statistical.test_held_out_intervals import EDGES, GRID, TRUTH, tables
from tests.summaries import evaluation_of

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import PrivacyMode, SharedNoise
from oncofed.server.evaluation.concordance import concordance_of
from oncofed.server.evaluation.figures import EndpointFigures, Model, figures_of, group_centres, integrated_brier
from oncofed.server.evaluation.held_out_table import EndpointCounts, tables_of
from oncofed.server.evaluation.measured import measured
from oncofed.server.evaluation.observed_risk import (
    _squared_slopes,
    conditional_risks,
    exposed,
    observed_risk,
    observed_risk_with_interval,
)
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.curves import risk_at
from oncofed.survival.held_out import CountLayout

LOG_BASELINE = np.log(np.array([0.13, 0.13, 0.13, 0.45, 0.8]))


def figures(
    counts: np.ndarray, *, noise_sd: float = 0.0, smallest_shown: float = 50.0, competes: bool = False
) -> EndpointFigures:
    return figures_of(
        EndpointCounts(counts, noise_sd, EDGES, GRID.bounds),
        log_baseline_hazard=LOG_BASELINE,
        grid=GRID,
        horizon=36.0,
        smallest_shown=smallest_shown,
        rng=np.random.default_rng(1),
        competes=competes,
    )


def test_without_noise_the_figures_are_the_tables_own() -> None:
    found = figures(TRUTH)
    assert found.patients.value == pytest.approx(TRUTH.sum())
    assert found.patients.low == found.patients.high == found.patients.value
    assert found.c_index is not None
    assert found.c_index.value == concordance_of(EndpointCounts(TRUTH, 0.0, EDGES, GRID.bounds)).value
    middle = found.groups[3]
    assert (middle.above, middle.up_to) == (0.0, 0.5)
    low, high = (
        float(risk_at(36.0, np.array([edge]), log_baseline_hazard=LOG_BASELINE, grid=GRID)[0]) for edge in (0.0, 0.5)
    )
    assert middle.predicted == (low, high)
    assert middle.observed is not None
    assert low < middle.observed.value < high  # the table was made by this very model
    assert (found.groups[0].above, found.groups[-1].up_to) == (None, None)
    assert (found.groups[0].predicted[0], found.groups[-1].predicted[1]) == (0.0, 1.0)


def test_of_an_endpoint_that_competes_no_risk_is_told_from_counts_that_cannot_tell_what_came_first() -> None:
    found = figures(TRUTH, competes=True)
    assert (found.groups, found.integrated_brier, found.competes) == ((), None, True)
    assert found.c_index == figures(TRUTH).c_index
    released = {"evaluation": ReleasedSummary(np.full(SPEC.cells, 90.0), PLAN.roster)}
    first, second = PLAN.model.endpoints
    told = measured(PLAN, released, drawn_weights(PLAN.model, seed=0), competing={second})
    assert told is not None
    assert (told.endpoints[first].competes, told.endpoints[second].competes) == (False, True)


def test_the_brier_score_is_lower_for_a_model_that_knows_than_for_one_that_does_not() -> None:
    knowing, guessing = figures(TRUTH).integrated_brier, figures(TRUTH[::-1]).integrated_brier
    assert knowing is not None
    assert guessing is not None
    assert 0.05 < knowing.value < guessing.value - 0.02
    assert knowing.low < knowing.value < knowing.high


def test_the_brier_score_by_hand() -> None:
    """10 patients of one group, times to 12, 24 and beyond, risks 0.2 and 0.5 by 12 and 24 months; horizon 24.

    2 events and 2 censored in the first time, 3 events and 1 censored in the second, 2 later. Who has an event
    has halfway seen that time's censoring, of 2 / (10 - 1), then 1 / (6 - 3/2).
    """
    counts = np.zeros((1, 5, 2))
    counts[0, :3] = [[2, 2], [1, 3], [2, 0]]
    log_baseline = np.log([-np.log(0.8), -np.log(0.5 / 0.8), 0.5, 0.5, 0.5])
    found = figures_of(
        EndpointCounts(counts, 0.0, (), GRID.bounds),
        log_baseline_hazard=log_baseline,
        grid=GRID,
        horizon=24.0,
        smallest_shown=0.0,
        rng=np.random.default_rng(1),
    ).integrated_brier
    stays = 1 - 2 / 9, (1 - 2 / 9) * (1 - 1 / 4.5)
    weights = (1 + stays[0]) / 2, (stays[0] + stays[1]) / 2
    at_12 = (0.8**2 * 2 / weights[0] + 0.2**2 * 6 / stays[0]) / 10
    at_24 = (0.5**2 * (2 / weights[0] + 3 / weights[1]) + 0.5**2 * 2 / stays[1]) / 10
    assert found is not None
    assert found.value == pytest.approx((12 * at_12 / 2 + 12 * (at_12 + at_24) / 2) / 24)


@pytest.mark.parametrize("noise_sd", [0.0, 6.0])
def test_the_interval_of_the_brier_score_is_as_wide_as_it_differs_from_table_to_table(noise_sd: float) -> None:
    tables_ = tables(noise_sd)
    found = [figures(table.counts, noise_sd=noise_sd).integrated_brier for table in tables_[:5]]
    values = [brier(table.counts) for table in tables_]
    half = np.median([(each.high - each.low) / 2 for each in found if each is not None])
    assert half / (1.96 * np.std(values)) == pytest.approx(1.0, abs=0.2)


def brier(counts: np.ndarray) -> float:
    centres = group_centres(EDGES)
    return integrated_brier(counts, GRID.bounds, centres, Model(LOG_BASELINE, GRID, 36.0))


def test_the_interval_of_a_number_of_patients_is_that_of_the_noise() -> None:
    """Sixty cells, each with a noise of 2."""
    found = figures(TRUTH, noise_sd=2.0).patients
    assert found.high - found.value == pytest.approx(1.96 * 2.0 * 60**0.5, rel=1e-3)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_group_of_whom_few_are_left_at_the_last_time_is_not_shown() -> None:
    """What is observed by the horizon rests on those who are still there when its last time begins."""
    counts = TRUTH.copy()
    early = counts[3, 2:].sum() - 49.0
    counts[3, 2:] *= 49.0 / counts[3, 2:].sum()
    counts[3, 0, 0] += early
    assert figures(counts).groups[3].observed is None
    counts[3, 2:] *= 51.0 / 49.0
    assert figures(counts).groups[3].observed is not None


def test_the_actuarial_estimate() -> None:
    """10 patients: 2 events and 2 censored in the first time, 3 events in the second, 3 censored in the third."""
    n = np.array([[2.0, 2.0], [0.0, 3.0], [3.0, 0.0]])
    np.testing.assert_allclose(conditional_risks(n), [2 / 9, 3 / 6, 0.0])
    assert observed_risk(n, times=2) == pytest.approx(1 - (7 / 9) * (3 / 6))
    n[0, 1] = -1.0  # with noise; 7 begin
    assert observed_risk(n, times=1) == pytest.approx(-1 / -(7 - 1) * -1)


def test_a_group_below_the_floor_is_not_shown_and_with_few_patients_nothing_is() -> None:
    found = figures(TRUTH)
    assert found.groups[-1].observed is None  # 23 patients
    assert found.groups[2].observed is not None
    everything = figures(TRUTH, smallest_shown=0.0)
    assert everything.groups[-1].observed is not None
    nothing = figures(TRUTH * (49 / TRUTH.sum()))
    assert (nothing.c_index, nothing.integrated_brier) == (None, None)
    assert {group.observed for group in nothing.groups} == {None}


def test_what_is_mostly_noise_is_not_shown_whatever_the_floor() -> None:
    """1144 patients in 60 cells: a noise of 80 on each puts 620 on their number."""
    assert figures(TRUTH, noise_sd=80.0, smallest_shown=0.0).c_index is None
    assert figures(TRUTH, noise_sd=20.0, smallest_shown=0.0).c_index is not None


@pytest.mark.parametrize("noise_sd", [30.0, 60.0])
def test_a_c_that_noise_carries_out_of_what_it_can_be_or_of_which_nothing_is_known_is_not_told(noise_sd: float) -> None:
    assert figures(TRUTH, noise_sd=noise_sd, smallest_shown=0.0).c_index is None  # any from 0 to 1 would do
    rng = np.random.default_rng(1)
    for _ in range(100):
        told = figures(TRUTH + noise_sd * rng.standard_normal(TRUTH.shape), noise_sd=noise_sd, smallest_shown=0.0)
        for found in (told.c_index,):
            assert found is None or (0 <= found.value <= 1 and (found.low, found.high) != (0.0, 1.0))


@pytest.mark.parametrize("counts", [np.zeros((6, 5, 2)), -np.ones((6, 5, 2)), np.full((6, 5, 2), -40.0)])
def test_no_patients_and_negative_counts_raise_nothing(counts: np.ndarray) -> None:
    for noise_sd in (0.0, 3.0):
        found = figures(counts, noise_sd=noise_sd, smallest_shown=0.0)
        assert found.patients.value == counts.sum()


def test_where_noise_leaves_nobody_after_the_first_time_the_brier_score_is_not_defined_and_nothing_is_divided() -> None:
    """Nearly everybody seems to be censored at once, so that a patient who is left stands for infinitely many."""
    counts = np.zeros((6, 5, 2))
    counts[:, 0, 0], counts[:, 1, 0] = 1_000.0, -499.99
    found = figures(counts, smallest_shown=0.0).integrated_brier
    assert found is not None
    assert np.isnan(found.value)


def test_counts_without_a_comparable_pair_have_no_c() -> None:
    counts = np.zeros((6, 5, 2))
    counts[:, 1, 0] = 20.0  # nobody has an event
    found = figures(counts)
    assert found.c_index is not None
    assert np.isnan(found.c_index.value)
    assert (found.c_index.low, found.c_index.high) == (0.0, 1.0)


def test_centres_of_groups() -> None:
    np.testing.assert_allclose(group_centres((-1.0, 0.0, 0.5)), [-1.5, -0.5, 0.25, 0.75])
    np.testing.assert_allclose(group_centres(()), [0.0])
    np.testing.assert_allclose(group_centres((0.2,)), [-0.3, 0.7])


# From what was released to counts

PLAN = study_plan(model=model_spec(endpoints=2), privacy=local_privacy(noise_multiplier=20.0))
SPEC = evaluation_of(PLAN, noise_multiplier=3.0)
PLAN = replace(PLAN, summaries=(SPEC,))


def test_sums_become_counts_of_patients_again() -> None:
    layout = CountLayout(2, SPEC.edges, SPEC.time_bounds)
    counts = np.arange(layout.cells, dtype=np.float64)
    released = ReleasedSummary(counts * layout.weight, ("Bonn", "Essen"))
    tables = tables_of(PLAN, SPEC, released)
    assert list(tables) == list(PLAN.model.endpoints)
    np.testing.assert_allclose(np.concatenate([table.counts.reshape(-1) for table in tables.values()]), counts)
    # Two endpoints share one patient's bound, so each count is 1 / sqrt(2), and noise in patients sqrt(2) as large.
    assert [table.noise_sd for table in tables.values()] == pytest.approx([3.0 * 2**0.5 * 2**0.5] * 2)


def test_the_noise_of_a_shared_sum_is_that_of_all_shares_present() -> None:
    shares = SharedNoise(sites=10, dropouts=2, colluding=2)
    shared = replace(PLAN, privacy=replace(PLAN.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares))
    release = release_of_summary(shared, SPEC)
    assert release.noise_of_sum(hospitals=10) == pytest.approx(3.0 * (10 / 6) ** 0.5, rel=1e-5)
    assert release.noise_of_sum(hospitals=8) == pytest.approx(3.0 * (8 / 6) ** 0.5, rel=1e-5)
    tables = tables_of(shared, SPEC, ReleasedSummary(np.zeros(SPEC.cells), ("Bonn",) * 8))
    assert [table.noise_sd for table in tables.values()] == pytest.approx([3.0 * (8 / 6) ** 0.5 * 2**0.5] * 2, rel=1e-5)
    without = replace(PLAN, privacy=no_privacy())
    assert release_of_summary(without, replace(SPEC, noise_multiplier=0.0)).noise_of_sum(hospitals=10) == 0.0


def test_nothing_is_measured_where_nothing_was_asked_for_or_released() -> None:
    weights = drawn_weights(PLAN.model, seed=0)
    assert measured(replace(PLAN, summaries=()), {}, weights, competing=()) is None
    assert measured(PLAN, {}, weights, competing=()) is None


def test_the_same_study_gives_the_same_figures() -> None:
    weights = drawn_weights(PLAN.model, seed=0)
    released = {"evaluation": ReleasedSummary(np.full(SPEC.cells, 9.0), PLAN.roster)}
    first, again = (measured(PLAN, released, weights, competing=()) for _ in range(2))
    assert first is not None
    assert first == again
    assert set(first.endpoints) == set(PLAN.model.endpoints)


def test_noise_moves_a_risk_by_the_slopes_of_all_counts_that_it_uses() -> None:
    """By moving one count at a time: events and the censored of each time, and of those after the horizon."""
    n = np.array([[9.0, 4.0], [7.0, 6.0], [5.0, 3.0], [20.0, 8.0], [30.0, 2.0]])
    times, step, squared = 3, 1e-5, 0.0
    for place in np.ndindex(n.shape):
        moved = []
        for sign in (1, -1):
            other = n.copy()
            other[place] += sign * step
            moved.append(np.log(1 - observed_risk(other, times=times)))
        squared += ((moved[0] - moved[1]) / (2 * step)) ** 2
    q, at_risk = conditional_risks(n)[:times], exposed(n)[:times]
    told = _squared_slopes((q / (1 - q))[None], at_risk, later_times=len(n) - times)
    assert told == pytest.approx([squared], rel=1e-5)


def test_at_a_limit_of_a_risk_in_one_time_it_is_as_far_off_as_patients_and_noise_let_it_be() -> None:
    """Nobody ends later. The log of 1 - d / E, E = d + c / 2, moves by -1 / E with d and by odds / 2 E with c."""
    n, sd = np.array([[200.0, 300.0]]), 15.0
    found = observed_risk_with_interval(n, noise_sd=sd, predicted=0.7, spread_of_hazard=np.ones(1))
    assert found is not None
    value, at_risk = 300 / 400, 400.0
    assert found.value == pytest.approx(value)
    for limit in (found.low, found.high):
        odds = limit / (1 - limit)
        sampling = (1 - limit) ** 2 * odds / at_risk
        noise = (1 - limit) ** 2 * sd**2 * (1 + (0.5 * odds) ** 2) / at_risk**2
        assert abs(value - limit) == pytest.approx(1.96 * (sampling + noise) ** 0.5, abs=1e-3)


@pytest.mark.parametrize(("noise_sd", "shown"), [(17.0, True), (19.0, False)])
def test_a_risk_is_shown_while_noise_alone_moves_it_by_a_tenth_at_most(noise_sd: float, shown: bool) -> None:
    """At a risk of a half of 100 patients by 0.5 x noise x root of 1.25 / 100."""
    found = observed_risk_with_interval(
        np.array([[0.0, 100.0]]), noise_sd=noise_sd, predicted=0.5, spread_of_hazard=np.ones(1)
    )
    assert (found is not None) is shown
