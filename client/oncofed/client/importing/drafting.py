"""Which schema and which mapping might a hospital's files mean, as a first draft for people to confirm?

Proposed from the names of columns, from their type (numbers, days, words) and from the public table of analytes.
Promise: of the cells nothing but that type is used, so that two tables of the same columns and types give the same
draft: a schema is public, and no constant, category or word of it may come from patients. Whatever is guessed is marked
`# confirm`; whatever only people can choose is left out, and the first import says so by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from oncofed.client.importing.analytes import Analyte
from oncofed.client.importing.catalogue import BY_MARKER
from oncofed.client.importing.column_names import Role, Suggestion, rank, suggested
from oncofed.client.importing.mapping import Decimal, Separator, Source
from oncofed.client.importing.places import SPREADSHEET
from oncofed.client.importing.proposed_schema import (
    CONFIRM,
    TAKEN,
    analyte_marker,
    head_lines,
    marker_lines,
    quoted,
)
from oncofed.client.importing.readings import Column, numbers
from oncofed.client.importing.source_tables import refuse_spreadsheets
from oncofed.client.importing.spreadsheets import read_sheet
from oncofed.client.importing.text_forms import form_of
from oncofed.cohort.csv_rows import COMMA
from oncofed.cohort.schema import Marker
from oncofed.cohort.table import keep_to_oneself, read_table
from oncofed.cohort.text_form import Encoding, TextForm, plain_text
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

_DAY_FORMS = ("YYYY-MM-DD", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "YYYYMMDD")


class CellType(StrEnum):
    NUMBERS = "numbers"
    DAYS = "days"
    WORDS = "words"
    NOTHING = "nothing"


@dataclass(frozen=True)
class DraftedColumn:
    """day_form: of a column of days."""

    name: str
    type: CellType
    suggestion: Suggestion
    day_form: str | None = None


@dataclass(frozen=True)
class DraftedSource:
    """A file, how its text is written, whether it begins with remarks, and what its columns may be."""

    name: str
    path: Path
    separator: Separator | None
    encoding: Encoding
    decimal: Decimal
    remarks: bool
    columns: tuple[DraftedColumn, ...]

    def first(self, role: Role) -> DraftedColumn | None:
        """The column whose name is the most telling one for it."""
        found = [each for each in self.columns if each.suggestion.role is role]
        return min(found, key=lambda column: rank(column.name, role), default=None)

    @property
    def long(self) -> bool:
        """Whether it has one value a row."""
        return self.first(Role.CODE) is not None and self.first(Role.VALUE) is not None


@dataclass(frozen=True)
class Draft:
    """The texts of two files, and how many guesses are in them."""

    schema: str
    mapping: str

    @property
    def guesses(self) -> int:
        return self.schema.count(CONFIRM) + self.mapping.count(CONFIRM)


def draft(paths: Sequence[Path], *, beside: Path) -> Draft:
    """The draft of a schema and a mapping for these files. Raises InvalidInput with the faults of all of them.

    beside  the folder in which the mapping will lie: it names the files as seen from there.
    """
    sources: list[DraftedSource] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            sources.append(_looked_at(path, beside))
        except InvalidInput as refused:
            faults += refused.faults
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        faults.append(Fault("SOURCE", "two files have one name", "Rename one of them."))
    if faults:
        raise InvalidInput(faults)
    wide = [source for source in sources if not source.long] or sources
    main = max(wide, key=lambda source: sum(source.first(role) is not None for role in _OF_OUTCOMES))
    proposals = _proposals([main, *(source for source in wide if source is not main)])
    schema = "\n".join(schema_lines(main, proposals)) + "\n"
    return Draft(schema, "\n".join(_mapping(main, sources, proposals)) + "\n")


# --- looking at a file


def _looked_at(path: Path, beside: Path) -> DraftedSource:
    refuse_spreadsheets(path)
    encoding, separator, remarks = Encoding.UTF_8, None, False
    form = form_of(Source(name="draft", path=path))
    if path.suffix.lower() == SPREADSHEET:
        frame = read_sheet(path, Source(name="draft", path=path), columns=None, tell=keep_to_oneself)
    elif path.suffix.lower() != ".parquet":
        encoding, separator, remarks = _written(path, form)
        form = TextForm((separator or _by_letter(form.separator)).letter, encoding, "#")
    if path.suffix.lower() != SPREADSHEET:
        frame = read_table(path, form=form)
    found = {str(name): Column(frame.iloc[:, place]) for place, name in enumerate(frame.columns)}
    decimal = Decimal.POINT
    if form.separator != COMMA and any(
        _all_numbers(column, Decimal.COMMA) and not _all_numbers(column, Decimal.POINT) for column in found.values()
    ):
        decimal = Decimal.COMMA
    return DraftedSource(
        name=path.name.partition(".")[0],
        path=seen_from(beside, path),
        separator=separator,
        encoding=encoding,
        decimal=decimal,
        remarks=remarks,
        columns=tuple(_typed(name, column, decimal) for name, column in found.items()),
    )


def seen_from(folder: Path, path: Path) -> Path:
    """How a mapping in that folder names a path."""
    return Path(os.path.relpath(path.resolve(), folder.resolve()))


def _by_letter(letter: str) -> Separator:
    return next(each for each in Separator if each.letter == letter)


def _written(path: Path, form: TextForm) -> tuple[Encoding, Separator | None, bool]:
    """By the bytes and the header line; the separator only where it is not what the name of the file says."""
    content = file_content(path)
    text = plain_text(content, TextForm(), name=path.name) if content.startswith(b"\x1f\x8b") else content
    encoding = Encoding.UTF_8
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = Encoding.UTF_16
    else:
        try:
            text.decode()
        except UnicodeDecodeError:
            encoding = Encoding.WINDOWS_1252
    lines = text.decode(encoding.value, "replace").splitlines()
    header = next((line for line in lines if not line.startswith(("#", "sep="))), "")
    likely = max(Separator, key=lambda each: header.count(each.letter))
    told = likely if header.count(likely.letter) and likely.letter != form.separator else None
    return encoding, told, any(line.startswith("#") for line in lines[:1])


def _typed(name: str, column: Column, decimal: Decimal) -> DraftedColumn:
    kind, day_form = CellType.WORDS, None
    if column.empty([]).all():
        kind = CellType.NOTHING
    elif _all_numbers(column, decimal):
        kind = CellType.NUMBERS
    else:
        day_form = next((form for form in _DAY_FORMS if not column.days(form, [])[1].any()), None)
        kind = CellType.WORDS if day_form is None else CellType.DAYS
    return DraftedColumn(name, kind, suggested(name), day_form)


def _all_numbers(column: Column, decimal: Decimal) -> bool:
    read = numbers(column, Source(name="draft", path=Path(), decimal=decimal), [])
    return not read.malformed.any() and not np.isnan(read.values).all()


# --- what is proposed


_IN_CATALOGUE = {
    Role.AGE: "age_years",
    Role.BMI: "bmi",
    Role.ECOG: "ecog",
    Role.KARNOFSKY: "karnofsky",
    Role.STAGE: "stage",
}


@dataclass(frozen=True)
class Proposal:
    """One marker: its name, its lines in the schema, and its lines in the mapping."""

    name: str
    schema: tuple[str, ...]
    mapping: tuple[str, ...]


_OF_OUTCOMES = (Role.EVENT, Role.TIME, Role.EVENT_DATE, Role.LAST_CONTACT)
_NO_MARKER = {
    *(Role.PATIENT, Role.HOSPITAL, Role.EVENT, Role.TIME, Role.EVENT_DATE, Role.LAST_CONTACT, Role.TIME_ZERO),
    *(Role.ENTRY_DATE, Role.DATE, Role.CODE, Role.VALUE, Role.UNIT),
}


def proposal_of(column: DraftedColumn) -> Proposal | None:
    role, analyte = column.suggestion.role, column.suggestion.analyte
    if role in _NO_MARKER or column.type in (CellType.DAYS, CellType.NOTHING):
        return None
    if analyte is not None:
        return _of_analyte(column, analyte)
    clinical = 'modality = "clinical"'
    if role is Role.SEX:
        sexes = f"words = {{}}  {CONFIRM}: which word or number is 1 (female), and which 0?"
        return Proposal("female", (f"{clinical}  {CONFIRM}", f'kind = "binary"  {CONFIRM}'), (sexes,))
    if role in _IN_CATALOGUE:
        marker = BY_MARKER[_IN_CATALOGUE[role]].marker
        numbered = column.type is CellType.NUMBERS
        words = () if numbered else (f"words = {{}}  {CONFIRM}: which number is each word?",)
        return Proposal(marker.name, _to_confirm(marker), words)
    if column.type is CellType.NUMBERS:
        choose = f'{CONFIRM}: choose unit, plausible_range, centre and scale, or kind = "binary" or "ordinal"'
        return Proposal(column.name, (f"{clinical}  {CONFIRM}", f'kind = "continuous"  {choose}'), ())
    choose = f"{CONFIRM}: choose categories and reference_category from the coding manual, not from the table"
    return Proposal(column.name, (f"{clinical}  {CONFIRM}", f'kind = "categorical"  {choose}'), ())


def _to_confirm(marker: Marker) -> tuple[str, ...]:
    """Without a reference range, which is for a hospital's own laboratory to say."""
    return tuple(f"{line}  {CONFIRM}" for line in marker_lines(replace(marker, reference_range=None)))


def _of_analyte(column: DraftedColumn, analyte: Analyte) -> Proposal:
    mapping = [f'analyte = "{analyte.name}"  {CONFIRM}']
    told = column.suggestion.unit
    guess = f"{CONFIRM}" if told is not None else f"{CONFIRM}: in which unit does this hospital measure?"
    mapping.append(f"unit = {quoted(told or analyte.unit)}  {guess}")
    if analyte.skewed:
        mapping.append(f'limits = "at_limit"  {CONFIRM}: what do cells such as <0.5 become?')
        mapping.append(f'transform = "log10"  {CONFIRM}')
    marker = analyte_marker(analyte)
    return Proposal(marker.name, _to_confirm(marker), tuple(mapping))


Proposals = list[tuple[DraftedSource, DraftedColumn, Proposal]]


def _proposals(sources: Sequence[DraftedSource]) -> Proposals:
    """Each with a name of its own: a second column for the same marker keeps the column's name."""
    found: Proposals = []
    taken: set[str] = set(TAKEN)
    for source in sources:
        for column in source.columns:
            if (proposal := proposal_of(column)) is not None:
                name = proposal.name if proposal.name not in taken else f"{proposal.name} ({column.name})"
                if name not in taken:
                    taken.add(name)
                    found.append((source, column, Proposal(name, proposal.schema, proposal.mapping)))
    return found


def schema_lines(main: DraftedSource, proposals: Proposals) -> Iterator[str]:
    yield "# A draft, made from the names and types of columns. Confirm or correct each line that says so, and remove"
    yield "# what does not belong into the study. All constants are public: they come from knowledge, not from a table."
    yield from head_lines(main.name)
    for _, _, proposal in proposals:
        yield "\n[[marker]]"
        yield f"name = {quoted(proposal.name)}"
        yield from proposal.schema


def _mapping(main: DraftedSource, sources: Sequence[DraftedSource], proposals: Proposals) -> Iterator[str]:
    yield "# A draft, made from the names and types of columns. Confirm or correct each line that says so, then look:"
    yield "#   oncofed cohort import mapping.toml --dry-run"
    yield "[mapping]"
    yield 'schema = "schema.toml"'
    yield f"patients = {quoted(main.name)}  {CONFIRM}"
    if (hospital := main.first(Role.HOSPITAL)) is not None:
        yield f"site_column = {quoted(hospital.name)}  {CONFIRM}"
    else:
        yield f'site = "our hospital"  {CONFIRM}'
    yield f'missing = ["NA"]  {CONFIRM}: which words mean "not known" here?'
    for source in sources:
        yield from _source(source)
    yield from _outcome(main, sources)
    for source, column, proposal in proposals:
        yield "\n[[marker]]"
        yield f"name = {quoted(proposal.name)}"
        if source is not main:
            yield f"source = {quoted(source.name)}"
        yield f"column = {quoted(column.name)}  {CONFIRM}"
        yield from proposal.mapping
    for source in sources:
        if source.long:
            yield f"\n# One such section for each laboratory value of {source.name}, and its like in schema.toml:"
            yield '# [[marker]]\n# name = "albumin"'
            yield f'# source = {quoted(source.name)}\n# codes = ["1751-7"]\n# analyte = "albumin"'
            yield f'# window = [-30, 0]  {CONFIRM}: on which days about time zero does a value count?\n# take = "last"'


def _source(source: DraftedSource) -> Iterator[str]:
    yield "\n[[source]]"
    yield f"name = {quoted(source.name)}"
    yield f"path = {quoted(source.path.as_posix())}"
    if source.separator is not None:
        yield f'separator = "{source.separator.value}"  {CONFIRM}'
    if source.encoding is not Encoding.UTF_8:
        yield f'encoding = "{source.encoding.value}"  {CONFIRM}'
    if source.remarks:
        yield f'comment = "#"  {CONFIRM}'
    if source.decimal is not Decimal.POINT:
        yield f'decimal = "{source.decimal.value}"  {CONFIRM}'
    patient = source.first(Role.PATIENT)
    if patient is not None:
        yield f"patient = {quoted(patient.name)}  {CONFIRM}"
    else:
        yield f"numbered = true  {CONFIRM}: is there a column of identifiers?"
    day = source.first(Role.DATE) or (source.first(Role.TIME_ZERO) if not source.long else None)
    if day is not None and day.type is CellType.DAYS:
        yield f"date = {quoted(day.name)}  {CONFIRM}"
    forms = [each.day_form for each in source.columns if each.day_form is not None]
    if forms:
        yield f'date_format = "{forms[0]}"  {CONFIRM}'
    if source.long:
        for role in (Role.CODE, Role.VALUE, Role.UNIT):
            if (column := source.first(role)) is not None:
                yield f"{role.value} = {quoted(column.name)}  {CONFIRM}"


def _outcome(main: DraftedSource, sources: Sequence[DraftedSource]) -> Iterator[str]:
    days = {
        role: column
        for role in (Role.EVENT_DATE, Role.LAST_CONTACT, Role.ENTRY_DATE)
        if (column := main.first(role)) is not None and column.type is CellType.DAYS
    }
    zero = _time_zero(main, sources)
    by_days = zero is not None and {Role.EVENT_DATE, Role.LAST_CONTACT} <= days.keys()
    if zero is not None and by_days:
        source, column = zero
        yield "\n[time_zero]"
        if source is not main:
            yield f"source = {quoted(source.name)}  {CONFIRM}"
        yield f"column = {quoted(column.name)}  {CONFIRM}"
        yield f'take = "first"  {CONFIRM}'
    yield "\n[[outcome]]"
    yield 'name = "survival"'
    event, time = main.first(Role.EVENT), main.first(Role.TIME)
    if event is not None:
        yield f"event = {quoted(event.name)}  {CONFIRM}"
        yield f'yes = ["1"]  {CONFIRM}: which words stand for an event?'
        yield f'no = ["0"]  {CONFIRM}'
    if by_days:
        yield f"event_date = {quoted(days[Role.EVENT_DATE].name)}  {CONFIRM}"
        yield f"last_contact = [{quoted(days[Role.LAST_CONTACT].name)}]  {CONFIRM}"
    elif time is not None:
        yield f"time = {quoted(time.name)}  {CONFIRM}"
        unit = next((unit for unit in ("days", "weeks", "months", "years") if unit in time.name.casefold()), "months")
        yield f'time_unit = "{unit}"  {CONFIRM}'
    else:
        yield f"{CONFIRM}: no column looks like a time or like days; add time, or event_date and last_contact"


def _time_zero(main: DraftedSource, sources: Sequence[DraftedSource]) -> tuple[DraftedSource, DraftedColumn] | None:
    """A day of diagnosis, best beside the outcome; else the day of the rows of another source."""
    ordered = [main, *(source for source in sources if source is not main and not source.long)]
    for role in (Role.TIME_ZERO, Role.DATE):
        for source in ordered:
            if (column := source.first(role)) is not None and column.type is CellType.DAYS:
                return source, column
    return None
