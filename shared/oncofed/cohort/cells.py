"""What does a column of cells say: numbers, words, or neither?

A column may come as text (CSV), typed (Parquet) or mixed (built by hand). The same cells give the same answer however
they were stored: text is trimmed, an empty cell is "not measured", and a number is a number only if it is written as
one, with a decimal point. "nan", "NA" or "-" are no numbers unless the schema lists them as missing codes: a
hospital says what its codes mean, we do not guess. No function here raises for the content of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


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


def words(column: pd.Series, missing_codes: Sequence[str] = ()) -> pa.Array:
    """(rows,) trimmed texts, null where missing. A whole number becomes its digits: 3 and 3.0 are "3"."""
    if _is_numeric(column):
        found = pa.array([_digits(cell) for cell in _floats_or_ints(column)], type=pa.string())
    else:
        found = _as_strings(column)
    found = pc.utf8_trim_whitespace(found)
    missing = pc.is_in(found, value_set=pa.array(["", *(code.strip() for code in missing_codes)], type=pa.string()))
    return pc.if_else(missing, pa.scalar(None, type=pa.string()), found)


def numbers(column: pd.Series, missing_codes: Sequence[str] = (), *, truth_words: bool = False) -> Numbers:
    """The column as numbers.

    missing_codes  compared as text and as numbers: "-999" also means -999.0.
    truth_words    whether true and false (any capitals) are 1 and 0.
    """
    if pd.api.types.is_bool_dtype(column.dtype) and not truth_words:
        values = np.full(len(column), np.nan)
        return Numbers(values, malformed=column.notna().to_numpy(dtype=bool))
    if _is_numeric(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        malformed = np.isinf(values)
    else:
        values, malformed = _parsed(words(column, missing_codes), truth_words=truth_words)
    for code in missing_codes:
        if _NUMBER.fullmatch(code.strip()):
            values = np.where(values == float(code), np.nan, values)
    # Adding 0 turns -0.0 into 0.0, so that equal tables have equal hashes.
    return Numbers(np.where(malformed, np.nan, values) + 0.0, malformed)


def categories(column: pd.Series, vocabulary: Sequence[str], missing_codes: Sequence[str] = ()) -> Categories:
    """The column as indices in `vocabulary`, compared exactly (capitals count)."""
    found = words(column, missing_codes)
    index = pc.index_in(found, value_set=pa.array(list(vocabulary), type=pa.string()))
    unknown = pc.and_(pc.is_valid(found), pc.is_null(index))
    return Categories(
        index.cast(pa.float64()).to_numpy(zero_copy_only=False), unknown.to_numpy(zero_copy_only=False).astype(bool)
    )


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)


def _floats_or_ints(column: pd.Series) -> list[object]:
    return [None if cell is pd.NA else cell for cell in column.tolist()]


def _digits(cell: object) -> str | None:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _as_strings(column: pd.Series) -> pa.Array:
    plain = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    try:
        return pa.array(plain, type=pa.string(), from_pandas=True)
    except (pa.ArrowException, UnicodeError):
        # Mixed types, dates, or a lone surrogate. The cell's own text decides; what no text can hold becomes "?".
        absent = plain.isna().to_numpy(dtype=bool)
        texts = [
            None if gone else (_digits(cell) or "").encode("utf-8", "replace").decode()
            for cell, gone in zip(plain.tolist(), absent, strict=True)
        ]
        return pa.array(texts, type=pa.string())


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
