"""Which mapping does a TOML file hold, and do its sections suit one another?

Promise: every fault of the file, and between it and its schema (`mapping_plans`), is told at once, with section, key
and remedy, before any table is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.client.importing.fhir.source import faults_of_fhir
from oncofed.client.importing.mapping import MappedMarker, MappedOutcome, MappingFile, MappingHead, Source, TimeZero
from oncofed.client.importing.mapping_choices import Part, Take, Transform
from oncofed.client.importing.mapping_plans import MarkerPlan, faults_with_schema, plans_of
from oncofed.client.importing.mapping_rules import meant_twice, missing_values, one_nearness
from oncofed.client.importing.places import as_meant, made_values, place_of_source
from oncofed.cohort.schema import Endpoint, StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.text_form import Encoding
from oncofed.errors import Fault, InvalidInput
from oncofed.file_reading import read_declared
from oncofed.toml_file import closest, read_toml


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
    head = file.mapping
    sources = [
        replace(
            each,
            time_zone=each.time_zone or head.time_zone,
            missing=head.missing if each.missing is None else each.missing,
        )
        for each in file.source
    ]
    file = replace(file, source=tuple(map(as_meant, sources)))
    markers = tuple(plans_of(file, schema))
    faults += faults_with_schema(path.name, file, schema, markers)
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
    faults += one_nearness(where, [each.near_identifiers for each in sources])
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
    if public and source.encoding is not Encoding.UTF_8:
        yield Fault(f"{where}, encoding", "has no meaning for this part", "Remove it: a study folder is UTF-8.")
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
                theirs = head.missing if source.missing is None else source.missing
                gone = theirs if each.missing is None else each.missing
                yield from meant_twice(f"{where}: {place}", words=tuple(each.words), missing=gone)
                made = () if each.not_measured else made_values(source, each.codes)
                yield from missing_values(f'{where}: [[source]] "{source.name}"', made, theirs)
                yield from missing_values(f"{where}: {place}", made, each.missing or ())


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
