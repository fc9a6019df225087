"""Which `StudySchema` does a TOML file describe, and what is wrong with it if none?

Promise: every fault of the file is reported at once, each with file, section, field and remedy. A schema is public,
so its own names may appear in faults. Refused: unknown fields (a misspelt setting must fail), constants that a marker's
kind does not use, and continuous or ordinal markers without unit range, centre and scale: those are chosen by people
from units and medical knowledge, so there is no default that a table could have suggested.

The fields are those of `oncofed.cohort.schema`; `simulations/studies/tcga_pancancer/schema.toml` is a whole file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.cohort.schema import (
    DeathPolicy,
    Endpoint,
    Kind,
    Marker,
    MissingFlags,
    Modality,
    ModalityEncoding,
    StudySchema,
    TimeUnit,
)
from oncofed.errors import Fault, InvalidInput
from oncofed.ranges import count_of, range_faults, range_of
from oncofed.survival.grid import TimeGrid
from oncofed.texts import text_faults
from oncofed.toml_section import Section, closest, parse_toml, read_toml

_NUMERIC = (Kind.CONTINUOUS, Kind.ORDINAL)


@dataclass(frozen=True)
class _Header:
    name: str
    patient_id: str
    site_column: str | None
    tumour_entity: str | None
    largest_encoded_value: float
    missing_codes: tuple[str, ...]


@dataclass(frozen=True)
class _Time:
    grid: TimeGrid
    zero_time_becomes: float | None


def read_schema(path: Path | str) -> StudySchema:
    """The schema in a TOML file. Raises InvalidInput with all faults."""
    path = Path(path)
    return _schema_in(path.name, read_toml(path))


def parse_schema(text: str, *, where: str) -> StudySchema:
    """The schema in a TOML text, such as a study plan carries. Raises InvalidInput with all faults, under `where`."""
    return _schema_in(where, parse_toml(text, where=where))


def _schema_in(where: str, file_content: dict[str, object]) -> StudySchema:
    faults: list[Fault] = []
    file = Section(where, file_content, faults)

    header = _read_header(_named(file, "schema"))
    time = _read_time(_named(file, "time"))
    endpoints: list[Endpoint] = []
    baseline_hazard: list[float] = []
    for heading, content in _headed(file, "endpoint"):
        endpoint, hazard = _read_endpoint(Section(heading, content, faults))
        endpoints.append(endpoint)
        baseline_hazard.append(hazard)
    modalities = _read_modalities(file)
    markers: list[Marker] = []
    for heading, content in _headed(file, "marker"):
        markers.extend(_read_markers(Section(heading, content, faults), header.missing_codes))
    file.close()

    faults.extend(_faults_between_sections(where, header, endpoints, markers))
    if faults:
        raise InvalidInput(faults)
    schema = StudySchema(
        name=header.name,
        patient_id=header.patient_id,
        markers=tuple(markers),
        endpoints=tuple(endpoints),
        grid=time.grid,
        baseline_hazard=tuple(baseline_hazard),
        modalities=modalities,
        site_column=header.site_column,
        tumour_entity=header.tumour_entity,
        largest_encoded_value=header.largest_encoded_value,
        zero_time_becomes=time.zero_time_becomes,
    )
    # What follows from several fields, such as an interval's width; and names that are longer than a line may be.
    if faults := [*range_faults(schema, where=where), *text_faults(schema, where=where)]:
        raise InvalidInput(faults)
    return schema


def _named(file: Section, key: str) -> Section:
    found = file.section(key, heading=f"{file.where}: [{key}]", required=True)
    return Section(f"{file.where}: [{key}]", {}, []) if found is None else found


def _headed(file: Section, key: str) -> list[tuple[str, object]]:
    """Each table of [[key]] with the words that name it in faults."""
    found = []
    for number, content in enumerate(file.sections(key), start=1):
        name = content.get("name") if isinstance(content, dict) else None
        title = f'"{name}"' if isinstance(name, str) and name.strip() else f"number {number}"
        found.append((f"{file.where}: [[{key}]] {title}", content))
    if not found:
        file.faults.append(Fault(f"{file.where}: [[{key}]]", "there is none", "Add at least one such section."))
    return found


def _read_header(section: Section) -> _Header:
    header = _Header(
        name=section.required_text("name"),
        patient_id=section.required_text("patient_id"),
        site_column=section.text("site_column"),
        tumour_entity=section.text("tumour_entity"),
        largest_encoded_value=section.number_or(
            "largest_encoded_value",
            StudySchema.largest_encoded_value,
            within=range_of(StudySchema, "largest_encoded_value"),
        ),
        missing_codes=section.texts("missing_codes", blank_allowed=True) or (),
    )
    section.close()
    return header


def _read_time(section: Section) -> _Time:
    unit = section.choice("unit", TimeUnit, required=True) or TimeUnit.MONTHS
    bounds = section.numbers(
        "interval_bounds", within=range_of(TimeGrid, "bounds"), count=count_of(TimeGrid, "bounds"), required=True
    )
    zero_time_becomes = section.number("zero_time_becomes", within=range_of(StudySchema, "zero_time_becomes"))
    section.close()
    grid = TimeGrid((0.0, 1.0))
    if bounds is not None:
        try:
            grid = TimeGrid(bounds, unit.value)
        except ValueError:
            section.fault(
                "interval_bounds", "is not a rising time axis that starts at 0", "Write 0, then ever larger times."
            )
    return _Time(grid, zero_time_becomes)


def _read_endpoint(section: Section) -> tuple[Endpoint, float]:
    endpoint = Endpoint(
        name=section.required_text("name"),
        time_column=section.required_text("time"),
        event_column=section.required_text("event"),
        entry_column=section.text("entry"),
        death_event_column=section.text("death_event"),
        death=section.choice("death", DeathPolicy) or DeathPolicy.COMPOSITE,
    )
    hazard = section.number("baseline_hazard", within=range_of(StudySchema, "baseline_hazard"), required=True)
    if "death" in section and "death_event" not in section:
        section.fault("death", "says what a death means, but no column tells deaths", "Add death_event, or drop death.")
    section.close()
    return endpoint, hazard or 1.0


def _read_modalities(file: Section) -> dict[Modality, ModalityEncoding]:
    found: dict[Modality, ModalityEncoding] = {}
    sections = file.section("modality", heading=f"{file.where}: [modality]")
    if sections is None:
        return found
    known = [modality.value for modality in Modality]
    for key in sections.keys():  # noqa: SIM118  # a Section is no mapping
        heading = f"{file.where}: [modality.{key}]"
        section = sections.section(key, heading=heading)
        if section is None:
            continue
        if key not in known:
            file.faults.append(Fault(heading, "is not a known modality", closest(key, known)))
            continue
        default = ModalityEncoding()
        weight = section.number("weight", within=range_of(ModalityEncoding, "weight"))
        missing_weight = section.number("missing_weight", within=range_of(ModalityEncoding, "missing_weight"))
        found[Modality(key)] = ModalityEncoding(
            weight=default.weight if weight is None else weight,
            missing_weight=default.missing_weight if missing_weight is None else missing_weight,
            missing_flags=section.choice("missing_flags", MissingFlags) or default.missing_flags,
        )
        section.close()
    return found


def _read_markers(section: Section, missing_codes: tuple[str, ...]) -> list[Marker]:
    """The markers of one [[marker]] section: one, or a group under `names` that shares every other field."""
    if "names" in section:
        listed = section.texts("names", required=True)
        names = listed or ()
        if section.text("name") is not None:
            section.fault("name", "stands beside names", "Keep one of the two.")
        if listed == ():
            section.fault("names", "names no marker", "Name at least one.")
    else:
        names = (section.required_text("name"),)

    modality = section.choice("modality", Modality, required=True) or Modality.CLINICAL
    kind = section.choice("kind", Kind, required=True)
    weight = section.number("weight", within=range_of(Marker, "weight"))
    own_codes = section.texts("missing_codes", blank_allowed=True)
    marker = Marker(
        name="",
        modality=modality,
        kind=kind or Kind.BINARY,
        unit=section.text("unit", required=kind is Kind.CONTINUOUS) or "",
        missing_codes=missing_codes if own_codes is None else own_codes,
        weight=1.0 if weight is None else weight,
    )
    if kind is Kind.CATEGORICAL:
        marker = _with_categories(section, marker)
    elif kind is not None:
        marker = _with_scale(section, marker)
    if kind is not None:
        _refuse_unused(section, kind)
        section.close()
    return [replace(marker, name=name) for name in names if name]


def _with_categories(section: Section, marker: Marker) -> Marker:
    categories = section.texts("categories", required=True)
    reference = section.text("reference_category", required=True)
    if categories is not None and len(categories) < 2:
        section.fault("categories", "has fewer than two categories", "Name all that can occur.")
    if categories and reference is not None and reference not in categories:
        section.fault("reference_category", "is not among categories", closest(reference, list(categories)))
    clash = sorted(set(categories or ()) & set(marker.missing_codes))
    if clash:
        section.fault("missing_codes", "holds a text that is also a category", "Keep it in one of the two lists.")
    if any(category != category.strip() for category in categories or ()):
        section.fault("categories", "has a category with a blank at its edge", "Remove it: cells are trimmed.")
    return replace(marker, categories=categories or (), reference_category=reference or "")


def _with_scale(section: Section, marker: Marker) -> Marker:
    numeric = marker.kind in _NUMERIC
    span = _pair(section, "plausible_range", required=True) if numeric else (0.0, 1.0)
    centre = section.number("centre", within=range_of(Marker, "centre"), required=numeric)
    scale = section.number("scale", within=range_of(Marker, "scale"), required=numeric)
    if centre is not None and span is not None and not span[0] <= centre <= span[1]:
        section.fault("centre", "lies outside the plausible range", "Choose the public centre inside the range.")
    return replace(
        marker,
        plausible_range=span if numeric else None,
        reference_range=_pair(section, "reference_range") if numeric else None,
        centre=0.0 if centre is None else centre,
        scale=1.0 if scale is None else scale,
    )


def _pair(section: Section, key: str, *, required: bool = False) -> tuple[float, float] | None:
    found = section.numbers(key, within=range_of(Marker, key), count=count_of(Marker, key), required=required)
    if found is None:
        return None
    if not found[0] < found[1]:
        section.fault(key, "is reversed or empty", "Write [lowest, highest], the lowest first.")
        return None
    return found[0], found[1]


def _refuse_unused(section: Section, kind: Kind) -> None:
    """A field that this kind of marker does not use is a misunderstanding, and worth its own words."""
    unused = {
        Kind.CATEGORICAL: ("plausible_range", "reference_range", "centre", "scale"),
        Kind.BINARY: ("plausible_range", "reference_range", "categories", "reference_category"),
        Kind.CONTINUOUS: ("categories", "reference_category"),
        Kind.ORDINAL: ("categories", "reference_category"),
    }
    for key in unused[kind]:
        if key in section:
            section.ignore(key)
            section.fault(key, f"is not used by a {kind.value} marker", "Remove it, or change kind.")


def _faults_between_sections(
    file: str, header: _Header, endpoints: Sequence[Endpoint], markers: Sequence[Marker]
) -> list[Fault]:
    """Names that clash or lead nowhere."""
    faults: list[Fault] = []
    for what, names in (("marker", [m.name for m in markers]), ("endpoint", [e.name for e in endpoints if e.name])):
        for name, times in Counter(names).items():
            if times > 1:
                remedy = "Name each once; look inside names = [...] as well."
                faults.append(Fault(f'{file}: [[{what}]] "{name}"', f"is described {times} times", remedy))

    if header.tumour_entity is not None:
        kinds = {marker.name: marker.kind for marker in markers}
        if kinds.get(header.tumour_entity) is not Kind.CATEGORICAL:
            categorical = [marker.name for marker in markers if marker.kind is Kind.CATEGORICAL]
            remedy = closest(header.tumour_entity, categorical)
            faults.append(Fault(f"{file}: [schema], tumour_entity", "is not a categorical marker", remedy))

    # A column has one role. Endpoints may share a time, event, entry or death column, as deaths are told once.
    roles: dict[str, set[str]] = {}
    for endpoint in endpoints:
        roles.setdefault(endpoint.time_column, set()).add("a time")
        for column in (endpoint.event_column, endpoint.death_event_column):
            roles.setdefault(column or "", set()).add("an event")
        roles.setdefault(endpoint.entry_column or "", set()).add("an entry time")
        if endpoint.death_event_column is not None and endpoint.death_event_column == endpoint.event_column:
            remedy = "Drop death_event for an endpoint that is death itself."
            where = f'{file}: [[endpoint]] "{endpoint.name}", death_event'
            faults.append(Fault(where, "is the event column itself", remedy))
    for marker in markers:
        roles.setdefault(marker.name, set()).add("a marker")
    roles.setdefault(header.patient_id, set()).add("the patient identifier")
    roles.setdefault(header.site_column or "", set()).add("the site")
    for column, played in roles.items():
        if column and len(played) > 1:
            both = " and ".join(sorted(played))
            faults.append(Fault(f'{file}: column "{column}"', f"is named as {both}", "Give each its own column."))
    return faults
