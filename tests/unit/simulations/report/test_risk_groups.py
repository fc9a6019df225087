"""Are patients put into thirds of their predicted risk, and counted while they are under observation?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.simulations.report.risk_groups import RiskGroup, risk_groups
from oncofed.simulations.results import RunResult


@pytest.fixture(scope="module")
def result() -> RunResult:
    return fake_result(sites=2, patients=360)


def groups_of(result: RunResult) -> tuple[RiskGroup, ...]:
    test = result.test
    return risk_groups(result.main, entry=test.entry[:, 0], exit_=test.exit[:, 0], observed=test.observed[:, 0])


def test_thirds_by_rising_risk(result: RunResult) -> None:
    low, middle, high = groups_of(result)
    assert [group.name for group in (low, middle, high)] == ["low", "middle", "high"]
    assert [group.patients for group in (low, middle, high)] == [30, 30, 30]
    order = np.argsort(result.main.log_hazard_ratio)
    for group, rows in zip((low, middle, high), np.split(order, 3), strict=True):
        assert sorted(group.exit) == sorted(result.test.exit[rows, 0])
        assert group.predicted == pytest.approx(result.main.survival[rows].mean(axis=0))
    assert (low.predicted > middle.predicted).all()
    assert (middle.predicted > high.predicted).all()


def test_patients_at_risk_are_those_under_observation(result: RunResult) -> None:
    test, group = result.test, groups_of(result)[2]
    assert (test.entry[:, 0] > 0).any()
    times = [0.0, 1.0, 3.0, 12.0, 60.0, float(group.exit[0]), float(group.entry.max())]
    by_hand = [
        sum(
            (enters < time or enters == 0) and leaves >= time
            for enters, leaves in zip(group.entry, group.exit, strict=True)
        )
        for time in times
    ]
    assert group.at_risk(np.array(times)) == by_hand
    assert by_hand[0] < by_hand[2]  # late entries


def test_at_the_end_of_a_follow_up_numbers_at_risk_are_those_of_the_estimate(result: RunResult) -> None:
    for group in groups_of(result):
        assert group.at_risk(group.observed.times) == [int(count) for count in group.observed.at_risk]


def test_equal_predictions_stay_together(result: RunResult) -> None:
    flat = replace(result.main, log_hazard_ratio=np.zeros(90))
    (only,) = groups_of(replace(result, endpoints={"overall_survival": flat}))
    assert only.patients == 90
