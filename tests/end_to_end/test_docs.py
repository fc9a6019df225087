"""Can a reader follow docs/own-data.md? Its commands are typed here as they stand, and its answers compared.

Files that the page shows must be the files of the example.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.typed_page import Step, assert_answers, consoles

from oncofed.simulations.commands import simulate
from oncofed.simulations.sweep.commands import sweep

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "simulations" / "studies" / "own_table"
PAGE = (REPOSITORY / "docs" / "own-data.md").read_text()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader sits after typing every quick command of the page."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(EXAMPLE, folder / "simulations" / "studies" / "own_table")
    blocks = consoles(PAGE)
    assert len(blocks) >= 5
    for steps in blocks:
        assert_answers(steps, folder)
    return folder


def test_the_commands_of_the_page_give_the_answers_of_the_page(reader: Path) -> None:
    assert (reader / "runs" / "own_table" / "report.html").is_file()
    assert not (reader / "runs" / "refused").exists()


def rows_under(heading: str) -> list[list[str]]:
    """The cells of every table row between this heading and the next."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]  # without the heading row


def test_the_page_explains_every_file_of_a_run_and_no_other(reader: Path) -> None:
    run = reader / "runs" / "own_table"
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    left = {re.sub(r"^sites/[^/]+/", "sites/NAME/", name) for name in left}
    left = {re.sub(r"^package/.*", "package/", name) for name in left}
    assert {row[0].strip("`") for row in rows_under("What is in the folder")} == left


def test_the_figures_named_on_the_page_are_in_the_file(reader: Path) -> None:
    metrics = json.loads((reader / "runs" / "own_table" / "metrics.json").read_text())
    named = re.findall(r"`((?:test|baselines|privacy|seconds)\.[a-z_0-9]+)`", PAGE.replace("`privacy.json`", ""))
    assert len(named) >= 10
    for name in named:
        section, _, key = name.partition(".")
        assert key in metrics[section], name


def test_the_page_explains_every_section_of_the_report(reader: Path) -> None:
    report = (reader / "runs" / "own_table" / "report.html").read_text()
    titles = re.findall(r"<h2><span class=\"number\">\d+</span>(.*?)</h2>", report)
    explained = [row[0] for row in rows_under("How to read the report")]
    assert len(titles) == len(explained)
    for title, said in zip(titles, explained, strict=True):
        assert title.startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize("steps", consoles(PAGE, slow=True), ids=lambda steps: steps[0].command.split()[1])
def test_the_slow_commands_of_the_page_give_the_answers_of_the_page(steps: tuple[Step, ...], tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "simulations" / "studies" / "own_table")
    assert_answers(steps, tmp_path)


def test_the_files_on_the_page_are_the_files_of_the_example() -> None:
    files = {kind: (EXAMPLE / name).read_text() for kind, name in (("csv", "patients.csv"), ("study", "study.toml"))}
    files["schema"] = (EXAMPLE / "schema.toml").read_text()
    shown = re.findall(r"```(?:csv|toml)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(shown) == 3
    table, schema, study = shown
    assert files["csv"].startswith(table)
    assert (schema, study) == (files["schema"], files["study"])


def test_the_page_names_every_option_and_no_other() -> None:
    known = {option for command in (simulate, sweep) for parameter in command.params for option in parameter.opts}
    known = {option for option in known if option.startswith("--")}
    generate_alone = {"--patients", "--hospitals", "--format"}
    assert set(re.findall(r"--[a-z]+", re.sub(r"<!--.*?-->|\|---.*", "", PAGE))) - generate_alone == known
