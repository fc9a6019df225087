"""Does [model] entity_time_shapes of a study file become a model that hospitals may approve?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.privacy.test_policy import PLAN, POLICY
from tests.unit.study.test_explanation_settings import LOCAL, SCHEMA, STUDY, plan_of

from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.server.deployment.consortium_file import read_consortium
from oncofed.study.plan_settings import model_of
from oncofed.survival.time_shapes import TimeShapes


def asked(folder: Path, shapes: str) -> StudyPlan:
    return plan_of(folder, "", hidden=f"[4]\nentity_time_shapes = {shapes}\nshape_weight = 0.5")


def test_it_has_a_number_for_each_function_and_entity_and_the_schema_says_which(tmp_path: Path) -> None:
    plain, plan = asked(tmp_path, "0"), asked(tmp_path, "2")
    assert plain.model.time_shapes is None
    assert plan.model.time_shapes == TimeShapes(2, 6.0, 0.5, (0, 1))  # two years are no less than half of the grid
    assert plan.model.parameters == plain.model.parameters + 2 * 3
    assert plan.privacy.noise_multiplier > 0
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_a_schema_without_a_tumour_entity_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(SCHEMA.replace('tumour_entity = "entity"\n', ""))
    text = STUDY.format(hidden="[4]\nentity_time_shapes = 1", privacy=LOCAL, more="")
    (tmp_path / "study.toml").write_text(text)
    consortium = read_consortium(tmp_path / "study.toml")
    with pytest.raises(InvalidInput, match=r"\[model\], entity_time_shapes: needs a schema with a tumour entity"):
        model_of(consortium.settings, consortium.schema)


@pytest.mark.parametrize("shapes", ["3", "-1", "0.5"])
def test_other_numbers_of_functions_are_faults(shapes: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="entity_time_shapes"):
        asked(tmp_path, shapes)


def test_a_plan_that_looks_in_columns_that_are_not_there_is_refused() -> None:
    shapes = TimeShapes(1, 6.0, 1.0, (0, PLAN.model.columns))
    plan = replace(PLAN, model=replace(PLAN.model, time_shapes=shapes))
    with pytest.raises(InvalidInput, match=r"plan\.model: .* columns that are not there"):
        plan_from_json(json.loads(plan.canonical))
    with pytest.raises(PrivacyRefusal, match="columns that are not there"):
        POLICY.refuse_unless_allowed(plan)
