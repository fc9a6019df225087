"""Where do the tables of an OMOP common data model lie, and which of their rows are read?

In a folder of files with the tables' names (CSV, Parquet, or a folder of parts for a table), or in a database. Both
answer alike: columns under the model's names in small letters, only the rows that are asked for. A file is read through
the one reader of tables (`oncofed.cohort.table`); of a database the server leaves out what nobody asks for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from oncofed.client.importing.database_rows import STREAMED, OpenDatabases, rows_of
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.omop_tables import NAMES, OF_VOCABULARY, PERSON_ID
from oncofed.client.importing.omop_vocabulary import is_published, rows_of_vocabulary
from oncofed.client.importing.readings import Column, Mask, Places
from oncofed.client.importing.text_forms import form_of
from oncofed.cohort.table import Tell, keep_to_oneself, read_table
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")
_NUMBERED = re.compile(r"[^a-z].*\d.*|[^a-z]*(?:copy|kopie|part|teil)\b.*", re.DOTALL)
"""Behind a table's name in that of a file, which then may hold a part of it: measurement_2, death-2021, person (1)."""
_ID, _LARGEST = re.compile(r"\d{1,15}(\.0+)?", re.ASCII), 10**15


@dataclass(frozen=True)
class Only:
    """Rows whose concept is one of `concepts`; or that have none, and of which `own` is one of `words`, or nearly.

    unmapped  whether all that have none are rows of it. missing: words for none, as in `ids_in`.

    What is no concept id is a row of it, so that somebody refuses it.
    """

    column: str
    concepts: frozenset[int]
    own: str | None = None
    words: frozenset[str] = frozenset()
    unmapped: bool = False
    missing: tuple[str, ...] = ()

    def of(self, frame: pd.DataFrame) -> Mask:
        """(rows,) The one rule; a server may send more rows than these."""
        ids, malformed = ids_in(Column(frame[self.column]), self.missing)
        chosen = malformed | np.isin(ids, list(self.concepts))
        none = ids == 0
        if self.unmapped:
            chosen |= none
        elif self.own is not None and self.own in frame.columns and self.words:
            own = Column(frame[self.own])
            chosen |= none & (own.among(self.words) | own.near(self.words))
        return chosen


def ids_in(column: Column, missing: Collection[str] = ()) -> tuple[Places, Mask]:
    """(rows,) whole numbers, 0 where a cell is empty; and (rows,) where something else stands.

    missing  words for "not known". Of these a whole number may be a concept, one below 0 is none.
    """
    gone = column.empty([word for word in missing if not word.isdecimal()])
    if column.typed is not None:
        found = np.where(gone, 0.0, column.typed)
        wrong = (found % 1 != 0) | (found < 0) | (found >= _LARGEST)
    else:
        found = np.where(gone, 0.0, column.each(lambda text: float(text) if _ID.fullmatch(text) else np.nan, 0.0))
        wrong = np.isnan(found)
    return np.where(wrong, 0.0, found).astype(np.int64), wrong


class CdmRows(Protocol):
    """One conformance: `tests/unit/client/importing/test_omop.py` reads one model from both."""

    def where(self, table: str) -> str:
        """What faults call the table."""

    def has(self, table: str) -> bool: ...

    def read(
        self, table: str, needed: Iterable[str], optional: Iterable[str] = (), *, only: Sequence[Only] = ()
    ) -> pd.DataFrame:
        """These columns, of the optional ones those that there are, in any order. Raises InvalidInput."""

    def days(self, table: str, day: str, *, last: bool) -> pd.DataFrame:
        """Of each person the last day (or the first), perhaps among others."""


def _absent(where: str, columns: Iterable[str]) -> InvalidInput:
    remedy = "Export the table with it, or correct the name in the mapping."
    return InvalidInput([Fault(f'{where}: column "{each}"', "is not in the table", remedy) for each in columns])


class FolderRows:
    """A model in files."""

    def __init__(self, source: Source, folder: Path, tell: Tell) -> None:
        self._source, self._tell = source, tell
        self._folder = folder / source.lies_at
        if not self._folder.is_dir():
            raise InvalidInput([Fault(self._folder.name, "is not a folder", "Name the folder of OMOP's tables.")])

    @cached_property
    def _files(self) -> Mapping[str, list[Path]]:
        """By the table's name: its one file, or the parts of it in a folder of that name."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self._folder.iterdir()):
            name = path.name.casefold()
            if path.is_dir():
                parts = [part for part in sorted(path.iterdir()) if part.name.casefold().endswith(_ENDINGS)]
                found.setdefault(name, []).extend(parts)
            elif name.endswith(_ENDINGS):
                found.setdefault(name.partition(".")[0], []).append(path)
        return found

    def _paths(self, table: str) -> list[Path]:
        paths = self._files.get(table, [])
        if not paths:
            remedy = f"Name its file {table}.csv, {table}.csv.gz or {table}.parquet, or a folder of parts {table}."
            raise InvalidInput([Fault(f"{self._folder.name}: table {table}", "has no file", remedy)])
        if len({path.parent for path in paths}) > 1 or (len(paths) > 1 and paths[0].parent == self._folder):
            what = f"has {len(paths)} files"
            raise InvalidInput([Fault(f"{self._folder.name}: table {table}", what, "Keep one of them.")])
        if count := len(self._others(table)):
            what = "has files beside that of the table, which by their names may be parts of it and are not read"
            remedy = f"Put all parts into a folder {table}, and nothing else; or take these files away."
            raise InvalidInput([Fault(f"{self._folder.name}: table {table}", what, remedy, count)])
        return paths

    def _others(self, table: str) -> list[Path]:
        """Files that may be parts of the table, and are called otherwise than it or lie deeper than its parts."""
        longer = tuple(each for each in NAMES if each.startswith(f"{table}_"))
        found = []
        for path in self._folder.iterdir():
            name = path.name.casefold()
            if path.is_dir():
                found += [*path.glob("*/**/*")] if name == table else []
            elif name.startswith(table) and not name.startswith(longer):
                found += [path] if _NUMBERED.fullmatch(name.partition(".")[0], len(table)) else []
        return [path for path in found if path.name.casefold().endswith(_ENDINGS)]

    def where(self, table: str) -> str:
        paths = self._files.get(table, [])
        return paths[0].name if len(paths) == 1 else f"table {table}"

    def has(self, table: str) -> bool:
        return bool(self._files.get(table) or self._others(table))

    def read(
        self, table: str, needed: Iterable[str], optional: Iterable[str] = (), *, only: Sequence[Only] = ()
    ) -> pd.DataFrame:
        needed = list(dict.fromkeys(needed))
        wanted = list(dict.fromkeys([*needed, *optional]))
        parts = []
        for path in self._paths(table):
            if table in OF_VOCABULARY and is_published(path):
                frame = rows_of_vocabulary(path, wanted, {each.column: each.concepts for each in only})
            else:
                form = form_of(replace(self._source, path=path))
                frame = read_table(path, columns=wanted, tell=self._tell, form=form)
            frame = frame.rename(columns={str(name): str(name).strip().casefold() for name in frame.columns})
            if frame.columns.has_duplicates:
                what = "has columns whose names differ only in capitals or blanks"
                raise InvalidInput([Fault(path.name, what, "Remove all but one of each.")])
            if absent := [column for column in needed if column not in frame.columns]:
                raise _absent(path.name, absent)
            parts.append(_kept(frame, only))
        return parts[0] if len(parts) == 1 else _together(parts, self.where(table))

    def days(self, table: str, day: str, *, last: bool) -> pd.DataFrame:
        return self.read(table, [PERSON_ID, day])


def _kept(frame: pd.DataFrame, only: Sequence[Only]) -> pd.DataFrame:
    kept = np.ones(len(frame), dtype=np.bool_)
    for each in only:
        kept &= each.of(frame)
    return frame if kept.all() else frame[kept].reset_index(drop=True)


def _together(parts: Sequence[pd.DataFrame], where: str) -> pd.DataFrame:
    if len({frozenset(part.columns) for part in parts}) > 1:
        raise InvalidInput([Fault(where, "has parts with different columns", "Export the table again.")])
    columns = {}
    for name in parts[0].columns:
        cells = [part[name] for part in parts]
        if all(isinstance(each.dtype, pd.CategoricalDtype) for each in cells):
            columns[name] = pd.Series(pd.api.types.union_categoricals(cells))
        else:
            columns[name] = pd.concat(cells, ignore_index=True)
    return pd.DataFrame(columns)


_LEFT_OUT = "K;`0AEIOU"
"""Letters of ASCII that are the composed form (NFC) of others; zeros, which a number may lack; and what has accents."""


def _holding(word: str) -> str:
    """The pattern (LIKE) of every text that may be this word, or nearly: its letters of ASCII in their order.

    Without those that other letters are nearly, or stand for: composed, the sign of kelvin is a K.
    """
    letters = (letter for letter in word if letter.isascii() and letter.isalnum() and letter.upper() not in _LEFT_OUT)
    return "".join(f"%{letter}" for letter in letters) + "%"


class DatabaseRows:
    """A model in a database."""

    def __init__(self, source: Source, databases: OpenDatabases, tell: Tell = keep_to_oneself) -> None:
        self._source, self._databases, self._tell = source, databases, tell
        self._columns: dict[str, Mapping[str, str]] = {}

    def where(self, table: str) -> str:
        return f"table {table}"

    def has(self, table: str) -> bool:
        from sqlalchemy import inspect  # noqa: PLC0415 - starting does not wait for it

        with self._databases.asking(self._source) as connection:
            return inspect(connection).has_table(table, schema=self._source.database_schema)

    def _named(self, table: str) -> Mapping[str, str]:
        """The columns, by their names in small letters. Raises InvalidInput where there is no such table."""
        from sqlalchemy import inspect  # noqa: PLC0415 - as in `has`

        if table not in self._columns:
            if not self.has(table):
                remedy = "Name the schema of the tables (database_schema), and give this user the right to read them."
                raise InvalidInput([Fault(self.where(table), "is not in the database", remedy)])
            with self._databases.asking(self._source) as connection:
                columns = inspect(connection).get_columns(table, schema=self._source.database_schema)
            self._columns[table] = {str(each["name"]).casefold(): str(each["name"]) for each in columns}
        return self._columns[table]

    def _selected(self, table: str, columns: Iterable[str]) -> tuple[Any, list[Any]]:
        import sqlalchemy  # noqa: PLC0415 - as in `has`

        known = self._named(table)
        cells: list[Any] = [sqlalchemy.column(known[column]).label(column) for column in columns]
        return sqlalchemy.table(table, schema=self._source.database_schema), cells

    def read(
        self, table: str, needed: Iterable[str], optional: Iterable[str] = (), *, only: Sequence[Only] = ()
    ) -> pd.DataFrame:
        import sqlalchemy  # noqa: PLC0415 - as in `has`

        known = self._named(table)
        if absent := [column for column in dict.fromkeys(needed) if column not in known]:
            raise _absent(self.where(table), absent)
        wanted = list(dict.fromkeys([*needed, *(column for column in optional if column in known)]))
        place, cells = self._selected(table, wanted)
        statement = sqlalchemy.select(*cells).select_from(place)
        for each in only:
            statement = statement.where(self._chosen(each, known))
        with self._databases.asking(self._source) as connection:
            found = rows_of(connection.execute(statement, execution_options=STREAMED), self._source, tell=self._tell)
        return _kept(found, [each for each in only if each.words])

    def _chosen(self, only: Only, known: Mapping[str, str]) -> ColumnElement[bool]:
        """What a server can ask: of words whether a text holds their plain letters in this order.

        It does not compare texts as people do, with their blanks and composed letters. Constants stand in the
        statement, since a server takes no more than some thousand parameters.
        """
        import sqlalchemy  # noqa: PLC0415 - as in `has`

        def among(column: str, listed: Iterable[object]) -> ColumnElement[bool]:
            values: Any = sqlalchemy.bindparam(None, sorted(listed, key=str), expanding=True, literal_execute=True)
            return sqlalchemy.column(known[column]).in_(values)

        concept: ColumnElement[int] = sqlalchemy.column(known[only.column])
        chosen = sqlalchemy.or_(among(only.column, only.concepts), concept < 0)
        unmapped = sqlalchemy.func.coalesce(concept, 0) == 0
        if words := [word for word in only.missing if not word.isdecimal()]:
            listed: Any = sqlalchemy.bindparam(None, words, expanding=True)
            unmapped = sqlalchemy.or_(unmapped, sqlalchemy.cast(concept, sqlalchemy.String).in_(listed))
        if only.unmapped:
            return sqlalchemy.or_(chosen, unmapped)
        if only.own is None or only.own not in known or not only.words:
            return chosen
        own = sqlalchemy.cast(sqlalchemy.column(known[only.own]), sqlalchemy.String)
        alike = [
            own.ilike(sqlalchemy.bindparam(None, pattern, literal_execute=True), escape="/")
            for pattern in sorted(set(map(_holding, only.words)))
        ]
        return sqlalchemy.or_(chosen, sqlalchemy.and_(unmapped, sqlalchemy.or_(*alike)))

    def days(self, table: str, day: str, *, last: bool) -> pd.DataFrame:
        import sqlalchemy  # noqa: PLC0415 - as in `has`

        if absent := [column for column in (PERSON_ID, day) if column not in self._named(table)]:
            raise _absent(self.where(table), absent)
        place, (person, when) = self._selected(table, [PERSON_ID, day])
        end = (sqlalchemy.func.max if last else sqlalchemy.func.min)(when.element).label(day)
        statement = sqlalchemy.select(person, end).select_from(place).group_by(person.element)
        with self._databases.asking(self._source) as connection:
            return rows_of(connection.execute(statement, execution_options=STREAMED), self._source, tell=self._tell)
