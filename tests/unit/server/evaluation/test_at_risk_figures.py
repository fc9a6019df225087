"""What is told of a table of time at risk, and what is not?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import drawn_weights, local_privacy, model_spec, study_plan
from tests.summaries import at_risk_of, evaluation_of

from oncofed.server.evaluation.at_risk_concordance import _covariances, _variance, concordance_at_risk
from oncofed.server.evaluation.at_risk_figures import GroupTimes, figures_at_risk, observed_risk_at_risk
from oncofed.server.evaluation.figures import EndpointFigures
from oncofed.server.evaluation.held_out_table import EndpointTimes, times_of
from oncofed.server.evaluation.measured import evaluation_in, measured
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.curves import risk_at
from oncofed.survival.grid import TimeGrid
from oncofed.survival.time_at_risk import AtRiskLayout

GRID = TimeGrid((0.0, 12.0, 24.0, 36.0, 60.0))
EDGES = (-0.5, 0.5)
LOG_BASELINE = np.log(np.array([0.1, 0.1, 0.1, 0.3]))
AT_RISK = np.array([[80.0, 150.0, 120.0, 90.0], [200.0, 320.0, 220.0, 150.0], [70.0, 100.0, 60.0, 30.0]])
HAZARD = np.array([0.05, 0.1, 0.2])[:, None] * np.array([1.0, 1.0, 1.0, 3.0])


def table(*, at_risk: np.ndarray = AT_RISK, noise_sd: float = 0.0, patients: float = 1.5) -> EndpointTimes:
    return EndpointTimes(
        at_risk.max(axis=1) * patients, at_risk, at_risk * HAZARD, noise_sd, noise_sd, noise_sd, EDGES, GRID.bounds
    )


def figures(of: EndpointTimes, *, smallest_shown: float = 50.0, competes: bool = False) -> EndpointFigures:
    return figures_at_risk(
        of,
        log_baseline_hazard=LOG_BASELINE,
        grid=GRID,
        horizon=36.0,
        smallest_shown=smallest_shown,
        competes=competes,
    )


def test_without_noise_the_figures_are_the_tables_own() -> None:
    found = figures(table())
    assert found.patients.value == found.patients.low == pytest.approx(1.5 * (150 + 320 + 100))
    assert found.integrated_brier is None
    assert found.late_entry
    for group, shown in enumerate(found.groups):
        assert shown.observed is not None
        assert shown.observed.value == pytest.approx(1 - np.exp(-3 * HAZARD[group, 0]))
        assert shown.observed.low < shown.observed.value < shown.observed.high
    edge = float(risk_at(36.0, np.array([-0.5]), log_baseline_hazard=LOG_BASELINE, grid=GRID)[0])
    assert found.groups[0].predicted == (0.0, edge)
    assert (found.groups[0].up_to, found.groups[1].above, found.groups[2].up_to) == (-0.5, -0.5, None)


def test_c_by_hand() -> None:
    """Two groups and one time: 10 and 20 at risk, 2 and 6 events. An event of the higher is right with the lower."""
    one = EndpointTimes(np.zeros(2), np.array([[10.0], [20.0]]), np.array([[2.0], [6.0]]), 0, 0, 0, (0.0,), (0.0, 60.0))
    pairs = (2 + 6) * (10 + 20)
    assert concordance_at_risk(one).value == pytest.approx((6 * 10 + 0.5 * (2 * 10 + 6 * 20)) / pairs)
    nobody = replace(one, events=np.zeros((2, 1)))
    assert np.isnan(concordance_at_risk(nobody).value)


def test_of_an_endpoint_that_competes_no_risk_is_told() -> None:
    found = figures(table(), competes=True)
    assert (found.groups, found.competes, found.late_entry) == ((), True, True)
    assert found.c_index == figures(table()).c_index


def test_below_the_floor_nothing_is_told_and_of_a_group_nothing_of_whom_few_are_left() -> None:
    nothing = figures(table(patients=0.05))
    assert nothing.c_index is None
    assert {each.observed for each in nothing.groups} == {None}
    few = AT_RISK.copy()
    few[2, 2] = 49.0
    assert [each.observed is None for each in figures(table(at_risk=few)).groups] == [False, False, True]
    few[2, 2], few[2, 0] = 51.0, 5.0  # few at the beginning, when most have not come yet: nobody knows that hazard
    assert [each.observed is None for each in figures(table(at_risk=few)).groups] == [False, False, True]


def test_times_at_risk_below_three_deviations_of_their_noise_show_no_risk() -> None:
    own = GroupTimes(np.array([30.1, 90.0]), np.array([3.0, 9.0]), at_risk_sd=10.0, events_sd=1.0)
    assert observed_risk_at_risk(own, predicted=0.2) is not None
    less = replace(own, at_risk=np.array([29.9, 90.0]))
    assert observed_risk_at_risk(less, predicted=0.2) is None
    nobody = replace(own, at_risk=np.array([0.0, 90.0]), at_risk_sd=0.0)
    assert observed_risk_at_risk(nobody, predicted=0.2) is None


@pytest.mark.parametrize("noise_sd", [20.0, 40.0])
def test_noise_in_a_denominator_is_taken_off_on_average(noise_sd: float) -> None:
    """Of 200 patients at risk."""
    drawn = 200.0 + noise_sd * np.random.default_rng(2).standard_normal(40_000)
    told = np.mean([GroupTimes(np.array([each]), np.array([60.0]), noise_sd, 0.0).summed_hazard for each in drawn])
    assert told == pytest.approx(0.3, rel=0.007)
    assert abs(np.mean(60 / drawn) - 0.3) > 3 * abs(told - 0.3)


def test_at_a_limit_the_summed_hazard_is_as_far_off_as_patients_and_noise_let_it_be() -> None:
    own = GroupTimes(np.array([400.0, 300.0]), np.array([40.0, 60.0]), at_risk_sd=20.0, events_sd=8.0)
    found = observed_risk_at_risk(own, predicted=0.3)
    assert found is not None
    told = 40 * 400 / (400**2 + 20**2) + 60 * 300 / (300**2 + 20**2)
    assert found.value == pytest.approx(1 - np.exp(-told))
    seen = np.array([40.5 / 400, 60.5 / 300])  # and half an event in each time
    for limit in (found.low, found.high):
        first, second = -np.log1p(-limit) * seen / seen.sum()
        patients = first / 400 + second / 300
        noise = (8**2 + (20 * first) ** 2) / 400**2 + (8**2 + (20 * second) ** 2) / 300**2
        assert abs(told - first - second) == pytest.approx(1.96 * (patients + noise) ** 0.5, abs=2e-3)


@pytest.mark.parametrize("early_hazard", [0.12, 0.01, 1e-4])
@pytest.mark.parametrize("noise_sd", [0.0, 2.0])
def test_an_interval_does_not_believe_what_the_model_says_of_a_time_in_which_few_are_at_risk(
    early_hazard: float, noise_sd: float
) -> None:
    """66 of 700 are at risk in the first time, of which the model says that next to nobody dies: 8 do."""
    at_risk, truth = np.array([[66.0, 280.0, 700.0, 400.0]]), np.array([[0.12, 0.12, 0.24, 0.3]])
    model = np.log(np.array([early_hazard, 0.12, 0.24, 0.3]))
    rng, covered = np.random.default_rng(1), []
    risk = 1 - np.exp(-truth[0, :3].sum())
    for _ in range(2000):
        told = at_risk + noise_sd * rng.standard_normal((1, 4))
        events = rng.poisson(at_risk * truth) + noise_sd * rng.standard_normal((1, 4))
        one = EndpointTimes(np.array([900.0]), told, events, noise_sd, noise_sd, noise_sd, (), GRID.bounds)
        found = figures_at_risk(one, log_baseline_hazard=model, grid=GRID, horizon=36.0, smallest_shown=50.0)
        observed = found.groups[0].observed
        if observed is not None:
            covered.append(observed.low <= risk <= observed.high)
    assert len(covered) > 1500
    assert 0.93 <= float(np.mean(covered)) <= 0.975


@pytest.mark.parametrize("noise_sd", [20.0, 60.0, 200.0])
def test_a_c_that_noise_carries_out_of_what_it_can_be_is_not_told(noise_sd: float) -> None:
    rng, told, beyond = np.random.default_rng(2), [], 0
    for _ in range(200):
        one = replace(
            table(noise_sd=noise_sd),
            at_risk=AT_RISK / 10 + noise_sd * rng.standard_normal(AT_RISK.shape),
            events=AT_RISK * HAZARD / 10 + noise_sd * rng.standard_normal(AT_RISK.shape),
        )
        beyond += not 0 <= concordance_at_risk(one).value <= 1
        told.append(figures(one, smallest_shown=0.0).c_index)
    assert beyond > 10
    assert all(each is None or (0 <= each.value <= 1 and (each.low, each.high) != (0.0, 1.0)) for each in told)


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_no_patients_and_negative_numbers_raise_nothing(sign: float) -> None:
    for noise_sd in (0.0, 5.0):
        found = figures(table(at_risk=sign * AT_RISK, noise_sd=noise_sd), smallest_shown=-1e9)
        assert {each.observed for each in found.groups} == {None}


@pytest.mark.parametrize(("at_risk_sd", "events_sd"), [(20.0, 20.0), (100.0, 5.0), (150.0, 20.0), (100.0, 100.0)])
def test_the_variance_of_c_under_noise_alone_is_that_of_tables_drawn(at_risk_sd: float, events_sd: float) -> None:
    """No patient is drawn anew: what is left is noise, of which no two cells share any."""
    rng = np.random.default_rng(3)
    exact = table()
    c = concordance_at_risk(exact).value
    group = np.arange(3)
    higher = (group[:, None] > group[None, :]) + 0.5 * (group[:, None] == group[None, :])

    def variance(of: EndpointTimes) -> float:
        return float(_variance(of, higher, np.ones((3, 3)), np.array([c]))[0])

    off, told = [], []
    for number in range(20_000):
        at_risk = exact.at_risk + at_risk_sd * rng.standard_normal((3, 4))
        events = exact.events + events_sd * rng.standard_normal((3, 4))
        off.append(float(np.sum(events * ((higher - c) @ at_risk))))
        if number < 4000:
            noised = replace(exact, at_risk=at_risk, events=events, at_risk_sd=at_risk_sd, events_sd=events_sd)
            told.append(variance(noised))
    assert np.mean(told) - variance(exact) == pytest.approx(float(np.var(off)), rel=0.06)


def test_a_patient_shares_times_with_itself_and_events_with_times_before_them() -> None:
    of_times, shared, of_events = _covariances(table())
    assert of_times[0, 1, 3] == of_times[0, 3, 1] == 90.0
    assert of_times[0, 0, 3] == 80.0, "no more than were there all the while"
    assert shared[0, 3, 1] == 0.0
    assert shared[0, 1, 3] == pytest.approx(90 * HAZARD[0, 3])
    assert shared[0, 0, 3] == pytest.approx(90 * HAZARD[0, 3] * 80 / 90)
    assert shared[0, 2, 2] == pytest.approx(0.5 * 120 * HAZARD[0, 2])
    np.testing.assert_allclose(of_events, AT_RISK * HAZARD)


# From what was released to numbers of patients

PLAN = study_plan(model=model_spec(endpoints=2), privacy=local_privacy(noise_multiplier=20.0))
SPEC = at_risk_of(PLAN, noise_multiplier=3.0)
PLAN = replace(PLAN, summaries=(SPEC,))


def test_sums_become_patients_times_and_events_again_each_with_its_noise() -> None:
    layout = AtRiskLayout(2, SPEC.edges, SPEC.time_bounds)
    numbers = np.arange(float(layout.cells)).reshape(layout.shape)
    released = ReleasedSummary((numbers * layout.weights).reshape(-1), ("Bonn", "Essen"))
    tables = times_of(PLAN, SPEC, released)
    assert list(tables) == list(PLAN.model.endpoints)
    times = layout.times
    for place, found in enumerate(tables.values()):
        np.testing.assert_allclose(found.patients, numbers[place, :, 0])
        np.testing.assert_allclose(found.at_risk, numbers[place, :, 1 : 1 + times])
        np.testing.assert_allclose(found.events, numbers[place, :, 1 + times :])
        # Two hospitals add noise, and two endpoints share one patient's bound: twice 3, over the weight of each number.
        assert found.patients_sd == found.noise_sd == pytest.approx(6 / 0.1**0.5)
        assert found.at_risk_sd == pytest.approx(6 / (0.4 / times) ** 0.5)
        assert found.events_sd == pytest.approx(6 / 0.5**0.5)


def test_a_study_with_late_entry_is_measured_by_its_own_table() -> None:
    weights = drawn_weights(PLAN.model, seed=0)
    released = {"evaluation": ReleasedSummary(np.full(SPEC.cells, 90.0), PLAN.roster)}
    first, second = PLAN.model.endpoints
    found = measured(PLAN, released, weights, competing={second})
    assert found is not None
    assert found == measured(PLAN, released, weights, competing={second})
    assert evaluation_in(PLAN) == SPEC
    assert [each.late_entry for each in found.endpoints.values()] == [True, True]
    assert (found.endpoints[first].competes, found.endpoints[second].competes) == (False, True)
    counts = evaluation_of(PLAN)
    before = measured(
        replace(PLAN, summaries=(counts,)),
        {"evaluation": ReleasedSummary(np.full(counts.cells, 90.0), PLAN.roster)},
        weights,
        competing=(),
    )
    assert before is not None
    assert not before.endpoints[first].late_entry
