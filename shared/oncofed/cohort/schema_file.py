"""Which `StudySchema` does a TOML file describe, and what is wrong with it if none?

Promise: every fault of the file is reported at once, each with file, section, field and remedy. A schema is public,
so its own names may appear in faults. Refused: unknown fields (a misspelt setting must fail), constants that a marker's
kind does not use, and continuous or ordinal markers without unit range, centre and scale: those are chosen by people
from units and medical knowledge, so there is no default that a table could have suggested.

The fields are those of `oncofed.cohort.schema`; `simulations/studies/tcga_pancancer/schema.toml` is a whole file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from oncofed.cohort.expected_effects import effect_faults
from oncofed.cohort.marker_section import MarkerSection
from oncofed.cohort.schema import (
    DeathPolicy,
    Endpoint,
    Kind,
    Modality,
    ModalityEncoding,
    StudySchema,
    TimeUnit,
)
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import As, Known, Rule, Wrong
from oncofed.file_reading import read_declared
from oncofed.ranges import range_faults
from oncofed.survival.grid import TimeGrid
from oncofed.toml_file import closest, parse_toml, read_toml


@dataclass(frozen=True)
class SchemaSection:
    """The section [schema]."""

    name: Annotated[str, As("StudySchema.name")]
    """The name of this description."""
    patient_id: Annotated[str, As("StudySchema.patient_id")]
    """The column with one distinct value a row. It never leaves the hospital."""
    site_column: Annotated[str | None, As("StudySchema.site_column")] = None
    """The column that says which hospital a row belongs to. Needed to cut one table into simulated hospitals by
    `column` or `hash`."""
    tumour_entity: Annotated[str | None, As("StudySchema.tumour_entity")] = None
    """The name of the categorical marker that "within tumour types" refers to. Without it, those figures are left out.
    """
    largest_encoded_value: Annotated[float, As("StudySchema.largest_encoded_value")] = StudySchema.largest_encoded_value
    """Standardised values beyond plus or minus this are cut, before weights."""
    missing_codes: Annotated[tuple[str, ...], As("Marker.missing_codes")] = ()
    """Cells that mean "not measured", for every marker that lists none of its own. An empty cell always means it."""


def _axis(bounds: tuple[float, ...], known: Known) -> tuple[float, ...]:
    try:
        TimeGrid(bounds)
    except ValueError:
        raise Wrong("is not a rising time axis that starts at 0", "Write 0, then ever larger times.") from None
    return bounds


@dataclass(frozen=True)
class TimeSection:
    """The section [time]."""

    unit: TimeUnit
    """The unit of every time in the table and in the study. A time beyond 120 years is a fault: it is in another unit.
    """
    interval_bounds: Annotated[tuple[float, ...], As("TimeGrid.bounds"), Rule(_axis)]
    """The hazard is constant inside each interval. Follow-up beyond the last bound is cut there: later events are not
    seen, and a run says how many. No event inside is a fault."""
    zero_time_becomes: Annotated[float | None, As("StudySchema.zero_time_becomes")] = None
    """A follow-up of exactly 0 (died, or last seen, on the day of diagnosis) is read as this time. Without it, a zero
    is a fault."""


def _another_column(column: str | None, known: Known) -> str | None:
    if column is not None and column == known.before.get("event"):
        raise Wrong("is the event column itself", "Drop death_event for an endpoint that is death itself.")
    return column


def _of_told_deaths(policy: DeathPolicy | None, known: Known) -> DeathPolicy | None:
    if policy is not None and known.before.get("death_event", "") is None:
        raise Wrong("says what a death means, but no column tells deaths", "Add death_event, or drop death.")
    return policy


def _other_endpoints(names: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if not names:
        return names
    if known.before.get("name") in names:
        raise Wrong("names the endpoint itself", "Name the others that may come first.")
    if known.before.get("death_event") is not None:
        raise Wrong("stands beside death_event", "Drop death_event and death: a death that competes is an endpoint.")
    return names


@dataclass(frozen=True)
class EndpointSection:
    """A section [[endpoint]]."""

    name: Annotated[str, As("Endpoint.name")]
    """For example `overall_survival`."""
    time: Annotated[str, As("Endpoint.time_column")]
    """The column with the time from time zero to the event or the last contact."""
    event: Annotated[str, As("Endpoint.event_column")]
    """The column that is 1 when the event was observed and 0 when follow-up ended without it. It may not be empty."""
    baseline_hazard: Annotated[float, As("StudySchema.baseline_hazard")]
    """Events for each unit of time, for the reference patient: a guess from general knowledge, where training starts.
    """
    entry: Annotated[str | None, As("Endpoint.entry_column")] = None
    """Delayed entry: the column with the time at which the patient came under observation; 0 for those there from the
    start. It must lie before `time`."""
    death_event: Annotated[str | None, As("Endpoint.death_event_column"), Rule(_another_column)] = None
    """For an endpoint that is not death: the column that is 1 when follow-up ended with death."""
    death: Annotated[DeathPolicy, Rule(_of_told_deaths)] = DeathPolicy.COMPOSITE
    """What that death means. `composite`: the event (time to next treatment *or death*). `censoring`: the end of
    follow-up without the event. Only together with `death_event`."""
    competes_with: Annotated[tuple[str, ...], As("Endpoint.competes_with"), Rule(_other_endpoints)] = ()
    """Names of the endpoints that may come first, after which this one cannot come any more: of death of the disease,
    death of other causes. One of them may say it for both. They share `time` and `entry`, and no patient has had two.
    Not together with `death_event` ([how](schema.md#competing-endpoints))."""

    label_de: Annotated[str, As("Endpoint.label_de")] = ""
    """How a hospital's pages call it in German, such as `Gesamtüberleben`. Without one: its name, in words."""

    @property
    def endpoint(self) -> Endpoint:
        ended = (self.entry, self.death_event, self.death, self.competes_with)
        return Endpoint(self.name, self.time, self.event, *ended, label_de=self.label_de)


@dataclass(frozen=True)
class SchemaFile:
    """A schema file."""

    schema: SchemaSection
    time: TimeSection
    endpoint: tuple[EndpointSection, ...]
    marker: tuple[MarkerSection, ...]
    modality: Mapping[Modality, ModalityEncoding] = field(default_factory=dict)


def read_schema(path: Path | str) -> StudySchema:
    """The schema in a TOML file. Raises InvalidInput with all faults."""
    path = Path(path)
    return _schema_in(path.name, read_toml(path))


@lru_cache(maxsize=16)
def parse_schema(text: str, *, where: str) -> StudySchema:
    """The schema in a TOML text, such as a study plan carries. Raises InvalidInput with all faults, under `where`.

    Kept, since a guard meets the one of a plan at every request.
    """
    return _schema_in(where, parse_toml(text, where=where))


def _schema_in(where: str, content: dict[str, object]) -> StudySchema:
    faults: list[Fault] = []
    file = read_declared(
        SchemaFile, content, where=where, faults=faults, between=lambda right, all_: _between(where, right, all_)
    )
    if file is None:
        raise InvalidInput(faults)
    header = file.schema
    schema = StudySchema(
        name=header.name,
        patient_id=header.patient_id,
        markers=tuple(marker for section in file.marker for marker in section.markers(header.missing_codes)),
        endpoints=tuple(section.endpoint for section in file.endpoint),
        grid=TimeGrid(file.time.interval_bounds, file.time.unit.value),
        baseline_hazard=tuple(section.baseline_hazard for section in file.endpoint),
        modalities=file.modality,
        site_column=header.site_column,
        tumour_entity=header.tumour_entity,
        largest_encoded_value=header.largest_encoded_value,
        zero_time_becomes=file.time.zero_time_becomes,
    )
    # What follows from several fields, such as an interval's width.
    if faults := [*range_faults(schema, where=where), *effect_faults(schema, where=where)]:
        raise InvalidInput(faults)
    return schema


def _between(file: str, right: Sequence[object], all_: bool) -> list[Fault]:
    """Names that clash or lead nowhere."""
    header = next((section for section in right if isinstance(section, SchemaSection)), SchemaSection("", ""))
    endpoints = [section.endpoint for section in right if isinstance(section, EndpointSection)]
    markers = [
        marker
        for section in right
        if isinstance(section, MarkerSection)
        for marker in section.markers(header.missing_codes)
    ]
    faults: list[Fault] = []
    for marker in markers:
        if set(marker.categories) & set(marker.missing_codes):
            where, remedy = f'{file}: [[marker]] "{marker.name}", missing_codes', "Keep it in one of the two lists."
            faults.append(Fault(where, "holds a text that is also a category", remedy))
    for what, names in (("marker", [m.name for m in markers]), ("endpoint", [e.name for e in endpoints])):
        for name, times in Counter(names).items():
            if times > 1:
                remedy = "Name each once; look inside names = [...] as well."
                faults.append(Fault(f'{file}: [[{what}]] "{name}"', f"is described {times} times", remedy))

    if all_ and header.tumour_entity is not None:
        kinds = {marker.name: marker.kind for marker in markers}
        if kinds.get(header.tumour_entity) is not Kind.CATEGORICAL:
            categorical = [marker.name for marker in markers if marker.kind is Kind.CATEGORICAL]
            remedy = closest(header.tumour_entity, categorical)
            faults.append(Fault(f"{file}: [schema], tumour_entity", "is not a categorical marker", remedy))

    faults += _between_competing(file, endpoints, all_)

    # A column has one role. Endpoints may share a time, event, entry or death column, as deaths are told once.
    roles: dict[str, set[str]] = {}
    for endpoint in endpoints:
        roles.setdefault(endpoint.time_column, set()).add("a time")
        for column in (endpoint.event_column, endpoint.death_event_column):
            roles.setdefault(column or "", set()).add("an event")
        roles.setdefault(endpoint.entry_column or "", set()).add("an entry time")
    for marker in markers:
        roles.setdefault(marker.name, set()).add("a marker")
    roles.setdefault(header.patient_id, set()).add("the patient identifier")
    roles.setdefault(header.site_column or "", set()).add("the site")
    for column, played in roles.items():
        if column and len(played) > 1:
            both = " and ".join(sorted(played))
            faults.append(Fault(f'{file}: column "{column}"', f"is named as {both}", "Give each its own column."))
    return faults


def _between_competing(file: str, endpoints: Sequence[Endpoint], all_: bool) -> list[Fault]:
    """Competing endpoints are ways in which one follow-up ends. all_: whether no endpoint is left out here."""
    by_name = {endpoint.name: endpoint for endpoint in endpoints}
    faults: list[Fault] = []
    for endpoint in endpoints:
        for name in endpoint.competes_with:
            where, other = f'{file}: [[endpoint]] "{endpoint.name}", competes_with', by_name.get(name)
            if other is None:
                known = [each for each in by_name if each != endpoint.name]
                faults += [Fault(where, f'names "{name}", which is no endpoint', closest(name, known))] if all_ else []
                continue
            for key, one, two in (
                ("time", endpoint.time_column, other.time_column),
                ("entry", endpoint.entry_column, other.entry_column),
            ):
                if one != two:
                    remedy = f"Give both the same {key}: the one follow-up, which whatever came first has ended."
                    faults.append(Fault(where, f'names "{name}", which has another {key}', remedy))
            if endpoint.event_column == other.event_column:
                remedy = "Give each an event column of its own: 1 where it came first."
                faults.append(Fault(where, f'names "{name}", which has the same event', remedy))
            if other.death_event_column is not None:
                remedy = f'Drop death_event and death of "{name}": a death that competes is an endpoint.'
                faults.append(Fault(where, f'names "{name}", which has a death_event', remedy))
    return faults
