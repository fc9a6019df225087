"""Which table does a mapping make of a hospital's own sources, and what happened to the rows on the way?

Promise: either the table that validation wants (`oncofed.cohort.validation`), whole, with a report that counts whatever
was left out, converted or emptied; or InvalidInput with every fault at once, each with its remedy, and no cell of a
patient. The same sources give the same table in whatever order their rows stand: patients come in the order of their
identifiers. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from oncofed.client.importing.asked import asked_of
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.fhir.folders import FhirFolders
from oncofed.client.importing.fhir.vital_status import MODIFIED_MEANS, REMEDY_OF_MODIFIED
from oncofed.client.importing.mapping_choices import Near, Part, Without
from oncofed.client.importing.mapping_file import CohortMapping
from oncofed.client.importing.markers import imported_marker
from oncofed.client.importing.outcomes import ImportedOutcome, imported_outcome, time_zero
from oncofed.client.importing.patient_rows import PatientRows, Whose, distinct_patients, judge_strangers, judge_uncoded
from oncofed.client.importing.readings import FloatArray, Mask
from oncofed.client.importing.report import ImportReport, MarkerReport, SourceReport
from oncofed.client.importing.source_tables import SourceTable, read_source_table
from oncofed.client.importing.spellings import BUT_FOR, Spellings
from oncofed.cohort.identifiers import identifiers_in
from oncofed.cohort.schema import Kind, Marker, TimeUnit
from oncofed.cohort.validation import named_columns, validate
from oncofed.errors import Fault, InvalidInput


@dataclass(frozen=True, eq=False)
class ImportedCohort:
    """table: one row a patient, in the order of identifiers, with the columns of the schema and no others.

    zero_days  (rows,) the day of time zero as its ordinal; None where the mapping has none.
    """

    table: pa.Table
    report: ImportReport
    zero_days: FloatArray | None = None


def import_cohort(mapping: CohortMapping, *, today: date | None = None) -> ImportedCohort:
    """The table of a mapping. Raises InvalidInput with all faults.

    today  nobody was seen later; None: the day of this machine, wherever on the earth that is.
    """
    one_pass = _Import(mapping, datetime.now(UTC).date() + timedelta(days=1) if today is None else today)
    try:
        return one_pass.imported()
    except MemoryError:
        pass
    what = "needs more memory than this machine has" + (f", with the source {one_pass.at}" if one_pass.at else "")
    remedy = "Export the columns and rows that are needed alone, or import on a larger machine."
    raise InvalidInput([Fault(mapping.where, what, remedy)])


class _Import:
    """One pass: each step returns its part of the table and notes its faults."""

    def __init__(self, mapping: CohortMapping, today: date) -> None:
        self.today = today
        self.at = ""  # the source that is read
        self.mapping, self.schema, self.head = mapping, mapping.schema, mapping.file.mapping
        self.faults: list[Fault] = []
        self.left_out: dict[str, Mask] = {}

    def imported(self) -> ImportedCohort:
        tables = self._tables()
        self.whose = self._patients(tables[self.head.patients])
        if any(table.source.near_identifiers is Near.ALIKE for table in tables.values()):
            everybody = frozenset(each for table in tables.values() for each in table.identifiers.dropna().unique())
            self.whose = replace(self.whose, everybody=everybody)
        self.patient_ids = self.whose.identifiers
        listed = len(self.patient_ids)
        self.at_fault = np.zeros(listed, dtype=np.bool_)
        self.rows = {name: self._rows(table) for name, table in tables.items()}
        self.zero = self._time_zero()
        self.days = {
            name: rows.row_days(rows.source.date) for name, rows in self.rows.items() if rows.source.date is not None
        }
        outcomes = [self._outcome(number) for number in range(len(self.mapping.outcomes))]
        kept = self._kept()
        for (_, outcome), imported in zip(self.mapping.outcomes, outcomes, strict=True):
            if not outcome.may_be_of_nobody and imported.has_no_event(kept):
                where = f'{self.rows[self.mapping.source(outcome.source).name].table.where}: outcome "{outcome.name}"'
                remedy = "Check that the events were exported, and how the mapping names them. "
                remedy += "If indeed nobody has one: may_be_of_nobody = true."
                self.faults.append(Fault(where, "is an event of no patient", remedy))
        markers: dict[str, pa.Array] = {}
        told: list[MarkerReport] = []
        for plan in self.mapping.markers:
            marker = imported_marker(
                plan,
                self.rows[plan.source],
                zero=self.zero,
                row_days=self.days.get(plan.source),
                outside=self.head.outside_range,
                today=self.today,
            )
            markers[plan.marker.name] = _cells(plan.marker, marker.values[kept])
            told.append(marker.report(kept))
        table = self._table(outcomes, markers, kept)
        sources = self._source_reports(tables)
        for used in (tables, self.rows, self.days, markers):  # what is not needed any more is the larger part
            used.clear()
        if not kept.any() and not self.faults:
            remedy = "Look at the counts of what is left out: mapping or sources are not of one piece."
            self.faults.append(Fault(self.mapping.where, "no patient is left", remedy))
        self._validate(table, kept)
        if self.faults:
            raise InvalidInput(tuple(dict.fromkeys(self.faults)))
        report = ImportReport(
            schema=self.schema.name,
            listed=len(self.patient_ids),
            left_out=self._left_out(),
            patients=int(kept.sum()),
            sources=sources,
            outcomes=tuple(outcome.report(kept) for outcome in outcomes),
            markers=tuple(told),
        )
        return ImportedCohort(table, report, None if self.zero is None else self.zero[kept])

    # --- sources and patients

    def _tables(self) -> dict[str, SourceTable]:
        tables: dict[str, SourceTable] = {}
        fhir = FhirFolders(self.mapping.file.source, self.mapping.folder, self.today)
        with OpenDatabases(self.mapping.folder) as databases:
            for source in self.mapping.file.source:
                self.at = source.name
                try:
                    tables[source.name] = read_source_table(
                        source,
                        self.mapping.folder,
                        asked_of(self.mapping, source),
                        missing=source.missing or (),
                        databases=databases,
                        fhir=fhir,
                    )
                except InvalidInput as refused:
                    self.faults += refused.faults
        self.at = ""
        if self.faults:
            raise InvalidInput(tuple(dict.fromkeys(self.faults)))
        return tables

    def _patients(self, table: SourceTable) -> Whose:
        ids = table.identifiers
        named = table.columns[table.patient].cells[ids.notna()]
        self.faults += identifiers_in(named, where=_identifiers_of(table)).faults
        if (nameless := int(ids.isna().sum())) and table.source.of_nobody is Without.FAULT:
            remedy = 'Give every patient an identifier, or leave these rows out: of_nobody = "leave_out".'
            self.faults.append(Fault(_identifiers_of(table), "the identifier is missing", remedy, nameless))
        found, near = distinct_patients(
            sorted(ids.dropna().unique()), table.source.near_identifiers, _identifiers_of(table)
        )
        self.faults += near
        if not found.identifiers:
            remedy = "Check its keep, and that the export is whole."
            if table.notes:
                remedy += f" Of what was read: {'; '.join(table.notes)}."
            raise InvalidInput([*self.faults, Fault(table.where, "names no patient", remedy)])
        return found

    def _rows(self, table: SourceTable) -> PatientRows:
        if table.source.name != self.head.patients:
            # A row of nobody is left out and counted. Of each identifier once: such tables are long.
            named = table.columns[table.patient].cells[table.identifiers.notna()].drop_duplicates()
            found_wrong = identifiers_in(named, where=_identifiers_of(table)).faults
            self.faults += [replace(fault, count=None) for fault in found_wrong]
        places, near = self.whose.of(table.identifiers, table.source.near_identifiers)
        missing = table.source.missing or ()
        many = len(self.patient_ids)
        troubled = np.zeros(many, dtype=np.bool_)
        rows = PatientRows(table, places, many, missing, self.faults, troubled)
        if table.source.name != self.head.patients:
            unmet = not rows.known.any() and bool(self._telling(table, even_of_nobody=False).any())
            judge_strangers(rows, near, self._telling(table), unmet=unmet)
        if any(plan.fills_without_code(table.source) for plan in self.mapping.markers):
            judge_uncoded(rows, self.whose)
        self._refuse_modified(table)
        self._refuse_contested(rows)
        return rows

    def _refuse_modified(self, table: SourceTable) -> None:
        """Without such a row somebody may be no patient of the study, or one from a later day on."""
        if (turned := table.modified) is not None:
            zero = self.mapping.file.time_zero
            of_zero = zero is not None and self.mapping.source(zero.source) is table.source
            known = self.whose.of(turned.identifiers, table.source.near_identifiers)[0] >= 0
            concerned = known & (self._telling(turned) | of_zero) | (table.source.name == self.head.patients)
            if count := int(concerned.sum()):
                self.faults.append(Fault(table.where, MODIFIED_MEANS, REMEDY_OF_MODIFIED, count))

    def _telling(self, table: SourceTable, *, even_of_nobody: bool = True) -> Mask:
        """(rows,) for whose lack a patient has something: without_row, no variant, no event.

        even_of_nobody  whether markers and outcomes count of which the mapping says that they may be of nobody.
        """
        source, found = table.source, np.zeros(len(table), dtype=np.bool_)
        for plan in self.mapping.markers:
            mapped = plan.mapped
            if plan.source != source.name or mapped.not_measured:
                continue
            if mapped.may_be_of_nobody and not even_of_nobody:
                continue
            if mapped.without_row is None and source.part is not Part.FHIR_VARIANTS:
                continue
            if mapped.codes and source.code is not None:
                found |= np.logical_or(*table.of_codes(mapped.codes))
            elif plan.column is not None and plan.column in table.columns:
                found |= ~table.columns[plan.column].empty(table.source.missing or ())
        for _, outcome in self.mapping.outcomes:
            day = outcome.event_date or outcome.event_time
            if outcome.may_be_of_nobody and not even_of_nobody:
                continue
            if outcome.event is None and day is not None and self.mapping.source(outcome.source) is source:
                found |= ~table.columns[day].empty(table.source.missing or ())
        return found

    def _refuse_contested(self, rows: PatientRows) -> None:
        """An identifier of several people is a fault where it is of a patient of the study."""
        table, what = rows.table, "are those of several patients, who were born on different days"
        if of_study := sum(each in self.whose for each in table.contested):
            remedy = "Correct them, link the patients who are one, or leave identifier out of the mapping."
            self.faults.append(Fault(table.source.lies_at.name, f"identifiers {what}", remedy, of_study))
        if (others := len(table.contested) - of_study) and table.source.name == self.head.patients:
            rows.notes.append(f"{others:,} identifiers {what}; none of them is of the study")

    def _time_zero(self) -> FloatArray | None:
        section = self.mapping.file.time_zero
        if section is None:
            return None
        rows = self.rows[self.mapping.source(section.source).name]
        zero = time_zero(section, rows)
        self.at_fault |= rows.troubled
        without = np.isnan(zero) & ~rows.troubled
        if self.head.without_outcome is Without.LEAVE_OUT:
            self.left_out["no time zero"] = without
        elif count := int(without.sum()):
            remedy = 'Complete the source, or write without_outcome = "leave_out" in [mapping].'
            fault = Fault(
                f'{rows.table.where}: column "{section.column}"', "of a patient tells no time zero", remedy, count
            )
            self.faults.append(fault)
            self.at_fault |= without
        return zero

    def _kept(self) -> Mask:
        kept = np.ones(len(self.patient_ids), dtype=np.bool_)
        for patients in self.left_out.values():
            kept &= ~patients
        return kept

    # --- the table

    def _outcome(self, number: int) -> ImportedOutcome:
        endpoint, outcome = self.mapping.outcomes[number]
        imported = imported_outcome(
            endpoint,
            outcome,
            self.rows[self.mapping.source(outcome.source).name],
            contacts=[(self.rows[name], columns) for name, columns in outcome.contacts.items()],
            zero=self.zero,
            unit=TimeUnit(self.schema.grid.unit),
            without_outcome=self.head.without_outcome,
            listed=self._kept() & ~self.at_fault,
            today=self.today,
            beside=self.mapping.source(outcome.source).name != self.head.patients,
        )
        self.left_out |= imported.left_out
        self.at_fault |= imported.at_fault
        return imported

    def _table(self, outcomes: list[ImportedOutcome], markers: Mapping[str, pa.Array], kept: Mask) -> pa.Table:
        columns = dict(markers)
        ids = np.asarray(self.patient_ids, dtype=object)[kept]
        columns[self.schema.patient_id] = pa.array(ids, type=pa.string())
        if self.schema.site_column is not None:
            columns[self.schema.site_column] = self._sites(kept)
        events = {
            column
            for endpoint in self.schema.endpoints
            for column in (endpoint.event_column, endpoint.death_event_column)
        }
        for outcome in outcomes:
            for column, values in outcome.columns.items():
                columns[column] = _whole(values[kept]) if column in events else _numbers(values[kept])
        return pa.table({column: columns[column] for column in named_columns(self.schema)})

    def _sites(self, kept: Mask) -> pa.Array:
        if self.head.site_column is None:
            return pa.array([self.head.site] * int(kept.sum()), type=pa.string())
        rows = self.rows[self.mapping.source(self.head.site_source).name]
        found = rows.column(self.head.site_column).words(rows.missing)
        places, names = pd.factorize(found, sort=True)
        hospitals = {*names, *([] if self.head.site is None else [self.head.site])}
        spellings = Spellings(hospitals)
        if alike := sum(bool(spellings.near(name)) for name in hospitals):
            rows.notes.append(f"{alike} hospitals would be another one {BUT_FOR}. If they are one: write it alike")
        values = np.where(places < 0, np.nan, places.astype(np.float64))
        picked = rows.one_each(values, self.head.site_column)
        if self.head.site is None:
            self.at_fault |= np.isnan(picked)
            if count := int((np.isnan(picked) & kept & ~rows.troubled).sum()):
                remedy = "Complete the source, or name the hospital of those for whom it is empty (site)."
                where = f'{rows.table.where}: column "{self.head.site_column}"'
                self.faults.append(Fault(where, "names no hospital of a patient", remedy, count))
        listed = [*names, self.head.site]
        return pa.array([listed[-1 if np.isnan(place) else int(place)] for place in picked[kept]], type=pa.string())

    def _validate(self, table: pa.Table, kept: Mask) -> None:
        """What the schema itself says of the rows of which nothing is told yet."""
        sound = ~self.at_fault[kept]
        whole = table if sound.all() else table.filter(pa.array(sound))
        if whole.num_rows:
            try:
                validate(whole.to_pandas(split_blocks=True), self.schema, where=self.mapping.where)
            except InvalidInput as refused:
                self.faults += refused.faults

    def _left_out(self) -> dict[str, int]:
        """By reason, each patient once."""
        left_out, gone = {}, np.zeros(len(self.patient_ids), dtype=np.bool_)
        for reason, patients in self.left_out.items():
            if count := int((patients & ~gone).sum()):
                left_out[reason] = count
            gone |= patients
        return left_out

    def _source_reports(self, tables: Mapping[str, SourceTable]) -> tuple[SourceReport, ...]:
        return tuple(
            SourceReport(
                name=name,
                file=table.where,
                rows_read=table.rows_read,
                rows_kept=len(table),
                rows_without_identifier=int(table.identifiers.isna().sum()),
                rows_of_no_patient=int((~self.rows[name].known & table.identifiers.notna().to_numpy()).sum()),
                notes=(*table.notes, *dict.fromkeys(self.rows[name].notes)),
            )
            for name, table in tables.items()
        )


def _cells(marker: Marker, values: FloatArray) -> pa.Array:
    if marker.kind is Kind.CATEGORICAL:
        words = [None if np.isnan(place) else marker.categories[int(place)] for place in values]
        return pa.array(words, type=pa.string())
    whole = marker.kind is not Kind.CONTINUOUS and not (values[~np.isnan(values)] % 1).any()
    return _whole(values) if whole else _numbers(values)


def _whole(values: FloatArray) -> pa.Array:
    return pa.array(np.where(np.isnan(values), 0, values).astype(np.int64), mask=np.isnan(values))


def _numbers(values: FloatArray) -> pa.Array:
    return pa.array(values, type=pa.float64(), from_pandas=True)


def _identifiers_of(table: SourceTable) -> str:
    """What faults call the column."""
    return f'{table.where}: column "{table.patient}"'
