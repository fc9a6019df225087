"""Does a table fit the study's schema, and which `Cohort` is it then?

Promise: `validate` either returns a cohort that satisfies every promise in `Cohort`'s docstring, or raises one
InvalidInput with every fault: column, number of rows, remedy. A fault names columns of the schema, categories and
ranges of the schema and counts of rows, and nothing else: never a cell, never an identifier, never a column name that
only the table has (without a header line those are cells). Columns that the schema does not name are ignored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cells import Numbers, categories, numbers
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.identifiers import identifiers_in
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import DeathPolicy, Endpoint, Kind, Marker, StudySchema, TimeUnit
from oncofed.cohort.table import read_table
from oncofed.errors import Fault, InvalidInput

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

_LONGEST_FOLLOW_UP = {TimeUnit.DAYS: 43_830, TimeUnit.WEEKS: 6_262, TimeUnit.MONTHS: 1_440, TimeUnit.YEARS: 120}
"""120 years in each unit: nobody is followed up for longer, so a longer time is in another unit."""


def read_cohort(path: Path | str, schema: StudySchema) -> Cohort:
    """The cohort in a table file. Raises InvalidInput."""
    return validate(read_table(path, columns=named_columns(schema)), schema, where=Path(path).name)


def validate(table: pd.DataFrame, schema: StudySchema, where: str) -> Cohort:
    """The cohort in `table`, rows in the table's order. Raises InvalidInput with all faults.

    where  what faults call the table, usually its file name.
    """
    return _Validation(table, schema, where).cohort()


def extra_columns(table: pd.DataFrame, schema: StudySchema) -> tuple[str, ...]:
    """The table's columns that the schema does not name. They may hold anything: show them to nobody outside."""
    named = {plain(column) for column in named_columns(schema)}
    return tuple(str(column) for column in table.columns if plain(str(column)) not in named)


def named_columns(schema: StudySchema) -> tuple[str, ...]:
    """Every column that a table needs, each once: identifier, site, markers, outcomes."""
    found = [schema.patient_id]
    found.extend([] if schema.site_column is None else [schema.site_column])
    found.extend(marker.name for marker in schema.markers)
    for endpoint in schema.endpoints:
        outcome = (endpoint.time_column, endpoint.event_column, endpoint.entry_column, endpoint.death_event_column)
        found.extend(column for column in outcome if column is not None)
    return tuple(dict.fromkeys(found))


class _Validation:
    """One pass over one table: each step returns its part of the cohort and notes its faults."""

    def __init__(self, table: pd.DataFrame, schema: StudySchema, where: str) -> None:
        self.table = table
        self.schema = schema
        self.where = where
        self.faults: list[Fault] = []
        self._places: dict[str, list[int]] = {}
        for position, name in enumerate(table.columns):
            self._places.setdefault(plain(str(name)), []).append(position)

    def cohort(self) -> Cohort:
        schema = self.schema
        if len(self.table) == 0:
            self.faults.append(Fault(self.where, "the table has no rows", "Export it with one row a patient."))
        for column in named_columns(schema):
            self._look_for(column)
        patient_ids = self._patient_ids()
        values = [self._marker(marker) for marker in schema.markers]
        outcomes = [self._outcome(endpoint) for endpoint in schema.endpoints]
        self._note_two_at_once([observed for _, _, observed in outcomes])
        if self.faults:
            # Endpoints may share columns; what is wrong with a column is said once.
            raise InvalidInput(tuple(dict.fromkeys(self.faults)))
        rows = len(self.table)
        return Cohort(
            schema=schema,
            patient_ids=patient_ids,
            values=np.column_stack(values) if values else np.zeros((rows, 0)),
            entry=np.column_stack([entry for entry, _, _ in outcomes]),
            exit=np.column_stack([exit_ for _, exit_, _ in outcomes]),
            observed=np.column_stack([observed for _, _, observed in outcomes]),
        )

    def _note(self, column: str, rows: Mask, what: str, remedy: str) -> None:
        count = int(rows.sum())
        if count:
            self.faults.append(Fault(f'{self.where}: column "{column}"', what, remedy, count))

    def _look_for(self, column: str) -> None:
        found = len(self._positions(column))
        where = f'{self.where}: column "{column}"'
        if found > 1:
            self.faults.append(Fault(where, f"stands {found} times in the table", "Keep one of them."))
        if found == 0:
            # Whether a near miss exists may be said; how it is spelt in the table may not.
            near = any(
                plain(str(name)).strip().casefold() == plain(column).strip().casefold() for name in self.table.columns
            )
            remedy = (
                "Rename the one that differs only in capitals or blanks." if near else "Add it, or correct the schema."
            )
            self.faults.append(Fault(where, "is missing from the table", remedy))

    def _cells(self, column: str) -> pd.Series | None:
        """The column's cells, or None when it is absent or doubled, which `_look_for` has told."""
        positions = self._positions(column)
        return self.table.iloc[:, positions[0]] if len(positions) == 1 else None

    def _positions(self, column: str) -> list[int]:
        return self._places.get(plain(column), [])

    def _patient_ids(self) -> tuple[str, ...]:
        cells = self._cells(self.schema.patient_id)
        if cells is None:
            return ()
        column = self.schema.patient_id
        found = identifiers_in(cells, where=f'{self.where}: column "{column}"')
        self.faults += found.faults
        identifiers = pd.Series(found.names.to_pylist(), dtype=object)
        repeated = identifiers.duplicated(keep=False).to_numpy() & ~found.missing
        self._note(column, repeated, "rows share their identifier with another row", "Keep one row for each patient.")
        return tuple(identifiers)

    def _marker(self, marker: Marker) -> FloatArray:
        cells = self._cells(marker.name)
        if cells is None:
            return np.full(len(self.table), np.nan)
        if marker.kind is Kind.CATEGORICAL:
            found = categories(cells, marker.categories, marker.missing_codes)
            known = ", ".join(f'"{category}"' for category in marker.categories)
            remedy = f"Write one of {known}, leave the cell empty, or list the code for missing in missing_codes."
            self._note(marker.name, found.unknown, "is not a category of the schema", remedy)
            return found.values
        read = numbers(cells, marker.missing_codes, truth_words=marker.kind is Kind.BINARY)
        if marker.kind is Kind.BINARY:
            self._note_not_binary(marker.name, read, "leave it empty, or list the code for missing in missing_codes")
            return read.values
        self._note(
            marker.name,
            read.malformed,
            "is not a number",
            "Write a number with a decimal point, leave it empty, or list the code for missing in missing_codes.",
        )
        if marker.kind is Kind.ORDINAL:
            broken = ~np.isnan(read.values) & (read.values != np.round(read.values))
            self._note(marker.name, broken, "is not a whole number", "An ordinal marker has whole levels only.")
        if marker.plausible_range is not None:
            low, high = marker.plausible_range
            unit = f" in {marker.unit}" if marker.unit else ""
            self._note(
                marker.name,
                (read.values < low) | (read.values > high),
                f"lies outside the plausible range {low:g} to {high:g}{unit}",
                f"Check the unit: the schema expects {marker.unit or 'a plain number'}. Correct or empty the cells.",
            )
        return read.values

    def _note_not_binary(self, column: str, read: Numbers, otherwise: str) -> None:
        wrong = read.malformed | (~np.isnan(read.values) & (read.values != 0) & (read.values != 1))
        self._note(column, wrong, "is neither 0 nor 1", f"Write 0, 1, true or false, {otherwise}.")

    def _outcome(self, endpoint: Endpoint) -> tuple[FloatArray, FloatArray, Mask]:
        """Entry, exit and observed of one endpoint; placeholders where a column is absent."""
        rows = len(self.table)
        observed = self._event(endpoint.event_column)
        death = None if endpoint.death_event_column is None else self._event(endpoint.death_event_column)
        exit_ = self._exit(endpoint.time_column, observed)
        entry = np.zeros(rows)
        if endpoint.entry_column is not None:
            entry = self._entry(endpoint.entry_column)
            self._note(
                endpoint.entry_column,
                (entry >= 0) & (exit_ > 0) & (entry >= exit_),
                f'is not before the end of follow-up, column "{endpoint.time_column}"',
                "A patient enters before leaving; check for swapped columns, else drop the patient.",
            )
        event = observed == 1
        if death is not None and endpoint.death is DeathPolicy.COMPOSITE:
            event = event | (death == 1)
        return entry, exit_, event

    def _note_two_at_once(self, observed: list[Mask]) -> None:
        """Of endpoints that compete, each patient has had one at most: what came first ends the follow-up."""
        for number, endpoint in enumerate(self.schema.endpoints):
            for other in self.schema.competing(number):
                if other > number:
                    rival = self.schema.endpoints[other].event_column
                    self._note(
                        endpoint.event_column,
                        observed[number] & observed[other],
                        f'has an event together with column "{rival}", which competes with it',
                        "Write 1 for what came first, and 0 for the other.",
                    )

    def _event(self, column: str) -> FloatArray:
        cells = self._cells(column)
        if cells is None:
            return np.full(len(self.table), np.nan)
        read = numbers(cells, truth_words=True)
        self._note_not_binary(column, read, "1 when the event was observed")
        self._note(column, read.missing, "is missing", "Write 1 when the event was observed, 0 when censored.")
        return read.values

    def _exit(self, column: str, observed: FloatArray) -> FloatArray:
        """The end of follow-up, with zero read as the schema's constant if it has one."""
        cells = self._cells(column)
        if cells is None:
            return np.full(len(self.table), np.nan)
        unit = self.schema.grid.unit
        read = self._times(column, cells)
        event_told = observed == 1
        self._note(
            column, read.missing & event_told, "has no time for an event", f"Write when the event occurred, in {unit}."
        )
        self._note(column, read.missing & ~event_told, "is missing", f"Write the last contact, in {unit}.")
        self._note(column, read.values < 0, "is negative", "Count from time zero forwards; check for swapped dates.")
        instead = self.schema.zero_time_becomes
        if instead is None:
            remedy = "Write a positive time, or let the study choose zero_time_becomes in its schema."
            self._note(column, read.values == 0, "is zero", remedy)
            return read.values
        return np.where(read.values == 0, instead, read.values)

    def _entry(self, column: str) -> FloatArray:
        cells = self._cells(column)
        if cells is None:
            return np.zeros(len(self.table))
        read = self._times(column, cells)
        self._note(column, read.missing, "is missing", "Write 0 when observation began at time zero.")
        self._note(column, read.values < 0, "is negative", "Write 0 when observation began at time zero.")
        return read.values

    def _times(self, column: str, cells: pd.Series) -> Numbers:
        unit = self.schema.grid.unit
        read = numbers(cells)
        self._note(column, read.malformed, "is not a number", f"Write the time in {unit}, with a decimal point.")
        if unit in _LONGEST_FOLLOW_UP:
            too_long = read.values > _LONGEST_FOLLOW_UP[TimeUnit(unit)]
            self._note(column, too_long, "is longer than 120 years", f"Check the unit: the schema expects {unit}.")
        return read
