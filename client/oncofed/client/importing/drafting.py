"""Which schema and which mapping might a hospital's files mean, as a first draft for people to confirm?

Proposed from the names of columns, from their type (numbers, days, words) and from the public table of analytes.
Promise: of the cells nothing but that type is used, so that two tables of the same columns and types give the same
draft: a schema is public, and no constant, category or word of it may come from patients. Whatever is guessed is marked
`# confirm`; whatever only people can choose is left out, and the first import says so by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.client.importing.analytes import Analyte
from oncofed.client.importing.body_composition import BodyComposition, body_composition
from oncofed.client.importing.catalogue import BY_MARKER
from oncofed.client.importing.column_names import Role
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.drafted_sources import (
    CellType,
    DraftedColumn,
    DraftedSource,
    source_of,
    sources_in,
)
from oncofed.client.importing.proposed_schema import (
    CONFIRM,
    TAKEN,
    TIME_ZONE,
    analyte_marker,
    head_lines,
    marker_lines,
    quoted,
)
from oncofed.cohort.schema import Marker
from oncofed.errors import Fault, InvalidInput


@dataclass(frozen=True)
class Draft:
    """The texts of two files, and how many guesses are in them."""

    schema: str
    mapping: str

    @property
    def guesses(self) -> int:
        return self.schema.count(CONFIRM) + self.mapping.count(CONFIRM)


def draft(
    paths: Sequence[Path], *, beside: Path, statements: Sequence[str] = (), url_file: Path | None = None
) -> Draft:
    """The draft of a schema and a mapping for these files. Raises InvalidInput with the faults of all of them.

    beside      the folder in which the mapping will lie: it names the files as seen from there.
    statements  on the database whose address is in `url_file`: each is one more source.
    """
    sources: list[DraftedSource] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            sources += sources_in(path, beside)
        except InvalidInput as refused:
            faults += refused.faults
    with OpenDatabases(beside) as databases:
        for statement in statements:
            assert url_file is not None
            try:
                sources.append(source_of(statement, databases, url_file=url_file, beside=beside))
            except InvalidInput as refused:
                faults += [fault for fault in refused.faults if fault not in faults]
    sources = _with_names_of_their_own(sources)
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


def _with_names_of_their_own(sources: Sequence[DraftedSource]) -> list[DraftedSource]:
    """Two workbooks may have a sheet of one name, and two statements may ask one table."""
    times = Counter(source.name for source in sources)
    found = []
    for place, source in enumerate(sources):
        name = source.name
        if times[name] > 1 and source.sheet is not None:
            name = f"{source.path.name.partition('.')[0]} {name}"
        if times[name] > 1 and source.statement is not None:
            name = f"{name} {1 + sum(before.name == name for before in sources[:place])}"
        found.append(replace(source, name=name))
    return found


_IN_CATALOGUE = {
    Role.AGE: "age_years",
    Role.BMI: "bmi",
    Role.ECOG: "ecog",
    Role.KARNOFSKY: "karnofsky",
    Role.STAGE: "stage",
}


@dataclass(frozen=True)
class Proposal:
    """One marker: its name, its lines in the schema, and its lines in the mapping.

    of_a_scan  of which a patient may have several.
    """

    name: str
    schema: tuple[str, ...]
    mapping: tuple[str, ...]
    of_a_scan: bool = False


_OF_OUTCOMES = (Role.EVENT, Role.TIME, Role.EVENT_DATE, Role.LAST_CONTACT)
_NO_MARKER = {
    *(Role.PATIENT, Role.HOSPITAL, Role.EVENT, Role.TIME, Role.EVENT_DATE, Role.LAST_CONTACT, Role.TIME_ZERO),
    *(Role.ENTRY_DATE, Role.DATE, Role.CODE, Role.VALUE, Role.UNIT),
}


def proposal_of(column: DraftedColumn) -> Proposal | None:
    role, analyte = column.suggestion.role, column.suggestion.analyte
    if role in _NO_MARKER or column.type in (CellType.DAYS, CellType.NOTHING):
        return None
    body = body_composition(column.name) if role is None and column.type is CellType.NUMBERS else None
    if analyte is not None or body is not None:
        return _of_analyte(column, analyte) if analyte is not None else _of_body_composition(body)
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


def _of_body_composition(found: BodyComposition | None) -> Proposal:
    assert found is not None
    guess = CONFIRM if found.unit is not None else f"{CONFIRM}: in which unit does the tool write it?"
    return Proposal(
        found.marker.name,
        _to_confirm(found.marker),
        (f"unit = {quoted(found.unit or found.marker.unit)}  {guess}",),
        of_a_scan=True,
    )


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
                    found.append((source, column, replace(proposal, name=name)))
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
    if any(source.needs_zone for source in sources):
        yield f"{TIME_ZONE}: there are moments in UTC"
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
        if proposal.of_a_scan and source.day is not None and source is not main:
            if _time_zero(main, sources) is not None:
                yield f"window = [-60, 30]  {CONFIRM}: of scans so many days before and after time zero"
            yield f'take = "last"  {CONFIRM}: which of several scans?'
    for source in sources:
        if source.long:
            yield f"\n# One such section for each laboratory value of {source.name}, and its like in schema.toml:"
            yield '# [[marker]]\n# name = "albumin"'
            yield f'# source = {quoted(source.name)}\n# codes = ["1751-7"]\n# analyte = "albumin"'
            yield f'# window = [-30, 0]  {CONFIRM}: on which days about time zero does a value count?\n# take = "last"'


def _source(source: DraftedSource) -> Iterator[str]:
    yield "\n[[source]]"
    yield f"name = {quoted(source.name)}"
    yield from source.place()
    yield from source.form()
    patient = source.first(Role.PATIENT)
    if patient is not None:
        yield f"patient = {quoted(patient.name)}  {CONFIRM}"
    elif source.statement is None:
        yield f"numbered = true  {CONFIRM}: is there a column of identifiers?"
    else:
        yield f"{CONFIRM}: name the column of identifiers, as patient"
    if source.day is not None:
        yield f"date = {quoted(source.day.name)}  {CONFIRM}"
    forms = [each.day_form for each in source.columns if each.day_form is not None]
    if forms:
        yield f'date_format = "{forms[0]}"  {CONFIRM}'
    for each in source.columns:
        if each.day_form not in (None, *forms[:1]):
            yield f"{CONFIRM}: {quoted(each.name)} is written as {each.day_form}: give the file a second source for it"
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
