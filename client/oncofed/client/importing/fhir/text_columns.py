"""How are millions of rows of texts kept while files are streamed?

Each distinct text of a column is kept once, and of each cell its number: four bytes. So memory grows with the rows that
a mapping reads and with how many different cells they have, and not with the resources that they stand in.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.partial_dates import PartialDate, is_partial, of_partial_days, whole_day

Place = NDArray[np.int64]


def numbers_in(buffer: array[Any] | bytearray, kind: type[np.generic]) -> NDArray[Any]:
    """What is in it, of this kind, without a copy."""
    return np.frombuffer(buffer, dtype=kind) if len(buffer) else np.zeros(0, dtype=kind)


_BETWEEN = "\x1f"
"""Of several texts in one cell."""


def several(texts: Iterable[str | None]) -> str | None:
    """One cell of them, each once; `each_alone` makes a row for each."""
    return _BETWEEN.join(dict.fromkeys(filter(None, texts))) or None


def texts_in(cell: str) -> list[str]:
    """Those of `several`."""
    return cell.split(_BETWEEN)


def each_alone(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """With a row for each text of a cell, in these columns; what nobody reads makes no rows."""
    for name in columns:
        cells = frame[name] if name in frame.columns else None
        if cells is None or not isinstance(cells.dtype, pd.CategoricalDtype):
            continue
        if any(_BETWEEN in text for text in cells.cat.categories):
            alone = cells.astype(object).str.split(_BETWEEN)
            frame = frame.assign(**{name: alone}).explode(name, ignore_index=True)
    return frame


class Texts:
    """Distinct texts, numbered as they come. -1 is none."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def of(self, text: str | None) -> int:
        return -1 if text is None else self.number.setdefault(text, len(self.number))

    @property
    def listed(self) -> list[str]:
        return list(self.number)


class TextColumns:
    """Rows of texts under names, each of one resource (by its number) and of a subject."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._texts = [Texts() for _ in names]
        self._cells = [array("i") for _ in names]
        self._subject, self._resource = array("i"), array("i")

    def add(self, row: Sequence[str | None], *, subject: int, resource: int) -> None:
        for cells, texts, text in zip(self._cells, self._texts, row, strict=True):
            cells.append(texts.of(text))
        self._subject.append(subject)
        self._resource.append(resource)

    @property
    def subject(self) -> Place:
        return numbers_in(self._subject, np.int32).astype(np.int64)

    @property
    def resource(self) -> Place:
        return numbers_in(self._resource, np.int32).astype(np.int64)

    def texts(self, name: str) -> list[str]:
        """The distinct ones of a column."""
        return self._texts[self.names.index(name)].listed

    def places(self, name: str, rows: Place) -> Place:
        """(rows,) of these rows, the number of the text, -1 for none."""
        return np.asarray(numbers_in(self._cells[self.names.index(name)], np.int32)[rows], dtype=np.int64)

    def cells(self, name: str, rows: Place, *, told: Callable[[str], str | None] = str) -> pd.Series:
        """The cells of these rows, each distinct text as `told` says it."""
        return coded(self.places(name, rows), [told(text) for text in self.texts(name)])


def coded(places: Place, texts: Sequence[str | None]) -> pd.Series:
    """(rows,) categorical: the text at each place, none for -1 and for a text that is none."""
    distinct = {text: number for number, text in enumerate(dict.fromkeys(text for text in texts if text))}
    into = np.array([*(distinct.get(text, -1) if text else -1 for text in texts), -1], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(into[places], categories=pd.Index(list(distinct), dtype=object)))


def days_of(table: TextColumns, name: str, rows: Place, source: Source, notes: list[str]) -> pd.Series:
    becomes = source.partial_dates or PartialDate.FAULT
    partial = np.array([*map(is_partial, table.texts(name)), False], dtype=np.bool_)
    notes += of_partial_days(int(partial[table.places(name, rows)].sum()), name, becomes)
    return table.cells(name, rows, told=lambda text: whole_day(text, becomes))


def whole_days(days: Sequence[str | None], name: str, source: Source, notes: list[str]) -> pd.Series:
    becomes = source.partial_dates or PartialDate.FAULT
    notes += of_partial_days(sum(day is not None and is_partial(day) for day in days), name, becomes)
    return pd.Series([None if day is None else whole_day(day, becomes) for day in days], dtype=object)
