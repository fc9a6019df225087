"""Is a plan that only counts read back as it was, told in words, and refused when it contradicts itself?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles import no_privacy, study_plan
from tests.hospital import SCHEMA
from tests.summaries import counting, evaluation_of

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
