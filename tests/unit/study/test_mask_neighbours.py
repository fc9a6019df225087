"""What does a study file say of those with whom a hospital masks, and what does its plan say to who approves it?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.study.test_explanation_settings import LOCAL, SHARED, plan_of

from oncofed.errors import InvalidInput
from oncofed.privacy.mask_graph import graph_of
from oncofed.protocol import plan_words
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.words.language import ENGLISH

NINE = tuple(Member(name, f"key {name}", f"{number:064x}") for number, name in enumerate("abcdefghi"))


def trust_of(plan: StudyPlan) -> str:
    """The paragraph about whom one trusts."""
    (found,) = (each for each in plan_words._promise(plan, ENGLISH) if each.startswith("WHOM YOU TRUST"))
    return found


@pytest.fixture
def of_nine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study of those settings, of nine hospitals."""
    monkeypatch.setattr("tests.unit.study.test_explanation_settings.MEMBERS", NINE)
    return tmp_path


def test_a_study_that_says_nothing_has_a_plan_without_the_key(of_nine: Path) -> None:
    plan = plan_of(of_nine, "", privacy=SHARED)
    assert "mask_neighbours" not in plan.canonical
    assert graph_of(plan).reaches_all(9)
    assert "masks its part" not in trust_of(plan)


def test_a_number_of_neighbours_comes_into_the_plan_and_into_its_words(of_nine: Path) -> None:
    plan = plan_of(of_nine, "", privacy=f"{SHARED}\nmask_neighbours = 3")
    assert plan.privacy.shares is not None
    assert plan.privacy.shares.mask_neighbours == 3
    words = trust_of(plan)
    assert "Each hospital masks its part with 4 others and not with all" in words
    assert "up to 1 hospitals, whichever they are" in words
    assert "its own share of the noise alone, one of 7;" in words  # nine, one missing, one colluding


def test_where_the_neighbours_are_all_others_nothing_is_said_of_them(of_nine: Path) -> None:
    assert "masks its part" not in trust_of(plan_of(of_nine, "", privacy=f"{SHARED}\nmask_neighbours = 8"))


def test_no_more_than_may_collude_is_refused_with_a_remedy(of_nine: Path) -> None:
    with pytest.raises(InvalidInput, match=r"mask_neighbours.*must be more than the 1 that may collude") as refused:
        plan_of(of_nine, "", privacy=f"{SHARED}\nmask_neighbours = 1")
    assert "Write 2 or more" in str(refused.value)


def test_a_negative_number_is_out_of_range(of_nine: Path) -> None:
    with pytest.raises(InvalidInput, match="mask_neighbours"):
        plan_of(of_nine, "", privacy=f"{SHARED}\nmask_neighbours = -1")


def test_a_study_without_masks_has_no_use_for_it(of_nine: Path) -> None:
    plan = plan_of(of_nine, "", privacy=f"{LOCAL}\nmask_neighbours = 3")
    assert plan.privacy.shares is None
    assert "mask_neighbours" not in plan.canonical
