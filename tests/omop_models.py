"""What are the invented OMOP model's tables in files and in a database, for tests that read them from there?"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from studies.omop.make_omop import Model, model, type_of

EXAMPLE = Path(__file__).resolve().parents[1] / "simulations" / "studies" / "omop"
MODEL = model()
SCHEMA = "cdm"


def with_example(folder: Path) -> Path:
    """The mapping, beside its schema."""
    for name in ("schema.toml", "mapping.toml"):
        shutil.copy(EXAMPLE / name, folder)
    return folder / "mapping.toml"


def from_database(mapping: Path, url: str, *, schema: str | None = SCHEMA) -> Path:
    """The same mapping of a model at this address."""
    address = mapping.with_name("address")
    address.write_text(url + "\n")
    address.chmod(0o600)
    place = 'url_file = "address"' + (f'\ndatabase_schema = "{schema}"' if schema else "")
    mapping.write_text(mapping.read_text().replace('path = "cdm"', place))
    return mapping


def rows_of(table: pd.DataFrame) -> list[tuple[object, ...]]:
    """As a database's driver takes them."""
    cells = table.astype(object).where(table.notna(), None)
    return [tuple(row) for row in cells.itertuples(index=False)]


def to_postgresql(url: str, found: Model = MODEL, *, schema: str = SCHEMA) -> None:
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
        for name, table in found.tables.items():
            columns = ", ".join(f"{column} {type_of(column)}" for column in table.columns)
            cursor.execute(f"CREATE TABLE {schema}.{name} ({columns})".encode())
            with cursor.copy(f"COPY {schema}.{name} FROM STDIN".encode()) as copy:
                for row in rows_of(table):
                    copy.write_row(row)


def to_sqlite(path: Path, found: Model = MODEL) -> str:
    """The address. SQLite keeps days as texts."""
    with closing(sqlite3.connect(path)) as connection:
        for name, table in found.tables.items():
            connection.execute(f"CREATE TABLE {name} ({', '.join(table.columns)})")
            marks = ", ".join("?" * len(table.columns))
            rows = [[cell.isoformat() if isinstance(cell, date) else cell for cell in row] for row in rows_of(table)]
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        connection.commit()
    return f"sqlite:///{path}"


def to_parquet(folder: Path, found: Model = MODEL) -> None:
    folder.mkdir()
    for name, table in found.tables.items():
        table.to_parquet(folder / f"{name.upper()}.parquet", index=False)


def assert_is(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert list(found["patient_id"]) == list(truth["patient_id"])
    for column in truth.columns:
        if truth[column].dtype == object:
            assert list(found[column]) == list(truth[column]), column
        else:
            wanted = truth[column].to_numpy(dtype=float)
            np.testing.assert_allclose(found[column].to_numpy(dtype=float), wanted, rtol=1e-12, err_msg=column)
