"""Does a draft help, mark each guess, and know no more of the cells than their type?"""

from __future__ import annotations

import gzip
import re
import sqlite3
import tomllib
from contextlib import closing
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command_line import oncofed

from oncofed.client.importing.body_composition import body_composition
from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.column_names import Role, suggested
from oncofed.client.importing.drafting import draft
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.client.importing.proposed_schema import CONFIRM
from oncofed.errors import InvalidInput
from studies.spreadsheet.make_tables import clinic

TABLE = """patient_id,hospital,Age,sex,ECOG,Albumin (g/dl),CRP [mg/l],tumour,os_days,status
SECRET1,SECRET-A,61,SECRETf,1,4.1,12,SECRET lung,847,1
SECRET2,SECRET-B,72,SECRETm,2,3.9,<0.5,SECRET skin,731,0
"""


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [
        ("Albumin", "albumin", None),
        ("albumin_g_per_l", "albumin", "g/l"),
        ("Albumin (g/dl)", "albumin", "g/dl"),
        ("CRP [mg/l]", "crp", "mg/l"),
        ("CRP [MG/L]", "crp", "mg/l"),
        ("TSH [mU/l]", "tsh", "mu/l"),
        ("TSH [MU/l]", "tsh", None),  # mega or milli
        ("TSH_MU_per_l", "tsh", None),
        ("Kreatinin", "creatinine", None),
        ("CA 19-9", "ca_19_9", None),
        ("Leukozyten (Gpt/l)", "leucocytes", "gpt/l"),
        ("GPT", "alt", None),
        ("Bilirubin gesamt", "bilirubin", None),
        ("albumin_before_surgery", None, None),
        ("apple", None, None),
    ],
)
def test_a_name_suggests_an_analyte_and_its_unit(column: str, name: str | None, unit: str | None) -> None:
    found = suggested(column)
    assert (None if found.analyte is None else found.analyte.name) == name
    assert found.unit == unit


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("PatNr", Role.PATIENT),
        ("PATIENT_ID", Role.PATIENT),
        ("Klinik", Role.HOSPITAL),
        ("OS_MONTHS", Role.TIME),
        ("OS_STATUS", Role.EVENT),
        ("Sterbedatum", Role.EVENT_DATE),
        ("Letzter Kontakt", Role.LAST_CONTACT),
        ("ph.ecog", Role.ECOG),
        ("Alter bei Diagnose", Role.AGE),
        ("Histologie", None),
    ],
)
def test_a_name_suggests_a_role(column: str, role: Role | None) -> None:
    assert suggested(column).role is role


def test_no_part_of_a_cell_is_in_a_draft(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    drafted = draft([tmp_path / "table.csv"], beside=tmp_path)
    for text in (drafted.schema, drafted.mapping):
        for cell in ("SECRET", "847", "731", "4.1", "3.9", "<0.5\n"):
            assert cell not in text


@given(
    st.lists(st.tuples(st.text("abcß ", min_size=1, max_size=6), st.integers(-99, 99), st.floats(-9, 9)), min_size=1)
)
@settings(max_examples=25, deadline=None)
def test_tables_of_the_same_columns_and_types_have_the_same_draft(rows: list[tuple[str, int, float]]) -> None:
    import tempfile  # noqa: PLC0415 - a fixture would be shared between examples

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "table.csv"
        drafts = []
        for cells in (rows, [("x", 1, 0.5)]):
            lines = [f"w{word.strip()},{number},{value:.3f}" for word, number, value in cells]
            path.write_text("\n".join(["Histologie,ECOG,Albumin", *lines]) + "\n")
            drafts.append(draft([path], beside=Path(name)))
        assert drafts[0] == drafts[1]


def test_each_guess_is_marked(tmp_path: Path) -> None:
    """What is not marked is what the two files name alike, and where the columns stand."""
    (tmp_path / "table.csv").write_text(TABLE)
    drafted = draft([tmp_path / "table.csv"], beside=tmp_path)
    unmarked = {
        line.partition(" = ")[0]
        for text in (drafted.schema, drafted.mapping)
        for line in text.splitlines()
        if " = " in line and CONFIRM not in line and not line.startswith("#")
    }
    assert unmarked == {"name", "path", "schema", "patient_id", "site_column", "time", "event"}
    assert drafted.guesses > 30
    for text in (drafted.schema, drafted.mapping):
        tomllib.loads(text)


def test_a_draft_whose_gaps_are_filled_imports_the_table(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    said = oncofed("cohort", "draft", str(tmp_path / "table.csv"), "--out", str(tmp_path / "study"))
    assert said.code == 0, said.text
    mapping, schema = tmp_path / "study" / "mapping.toml", tmp_path / "study" / "schema.toml"
    first = oncofed("cohort", "import", str(mapping), "--dry-run")
    assert first.code == 2
    assert '"tumour", categories: is missing' in first.text
    schema.write_text(
        re.sub(
            r'kind = "categorical".*',
            'kind = "categorical"\ncategories = ["lung", "skin"]\nreference_category = "lung"',
            schema.read_text(),
        )
    )
    mapping.write_text(
        mapping.read_text()
        .replace('column = "sex"  # confirm\nwords = {}', 'column = "sex"\nwords = { SECRETf = "1", SECRETm = "0" }')
        .replace('column = "tumour"', 'column = "tumour"\nwords = { "SECRET lung" = "lung", "SECRET skin" = "skin" } ')
    )
    second = oncofed("cohort", "import", str(mapping), "--dry-run")
    assert second.code == 0, second.text
    assert "2 rows from g/dl to g/l (times 10)" in second.text
    assert "marker log10_crp: 0% not measured" in second.text


def test_the_files_of_a_clinic_are_recognised(tmp_path: Path) -> None:
    for name, content in clinic().files.items():
        (tmp_path / name).write_bytes(content)
    drafted = draft([tmp_path / name for name in sorted(clinic().files)], beside=tmp_path)
    found = tomllib.loads(drafted.mapping)
    sources = {source["name"]: source for source in found["source"]}
    assert found["mapping"]["patients"] == "patienten"
    assert sources["patienten"]["encoding"] == "windows-1252"
    assert sources["patienten"]["decimal"] == "comma"
    assert sources["labor"]["code"] == "LOINC"
    assert {source["separator"] for source in sources.values()} == {"semicolon"}
    assert {source["date_format"] for source in sources.values()} == {"DD.MM.YYYY"}
    assert found["time_zero"] == {"source": "diagnosen", "column": "Datum", "take": "first"}
    assert found["outcome"][0]["event_date"] == "Sterbedatum"
    assert {marker["name"] for marker in found["marker"]} == {
        "female",
        "age_years",
        "ICD-10",
        "Histologie",
        "stage",
        "ecog",
    }


def test_a_column_whose_days_are_written_otherwise_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,birth date,last contact\nx,02.01.1950,2021-03-04\ny,03.01.1950,2021-03-05\n")
    lines = draft([tmp_path / "a.csv"], beside=tmp_path).mapping.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith('date_format = "DD.MM.YYYY"')]
    assert lines[place + 1] == (
        '# confirm: "last contact" is written as YYYY-MM-DD: give the file a second source for it'
    )


def test_moments_in_utc_are_days_to_a_draft(tmp_path: Path) -> None:
    """The import then asks for the time zone."""
    moments = pd.Series(pd.to_datetime(["2021-03-04T23:30:00Z", "2021-03-05T10:00:00Z"]))
    pd.DataFrame({"id": ["x", "y"], "last contact": moments}).to_parquet(tmp_path / "a.parquet")
    assert 'date_format = "YYYY-MM-DD"' in draft([tmp_path / "a.parquet"], beside=tmp_path).mapping


def test_each_sheet_of_a_workbook_is_a_source(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: no test of Excel files")
    book = openpyxl.Workbook()
    book.active.title = "Legende"
    book.active.append(["Export of the registry"])
    book.active.append(["", "SECRET word beside it"])
    for title, rows in {
        "Stammdaten": [["PatNr", "Alter", "status", "time"], ["SECRET1", 61, 1, 847], ["SECRET2", 72, 0, 731]],
        "Labor": [["PatNr", "Datum", "LOINC", "Wert"], ["SECRET1", date(2021, 3, 4), "1988-5", 4.5]],
    }.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "export.xlsx")
    drafted = draft([tmp_path / "export.xlsx"], beside=tmp_path)
    found = tomllib.loads(drafted.mapping)
    assert [(each["name"], each["path"], each["sheet"]) for each in found["source"]] == [
        ("Stammdaten", "export.xlsx", "Stammdaten"),
        ("Labor", "export.xlsx", "Labor"),
    ]
    assert found["source"][1]["code"] == "LOINC"
    assert "# 1 of 3 sheets of this workbook are no tables." in drafted.mapping
    assert "SECRET" not in drafted.mapping + drafted.schema
    (tmp_path / "schema.toml").write_text(drafted.schema)
    (tmp_path / "mapping.toml").write_text(drafted.mapping)
    assert len(import_cohort(read_mapping(tmp_path / "mapping.toml")).table) == 2


def test_a_workbook_without_a_table_is_a_fault(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: no test of Excel files")
    book = openpyxl.Workbook()
    book.create_sheet("another")
    book.save(tmp_path / "empty.xlsx")
    with pytest.raises(InvalidInput, match="the sheet is empty"):
        draft([tmp_path / "empty.xlsx"], beside=tmp_path)


def test_two_workbooks_with_sheets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: no test of Excel files")
    for name in ("old", "new"):
        book = openpyxl.Workbook()
        book.active.append(["PatNr", "Alter"])
        book.active.append(["P1", 61])
        book.create_sheet("Tabelle2").append(["PatNr", "BMI"])
        book.save(tmp_path / f"{name}.xlsx")
    found = tomllib.loads(draft([tmp_path / "old.xlsx", tmp_path / "new.xlsx"], beside=tmp_path).mapping)
    assert [each["name"] for each in found["source"]] == ["old Sheet", "old Tabelle2", "new Sheet", "new Tabelle2"]


def database_of(folder: Path) -> Path:
    """The file with its address."""
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        connection.execute("CREATE TABLE patients (patient_id TEXT, age REAL, status INTEGER, time INTEGER)")
        connection.execute("INSERT INTO patients VALUES ('SECRET1', 61.5, 1, 847), ('SECRET2', 72, 0, 731)")
        connection.execute("CREATE TABLE lab (patient_id TEXT, date TEXT, code TEXT, value TEXT)")
        connection.execute("INSERT INTO lab VALUES ('SECRET1', '2021-03-04', '1988-5', '4.5')")
        connection.commit()
    address = folder / "address"
    address.write_text(f"sqlite:///{folder / 'registry.db'}")
    address.chmod(0o600)
    return address


def test_statements_on_a_database_are_sources_of_a_draft(tmp_path: Path) -> None:
    address = database_of(tmp_path)
    said = oncofed(
        *("cohort", "draft", "--url-file", str(address), "--out", str(tmp_path / "study")),
        *("--statement", "SELECT * FROM main.patients", "--statement", "SELECT * FROM lab"),
    )
    assert said.code == 0
    path = tmp_path / "study" / "mapping.toml"
    found = tomllib.loads(path.read_text())
    assert [(each["name"], each["part"], each["url_file"], each["statement"]) for each in found["source"]] == [
        ("patients", "sql", "../address", "SELECT * FROM main.patients"),
        ("lab", "sql", "../address", "SELECT * FROM lab"),
    ]
    assert (found["source"][1]["code"], found["source"][1]["date"]) == ("code", "date")
    assert "SECRET" not in path.read_text()
    assert len(import_cohort(read_mapping(path)).table) == 2


def test_a_statement_that_the_database_refuses_is_told_without_its_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="source nothing: its database refuses") as refused:
        draft([], beside=tmp_path, statements=["SELECT * FROM nothing"], url_file=database_of(tmp_path))
    assert "SELECT" not in str(refused.value)


def test_a_database_without_a_model_is_told_how_else(tmp_path: Path) -> None:
    said = oncofed("cohort", "draft", "--url-file", str(database_of(tmp_path)), "--out", str(tmp_path / "study"))
    assert said.code == 2
    assert "has no table of an OMOP model" in said.text
    assert "--statement" in said.text


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [
        ("visceral_fat_volume_ml", "visceral_fat_volume", "ml"),
        ("subcutaneous_fat.volume (mm3)", "subcutaneous_fat_volume", "mm3"),
        ("Muscle volume", "muscle_volume", None),
        ("muscle_area_cm2", "muscle_area_l3", "cm2"),
        ("SAT area [cm²]", "subcutaneous_fat_area_l3", "cm2"),
        ("l3_VAT_cm2", "visceral_fat_area_l3", "cm2"),
        ("IMAT_ml", "intermuscular_fat_volume", "ml"),
        ("intermuscular fat volume", "intermuscular_fat_volume", None),
        ("SMI", "muscle_index_l3", None),
        ("SMI (cm2/m2)", "muscle_index_l3", "cm2/m2"),
        ("muscle_density_HU", "muscle_attenuation", "HU"),
        ("SMRA L3", "muscle_attenuation_l3", None),
        ("Muskel Fläche L3", "muscle_area_l3", None),
        ("spleen_volume_ml", "spleen_volume", "ml"),
        ("liver", None, None),
        ("bone", None, None),
        ("sat", None, None),
        ("visceral_to_subcutaneous_volume", None, None),
        ("volume_ml", None, None),
    ],
)
def test_a_name_suggests_a_tissue_its_measure_and_its_unit(column: str, name: str | None, unit: str | None) -> None:
    found = body_composition(column)
    assert (None if found is None else found.marker.name, None if found is None else found.unit) == (name, unit)


BODY = """PatientID;StudyDate;muscle_area_cm2;VAT_ml;SAT volume
SECRET1;20210304;132,5;2345,5;6,1
SECRET1;20210801;101,5;2145,5;5,1
SECRET2;20210305;92,5;1345,5;7,1
"""


def test_a_table_of_body_composition_is_drafted_with_its_window_and_units(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text(
        "patient_id,diagnosis date,status,date of death,last contact\n"
        "SECRET1,2021-03-01,1,2022-01-02,2022-01-01\nSECRET2,2021-03-01,0,,2023-01-01\n"
    )
    (tmp_path / "body.csv").write_text(BODY)
    drafted = draft([tmp_path / "patients.csv", tmp_path / "body.csv"], beside=tmp_path)
    found = tomllib.loads(drafted.mapping)
    source = found["source"][1]
    assert (source["patient"], source["date"], source["date_format"]) == ("PatientID", "StudyDate", "YYYYMMDD")
    assert {each["name"]: each["unit"] for each in found["marker"]} == {
        "muscle_area_l3": "cm2",
        "visceral_fat_volume": "ml",
        "subcutaneous_fat_volume": "l",
    }
    assert {(tuple(each["window"]), each["take"]) for each in found["marker"]} == {((-60, 30), "last")}
    assert all(CONFIRM in line for line in drafted.mapping.splitlines() if line.startswith(("window", "take", "unit")))
    (tmp_path / "schema.toml").write_text(drafted.schema)
    (tmp_path / "mapping.toml").write_text(drafted.mapping)
    table = import_cohort(read_mapping(tmp_path / "mapping.toml")).table.to_pandas()
    assert table["muscle_area_l3"].tolist() == [132.5, 92.5]
    assert table["visceral_fat_volume"].tolist() == [2.3455, 1.3455]


def test_what_people_have_confirmed_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "mapping.toml").write_text("mine")
    said = oncofed("cohort", "draft", str(tmp_path / "table.csv"), "--out", str(tmp_path))
    assert said.code == 2
    assert (tmp_path / "mapping.toml").read_text() == "mine"
    assert not (tmp_path / "schema.toml").exists()


def test_a_study_folder_is_not_drafted_and_told_so(tmp_path: Path) -> None:
    """Also after an import, whose report would look like resources of FHIR."""
    (tmp_path / "data_clinical_sample.txt").write_text("PATIENT_ID\tSAMPLE_ID\n")
    (tmp_path / "report.json").write_text("{}")
    said = oncofed("cohort", "draft", str(tmp_path), "--out", str(tmp_path / "out"))
    assert said.code == 2
    assert "is a study folder of cBioPortal, which is not drafted" in said.text


def test_faults_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.csv").write_text("id,x\n1,2,SECRET\n")
    with pytest.raises(InvalidInput) as caught:
        draft([tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.xlsx"], beside=tmp_path)
    assert len(caught.value.faults) == 3
    assert "SECRET" not in str(caught.value)


def test_a_packed_file_with_remarks_is_drafted_as_it_must_be_read(tmp_path: Path) -> None:
    (tmp_path / "table.txt.gz").write_bytes(gzip.compress(("# a remark;\n" + TABLE.replace(",", "|")).encode()))
    (source,) = tomllib.loads(draft([tmp_path / "table.txt.gz"], beside=tmp_path).mapping)["source"]
    assert (source["separator"], source["comment"], source["path"]) == ("bar", "#", "table.txt.gz")


@pytest.mark.parametrize("stored", ["parquet", "csv"])
@pytest.mark.parametrize(("clock", "asked"), [("23:30:00", True), ("00:00:00", False)])
def test_a_draft_of_moments_in_utc_asks_where_the_hospital_is(
    stored: str, clock: str, asked: bool, tmp_path: Path
) -> None:
    days = pd.to_datetime([f"2020-12-31T{clock}Z", f"2021-01-31T{clock}Z"])
    table = pd.DataFrame({"patient_id": ["a", "b"], "diagnosis_date": days, "last_contact": days})
    path = tmp_path / f"table.{stored}"
    if stored == "parquet":
        table.to_parquet(path)
    else:
        table.assign(**{name: table[name].map(pd.Timestamp.isoformat) for name in table.columns[1:]}).to_csv(path)
    mapping = draft([path], beside=tmp_path).mapping
    assert ('# time_zone = "Europe/Berlin"  # confirm: where is the hospital' in mapping) is asked
    assert "time_zone" not in tomllib.loads(mapping)["mapping"]
