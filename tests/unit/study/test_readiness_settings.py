"""Which plan does [readiness] of a study file ask for, and what does it cost?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.study.test_budget import SCHEMA, settings

from oncofed.cohort.schema_file import parse_schema
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.policy import planned_releases_of, releases_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.server.deployment.study_commands import study
from oncofed.study.plan_settings import PlanSettings, readiness_plan_from
from oncofed.study.readiness_settings import ReadinessRequest

PARSED = parse_schema(SCHEMA, where="schema.toml")
ROSTER = ("Bonn", "Essen", "Jena", "Ulm")


def plan_of(asked: PlanSettings) -> StudyPlan:
    return readiness_plan_from(asked, PARSED, study="lung", roster=ROSTER, quorum=None)


@pytest.mark.parametrize(("mode", "attempts"), [("local", 1), ("local", 3), ("distributed", 1)])
def test_all_attempts_cost_the_epsilon_asked_for_and_nothing_else_does(mode: str, attempts: int) -> None:
    shares = {"dropouts": 1, "colluding": 1} if mode == "distributed" else {}
    asked = settings(mode=PrivacyMode(mode), reserve_rounds=5, **shares)
    plan = plan_of(replace(asked, readiness=ReadinessRequest(epsilon=0.4, attempts=attempts)))
    (spec,) = plan.summaries
    event = release_of_summary(plan, spec).event
    assert releases_of(plan) == (event,) * attempts
    assert planned_releases_of(plan) == (event,)
    spent = epsilon_of([event] * attempts, delta=1e-5)
    assert 0.399 < spent <= 0.4 == plan.privacy.epsilon
    assert plan.quorum == len(ROSTER) - plan.privacy.dropouts
    assert (plan.study, plan.training.rounds, plan.charged_rounds) == ("lung_readiness", 0, 0)


def test_in_mode_none_it_has_no_noise_and_costs_nothing() -> None:
    plan = plan_of(settings(mode=PrivacyMode.NONE, epsilon=None))
    assert [each.noise_multiplier for each in plan.summaries] == [0.0]
    assert not release_of_summary(plan, plan.summaries[0]).is_protected


STUDY = """
[study]
name = "lung"
[data]
schema = "schema.toml"
[training]
rounds = 10
[privacy]
mode = "local"
epsilon = 3
delta = 1e-5
l2_norm_bound = 2
[readiness]
epsilon = 0.25
"""


def shown(folder: Path, *options: str, text: str = STUDY) -> tuple[int, str]:
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "study.toml").write_text(text)
    result = CliRunner().invoke(study, ["show", str(folder / "study.toml"), *options])
    said = result.output if result.exit_code == 0 else str(result.exception)
    return result.exit_code, " ".join(said.split())


def test_the_file_shows_the_count_as_a_plan_of_its_own_and_the_study_as_before(tmp_path: Path) -> None:
    _, count = shown(tmp_path, "--readiness")
    assert "STUDY lung_readiness: to count, before a study and without training anything" in count
    assert "one list of 6 numbers: how many patients you have" in count
    assert "(4 markers or groups of markers)" in count
    assert "epsilon 0.25 at delta 1e-05 after the count" in count
    assert "PUBLISHED: how many patients, outcomes and measured markers there are over all hospitals" in count
    assert "in each of" not in count
    assert "final model" not in count
    _, trains = shown(tmp_path)
    assert "in each of 10 rounds" in trains
    assert "epsilon 3.00" in trains
    _, without = shown(tmp_path, text=STUDY.partition("[readiness]")[0])
    assert without == trains


def test_a_study_file_of_no_rounds_is_refused_with_what_to_write(tmp_path: Path) -> None:
    code, said = shown(tmp_path, text=STUDY.replace("rounds = 10", "rounds = 0"))
    assert code != 0
    assert "[training], rounds: is 0, which trains nothing. Write 1 or more. To count who is there first" in said
