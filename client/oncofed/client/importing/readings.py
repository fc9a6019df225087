"""What do the cells of a hospital's own column say: which words, numbers, days?

Each distinct text of a column is read once, so that a table of millions of rows costs no more than its different cells.
A number is one only as its source writes them: with the decimal mark that the mapping names, and with a mark between
thousands only where it names one. So `1.234` in a source with decimal commas is no number, and never 1.234 or 1234 by
guess. No function here raises for the content of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.mapping import Limits, Source
from oncofed.client.importing.mapping_rules import DAY_TOKENS
from oncofed.client.importing.moments import day_there
from oncofed.client.importing.same_words import TRUTHS, as_compared, digits
from oncofed.cohort.cells import is_numeric, texts, words
from oncofed.cohort.identifiers import identifiers_in
from oncofed.cohort.letters import plain

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

_LIMIT = re.compile(r"\s*(<=|>=|<|>|≤|≥)\s*")
_FIRST_YEAR, _LAST_YEAR = 1850, 2150


@dataclass(frozen=True, eq=False)
class Column:
    """The cells of one column.

    typed  (rows,) where they are stored as numbers, NaN where empty; None where they are texts, or true and false.
    """

    cells: pd.Series

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def typed(self) -> FloatArray | None:
        if not is_numeric(self.cells) or pd.api.types.is_bool_dtype(self.cells.dtype):
            return None
        return np.asarray(self.cells.to_numpy(dtype=np.float64, na_value=np.nan))

    @cached_property
    def _coded(self) -> tuple[Places, tuple[str, ...], bool]:
        place, found = pd.factorize(self.cells)
        distinct = texts(pd.Series(found)).to_pylist()
        truths = bool(distinct) and all(isinstance(each, bool | np.bool_) for each in found)
        return np.asarray(place, dtype=np.int64), tuple(map(str.casefold, distinct) if truths else distinct), truths

    def _begins(self, word: str) -> str:
        """What a cell begins with: what is stored as true or false has no capitals."""
        begin = plain(word).strip().removesuffix("*")
        return begin.casefold() if self._coded[2] else begin

    def only(self, rows: Places) -> Column:
        """These rows of it."""
        return Column(self.cells.iloc[rows].reset_index(drop=True))

    @property
    def place(self) -> Places:
        """(rows,) of the cell's text in `distinct`, -1 where there is none."""
        return self._coded[0]

    @property
    def distinct(self) -> tuple[str, ...]:
        """Each text that stands in a cell, once."""
        return self._coded[1]

    def words(self, missing: Collection[str]) -> pd.Series:
        """(rows,) plain texts, None where empty or missing; a whole number is its digits."""
        found = [*words(pd.Series(self.distinct, dtype=object), tuple(missing)).to_pylist(), None]
        return pd.Series(np.array(found, dtype=object)[self.place], dtype=object)

    def each(self, told: Callable[[str], float], absent: float) -> FloatArray:
        """(rows,) what `told` says of each cell's text; it is asked once for each distinct one."""
        place, distinct, _ = self._coded
        values = np.array([*(told(text) for text in distinct), absent], dtype=np.float64)
        return values[place]

    def among(self, listed: Collection[str]) -> Mask:
        """(rows,) whether a cell is one of these words; a word that ends in * is a beginning."""
        exact = {as_compared(word) for word in listed if not word.endswith("*")}
        begins = tuple(self._begins(word) for word in listed if word.endswith("*"))

        def told(text: str) -> bool:
            return as_compared(text) in exact or digits(text) in exact or (bool(begins) and text.startswith(begins))

        place, distinct, _ = self._coded
        return np.array([*map(told, distinct), False], dtype=np.bool_)[place]

    def empty(self, missing: Collection[str]) -> Mask:
        if self.typed is not None:
            return np.isnan(self.typed) | np.isin(self.typed, _as_numbers(missing))
        return self.among(["", *missing]) | (self._coded[0] < 0)

    def days(self, form: str, missing: Collection[str], zone: tzinfo | None = None) -> tuple[FloatArray, Mask]:
        """(rows,) the day as its ordinal, NaN where there is none; (rows,) cells that are no day.

        zone  of the hospital, for moments that are written with theirs. None: nobody said, and one in UTC is no day.
        """
        pattern = _day_pattern(form)
        values = self.each(lambda text: _day(pattern, text, zone), np.nan)
        gone = self.empty(missing)
        malformed = np.isnan(values) & ~gone
        return np.where(gone, np.nan, values), malformed

    def indices(self, categories: Mapping[str, str], vocabulary: tuple[str, ...]) -> FloatArray:
        """(rows,) the place in the vocabulary, NaN for any other cell. categories: the source's word to the study's."""
        exact = {plain(word).strip(): float(place) for place, word in enumerate(vocabulary)}
        known = {as_compared(word): place for word, place in exact.items()}
        known |= {as_compared(word): exact[plain(target).strip()] for word, target in categories.items()}
        return self.each(lambda text: known.get(as_compared(text), known.get(digits(text), np.nan)), np.nan)


def coded(place: NDArray[np.integer[Any]], distinct: Sequence[str]) -> pd.Series:
    """(rows,) the distinct text at each place, none for -1: a column that holds each text once."""
    categories: Any = pd.Index(list(distinct), dtype=object)  # also where there is none
    return pd.Series(pd.Categorical.from_codes(place.astype(np.int64), categories))


@dataclass(frozen=True, eq=False)
class Numbers:
    """values (rows,), NaN where there is none.

    missing, malformed, limited  (rows,): empty or a word for it; no number; beyond a limit of detection.
    """

    values: FloatArray
    missing: Mask
    malformed: Mask
    limited: Mask


def identifiers(cells: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """(rows,) plain texts, None where empty or missing; a whole number is its digits, however it is stored.

    missing  as in `identifiers_in`.
    """
    column = Column(cells)
    found = [
        *identifiers_in(pd.Series(column.distinct, dtype=object), where="", missing=missing).names.to_pylist(),
        None,
    ]
    return pd.Series(np.array(found, dtype=object)[column.place], dtype=object)


def numbers(
    column: Column,
    source: Source,
    missing: Collection[str],
    *,
    translated: Mapping[str, str] | None = None,
    limits: Limits = Limits.FAULT,
    truths: bool = False,
) -> Numbers:
    """The column as numbers.

    translated  the number (as a text with a decimal point) for each of these words.
    truths      whether true and false are 1 and 0.
    """
    known = {as_compared(word): float(target) for word, target in (translated or {}).items()}
    if column.typed is not None and not known:
        values = column.typed
        gone = column.empty(missing)
        malformed = np.isinf(values) & ~gone
        nowhere = np.zeros(len(values), dtype=np.bool_)
        return Numbers(np.where(malformed | gone, np.nan, values), gone, malformed, nowhere)
    read = _number_reader(source if column.typed is None else None)
    meant = {**(TRUTHS if truths else {}), **known}

    def told(text: str) -> float:
        return known.get(as_compared(text), known.get(digits(text), read(text)))

    def exact(text: str) -> float:
        return meant.get(as_compared(text), told(text))

    def beyond(text: str) -> float:
        if as_compared(text) in known or (found := _LIMIT.match(text)) is None:
            return np.nan
        limit = told(text[found.end() :])
        return limit / 2 if limits is Limits.HALF and found.group(1) in ("<", "<=", "≤") else limit

    values, at_limit = column.each(exact, np.nan), column.each(beyond, np.nan)
    gone = column.empty(missing) | np.isin(values, _as_numbers(missing))  # 99 is 99,0 and 99.00
    limited = ~np.isnan(at_limit) & ~gone
    malformed = np.isnan(values) & ~limited & ~gone
    if limits in (Limits.AT_LIMIT, Limits.HALF):
        values = np.where(limited, at_limit, values)
    return Numbers(np.where(gone, np.nan, values) + 0.0, gone, malformed, limited)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _as_numbers(missing: Collection[str]) -> list[float]:
    """The words among them that are numbers, such as -999."""
    return [float(word) for word in missing if _NUMBER.fullmatch(word)]


def _number_reader(source: Source | None) -> Callable[[str], float]:
    """source: None for numbers that are stored as such, and were written with a decimal point by us."""
    decimal = "." if source is None else source.decimal.letter
    grouped = None
    if source is not None and source.thousands is not None:
        mark = re.escape(source.thousands.letter)
        grouped = re.compile(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({re.escape(decimal)}\d*)?")

    def read(text: str) -> float:
        if grouped is not None and source is not None and source.thousands is not None and grouped.fullmatch(text):
            text = text.replace(source.thousands.letter, "")
        if decimal != "." and "." in text:
            return np.nan
        text = text.replace(decimal, ".")
        value = float(text) if _NUMBER.fullmatch(text) and text.isascii() else np.nan
        return value if np.isfinite(value) else np.nan

    return read


def _day_pattern(form: str) -> re.Pattern[str]:
    pattern = re.escape(form)
    for token, group in DAY_TOKENS.items():
        pattern = pattern.replace(token, group, 1)
    return re.compile(rf"{pattern}(?:[ T](?P<clock>\d{{1,2}}:\d{{2}}.*))?", re.ASCII)


def _day(pattern: re.Pattern[str], text: str, zone: tzinfo | None) -> float:
    found = pattern.fullmatch(text)
    if found is None:
        return np.nan
    year, month, day = (int(found[part]) for part in ("year", "month", "day"))
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return np.nan
    try:
        there = day_there(date(year, month, day), found["clock"] or "", zone)
    except ValueError:
        return np.nan
    return np.nan if there is None else float(there.toordinal())


def ordinal(iso: str) -> float:
    """Of a day YYYY-MM-DD."""
    return float(date.fromisoformat(iso).toordinal())
