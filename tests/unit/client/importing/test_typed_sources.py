"""Is the truth recovered from a workbook of Excel and from a statement on a database, whose cells have types?"""

from __future__ import annotations

import io
import re
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.omop_models import assert_is
from tests.postgresql import Server, running_postgresql

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.client.importing.readings import Column, identifiers, numbers
from oncofed.client.importing.spreadsheets import read_sheet
from oncofed.client.importing.text_forms import form_of
from oncofed.client.importing.typed_cells import TypedColumns
from oncofed.cohort.identifiers import identifiers_in
from oncofed.cohort.table import read_table
from oncofed.errors import InvalidInput
from studies.spreadsheet.make_tables import clinic

openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: no test of Excel files")
EXAMPLE = Path(__file__).resolve().parents[4] / "simulations" / "studies" / "spreadsheet"
CLINIC = clinic()
SHEETS = {"patienten": "Patienten", "diagnosen": "Diagnosen", "labor": "Labor 2024"}


def typed(column: str, cell: str) -> Any:
    """As Excel keeps what was typed there."""
    if cell == "":
        return None
    if len(cell) == 10 and cell[2] == cell[5] == ".":
        return datetime(int(cell[6:]), int(cell[3:5]), int(cell[:2]))
    if column in ("Wert", "Alter bei Diagnose") and not cell.startswith("<"):
        return float(cell.replace(",", "."))
    return cell


def tables() -> dict[str, list[list[Any]]]:
    """Header and rows, by name."""
    found = {}
    for name, content in CLINIC.files.items():
        text = content.decode("utf-8-sig" if name == "labor.csv" else "windows-1252").removeprefix("sep=;\r\n")
        header, *rows = (line.split(";") for line in text.splitlines())
        typed_rows = [[typed(column, cell) for column, cell in zip(header, row, strict=True)] for row in rows]
        found[name.removesuffix(".csv")] = [list(header), *typed_rows]
    return found


TABLES = tables()


def mapping_with(folder: Path, places: dict[str, str]) -> Path:
    """The example's mapping, with the places of its sources in place of their files."""
    (folder / "schema.toml").write_text((EXAMPLE / "schema.toml").read_text())
    text = (EXAMPLE / "mapping.toml").read_text()
    for line in ('encoding = "windows-1252"\n', 'separator = "semicolon"\n'):
        text = text.replace(line, "")
    for name, place in places.items():
        text = text.replace(f'path = "{name}.csv"', place)
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def frame(path: Path) -> pd.DataFrame:
    found: pd.DataFrame = import_cohort(read_mapping(path)).table.to_pandas()
    return found


# --- Excel


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_truth_is_recovered_exactly_from_the_sheets_of_a_workbook(tmp_path: Path) -> None:
    workbook(tmp_path / "clinic.xlsx", {SHEETS[name]: rows for name, rows in TABLES.items()})
    places = {name: f'path = "clinic.xlsx"\nsheet = "{title}"' for name, title in SHEETS.items()}
    assert_is(frame(mapping_with(tmp_path, places)), CLINIC.truth)


SIMPLE: list[list[Any]] = [["id", "taken", "value"], ["zq1", date(2020, 1, 2), 7.31], ["zq2", None, "<0.5"]]


DOUBLED: list[list[Any]] = [["id", "value", "value"], *SIMPLE[1:]]
CUT: list[list[Any]] = [["id", "taken"], *SIMPLE[1:]]
COMPUTED: list[list[Any]] = [["id", "taken", "value"], ["zq1", None, "=1+1"], ["zq2", None, "=A1"]]


def sheet_of(path: Path, *, columns: list[str] | None = None, **source: Any) -> pd.DataFrame:
    return read_sheet(path, Source(name="sheet", path=path, **source), columns=columns, tell=lambda _: None)


def test_the_only_sheet_need_not_be_named_and_remarks_and_empty_rows_are_no_rows(tmp_path: Path) -> None:
    rows = [["# made on Monday"], [], SIMPLE[0], [], *SIMPLE[1:], [None, "", None]]
    found = sheet_of(workbook(tmp_path / "a.xlsx", {"one": rows}), comment="#")
    assert list(found.columns) == ["id", "taken", "value"]
    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == [
        ["zq1", "2020-01-02", "7.31"],
        ["zq2", None, "<0.5"],
    ]


def test_numbers_beside_words_are_written_as_the_source_writes_them(tmp_path: Path) -> None:
    from oncofed.client.importing.mapping_choices import Decimal as Mark  # noqa: PLC0415 - beside decimal.Decimal

    path = workbook(tmp_path / "a.xlsx", {"one": SIMPLE})
    found = sheet_of(path, decimal=Mark.COMMA, date_format="DD.MM.YYYY")
    assert list(found["value"]) == ["7,31", "<0.5"]
    assert found["taken"].iloc[0] == "02.01.2020"


@pytest.mark.parametrize(
    ("sheets", "named", "words"),
    [
        ({"one": SIMPLE, "two": SIMPLE}, None, "has 2 sheets"),
        ({"one": SIMPLE}, "zq847", "has no sheet of the name"),
        ({"one": []}, None, "the sheet is empty"),
        ({"one": DOUBLED}, None, "columns 2 and 3: have one and the same name"),
        ({"one": CUT}, None, "may be shifted"),
        ({"one": COMPUTED}, None, "formulas"),
    ],
)
def test_a_sheet_that_leaves_a_doubt_is_refused(
    tmp_path: Path, sheets: dict[str, list[list[Any]]], named: str | None, words: str
) -> None:
    path = workbook(tmp_path / "a.xlsx", sheets)
    with pytest.raises(InvalidInput, match=words) as refused:
        sheet_of(path, columns=["id", "taken", "value"], sheet=named)
    assert not any(cell in str(refused.value) for cell in ("zq1", "zq2", "zq847", "=1+1"))


def test_a_number_that_a_sheet_shows_as_per_cent_is_refused(tmp_path: Path) -> None:
    """It shows 0.8% and holds 0.008; a CSV file of it would hold the text."""
    path = workbook(tmp_path / "a.xlsx", {"one": [["id", "value"], ["zq1", 0.008], ["zq2", 0.6]]})
    book = openpyxl.load_workbook(path)
    for row in (2, 3):
        book.active.cell(row, 2).number_format = "0.0%"
    book.save(path)
    with pytest.raises(InvalidInput, match="shows numbers as per cent") as refused:
        sheet_of(path, columns=["id", "value"])
    assert refused.value.faults[0].count == 2
    assert len(sheet_of(path, columns=["id"])) == 2
    for literal in ('0.0"%"', "0.0\\%"):  # a sign that is only shown
        for row in (2, 3):
            book.active.cell(row, 2).number_format = literal
        book.save(path)
        assert sheet_of(path, columns=["id", "value"])["value"].tolist() == [0.008, 0.6]


def test_what_people_see_of_a_sheet_and_its_cells_do_not_say_is_told(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["id", "value", "note"], *([f"zq{n}", n, "x"] for n in range(1, 7))]
    path = workbook(tmp_path / "a.xlsx", {"one": rows})
    told: list[str] = []
    source = Source(name="sheet", path=path)
    read_sheet(path, source, columns=None, tell=told.append)
    assert told == []
    book = openpyxl.load_workbook(path)
    book.active.auto_filter.ref = "A1:C7"
    for row in (3, 4):
        book.active.row_dimensions[row].hidden = True
    book.active.merge_cells("B5:B6")
    book.active.merge_cells("B7:C7")  # of one patient
    book.save(path)
    read_sheet(path, source, columns=None, tell=told.append)
    assert told == [
        "a.xlsx: 2 rows are hidden in the sheet, by a filter perhaps, and count like the others",
        "a.xlsx: 1 merged cells reach over several rows: only the first of these rows has what they hold",
    ]


def with_sheet(path: Path, old: str, new: str) -> None:
    """The workbook with another text in the XML of its sheet."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    assert old in sheet
    parts["xl/worksheets/sheet1.xml"] = sheet.replace(old, new).encode()
    with zipfile.ZipFile(path, "w") as book:
        for name, part in parts.items():
            book.writestr(name, part)


@pytest.mark.parametrize(
    ("row", "hidden"),
    [
        ("hidden='1'", True),
        ('ht="12.5"\nhidden="true"', True),
        ('ht="0" customHeight="1"', True),
        ("ht='0.0'", True),
        ('hidden="0" ht="0.5"', False),
        ('spans="1:0"', False),
    ],
)
def test_a_row_is_hidden_however_its_sheet_says_so(tmp_path: Path, row: str, hidden: bool) -> None:
    path = workbook(tmp_path / "a.xlsx", {"one": SIMPLE})
    with_sheet(path, '<row r="3"', f'<row r="3" {row}')
    told: list[str] = []
    found = read_sheet(path, Source(name="sheet", path=path), columns=None, tell=told.append)
    assert len(found) == 2
    assert told == (["a.xlsx: 1 rows are hidden in the sheet, by a filter perhaps, and count like the others"] * hidden)


@pytest.mark.parametrize(
    ("column", "hidden"),
    [
        ('<col min="3" max="3" width="13" hidden="1"/>', 1),
        ("<col hidden='true' max='3' min='2' />", 2),
        ('<col min="3" max="3" width="0" customWidth="1"/>', 1),
        ('<col min="4" max="16384" width="13" hidden="1"/>', 0),
        ('<col min="1" max="3" width="10.5" hidden="0"/>', 0),
    ],
)
def test_a_column_that_is_read_and_that_nobody_sees_is_told(tmp_path: Path, column: str, hidden: int) -> None:
    path = workbook(tmp_path / "a.xlsx", {"one": SIMPLE})
    with_sheet(path, "<sheetData>", f"<cols>{column}</cols><sheetData>")
    told: list[str] = []
    source = Source(name="sheet", path=path)
    read_sheet(path, source, columns=None, tell=told.append)
    assert told == [f"a.xlsx: {hidden} columns that are read are hidden in the sheet"][: min(hidden, 1)]
    told.clear()
    read_sheet(path, source, columns=["id"], tell=told.append)
    assert told == []


def test_a_formula_in_a_column_that_nobody_asks_for_harms_nobody(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["id", "value", "note"], ["zq1", 7.31, "=1+1"]]
    found = sheet_of(workbook(tmp_path / "a.xlsx", {"one": rows}), columns=["id", "value"])
    assert found["value"].tolist() == [7.31]


@pytest.mark.parametrize("number", [12.5, 0.5])
@pytest.mark.parametrize("pieces", [[[0, 1]], [[0], [1]]])
def test_a_number_with_a_fraction_names_nobody_among_texts_either(number: float, pieces: list[list[int]]) -> None:
    """Excel stores the patients 12.50 and 12.5 as one number."""
    packed, rows = TypedColumns(["Pat"], Source(name="a", patient="pat")), ((number,), ("A-1",))
    for piece in pieces:
        packed.add([rows[row] for row in piece])
    assert [fault.count for fault in identifiers_in(packed.frame()["Pat"], where="t").faults] == [1]


def test_without_the_reader_of_workbooks_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx", {"one": SIMPLE})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidInput, match=r"pip install 'oncofed\[excel\]'"):
        sheet_of(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xd0\xcf\x11\xe0zq847", "protected by a password"),
        (b"PK\x03\x04zq847", "cannot be read as an Excel workbook"),
        (b"id,value\nzq1,847\n", "cannot be read as an Excel workbook"),
    ],
)
def test_what_is_no_workbook_is_refused_by_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        sheet_of(path)


def test_a_damaged_part_of_a_workbook_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"one": SIMPLE})
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"][:-40]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as book:
        for name, part in parts.items():
            book.writestr(name, part)
    path.write_bytes(packed.getvalue())
    with pytest.raises(InvalidInput, match="cannot be read as an Excel workbook"):
        sheet_of(path)


# --- SQL


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    import psycopg  # noqa: PLC0415 - an optional driver

    kinds = {"Datum": "date", "Sterbedatum": "date", "Letzter Kontakt": "timestamp", "Entnahme": "timestamp"}
    with running_postgresql() as server, psycopg.connect(server.url) as connection:
        for name, (header, *rows) in TABLES.items():
            columns = [(column, kinds.get(column, "text")) for column in header]
            columns = [(column, "numeric" if column == "Alter bei Diagnose" else kind) for column, kind in columns]
            told = ", ".join(f'"{column}" {kind}' for column, kind in columns)
            connection.execute(f"CREATE TABLE {name} ({told})".encode())
            marks = ", ".join(["%s"] * len(columns))
            cells = [[str(cell) if isinstance(cell, float) else cell for cell in row] for row in rows]
            connection.cursor().executemany(f"INSERT INTO {name} VALUES ({marks})".encode(), cells)
        connection.commit()
        yield server


def with_statements(folder: Path, url: str) -> Path:
    (folder / "address").write_text(url)
    (folder / "address").chmod(0o600)
    places = {
        name: f'part = "sql"\nurl_file = "address"\nstatement = "SELECT * FROM {name} ORDER BY random()"'
        for name in TABLES
    }
    path = mapping_with(folder, places)
    text = path.read_text().replace('decimal = "comma"\n', "")
    path.write_text(text.replace('value = "Wert"', 'value = "Wert"\nmissing = ["nichts"]'))
    return path


def test_the_truth_is_recovered_exactly_from_statements_on_postgresql(tmp_path: Path, postgresql: Server) -> None:
    path = with_statements(tmp_path, postgresql.url)
    text = path.read_text()
    # The laboratory's column of texts holds <0,5 and numbers with a point.
    text = text.replace("SELECT * FROM labor", "SELECT *, replace(\\\"Wert\\\", ',', '.') AS wert FROM labor")
    path.write_text(text.replace('value = "Wert"', 'value = "wert"'))
    assert_is(frame(path), CLINIC.truth)


def with_databases(folder: Path, url: str) -> Source:
    """A source whose address lies in the folder."""
    (folder / "address").write_text(url)
    (folder / "address").chmod(0o600)
    return Source(name="labor", part=Part.SQL, url_file=Path("address"), statement="SELECT 1")


@pytest.mark.parametrize("kind", ["real", "double precision"])
def test_identifiers_that_postgresql_rounded_name_nobody(tmp_path: Path, postgresql: Server, kind: str) -> None:
    """The driver hands 32 bits on as Python's 64."""
    path = with_statements(tmp_path, postgresql.url)
    text = re.sub(
        r"SELECT \* FROM (\w+)",
        rf'SELECT *, (right(\\"PatNr\\", 3)::integer * 2 + 20240000)::{kind} AS number FROM \1',
        path.read_text().replace('patient = "PatNr"', 'patient = "number"'),
    )
    text = text.replace("AS number FROM labor", "AS number, replace(\\\"Wert\\\", ',', '.') AS wert FROM labor")
    path.write_text(text.replace('value = "Wert"', 'value = "wert"'))
    if kind == "double precision":
        assert frame(path)["patient_id"].str.fullmatch("2024[0-9]{4}").all()
        return
    with pytest.raises(InvalidInput, match="too large to be kept exactly") as refused:
        frame(path)
    assert len(refused.value.faults) == len(TABLES)


@pytest.mark.parametrize(("kind", "number"), [("real", 123456790.0), ("double precision", 123456792.0)])
def test_a_number_of_32_bits_is_the_one_that_postgresql_prints(
    tmp_path: Path, postgresql: Server, kind: str, number: float
) -> None:
    source = with_databases(tmp_path, postgresql.url)
    answer = f"SELECT cell::{kind} AS wert FROM (VALUES (0.1), (NULL), (123456792)) AS t(cell)"
    with OpenDatabases(tmp_path) as databases:
        read = numbers(
            Column(databases.answer(replace(source, statement=answer), columns=["wert"])["wert"]), source, ()
        )
    np.testing.assert_array_equal(read.values, [0.1, np.nan, number])
    assert not read.malformed.any()


def test_a_moment_is_no_day_until_mapping_or_statement_says_where(tmp_path: Path, postgresql: Server) -> None:
    """Half past midnight at the hospital is the day before in the connection's zone."""
    source = with_databases(tmp_path, postgresql.url)
    moment = "timestamptz '2021-01-01 00:30:00+01'"
    with OpenDatabases(tmp_path) as databases:
        berlin = replace(source, statement=f"SELECT {moment} AS day", time_zone="Europe/Berlin")
        assert list(databases.answer(berlin, columns=["day"])["day"]) == ["2021-01-01"]
        with pytest.raises(InvalidInput, match=r"time_zone = .Europe/Berlin.* AT TIME ZONE") as refused:
            databases.answer(replace(source, statement=f"SELECT 1 AS a, {moment} AS day"), columns=["a", "day"])
        assert 'column "day"' in str(refused.value)
        databases.answer(replace(source, statement=f"SELECT 1 AS a, {moment} AS day"), columns=["a"])
        told = f"SELECT ({moment} AT TIME ZONE 'Europe/Berlin')::date AS day"
        assert list(databases.answer(replace(source, statement=told), columns=["day"])["day"]) == ["2021-01-01"]


@pytest.mark.parametrize("kind", ["real", "double precision", "numeric"])
@pytest.mark.parametrize("missing", [(), ("NaN",)])
def test_a_nan_of_postgresql_is_no_number_and_no_empty_cell(
    tmp_path: Path, postgresql: Server, kind: str, missing: tuple[str, ...]
) -> None:
    """As in its export to CSV, where the word is refused unless the mapping lists it."""
    source = with_databases(tmp_path, postgresql.url)
    answer = f"SELECT cell::{kind} AS wert FROM (VALUES (0.1), (NULL), ('NaN'), (2.5)) AS t(cell)"
    with OpenDatabases(tmp_path) as databases:
        read = numbers(
            Column(databases.answer(replace(source, statement=answer), columns=["wert"])["wert"]), source, missing
        )
    np.testing.assert_array_equal(read.values, [0.1, np.nan, np.nan, 2.5])
    assert read.malformed.tolist() == [False, False, not missing, False]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT nothing FROM patienten", "source patients: its database refuses"),
        ("DELETE FROM patienten RETURNING *", "source patients: its database refuses"),
        ("SELEC", "source patients: its database refuses"),
        ("SELECT 'zq847'::integer AS x", "source patients: its database refuses"),
        ('SELECT \\"PatNr\\", \\"Klinik\\", \\"Klinik\\" FROM patienten', "two columns have one and the same name"),
        ('SELECT \\"PatNr\\" FROM patienten', 'column "Klinik": is not in'),
    ],
)
def test_what_the_database_refuses_is_told_of_the_source_and_not_quoted(
    tmp_path: Path, postgresql: Server, statement: str, words: str
) -> None:
    path = with_statements(tmp_path, postgresql.url)
    path.write_text(path.read_text().replace("SELECT * FROM patienten ORDER BY random()", statement))
    with pytest.raises(InvalidInput, match=words) as refused:
        frame(path)
    assert not any(secret in str(refused.value) for secret in ("zq847", "FROM", str(postgresql.port)))
    assert all("labor" not in fault.where for fault in refused.value.faults)  # the others are read all the same


def test_texts_as_bytes_and_truths_of_postgresql_are_words(tmp_path: Path, postgresql: Server) -> None:
    source = with_databases(tmp_path, postgresql.url)
    answer = "SELECT 'P-1'::bytea AS id, true AS dead UNION ALL SELECT NULL, false"
    with OpenDatabases(tmp_path) as databases:
        found = databases.answer(replace(source, statement=answer), columns=["id", "dead"])
    assert sorted(identifiers(Column(found["id"])).dropna()) == ["P-1"]
    assert Column(found["dead"]).among(["true"]).sum() == 1


def test_bytes_that_are_no_text_are_the_digits_that_the_database_prints(tmp_path: Path, postgresql: Server) -> None:
    """Two patients whose identifiers are binary are not one."""
    source = with_databases(tmp_path, postgresql.url)
    cells = ["\\x00000080", "\\x00000081", "\\x00000001", "\\x00000002"]
    answer = " UNION ALL ".join(f"SELECT '{cell}'::bytea AS id, '{cell}'::bytea::text AS printed" for cell in cells)
    with OpenDatabases(tmp_path) as databases:
        found = databases.answer(replace(source, statement=answer), columns=["id", "printed"])
    assert identifiers(Column(found["id"])).tolist() == identifiers(Column(found["printed"])).tolist() == cells


@pytest.mark.parametrize("day", ["'infinity'::date", "'0044-03-15 BC'::date"])
def test_a_day_that_no_calendar_of_python_has_is_told_with_a_remedy(
    tmp_path: Path, postgresql: Server, day: str
) -> None:
    source = with_databases(tmp_path, postgresql.url)
    with OpenDatabases(tmp_path) as databases, pytest.raises(InvalidInput, match=r"infinity.* are to be NULL"):
        databases.answer(replace(source, statement=f"SELECT {day} AS day"), columns=["day"])


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE '{beside}' AS other",
        "VACUUM INTO '{beside}'",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = ON",
        "PRAGMA query_only = OFF",
        "PRAGMA wal_checkpoint",
        "VACUUM",
        "CREATE TEMP TABLE x (a)",
        "UPDATE sqlite_master SET sql = ''",
        "INSERT INTO texts(texts) VALUES ('optimize')",
        "INSERT INTO t VALUES (2) RETURNING a",
        "DROP TABLE t",
    ],
)
def test_no_statement_writes_to_a_database_of_sqlite_or_beside_it(tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5(words)")
        connection.commit()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("a.db*")}
    source = with_databases(tmp_path, f"sqlite:///{tmp_path / 'a.db'}")
    asked = replace(source, statement=statement.format(beside=tmp_path / "beside.db"))
    with OpenDatabases(tmp_path) as databases:
        with pytest.raises(InvalidInput, match="its database refuses"):
            databases.answer(asked, columns=None)
        assert databases.answer(replace(source, statement="SELECT max(a) AS a FROM t"), columns=None)["a"].tolist() == [
            1
        ]
    assert not (tmp_path / "beside.db").exists()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("a.db*")} == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT value AS a FROM t, json_each(t.a)",
        "SELECT value AS a FROM t, json_tree(t.a) WHERE atom",
        "SELECT rowid AS a FROM texts WHERE texts MATCH 'crp'",
        "SELECT rowid AS a FROM old_texts WHERE old_texts MATCH 'crp'",
        "SELECT id AS a FROM places WHERE lowest > 1",
        "SELECT count(*) AS a FROM pragma_table_info('t')",
        "SELECT count(*) AS a FROM pragma_database_list",
    ],
)
def test_a_statement_that_only_reads_is_answered_by_sqlite(tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.executescript(
            "CREATE TABLE t (a); INSERT INTO t VALUES ('[1]');"
            "CREATE VIRTUAL TABLE texts USING fts5(words); INSERT INTO texts VALUES ('crp');"
            "CREATE VIRTUAL TABLE old_texts USING fts4(words); INSERT INTO old_texts VALUES ('crp');"
            "CREATE VIRTUAL TABLE places USING rtree(id, lowest, highest); INSERT INTO places VALUES (1, 2, 3);"
        )
    source = with_databases(tmp_path, f"sqlite:///{tmp_path / 'a.db'}")
    with OpenDatabases(tmp_path) as databases:
        assert databases.answer(replace(source, statement=statement), columns=None)["a"].tolist() == [1]


def test_a_database_that_is_held_to_reading_by_nobody_is_refused(tmp_path: Path) -> None:
    path = with_statements(tmp_path, "mysql+pymysql://root@127.0.0.1/x")
    with pytest.raises(InvalidInput, match="database of address: the driver of its database is not installed"):
        frame(path)


def test_sqlite_cells_of_mixed_types_are_what_they_say(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2.5,), ("<0.5",), (None,)])
        connection.commit()
        rows = connection.execute("SELECT a FROM t").fetchall()
    packed = TypedColumns(["a"], Source(name="a"))
    packed.add(rows)
    assert Column(packed.frame()["a"]).words(()).tolist() == ["1", "2.5", "<0.5", None]


# --- cells, piece by piece

CELLS = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text("abcß<,. ", max_size=4),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.decimals(-1000, 1000, places=2, allow_nan=False),
    st.booleans(),
)


@given(st.lists(CELLS, min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_how_cells_come_in_pieces_means_nothing(cells: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(cells)))
    whole, pieces = (TypedColumns(["a"], Source(name="a")) for _ in range(2))
    whole.add([[cell] for cell in cells])
    for part in (cells[:cut], cells[cut:]):
        if part:
            pieces.add([[cell] for cell in part])
    first, second = (Column(each.frame()["a"]) for each in (whole, pieces))
    assert first.words(()).tolist() == second.words(()).tolist()


@given(st.lists(st.one_of(st.none(), st.integers(2**53, 2**62)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_no_digit_of_a_long_identifier_is_lost_beside_an_empty_one(cells: list[int | None]) -> None:
    for stored in (cells, [None if cell is None else Decimal(cell) for cell in cells]):
        packed = TypedColumns(["a"], Source(name="a"))
        packed.add([[cell] for cell in stored])
        packed.add([[None]])
        found = identifiers(Column(packed.frame()["a"]))
        assert found.tolist() == [*(None if cell is None else str(cell) for cell in cells), None]


@pytest.mark.parametrize("beside", ["a", None, 7])
def test_a_rounded_identifier_names_nobody_beside_words_either(beside: object) -> None:
    packed = TypedColumns(["a"], Source(name="a"))
    packed.add([[1.2345678901234567e17], [1.2345678901234568e17], [beside]])
    cells = packed.frame()["a"]
    (fault,) = identifiers_in(cells.dropna(), where="a").faults
    assert fault.count == 2
    assert numbers(Column(cells), Source(name="a"), ()).values[1] == 1.2345678901234568e17


# --- Parquet


def moments_file(path: Path, zone: str, *moments: datetime | None) -> Path:
    pq.write_table(pa.table({"day": pa.array(moments, pa.timestamp("us", zone))}), path)
    return path


NIGHT = datetime(2020, 12, 31, 23, 30, tzinfo=UTC)


def days_of(path: Path, zone: str | None) -> list[str | None]:
    column = read_table(path, form=form_of(Source(name="a", path=path, time_zone=zone)))["day"]
    return column.astype(object).where(column.notna(), None).tolist()


def test_a_moment_of_a_parquet_file_is_the_day_that_it_was_at_the_hospital(tmp_path: Path) -> None:
    path = moments_file(tmp_path / "a.parquet", "UTC", NIGHT, None, datetime(2020, 7, 31, 22, 30, tzinfo=UTC), NIGHT)
    assert days_of(path, "Europe/Berlin") == ["2021-01-01", None, "2020-08-01", "2021-01-01"]
    assert days_of(path, "America/New_York") == ["2020-12-31", None, "2020-07-31", "2020-12-31"]
    with pytest.raises(InvalidInput, match=r"column number 1: holds moments in UTC.* time_zone = .Europe/Berlin"):
        days_of(path, None)


@pytest.mark.parametrize("zone", ["GMT0", "Universal", "Etc/GMT+0", "+00", "+00:00", "CEST", "Foo/Bar"])
def test_a_name_of_no_place_is_that_of_utc(tmp_path: Path, zone: str) -> None:
    path = moments_file(tmp_path / "a.parquet", zone, NIGHT)
    assert days_of(path, "Europe/Berlin") == ["2021-01-01"]
    with pytest.raises(InvalidInput, match="holds moments in UTC"):
        days_of(path, None)


def test_an_open_end_keeps_its_day_where_no_calendar_goes_further(tmp_path: Path) -> None:
    last, first = datetime(9999, 12, 31, 23, 30, tzinfo=UTC), datetime(1, 1, 1, 0, 30, tzinfo=UTC)
    path = moments_file(tmp_path / "a.parquet", "UTC", last, first, NIGHT)
    assert days_of(path, "Europe/Berlin") == ["9999-12-31", "0001-01-01", "2021-01-01"]
    assert days_of(path, "America/New_York") == ["9999-12-31", "0001-01-01", "2020-12-31"]
    for moment, zone in ((last, "Europe/Berlin"), (first, "America/New_York")):
        packed = TypedColumns(["a"], Source(name="a", time_zone=zone))
        packed.add([[moment]])
        assert date.fromisoformat(packed.frame()["a"].iloc[0].zfill(10)) == moment.date()


def test_moments_of_96_bits_are_in_utc_unless_arrow_wrote_them(tmp_path: Path) -> None:
    """As Spark and Hive write them; the last is beyond 64 bits of nanoseconds."""
    path = tmp_path / "a.parquet"
    for moments in ([NIGHT], [NIGHT, datetime(2500, 1, 1, 12, tzinfo=UTC)]):
        stored = pa.array([each.replace(tzinfo=None) for each in moments], pa.timestamp("us"))
        table = pa.table({"day": stored})
        pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=False)
        assert days_of(path, "Europe/Berlin") == ["2021-01-01", "2500-01-01"][: len(moments)]
        with pytest.raises(InvalidInput, match="holds moments in UTC"):
            days_of(path, None)
        pq.write_table(table, path, use_deprecated_int96_timestamps=True)
        assert days_of(path, None) == ["2020-12-31", "2500-01-01"][: len(moments)]
        aware = pa.table({"day": stored.cast(pa.timestamp("us", "UTC"))})
        pq.write_table(aware, path, use_deprecated_int96_timestamps=True)
        assert days_of(path, "Europe/Berlin") == ["2021-01-01", "2500-01-01"][: len(moments)]


def test_two_columns_of_one_name_that_nobody_asks_for_harm_no_moment_of_96_bits(tmp_path: Path) -> None:
    stored = pa.array([NIGHT.replace(tzinfo=None)], pa.timestamp("us"))
    table = pa.Table.from_arrays([stored, stored, pa.array(["a"])], names=["day", "day", "id"])
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    form = form_of(Source(name="a", path=path))
    assert read_table(path, columns=["id"], form=form)["id"].tolist() == ["a"]


def test_a_parquet_file_that_names_a_place_or_holds_days_needs_no_time_zone(tmp_path: Path) -> None:
    path = moments_file(tmp_path / "a.parquet", "Europe/Berlin", NIGHT, None)
    assert days_of(path, None) == days_of(path, "Europe/Berlin") == ["2021-01-01", None]
    days = moments_file(tmp_path / "b.parquet", "UTC", datetime(2021, 1, 1, tzinfo=UTC), None)
    assert days_of(days, None) == days_of(days, "America/New_York") == ["2021-01-01", None]


MIDNIGHT, NOON = datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 2, 1, 17, tzinfo=UTC)
STAND_IN = datetime(2099, 12, 31, 23, 30, tzinfo=UTC)


def test_midnights_among_other_moments_of_a_parquet_file_are_told(tmp_path: Path) -> None:
    path = moments_file(tmp_path / "a.parquet", "UTC", MIDNIGHT, None, NOON, MIDNIGHT)
    told: list[str] = []
    for zone, first, count in (("America/New_York", "2020-12-31", 1), ("Europe/Berlin", "2021-01-01", 0)):
        form = form_of(Source(name="a", path=path, time_zone=zone))
        assert read_table(path, form=form, tell=told.append)["day"].tolist()[::2] == [first, "2021-02-01"]
        assert len(told) == count
        told = []
    form = form_of(Source(name="a", path=path, time_zone="America/New_York"))
    read_table(path, form=form, tell=told.append)
    assert told[0].startswith("a.parquet: column number 1: 2 moments are midnight by their own clock")


def test_a_stand_in_for_an_unknown_day_is_the_day_that_is_written(tmp_path: Path) -> None:
    """Or the one that it is at the hospital: a mapping may list either under missing."""
    path = moments_file(tmp_path / "a.parquet", "UTC", STAND_IN, NOON)
    for missing, wanted in (((), "2100-01-01"), (("2099-12-31", "unknown"), "2099-12-31")):
        source = Source(name="a", path=path, time_zone="Europe/Berlin", missing=missing)
        assert read_table(path, form=form_of(source))["day"].tolist() == [wanted, "2021-02-01"]
        packed = TypedColumns(["a"], source)
        packed.add([[STAND_IN], [NOON]])
        assert packed.frame()["a"].tolist() == [wanted, "2021-02-01"]


@pytest.mark.parametrize(
    ("pieces", "wanted", "told"),
    [
        ([[MIDNIGHT, None], [MIDNIGHT]], ["2021-01-01", None, "2021-01-01"], 0),
        ([[MIDNIGHT, None], [NOON]], ["2020-12-31", None, "2021-02-01"], 1),
        ([[NOON], [MIDNIGHT], [date(2021, 3, 1)]], ["2021-02-01", "2020-12-31", "2021-03-01"], 1),
        ([[date(2021, 3, 1)], [MIDNIGHT]], ["2021-03-01", "2021-01-01"], 0),
        ([["unknown"], [MIDNIGHT]], ["unknown", "2021-01-01"], 0),
    ],
)
def test_moments_of_a_database_that_are_all_midnight_are_days(
    pieces: list[list[object]], wanted: list[str | None], told: int
) -> None:
    """However they come in pieces, and whichever clock the connection has."""
    for clock in (UTC, ZoneInfo("Pacific/Kiritimati")):
        packed = TypedColumns(["a"], Source(name="a", time_zone="America/New_York"))
        for piece in pieces:
            packed.add([[cell.astimezone(clock) if isinstance(cell, datetime) else cell] for cell in piece])
        assert len(packed.notes) == told
        assert all(note.startswith('1 moments of "a" are midnight') for note in packed.notes)
        assert packed.frame()["a"].astype(object).where(lambda cells: cells.notna(), None).tolist() == wanted


def test_a_nan_of_a_parquet_file_is_an_empty_cell_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"crp": pa.array([0.5, float("nan"), None]), "id": ["a", "b", "c"]}), path)
    told: list[str] = []
    found = read_table(path, form=form_of(Source(name="a", path=path)), tell=told.append)
    assert numbers(Column(found["crp"]), Source(name="a"), ()).missing.tolist() == [False, True, True]
    assert told == ["a.parquet: column number 1: 1 cells are NaN, which is no number, and count as empty"]


def test_a_time_zone_of_the_mapping_is_that_of_each_source_that_names_none(tmp_path: Path) -> None:
    path = mapping_with(tmp_path, {})
    text = path.read_text().replace("[mapping]\n", '[mapping]\ntime_zone = "Europe/Berlin"\n', 1)
    path.write_text(text.replace('name = "laboratory"', 'name = "laboratory"\ntime_zone = "Asia/Tokyo"', 1))
    zones = {source.name: source.time_zone for source in read_mapping(path).file.source}
    assert zones == {"patients": "Europe/Berlin", "diagnoses": "Europe/Berlin", "laboratory": "Asia/Tokyo"}
    for name in ("Berlin", "Europe", "UTC", "Etc/UTC", "Zulu", "localtime", "posixrules", "posix/Europe/Berlin"):
        path.write_text(text.replace("Europe/Berlin", name))
        with pytest.raises(InvalidInput, match="time_zone: is no time zone of a place"):
            read_mapping(path)
