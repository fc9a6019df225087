"""What does a hospital's database answer to a source of a mapping?

Read-only, by the one way in (`client.patients.databases`): all sources of an import that name one address are read in
one transaction, so that they are of one state of the database. Rows come from a cursor on the server, a piece at a
time, and only the columns that are asked for are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.moments import UNSAID
from oncofed.client.importing.typed_cells import TypedColumns
from oncofed.client.patients.databases import DatabaseAddress, as_stored, narrow_columns, reading
from oncofed.cohort.letters import plain
from oncofed.cohort.table import Tell, keep_to_oneself
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

_PIECE_ROWS = 20_000
STREAMED = {"stream_results": True}
"""By a cursor on the server."""
_Place = tuple[Path | None, str | None]


def called(source: Source) -> str:
    """What faults call what is read from a database."""
    return f"source {source.name}"


class OpenDatabases:
    """The databases of one import, each opened when it is first asked for, and closed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[_Place, tuple[ExitStack, Connection]] = {}
        self._closed: dict[_Place, InvalidInput] = {}

    def __enter__(self) -> OpenDatabases:
        return self

    def __exit__(self, *error: object) -> None:
        for place in [*self._open]:
            self._close(place)

    def connection(self, source: Source) -> Connection:
        """In its transaction. Raises InvalidInput; of one address the same each time."""
        place = (source.url_file, source.url_variable)
        if place in self._closed:
            raise InvalidInput(self._closed[place].faults)
        if place not in self._open:
            stack = ExitStack()
            try:
                self._open[place] = (stack, stack.enter_context(reading(self._address(source))))
            except InvalidInput as refused:
                self._closed[place] = refused
                raise
        return self._open[place][1]

    def _address(self, source: Source) -> DatabaseAddress:
        called = source.url_variable if source.url_file is None else source.url_file.name
        return DatabaseAddress(
            where=f"database of {called}",
            url_file=None if source.url_file is None else self._folder / source.url_file,
            url_variable=source.url_variable,
            owner="you",
            remedy="Try to reach it with the database's own client, as the same user.",
        )

    def answer(self, source: Source, *, columns: Iterable[str] | None, tell: Tell = keep_to_oneself) -> pd.DataFrame:
        """Of a source that is a statement, these of its columns; None: all. Raises InvalidInput."""
        assert source.statement is not None
        with self.asking(source) as connection:
            found = connection.exec_driver_sql(source.statement, execution_options=STREAMED)
            return rows_of(found, source, columns=columns, tell=tell)

    @contextmanager
    def asking(self, source: Source) -> Iterator[Connection]:
        """What the database refuses is told of the source; the next source asks in a transaction of its own."""
        from sqlalchemy.exc import DataError, SQLAlchemyError  # noqa: PLC0415 - starting does not wait for it

        connection = self.connection(source)
        try:
            yield connection
        except SQLAlchemyError as error:  # its text quotes the statement, and may quote cells
            self._close((source.url_file, source.url_variable))
            remedy = "Try it in the database's own client, as the same user."
            if isinstance(error, DataError):
                remedy += " If it answers there: days such as infinity, or before the year 1, are to be NULL."
            fault = Fault(called(source), f"its database refuses ({type(error).__name__})", remedy)
            raise InvalidInput([fault]) from None

    def _close(self, place: _Place) -> None:
        """A transaction that has only read has nothing to lose."""
        stack, _ = self._open.pop(place)
        with suppress(InvalidInput):
            stack.close()


def rows_of(
    found: CursorResult[Any], source: Source, *, columns: Iterable[str] | None = None, tell: Tell = keep_to_oneself
) -> pd.DataFrame:
    """What is found, under the database's names. Raises InvalidInput for two columns of one name that are asked for."""
    wanted = None if columns is None else {_nearly(column) for column in columns}
    names = [plain(str(name)) for name in found.keys()]  # noqa: SIM118 - a result is no mapping
    kept = [place for place, name in enumerate(names) if wanted is None or _nearly(name) in wanted]
    _refuse_instants(found, [names[place] for place in kept], source)
    typed = TypedColumns([names[place] for place in kept], source)
    narrow = narrow_columns(found)
    with closing(found):
        _refuse_twice(typed.names, source)
        for piece in found.partitions(_PIECE_ROWS):
            typed.add([[row[place] for place in kept] for row in piece])
    for note in typed.notes:
        tell(note)
    return as_stored(typed.frame(), narrow)


_INSTANT = 1184
"""The type `timestamptz` of PostgreSQL (pg_type.dat)."""


def _refuse_instants(found: CursorResult[Any], kept: Sequence[str], source: Source) -> None:
    """A moment is a day only in a time zone, and the connection's is that of the server or of this machine."""
    if found.dialect.name != "postgresql" or found.cursor is None or source.time_zone is not None:
        return
    described: Sequence[Sequence[Any]] = found.cursor.description or ()
    moments = [name for column in described if column[1] == _INSTANT and (name := plain(str(column[0]))) in kept]
    if moments:
        found.close()
        what = "holds moments (timestamptz), which are days only in a time zone"
        remedy = UNSAID
        if source.statement is not None:
            remedy += " Or say in the statement which day it is: (taken AT TIME ZONE 'Europe/Berlin')::date."
        raise InvalidInput([Fault(f'{called(source)}: column "{name}"', what, remedy) for name in moments])


def _refuse_twice(names: Sequence[str], source: Source) -> None:
    if len(set(names)) < len(names):
        remedy = "Give each a name of its own (AS) in the statement."
        raise InvalidInput([Fault(called(source), "two columns have one and the same name", remedy)])


def _nearly(name: str) -> str:
    return plain(name).strip().casefold()
