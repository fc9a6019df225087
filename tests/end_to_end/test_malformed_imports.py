"""Is every malformed mapping or source refused by the command with all its faults, and nothing written or quoted?"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from tests.command_line import oncofed
from tests.end_to_end.malformed_imports import CASES, CLINIC, PRIVATE, MalformedImport, mapping

from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_import_is_refused_with_every_fault_and_no_patient(case: MalformedImport, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    before = {each.name for each in tmp_path.iterdir()}
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet"))
    assert said.code == 2, said.text
    for fragment in case.fragments:
        assert fragment in said.text, said.text
    told = [line for line in said.text.splitlines() if line.startswith("  - ")]
    assert len(told) == case.faults, said.text
    assert "Traceback" not in said.text
    assert not [secret for secret in PRIVATE if secret in said.text], said.text
    assert {each.name for each in tmp_path.iterdir()} == before


def test_the_unbroken_files_are_imported_and_valid(tmp_path: Path) -> None:
    path = MalformedImport("nothing is wrong", ()).write(tmp_path)
    assert oncofed("cohort", "import", str(path), "--dry-run").code == 0
    assert not list(tmp_path.glob("table*"))
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet"))
    assert said.code == 0, said.text
    assert {each.name for each in tmp_path.glob("table*")} == {
        "table.parquet",
        "table.parquet.report.json",
        "table.parquet.report.txt",
    }
    assert len(read_cohort(tmp_path / "table.parquet", read_schema(tmp_path / "schema.toml"))) == 4


def test_there_are_at_least_forty_cases_and_each_has_private_cells_to_give_away() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", ["table.csv", "nowhere/table.parquet", "clinic.csv"])
def test_a_table_that_cannot_be_written_is_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    path = MalformedImport("nothing is wrong", ()).write(tmp_path)
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / name))
    assert said.code == 2
    assert "--out" in said.text
    assert (tmp_path / "clinic.csv").read_bytes().startswith(b"PatNr")


def test_a_table_is_not_written_over_what_it_is_made_from(tmp_path: Path) -> None:
    source = tmp_path / "clinic.parquet"
    pd.read_csv(io.StringIO(CLINIC), sep=";", dtype=str).to_parquet(source)
    before = source.read_bytes()
    case = MalformedImport("from a table", (), mapping=mapping(("clinic.csv", "clinic.parquet")))
    path = case.write(tmp_path)
    assert oncofed("cohort", "import", str(path), "--dry-run").code == 0
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "." / "clinic.parquet"))
    assert said.code == 2
    assert "is a file that the table is made from" in said.text
    assert source.read_bytes() == before


def test_a_table_is_written_over_one_of_an_import_and_over_no_other_file(tmp_path: Path) -> None:
    path, out = MalformedImport("nothing is wrong", ()).write(tmp_path), tmp_path / "table.parquet"
    for before, code in ((b"", 2), (None, 0), (None, 0)):
        if before is not None:
            out.write_bytes(before)
        said = oncofed("cohort", "import", str(path), "--out", str(out), "--quiet")
        assert said.code == code, said.text
        if before is not None:
            assert "is a file without the report of an import beside it" in said.text
            assert out.read_bytes() == before
            out.unlink()
