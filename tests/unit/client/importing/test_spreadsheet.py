"""Is the truth that the invented spreadsheets were written from what an import finds in them?"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.errors import InvalidInput
from studies.spreadsheet.make_tables import clinic as clinic_of_spreadsheets

EXAMPLE = Path(__file__).resolve().parents[4] / "simulations" / "studies" / "spreadsheet"


CLINIC = clinic_of_spreadsheets()


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A folder with the spreadsheets, the schema and the mapping."""
    for name, content in CLINIC.files.items():
        (tmp_path / name).write_bytes(content)
    for name in ("schema.toml", "mapping.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    return tmp_path


def imported(folder: Path) -> pd.DataFrame:
    frame: pd.DataFrame = import_cohort(read_mapping(folder / "mapping.toml")).table.to_pandas()
    return frame


def test_the_truth_is_recovered_exactly(clinic: Path) -> None:
    found = imported(clinic)
    truth = CLINIC.truth
    assert list(found["patient_id"]) == list(truth["patient_id"])
    for column in truth.columns:
        if truth[column].dtype == object:
            assert list(found[column]) == list(truth[column]), column
        else:
            wanted = truth[column].to_numpy(dtype=float)
            np.testing.assert_allclose(found[column].to_numpy(dtype=float), wanted, rtol=1e-12, err_msg=column)


def test_the_fixture_holds_what_hospitals_hold() -> None:
    """Else the test above would show little."""
    truth, text = CLINIC.truth, {name: content.decode("windows-1252") for name, content in CLINIC.files.items()}
    assert truth["albumin_g_per_l"].isna().any()
    assert truth["uicc_stage"].isna().any()
    assert 0 < (truth["log10_crp"] == np.log10(0.5)).sum() < 50
    for words in ("<0,5;mg/l", "<0,05;mg/dl", ";g/dl", ";g/l"):
        assert words in text["labor.csv"], words
    for words in ("C50.9", "unbekannt", "k.A."):
        assert words in text["diagnosen.csv"], words
    assert "Köln;männlich" in text["patienten.csv"]
    assert CLINIC.undated not in set(truth["patient_id"])


def test_a_report_counts_what_was_left_out_and_converted(clinic: Path) -> None:
    report = import_cohort(read_mapping(clinic / "mapping.toml")).report
    assert report.left_out == {"overall_survival: an event without a date": 1}
    assert (report.listed, report.patients) == (480, 479)
    markers = {marker.marker: marker for marker in report.markers}
    lines = CLINIC.files["labor.csv"].decode("utf-8-sig").splitlines()
    crp = [line.split(";") for line in lines if ";1988-5;" in line]
    assert markers["log10_crp"].rows == len(crp)
    assert markers["log10_crp"].at_limit == sum(row[4].startswith("<") for row in crp)
    assert f"{sum(row[5] == 'mg/dl' for row in crp):,} rows" in markers["log10_crp"].converted[0]
    assert markers["uicc_stage"].not_measured == int(CLINIC.truth["uicc_stage"].isna().sum())
    kept = sum(";C34." in line for line in CLINIC.files["diagnosen.csv"].decode("windows-1252").splitlines())
    assert {source.name: source.rows_kept for source in report.sources}["diagnoses"] == kept


def test_the_order_of_rows_does_not_matter(clinic: Path) -> None:
    mapping = read_mapping(clinic / "mapping.toml")
    first = import_cohort(mapping)
    for name in CLINIC.files:
        encoding = "utf-8-sig" if name == "labor.csv" else "windows-1252"
        lines = (clinic / name).read_bytes().decode(encoding).splitlines(keepends=True)
        head = 2 if lines[0].startswith("sep=") else 1
        rows = lines[head:]
        random.Random(3).shuffle(rows)
        (clinic / name).write_bytes("".join(lines[:head] + rows).encode(encoding))
    second = import_cohort(mapping)
    assert first.table.equals(second.table)
    assert first.report == second.report


@pytest.mark.parametrize("name", ["patienten", "diagnosen"])
def test_identifiers_that_were_rounded_give_nobody_anothers_cells(name: str, clinic: Path) -> None:
    """In whichever source they stand; stored as floating-point numbers they are their neighbours'."""
    first_lines = {"patienten": 0, "diagnosen": 1}  # sep=; of Excel
    cells = pd.read_csv(clinic / f"{name}.csv", sep=";", encoding="windows-1252", dtype=str, skiprows=first_lines[name])
    cells["PatNr"] = 9.007199254740992e16 + 16.0 * np.arange(len(cells))
    cells.to_parquet(clinic / f"{name}.parquet")
    path = clinic / "mapping.toml"
    path.write_text(path.read_text().replace(f"{name}.csv", f"{name}.parquet"))
    with pytest.raises(InvalidInput, match=rf'{name}.parquet: column "PatNr": .* too large to be kept exactly'):
        imported(clinic)


def test_a_death_without_a_date_is_a_fault_unless_the_mapping_says_what_becomes_of_it(clinic: Path) -> None:
    path = clinic / "mapping.toml"
    text = path.read_text()
    path.write_text(text.replace('without_date = "leave_out"\n', ""))
    with pytest.raises(InvalidInput, match=r"has an event without a date \(1 row\)"):
        imported(clinic)
    path.write_text(text.replace('"leave_out"', '"censor"'))
    found = imported(clinic).set_index("patient_id")
    assert found.loc[CLINIC.undated, "death_observed"] == 0
    path.write_text(text.replace('"leave_out"', '"leave_out"\nmost_without_date = 0.001'))
    with pytest.raises(InvalidInput, match="of more than 0% of all events"):
        imported(clinic)


def test_what_the_mapping_does_not_say_is_told_all_at_once_and_no_cell_is(clinic: Path) -> None:
    path = clinic / "mapping.toml"
    text = path.read_text()
    for old, new in (
        ('limits = "at_limit"\n', ""),
        ('missing = ["unbekannt", "k.A."]\n', ""),
        ('analyte = "creatinine"\n', ""),
        ('no = ["lebt"]', 'no = ["am Leben"]'),
        ('"kleinzelliges Karzinom" = "small_cell"\n', ""),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        imported(clinic)
    message = str(caught.value)
    for words in (
        "lies beyond a limit of detection",
        'marker "ecog": is not a number',
        'marker "uicc_stage": is not a number',
        'cannot be converted to "umol/l"',
        'column "Vitalstatus": is a word that the mapping does not list',
        'marker "histology": is a word that the mapping does not list',
    ):
        assert words in message, message
    for cell in ("<0,5", "unbekannt", "mg/dl", "lebt", "kleinzellig"):
        assert cell not in message
    assert all(fault.remedy and fault.count for fault in caught.value.faults)
