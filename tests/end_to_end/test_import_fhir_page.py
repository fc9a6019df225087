"""Can a reader follow docs/import-fhir.md from resources to a report? Its commands are typed here as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.typed_page import assert_answers, consoles

from oncofed.client.importing.fhir.resources import KINDS
from oncofed.client.importing.fhir.source import columns_of
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.partial_dates import PartialDate

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "simulations" / "studies" / "fhir"
PAGE = (REPOSITORY / "docs" / "import-fhir.md").read_text()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader sits after typing every command of the page."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(EXAMPLE, folder / "simulations" / "studies" / "fhir")
    for steps in consoles(PAGE):
        assert_answers(steps, folder)
    return folder


def test_the_commands_of_the_page_lead_from_resources_to_a_report(reader: Path) -> None:
    assert (reader / "runs" / "fhir" / "run" / "report.html").is_file()
    assert (reader / "runs" / "fhir" / "patients.parquet.report.json").is_file()
    assert not (reader / "runs" / "fhir" / "strict.parquet").exists()


def test_what_the_page_shows_of_a_mapping_stands_in_the_example() -> None:
    example = (EXAMPLE / "mapping.toml").read_text()
    shown = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(shown) >= 6
    for block in shown:
        for section in re.split(r"\n\n(?=\[)", block.strip()):
            assert section in example, section


def test_the_tables_of_the_page_are_those_of_the_program() -> None:
    rows = [line for line in PAGE.partition("<!-- tables -->")[2].splitlines() if line.startswith("| `fhir_")]
    parts = [part for part in Part if part.is_fhir]
    assert len(rows) == len(parts)
    for row, part in zip(rows, parts, strict=True):
        name, kinds, columns = (cell.strip() for cell in row.strip("| ").split(" | "))
        assert name == f"`{part.value}`"
        assert kinds.split(", ") == KINDS[part].split("/")
        assert tuple(re.findall(r"`(\w+)`", columns)) == columns_of(Source(name="x", path=Path(), part=part))


def test_the_page_names_each_choice_of_a_partial_date() -> None:
    for choice in PartialDate:
        assert choice is PartialDate.FAULT or f'"{choice.value}"' in PAGE
