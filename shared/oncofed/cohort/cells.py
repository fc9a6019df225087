"""What does a column of cells say: numbers, words, or neither?

A column may come as text (CSV), typed (Parquet), with decimals (a database) or mixed (built by hand). The same cells
give the same answer however they were stored: text loses what cannot be seen (`oncofed.cohort.letters`), an empty cell
is "not measured", and a number is a number only if it is written as one, with a decimal point. A whole number is its
digits, be it stored as 3, 3.0 or decimal 3.00, and categories that are numbers are compared as numbers. "nan", "NA" or
"-" are no numbers unless the schema lists them as missing codes: a hospital says what its codes mean, we do not guess.
No function here raises for the content of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oncofed.cohort.letters import plain, plain_cells

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = r"^([+-]?[0-9]+)\.0+$"


@dataclass(frozen=True)
class Numbers:
    """values (rows,) float64, NaN where missing or malformed; malformed (rows,): a cell that is no number."""

    values: NDArray[np.float64]
    malformed: NDArray[np.bool_]

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.values) & ~self.malformed


@dataclass(frozen=True)
class Categories:
    """values (rows,) float64, the index in the vocabulary, NaN where missing or unknown; unknown (rows,)."""

    values: NDArray[np.float64]
    unknown: NDArray[np.bool_]


class Rounded(float):
    """A number of 32 bits as its database writes it: with the fewest digits that tell it from its neighbours.

    As a value it is the number that is written; as an identifier it may stand for its neighbours, too (`lost_digits`).
    """

    __slots__ = ()


def words(column: pd.Series, missing_codes: Sequence[str] = ()) -> pa.Array:
    """(rows,) plain texts, null where missing. A whole number becomes its digits: 3, 3.0 and "3.00" are "3"."""
    found = texts(column)
    if pc.any(pc.match_substring(found, ".0"), min_count=0).as_py():
        found = pc.replace_substring_regex(found, pattern=_WHOLE, replacement=r"\1")
    return _without(found, missing_codes)


def numbers(column: pd.Series, missing_codes: Sequence[str] = (), *, truth_words: bool = False) -> Numbers:
    """The column as numbers.

    missing_codes  compared as text and as numbers: "-999" also means -999.0.
    truth_words    whether true and false (any capitals) are 1 and 0.
    """
    if pd.api.types.is_bool_dtype(column.dtype) and not truth_words:
        values = np.full(len(column), np.nan)
        return Numbers(values, malformed=column.notna().to_numpy(dtype=bool))
    if is_numeric(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        malformed = np.isinf(values)
    else:
        found = _without(texts(column), missing_codes)
        values, malformed = _parsed(found, truth_words=truth_words)
    for code in missing_codes:
        if _NUMBER.fullmatch(code.strip()):
            values = np.where(values == float(code), np.nan, values)
    # Adding 0 turns -0.0 into 0.0, so that equal tables have equal hashes.
    return Numbers(np.where(malformed, np.nan, values) + 0.0, malformed)


def categories(column: pd.Series, vocabulary: Sequence[str], missing_codes: Sequence[str] = ()) -> Categories:
    """The column as indices in `vocabulary`: compared exactly (capitals count), else as numbers where both are."""
    found = words(column, missing_codes)
    index = pc.index_in(
        found, value_set=pa.array([plain(category).strip() for category in vocabulary], type=pa.string())
    )
    values: NDArray[np.float64] = index.cast(pa.float64()).to_numpy(zero_copy_only=False)
    unknown = pc.and_(pc.is_valid(found), pc.is_null(index)).to_numpy(zero_copy_only=False).astype(bool)
    if unknown.any():
        values, unknown = values.copy(), unknown.copy()
        by_number = _by_number(vocabulary)
        codes = {float(code) for code in missing_codes if _NUMBER.fullmatch(code.strip())}
        for row, cell in zip(np.flatnonzero(unknown), found.filter(pa.array(unknown)).to_pylist(), strict=True):
            number = float(cell) if _NUMBER.fullmatch(cell) else None
            if number in by_number or number in codes:
                values[row], unknown[row] = by_number.get(number, np.nan), False
    return Categories(values, unknown)


def quoted(identifiers: pa.Array) -> NDArray[np.bool_]:
    """(rows,) whether a text, as `words` gives it, holds a quotation mark."""
    found = pc.fill_null(pc.match_substring(identifiers, '"'), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


def lost_digits(column: pd.Series) -> NDArray[np.bool_]:
    """(rows,) whether a cell is a number that names nobody: with a fraction, or so large that it was rounded.

    How large follows from how the column is stored, which is lost once its cells are Python's numbers: 32 bits hold
    eight digits no more, 16 bits not even four.
    """
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind, column = kind.categories.dtype, column.astype(object)
    if not (pd.api.types.is_float_dtype(kind) or pd.api.types.is_object_dtype(kind)):
        return np.zeros(len(column), dtype=np.bool_)
    limit = _rounded_from(kind)
    return np.array([_is_no_name(cell, limit) for cell in column.tolist()], dtype=np.bool_)


def _rounded_from(kind: Any) -> int:
    """The least whole number that floating-point numbers of this type may hold in place of its neighbour."""
    if not pd.api.types.is_float_dtype(kind):
        return _PYTHONS
    bits = int(np.finfo(getattr(kind, "numpy_dtype", kind)).nmant) + 1  # the leading one is not stored
    return min(_PYTHONS, 1 << bits)


_PYTHONS = 2**53
SINGLE = 2**24
"""The least whole number that 32 bits may hold in place of its neighbour."""


def _is_no_name(cell: object, limit: int) -> bool:
    if isinstance(cell, Decimal):
        return cell.is_finite() and cell != cell.to_integral_value()
    if isinstance(cell, float):
        limit = SINGLE if isinstance(cell, Rounded) else limit
        return bool(np.isfinite(cell)) and (not cell.is_integer() or abs(cell) >= limit)
    if isinstance(cell, np.floating):  # of other than 64 bits, among cells of several types
        return _is_no_name(float(cell), _rounded_from(cell.dtype))
    return False


def _by_number(vocabulary: Sequence[str]) -> dict[float | None, int]:
    """The place of each category that is a number, and of which there is no second spelling."""
    found: dict[float | None, list[int]] = {}
    for place, category in enumerate(vocabulary):
        if _NUMBER.fullmatch(plain(category).strip()):
            found.setdefault(float(category), []).append(place)
    return {number: places[0] for number, places in found.items() if len(places) == 1}


def is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)


def texts(column: pd.Series) -> pa.Array:
    """(rows,) the plain text of each cell, "" or null where there is nothing."""
    if is_numeric(column):
        return pa.array([_digits(cell) for cell in column.tolist()], type=pa.string())
    return plain_cells(_as_strings(column))


def _without(found: pa.Array, missing_codes: Sequence[str]) -> pa.Array:
    """With null for empty cells and codes."""
    codes = ["", *(plain(code).strip() for code in missing_codes)]
    missing = pc.is_in(found, value_set=pa.array(codes, type=pa.string()))
    return pc.if_else(missing, pa.scalar(None, type=pa.string()), found)


def _digits(cell: object) -> str | None:
    """A number as people write it: without the zeros that only its storage has."""
    if cell is None or cell is pd.NA or (isinstance(cell, float | np.floating) and np.isnan(cell)):
        return None
    if isinstance(cell, float | np.floating) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, Decimal) and cell.is_finite():
        return str(int(cell)) if cell == cell.to_integral_value() else f"{cell.normalize():f}"
    return str(cell)


def _as_strings(column: pd.Series) -> pa.Array:
    plain_type = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    found: pa.Array | None = None
    with suppress(pa.ArrowException, UnicodeError, TypeError):
        found = pa.array(plain_type, type=pa.string(), from_pandas=True)
    if found is None:
        # Mixed types, dates, types of pandas' own, or a lone surrogate. The cell's own text decides; what no text can
        # hold becomes "?".
        absent = plain_type.isna().to_numpy(dtype=bool)
        texts = [
            None if gone else (_digits(cell) or "").encode("utf-8", "replace").decode()
            for cell, gone in zip(plain_type.tolist(), absent, strict=True)
        ]
        found = pa.array(texts, type=pa.string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _parsed(found: pa.Array, *, truth_words: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values and malformed, as in `Numbers`, of trimmed texts with null where missing."""
    present = pc.is_valid(found).to_numpy(zero_copy_only=False).astype(bool)
    values = _cast(found)
    if values is None:  # One odd cell makes Arrow refuse the column, and "+1" is odd to it.
        if truth_words:
            lowered = pc.utf8_lower(found)
            found = pc.if_else(pc.equal(lowered, "true"), "1", pc.if_else(pc.equal(lowered, "false"), "0", found))
        written = pc.match_substring_regex(found, pattern=f"^(?:{_NUMBER.pattern})$")
        kept = pc.utf8_ltrim(pc.if_else(written, found, pa.scalar(None, type=pa.string())), "+")
        values = _cast(kept)
        if values is None:
            values = np.array([np.nan if cell is None else float(cell) for cell in kept.to_pylist()], dtype=np.float64)
    return values, present & ~np.isfinite(values)  # Arrow reads "nan" and "inf" as numbers


def _cast(found: pa.Array) -> NDArray[np.float64] | None:
    try:
        values: NDArray[np.float64] = found.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        return None
    return values
