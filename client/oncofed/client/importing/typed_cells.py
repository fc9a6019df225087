"""What are the cells that a database or a spreadsheet stores with types of their own, as the columns of a table?

Python values come in pieces, and are packed a piece at a time, so that a long table needs no more memory than its
columns. A day becomes a text in the source's own form, and so do the numbers of a column that holds words as well:
after that no step asks how a cell was stored. Promise: no digit is lost; a whole number stays one.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, tzinfo
from decimal import Decimal
from types import NoneType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_rules import strftime_of
from oncofed.client.importing.moments import zone_of


_ROUNDED_FROM = 2**53
"""A floating-point number of this size may stand for its neighbours, and no identifier is read from it."""


class TypedColumns:
    """The columns of a table, filled piece by piece."""

    def __init__(self, names: Sequence[str], source: Source) -> None:
        self.names = tuple(names)
        self._decimal = source.decimal.letter
        self._day_form = strftime_of(source.date_format)
        self._zone = zone_of(source)
        self._pieces: list[list[pa.Array]] = [[] for _ in self.names]
        self.rows = 0

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        for pieces, cells in zip(self._pieces, zip(*rows, strict=True), strict=bool(rows)):
            pieces.append(self._packed(cells))
        self.rows += len(rows)

    def frame(self) -> pd.DataFrame:
        """(rows, columns). What was added is let go."""
        columns = {}
        for name, pieces in zip(self.names, self._pieces, strict=True):
            columns[name] = self._column(pieces)
            pieces.clear()
        return pd.DataFrame(columns, index=range(self.rows))

    def _packed(self, cells: Sequence[object]) -> pa.Array:
        if any(isinstance(cell, date | Decimal) or _is_nan(cell) for cell in cells):
            cells = [_plain(cell, self._zone) for cell in cells]
        packed = None
        kinds = {type(cell) for cell in cells} - {NoneType}
        if len(kinds) <= 1 or kinds == {int, float}:  # of others Arrow would make a number of true, and a day of 0
            with suppress(pa.ArrowException, OverflowError):  # numbers of more than 64 bits
                packed = pa.array(cells)
        if packed is None:
            packed = pa.array([self._text(cell) for cell in cells], type=pa.string())
        kind = packed.type
        if pa.types.is_date(kind):
            days = packed.dictionary_encode()
            return pa.DictionaryArray.from_arrays(days.indices, pc.strftime(days.dictionary, format=self._day_form))
        known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
        if any(is_kind(kind) for is_kind in known):
            return packed
        if not pa.types.is_string(kind):
            packed = pa.array([self._text(cell) for cell in cells], type=pa.string())
        return packed.dictionary_encode()

    def _text(self, cell: object) -> str | None:
        if cell is None:
            return None
        if isinstance(cell, date):
            return cell.strftime(self._day_form)
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, bytes):
            return _of_bytes(cell)
        if isinstance(cell, float):
            return _of_number(cell).replace(".", self._decimal)
        return str(cell).encode("utf-8", "backslashreplace").decode()

    def _column(self, pieces: Iterable[pa.Array]) -> pd.Series:
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
            kind, parts = pa.string(), [self._as_texts(piece) for piece in pieces]
        cells = pa.chunked_array(parts, type=kind)
        if kind == pa.string():
            cells = cells.dictionary_encode()
        whole = pa.types.is_integer(kind) and cells.null_count  # as floating-point numbers they would be rounded
        column: pd.Series = cells.to_pandas(types_mapper={kind: pd.Int64Dtype()}.get if whole else None)
        return column

    def _as_texts(self, piece: pa.Array) -> pa.Array:
        if pa.types.is_dictionary(piece.type):
            return piece.cast(pa.string())
        return pa.array([self._text(cell) for cell in piece.to_pylist()], type=pa.string())


def _of_bytes(cell: bytes) -> str:
    """The text that some programs write as bytes; of any others their digits, as databases print them: no two alike."""
    with suppress(UnicodeDecodeError):
        text = cell.decode()
        if not any(unicodedata.category(letter) in ("Cc", "Cf") for letter in text):  # which are no part of a word
            return text
    return f"\\x{cell.hex()}"


def _of_number(cell: float) -> str:
    if not cell.is_integer():
        return repr(cell)
    return str(int(cell)) if abs(cell) < _ROUNDED_FROM else f"{cell:.16e}"


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float | Decimal) and math.isnan(cell)


def _plain(cell: object, zone: tzinfo | None) -> object:
    """A day without its hour, as it was in that zone; a decimal as the number that it is, whole where it is whole; NaN,
    which is no empty cell, as the word that an export writes.
    """
    if _is_nan(cell):
        return "NaN"
    if isinstance(cell, datetime):
        with suppress(OverflowError):  # an open end such as 9999-12-31 23:59, east of UTC
            cell = cell if cell.tzinfo is None or zone is None else cell.astimezone(zone)
        return cell.date()
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return str(cell)
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    return cell
