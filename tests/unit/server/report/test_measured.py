"""Does the coordinator's page tell what was released of held-out patients, and only that?"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.summaries import at_risk_of, evaluation_of
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.server.report.page import render_report
from oncofed.server.report.spending import site_costs
from oncofed.server.report.study import DeployedStudy
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.time_at_risk import AtRiskLayout


def words(study: DeployedStudy) -> str:
    return " ".join(re.sub("<[^>]+>", " ", render_report(study)).replace("&nbsp;", " ").split())


def measured_plan(*, private: bool = True) -> StudyPlan:
    plan = fake_plan(fake_schema(), private=private)
    summary = evaluation_of(plan, noise_multiplier=4.0 if private else 0.0, attempts=2)
    return replace(plan, summaries=(replace(summary, smallest_shown=50.0),), held_out_fraction=0.2)


def released(plan: StudyPlan, *, patients: float = 400.0) -> ReleasedSummary:
    cells = plan.summaries[0].cells
    return ReleasedSummary(np.full(cells, patients / cells), plan.roster[:3])


def test_figures_come_with_their_intervals_their_noise_and_who_released_them() -> None:
    plan = measured_plan()
    told = words(replace(fake_study(plan=plan), summaries={"evaluation": released(plan)}))
    assert "All of it is privately released" in told
    assert "C-index of the groups of risk 0." in told
    assert "Released by 3 hospitals after the last round" in told
    assert "standard deviation 6.9 patients" in told  # 4 sqrt(3)
    assert "20 % of them" in told.replace("\N{NO-BREAK SPACE}", " ")
    assert "Patients set aside and counted 400 (346 to 454)" in told
    assert "This page cannot say" not in told
    assert "10 planned rounds and evaluation" in told


def test_of_a_study_with_late_entry_it_tells_whom_it_counts_and_no_brier_score() -> None:
    counts = measured_plan()
    spec = replace(at_risk_of(counts, noise_multiplier=4.0), smallest_shown=50.0)
    plan = replace(counts, summaries=(spec,))
    layout = AtRiskLayout(len(plan.model.endpoints), spec.edges, spec.time_bounds)
    numbers = np.zeros(layout.shape)
    numbers[:, :, 0], numbers[:, :, layout.at_risk], numbers[:, :, layout.events] = 100.0, 80.0, 8.0
    summary = ReleasedSummary((numbers * layout.weights).reshape(-1), plan.roster[:3])
    told = words(replace(fake_study(plan=plan), summaries={"evaluation": summary}))
    assert "Patients set aside and counted 400 (314 to 486)" in told
    assert "standard deviation 21.9 patients on each number of patients" in told  # 4 sqrt(3) / sqrt(0.1)
    assert "each counts from entry to the end of follow-up" in told
    assert "A Brier score is not told" in told
    assert "integrated to" not in told
    before = words(replace(fake_study(plan=counts), summaries={"evaluation": released(counts)}))
    assert "is counted as if followed from its beginning" in before
    assert "integrated to" in before


def test_figures_of_few_patients_are_not_shown() -> None:
    plan = measured_plan()
    told = words(replace(fake_study(plan=plan), summaries={"evaluation": released(plan, patients=40.0)}))
    assert "C-index of the groups of risk not shown: too few patients for the noise" in told


def test_without_privacy_the_page_says_so() -> None:
    plan = measured_plan(private=False)
    assert plan.privacy.mode is PrivacyMode.NONE
    told = words(replace(fake_study(plan=plan), summaries={"evaluation": released(plan)}))
    assert "Nothing in this study is private, and neither are these figures" in told
    assert "All of it is privately released" not in told


def test_what_was_asked_for_and_not_released_is_told_and_what_was_not_asked_for_too() -> None:
    assert "asked for it once, after the last round" in words(fake_study(plan=measured_plan()))
    assert "This page cannot say" in words(fake_study())
    plan = measured_plan()
    unfinished = replace(fake_study(plan=plan, released=False), summaries={"evaluation": released(plan)})
    assert "C-index of the groups of risk" not in words(unfinished)  # there is no model yet that they are of


def test_what_it_cost_is_in_each_hospitals_epsilon() -> None:
    plan = measured_plan()
    study = replace(fake_study(plan=plan), summaries={"evaluation": released(plan)})
    costs = {cost.site: cost for cost in site_costs(study)}
    of_round, of_summary = GaussianRelease(plan.privacy.noise_multiplier), GaussianRelease(4.0)

    def about(events: list[GaussianRelease]) -> object:
        return pytest.approx(epsilon_of(events, delta=1e-5), rel=1e-4)  # but for the rounding to steps of 2**-20

    first, last = costs[plan.roster[0]], costs[plan.roster[3]]
    assert (first.answers, last.answers) == (11, 10)
    assert first.epsilon == about([of_round] * 10 + [of_summary])
    assert last.epsilon == about([of_round] * 10)
    assert first.epsilon_at_most == about([of_round] * 10 + [of_summary] * 2)
    assert first.asked == 12
