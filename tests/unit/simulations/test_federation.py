"""Is a simulation refused at once when its guards would refuse each round?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from tests.doubles import no_privacy, study_plan

from oncofed.cohort.cohort import Cohort
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.federation import Engine, federate


class Crowd:
    """So many patients, and nothing else about them."""

    def __init__(self, patients: int) -> None:
        self._patients = patients

    def __len__(self) -> int:
        return self._patients


def crowds(bonn: int, essen: int) -> Mapping[str, Cohort]:
    return {"Bonn": cast(Cohort, Crowd(bonn)), "Essen": cast(Cohort, Crowd(essen))}


def begin(plan: StudyPlan, hospitals: Mapping[str, Cohort], folder: Path) -> None:
    federate(plan, hospitals, run_folder=folder, engine=Engine.GRID, resume=False, figures=lambda *_: {})


def test_hospitals_that_are_too_large_for_delta_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        begin(study_plan(), crowds(10_001, 10_000), tmp_path)
    assert [fault.where for fault in refused.value.faults] == ["hospital Bonn"]
    assert "delta" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plan", [study_plan(), study_plan(privacy=no_privacy())], ids=["as many", "no privacy"])
def test_others_go_on(plan: StudyPlan, tmp_path: Path) -> None:
    """To the first thing that a double of a cohort does not have."""
    many = 10_000 if plan.privacy.epsilon else 10_001
    with pytest.raises(AttributeError):
        begin(plan, crowds(many, many), tmp_path)
