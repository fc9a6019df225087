"""What can be read of a hospital's table, whether or not it is sound?

`oncofed.cohort.validation` refuses a table with any fault. A report on quality has to look at such tables, too: here
every cell that can be read is read as validation would read it, every other one is as if it were not measured, and the
faults that validation tells stand beside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.readings import Column
from oncofed.cohort.cells import categories, numbers
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import DeathPolicy, Kind, StudySchema
from oncofed.cohort.validation import validate
from oncofed.errors import Fault, InvalidInput

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

_YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True, eq=False)
class TableContent:
    """One row a patient, in the table's order.

    where           what the table is called.
    values          (rows, markers) as in a cohort; NaN where missing or unreadable.
    entry, exit     (rows, endpoints) in the grid's unit; NaN where unreadable. A follow-up of zero is 0 here.
    observed        (rows, endpoints) the event, as the schema counts it; False where unreadable.
    zero_days       (rows,) time zero as the ordinal of a day; NaN where not known.
    zero_years      (rows,) its year, 0 where not known.
    faults          for which the table would be refused.
    """

    where: str
    schema: StudySchema
    values: FloatArray
    entry: FloatArray
    exit: FloatArray
    observed: Mask
    zero_days: FloatArray
    zero_years: NDArray[np.int64]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def has_years(self) -> bool:
        return bool(self.zero_years.any())


def table_content(
    table: pd.DataFrame,
    schema: StudySchema,
    *,
    where: str,
    zero_column: str | None = None,
    zero_days: FloatArray | None = None,
) -> TableContent:
    """
    zero_column  the table's column with the day (YYYY-MM-DD) or the year of time zero.
    zero_days    (rows,) instead of it.
    """
    faults: list[Fault] = []
    try:
        validate(table, schema, where=where)
    except InvalidInput as refused:
        faults += refused.faults
    read = _Reading(table)
    days = np.full(len(table), np.nan) if zero_days is None else zero_days
    years = np.array([0 if np.isnan(day) else date.fromordinal(int(day)).year for day in days], dtype=np.int64)
    if zero_column is not None:
        days, years, wrong = read.time_zero(zero_column)
        if wrong:
            about, remedy = f'{where}: column "{zero_column}"', "Write YYYY-MM-DD or YYYY, or leave the cell empty."
            faults.append(Fault(about, "is neither a day nor a year", remedy, wrong))
    outcomes = [read.outcome(number, schema) for number in range(len(schema.endpoints))]
    values = [read.marker(number, schema) for number in range(len(schema.markers))]
    return TableContent(
        where=where,
        schema=schema,
        values=np.column_stack(values) if values else np.zeros((len(table), 0)),
        entry=np.column_stack([entry for entry, _, _ in outcomes]),
        exit=np.column_stack([exit_ for _, exit_, _ in outcomes]),
        observed=np.column_stack([observed for _, _, observed in outcomes]),
        zero_days=days,
        zero_years=years,
        faults=tuple(faults),
    )


class _Reading:
    """The table's cells, column by column; a column that is absent or there twice holds nothing."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.places: dict[str, list[int]] = {}
        for place, name in enumerate(table.columns):
            self.places.setdefault(plain(str(name)), []).append(place)

    def cells(self, column: str | None) -> pd.Series:
        places = [] if column is None else self.places.get(plain(column), [])
        if len(places) != 1:
            return pd.Series([None] * len(self.table), dtype=object)
        return self.table.iloc[:, places[0]]

    def marker(self, number: int, schema: StudySchema) -> FloatArray:
        marker = schema.markers[number]
        cells = self.cells(marker.name)
        if marker.kind is Kind.CATEGORICAL:
            return categories(cells, marker.categories, marker.missing_codes).values
        return numbers(cells, marker.missing_codes, truth_words=marker.kind is Kind.BINARY).values

    def outcome(self, number: int, schema: StudySchema) -> tuple[FloatArray, FloatArray, Mask]:
        endpoint = schema.endpoints[number]
        observed = numbers(self.cells(endpoint.event_column), truth_words=True).values == 1
        if endpoint.death_event_column is not None and endpoint.death is DeathPolicy.COMPOSITE:
            observed |= numbers(self.cells(endpoint.death_event_column), truth_words=True).values == 1
        exit_ = numbers(self.cells(endpoint.time_column)).values
        entry = np.zeros(len(self.table))
        if endpoint.entry_column is not None:
            entry = numbers(self.cells(endpoint.entry_column)).values
        return entry, exit_, observed

    def time_zero(self, column: str) -> tuple[FloatArray, NDArray[np.int64], int]:
        """Days, years, and how many cells are neither."""
        cells = Column(self.cells(column))
        days, malformed = cells.days("YYYY-MM-DD", [])
        years = cells.each(lambda text: float(text[:4]) if _YEAR.fullmatch(text.removesuffix(".0")) else np.nan, np.nan)
        from_days = np.array([np.nan if np.isnan(day) else date.fromordinal(int(day)).year for day in days])
        known = np.where(np.isnan(years), from_days, years)
        wrong = int((malformed & np.isnan(years)).sum())
        return days, np.nan_to_num(known).astype(np.int64), wrong
