"""How is a hospital's database read, and never written?

Promises: what is read is read in a transaction that cannot write, and of one state of the database. The address, which
may hold a password, is never in a message; nor are the database's own words, which may quote cells. Refused, with
InvalidInput: a database that cannot be held to reading, one that cannot be reached, a driver that is not installed, an
address that others than its file's owner may read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_POSTGRESQL = "postgresql+psycopg"


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
        # Whatever ends the transaction inside the statement, the next one cannot write either.
        server = {"options": "-c default_transaction_read_only=on"} if url.drivername == _POSTGRESQL else {}
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
