"""Is every malformed OMOP model, database or workbook refused with all its faults, and nothing written or quoted?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.end_to_end.malformed_models import CASES, OF_DATABASE, PRIVATE, MalformedModel


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_model_is_refused_with_every_fault_and_no_patient(case: MalformedModel, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet"))
    assert said.code == 2, said.text
    for fragment in case.fragments:
        assert fragment in said.text, said.text
    told = [line for line in said.text.splitlines() if line.startswith("  - ")]
    assert len(told) == case.faults, said.text
    assert "Traceback" not in said.text
    assert not [secret for secret in PRIVATE if secret in said.text], said.text
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


def test_the_unbroken_tables_are_imported_from_files_and_from_a_database(tmp_path: Path) -> None:
    for name, case in (("a", MalformedModel("files", ())), ("b", MalformedModel("database", (), mapping=OF_DATABASE))):
        (tmp_path / name).mkdir()
        path = case.write(tmp_path / name)
        said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / name / "table.parquet"))
        assert said.code == 0, said.text
    assert (tmp_path / "a" / "table.parquet").read_bytes() == (tmp_path / "b" / "table.parquet").read_bytes()


def test_there_are_at_least_thirty_cases_of_one_name_each() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30
