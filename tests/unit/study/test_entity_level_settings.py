"""Does [model] calibration_by_entity of a study file become a plan that hospitals may approve, and read?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.privacy.test_policy import PLAN, POLICY
from tests.unit.study.test_explanation_settings import LOCAL, SCHEMA, STUDY, plan_of

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words
from oncofed.server.deployment.consortium_file import read_consortium
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.study.chosen_settings import chosen, settled
from oncofed.study.plan_settings import PlanSettings, model_of, readiness_plan_from
from oncofed.survival.entity_levels import EntityLevels

LEVELS = "[4]\ncalibration_by_entity = true"


def asked(folder: Path, hidden: str = LEVELS) -> StudyPlan:
    return plan_of(folder, "", hidden=hidden)


def test_the_schema_says_which_columns_and_the_plan_is_read_back(tmp_path: Path) -> None:
    plain, plan = asked(tmp_path, "[4]\ncalibration_by_entity = false"), asked(tmp_path)
    assert plain.model.entity_levels is None
    assert "entity_levels" not in plain.canonical
    assert plan.model.entity_levels == EntityLevels((0, 1), 1.0)
    assert plan.model.parameters == plain.model.parameters
    assert plan.privacy == plain.privacy  # a round costs what a round costs
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_the_weight_of_the_entitys_marker_is_told(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(SCHEMA + "\n")
    schema = parse_schema(SCHEMA, where="schema")
    first = next(marker for marker in schema.markers if marker.name == schema.tumour_entity)
    weighed = replace(
        schema, markers=tuple(replace(each, weight=2.0) if each is first else each for each in schema.markers)
    )
    (tmp_path / "study.toml").write_text(STUDY.format(hidden=LEVELS, privacy=LOCAL, more=""))
    settings = read_consortium(tmp_path / "study.toml").settings
    assert model_of(settings, weighed).entity_levels == EntityLevels((0, 1), 2.0)


def test_approvers_read_that_sums_are_by_interval_and_entity(tmp_path: Path) -> None:
    plan, schema = asked(tmp_path), parse_schema(SCHEMA, where="schema")
    training = replace(plan.training, rounds=20, calibration_rounds=8)
    told, before = (
        " ".join(
            plan_in_words(replace(plan, training=training, model=model), schema, parameters=model.parameters).split()
        )
        for model in (plan.model, replace(plan.model, entity_levels=None))
    )
    assert "in the last 8 instead sums of expected and observed events of all patients" in told
    assert "by interval of time, and by tumour entity" in told
    assert "by tumour entity" not in before


def test_a_schema_without_a_tumour_entity_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(SCHEMA.replace('tumour_entity = "entity"\n', ""))
    (tmp_path / "study.toml").write_text(STUDY.format(hidden=LEVELS, privacy=LOCAL, more=""))
    consortium = read_consortium(tmp_path / "study.toml")
    with pytest.raises(InvalidInput, match=r"\[model\], calibration_by_entity: needs a schema with a tumour entity"):
        model_of(consortium.settings, consortium.schema)


def test_without_a_linear_part_the_levels_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"calibration_by_entity.*linear branch"):
        asked(tmp_path, f"{LEVELS}\nlinear_branch = false")
    plan = asked(tmp_path)
    odd = replace(plan, model=replace(plan.model, linear_branch=False))
    with pytest.raises(InvalidInput, match="no linear branch to stand in"):
        plan_from_json(json.loads(odd.canonical))


@pytest.mark.parametrize("columns", [(), (0, PLAN.model.columns), (-1,)])
def test_a_plan_that_looks_in_columns_that_are_not_there_is_refused(columns: tuple[int, ...]) -> None:
    plan = replace(PLAN, model=replace(PLAN.model, entity_levels=EntityLevels(columns, 1.0)))
    with pytest.raises(InvalidInput):
        plan_from_json(json.loads(plan.canonical))
    with pytest.raises(PrivacyRefusal, match="columns that are not there"):
        POLICY.refuse_unless_allowed(plan)


def test_too_few_calibration_rounds_are_a_fault_of_the_plan(tmp_path: Path) -> None:
    plan = asked(tmp_path)

    def faults(count: int) -> list[str]:
        training = TrainingSpec(rounds=20, calibration_rounds=count)
        return [fault.where for fault in strategy_faults(replace(plan, training=training))]

    assert faults(0) == faults(3) == ["training.calibration_rounds"]
    assert faults(4) == []


def test_a_plan_that_only_measures_such_a_model_calibrates_nothing_and_may_run(tmp_path: Path) -> None:
    """As a validation study's: the model of another plan, and no round."""
    plan = replace(asked(tmp_path), training=TrainingSpec(rounds=0))
    assert plan.model.entity_levels is not None
    assert strategy_faults(plan) == ()


def open_settings(folder: Path, more: str = "", *, patients: int = 5_000) -> PlanSettings:
    (folder / "schema.toml").write_text(SCHEMA)
    head = f'[study]\nname = "small"\nexpected_patients = {patients}\n[data]\nschema = "schema.toml"\n'
    text = f"{head}[privacy]\n{LOCAL}\n{more}"
    (folder / "study.toml").write_text(text)
    return read_consortium(folder / "study.toml").settings


def test_where_noise_leaves_enough_of_each_entity_it_is_chosen(tmp_path: Path) -> None:
    schema = parse_schema(SCHEMA, where="schema")

    def found(settings: PlanSettings) -> tuple[bool, int]:
        plan = settled(settings, schema, hospitals=10)
        return plan.calibration_by_entity, plan.training.calibration_rounds

    assert found(open_settings(tmp_path)) == (True, 24)  # a fifth of 120
    assert found(open_settings(tmp_path, patients=50)) == (False, 3)
    assert found(open_settings(tmp_path, "[training]\nrounds = 40\n")) == (True, 8)
    assert found(open_settings(tmp_path, "[model]\ncalibration_by_entity = false\n")) == (False, 3)
    assert found(open_settings(tmp_path, "[model]\nlinear_branch = false\n")) == (False, 3)
    # Who names how many rounds calibrate has not asked for more.
    named = open_settings(tmp_path, "[training]\ncalibration_rounds = 12\n")
    assert found(named) == (False, 12)
    assert "model.calibration_by_entity" not in [each.key for each in chosen(named, schema, hospitals=10)]


def test_a_count_of_who_is_there_calibrates_nothing(tmp_path: Path) -> None:
    settings, schema = open_settings(tmp_path, "[readiness]\nepsilon = 0.1\n"), parse_schema(SCHEMA, where="schema")
    plan = readiness_plan_from(settings, schema, study="s", roster=("a", "b", "c"), quorum=None)
    assert plan.model.entity_levels is None
