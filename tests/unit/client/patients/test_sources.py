"""Is one and the same hospital the same cohort from a CSV file, a Parquet file and a real PostgreSQL?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.hospital import SCHEMA, TABLE, written_csv, written_parquet
from tests.postgresql import PASSWORD, Server, running_postgresql

from oncofed.client.patients.sources import SourceKind, SourceSpec, read_source, read_source_cohort, stamp_of
from oncofed.cohort.cells import numbers
from oncofed.cohort.identifiers import identifiers_in
from oncofed.errors import InvalidInput

PLANTED = "MRN-0047-11"
SELECT = "SELECT patient, age_years, crp, smoker, entity, months, death FROM patients"


# Files


def test_files_of_the_same_patients_are_the_same_cohort(tmp_path: Path) -> None:
    from_csv = read_source_cohort(written_csv(tmp_path), SCHEMA)
    from_parquet = read_source_cohort(written_parquet(tmp_path), SCHEMA)
    assert len(from_csv) == 7
    assert from_csv.content_hash == from_parquet.content_hash


def test_the_order_of_the_rows_means_nothing_and_every_cell_does(tmp_path: Path) -> None:
    wanted = read_source_cohort(written_csv(tmp_path), SCHEMA).content_hash
    for seed in range(3):
        mixed = TABLE.sample(frac=1.0, random_state=seed)
        assert read_source_cohort(written_csv(tmp_path, mixed), SCHEMA).content_hash == wanted
    changed = TABLE.copy()
    changed.loc[4, "crp"] = 880.0001
    assert read_source_cohort(written_csv(tmp_path, changed), SCHEMA).content_hash != wanted
    assert read_source_cohort(written_csv(tmp_path, TABLE.iloc[1:]), SCHEMA).content_hash != wanted
    unnamed = TABLE.copy()
    unnamed["note"] = "another"  # a column that the study does not name
    assert read_source_cohort(written_csv(tmp_path, unnamed), SCHEMA).content_hash == wanted


def test_a_stamp_changes_when_the_file_is_written(tmp_path: Path) -> None:
    source = written_csv(tmp_path)
    before = stamp_of(source)
    assert before is not None
    assert stamp_of(source) == before
    assert source.path is not None
    source.path.write_bytes(source.path.read_bytes())  # even with the same content
    assert stamp_of(source) != before


def test_a_file_of_another_kind_than_the_policy_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"does not end in \.parquet"):
        read_source(replace(written_csv(tmp_path), kind=SourceKind.PARQUET))


# Any database


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "patients.db")) as connection:
        TABLE.to_sql("patients", connection, index=False)
    return f"sqlite:///{tmp_path / 'patients.db'}"


def database(folder: Path, url: str, statement: str = SELECT) -> SourceSpec:
    (folder / "address").unlink(missing_ok=True)
    (folder / "address").write_text(f"{url}\n")
    (folder / "address").chmod(0o400)
    return SourceSpec("registry", SourceKind.SQL, statement=statement, url_file=folder / "address")


def test_a_database_is_always_read_again(tmp_path: Path, sqlite_url: str) -> None:
    assert stamp_of(database(tmp_path, sqlite_url)) is None


def test_the_address_may_lie_in_the_environment(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SourceSpec("registry", SourceKind.SQL, statement=SELECT, url_variable="ONCOFED_DATABASE")
    with pytest.raises(InvalidInput, match="address is missing"):
        read_source(source)
    monkeypatch.setenv("ONCOFED_DATABASE", sqlite_url)
    wanted = read_source_cohort(written_csv(tmp_path), SCHEMA).content_hash
    assert read_source_cohort(source, SCHEMA).content_hash == wanted


@pytest.mark.parametrize("url", ["", "no address", "postgresql//x", "mysql+pymysql://u:kA7-geheim@h/d", "oracle://h"])
def test_an_address_that_leads_nowhere_is_told_without_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_source(database(tmp_path, url))
    assert PASSWORD not in str(refusal.value)


def test_a_missing_address_file_is_told(tmp_path: Path) -> None:
    source = SourceSpec("registry", SourceKind.SQL, statement=SELECT, url_file=tmp_path / "none")
    with pytest.raises(InvalidInput, match=r"registry: of the file .* does not exist"):
        read_source(source)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o420, 0o402, 0o401])
def test_an_address_that_others_may_read_or_change_is_refused(tmp_path: Path, sqlite_url: str, mode: int) -> None:
    source = database(tmp_path, sqlite_url)
    assert len(read_source(source)) == 7
    (tmp_path / "address").chmod(mode)
    with pytest.raises(InvalidInput, match="others than its owner") as refusal:
        read_source(source)
    assert "patients.db" not in str(refusal.value)
    (tmp_path / "address").chmod(0o600)
    assert len(read_source(source)) == 7


def test_sqlite_is_held_to_reading_too(tmp_path: Path, sqlite_url: str) -> None:
    with pytest.raises(InvalidInput):
        read_source(database(tmp_path, sqlite_url, "DELETE FROM patients RETURNING *"))
    assert len(read_source(database(tmp_path, sqlite_url))) == 7


def test_two_columns_of_one_name_are_refused(tmp_path: Path, sqlite_url: str) -> None:
    with pytest.raises(InvalidInput, match="one and the same name"):
        read_source(database(tmp_path, sqlite_url, "SELECT patient, crp AS months, months FROM patients"))


# A real PostgreSQL


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with running_postgresql() as server:
        with_patients(server)
        yield server


def with_patients(server: Server) -> None:
    """The table as a hospital's database has it, in the database's own types."""
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it

    made = """CREATE TABLE patients (patient text PRIMARY KEY, age_years integer, crp double precision, smoker boolean,
              entity varchar(20), months numeric(12, 6), death smallint, note text)"""
    with psycopg.connect(server.url) as connection:
        connection.execute(made)
        for row in TABLE.sample(frac=1.0, random_state=1).itertuples(index=False):
            cells = [None if pd.isna(cell) else cell for cell in row]
            cells[1] = None if cells[1] is None else int(cells[1])
            cells[3] = None if cells[3] is None else bool(cells[3])
            connection.execute("INSERT INTO patients VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", cells)


def test_postgresql_holds_the_same_cohort_as_the_files(tmp_path: Path, postgresql: Server) -> None:
    wanted = read_source_cohort(written_csv(tmp_path), SCHEMA)
    for statement in (SELECT, "SELECT * FROM patients", f"{SELECT} ORDER BY months DESC", f"{SELECT};"):
        found = read_source_cohort(database(tmp_path, postgresql.url, statement), SCHEMA)
        assert found.content_hash == wanted.content_hash
    assert read_source_cohort(written_parquet(tmp_path), SCHEMA).content_hash == wanted.content_hash


def test_the_statement_arrives_as_it_stands(tmp_path: Path, postgresql: Server) -> None:
    """Colons, percent signs and casts are the database's."""
    statement = (
        "SELECT patient::text AS patient, ':x' AS colon, 7 % 4 AS rest FROM patients WHERE note LIKE '50 \\% : %'"
    )
    table = read_source(database(tmp_path, postgresql.url, statement))
    assert table.to_dict("records") == [{"patient": PLANTED, "colon": ":x", "rest": 3}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM patients RETURNING *",
        "WITH gone AS (DELETE FROM patients RETURNING *) SELECT * FROM gone",
        "SELECT patient, setval('counter', 99) FROM patients",
        "CREATE TABLE other AS SELECT * FROM patients",
        "SELECT * INTO other FROM patients",
        "TRUNCATE patients",
        "COMMIT; DELETE FROM patients RETURNING *",
    ],
)
def test_postgresql_is_held_to_reading(tmp_path: Path, postgresql: Server, statement: str) -> None:
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it

    with psycopg.connect(postgresql.url) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS counter")
    with pytest.raises(InvalidInput, match="its database refuses"):
        read_source(database(tmp_path, postgresql.url, statement))
    with psycopg.connect(postgresql.url) as connection:
        (number,) = connection.execute("SELECT count(*) FROM patients").fetchone() or (0,)
        (other,) = connection.execute("SELECT to_regclass('other')").fetchone() or ("",)
        (counter,) = connection.execute("SELECT last_value FROM counter").fetchone() or (0,)
    assert (number, other, counter) == (7, None, 1)


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT '{PLANTED}'::integer AS patient",  # PostgreSQL's own words quote the cell
        "SELECT note::integer FROM patients",
        "SELECT nothing FROM patients",
        "SELEC",
        "COMMIT",
    ],
)
def test_no_message_quotes_a_cell_the_statement_or_the_password(
    tmp_path: Path, postgresql: Server, statement: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_source(database(tmp_path, postgresql.url, statement))
    for words in (PLANTED, PASSWORD, "Köln", "patients", "127.0.0.1"):
        assert words not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_wrong_password_and_a_server_that_is_gone_are_told(tmp_path: Path, postgresql: Server) -> None:
    for url in (postgresql.url.replace(PASSWORD, "wrong"), postgresql.url.replace(str(postgresql.port), "1")):
        with pytest.raises(InvalidInput, match="cannot be reached") as refusal:
            read_source(database(tmp_path, url))
        assert "wrong" not in str(refusal.value)


@pytest.mark.parametrize("cell", ["number::real", "number::float(24)", "to_jsonb(number + 0.0)"])
def test_identifiers_that_postgresql_rounded_name_nobody(tmp_path: Path, postgresql: Server, cell: str) -> None:
    """The driver hands 32 bits on as Python's 64, and 123456789 stands for its neighbours already."""
    numbers = "(20240101), (123456789), (16777217), (7), (16777215)"
    rounded = f"SELECT {cell} AS patient FROM (VALUES {numbers}) AS t(number)"
    patients = read_source(database(tmp_path, postgresql.url, rounded))["patient"]
    (fault,) = identifiers_in(patients, where="t").faults
    assert (fault.what, fault.count) == (
        "the identifier is a number with a fraction, or too large to be kept exactly",
        3,
    )


@pytest.mark.parametrize("kind", ["double precision", "numeric", "numeric(12,2)", "bigint", "text"])
def test_identifiers_that_postgresql_keeps_exactly_are_taken(tmp_path: Path, postgresql: Server, kind: str) -> None:
    """The settings of a server or a person that sends fewer digits do not matter."""
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it

    with psycopg.connect(postgresql.url) as connection:
        connection.execute("ALTER ROLE oncofed SET extra_float_digits = -10")
    numbers = [20240101, 123456789, 16777217, 7]
    try:
        statement = (
            f"SELECT number::{kind} AS patient FROM (VALUES {', '.join(f'({n})' for n in numbers)}) AS t(number)"
        )
        found = identifiers_in(read_source(database(tmp_path, postgresql.url, statement))["patient"], where="t")
    finally:
        with psycopg.connect(postgresql.url) as connection:
            connection.execute("ALTER ROLE oncofed RESET extra_float_digits")
    assert (found.faults, found.names.to_pylist()) == ((), [str(number) for number in numbers])


@pytest.mark.parametrize("kind", ["real", "double precision", "numeric"])
@pytest.mark.parametrize("odd", ["NULL", "3e7", "123456792", "-33554434", "1e30", "'NaN'"])
def test_numbers_in_postgresql_are_those_of_its_own_export(
    tmp_path: Path, postgresql: Server, kind: str, odd: str
) -> None:
    """Digit by digit, and a NaN is refused in both, or missing in both where the schema lists the word."""
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it

    statement = f"SELECT 1 AS patient, cell::{kind} AS crp FROM (VALUES (0.1::float8), ({odd}), (-7.25)) AS t(cell)"
    copy = f"COPY ({statement}) TO STDOUT WITH (FORMAT csv, HEADER)"
    with psycopg.connect(postgresql.url) as connection, connection.cursor().copy(copy) as copied:
        (tmp_path / "export.csv").write_bytes(b"".join(bytes(piece) for piece in copied))
    stored = read_source(database(tmp_path, postgresql.url, statement))["crp"]
    exported = read_source(SourceSpec("export", SourceKind.CSV, path=tmp_path / "export.csv"))["crp"]
    for codes in ((), ("NaN",)):
        found, wanted = numbers(stored, codes), numbers(exported, codes)
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.malformed, wanted.malformed)
        assert found.malformed.tolist() == [False, odd == "'NaN'" and not codes, False]


def test_values_of_32_bits_are_what_the_database_shows(tmp_path: Path, postgresql: Server) -> None:
    statement = "SELECT cell::real AS crp FROM (VALUES (0.1), (NULL), (3e7), ('NaN'), ('Infinity')) AS t(cell)"
    cells = read_source(database(tmp_path, postgresql.url, statement))["crp"]
    read = numbers(cells)
    np.testing.assert_array_equal(read.values, [0.1, np.nan, 3e7, np.nan, np.nan])
    assert read.malformed.tolist() == [False, False, False, True, True]
