"""What was a marker of each patient, in the schema's unit and words?

In this order: the rows of its codes, the cells as numbers or categories, their unit, the transform, the window about
time zero, which of several rows counts, and last whether the value can be: where it cannot, no other row takes its
place. Each step counts what it takes away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from oncofed.client.importing.analytes import factor_between
from oncofed.client.importing.mapping_choices import Limits, Outside, Part, SameDay, Take, Transform
from oncofed.client.importing.mapping_plans import MarkerPlan
from oncofed.client.importing.outcomes import DAYS
from oncofed.client.importing.patient_rows import DISAGREE, PatientRows
from oncofed.client.importing.readings import Column, FloatArray, Mask, numbers
from oncofed.client.importing.report import MarkerReport
from oncofed.client.importing.rows_of_patients import pick
from oncofed.client.importing.spellings import BUT_FOR, remedy_of, remedy_of_absent
from oncofed.client.importing.units import is_bare, spelt
from oncofed.cohort.schema import Kind, TimeUnit
from oncofed.errors import Fault


@dataclass(frozen=True, eq=False)
class ImportedMarker:
    """values (patients,): a number, or the place in the marker's categories; NaN where not measured.

    counts  by the names of `MarkerReport`, but for what depends on who is in the table.
    """

    plan: MarkerPlan
    values: FloatArray
    converted: tuple[str, ...]
    absent_codes: tuple[str, ...]
    counts: dict[str, int]

    def report(self, kept: Mask) -> MarkerReport:
        told = {name: self.counts.get(name, 0) for name in _COUNTS}
        return MarkerReport(
            marker=self.plan.marker.name,
            source="" if self.plan.mapped.not_measured else self.plan.source,
            told_by=_told_by(self.plan),
            converted=self.converted,
            absent_codes=self.absent_codes,
            not_measured=int(np.isnan(self.values[kept]).sum()),
            **told,
        )


_COUNTS = (
    "rows",
    "missing",
    "at_limit",
    "without_day",
    "outside_window",
    "after_zero",
    "after_today",
    "with_several_rows",
    "emptied_same_day",
    "emptied_outside",
    "filled_without_row",
)


def _told_by(plan: MarkerPlan) -> str:
    if plan.mapped.codes:
        return f"codes {', '.join(plan.mapped.codes)}"
    return "" if plan.column is None else f'column "{plan.column}"'


def imported_marker(
    plan: MarkerPlan,
    rows: PatientRows,
    *,
    zero: FloatArray | None,
    row_days: FloatArray | None,
    outside: Outside,
    today: date,
) -> ImportedMarker:
    """
    zero      (patients,) the day of time zero.
    row_days  (rows,) the source's day of each row.
    outside   of the mapping, where the marker says nothing.
    today     nothing was measured later.
    """
    return _Marker(plan, rows, zero, row_days, outside, today).imported()


_BEYOND = float(np.finfo(np.float64).max)
"""Above every value, or (negative) below: of rows beyond a limit that become missing, until it is known which count."""


class _Marker:
    def __init__(
        self,
        plan: MarkerPlan,
        rows: PatientRows,
        zero: FloatArray | None,
        row_days: FloatArray | None,
        outside: Outside,
        today: date,
    ) -> None:
        self.today = today
        self.absent: tuple[str, ...] = ()
        if plan.mapped.codes and rows.source.code is not None:  # a long table is looked at once, and then its few rows
            chosen, doubted = rows.table.of_codes(plan.mapped.codes)
            found = np.flatnonzero(rows.known & chosen)
            what = f'would have a code of marker "{plan.marker.name}" {BUT_FOR}'
            rows.fault(rows.source.code, int((rows.known & doubted).sum()), what, remedy_of("near_words"))
            wanted = (rows.source.value, rows.source.unit, plan.mapped.upper_limit_column)
            self.absent = tuple(
                each for each in plan.mapped.codes if not np.logical_or(*rows.table.of_codes([each])).any()
            )
            rows = rows.only(found, [name for name in wanted if name is not None])
            row_days = None if row_days is None else row_days[found]
        self.plan, self.rows, self.zero, self.row_days = plan, rows, zero, row_days
        self.marker, self.mapped, self.source = plan.marker, plan.mapped, rows.source
        self.outside = outside if plan.mapped.outside_range is None else plan.mapped.outside_range
        self.missing = rows.missing if plan.mapped.missing is None else plan.mapped.missing
        self.words = self.rows.table.below.translated(plan.column, plan.mapped.words)
        if doubts := self.rows.table.below.in_doubt(plan.column, plan.mapped.words):
            where = f'{self.rows.table.where}: {_told_by(plan)}, marker "{plan.marker.name}"'
            what = "has concepts that are as near to two of the concepts that words name"
            remedy = "Name their descendants one by one, or only one of the two."
            self.rows.faults.append(Fault(where, what, remedy, doubts))
        self.beyond: FloatArray | None = None
        self.counts: dict[str, int] = {}
        self.converted: list[str] = []

    def imported(self) -> ImportedMarker:
        patients = self.rows.patients
        cells = None if self.mapped.not_measured else self._cells()
        if cells is None:
            return ImportedMarker(self.plan, np.full(patients, np.nan), (), self.absent, self.counts)
        of_marker = self.rows.known
        self.counts["rows"] = int(of_marker.sum())
        if self.mapped.transform is Transform.AGE:
            values = self._ages(cells, of_marker)
        else:
            values = self._in_unit(self._values(cells, of_marker), of_marker)
            values = self._transformed(values, of_marker)
        if self.beyond is not None:
            values = np.where(np.isnan(self.beyond), values, self.beyond)
        values = self._picked(values, of_marker)
        values = np.where(np.abs(values) == _BEYOND, np.nan, values)
        if self.mapped.without_row is not None:
            self._refuse_nobody(cells, of_marker)
            values, without = values.copy(), ~self._have_row(of_marker)
            values[without] = self._target(self.mapped.without_row)
            self.counts["filled_without_row"] = int(without.sum())
        values = self._possible(values)
        return ImportedMarker(self.plan, values, tuple(self.converted), self.absent, self.counts)

    def _refuse_nobody(self, cells: Column, of_marker: Mask) -> None:
        """Where no row says anything, everybody would have what stands for none: codes of another system, a column that
        tells no value, a table that was not exported; or nobody has it, and then the mapping says that it may be so. A
        code that no row has, of others neither, may be one that this hospital writes otherwise.
        """
        if self.mapped.may_be_of_nobody:
            return
        where = f'{self.rows.table.where}: {_told_by(self.plan)}, marker "{self.marker.name}"'
        told = of_marker & ~cells.empty(self.missing)
        if self.mapped.window is not None:
            assert self.row_days is not None
            told &= self._inside() | np.isnan(self.row_days)
        if not told.any():
            within = "" if self.mapped.window is None else " in its window"
            what = f"is told by no row of any patient{within}, so that all would have without_row, or nothing"
            remedy = "Correct codes, column or words. If it may be that nobody here has it: may_be_of_nobody = true."
            self.rows.faults.append(Fault(where, what, remedy))
        elif absent := [each for each in self.absent if each not in self.mapped.may_be_absent]:
            what = f"there is no row of {', '.join(absent)}, so that a patient with it would have without_row"
            self.rows.faults.append(Fault(where, what, remedy_of_absent(absent)))

    def _cells(self) -> Column | None:
        name = self.source.value if self.mapped.codes else self.plan.column
        assert name is not None
        return self.rows.table.columns.get(name)  # None: a gene that a study folder says nothing about

    def _note(self, rows: Mask, what: str, remedy: str) -> None:
        if count := int(rows.sum()):
            where = f'{self.rows.table.where}: {_told_by(self.plan)}, marker "{self.marker.name}"'
            self.rows.faults.append(Fault(where, what, remedy, count))

    def _target(self, word: str) -> float:
        if self.marker.kind is Kind.CATEGORICAL:
            return float(self.marker.categories.index(word))
        return float(word)

    def _values(self, cells: Column, of_marker: Mask) -> FloatArray:
        """(rows,) numbers in the source's unit, or places of categories."""
        if self.marker.kind is Kind.CATEGORICAL:
            gone = cells.empty(self.missing) & of_marker
            self.counts["missing"] = int(gone.sum())
            values = np.where(gone, np.nan, cells.indices(self.words, self.marker.categories))
            known = ", ".join(f'"{category}"' for category in self.marker.categories)
            remedy = f"Say under words which of {known} it is, or list it under missing."
            self._note(np.isnan(values) & of_marker & ~gone, "is a word that the mapping does not list", remedy)
            return values
        read = numbers(
            cells,
            self.source,
            self.missing,
            translated=self.words,
            limits=self.mapped.limits,
            truths=self.marker.kind is Kind.BINARY,
            codes=self.marker.kind is not Kind.CONTINUOUS,
        )
        self.counts["missing"] = int((read.missing & of_marker).sum())
        remedy = self.rows.number_remedy
        if self.marker.kind is not Kind.CONTINUOUS:
            remedy = f"Say under words which number it is. {remedy}"
        self._note(read.malformed & ~read.unlisted & of_marker, "is not a number", remedy)
        what = "is a code that the mapping's words leave out, where they list others"
        self._note(read.unlisted & of_marker, what, "Say under words which number it is, or list it under missing.")
        limited = read.limited & of_marker
        if self.mapped.limits is Limits.FAULT:
            remedy = 'Say what such a cell becomes: limits = "at_limit", "half" or "missing".'
            self._note(limited, "lies beyond a limit of detection", remedy)
        self.counts["at_limit"] = int(limited.sum())
        if self.mapped.limits is Limits.MISSING:  # measured, so that no older row takes its place
            self.beyond = np.where(limited, np.where(read.above, _BEYOND, -_BEYOND), np.nan)
        return read.values

    def _ages(self, cells: Column, of_marker: Mask) -> FloatArray:
        """(rows,) from the day that a cell tells to time zero, in the schema's unit."""
        assert self.zero is not None
        form = self.source.date_format
        told = self.rows.told_days(cells, self.plan.column or "", self.missing)
        self.counts["missing"] = int((told.missing & of_marker).sum())
        self._note(told.malformed & of_marker, f"is no day of the form {form}", self.rows.day_remedy(told))
        unit = TimeUnit(self.marker.unit.replace(" ", "").casefold())
        return np.asarray((self.zero[self.rows.patient] - told.values) / DAYS[unit])

    # --- units

    def _in_unit(self, values: FloatArray, of_marker: Mask) -> FloatArray:
        """(rows,) in the unit that the schema has before the transform."""
        if self.marker.kind is not Kind.CONTINUOUS:
            return values
        filled = of_marker & ~np.isnan(values)
        if self.mapped.upper_limit_column is not None:
            return values  # a row's own limit is in the row's own unit
        if self.source.unit is None or not self.plan.reads_value_of(self.source):
            factor = None if self.mapped.unit is None else self._factor(self.mapped.unit)
            if factor is None or factor == 1 or self.mapped.unit is None:
                return values
            self._convert(self.mapped.unit, factor, filled)
            return values * factor
        column, own = self.rows.column(self.source.unit), self.mapped.unit
        factors = column.each(lambda unit: self._factor(unit) or np.nan, np.nan)
        unknown = column.empty(self.missing)
        if own is None and is_bare(self.plan.target):
            own = ""  # a bare number needs no unit
        factors = np.where(unknown, np.nan if own is None else self._factor(own) or np.nan, factors)
        wrong = filled & np.isnan(factors)
        remedy = "Correct the unit, say which known one it is (unit_words), or name the analyte that can be converted."
        self._note(wrong & ~unknown, f'has a unit that cannot be converted to "{self.plan.target}"', remedy)
        self._note(wrong & unknown, "has no unit", "Name the unit of such rows under unit, or correct the source.")
        spellings: dict[float, set[str]] = {}
        for unit in filter(None, [*column.distinct, own]):
            if (factor := self._factor(unit)) is not None:  # a known unit, which may be told
                spellings.setdefault(factor, set()).add(spelt(self._meant(unit)))
        for factor in sorted(spellings.keys() - {1.0}):
            if (rows := filled & (factors == factor)).any():
                self._convert(" or ".join(sorted(spellings[factor])), factor, rows)
        return values * factors

    def _meant(self, unit: str) -> str:
        return self.source.unit_words.get(unit, unit)

    def _factor(self, unit: str) -> float | None:
        found = factor_between(self._meant(unit), self.plan.target, self.plan.analyte)
        return None if found is None else float(found)

    def _convert(self, unit: str, factor: float, rows: Mask) -> None:
        many = int(rows.sum())
        self.converted.append(f"{many:,} rows from {unit} to {self.plan.target} (times {factor:.6g})")

    def _transformed(self, values: FloatArray, of_marker: Mask) -> FloatArray:
        transform = self.mapped.transform
        if transform is None:
            return values
        if transform is Transform.RATIO:
            return values / self._upper_limit(of_marker)
        lowest = 0.0 if transform is Transform.LOG10 else -1.0
        without = of_marker & (values <= lowest)
        if self.outside is Outside.FAULT:
            remedy = 'Correct the cell, or write outside_range = "missing".'
            self._note(without, f"is not above {lowest:g}, and has no logarithm", remedy)
        safe = np.where(values > lowest, values, np.nan)
        logarithm = np.log10(safe) if transform is Transform.LOG10 else np.log1p(safe)
        # Below all others, so that it is emptied once it is the row that counts.
        return np.where(without, np.nan if self.outside is Outside.FAULT else -np.inf, logarithm)

    def _upper_limit(self, of_marker: Mask) -> FloatArray:
        if self.mapped.upper_limit_column is None:
            return np.full(len(self.rows.table), self.mapped.upper_limit or np.nan)
        read = numbers(self.rows.column(self.mapped.upper_limit_column), self.source, self.missing)
        limits = np.where(read.values > 0, read.values, np.nan)
        self._note(
            of_marker & np.isnan(limits), "has no upper limit above 0", "Complete the column, or name one limit."
        )
        return limits

    # --- one value for each patient

    def _picked(self, values: FloatArray, of_marker: Mask) -> FloatArray:
        counted = of_marker & ~np.isnan(values)
        take = self.mapped.take
        if take is None and self.source.part in (Part.MUTATIONS, Part.FHIR_VARIANTS):
            take = Take.ANY
        days = None
        if self.row_days is not None and (self.mapped.window is not None or take in (Take.FIRST, Take.LAST)):
            days = self.row_days
            undated = counted & np.isnan(days)
            self.counts["without_day"] = int(undated.sum())
            counted &= ~undated
        if self.mapped.window is not None:
            inside = self._inside()
            self.counts["outside_window"] = int((counted & ~inside).sum())
            counted &= inside
        elif self.zero is not None and self.row_days is not None:
            self.counts["after_zero"] = int((counted & (self.row_days > self.zero[self.rows.patient])).sum())
        if self.row_days is not None:
            self.counts["after_today"] = int((counted & (self.row_days > self.today.toordinal())).sum())
        picked = pick(
            self.rows.patient[counted],
            values[counted],
            patients=self.rows.patients,
            days=None if days is None else days[counted],
            take=take,
            same_day=self.mapped.same_day,
        )
        self.counts["with_several_rows"] = picked.several
        if take in (Take.FIRST, Take.LAST):
            if self.mapped.same_day is SameDay.MISSING:
                self.counts["emptied_same_day"] = int(picked.disagreeing.sum())
            else:
                remedy = 'Say what counts: same_day = "highest", "lowest" or "missing".'
                self._note(picked.disagreeing, "has several values of one patient on one day", remedy)
        else:
            remedy = 'Say which row counts: take = "first", "last", "max", "min" or "any".'
            self._note(picked.disagreeing, DISAGREE, remedy)
        return picked.values

    def _inside(self) -> Mask:
        """(rows,) in the window; a row without a day is not."""
        assert self.mapped.window is not None
        assert self.zero is not None
        assert self.row_days is not None
        first, last = self.mapped.window
        since = self.row_days - self.zero[self.rows.patient]
        return np.asarray((since >= first) & (since <= last), dtype=np.bool_)

    def _have_row(self, of_marker: Mask) -> Mask:
        """(patients,) with a row in the window, or with one that may be there."""
        if self.mapped.window is not None:
            assert self.row_days is not None
            of_marker = of_marker & (self._inside() | np.isnan(self.row_days))
        have = np.zeros(self.rows.patients, dtype=np.bool_)
        have[self.rows.patient[of_marker]] = True
        return have

    def _possible(self, values: FloatArray) -> FloatArray:
        """(patients,) emptied where it cannot be, by the schema, if the mapping wants that; else validation says so."""
        span = self.marker.plausible_range
        if span is None or self.outside is Outside.FAULT:
            return values
        beyond = (values < span[0]) | (values > span[1])
        self.counts["emptied_outside"] = int(beyond.sum())
        return np.where(beyond, np.nan, values)
