"""Which table does a hospital's data source hold now, and may it have changed since it was read?

A source is a CSV or Parquet file, or one statement on a database (`databases`), as the policy gives it; whatever a
source is, its cells mean the same afterwards (`oncofed.cohort.validation`), so that the same patients give the same
cohort from each.

Promises: the address of a database is never in the policy, and nothing of the table in a message. Refused, with
InvalidInput: what cannot be read, two columns of one name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pandas as pd

from oncofed.client.patients.databases import DatabaseAddress, as_stored, narrow_columns, reading
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.table import Tell, keep_to_oneself, named_frame, read_table
from oncofed.cohort.validation import named_columns, validate
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import opened


class SourceKind(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    SQL = "sql"


@dataclass(frozen=True)
class SourceSpec:
    """Where one data source is.

    name          the stable id under which the ledger counts.
    path          of the file; kinds csv and parquet.
    statement     one SELECT, one row a patient; kind sql, as are the next two, of which one is given.
    url_file      a file whose one line is the database's address, such as postgresql://reader:word@host/name.
    url_variable  the environment variable that holds it.
    """

    name: str
    kind: SourceKind
    path: Path | None = None
    statement: str | None = None
    url_file: Path | None = None
    url_variable: str | None = None

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Where the patients lie, to compare sources: paths by where links lead, statements without their blanks."""
        statement = " ".join((self.statement or "").split()).rstrip("; ")
        return (_leads_to(self.path), statement, _leads_to(self.url_file), self.url_variable or "")


def _leads_to(path: Path | None) -> str:
    """A link that leads to itself is told where the file is read."""
    return "" if path is None else os.path.realpath(path)


@dataclass(frozen=True)
class SourceStamp:
    """Cheap signs of a file. Equal stamps: not written since, unless somebody took pains to hide it."""

    size_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


def stamp_of(source: SourceSpec) -> SourceStamp | None:
    """The stamp of a source that is a file; None for a database, or a file that is not there: always read again."""
    if source.path is None:
        return None
    try:
        found = source.path.stat()
    except OSError:
        return None
    return SourceStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def read_source(
    source: SourceSpec, *, columns: Iterable[str] | None = None, tell: Tell = keep_to_oneself
) -> pd.DataFrame:
    """The table, one row a patient. Raises InvalidInput. Arguments as for `oncofed.cohort.table.read_table`."""
    if source.kind is SourceKind.SQL:
        return _read_sql(source, columns)
    assert source.path is not None
    if source.path.suffix.lower() != f".{source.kind.value}":
        raise InvalidInput(
            [
                Fault(
                    f"data source {source.name}",
                    f"its file does not end in .{source.kind.value}",
                    "Rename one of them.",
                )
            ]
        )
    return read_table(source.path, columns=columns, tell=tell)


def file_digest(source: SourceSpec) -> str:
    """SHA-256 of a source that is a file; empty for a database, and where the file cannot be read."""
    if source.path is None:
        return ""
    try:
        with opened(source.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # whoever reads the table says why


def read_source_cohort(source: SourceSpec, schema: StudySchema) -> Cohort:
    """The patients in the order of their identifiers: a database has no order of its own. Raises InvalidInput."""
    table = read_source(source, columns=named_columns(schema))
    cohort = validate(table, schema, where=f"data source {source.name}")
    return cohort.subset(sorted(range(len(cohort)), key=lambda row: cohort.patient_ids[row]))


def _read_sql(source: SourceSpec, columns: Iterable[str] | None) -> pd.DataFrame:
    assert source.statement is not None
    where = f"data source {source.name}"
    address = DatabaseAddress(
        where=where,
        url_file=source.url_file,
        url_variable=source.url_variable,
        owner="the guard's user",
        remedy="Try the statement of the policy in the database's own client, as the same user.",
    )
    with reading(address) as connection:
        found = connection.exec_driver_sql(source.statement)
        names, narrow = list(found.keys()), narrow_columns(found)
        rows = [tuple(row) for row in found]
    return as_stored(named_frame(rows, names, name=where, columns=columns), narrow)
