"""What do the cells of a hospital's own column say: which words, numbers, days?

Each distinct text of a column is read once, so that a table of millions of rows costs no more than its different cells.
A number is one only as its source writes them: with the decimal mark that the mapping names, and with a mark between
thousands only where it names one. So `1.234` in a source with decimal commas is no number, and never 1.234 or 1234 by
guess. No function here raises for the content of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Limits
from oncofed.client.importing.mapping_rules import DAY_TOKENS
from oncofed.client.importing.moments import day_there, needs_zone, tells_hours
from oncofed.client.importing.same_words import TRUTHS, as_compared, digits
from oncofed.client.importing.spellings import Spellings
from oncofed.cohort.cells import is_numeric, texts, words
from oncofed.cohort.identifiers import identifiers_in
from oncofed.cohort.letters import plain

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

_LIMIT = re.compile(r"\s*(<=|>=|<|>|≤|≥)\s*")
_FIRST_YEAR, _LAST_YEAR = 1850, 2220
"""Of cells that are days. Public databases shift theirs for privacy, MIMIC-IV to 2110 until 2211; outcomes that go on
after today are refused without a data cut, whatever these years are.
"""


@dataclass(frozen=True, eq=False)
class Column:
    """The cells of one column.

    decimal  the mark that its source writes. missing: its source's words for "not known".
    typed    (rows,) where they are stored as numbers, NaN where empty; None where they are texts, or true and false.
    """

    cells: pd.Series
    decimal: str = "."
    missing: tuple[str, ...] = ()

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
        return replace(self, cells=self.cells.iloc[rows].reset_index(drop=True))

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
        distinct = pd.Series([*map(self.digits, self.distinct)], dtype=object)
        found = [*words(distinct, tuple(missing)).to_pylist(), None]
        return pd.Series(np.array(found, dtype=object)[self.place], dtype=object)

    def digits(self, text: str) -> str:
        return digits(text, self.decimal)

    def each(self, told: Callable[[str], float], absent: float) -> FloatArray:
        """(rows,) what `told` says of each cell's text; it is asked once for each distinct one."""
        place, distinct, _ = self._coded
        values = np.array([*(told(text) for text in distinct), absent], dtype=np.float64)
        return values[place]

    def among(self, listed: Collection[str]) -> Mask:
        """(rows,) whether a cell is one of these words; a word that ends in * is a beginning, and * any word at all."""
        told = self._among(listed)
        place, distinct, _ = self._coded
        return np.array([*map(told, distinct), False], dtype=np.bool_)[place]

    def _among(self, listed: Collection[str]) -> Callable[[str], bool]:
        exact = {as_compared(word) for word in listed if not word.endswith("*")}
        begins = tuple(self._begins(word) for word in listed if word.endswith("*"))

        def told(text: str) -> bool:
            return (
                as_compared(text) in exact
                or self.digits(text) in exact
                or (bool(text and begins) and text.startswith(begins))
            )

        return told

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.distinct)

    def near(self, listed: Collection[str], named: Collection[str] = ()) -> Mask:
        """(rows,) whether a cell is nearly written as one of these words, and is none, of these or of `named`.

        What is empty is near to nothing.
        """
        near: set[str] = set()
        for word in listed:
            near |= self._spellings.near_beginning(word[:-1]) if word.endswith("*") else self._spellings.near(word)
        is_one = self._among(["", *self.missing, *listed, *named])
        places = [place for place, text in enumerate(self.distinct) if text in near and not is_one(text)]
        return np.isin(self.place, places) if places else np.zeros(len(self), dtype=np.bool_)

    def empty(self, missing: Collection[str]) -> Mask:
        if self.typed is not None:
            return np.isnan(self.typed) | np.isin(self.typed, _as_numbers(missing))
        return self.among(["", *missing]) | (self._coded[0] < 0)

    def days(self, form: str, missing: Collection[str], zone: tzinfo | None = None) -> tuple[FloatArray, Mask]:
        """(rows,) the day as its ordinal, NaN where there is none; (rows,) cells that are no day: of `told_days`."""
        told = self.told_days(form, missing, zone)
        return told.values, told.malformed

    def told_days(self, form: str, missing: Collection[str], zone: tzinfo | None = None) -> Days:
        """What the cells say of days.

        missing  words for "not known". A day among them is one for every moment of that day, here and as it is written.
        zone     of the hospital, for moments that are written with theirs. None: nobody said, and one in UTC is no day.
        A column all of whose moments are midnight holds days.
        """
        pattern = _day_pattern(form)
        written = [_written(pattern, plain(word).strip()) for word in missing]
        stand_ins = [_ordinal_of(each.day) for each in written if each is not None]
        distinct = self.distinct
        own, there = np.full((2, len(distinct) + 1), np.nan)  # the last is that of no text
        hours, midnight, of_utc = np.zeros((3, len(distinct) + 1), dtype=np.bool_)
        for place, text in enumerate(distinct):
            if (told := _written(pattern, text)) is not None:
                own[place], there[place] = _ordinal_of(told.day), told.there(zone)
                hours[place] = tells_hours(told.clock)
                midnight[place] = bool(told.clock) and not hours[place]
                of_utc[place] = zone is None and needs_zone(told.clock)
        gone = self.empty(missing) | np.isin(own, stand_ins)[self.place]
        days = there if (hours[self.place] & ~gone).any() else np.where(_is_of_this_age(own), own, np.nan)
        values = days[self.place]
        gone |= np.isin(values, stand_ins)
        malformed = np.isnan(values) & ~gone
        return Days(
            values=np.where(gone, np.nan, values),
            missing=gone,
            malformed=malformed,
            in_utc=malformed & of_utc[self.place],
            moved=midnight[self.place] & (values != own[self.place]) & ~gone & ~malformed,
        )

    def indices(self, categories: Mapping[str, str], vocabulary: tuple[str, ...]) -> FloatArray:
        """(rows,) the place in the vocabulary, NaN for any other cell. categories: the source's word to the study's.

        Where these are of numbers or truths, such cells are codes: of a number that is none of them nobody knows
        whether it is the vocabulary's or another code.
        """
        exact = {plain(word).strip(): float(place) for place, word in enumerate(vocabulary)}
        of_codes = any(map(_is_code, categories))
        known = {as_compared(word): place for word, place in exact.items() if not (of_codes and _is_code(word))}
        known |= {as_compared(word): exact[plain(target).strip()] for word, target in categories.items()}
        return self.each(lambda text: known.get(as_compared(text), known.get(self.digits(text), np.nan)), np.nan)


@dataclass(frozen=True, eq=False)
class Days:
    """values (rows,): ordinals, NaN where there is none.

    missing, malformed  (rows,): empty or a word for it; no day.
    in_utc  (rows,) of those malformed: a moment in UTC, which is a day once the hospital's zone is known.
    moved   (rows,): midnight by its own clock, in a column that tells hours, and another day at the hospital.
    """

    values: FloatArray
    missing: Mask
    malformed: Mask
    in_utc: Mask
    moved: Mask


def coded(place: NDArray[np.integer[Any]], distinct: Sequence[str]) -> pd.Series:
    """(rows,) the distinct text at each place, none for -1: a column that holds each text once."""
    categories: Any = pd.Index(list(distinct), dtype=object)  # also where there is none
    return pd.Series(pd.Categorical.from_codes(place.astype(np.int64), categories))


@dataclass(frozen=True, eq=False)
class Numbers:
    """values (rows,), NaN where there is none.

    missing, malformed, limited  (rows,): empty or a word for it; no number; beyond a limit of detection.
    unlisted  (rows,) of those malformed: numbers or truths that the mapping's words leave out.
    above     (rows,) of those limited: whether the limit is an upper one.
    """

    values: FloatArray
    missing: Mask
    malformed: Mask
    limited: Mask
    unlisted: Mask
    above: Mask


def identifiers(column: Column, missing: Collection[str] = ()) -> pd.Series:
    """(rows,) plain texts, as they are written, None where empty or missing. What is stored as a number is its digits.

    missing  as in `identifiers_in`.
    """
    distinct = pd.Series([*column.distinct], dtype=object)
    found = [*identifiers_in(distinct, where="", missing=missing).names.to_pylist(), None]
    return pd.Series(np.array(found, dtype=object)[column.place], dtype=object)


def numbers(
    column: Column,
    source: Source,
    missing: Collection[str],
    *,
    translated: Mapping[str, str] | None = None,
    limits: Limits = Limits.FAULT,
    truths: bool = False,
    codes: bool = False,
) -> Numbers:
    """The column as numbers.

    translated  the number (as a text with a decimal point) for each of these words.
    truths      whether true and false are 1 and 0, unless a truth or a number is translated.
    codes       whether numbers are codes as soon as one of them, or a truth, is translated: the others mean nothing.
    """
    known = {as_compared(word): float(target) for word, target in (translated or {}).items()}
    if column.typed is not None and not known:
        values = column.typed
        gone = column.empty(missing)
        malformed = np.isinf(values) & ~gone
        nowhere = np.zeros(len(values), dtype=np.bool_)
        values = np.where(malformed | gone, np.nan, values) + 0.0  # -0.0 is 0.0, whichever row comes first
        return Numbers(values, gone, malformed, nowhere, nowhere, nowhere)
    read = _number_reader(source if column.typed is None else None)
    listed = any(word in TRUTHS or not np.isnan(read(word)) for word in known)  # 1 may be true here, and 0 the value
    of_codes, of_truths = codes and listed, truths and not listed
    meant = {**(TRUTHS if of_truths else {}), **known}

    def told(text: str) -> float:
        return known.get(as_compared(text), known.get(column.digits(text), np.nan if of_codes else read(text)))

    def left_out(text: str) -> float:
        number = of_codes and not np.isnan(read(text))
        return float(number or (truths and as_compared(text) in TRUTHS))

    def exact(text: str) -> float:
        return meant.get(as_compared(text), told(text))

    def beyond(text: str) -> float:
        if as_compared(text) in known or (found := _LIMIT.match(text)) is None:
            return np.nan
        limit = told(text[found.end() :])
        return limit / 2 if limits is Limits.HALF and found.group(1) in ("<", "<=", "≤") else limit

    def written(text: str) -> float:
        return np.nan if as_compared(text) in known or column.digits(text) in known else read(text)

    values, at_limit = column.each(exact, np.nan), column.each(beyond, np.nan)
    unknown = np.isin(column.each(written, np.nan), _as_numbers(missing))  # 99 is 99,0 and 99.00; no word becomes one
    gone = column.empty(missing) | unknown
    limited = ~np.isnan(at_limit) & ~gone
    malformed = np.isnan(values) & ~limited & ~gone
    if limits in (Limits.AT_LIMIT, Limits.HALF):
        values = np.where(limited, at_limit, values)
    unlisted = malformed & (column.each(left_out, 0.0) > 0)
    above = limited & (column.each(lambda text: float(text.startswith((">", "≥"))), 0.0) > 0)
    return Numbers(np.where(gone, np.nan, values) + 0.0, gone, malformed, limited, unlisted, above)


def _is_code(word: str) -> bool:
    """A number or a truth."""
    compared = as_compared(word)
    return compared in TRUTHS or _NUMBER.fullmatch(compared.replace(",", ".", 1)) is not None


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
        # No number with thousands begins with 0: 0,500 is another program's half.
        grouped = re.compile(rf"[+-]?(?!0)\d{{1,3}}({mark}\d{{3}})+({re.escape(decimal)}\d*)?")

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
        # Without a mark between them, 2021111 is 1 November or 11 January.
        pattern = pattern.replace(token, group.replace("{1,2}", "{2}") if form.isalpha() else group, 1)
    return re.compile(rf"{pattern}(?:[ T](?P<clock>\d{{1,2}}:\d{{2}}.*))?", re.ASCII)


@dataclass(frozen=True)
class _Written:
    """A day, and what stands behind it."""

    day: date
    clock: str

    def there(self, zone: tzinfo | None) -> float:
        """Its ordinal in that zone; NaN for a day of another age, and for one that needs a zone."""
        if not _FIRST_YEAR <= self.day.year <= _LAST_YEAR:
            return np.nan
        return _ordinal_of(day_there(self.day, self.clock, zone))


def _is_of_this_age(ordinals: FloatArray) -> Mask:
    first, last = date(_FIRST_YEAR, 1, 1).toordinal(), date(_LAST_YEAR, 12, 31).toordinal()
    return np.asarray((ordinals >= first) & (ordinals <= last), dtype=np.bool_)


def _written(pattern: re.Pattern[str], text: str) -> _Written | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    try:
        return _Written(date(*(int(found[part]) for part in ("year", "month", "day"))), found["clock"] or "")
    except ValueError:
        return None


def _ordinal_of(day: date | None) -> float:
    return np.nan if day is None else float(day.toordinal())


def ordinal(iso: str) -> float:
    """Of a day YYYY-MM-DD."""
    return float(date.fromisoformat(iso).toordinal())
