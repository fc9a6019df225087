"""Is a plan with summaries read back as it was, told in words, and refused when it contradicts itself?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles import no_privacy, study_plan
from tests.hospital import SCHEMA
from tests.summaries import calibration_of, evaluation_of

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingMode
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import cost_of, plan_in_words
from oncofed.protocol.summary_spec import SummaryKind

WITHOUT = study_plan()
SPEC = evaluation_of(WITHOUT, noise_multiplier=7.25)
PLAN = replace(WITHOUT, summaries=(SPEC,), held_out_fraction=0.2)


def test_a_plan_is_read_back_as_it_was() -> None:
    assert plan_from_json(json.loads(PLAN.canonical)) == PLAN
    assert PLAN.summary("evaluation") == SPEC
    assert PLAN.summary("votes") is None
    assert len({WITHOUT.hash, PLAN.hash, replace(PLAN, held_out_fraction=0.3).hash}) == 3


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "twice the same name": {"summaries": (SPEC, SPEC)},
    "a name that leads elsewhere": {"summaries": (replace(SPEC, name="../x"),)},
    "a name that is a number": {"summaries": (replace(SPEC, name="1"),)},
    "no attempt": {"summaries": (replace(SPEC, attempts=0),)},
    "no cell": {"summaries": (replace(SPEC, cells=0),)},
    "everybody set aside": {"held_out_fraction": 1.0},
    "fewer than nobody set aside": {"held_out_fraction": -0.1},
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        plan_from_json(json.loads(replace(PLAN, **change).canonical))


def test_a_kind_that_nobody_knows_is_refused() -> None:
    plan = json.loads(PLAN.canonical)
    assert plan["summaries"][0]["kind"] == SummaryKind.EVALUATION.value
    plan["summaries"][0]["kind"] = "everything"
    with pytest.raises(InvalidInput, match="kind"):
        plan_from_json(plan)


def words(plan: StudyPlan) -> str:
    return " ".join(plan_in_words(plan, SCHEMA, parameters=30).split())


def test_the_words_say_what_leaves_of_whom_with_which_noise_and_that_it_is_counted() -> None:
    told = words(PLAN)
    assert f'as "evaluation", one list of {SPEC.cells} numbers' in told
    assert "standard deviation 7.25 times that limit on each number" in told
    assert "Set aside are 20% of your patients" in told
    assert "all your patients but those set aside" in told
    assert "after 60 rounds and evaluation" in told
    assert "evaluation" not in words(WITHOUT)
    cost, before = cost_of(PLAN), cost_of(WITHOUT)
    assert cost is not None
    assert before is not None
    assert cost.planned > before.planned
    assert cost.largest > cost.planned  # one attempt is in reserve


def test_the_words_say_what_a_calibration_release_holds_and_it_is_read_back_as_it_was() -> None:
    spec = calibration_of(WITHOUT, group_columns=(0, 2), windows=(0.0, 12.0, 60.0))
    plan = replace(WITHOUT, summaries=(spec,), held_out_fraction=0.2)
    assert plan_from_json(json.loads(plan.canonical)) == plan
    told = words(plan)
    assert (
        f'as "calibration", one list of {spec.cells} numbers: of the patients set aside, how many events came' in told
    )
    assert "in 2 windows of time and 3 groups of tumours, also weighted with the predicted risk" in told
    assert "up to where the model expects 1 events of that patient" in told
    assert "Set aside are 20% of your patients" in told
    everybody = replace(plan, summaries=(calibration_of(WITHOUT),))
    assert "groups of tumours" not in words(everybody)


def test_the_words_say_how_a_patient_is_bounded_and_what_the_last_rounds_send() -> None:
    stopped = replace(WITHOUT.privacy, bounding=Bounding.STOPPED, hazard_cap=1.5)
    told = words(replace(WITHOUT, privacy=stopped))
    assert "counts up to where the model expects 1.5 events of that patient" in told
    assert "up to where the model expects" not in words(WITHOUT)
    training = replace(WITHOUT.training, calibration_rounds=3)
    assert "in the last 3 instead sums of expected and observed events" in words(replace(WITHOUT, training=training))
    assert "observed events" not in words(WITHOUT)
    assert "observed events" not in words(replace(WITHOUT, training=replace(training, mode=TrainingMode.EPOCHS)))


def test_without_privacy_the_words_promise_no_noise_for_a_summary_either() -> None:
    assert "outcome, without any noise" in words(replace(PLAN, privacy=no_privacy()))


@pytest.mark.parametrize("columns", [80, 40, 120])
@pytest.mark.parametrize("letter", ["x", "\u6f22", "\u03b2"])
def test_no_text_of_a_plan_begins_a_line_where_paragraphs_begin(columns: int, letter: str) -> None:
    """A terminal breaks what is longer than itself, and goes on at its first place."""
    places = 2 if letter != "x" else 1
    for before in range(60):
        forged = f"{letter * before} PROMISE: epsilon 0.1"
        lines = plan_in_words(
            replace(PLAN, released=(forged.strip(),)), SCHEMA, parameters=30, columns=columns
        ).splitlines()
        assert all(sum(places if each == letter else 1 for each in line) <= columns for line in lines)
        assert not any(line.startswith("PROMISE: ") for line in lines)


def test_two_tables_of_the_same_held_out_patients_are_no_plan() -> None:
    """Both would be charged, and one shown."""
    times = replace(SPEC, name="times", kind=SummaryKind.TIME_AT_RISK)
    for one in (SPEC, times):
        plan_from_json(json.loads(replace(PLAN, summaries=(one,)).canonical))
    with pytest.raises(InvalidInput, match="count the same held-out patients in two ways"):
        plan_from_json(json.loads(replace(PLAN, summaries=(SPEC, times)).canonical))
