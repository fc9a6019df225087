"""Is every malformed table or schema refused with all its faults, and without a word about a patient?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.end_to_end.malformed_cases import CASES, PRIVATE, SCHEMA, MalformedCase, csv, table

from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort
from oncofed.errors import InvalidInput


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_input_is_refused_with_every_fault_and_no_patient(case: MalformedCase, tmp_path: Path) -> None:
    schema_path, table_path = case.write(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        read_cohort(table_path, read_schema(schema_path))
    message = str(caught.value)
    for fragment in case.fragments:
        assert fragment in message
    assert len(caught.value.faults) == case.faults, message
    assert all(fault.remedy for fault in caught.value.faults)
    assert not [secret for secret in PRIVATE if secret in message]
    assert caught.value.__context__ is None  # a traceback would show it


def test_the_unbroken_files_are_accepted(tmp_path: Path) -> None:
    case = MalformedCase("nothing is wrong", (), schema=SCHEMA, table=lambda: csv(table()))
    schema_path, table_path = case.write(tmp_path)
    assert len(read_cohort(table_path, read_schema(schema_path))) == 24


def test_every_case_has_private_cells_to_give_away() -> None:
    for case in CASES:
        content = case.table().decode()
        assert case.name in ("empty_table", "empty_file") or any(secret in content for secret in PRIVATE), case.name
