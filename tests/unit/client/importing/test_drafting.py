"""Does a draft help, mark each guess, and know no more of the cells than their type?"""

from __future__ import annotations

import gzip
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command_line import oncofed

from oncofed.client.importing.column_names import Role, suggested
from oncofed.client.importing.drafting import draft
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


def test_what_people_have_confirmed_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "mapping.toml").write_text("mine")
    said = oncofed("cohort", "draft", str(tmp_path / "table.csv"), "--out", str(tmp_path))
    assert said.code == 2
    assert (tmp_path / "mapping.toml").read_text() == "mine"
    assert not (tmp_path / "schema.toml").exists()


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
