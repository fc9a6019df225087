"""Does the command judge each setting once, go on where it stopped, and tell what it found?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from tests.settings_studies import STUDY, written

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.partition import Consortium
from oncofed.simulations.settings_study import __main__ as command
from oncofed.simulations.settings_study.judging import Judgement
from oncofed.simulations.settings_study.variants import AS_WRITTEN, LEFT_OPEN
from oncofed.simulations.study import Study


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[StudyPlan]:
    """The plans that were trained; nothing is, and the figure follows from the decay."""
    plans: list[StudyPlan] = []

    def judged(plan: StudyPlan, patients: Consortium, study: Study) -> Judgement:
        plans.append(plan)
        return Judgement(0.7 - plan.training.weight_decay / 100, 1.1, 20, 25.0)

    monkeypatch.setattr(command, "judged", judged)
    return plans


def told(folder: Path, *arguments: str) -> str:
    found = CliRunner().invoke(
        command.settings_study,
        [str(folder / "study.toml"), "--out", str(folder / "out"), *arguments],
        catch_exceptions=False,
    )
    assert found.exit_code == 0
    return found.stdout


def test_each_setting_is_judged_once_whatever_is_asked_again(asked: list[StudyPlan], tmp_path: Path) -> None:
    written(tmp_path)
    shown = told(tmp_path, "--seeds", "11,12")
    once, runs = len(asked), pd.read_csv(tmp_path / "out" / command.RUNS)
    assert once == len(runs) == runs["settings"].nunique() > 15
    assert set(runs["seed"]) == {11, 12}
    assert runs.loc[runs["seed"] == 11, "variant"].tolist()[:2] == [LEFT_OPEN, AS_WRITTEN]
    assert "decay x 0.25" in shown
    assert "wanted at least -0.004" in (tmp_path / "out" / command.PAGE).read_text()
    assert told(tmp_path, "--seeds", "11,12") == shown
    assert len(asked) == once
    told(tmp_path, "--seeds", "11,12,13")
    assert len(asked) == once * 3 / 2


def test_other_settings_of_the_file_are_judged_and_the_rest_is_kept(asked: list[StudyPlan], tmp_path: Path) -> None:
    written(tmp_path)
    told(tmp_path, "--seeds", "11,12")
    once = len(asked)
    written(tmp_path, STUDY.replace("weight_decay = 4", "weight_decay = 3"))
    told(tmp_path, "--seeds", "11,12")
    assert [plan.training.weight_decay for plan in asked[once:]] == [3.0, 3.0]


def test_those_that_are_asked_for_alone_stand_beside_what_is_left_open(asked: list[StudyPlan], tmp_path: Path) -> None:
    written(tmp_path)
    told(tmp_path, "--seeds", "11,12", "--only", "decay x 2")
    runs = pd.read_csv(tmp_path / "out" / command.RUNS)
    assert runs["variant"].tolist() == [LEFT_OPEN, "decay x 2"] * 2


@pytest.mark.parametrize(
    ("seeds", "words"),
    [("11", "the same patients"), ("11,13", "the same patients"), ("11,11", "not distinct"), ("a", "not distinct")],
)
def test_seeds_that_tell_nothing_are_refused(seeds: str, words: str, asked: list[StudyPlan], tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(InvalidInput, match=words):
        told(tmp_path, "--seeds", seeds)
    assert not asked
