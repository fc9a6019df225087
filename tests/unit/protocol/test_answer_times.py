"""Is a plan refused whose times would tell how long answers take, or whose rounds end before an answer may leave?"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles import study_plan
from tests.summaries import evaluation_of

from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.errors import InvalidInput
from oncofed.protocol.answer_times import MOST_WAITING, AnswerTimes, longest_wait_seconds, time_faults
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.ranges import range_of

PLAN = study_plan()
SHORTEST_SECONDS, LONGEST_SECONDS = 0.05, 60.0
MEASURED = replace(PLAN, summaries=(evaluation_of(PLAN),), held_out_fraction=0.2)


def test_a_plan_that_does_not_say_has_sound_times() -> None:
    assert (PLAN.answer_seconds, PLAN.summary_answer_seconds) == (0.5, 10.0)
    assert AnswerTimes() == AnswerTimes(0.5, 10.0)
    assert time_faults(PLAN) == time_faults(MEASURED) == ()


def test_a_relay_waits_longer_than_a_guard_does_for_all_that_it_holds() -> None:
    """Else a question at the end of the queue would be `not_ready`, and the guard would answer it for nobody."""
    longest = 4 * range_of(StudyPlan, "answer_seconds").most + range_of(StudyPlan, "summary_answer_seconds").most
    assert longest_wait_seconds() == MOST_WAITING * longest
    assert inspect.signature(GuardChannel).parameters["answer_seconds"].default > longest_wait_seconds()


AT_THE_LIMITS = [
    {"answer_seconds": SHORTEST_SECONDS, "summary_answer_seconds": SHORTEST_SECONDS},
    {"answer_seconds": LONGEST_SECONDS, "summary_answer_seconds": LONGEST_SECONDS},
    {"round_timeout_seconds": 2.51},
]
BEYOND: dict[str, tuple[StudyPlan, dict[str, Any], str]] = {
    "no time": (PLAN, {"answer_seconds": 0.0}, "answer_seconds"),
    "a negative time": (PLAN, {"answer_seconds": -1.0}, "answer_seconds"),
    "too short": (PLAN, {"answer_seconds": 0.0499}, "answer_seconds"),
    "too long": (PLAN, {"answer_seconds": 60.1}, "answer_seconds"),
    "too short for a summary": (PLAN, {"summary_answer_seconds": 0.01}, "summary_answer_seconds"),
    "too long for a summary": (PLAN, {"summary_answer_seconds": 61.0}, "summary_answer_seconds"),
    "a round that ends before the first answer leaves": (PLAN, {"round_timeout_seconds": 2.5}, "round_timeout_seconds"),
    "one that ends before a summary leaves": (MEASURED, {"round_timeout_seconds": 12.0}, "round_timeout_seconds"),
}


@pytest.mark.parametrize("change", AT_THE_LIMITS)
def test_times_at_the_limits_are_taken(change: dict[str, Any]) -> None:
    plan = replace(PLAN, **change)
    assert time_faults(plan) == ()
    assert plan_from_json(json.loads(plan.canonical)) == plan


@pytest.mark.parametrize(("plan", "change", "named"), BEYOND.values(), ids=BEYOND)
def test_times_beyond_them_are_refused_by_name(plan: StudyPlan, change: dict[str, Any], named: str) -> None:
    changed = replace(plan, **change)
    assert [name for name, _ in time_faults(changed)] == [named]
    with pytest.raises(InvalidInput, match=rf"plan\.{named}: is not"):
        plan_from_json(json.loads(changed.canonical))


def test_a_round_without_summaries_need_not_wait_for_one() -> None:
    assert time_faults(replace(PLAN, round_timeout_seconds=10.0)) == ()
