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
from pathlib import Path
from typing import Annotated, Any

from oncofed.cohort.expected_effects import effect_faults, expected_ratios, of_categories, with_an_effect
from oncofed.cohort.labels import by_category, of_one_marker, of_some_categories
from oncofed.cohort.schema import (
    DeathPolicy,
    Endpoint,
    Kind,
    Marker,
    Modality,
    ModalityEncoding,
    StudySchema,
    TimeUnit,
)
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import ABSENT, As, Known, Rule, Wrong, needed_where
from oncofed.file_reading import read_declared
from oncofed.ranges import range_faults
from oncofed.survival.grid import TimeGrid
from oncofed.toml_file import closest, parse_toml, read_toml

_NUMERIC = (Kind.CONTINUOUS, Kind.ORDINAL)


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


def _used_by(*kinds: Kind, needed: Sequence[Kind] = ()) -> Rule:
    """A field that a marker's kind does not use is a misunderstanding, and worth its own words."""

    def judge(value: Any, known: Known) -> Any:
        kind = known.before.get("kind")
        if kind is not None and value is not None and kind not in kinds:
            raise Wrong(f"is not used by a {kind.value} marker", "Remove it, or change kind.")
        if value is None and kind in needed:
            raise Wrong(*ABSENT)
        return value

    return Rule(judge)


def some_names(names: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if names == ():
        raise Wrong("names no marker", "Name at least one.")
    return names


def name_or_names(name: str | None, known: Known) -> str | None:
    names = known.before.get("names", ())
    if name is None and names is None:
        raise Wrong(*ABSENT)
    if name is not None and names:
        raise Wrong("stands beside names", "Keep one of the two.")
    return name


def _lowest_first(span: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if span is not None and not span[0] < span[1]:
        raise Wrong("is reversed or empty", "Write [lowest, highest], the lowest first.")
    return span


def _inside(centre: float | None, known: Known) -> float | None:
    span = (0.0, 1.0) if known.before.get("kind") is Kind.BINARY else known.before.get("plausible_range")
    if centre is not None and span is not None and not span[0] <= centre <= span[1]:
        raise Wrong("lies outside the plausible range", "Choose the public centre inside the range.")
    return centre


def _all_that_occur(categories: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if categories is not None and len(categories) < 2:
        raise Wrong("has fewer than two categories", "Name all that can occur.")
    return categories


def _among_categories(reference: str | None, known: Known) -> str | None:
    categories = known.before.get("categories")
    if reference is not None and categories and reference not in categories:
        raise Wrong("is not among categories", closest(reference, list(categories)))
    return reference


@dataclass(frozen=True)
class MarkerSection:
    """A section [[marker]]: one marker, or a group under `names` that shares every other field."""

    modality: Modality
    """Which multipliers apply, and how the report groups it."""
    kind: Kind
    """What its cells are, and which other keys it needs and refuses ([table](schema.md#marker))."""
    names: Annotated[tuple[str, ...] | None, As("Marker.name"), Rule(some_names)] = None
    """Instead of `name`: several columns that share every other field of this section."""
    name: Annotated[str | None, As("Marker.name"), Rule(name_or_names, needed=True)] = None
    """The column's name in the table, exactly."""
    unit: Annotated[str, As("Marker.unit"), needed_where("kind", Kind.CONTINUOUS)] = ""
    """Required for `continuous`. Shown in faults and in the report, so a hospital knows what to deliver."""
    plausible_range: Annotated[
        tuple[float, ...] | None,
        As("Marker.plausible_range"),
        _used_by(*_NUMERIC, needed=_NUMERIC),
        Rule(_lowest_first),
    ] = None
    """Required for `continuous` and `ordinal`. A value outside is a fault: most often another unit."""
    reference_range: Annotated[
        tuple[float, ...] | None, As("Marker.reference_range"), _used_by(*_NUMERIC), Rule(_lowest_first)
    ] = None
    """Only `continuous` and `ordinal`: the usual range in health, as a laboratory states it. Shown beside a patient's
    value on a [hospital's pages](pages.md); it has no effect on the model."""
    centre: Annotated[float, As("Marker.centre"), _used_by(*_NUMERIC, Kind.BINARY, needed=_NUMERIC), Rule(_inside)] = (
        Marker.centre
    )
    """Required for `continuous` and `ordinal`: the value of the reference patient. Inside `plausible_range`; for
    `binary`, between 0 and 1."""
    scale: Annotated[float, As("Marker.scale"), _used_by(*_NUMERIC, Kind.BINARY, needed=_NUMERIC)] = Marker.scale
    """Required for `continuous` and `ordinal`: what counts as one step."""
    categories: Annotated[
        tuple[str, ...],
        As("Marker.categories"),
        _used_by(Kind.CATEGORICAL, needed=[Kind.CATEGORICAL]),
        Rule(_all_that_occur),
    ] = ()
    """Required for `categorical`: every word that may occur, spelt as in the table (capitals count), at least two."""
    reference_category: Annotated[
        str,
        As("Marker.reference_category"),
        _used_by(Kind.CATEGORICAL, needed=[Kind.CATEGORICAL]),
        Rule(_among_categories),
    ] = ""
    """Required for `categorical`: the one of the reference patient."""
    missing_codes: Annotated[tuple[str, ...] | None, As("Marker.missing_codes")] = None
    """Cells that mean "not measured" for this marker, instead of those in `[schema]`. Numbers are compared as numbers:
    `-999` is also -999.0."""
    weight: Annotated[float, As("Marker.weight")] = Marker.weight
    """Multiplies this marker's columns, beside its modality's weight."""
    expected_log_hazard_ratio: Annotated[
        float | None, As("Marker.expected_log_hazard_ratios"), _used_by(*_NUMERIC, Kind.BINARY)
    ] = None
    """The published effect of one `scale` on the first endpoint: the logarithm of its hazard ratio, beside the other
    markers of the schema. The model starts from it, and weight decay pulls to it instead of zero
    ([how](schema.md#effects-that-are-known-before)). Not for `categorical`."""
    expected_log_hazard_ratios: Annotated[
        Mapping[str, float] | None,
        As("Marker.expected_log_hazard_ratios"),
        _used_by(Kind.CATEGORICAL),
        Rule(of_categories),
    ] = None
    """The same of `categorical`: of some of its categories, each against the reference one, as in
    `{ stage_iv = 1.2 }`. Those that are not named have 0."""
    expected_source: Annotated[str, As("Marker.expected_source"), Rule(with_an_effect)] = ""
    """Required beside an expected effect: who published it. Hospitals read it in the plan."""
    label_de: Annotated[str, As("Marker.label_de"), Rule(of_one_marker)] = ""
    """How a hospital's pages call it in German, such as `Alter`. Without one: its name, in words. Not beside `names`.
    """
    category_labels_de: Annotated[
        Mapping[str, str] | None, As("Marker.category_labels_de"), _used_by(Kind.CATEGORICAL), Rule(of_some_categories)
    ] = None
    """The same of some of its categories, as in `{ lung = "Lunge" }`. Only `categorical`."""

    def markers(self, missing_codes: tuple[str, ...]) -> list[Marker]:
        """missing_codes: of the header."""
        return [
            Marker(
                name=name,
                modality=self.modality,
                kind=self.kind,
                unit=self.unit,
                plausible_range=_pair(self.plausible_range),
                centre=self.centre,
                scale=self.scale,
                categories=self.categories,
                reference_category=self.reference_category,
                missing_codes=missing_codes if self.missing_codes is None else self.missing_codes,
                weight=self.weight,
                reference_range=_pair(self.reference_range),
                expected_log_hazard_ratios=expected_ratios(
                    self.expected_log_hazard_ratio, self.expected_log_hazard_ratios, self.categories
                ),
                expected_source=self.expected_source,
                label_de=self.label_de,
                category_labels_de=by_category(self.category_labels_de, self.categories),
            )
            for name in self.names or (self.name,)
            if name is not None
        ]


def _pair(span: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if span is None else (span[0], span[1])


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


def parse_schema(text: str, *, where: str) -> StudySchema:
    """The schema in a TOML text, such as a study plan carries. Raises InvalidInput with all faults, under `where`."""
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
