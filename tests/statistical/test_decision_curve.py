"""Is the net benefit what counting gives without censoring, and what known hazards give with it, and do its intervals
cover that as often as they say?

The truth is in closed form: patients of three kinds with constant hazards, each told a risk of its own.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.survival.aalen_johansen import aalen_johansen, influence_on_incidence
from oncofed.survival.decision_curve import THRESHOLDS, Benefit, Outcomes, benefit_above, decision_curve

FloatArray = NDArray[np.float64]

HAZARDS, RIVALS = np.array([0.005, 0.02, 0.06]), np.array([0.004, 0.01, 0.03])
"""A month, of the event and of one that competes, by kind."""
SAID = np.array([0.12, 0.33, 0.62])
"""Predicted risk, by kind: not the true one, which a net benefit must not need."""
OTHER = np.array([0.33, 0.12, 0.62])
"""By a score that mistakes the first two kinds."""
HORIZON, ASKED = 24.0, (0.1, 0.2, 0.4, 0.5)


def true_risk(*, competes: bool) -> FloatArray:
    total = HAZARDS + (RIVALS if competes else 0)
    return np.asarray(HAZARDS / total * -np.expm1(-total * HORIZON))


def true_benefit(said: FloatArray, threshold: float, *, competes: bool) -> float:
    """Of three kinds as frequent as each other: no estimate, no code under test."""
    risk, treated = true_risk(competes=competes), said >= threshold
    return float((treated * (risk - (1 - risk) * threshold / (1 - threshold))).mean())


def drawn(
    n: int, rng: np.random.Generator, *, competes: bool = False, late: bool = False
) -> tuple[NDArray[np.int64], Outcomes]:
    """Kinds, and follow-up that is censored between 6 and 60 months. late: half come under observation later."""
    kind = rng.integers(0, 3, n)
    event = rng.exponential(1 / HAZARDS[kind])
    rival = rng.exponential(1 / RIVALS[kind]) if competes else np.full(n, np.inf)
    censored = rng.uniform(6, 60, n)
    time = np.minimum(np.minimum(event, rival), censored)
    entry = np.where(rng.random(n) < 0.5, rng.uniform(0, 5, n), 0.0) if late else None
    outcomes = Outcomes(time, event == time, entry, rival == time if competes else None)
    if entry is None:
        return kind, outcomes
    seen = entry < time
    return kind[seen], outcomes.rows(seen)


def counted(risk: FloatArray, had: NDArray[np.bool_], threshold: float) -> float:
    """Of patients who were all followed to the horizon: true and false positives, one by one."""
    true_positives = sum(1 for each, came in zip(risk, had, strict=True) if each >= threshold and came)
    false_positives = sum(1 for each, came in zip(risk, had, strict=True) if each >= threshold and not came)
    return (true_positives - false_positives * threshold / (1 - threshold)) / len(risk)


@pytest.mark.parametrize("competes", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_without_censoring_it_is_the_count_of_true_and_false_positives(seed: int, competes: bool) -> None:
    rng = np.random.default_rng(seed)
    risk, time = np.round(rng.random(40), 1), np.ceil(rng.exponential(20, 40))
    observed = rng.random(40) < 0.6 if competes else np.ones(40, dtype=np.bool_)
    outcomes = Outcomes(time, observed, competing=~observed if competes else None)
    found = decision_curve(risk, HORIZON, outcomes=outcomes)
    had = observed & (time <= HORIZON)
    expected = [counted(risk, had, each) for each in THRESHOLDS]
    np.testing.assert_allclose(found.model.value, expected, atol=1e-12)
    np.testing.assert_allclose(
        found.everybody.value, [counted(np.ones(40), had, each) for each in THRESHOLDS], atol=1e-12
    )
    np.testing.assert_allclose(found.treated, [(risk >= each).mean() for each in THRESHOLDS])
    np.testing.assert_allclose(found.above_everybody.value, found.model.value - found.everybody.value)


def test_treating_everybody_at_a_threshold_that_is_the_share_of_events_has_a_benefit_of_0() -> None:
    """Vickers and Elkin: where all are treated for as much as one is worth, nothing is gained."""
    time = np.array([1.0, 2.0, 30.0, 30.0, 30.0])
    outcomes = Outcomes(time, time < HORIZON)
    (at,) = decision_curve(np.full(5, 0.4), HORIZON, outcomes=outcomes, thresholds=(0.4,)).everybody.value
    assert at == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("competes", [False, True])
def test_with_censoring_late_entry_and_competing_events_it_is_that_of_the_hazards(competes: bool, late: bool) -> None:
    kind, outcomes = drawn(100_000, np.random.default_rng(1), competes=competes, late=late)
    share = np.bincount(kind) / len(kind)  # of those who came under observation, when some are late
    found = decision_curve(SAID[kind], HORIZON, outcomes=outcomes, thresholds=ASKED)
    for place, threshold in enumerate(ASKED):
        treated = threshold <= SAID
        risk = true_risk(competes=competes)[treated].mean()  # from time zero on, of kinds as frequent as each other
        truth = share[treated].sum() * (risk - (1 - risk) * threshold / (1 - threshold))
        assert found.model.value[place] == pytest.approx(truth, abs=0.008)
    _, without = drawn(100_000, np.random.default_rng(1), competes=competes, late=late)
    if competes:  # the mistake that this is for: what came first counted as censored
        wrong = decision_curve(
            SAID[kind], HORIZON, outcomes=Outcomes(without.time, without.observed, without.entry), thresholds=ASKED
        )
        assert wrong.model.value[0] > found.model.value[0] + 0.02


def covered(intervals: list[tuple[Benefit, FloatArray]], *, narrowed: float = 1.0) -> FloatArray:
    """(thresholds,), the share of intervals around the truth."""
    inside = []
    for each, truth in intervals:
        inside.append(np.abs(each.value - truth) <= narrowed * (each.high - each.value))
    return np.asarray(np.mean(inside, axis=0))


@pytest.mark.parametrize("competes", [pytest.param(False, marks=pytest.mark.slow), True])
def test_of_100_intervals_95_cover_the_benefit_what_it_is_above_treating_all_and_above_another_score(
    competes: bool,
) -> None:
    rng = np.random.default_rng(2)
    of_model, of_all, above, of_other = [], [], [], []

    def truth(said: FloatArray) -> FloatArray:
        return np.array([true_benefit(said, each, competes=competes) for each in ASKED])

    mine, everybody, theirs = truth(SAID), truth(np.ones(3)), truth(OTHER)
    for _ in range(600):
        kind, outcomes = drawn(400, rng, competes=competes)
        found = decision_curve(SAID[kind], HORIZON, outcomes=outcomes, thresholds=ASKED)
        of_model.append((found.model, mine))
        of_all.append((found.everybody, everybody))
        above.append((found.above_everybody, mine - everybody))
        paired = benefit_above(SAID[kind], OTHER[kind], HORIZON, outcomes=outcomes, thresholds=ASKED)
        of_other.append((paired, mine - theirs))
    apart = np.array(ASKED) > SAID[0]  # at the first both treat all, and at those above 0.33 the same patients
    for intervals, places in ((of_model, slice(None)), (of_all, slice(None)), (above, apart)):
        found_share = covered(intervals)[places]
        assert ((found_share > 0.92) & (found_share < 0.98)).all()
        assert (covered(intervals, narrowed=0.8)[places] < 0.92).all()  # a fifth too narrow would be noticed
    (second,) = covered(of_other)[1:2]
    assert 0.92 < second < 0.98
    assert all(each.value[0] == each.value[3] == 0 for each, _ in of_other)


def weighted_incidence(outcomes: Outcomes, weights: FloatArray) -> float:
    """At the horizon, step by step: a slow twin in which a patient may count for a little more than one."""
    entry = np.full(len(weights), -1.0) if outcomes.entry is None else np.where(outcomes.entry > 0, outcomes.entry, -1)
    rival = np.zeros(len(weights), dtype=np.bool_) if outcomes.competing is None else outcomes.competing
    free, incidence = 1.0, 0.0
    for step in np.unique(outcomes.time[outcomes.time <= HORIZON]):
        at_risk = weights[(entry < step) & (outcomes.time >= step)].sum()
        here = outcomes.time == step
        incidence += free * weights[here & outcomes.observed].sum() / at_risk
        free *= 1 - weights[here & (outcomes.observed | rival)].sum() / at_risk
    return incidence


@pytest.mark.parametrize("whole_months", [False, True])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("competes", [False, True])
def test_the_influence_of_a_patient_is_what_the_estimate_moves_by_when_that_patient_counts_for_more(
    competes: bool, late: bool, whole_months: bool
) -> None:
    _, outcomes = drawn(60, np.random.default_rng(3), competes=competes, late=late)
    if whole_months:
        outcomes = Outcomes(np.ceil(outcomes.time) + 1, outcomes.observed, outcomes.entry, outcomes.competing)
    n = len(outcomes.time)
    rival = np.zeros(n, dtype=np.bool_) if outcomes.competing is None else outcomes.competing
    found = influence_on_incidence(
        HORIZON, time=outcomes.time, observed=outcomes.observed, competing=rival, entry=outcomes.entry
    )
    step, plain = 1e-6, np.ones(n)
    moved = [
        n * (weighted_incidence(outcomes, plain + step * one) - weighted_incidence(outcomes, plain - step * one)) / 2
        for one in np.eye(n)
    ]
    np.testing.assert_allclose(found, np.array(moved) / step, atol=1e-6)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    curve = aalen_johansen(
        time=outcomes.time, observed=outcomes.observed, competing=rival, entry=outcomes.entry, level=0.95
    )
    low, _ = (float(each[0]) for each in curve.interval_at(np.array([HORIZON])))
    survival = float(curve.at(np.array([HORIZON]))[0])
    spread = math.log(math.log(low) / math.log(survival)) / 1.959964 * survival * -math.log(survival)
    assert math.sqrt(float(found @ found)) / n == pytest.approx(spread, rel=2e-2)


def test_where_nobody_is_treated_the_benefit_is_0_and_where_few_are_there_is_no_interval() -> None:
    _, outcomes = drawn(200, np.random.default_rng(4))
    risk = np.where(np.arange(200) < 9, 0.8, 0.1)
    found = decision_curve(risk, HORIZON, outcomes=outcomes, thresholds=(0.05, 0.5, 0.9))
    assert found.model.value[2] == found.treated[2] == 0
    np.testing.assert_array_equal(np.isnan(found.model.low), [False, True, True])
    np.testing.assert_array_equal(np.isnan(found.above_everybody.high), [False, True, True])
    assert not np.isnan(found.model.value).any()


def test_of_those_whom_nobody_follows_to_the_horizon_it_is_not_known() -> None:
    time = np.concatenate((np.full(20, 10.0), np.full(20, 30.0)))
    found = decision_curve(
        np.where(time < HORIZON, 0.8, 0.1),
        HORIZON,
        outcomes=Outcomes(time, np.zeros(40, dtype=np.bool_)),
        thresholds=(0.5,),
    )
    assert np.isnan(found.model.value[0])
    assert not np.isnan(found.everybody.value[0])


@pytest.mark.parametrize("risk", [[-0.1, 0.5], [0.5, 1.1], [0.5]])
def test_what_is_no_probability_of_each_patient_is_refused(risk: list[float]) -> None:
    outcomes = Outcomes(np.array([1.0, 30.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="risk"):
        decision_curve(np.array(risk), HORIZON, outcomes=outcomes)
    with pytest.raises(ValueError, match="thresholds"):
        decision_curve(np.full(2, 0.5), HORIZON, outcomes=outcomes, thresholds=(0.0,))
