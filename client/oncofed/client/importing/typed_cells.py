"""What are the cells that a database or a spreadsheet stores with types of their own, as the columns of a table?

Python values come in pieces, and are packed a piece at a time, so that a long table needs no more memory than its
columns. A day becomes a text in the source's own form, and so do the numbers of a column that holds words as well:
after that no step asks how a cell was stored. Promise: no digit is lost; a whole number stays one.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from types import NoneType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_rules import strftime_of
from oncofed.client.importing.moments import of_midnights, zone_of
from oncofed.cohort.letters import plain

_ROUNDED_FROM = 2**53
"""A floating-point number of this size may stand for its neighbours, and no identifier is read from it."""


class TypedColumns:
    """The columns of a table, filled piece by piece."""

    def __init__(self, names: Sequence[str], source: Source) -> None:
        self.names = tuple(names)
        self._decimal = source.decimal.letter
        self._of_patients = [_nearly(name) == _nearly(source.patient or "") for name in names]
        self._day_form = strftime_of(source.date_format)
        self._zone = zone_of(source)
        self._stand_ins = frozenset(source.missing or ())
        self._pieces: list[list[pa.Array]] = [[] for _ in self.names]
        # The same with each moment as its day in UTC, while all moments of the column are midnight there.
        self._written: list[list[pa.Array] | None] = [[] for _ in self.names]
        self._moved = [0] * len(self.names)
        self.rows = 0

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        for place, cells in enumerate(zip(*rows, strict=True)):
            moments = [cell for cell in cells if isinstance(cell, datetime) and cell.tzinfo is not None]
            if self._zone is not None and moments:
                self._add_moments(place, cells, moments, self._zone)
                continue
            piece = self._packed(cells, place)
            self._pieces[place].append(piece)
            if (written := self._written[place]) is not None:
                written.append(piece)
        self.rows += len(rows)

    def _add_moments(self, place: int, cells: Sequence[object], moments: Sequence[datetime], zone: tzinfo) -> None:
        there = {cell: self._there(cell, zone) for cell in moments}
        midnights = {cell for cell in there if _in_utc(cell).time() == time()}
        self._moved[place] += sum(cell in midnights and there[cell] != _in_utc(cell).date() for cell in moments)
        self._pieces[place].append(self._packed([_one_of(there, cell) for cell in cells], place))
        if len(midnights) < len(there):
            self._written[place] = None
        elif (written := self._written[place]) is not None:
            days = {cell: _in_utc(cell).date() for cell in there}
            written.append(self._packed([_one_of(days, cell) for cell in cells], place))

    def _there(self, moment: datetime, zone: tzinfo) -> date:
        """The day of a moment in that zone; of a stand-in for a day that nobody knows, its own."""
        own = _in_utc(moment).date()
        if own.strftime(self._day_form) in self._stand_ins:
            return own
        try:
            return moment.astimezone(zone).date()
        except OverflowError:  # an open end such as 9999-12-31 23:59, east of UTC
            return moment.date()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of its moments."""
        return tuple(
            of_midnights(moved, f'of "{name}"')
            for name, moved, written in zip(self.names, self._moved, self._written, strict=True)
            if moved and written is None
        )

    def frame(self) -> pd.DataFrame:
        """(rows, columns). What was added is let go."""
        columns = {}
        for place, name in enumerate(self.names):
            columns[name] = self._column(self._written[place] or self._pieces[place], place)
            self._pieces[place], self._written[place] = [], None
        return pd.DataFrame(columns, index=range(self.rows))

    def _packed(self, cells: Sequence[object], place: int) -> pa.Array:
        if any(isinstance(cell, date | Decimal) or _is_nan(cell) for cell in cells):
            cells = [_plain(cell) for cell in cells]
        packed = None
        kinds = {type(cell) for cell in cells} - {NoneType}
        if len(kinds) <= 1 or kinds == {int, float}:  # of others Arrow would make a number of true, and a day of 0
            with suppress(pa.ArrowException, OverflowError):  # numbers of more than 64 bits
                packed = pa.array(cells)
        if packed is None:
            packed = pa.array([self._text(cell, place) for cell in cells], type=pa.string())
        kind = packed.type
        if pa.types.is_date(kind):
            days = packed.dictionary_encode()
            return pa.DictionaryArray.from_arrays(days.indices, pc.strftime(days.dictionary, format=self._day_form))
        known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
        if any(is_kind(kind) for is_kind in known):
            return packed
        if not pa.types.is_string(kind):
            packed = pa.array([self._text(cell, place) for cell in cells], type=pa.string())
        return packed.dictionary_encode()

    def _text(self, cell: object, place: int) -> str | None:
        if cell is None:
            return None
        if isinstance(cell, date):
            return cell.strftime(self._day_form)
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, bytes):
            return _of_bytes(cell)
        if isinstance(cell, float):
            return _of_number(cell, names=self._of_patients[place]).replace(".", self._decimal)
        return str(cell).encode("utf-8", "backslashreplace").decode()

    def _column(self, pieces: Iterable[pa.Array], place: int) -> pd.Series:
        filled = [piece for piece in pieces if piece.null_count < len(piece)]
        kinds = {piece.type for piece in filled}
        if not kinds:
            return pd.Series([None] * self.rows, dtype=object)
        kind, parts = pa.string(), None
        if not any(pa.types.is_dictionary(each) for each in kinds) and (pa.bool_() not in kinds or len(kinds) == 1):
            kind = next(iter(kinds)) if len(kinds) == 1 else pa.float64()
            with suppress(pa.ArrowException):  # a whole number of more digits than a floating-point number has
                parts = [piece.cast(kind) for piece in pieces]
        if parts is None:
            kind, parts = pa.string(), [self._as_texts(piece, place) for piece in pieces]
        cells = pa.chunked_array(parts, type=kind)
        if kind == pa.string():
            cells = cells.dictionary_encode()
        whole = pa.types.is_integer(kind) and cells.null_count  # as floating-point numbers they would be rounded
        column: pd.Series = cells.to_pandas(types_mapper={kind: pd.Int64Dtype()}.get if whole else None)
        return column

    def _as_texts(self, piece: pa.Array, place: int) -> pa.Array:
        if pa.types.is_dictionary(piece.type):
            return piece.cast(pa.string())
        return pa.array([self._text(cell, place) for cell in piece.to_pylist()], type=pa.string())


def _of_bytes(cell: bytes) -> str:
    """The text that some programs write as bytes; of any others their digits, as databases print them: no two alike."""
    with suppress(UnicodeDecodeError):
        text = cell.decode()
        if not any(unicodedata.category(letter) in ("Cc", "Cf") for letter in text):  # which are no part of a word
            return text
    return f"\\x{cell.hex()}"


def _of_number(cell: float, *, names: bool) -> str:
    """names: whether it would be an identifier. 12.50 is stored as 12.5, and names nobody (`identifiers_in`)."""
    if not cell.is_integer():
        return f"{cell:.16e}".replace("e-", "e+") if names else repr(cell)
    return str(int(cell)) if abs(cell) < _ROUNDED_FROM else f"{cell:.16e}"


def _nearly(name: str) -> str:
    return plain(name).strip().casefold()


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float | Decimal) and math.isnan(cell)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment


def _one_of(days: Mapping[datetime, date], cell: object) -> object:
    return days[cell] if isinstance(cell, datetime) and cell.tzinfo is not None else cell


def _plain(cell: object) -> object:
    """A day without its hour; a decimal as the number that it is, whole where it is whole; NaN, which is no empty cell,
    as the word that an export writes.
    """
    if _is_nan(cell):
        return "NaN"
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return str(cell)
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    return cell
