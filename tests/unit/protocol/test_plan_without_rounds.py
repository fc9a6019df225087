"""Is a plan that only counts, or only validates a model, read back, told in words, and refused in contradictions?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.doubles import no_privacy, study_plan
from tests.hospital import SCHEMA
from tests.summaries import counting, evaluation_of, readiness_of, validating

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words

TRAINS = study_plan()
PLAN = counting(TRAINS, noise_multiplier=7.25)
SPEC = PLAN.summaries[0]


def test_a_plan_without_rounds_is_read_back_as_it_was() -> None:
    assert plan_from_json(json.loads(PLAN.canonical)) == PLAN
    assert TRAINS.trains
    assert not PLAN.trains


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "nothing at all": {"summaries": ()},
    "a model that nobody trained is measured": {"summaries": (SPEC, evaluation_of(PLAN, noise_multiplier=7.25))},
    "a reserve of rounds": {"privacy": replace(PLAN.privacy, reserve_rounds=1)},
    "rounds that calibrate": {"training": replace(PLAN.training, calibration_rounds=1)},
    "fewer than no rounds": {"training": replace(PLAN.training, rounds=-1)},
    "more noise in words than in numbers": {"privacy": replace(PLAN.privacy, noise_multiplier=70.0)},
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        plan_from_json(json.loads(replace(PLAN, **change).canonical))


def words(plan: StudyPlan) -> str:
    return " ".join(plan_in_words(plan, SCHEMA, parameters=30).split())


def test_the_words_say_what_is_counted_with_which_noise_and_that_nothing_is_trained() -> None:
    told = words(PLAN)
    assert "to count, before a study and without training anything, who is there" in told
    assert f'once, as "readiness", one list of {SPEC.cells} numbers' in told
    assert "7.25 times that limit on each number" in told
    assert "No model is trained, and none comes." in told
    assert "round" not in told.replace("and which hospital answered in which round", "")
    assert "without any noise" in words(counting(study_plan(privacy=no_privacy()), noise_multiplier=0.0))


# A plan that validates a model

VALIDATES = validating(TRAINS, np.zeros(TRAINS.model.parameters), noise_multiplier=7.25)
MODEL = VALIDATES.validates


def test_a_plan_that_validates_a_model_is_read_back_and_other_plans_keep_their_text() -> None:
    assert plan_from_json(json.loads(VALIDATES.canonical)) == VALIDATES
    assert VALIDATES.measures_everybody
    assert not replace(VALIDATES, held_out_fraction=0.3).measures_everybody
    for plan in (TRAINS, PLAN):
        assert "validates" not in plan.canonical


CONTRADICTIONS_OF_VALIDATION: dict[str, dict[str, Any]] = {
    "rounds beside it": {"training": TRAINS.training},
    "no figure": {"summaries": ()},
    "a count of who is there": {"summaries": (*VALIDATES.summaries, readiness_of(TRAINS, noise_multiplier=7.25))},
    "less noise in words than in numbers": {"privacy": replace(VALIDATES.privacy, noise_multiplier=14.5)},
    "nothing of whom it trained": {"validates": None},
}


@pytest.mark.parametrize("change", CONTRADICTIONS_OF_VALIDATION.values(), ids=CONTRADICTIONS_OF_VALIDATION)
def test_contradictions_of_a_validation_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        plan_from_json(json.loads(replace(VALIDATES, **change).canonical))


@pytest.mark.parametrize("part", [{"sha256": "no digits"}, {"signature": "ab"}, {"plan_hash": None}, {"more": "x"}])
def test_a_model_that_is_named_otherwise_is_refused(part: dict[str, Any]) -> None:
    content = json.loads(VALIDATES.canonical)
    content["validates"] |= part
    with pytest.raises(InvalidInput, match="validates"):
        plan_from_json(content)
    with pytest.raises(InvalidInput, match="validates: is there, and empty"):
        plan_from_json(json.loads(VALIDATES.canonical) | {"validates": None})


def test_the_words_name_the_model_who_signed_it_and_whose_patients_are_measured() -> None:
    assert MODEL is not None
    told = words(VALIDATES)
    assert "to measure, in hospitals that did not train it, a model that predicts" in told
    signer = f"another coordinator, of key {MODEL.coordinator_public_key}"
    assert f"THE MODEL: file {MODEL.sha256}, signed by {signer} and trained, as the coordinator says, by" in told
    assert f"by the plan {MODEL.plan_hash}. Nobody can tell a trained model from other numbers" in told
    assert "of all your patients, how many events came" in told
    assert "set aside" not in told.lower()
    assert "after the figures" in told
    assert "BY HOSPITAL: these figures are told of each hospital by its name" in told
    own = replace(VALIDATES, coordinator_public_key=MODEL.coordinator_public_key, held_out_fraction=0.4)
    assert "signed by this coordinator" in words(own)
    assert "Set aside are 40% of your patients, chosen by your hospital with a secret of its own." in words(own)
    assert "no round trains" not in words(own)
