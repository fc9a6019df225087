"""Whose are the rows of a source, and what do its columns say of each patient?

What several steps of an import need: a place to note faults in one form, and a column's answer for each patient.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near, Take, Without
from oncofed.client.importing.moments import UNSAID, of_midnights, zone_of
from oncofed.client.importing.readings import Column, Days, FloatArray, Mask, Places, numbers
from oncofed.client.importing.rows_of_patients import pick
from oncofed.client.importing.same_words import AS_STORED, TRUTHS
from oncofed.client.importing.source_tables import SourceTable
from oncofed.client.importing.spellings import BUT_FOR_ZEROS, Spellings, classes, meant_by, remedy_of
from oncofed.errors import Fault

DISAGREE = "says different things of one patient in several rows"


@dataclass(frozen=True, eq=False)
class PatientRows:
    """A source, and for each of its rows the place of the patient, -1 for nobody.

    patients  how many there are. missing: the source's words for "not known". faults: to which all are added.
    notes     of what is no fault, and people should know.
    troubled  (patients,), of whom a cell is at fault already, so that nothing that follows from it is told as well.
    """

    table: SourceTable
    patient: Places
    patients: int
    missing: tuple[str, ...]
    faults: list[Fault] = field(repr=False)
    troubled: Mask = field(repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    @property
    def source(self) -> Source:
        return self.table.source

    @property
    def known(self) -> Mask:
        return np.asarray(self.patient >= 0, dtype=np.bool_)

    def column(self, name: str) -> Column:
        return self.table.columns[name]

    def only(self, rows: Places, columns: Collection[str]) -> PatientRows:
        """These rows, and of them these columns."""
        kept = {name: self.column(name).only(rows) for name in columns if name in self.table.columns}
        table = replace(self.table, columns=kept, identifiers=self.table.identifiers.iloc[rows])
        return replace(self, table=table, patient=self.patient[rows])

    def note(self, column: str, rows: Mask, what: str, remedy: str) -> None:
        """rows: (rows,) that are at fault; those of nobody are not told."""
        rows = rows & self.known
        self.troubled[self.patient[rows]] = True
        self.fault(column, int(rows.sum()), what, remedy)

    def fault(self, column: str, count: int, what: str, remedy: str) -> None:
        if count:
            self.faults.append(Fault(f'{self.table.where}: column "{column}"', what, remedy, count))

    def one_each(self, values: FloatArray, column: str, *, take: Take | None = None) -> FloatArray:
        """(patients,) the one value of each patient, NaN for none; several that differ are a fault without a `take`."""
        kept = self.known & ~np.isnan(values)
        picked = pick(self.patient[kept], values[kept], patients=self.patients, take=take)
        self.troubled[picked.disagreeing] = True
        remedy = "Keep one row of each patient (keep), or correct the source."
        self.fault(column, int(picked.disagreeing.sum()), DISAGREE, remedy)
        return picked.values

    def days(self, name: str, *, take: Take | None = None) -> FloatArray:
        """(patients,) the day that a column tells of each patient, as its ordinal."""
        return self.one_each(self.row_days(name), name, take=take)

    def row_days(self, name: str) -> FloatArray:
        """(rows,)"""
        form = self.source.date_format
        told = self.told_days(self.column(name), name, self.missing)
        self.note(name, told.malformed, f"is no day of the form {form}", self.day_remedy(told))
        return told.values

    def told_days(self, column: Column, name: str, missing: Collection[str]) -> Days:
        told = column.told_days(self.source.date_format, missing, zone_of(self.source))
        if count := int((told.moved & self.known).sum()):
            self.notes.append(of_midnights(count, f'of "{name}"'))
        return told

    def times(self, name: str) -> FloatArray:
        """(patients,) the time that a column tells of each patient."""
        read = numbers(self.column(name), self.source, self.missing)
        wrong = read.malformed | read.limited
        self.note(name, wrong, "is not a number", self.number_remedy)
        return self.one_each(read.values, name)

    def day_remedy(self, told: Days) -> str:
        """Of cells that are no day."""
        if (told.malformed & self.known & ~told.in_utc).sum() == 0:
            return UNSAID
        if self.source.part.is_fhir:
            remedy = "Correct it, or say what a day of which only the month or the year is told becomes: partial_dates."
        else:
            remedy = "Correct the cell, name another date_format, or list the word for an unknown day under missing."
        return f"{remedy} Of moments in UTC: {UNSAID}" if (told.in_utc & self.known).any() else remedy

    @property
    def number_remedy(self) -> str:
        mark = "a decimal point" if self.source.decimal.letter == "." else "a decimal comma"
        return f"Its source writes numbers with {mark}: correct that, the cell, or list the word under missing."

    def truths(self, name: str, yes: Collection[str], no: Collection[str], *, keys: str) -> FloatArray:
        """(patients,) 1 for a word of `yes`, 0 for one of `no`, NaN for none. keys: of the mapping, for the remedy."""
        column = self.column(name)
        is_yes, is_no = column.among(yes), column.among(no)
        values = np.where(is_yes, 1.0, np.where(is_no, 0.0, np.nan))
        unknown = np.isnan(values) & ~column.empty(self.missing)
        remedy = f"List it under {keys}, or under missing."
        if (unknown & column.among([*TRUTHS])).any():
            remedy += AS_STORED
        self.note(name, unknown, "is a word that the mapping does not list", remedy)
        return self.one_each(values, name)


@dataclass(frozen=True, eq=False)
class Whose:
    """The patients of the study, by their identifiers.

    one        other spellings in their own source, where the mapping says that these are alike.
    everybody  who stands in any source: of two who are near to a patient in two sources, none may be near to the other.
    """

    identifiers: tuple[str, ...]
    one: Mapping[str, str] = field(default_factory=dict)
    everybody: frozenset[str] = frozenset()

    @cached_property
    def _places(self) -> dict[str, int]:
        places = {patient: place for place, patient in enumerate(self.identifiers)}
        return places | {other: places[patient] for other, patient in self.one.items()}

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self._places, names=True)

    @cached_property
    def _doubted(self) -> frozenset[str]:
        return classes(self.everybody).doubted

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._places

    def of(self, identifiers: pd.Series, near: Near | None) -> tuple[Places, Mask]:
        """(rows,) the place of the patient, -1 for nobody; and whether a row may be of one whose identifier it writes
        otherwise.

        near  what the mapping says of those.
        """
        codes, found = pd.factorize(identifiers)
        strangers = [each for each in found if each not in self._places]
        alike, doubted = (
            meant_by(strangers, self._spellings, near, one=self.one) if strangers else ({}, frozenset[str]())
        )
        if alike and (several := self._doubted & alike.keys()):
            doubted |= several
            alike = {each: patient for each, patient in alike.items() if each not in several}
        places = np.array([*(self._places.get(alike.get(each, each), -1) for each in found), -1], dtype=np.int64)
        return places[codes], np.array([*(each in doubted for each in found), False], dtype=np.bool_)[codes]


def distinct_patients(identifiers: Sequence[str], near: Near | None, where: str) -> tuple[Whose, list[Fault]]:
    """Those of the source of the patients, each patient once; and the fault where nobody says whether two are one, or
    where one is near to two that are not near to each other.

    near  what the mapping says of those that are nearly one. where: of the column, as faults tell it.
    """
    if near is Near.DIFFER:
        return Whose(tuple(identifiers)), []
    first, doubted = classes(identifiers)
    if near is None:
        doubted = frozenset(first)
    what = f"would be another patient's {BUT_FOR_ZEROS}"
    faults = [Fault(where, what, remedy_of("near_identifiers"), len(doubted))] if doubted else []
    one = {each: patient for each, patient in first.items() if patient != each and not doubted}
    return Whose(tuple(each for each in identifiers if each not in one), one), faults


def judge_strangers(rows: PatientRows, near: Mask, telling: Mask, *, unmet: bool) -> None:
    """Of rows of nobody in the study, in a source beside that of the patients.

    near     (rows,) that may be of a patient whose identifier is written otherwise.
    telling  (rows,) for whose lack a patient has something.
    unmet    whether no row is of a patient, and some row tells what the mapping does not say may be of nobody.

    `of_nobody` leaves out the rows of others, and mends no broken join: that is a fault whatever it says.
    """
    strangers = rows.table.identifiers[~rows.known].dropna()
    lacking = int((telling & ~rows.known & ~near).sum())
    meant = "where a patient without a row has something (without_row, no variant, no event)"
    rewrite = "Write identifiers alike in all tables, as text"
    if count := int(near.sum()):
        what, remedy = "would be of a patient", remedy_of("near_identifiers")
        if rows.source.near_identifiers is not None:
            what, remedy = "would be of several patients", f"{rewrite}."
        what += f" {BUT_FOR_ZEROS}"
        rows.fault(rows.table.patient, count, what, remedy)
    if lacking and unmet and not count:
        remedy = f'{rewrite}. If indeed none is of a patient: of_nobody = "leave_out" and, of its markers and '
        remedy += "outcomes, may_be_of_nobody = true."
        rows.fault(rows.table.patient, lacking, f"is of nobody in the study in any row, {meant}", remedy)
    elif lacking and rows.source.of_nobody is Without.FAULT:
        remedy = f'Where rows are of others, too: of_nobody = "leave_out". Else: {rewrite[0].lower()}{rewrite[1:]}.'
        rows.fault(rows.table.patient, lacking, f"is of nobody in the study, {meant}", remedy)
    elif len(strangers) and not rows.known.any() and not count:
        rows.notes.append("no row is of a patient of the study: do both tables write identifiers alike?")


def judge_uncoded(rows: PatientRows, whose: Whose) -> None:
    """Of a source where a patient without a row of a code has something: rows that do not say what they are of."""
    count = int((whose.of(rows.table.uncoded, rows.source.near_identifiers)[0] >= 0).sum())
    if not count:
        return
    if rows.source.without_code is Without.LEAVE_OUT:
        rows.notes.append(f"{count:,} rows of patients have no code, or none of the usual system, and do not count")
        return
    what = "has no code, or none of the usual system, where a patient without a row has something (without_row)"
    remedy = 'Complete them, or name what they have under codes. To leave them out: without_code = "leave_out".'
    rows.fault(rows.source.code or "", count, what, remedy)


def latest(of: Sequence[FloatArray]) -> FloatArray:
    """(patients,) the latest of several days; NaN where none is told."""
    highest = np.maximum.reduce([np.where(np.isnan(each), -np.inf, each) for each in of])
    return np.where(np.isinf(highest), np.nan, highest)
