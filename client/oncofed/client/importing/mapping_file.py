"""Which mapping does a TOML file hold, and does it say all that the schema needs?

Promise: every fault of the file, and between it and its schema, is told at once, with section, key and remedy, before
any table is opened. Each marker of the schema is mapped exactly once (or said to be not measured), and each column of
an outcome comes from one place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.client.importing.analytes import BY_NAME, Analyte, factor_between
from oncofed.client.importing.fhir.source import faults_of_fhir
from oncofed.client.importing.mapping import (
    MappedMarker,
    MappedOutcome,
    MappingFile,
    MappingHead,
    Part,
    Source,
    Take,
    TimeZero,
    Transform,
)
from oncofed.client.importing.mapping_rules import meant_twice
from oncofed.client.importing.places import as_meant, place_of_source
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import Endpoint, Kind, Marker, StudySchema, TimeUnit
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_reading import read_declared
from oncofed.toml_file import closest, read_toml

_TRANSFORMED = re.compile(r"(log10|log1p)\((.+)\)")
TIMES = tuple(unit.value for unit in TimeUnit)
RATIO_UNITS = ("uln", "xuln", "×uln", "xupperlimit")


@dataclass(frozen=True)
class MarkerPlan:
    """One marker of the schema, and where it comes from.

    column   in its source; None where codes of a long table name it, or nothing does.
    analyte  of the public table, or None.
    target   the unit of a cell before the transform, as the schema has it.
    """

    marker: Marker
    mapped: MappedMarker
    source: str
    column: str | None
    analyte: Analyte | None
    target: str

    def reads_value_of(self, source: Source) -> bool:
        """Whether its cells are the source's values, each with its unit, whichever rows are kept."""
        return bool(self.mapped.codes) or (self.column is not None and self.column == source.value)


@dataclass(frozen=True)
class CohortMapping:
    """A mapping that suits its schema.

    where     the name of its file. folder: of it, for paths that are relative to it.
    outcomes  in the order of the schema's endpoints, None where others give all of its columns.
    markers   in the order of the schema.
    """

    where: str
    path: Path
    file: MappingFile
    schema: StudySchema
    schema_path: Path
    markers: tuple[MarkerPlan, ...]
    outcomes: tuple[tuple[Endpoint, MappedOutcome], ...]

    @property
    def folder(self) -> Path:
        return self.path.parent

    def source(self, name: str | None) -> Source:
        wanted = self.file.mapping.patients if name is None else name
        return next(each for each in self.file.source if each.name == wanted)


def read_mapping(path: Path | str) -> CohortMapping:
    """The mapping in a TOML file, with its schema. Raises InvalidInput with all faults of both."""
    path = Path(path)
    faults: list[Fault] = []
    content = read_toml(path)
    file = read_declared(
        MappingFile,
        content,
        where=path.name,
        faults=faults,
        between=lambda right, all_: _between(path.name, right, all_),
    )
    schema = None
    named = file.mapping.schema if file is not None else _named_schema(content)
    if named is not None:
        schema_path = path.parent / named
        try:
            schema = read_schema(schema_path)
        except InvalidInput as refused:
            faults += refused.faults
    if file is None or schema is None:
        raise InvalidInput(faults)
    zone = file.mapping.time_zone
    sources = [replace(each, time_zone=each.time_zone or zone) for each in file.source]
    file = replace(file, source=tuple(map(as_meant, sources)))
    markers = tuple(_plans(file, schema))
    faults += _of_schema(path.name, file, schema, markers)
    if faults:
        raise InvalidInput(faults)
    places = {plan.marker.name: plan for plan in markers}
    by_name = {each.name: each for each in file.outcome}
    return CohortMapping(
        where=path.name,
        path=path,
        file=file,
        schema=schema,
        schema_path=schema_path,
        markers=tuple(places[marker.name] for marker in schema.markers),
        outcomes=tuple((each, by_name[each.name]) for each in schema.endpoints if each.name in by_name),
    )


def _named_schema(content: dict[str, object]) -> Path | None:
    head = content.get("mapping")
    named = head.get("schema") if isinstance(head, dict) else None
    return Path(named) if isinstance(named, str) else None


# --- between the sections


def _between(where: str, right: Sequence[object], all_: bool) -> list[Fault]:
    faults: list[Fault] = []
    written = [each for each in right if isinstance(each, Source)]
    sources = [as_meant(each) for each in written]
    outcomes = [each for each in right if isinstance(each, MappedOutcome)]
    markers = [each for each in right if isinstance(each, MappedMarker)]
    for what, names in (
        ("source", [each.name for each in sources]),
        ("outcome", [each.name for each in outcomes]),
        ("marker", [name for each in markers for name in each.marker_names]),
    ):
        for name, times in Counter(names).items():
            if times > 1:
                remedy = "Keep one; look inside names = [...] as well."
                faults.append(Fault(f'{where}: [[{what}]] "{name}"', f"stands here {times} times", remedy))
    for source in written:
        faults += faults_of_fhir(f'{where}: [[source]] "{source.name}"', source)
    for source in sources:
        faults += _of_source(f'{where}: [[source]] "{source.name}"', source)
    for outcome in outcomes:
        if outcome.time is None and outcome.event_time is None and outcome.event_date is None:
            remedy = "Add time, or event_time and last_time, or event_date and last_contact."
            faults.append(Fault(f'{where}: [[outcome]] "{outcome.name}"', "does not say when follow-up ended", remedy))
    if all_:
        faults += _of_names(where, right, sources)
    return faults


def _of_source(where: str, source: Source) -> Iterator[Fault]:
    yield from place_of_source(where, source)
    public = source.part not in (Part.TABLE, Part.SQL, Part.OMOP) and not source.part.is_fhir
    if source.patient is None and not public and not source.numbered:
        remedy = "Name the column of identifiers, or write numbered = true for a table that has none."
        yield Fault(f"{where}, patient", "is missing", remedy)
    if source.numbered and source.part is not Part.TABLE:
        yield Fault(f"{where}, numbered", "is only for a table", "Remove it.")
    if (source.part is Part.MATRIX) is not (source.file is not None):
        remedy = 'Name the file of a part "cbioportal_matrix", and of no other.'
        yield Fault(f"{where}, file", "is missing" if source.file is None else "is not used here", remedy)
    if source.code is not None and source.value is None:
        yield Fault(f"{where}, value", "is missing", "Name the column that holds what was found.")
    if source.decimal.value == (None if source.thousands is None else source.thousands.value):
        yield Fault(f"{where}, thousands", "is the decimal mark", "Name another one, or remove it.")
    if public and source.part not in (Part.PATIENTS, Part.SAMPLES) and (source.keep or source.date or source.code):
        yield Fault(where, "keeps rows, but is a matrix of samples", "Remove keep, date and code.")


def _of_names(where: str, right: Sequence[object], sources: Sequence[Source]) -> Iterator[Fault]:
    """Names of sources, and what must stand in the source that is named."""
    known = {each.name: each for each in sources}
    head = next(each for each in right if isinstance(each, MappingHead))
    time_zero = next((each for each in right if isinstance(each, TimeZero)), None)
    dated = time_zero is not None

    def unknown(place: str, name: str | None) -> Iterator[Fault]:
        if name is not None and name not in known:
            yield Fault(f"{where}: {place}", "is no source", closest(name, list(known)))

    yield from unknown("[mapping], patients", head.patients)
    yield from unknown("[mapping], site_source", head.site_source)
    if time_zero is not None:
        yield from unknown("[time_zero], source", time_zero.source)
        if time_zero.take not in (None, Take.FIRST, Take.LAST):
            yield Fault(f"{where}: [time_zero], take", "is neither first nor last", "Write one of the two.")
    for each in right:
        if isinstance(each, MappedOutcome):
            place = f'[[outcome]] "{each.name}"'
            yield from unknown(f"{place}, source", each.source)
            source = known.get(head.patients if each.source is None else each.source)
            gone = head.missing if source is None or source.missing is None else source.missing
            yield from meant_twice(f"{where}: {place}", yes=each.yes, no=each.no, missing=gone)
            yield from meant_twice(f"{where}: {place}", death_yes=each.death_yes, death_no=each.death_no, missing=gone)
            for name in each.contacts:
                yield from unknown(f"{place}, contacts", name)
            for key in ("event_date", "entry_date"):
                if getattr(each, key) is not None and not dated:
                    remedy = "Add the section [time_zero], or name times instead of days."
                    yield Fault(f"{where}: {place}, {key}", "is counted from a time zero that nothing names", remedy)
        elif isinstance(each, MappedMarker):
            name = each.name or (each.marker_names[0] if each.marker_names else "")
            place = f'[[marker]] "{name}"'
            yield from unknown(f"{place}, source", each.source)
            source = known.get(head.patients if each.source is None else each.source)
            if source is not None:
                yield from _of_marker_source(f"{where}: {place}", each, source, dated=dated)
                gone = head.missing if source.missing is None else source.missing
                gone = gone if each.missing is None else each.missing
                yield from meant_twice(f"{where}: {place}", words=tuple(each.words), missing=gone)


def _of_marker_source(where: str, marker: MappedMarker, source: Source, *, dated: bool) -> Iterator[Fault]:
    if marker.not_measured:
        return
    if marker.codes and source.code is None:
        remedy = "Name the source's columns code and value, or a column here."
        yield Fault(f"{where}, codes", "are not told by its source", remedy)
    if not marker.codes and source.code is not None and marker.column is None:
        yield Fault(f"{where}, codes", "is missing", "Its source is a long table: name the codes, or a column.")
    if marker.window is not None and not dated:
        yield Fault(f"{where}, window", "lies about a time zero that nothing names", "Add the section [time_zero].")
    if marker.transform is Transform.AGE and not dated:
        yield Fault(f"{where}, transform", "needs a time zero that nothing names", "Add the section [time_zero].")
    needs_days = marker.window is not None or marker.take in (Take.FIRST, Take.LAST)
    if needs_days and source.date is None:
        remedy = f'Name the column date of the source "{source.name}".'
        yield Fault(f"{where}, {'take' if marker.window is None else 'window'}", "needs the day of each row", remedy)


# --- between mapping and schema


def _plans(file: MappingFile, schema: StudySchema) -> Iterator[MarkerPlan]:
    described = {marker.name: marker for marker in schema.markers}
    for mapped in file.marker:
        for name in mapped.marker_names:
            if (marker := described.get(name)) is not None:
                column = None
                if not mapped.codes and not mapped.not_measured:
                    column = name.removesuffix(mapped.suffix or "") if mapped.column is None else mapped.column
                yield MarkerPlan(
                    marker=marker,
                    mapped=mapped,
                    source=file.mapping.patients if mapped.source is None else mapped.source,
                    column=column,
                    analyte=None if mapped.analyte is None else BY_NAME[mapped.analyte],
                    target=_target(marker, mapped),
                )


def _target(marker: Marker, mapped: MappedMarker) -> str:
    if mapped.transform is Transform.RATIO:
        return mapped.unit or ""
    found = _TRANSFORMED.fullmatch(marker.unit.replace(" ", ""))
    return found.group(2) if found is not None and mapped.transform is not None else marker.unit


def _of_schema(where: str, file: MappingFile, schema: StudySchema, plans: Sequence[MarkerPlan]) -> Iterator[Fault]:
    described = [marker.name for marker in schema.markers]
    mapped = [name for each in file.marker for name in each.marker_names]
    for name in mapped:
        if name not in described:
            yield Fault(f'{where}: [[marker]] "{name}"', "is no marker of the schema", closest(name, described))
    if absent := [f'"{name}"' for name in described if name not in mapped]:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        remedy = "Say where each comes from, or not_measured = true."
        yield Fault(f"{where}: [[marker]]", f"there is none for {shown} of the schema", remedy)
    for plan in plans:
        yield from _of_marker(f'{where}: [[marker]] "{plan.marker.name}"', plan, file)
    if schema.site_column is not None and file.mapping.site is None and file.mapping.site_column is None:
        remedy = "Name the hospital of all patients (site), or the column with it (site_column)."
        yield Fault(
            f"{where}: [mapping], site", f'is missing: the schema has the column "{schema.site_column}"', remedy
        )
    yield from _of_outcomes(where, file, schema)


def _of_marker(where: str, plan: MarkerPlan, file: MappingFile) -> Iterator[Fault]:
    marker, mapped = plan.marker, plan.mapped
    numeric = marker.kind in (Kind.CONTINUOUS, Kind.ORDINAL)
    if mapped.suffix is not None and not marker.name.endswith(mapped.suffix):
        yield Fault(f"{where}, suffix", "is not the end of the marker's name", "Correct it, or name the column.")
    for key, used in (
        ("transform", marker.kind is Kind.CONTINUOUS),
        ("analyte", marker.kind is Kind.CONTINUOUS),
        ("unit", marker.kind is Kind.CONTINUOUS),
        ("outside_range", numeric),
    ):
        if getattr(mapped, key) is not None and not used:
            yield Fault(f"{where}, {key}", f"is not used by a {marker.kind.value} marker", "Remove it.")
    if mapped.take is Take.ANY and marker.kind is not Kind.BINARY:
        yield Fault(f"{where}, take", "is any, which only a binary marker has", "Write first, last, max or min.")
    if mapped.take in (Take.MAX, Take.MIN) and marker.kind is Kind.CATEGORICAL:
        yield Fault(f"{where}, take", "needs numbers, and its marker has categories", "Write first or last.")
    source = next(each for each in file.source if each.name == plan.source)
    if plan.column == "value_as_number" and source.table is not None:
        remedy = 'Write column = "value", which has both, or name the codes.'
        yield Fault(f"{where}, column", "has neither its unit nor its limit of detection", remedy)
    yield from _of_words(where, plan)
    if marker.kind is Kind.CONTINUOUS and not mapped.not_measured:
        yield from _of_units(where, plan)
        if mapped.upper_limit is not None and mapped.unit is None and source.unit is not None:
            yield Fault(f"{where}, unit", "is missing: that of upper_limit", f"The source {source.name} has several.")


def _of_words(where: str, plan: MarkerPlan) -> Iterator[Fault]:
    targets = {key: plain(word) for key, word in {**plan.mapped.words, "": plan.mapped.without_row or ""}.items()}
    for key, target in targets.items():
        place = f"{where}, {'words' if key else 'without_row'}"
        if target == "":
            continue
        if plan.marker.kind is Kind.CATEGORICAL and target not in plan.marker.categories:
            yield Fault(place, "leads to no category of the schema", closest(target, list(plan.marker.categories)))
        if plan.marker.kind is Kind.BINARY and target not in ("0", "1"):
            yield Fault(place, "leads to neither 0 nor 1", 'Write "0" or "1".')
        if plan.marker.kind in (Kind.CONTINUOUS, Kind.ORDINAL) and not re.fullmatch(r"-?\d+(\.\d+)?", target):
            yield Fault(place, "leads to no number", "Write a number in quotes, with a decimal point.")


def _of_units(where: str, plan: MarkerPlan) -> Iterator[Fault]:
    mapped, unit = plan.mapped, plan.marker.unit
    bare = unit.replace(" ", "").casefold()
    told = _TRANSFORMED.fullmatch(bare)
    if mapped.transform in (Transform.LOG10, Transform.LOG1P) and (
        told is None or told.group(1) != mapped.transform.value
    ):
        remedy = f"Write the schema's unit as {mapped.transform.value}(UNIT), or remove the transform."
        yield Fault(f"{where}, transform", f'does not suit the schema\'s unit "{unit}"', remedy)
        return
    if mapped.transform is Transform.AGE:
        if bare not in TIMES:
            remedy = f"Write the schema's unit as one of {', '.join(TIMES)}, or remove the transform."
            yield Fault(f"{where}, transform", f'does not suit the schema\'s unit "{unit}"', remedy)
        for key in ("unit", "analyte"):
            if getattr(mapped, key) is not None:
                yield Fault(f"{where}, {key}", "has no meaning for days", "Remove it.")
        return
    if mapped.transform is Transform.RATIO:
        if bare not in RATIO_UNITS:
            remedy = 'Write the schema\'s unit as "ULN", or remove the transform.'
            yield Fault(f"{where}, transform", f'does not suit the schema\'s unit "{unit}"', remedy)
        if mapped.upper_limit is None and mapped.upper_limit_column is None:
            remedy = "Name upper_limit and its unit, or the column with each laboratory's own."
            yield Fault(f"{where}, upper_limit", "is missing for a ratio", remedy)
        return
    if mapped.upper_limit is not None or mapped.upper_limit_column is not None:
        yield Fault(f"{where}, upper_limit", "is only used by a ratio", 'Write transform = "ratio", or remove it.')
    if mapped.transform is None and told is not None and mapped.unit is not None and mapped.unit != unit:
        remedy = f'Write transform = "{told.group(1)}", or the schema\'s own unit.'
        yield Fault(f"{where}, unit", f'is not the schema\'s "{unit}"', remedy)
        return
    if mapped.unit is not None and factor_between(mapped.unit, plan.target, plan.analyte) is None:
        remedy = "Correct the unit, or name the analyte whose units can be converted."
        if plan.analyte is not None:
            remedy = f"No constant is known between the two for {plan.analyte.name}. Correct one of them."
        yield Fault(f"{where}, unit", f'cannot be converted to the schema\'s "{plan.target}"', remedy)


def _of_outcomes(where: str, file: MappingFile, schema: StudySchema) -> Iterator[Fault]:
    endpoints = {each.name: each for each in schema.endpoints}
    given: list[str] = []
    for outcome in file.outcome:
        place = f'{where}: [[outcome]] "{outcome.name}"'
        endpoint = endpoints.get(outcome.name)
        if endpoint is None:
            yield Fault(place, "is no endpoint of the schema", closest(outcome.name, list(endpoints)))
            continue
        given += [endpoint.time_column, endpoint.event_column]
        has_entry = outcome.entry is not None or outcome.entry_date is not None
        for key, here, column in (
            ("entry", has_entry, endpoint.entry_column),
            ("death", outcome.death is not None, endpoint.death_event_column),
        ):
            if here and column is None:
                yield Fault(f"{place}, {key}", "has no column in the schema", "Remove it, or add it to the schema.")
            elif here and column is not None:
                given.append(column)
    for column, times in Counter(given).items():
        if times > 1:
            remedy = "Leave it out of all outcomes but one: endpoints that share a column share its cells."
            yield Fault(f"{where}: [[outcome]]", f'the schema\'s column "{column}" comes from {times} outcomes', remedy)
    for endpoint in schema.endpoints:
        needed = (
            ("time", endpoint.time_column),
            ("event", endpoint.event_column),
            ("entry", endpoint.entry_column),
            ("death", endpoint.death_event_column),
        )
        lacking = [key for key, column in needed if column is not None and column not in given]
        if lacking:
            remedy = "Add it to the outcome of that name."
            what = f"does not say where its {' and '.join(lacking)} comes from"
            yield Fault(f'{where}: [[outcome]] "{endpoint.name}"', what, remedy)
