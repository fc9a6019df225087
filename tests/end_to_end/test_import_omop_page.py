"""Can a reader follow docs/import-omop.md from a model to a report? Its commands are typed here as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.omop_models import EXAMPLE, to_postgresql
from tests.postgresql import running_postgresql
from tests.typed_page import assert_answers, consoles

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.omop_tables import BIRTH, CONTACTS, DEAD, DEATH, FIRST, LAST, OMOP, OmopTable
from oncofed.file_model import declared_fields

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "import-omop.md").read_text()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader sits after typing every command of the page, with the model in a PostgreSQL as well."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(EXAMPLE, folder / "simulations" / "studies" / "omop")
    with running_postgresql() as server:
        to_postgresql(server.url)
        address = folder / "runs" / "omop" / "address"
        address.parent.mkdir(parents=True)
        address.write_text(server.url + "\n")
        address.chmod(0o600)
        for steps in consoles(PAGE):
            assert_answers(steps, folder)
    return folder


def test_the_commands_of_the_page_lead_from_a_model_to_a_report(reader: Path) -> None:
    assert (reader / "runs" / "omop" / "run" / "report.html").is_file()
    assert (reader / "runs" / "omop" / "from_database.parquet.report.json").is_file()
    assert not (reader / "runs" / "omop" / "strict.parquet").exists()


def test_what_the_page_shows_of_a_mapping_stands_in_the_example() -> None:
    example = (EXAMPLE / "mapping.toml").read_text()
    shown = re.findall(r"(<!-- not in the example -->\n)?```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(shown) >= 5
    for elsewhere, block in shown:
        for section in re.split(r"\n\n(?=\[)", block.strip()):
            if elsewhere:
                assert set(re.findall(r"^(\w+) =", section, flags=re.MULTILINE)) <= set(declared_fields(Source))
            else:
                assert section in example, section


def test_the_page_names_each_derived_column_and_the_tables_of_contacts() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE))
    assert set(rows) == {BIRTH, DEAD, DEATH, FIRST, LAST}
    assert set(re.findall(r"`(\w+)`", rows[LAST])) - {"contact_tables"} == {table.value for table in CONTACTS}
    ends = {table.value for table in CONTACTS if OMOP[table].last is not None}
    assert set(re.findall(r"`(\w+)` \(its end\)", rows[LAST])) == ends
    assert OmopTable.DEATH not in CONTACTS
