"""Which table does a hospital's data source hold now, and may it have changed since it was read?

A source is a CSV or Parquet file, or one statement on a database. A database is read in a transaction that cannot
write, with the statement as the policy gives it; whatever a source is, its cells mean the same afterwards
(`oncofed.cohort.validation`), so that the same patients give the same cohort from each.

Promises: the address of a database, which may hold a password, is never in the policy and never in a message; nor is
anything of the table, not even the database's own words about it. Refused, with InvalidInput: what cannot be read, two
columns of one name, a database that cannot be held to reading, an address that others than its file's owner may read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.table import Tell, keep_to_oneself, named_frame, read_table
from oncofed.cohort.validation import named_columns, validate
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


_POSTGRESQL = "postgresql+psycopg"


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


def read_source_cohort(source: SourceSpec, schema: StudySchema) -> Cohort:
    """The patients in the order of their identifiers: a database has no order of its own. Raises InvalidInput."""
    table = read_source(source, columns=named_columns(schema))
    cohort = validate(table, schema, where=f"data source {source.name}")
    return cohort.subset(sorted(range(len(cohort)), key=lambda row: cohort.patient_ids[row]))


def _read_sql(source: SourceSpec, columns: Iterable[str] | None) -> pd.DataFrame:
    # Hospitals with files only need no database driver, and starting does not wait for it.
    import sqlalchemy  # noqa: PLC0415 - as said above
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - likewise

    assert source.statement is not None
    where = f"data source {source.name}"
    address = _address(source)
    try:
        # Whatever ends the transaction inside the statement, the next one cannot write either.
        server = {"options": "-c default_transaction_read_only=on"} if address.drivername == _POSTGRESQL else {}
        engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, connect_args=server)
        # The driver gets the statement as it stands: no colon or percent sign in it is a parameter.
        with engine.connect().execution_options(no_parameters=True) as connection:
            _read_only(connection, where)
            with connection.begin():
                found = connection.exec_driver_sql(source.statement)
                names, rows = list(found.keys()), [tuple(row) for row in found]
    except ModuleNotFoundError:
        remedy = "Install it: pip install 'oncofed[sql]' for PostgreSQL."
        raise InvalidInput([Fault(where, "the driver of its database is not installed", remedy)]) from None
    except SQLAlchemyError as error:  # its text quotes the statement, and may quote cells
        what = f"its database refuses or cannot be reached ({type(error).__name__})"
        remedy = "Try the statement of the policy in the database's own client, as the same user."
        raise InvalidInput([Fault(where, what, remedy)]) from None
    return named_frame(rows, names, name=where, columns=columns)


def _address(source: SourceSpec) -> URL:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - as in _read_sql
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - as in _read_sql

    where = f"data source {source.name}"
    if source.url_file is not None:
        try:
            text = read_secret(source.url_file).decode("utf-8").strip()
        except UnicodeError:
            remedy = "Write it there, readable by the guard's user alone."
            raise InvalidInput([Fault(where, "the file with its database's address cannot be read", remedy)]) from None
        except InvalidInput as refused:  # its remedies are right, and it names the file and not the source
            faults = [
                Fault(where, f"of the file with its database's address: {each.what}", each.remedy)
                for each in refused.faults
            ]
            raise InvalidInput(faults) from None
    else:
        assert source.url_variable is not None
        text = os.environ.get(source.url_variable, "").strip()
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        remedy = "Write it as postgresql://user:password@host:5432/database."
        raise InvalidInput([Fault(where, "its database's address is missing or malformed", remedy)]) from None
    # SQLAlchemy means another driver by the bare name.
    return url.set(drivername=_POSTGRESQL) if url.drivername == "postgresql" else url


def _read_only(connection: Connection, where: str) -> None:
    """Hold the connection to reading, and to one state of the database."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.rollback()
    else:
        what, remedy = "this kind of database cannot be held to reading", "Use PostgreSQL, or export a Parquet file."
        raise InvalidInput([Fault(where, what, remedy)])
