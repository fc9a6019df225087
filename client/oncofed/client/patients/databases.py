"""How is a hospital's database read, and never written?

Promises: what is read is read in a transaction that cannot write, and of one state of the database. The address, which
may hold a password, is never in a message; nor are the database's own words, which may quote cells. A number that the
database stores with fewer bits than Python does is not taken for an exact one (`as_stored`); what a statement itself
turns into another type cannot be seen. Refused, with InvalidInput: a database that cannot be held to reading, one that
cannot be reached, a driver that is not installed, an address that others than its file's owner may read.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from oncofed.cohort.cells import SINGLE, Rounded
from oncofed.cohort.letters import plain
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult

_POSTGRESQL = "postgresql+psycopg"
_SETTINGS = "-c default_transaction_read_only=on -c extra_float_digits=3"
"""Whatever ends the transaction inside the statement, the next one cannot write either. And numbers come with all
their digits, which servers before 12, and whoever sets it so, do not send."""
_EXACT = frozenset({701, 1700})
"""The types `double precision` and `numeric` of PostgreSQL (pg_type.dat). Others that become Python's floats, `real`
(700) among them, may hold fewer digits than those."""


@dataclass(frozen=True)
class DatabaseAddress:
    """Where a database is. One of the two is given.

    where         what faults call what is read from it.
    url_file      a file whose one line is the address, such as postgresql://reader:word@host/name.
    url_variable  the environment variable that holds it.
    owner         who alone may read that file.
    remedy        of whatever the database refuses.
    """

    where: str
    url_file: Path | None
    url_variable: str | None
    owner: str
    remedy: str

    @property
    def url(self) -> URL:
        from sqlalchemy.engine import make_url  # noqa: PLC0415 - as in `reading`
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - as in `reading`

        try:
            url = make_url(self._text)
        except (ArgumentError, ValueError):
            remedy = "Write it as postgresql://user:password@host:5432/database."
            raise InvalidInput([Fault(self.where, "its database's address is missing or malformed", remedy)]) from None
        # SQLAlchemy means another driver by the bare name.
        return url.set(drivername=_POSTGRESQL) if url.drivername == "postgresql" else url

    @property
    def _text(self) -> str:
        if self.url_file is None:
            assert self.url_variable is not None
            return os.environ.get(self.url_variable, "").strip()
        try:
            return read_secret(self.url_file).decode("utf-8").strip()
        except UnicodeError:
            remedy = f"Write it there, readable by {self.owner} alone."
            fault = Fault(self.where, "the file with its database's address cannot be read", remedy)
            raise InvalidInput([fault]) from None
        except InvalidInput as refused:  # its remedies are right, and it names the file and not the source
            faults = [
                Fault(self.where, f"of the file with its database's address: {each.what}", each.remedy)
                for each in refused.faults
            ]
            raise InvalidInput(faults) from None


@contextmanager
def reading(address: DatabaseAddress) -> Iterator[Connection]:
    """A connection inside its one transaction, which cannot write. Raises InvalidInput, also for what is done with it.

    The driver gets a statement as it stands (`exec_driver_sql`): no colon or percent sign in it is a parameter.
    """
    # Hospitals with files only need no database driver, and starting does not wait for it.
    import sqlalchemy  # noqa: PLC0415 - as said above
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - likewise

    url = address.url
    try:
        server = {"options": _SETTINGS} if url.drivername == _POSTGRESQL else {}
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=server)
        with engine.connect().execution_options(no_parameters=True) as connection:
            _read_only(connection, address.where)
            with connection.begin():
                yield connection
    except ModuleNotFoundError:
        remedy = "Install it: pip install 'oncofed[sql]' for PostgreSQL."
        raise InvalidInput([Fault(address.where, "the driver of its database is not installed", remedy)]) from None
    except SQLAlchemyError as error:  # its text quotes the statement, and may quote cells
        what = f"its database refuses or cannot be reached ({type(error).__name__})"
        raise InvalidInput([Fault(address.where, what, address.remedy)]) from None


def narrow_columns(found: CursorResult[Any]) -> frozenset[str]:
    """The columns whose floats, if they hold any, are not proven to be of 64 bits; names as tables have them.

    To be asked before the rows are. SQLite stores each of its floats in 64 bits, and tells no types.
    """
    if found.dialect.name != "postgresql" or found.cursor is None:
        return frozenset()
    described: Sequence[Sequence[Any]] = found.cursor.description or ()
    return frozenset(plain(str(column[0])) for column in described if column[1] not in _EXACT)


def as_stored(table: pd.DataFrame, narrow: Collection[str]) -> pd.DataFrame:
    """The table as the database's own export writes it, so that a file of it holds the same patients.

    A number stays what the driver read, which is what the database prints: 123456790 and 0.1 of a `real`, and not the
    123456792 and 0.10000000149 that are the same in 32 bits. Where it may stand for its neighbours it says so
    (`oncofed.cohort.cells.Rounded`), and names nobody. NaN is a word, as in the export, and no empty cell, which is
    None; in a column of floating-point numbers NaN is what stands for None.
    """
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        if pd.api.types.is_float_dtype(column.dtype):
            may_be_rounded = name in narrow and bool((column.abs() >= SINGLE).any())
            cells = [_rounded(cell) for cell in column.tolist()] if may_be_rounded else None
        elif column.dtype == object:
            found = [
                _NAN if isinstance(cell, float | Decimal) and math.isnan(cell) else cell for cell in column.tolist()
            ]
            cells = [_rounded(cell) for cell in found] if name in narrow else found
        else:
            cells = None
        if cells is not None:
            table.isetitem(place, pd.Series(cells, dtype=object).array)
    return table


_NAN = "NaN"
"""As PostgreSQL writes it."""


def _rounded(cell: object) -> object:
    return Rounded(cell) if isinstance(cell, float) and SINGLE <= abs(cell) < np.inf else cell


_TELLING = frozenset(
    {
        "data_version",
        "database_list",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "page_size",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
"""Pragmas that tell what there is; a search in texts (FTS) asks for some by itself."""


def _reads(action: int, argument: str | None, *_: str | None) -> int:
    """Whether SQLite may do it, where `query_only` keeps it from writing to its own file.

    Refused is what leads to another file (ATTACH, and so VACUUM INTO), and each pragma that sets something, such as
    `query_only` itself. SQLite asks for more than it does: `json_each` declares its columns as an UPDATE.
    """
    sets = action == sqlite3.SQLITE_PRAGMA and argument not in _TELLING
    return sqlite3.SQLITE_DENY if sets or action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _read_only(connection: Connection, where: str) -> None:
    """Hold the connection to reading, and to one state of the database."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA query_only = ON")
        driver.set_authorizer(_reads)
    else:
        what, remedy = "this kind of database cannot be held to reading", "Use PostgreSQL, or export a Parquet file."
        raise InvalidInput([Fault(where, what, remedy)])
