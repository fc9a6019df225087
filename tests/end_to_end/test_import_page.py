"""Can a reader follow docs/import.md from files to a report? Its commands are typed here as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.typed_page import assert_answers, consoles

from oncofed.client.importing.analytes import ANALYTES
from oncofed.client.importing.mapping import MappedMarker, MappedOutcome, MappingHead, Source, TimeZero
from oncofed.file_model import declared_fields

REPOSITORY = Path(__file__).resolve().parents[2]
STUDIES = REPOSITORY / "simulations" / "studies"
PAGE = (REPOSITORY / "docs" / "import.md").read_text()
SECTIONS = (MappingHead, Source, TimeZero, MappedOutcome, MappedMarker)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader sits after typing every command of the page."""
    folder = tmp_path_factory.mktemp("reader")
    for example in ("spreadsheet", "study_folder"):
        shutil.copytree(STUDIES / example, folder / "simulations" / "studies" / example)
    for steps in consoles(PAGE):
        assert_answers(steps, folder)
    return folder


def test_the_commands_of_the_page_on_schemas_answer_as_it_says(tmp_path: Path) -> None:
    blocks = consoles((REPOSITORY / "docs" / "schema.md").read_text())
    assert len(blocks) == 2
    for steps in blocks:
        assert_answers(steps, tmp_path)


def test_the_page_shows_the_suspect_that_its_command_tells(reader: Path) -> None:
    (shown,) = (line for line in PAGE.splitlines() if line.startswith('  - marker "creatinine_umol_per_l"'))
    assert shown in (reader / "runs" / "clinic" / "told.txt").read_text().splitlines()


def test_the_commands_of_the_page_lead_from_files_to_reports(reader: Path) -> None:
    for example in ("clinic", "study_folder"):
        assert (reader / "runs" / example / "run" / "report.html").is_file()
    assert (reader / "runs" / "clinic" / "patients.parquet.report.json").is_file()
    assert not (reader / "runs" / "clinic" / "strict.parquet").exists()


def test_what_the_page_shows_of_a_mapping_stands_in_the_example() -> None:
    examples = [(STUDIES / name / "mapping.toml").read_text() for name in ("spreadsheet", "study_folder")]
    shown = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(shown) >= 4
    for block in shown:
        for section in re.split(r"\n\n(?=\[)", block.strip()):
            assert any(section in example for example in examples), section


def test_what_the_page_says_of_faults_are_keys_and_choices_that_there_are() -> None:
    table = PAGE.partition("| what | key |")[2].partition("\n\n")[0]
    fields = {key: field for owner in SECTIONS for key, field in declared_fields(owner).items()}
    named = re.findall(r'`(\w+)(?: = (?:"(\w+)"|true))?`(?:, `"(\w+)"`)?(?:, `"(\w+)"`)?', table)
    assert len(named) >= 12
    for key, *choices in named:
        for choice in filter(None, choices):
            assert choice in [each.value for each in fields[key].hint], (key, choice)
        assert key in fields


def test_the_table_of_analytes_is_that_of_the_program() -> None:
    rows = [line for line in PAGE.partition("<!-- analytes -->")[2].splitlines() if line.startswith("| `")]
    assert len(rows) == len(ANALYTES)
    for row, analyte in zip(rows, ANALYTES, strict=True):
        name, codes, unit, plausible, usual = (cell.strip() for cell in row.strip("| ").split(" | "))
        assert name == f"`{analyte.name}`"
        assert codes == ", ".join(analyte.loinc)
        assert unit == analyte.unit
        numbers = [*analyte.plausible, *analyte.usual, *(analyte.usual_men or ())]
        assert re.findall(r"-?[\d.]+", f"{plausible} {usual}".replace(",", "")) == [
            f"{each:f}".rstrip("0").rstrip(".") for each in numbers
        ]
