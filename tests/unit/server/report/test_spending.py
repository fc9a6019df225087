"""Are the releases a coordinator knows of counted, and never taken for all there may be?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.unit.server.report.fake_studies import BEGAN, fake_plan, fake_schema, fake_study, row
from tests.unit.server.report.test_released_explanations import explained_plan

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.server.report.spending import asked_attempts, site_costs
from oncofed.server.report.study import StudyEvent
from oncofed.server.rounds.state import ReleasedSummary

SCHEMA = fake_schema()
PLAN = fake_plan(SCHEMA, sites=("Aachen", "Bonn"), rounds=3)  # and two rounds of reserve


def test_a_finished_study_counts_answers_and_attempts() -> None:
    rows = [
        row(1, ["Aachen", "Bonn"]),
        row(2, ["Aachen"], {"Bonn": "no answer within 3 s"}, attempt=1),
        row(3, ["Aachen"], {"Bonn": "refused: not_ready"}),
    ]
    aachen, bonn = site_costs(fake_study(done=3, rows=rows, plan=PLAN))
    assert (aachen.answers, bonn.answers, aachen.asked, bonn.asked) == (3, 1, 4, 4)
    expected = [epsilon_of([GaussianRelease(12.0)] * count, delta=1e-5) for count in (3, 4, 1, 4)]
    # Rounding to the plan's steps of 2**-20 makes a release dearer than the Gaussian by 1e-5 or so of its epsilon.
    told = [aachen.epsilon, aachen.epsilon_at_most, bonn.epsilon, bonn.epsilon_at_most]
    assert told == pytest.approx(expected, rel=1e-4)


def test_each_attempt_that_a_summary_may_take_may_have_been_charged() -> None:
    """Two summaries with two attempts each, of which nobody has answered yet."""
    plan = explained_plan()
    assert [spec.attempts for spec in plan.summaries] == [2, 2]
    study = fake_study(plan=plan)
    assert {each.asked for each in site_costs(study)} == {asked_attempts(study) + 4}


def test_a_summary_was_released_by_those_who_answered_it_and_nobody_else() -> None:
    plan = explained_plan()
    first, *_ = plan.summaries
    released = {first.name: ReleasedSummary(np.zeros(first.cells), plan.roster[:1])}
    costs = {each.site: each for each in site_costs(replace(fake_study(plan=plan), summaries=released))}
    rounds = plan.training.rounds
    assert {site: each.answers - rounds for site, each in costs.items()} == {
        site: int(site == plan.roster[0]) for site in plan.roster
    }


def test_what_is_not_known_counts_as_all_that_the_plan_allows() -> None:
    complete = fake_study(done=3, plan=PLAN)
    assert asked_attempts(complete) == 3
    running = fake_study(done=2, plan=PLAN)
    unrecorded = replace(complete, rounds=complete.rounds[1:])
    starts = tuple(StudyEvent(BEGAN + timedelta(hours=hour), "started", "") for hour in (0, 1))
    resumed = replace(complete, events=starts)
    assert [asked_attempts(each) for each in (running, unrecorded, resumed)] == [5, 5, 5]
    assert asked_attempts(replace(complete, events=starts[:1])) == 3


def test_no_hospital_is_said_to_have_been_charged_beyond_the_plan() -> None:
    rows = [row(number, ["Aachen"], attempt=9) for number in (1, 2, 3)]
    assert asked_attempts(fake_study(done=3, rows=rows, plan=PLAN)) == 5


def test_who_never_answered_is_known_to_have_spent_nothing() -> None:
    study = fake_study(done=3, rows=[row(number, ["Aachen"]) for number in (1, 2, 3)], plan=PLAN)
    assert [each.epsilon for each in site_costs(study)][1] == 0.0


def test_without_privacy_there_is_no_epsilon() -> None:
    plan = fake_plan(SCHEMA, private=False)
    assert {(each.epsilon, each.epsilon_at_most) for each in site_costs(fake_study(plan=plan))} == {(None, None)}
