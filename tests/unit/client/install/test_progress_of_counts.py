"""Is a plan that only counts told at the hospital by its count, and not by rounds and a model that never come?"""

from __future__ import annotations

from dataclasses import replace

from oncofed.client.install.progress import Progress, Stage

APPROVED = Progress("ab" * 32, "lung_readiness", Stage.APPROVED, rounds_planned=0)
COUNTED = replace(APPROVED, answers=1, last_answer="2026-11-24T10:31:07Z")


def test_a_count_is_told_as_done_or_not() -> None:
    assert str(APPROVED) == "approved; not counted yet"
    assert str(COUNTED) == "approved; counted, 2026-11-24 10:31 UTC"


def test_one_that_is_declined_says_whether_it_was_counted_before() -> None:
    declined = {"stage": Stage.DECLINED, "decided_by": "Dr. Example"}
    assert str(replace(APPROVED, **declined)) == "declined by Dr. Example"  # type: ignore[arg-type]  # its own fields
    assert str(replace(COUNTED, **declined)) == "declined by Dr. Example; counted before"  # type: ignore[arg-type]


def test_a_study_of_rounds_is_told_as_before() -> None:
    study = replace(APPROVED, rounds_planned=3)
    assert str(study) == "approved; the coordinator has asked for no round yet"
    assert str(replace(study, rounds_answered=2, answers=3, last_answer=COUNTED.last_answer)).startswith(
        "approved; 2 of 3 rounds answered, the last 2026-11-24"
    )


def test_a_validation_is_told_as_measured() -> None:
    assert str(replace(APPROVED, validates=True)) == "approved; not measured yet"
    assert str(replace(COUNTED, validates=True)) == "approved; measured, 2026-11-24 10:31 UTC"
