"""Who are the persons of an OMOP model: when were they born, when first and last seen, and have they died?

One row a person, with the columns of PERSON and, where the mapping asks for them, derived ones: `birth_date`, `dead`
and `death_date` (by the table DEATH: who has a row there is dead, also without a day), `first_contact` (of
OBSERVATION_PERIOD) and `last_contact` (of every table that tells a contact, or of those that the mapping lists).
Promise: nothing is chosen in silence. Two rows of DEATH with different days make two rows of the person, which the
import refuses; how many births are known by the year alone, and from which tables the last contact is, is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Without
from oncofed.client.importing.mapping_rules import strftime_of
from oncofed.client.importing.moments import UNSAID, of_midnights, zone_of
from oncofed.client.importing.omop_rows import CdmRows
from oncofed.client.importing.omop_tables import BIRTH, CONTACTS, DEAD, DEATH, FIRST, LAST, OMOP, PERSON_ID, OmopTable
from oncofed.client.importing.readings import Column, FloatArray, coded, identifiers, numbers
from oncofed.client.importing.spellings import BUT_FOR_ZEROS, Spellings, meant_by, remedy_of
from oncofed.cohort.table import Tell
from oncofed.errors import Fault, InvalidInput

_DERIVED = (BIRTH, DEAD, DEATH, FIRST, LAST)
_YEAR, _MONTH, _DAY = "year_of_birth", "month_of_birth", "day_of_birth"


@dataclass
class Persons:
    """missing: the source's words for "not known"."""

    source: Source
    rows: CdmRows
    missing: tuple[str, ...]
    tell: Tell
    faults: list[Fault] = field(default_factory=list)

    def frame(self, wanted: Sequence[str]) -> pd.DataFrame:
        """These columns of the table and derived ones. Raises InvalidInput."""
        own = [column for column in wanted if column not in _DERIVED]
        needed = [column.casefold() for column in own]
        optional: list[str] = []
        if BIRTH in wanted:
            needed += [_YEAR]
            optional += [_MONTH, _DAY]
        frame = self.rows.read(OmopTable.PERSON.value, [*needed, PERSON_ID], optional)
        columns = {column: _without_no_concept(column, frame[column.casefold()]) for column in own}
        self.who = identifiers(Column(frame[PERSON_ID]))
        if BIRTH in wanted:
            columns[BIRTH] = self._texts(self._births(frame))
        if FIRST in wanted:
            columns[FIRST] = self._texts(self._contact((OmopTable.OBSERVATION_PERIOD,), last=False))
        if LAST in wanted:
            columns[LAST] = self._texts(self._contact(self._contacts(), last=True))
        found = pd.DataFrame(columns, index=range(len(frame)))
        if DEAD in wanted or DEATH in wanted:
            found = self._with_deaths(found)
        if self.faults:
            raise InvalidInput(self.faults)
        return found[list(wanted)]

    def _texts(self, days: FloatArray) -> pd.Series:
        """(rows,) days (ordinals) in the source's own form."""
        form = strftime_of(self.source.date_format)
        place, distinct = pd.factorize(days)
        return coded(place, [date.fromordinal(int(day)).strftime(form) for day in distinct])

    # --- birth

    def _births(self, frame: pd.DataFrame) -> FloatArray:
        year, month, day = (self._whole(frame, name) for name in (_YEAR, _MONTH, _DAY))
        by_year, by_month = np.isnan(month) & ~np.isnan(year), np.isnan(day) & ~np.isnan(month) & ~np.isnan(year)
        month = np.where(np.isnan(month), 7, month)
        day = np.where(by_year, 1, np.where(np.isnan(day), 15, day))
        born = np.full(len(frame), np.nan)
        malformed = 0
        for row in np.flatnonzero(~np.isnan(year)):
            try:
                born[row] = date(int(year[row]), int(month[row]), int(day[row])).toordinal()
            except (ValueError, OverflowError):
                malformed += 1
        if malformed:
            where = f"{self.rows.where('person')}: {_YEAR}, {_MONTH} and {_DAY}"
            self.faults.append(Fault(where, "are no day", "Correct the cells, or empty them.", malformed))
        for count, taken in (
            (by_year, "the year alone, and taken on 1 July"),
            (by_month, "month and year, and on the 15th"),
        ):
            if count.any():
                self.tell(f"{self.rows.where('person')}: {int(count.sum())} births are known by {taken}")
        return born

    def _whole(self, frame: pd.DataFrame, name: str) -> FloatArray:
        if name not in frame.columns:
            return np.full(len(frame), np.nan)
        read = numbers(Column(frame[name]), self.source, self.missing)
        if wrong := int((read.malformed | read.limited | (read.values % 1 > 0)).sum()):
            where = f'{self.rows.where("person")}: column "{name}"'
            self.faults.append(Fault(where, "is no whole number", "Correct the cell, or empty it.", wrong))
        return np.where(read.values % 1 > 0, np.nan, read.values)

    # --- contacts

    def _contacts(self) -> tuple[OmopTable, ...]:
        return self.source.contact_tables or tuple(table for table in CONTACTS if self.rows.has(table.value))

    def _contact(self, tables: Sequence[OmopTable], *, last: bool) -> FloatArray:
        """(rows,) the last (or first) day of each person in these tables."""
        known = {who: place for place, who in enumerate(self.who) if who is not None}
        end = np.full(len(self.who), -np.inf if last else np.inf)
        for table, day in [(each, day) for each in tables for day in OMOP[each].days(last=last)]:
            frame = self.rows.days(table.value, day, last=last)
            told = Column(frame[day]).told_days(self.source.date_format, self.missing, zone_of(self.source))
            days, malformed = told.values, told.malformed
            where = f'{self.rows.where(table.value)}: column "{day}"'
            if malformed.any():
                remedy = "Correct the cell, or name another date_format in the source of persons."
                remedy = UNSAID if told.in_utc[malformed].all() else remedy
                what = f"is no day of the form {self.source.date_format}"
                self.faults.append(Fault(where, what, remedy, int(malformed.sum())))
            if told.moved.any():
                self.tell(f"{where}: {of_midnights(int(told.moved.sum()), 'there')}")
            codes, found = pd.factorize(self._persons_meant(identifiers(Column(frame[PERSON_ID])), table))
            places = np.array([*(known.get(who, -1) for who in found), -1])[codes]
            counted = (places >= 0) & ~np.isnan(days)
            (np.maximum if last else np.minimum).at(end, places[counted], days[counted])
        if last:
            self.tell(f"last contact: the last day in {', '.join(table.value for table in tables) or 'no table'}")
        return np.where(np.isinf(end), np.nan, end)

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.who.dropna(), names=True)

    def _persons_meant(self, who: pd.Series, table: OmopTable) -> pd.Series:
        """Persons whose identifier is written otherwise in another table, as the mapping says; none in doubt."""
        others = {*who.dropna()} - {*self.who.dropna()}
        near = self.source.near_identifiers
        alike, doubted = meant_by(others, self._spellings, near) if others else ({}, frozenset[str]())
        if not alike and not doubted:
            return who
        if count := int(who.isin(doubted).sum()):
            where = f'{self.rows.where(table.value)}: column "{PERSON_ID}"'
            self.faults.append(Fault(where, f"would be a person {BUT_FOR_ZEROS}", remedy_of("near_identifiers"), count))
        return who.map(lambda each: None if each in doubted else alike.get(each, each))

    # --- death

    def _with_deaths(self, found: pd.DataFrame) -> pd.DataFrame:
        """A person with several rows of death has several rows."""
        frame = self.rows.read(OmopTable.DEATH.value, [PERSON_ID, DEATH])
        who = self._persons_meant(identifiers(Column(frame[PERSON_ID])), OmopTable.DEATH)
        day = Column(frame[DEATH]).words(())
        deaths = pd.DataFrame({"who": who, DEATH: day})[who.notna()].drop_duplicates()
        if count := int((~deaths["who"].isin(set(self.who.dropna()))).sum()):
            if self.source.of_nobody is Without.FAULT:
                what = "is of nobody in person, and whoever died would be alive"
                remedy = 'Export both tables again. If they are rows of others: of_nobody = "leave_out".'
                self.faults.append(Fault(f'{self.rows.where("death")}: column "{PERSON_ID}"', what, remedy, count))
            self.tell(f"{self.rows.where('death')}: {count} rows are of nobody in person")
        of_person: dict[str, list[str | None]] = {}
        for person, told in zip(deaths["who"], deaths[DEATH], strict=True):
            of_person.setdefault(person, []).append(told)
        rows, dead, days = [], [], []
        for row, person in enumerate(self.who):
            for told in of_person.get(person, [""]):
                rows.append(row)
                dead.append("0" if told == "" else "1")
                days.append(told or None)
        found = found.iloc[rows].reset_index(drop=True)
        return found.assign(**{DEAD: pd.Series(dead, dtype=object), DEATH: pd.Series(days, dtype=object)})


def _without_no_concept(name: str, cells: pd.Series) -> pd.Series:
    """A concept of 0 is an empty cell."""
    if not name.casefold().endswith("_concept_id"):
        return cells
    none = Column(cells).among(["0"])
    return cells.mask(pd.Series(none)) if none.any() else cells
