"""Do the examples of `oncofed.lab` and of docs/lab.md give what they say, and do the notebooks run?"""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.notebooks import run_notebook

import oncofed.lab

PARTS = sorted(path.stem for path in (REPOSITORY / "simulations/oncofed/simulations/lab").glob("[!_]*.py"))
NOTEBOOKS = sorted((REPOSITORY / "docs/notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's files are where a reader has them, and what is written is not."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(REPOSITORY / "simulations/studies/own_table", tmp_path / "simulations/studies/own_table")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("part", PARTS)
def test_the_examples_of_docstrings_give_what_they_say(part: str) -> None:
    assert doctest.testmod(importlib.import_module(f"oncofed.simulations.lab.{part}")).failed == 0


def test_each_function_of_the_lab_has_an_example() -> None:
    ours = [each for name in oncofed.lab.__all__ if inspect.isfunction(each := getattr(oncofed.lab, name))]
    assert len(ours) >= 12
    assert [each.__name__ for each in ours if ">>> " not in (each.__doc__ or "")] == []


def test_the_page_gives_what_it_says() -> None:
    ran = doctest.testfile(str(REPOSITORY / "docs/lab.md"), module_relative=False)
    assert (ran.failed, ran.attempted > 20) == (0, True)


def test_the_ten_lines_train_explain_and_plot() -> None:
    lines = (REPOSITORY / "docs/lab.md").read_text().partition("## Ten lines")[2].partition("```\n\nThese")[0]
    for call in ("of.split", "of.distributed", "of.train", "rounds=60", "of.evaluate", "of.explain", "waterfall"):
        assert call in lines, call


def test_the_page_names_everything_of_the_lab() -> None:
    page = (REPOSITORY / "docs/lab.md").read_text()
    types = {
        "Explanation",
        "FederationFailure",
        "Hospitals",
        "Log",
        "Model",
        "Patients",
        "Run",
    }  # which nobody calls by name
    assert [name for name in oncofed.lab.__all__ if name not in page and name not in types] == []


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path) -> None:
    shown = [each for each in run_notebook(path) if each is not None]
    assert len(shown) >= 4
    assert any("<svg" in getattr(each, "svg", "") for each in shown), "a waterfall is among what is shown"
