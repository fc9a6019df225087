"""What became of each patient, as the mapping tells it, in the columns of the schema?

Days are counted from time zero: a month is 30.4375 days, a year 365.25.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from oncofed.client.importing.follow_up import FollowUp, follow_up
from oncofed.client.importing.mapping import MappedOutcome, TimeZero
from oncofed.client.importing.mapping_choices import AfterCut, Take, Without, WithoutDate
from oncofed.client.importing.patient_rows import PatientRows, latest
from oncofed.client.importing.readings import FloatArray, Mask, ordinal
from oncofed.client.importing.report import OutcomeReport
from oncofed.cohort.schema import Endpoint, TimeUnit
from oncofed.errors import Fault

LONGEST_YEARS = 40.0
"""Of a follow-up that nobody wonders at."""
DAYS = {TimeUnit.DAYS: 1.0, TimeUnit.WEEKS: 7.0, TimeUnit.MONTHS: 30.4375, TimeUnit.YEARS: 365.25}


@dataclass(frozen=True, eq=False)
class ImportedOutcome:
    """columns  the schema's columns that this outcome gives, each (patients,).
    left_out    by reason, (patients,).
    at_fault    (patients,), of whom a fault is told already.
    """

    endpoint: Endpoint
    columns: Mapping[str, FloatArray]
    left_out: Mapping[str, Mask]
    at_fault: Mask
    followed: FollowUp
    entry_set_to_zero: Mask

    def has_no_event(self, kept: Mask) -> bool:
        """Of those in the table; not where somebody may have had one, and is at fault."""
        told = self.followed
        observed = told.observed == 1
        perhaps = observed | told.without_date | told.contradicted | told.ended_at_cut | told.wordless
        return bool(kept.any() and not observed[kept].any() and not (perhaps & self.at_fault).any())

    def report(self, kept: Mask) -> OutcomeReport:
        followed = self.followed
        return OutcomeReport(
            endpoint=self.endpoint.name,
            events=int((followed.observed[kept] == 1).sum()),
            without_date=int(followed.without_date.sum()),
            ended_at_cut=int(followed.ended_at_cut[kept].sum()),
            contact_after_event=int(followed.seen_after[kept].sum()),
            entry_set_to_zero=int(self.entry_set_to_zero[kept].sum()),
        )


def time_zero(section: TimeZero, rows: PatientRows) -> FloatArray:
    """(patients,) the ordinal of the day, NaN where none is told."""
    take = {Take.FIRST: Take.MIN, Take.LAST: Take.MAX}.get(section.take) if section.take is not None else None
    return rows.days(section.column, take=take)


def imported_outcome(
    endpoint: Endpoint,
    outcome: MappedOutcome,
    rows: PatientRows,
    *,
    contacts: Sequence[tuple[PatientRows, tuple[str, ...]]] = (),
    zero: FloatArray | None,
    unit: TimeUnit,
    without_outcome: Without,
    listed: Mask,
    today: date,
    beside: bool = False,
) -> ImportedOutcome:
    """
    contacts  other sources, and their columns with days of contact.
    zero      (patients,) the day of time zero, if the mapping has one. listed: who is not left out already.
    today     nobody was seen later.
    beside    whether its source is another than that of the patients.
    """
    read = _Outcome(endpoint, outcome, rows, contacts, zero, unit, listed, today, beside)
    return read.imported(without_outcome)


@dataclass(eq=False)
class _Outcome:
    endpoint: Endpoint
    outcome: MappedOutcome
    rows: PatientRows
    contacts: Sequence[tuple[PatientRows, tuple[str, ...]]]
    zero: FloatArray | None
    unit: TimeUnit
    listed: Mask
    today: date
    beside: bool

    def imported(self, without_outcome: Without) -> ImportedOutcome:
        outcome, rows = self.outcome, self.rows
        words = None if outcome.event is None else rows.truths(outcome.event, outcome.yes, outcome.no, keys="yes or no")
        followed = self._followed(words)
        entry, set_to_zero = self._entry()
        self._tell_longest(followed)
        death = None
        if outcome.death is not None:
            death = rows.truths(outcome.death, outcome.death_yes, outcome.death_no, keys="death_yes or death_no")
        end, observed = followed.end.copy(), followed.observed.copy()
        left_out: dict[str, Mask] = {}
        at_fault = np.logical_or.reduce([rows.troubled, *(other.troubled for other, _ in self.contacts)])
        self.listed = self.listed & ~at_fault
        at_fault |= self._note(
            followed.contradicted,
            "tells the time of an event, and says in words that there was none",
            "Correct the source. If that column holds last contacts, too, "
            + ("name it as time alone." if outcome.event_date is None else "list it under last_contact as well."),
        )
        if outcome.after_cut is AfterCut.FAULT:
            remedy = 'Correct the day or data_cut, or write after_cut = "censor".'
            at_fault |= self._note(followed.ended_at_cut, "goes on after the data cut", remedy)
        if outcome.data_cut is None and self.zero is not None and outcome.event_date is not None:
            ends = self.zero + followed.end * DAYS[self.unit]
            remedy = "Correct the day, list a stand-in such as 2099-12-31 under missing, or write data_cut."
            at_fault |= self._note(ends > self.today.toordinal() + 0.5, "goes on after today", remedy)
        undated = followed.without_date & self.listed
        at_fault |= self._undated(undated, followed)
        if outcome.without_date is not WithoutDate.CENSOR:
            left_out[f"{outcome.name}: an event without a date"] = undated
        nothing = np.isnan(end) & self.listed & ~undated
        nothing |= undated & np.isnan(end) if outcome.without_date is WithoutDate.CENSOR else False
        wordless = nothing & followed.wordless
        nothing &= ~wordless
        if without_outcome is Without.LEAVE_OUT:
            left_out[f"{outcome.name}: a day of an event, and no word that there was one"] = wordless
            left_out[f"{outcome.name}: no outcome"] = nothing
        else:
            remedy = "Complete the source; or leave `event` out of the mapping, if a day says that there was one."
            at_fault |= self._note(wordless, "tells the day of an event, and no word that there was one", remedy)
            remedy = 'Complete the source, or write without_outcome = "leave_out" in [mapping].'
            at_fault |= self._note(nothing, "tells no outcome", remedy)
        impossible = (end < 0) | (False if entry is None else entry >= np.where(end == 0, np.inf, end))
        if outcome.impossible is Without.LEAVE_OUT:
            left_out[f"{outcome.name}: ends before time zero or before entry"] = impossible & self.listed
        else:
            before = (end < 0) & self.listed
            remedy = 'Correct the source, or write impossible = "leave_out".'
            at_fault |= self._note(before, "ends before time zero", remedy)
        columns = {self.endpoint.time_column: end, self.endpoint.event_column: observed}
        if entry is not None and self.endpoint.entry_column is not None:
            columns[self.endpoint.entry_column] = entry
        if death is not None and self.endpoint.death_event_column is not None:
            columns[self.endpoint.death_event_column] = death
        return ImportedOutcome(self.endpoint, columns, left_out, at_fault, followed, set_to_zero)

    def _tell_longest(self, followed: FollowUp) -> None:
        """Days that a mapping takes for months, mostly."""
        if count := int((followed.end * DAYS[self.unit] > LONGEST_YEARS * DAYS[TimeUnit.YEARS])[self.listed].sum()):
            unit = "are its days right?" if self.outcome.event_date is not None else "is time_unit right?"
            what = f"of {count:,} patients ends more than {LONGEST_YEARS:g} years after time zero: {unit}"
            self.rows.notes.append(f'outcome "{self.outcome.name}": the follow-up {what}')

    def _note(self, patients: Mask, what: str, remedy: str) -> Mask:
        concerned = np.asarray(patients & self.listed, dtype=np.bool_)
        if count := int(concerned.sum()):
            where = f'{self.rows.table.where}: outcome "{self.outcome.name}"'
            self.rows.faults.append(Fault(where, f"of a patient {what}", remedy, count))
        return concerned

    def _undated(self, undated: Mask, followed: FollowUp) -> Mask:
        """Of events without a date: a fault by itself, or because there are too many of them."""
        if self.outcome.without_date is WithoutDate.FAULT:
            remedy = 'Complete the source, or write without_date = "leave_out" or "censor".'
            if self.beside and self.outcome.event is None:
                column = self.outcome.event_date or self.outcome.event_time
                remedy += f' Where it has rows of patients without the event: keep = {{ "{column}" = ["*"] }}.'
            return self._note(undated, "has an event without a date", remedy)
        events = int(((followed.observed == 1) & self.listed).sum() + undated.sum())
        most = self.outcome.most_without_date
        if undated.sum() > most * events:
            what = f"has an event without a date, of more than {most:.0%} of all events"
            remedy = "Leaving them out would change the result: complete the source, or raise most_without_date."
            return self._note(undated, what, remedy)
        return np.zeros(len(undated), dtype=np.bool_)

    def _followed(self, words: FloatArray | None) -> FollowUp:
        outcome, rows = self.outcome, self.rows
        if outcome.event_date is not None:
            assert self.zero is not None
            events = rows.days(outcome.event_date)
            if outcome.day_of_either and words is not None:
                events = np.where(words == 0, np.nan, events)
            seen = [(rows, outcome.last_contact), *self.contacts]
            days = [each.days(name, take=Take.MAX) for each, names in seen for name in names]
            contacts = latest(days)
            words = self._words_of_rows(words, events, days[: len(outcome.last_contact)])
            cut = None if outcome.data_cut is None else ordinal(outcome.data_cut)
            followed = follow_up(words, events, contacts, cut=cut)
            return FollowUp(
                (followed.end - self.zero) / DAYS[self.unit],
                followed.observed,
                followed.without_date,
                followed.contradicted,
                followed.ended_at_cut,
                followed.seen_after,
                followed.wordless & (not outcome.day_of_either),
            )
        if outcome.time is not None:
            end = self._times(outcome.time)
            assert words is not None
            nothing = np.zeros(rows.patients, dtype=np.bool_)
            return FollowUp(np.where(np.isnan(words), np.nan, end), words, nothing, nothing, nothing, nothing, nothing)
        assert outcome.event_time is not None
        assert outcome.last_time is not None
        events, last = self._times(outcome.event_time), self._times(outcome.last_time)
        return follow_up(self._words_of_rows(words, events, [last]), events, last)

    def _words_of_rows(
        self, words: FloatArray | None, events: FloatArray, contacts: Sequence[FloatArray]
    ) -> FloatArray | None:
        """Of a table beside that of the patients, a row that tells no time tells the event: in one of deaths, say."""
        if words is not None or not self.beside:
            return words
        listed = np.zeros(self.rows.patients, dtype=np.bool_)
        listed[self.rows.patient[self.rows.known]] = True
        return np.asarray(~np.isnan(events) | (listed & np.isnan([*contacts]).all(axis=0)), dtype=np.float64)

    def _times(self, column: str) -> FloatArray:
        given = self.outcome.time_unit
        times = self.rows.times(column)
        return times if given in (None, self.unit) else times * DAYS[given or self.unit] / DAYS[self.unit]

    def _entry(self) -> tuple[FloatArray | None, Mask]:
        """The end of what nobody could have seen; who came before time zero was there from the start."""
        entry = None
        if self.outcome.entry is not None:
            entry = self._times(self.outcome.entry)
        elif self.outcome.entry_date is not None:
            assert self.zero is not None
            entry = (self.rows.days(self.outcome.entry_date) - self.zero) / DAYS[self.unit]
        early = np.zeros(self.rows.patients, dtype=np.bool_) if entry is None else entry < 0
        return entry if entry is None else np.where(early, 0.0, entry), np.asarray(early, dtype=np.bool_)
