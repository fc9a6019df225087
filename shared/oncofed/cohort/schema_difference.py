"""What differs between two schemas, and does a table that is right for one mean the same to the other?

A study has one schema for all of its hospitals. Where two hospitals have drafted one each, some differences concern
what stands in tables (a marker, its unit, its categories, an endpoint's columns): then they do not fit, and somebody
has to map or convert. Others concern only public constants of the network (a centre, a weight, the time grid): the
hospitals agree on one, and no table changes.

Law: `differences(a, b)` and `differences(b, a)` tell the same, with first and second exchanged; both are empty exactly
where the hashes of the schemas are equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from oncofed.cohort.schema import Endpoint, Marker, Modality, StudySchema

_MOST_SHOWN = 12


@dataclass(frozen=True)
class Difference:
    """One thing that the two schemas say differently.

    about          "schema", 'marker "albumin"', 'endpoint "overall_survival"', "modality laboratory".
    field          what of it: "unit", "plausible_range"; "marker" or "endpoint" where one schema lacks it as a whole.
    first, second  what each says; None where it says nothing.
    fits           whether no table has to change for it.
    hint           what a reader may overlook; else empty.
    """

    about: str
    field: str
    first: object
    second: object
    fits: bool
    hint: str = ""

    def __str__(self) -> str:
        """In words; the first schema is A, the second B."""
        if self.field in ("marker", "endpoint"):
            here, there = "AB" if self.second is None else "BA"
            text = f"{self.about} is in {here} and missing in {there}"
        else:
            what = self.field.replace("_", " ")
            text = f"{self.about}, {what}: {_said(self.first)} in A, {_said(self.second)} in B"
        return f"{text} ({self.hint})" if self.hint else text


def differences(first: StudySchema, second: StudySchema) -> tuple[Difference, ...]:
    """All of them, those that concern tables before those that do not."""
    found = [*_of_schemas(first, second), *_of_endpoints(first, second), *_of_markers(first, second)]
    return tuple(sorted(found, key=lambda each: each.fits))


def as_json(found: Sequence[Difference]) -> str:
    """For programs. `fit`: no table has to change; `same`: there is no difference at all."""
    content = {
        "fit": all(each.fits for each in found),
        "same": not found,
        "differences": [asdict(each) for each in found],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _said(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, list):
        shown = ", ".join(_said(each) for each in value[:_MOST_SHOWN])
        more = len(value) - _MOST_SHOWN
        return f"[{shown}, and {more} more]" if more > 0 else f"[{shown}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, int | float) else str(value)


# --- what is compared: the name of a field, how it is read, and whether no table has to change for it

Reading = Callable[[StudySchema], object]
_OF_SCHEMA: Mapping[str, tuple[Reading, bool]] = {
    "patient_id": (lambda schema: schema.patient_id, False),
    "site_column": (lambda schema: schema.site_column, False),
    "time_unit": (lambda schema: schema.grid.unit, False),
    "name": (lambda schema: schema.name, True),
    "tumour_entity": (lambda schema: schema.tumour_entity, True),
    "largest_encoded_value": (lambda schema: schema.largest_encoded_value, True),
    "interval_bounds": (lambda schema: list(schema.grid.bounds), True),
}
_OF_ENDPOINT: Mapping[str, Callable[[Endpoint], object]] = {
    "time": lambda endpoint: endpoint.time_column,
    "event": lambda endpoint: endpoint.event_column,
    "entry": lambda endpoint: endpoint.entry_column,
    "death_event": lambda endpoint: endpoint.death_event_column,
    "death": lambda endpoint: endpoint.death.value,
}
_OF_MARKER: Mapping[str, tuple[Callable[[Marker], object], bool]] = {
    "modality": (lambda marker: marker.modality.value, False),
    "kind": (lambda marker: marker.kind.value, False),
    "unit": (lambda marker: marker.unit, False),
    "plausible_range": (lambda marker: _span(marker.plausible_range), False),
    "missing_codes": (lambda marker: sorted(marker.missing_codes), False),
    "reference_range": (lambda marker: _span(marker.reference_range), True),
    "centre": (lambda marker: marker.centre, True),
    "scale": (lambda marker: marker.scale, True),
    "reference_category": (lambda marker: marker.reference_category, True),
    "weight": (lambda marker: marker.weight, True),
    "expected_log_hazard_ratios": (lambda marker: list(marker.expected_log_hazard_ratios), True),
    "expected_source": (lambda marker: marker.expected_source, True),
    "label_de": (lambda marker: marker.label_de, True),
    "category_labels_de": (
        lambda marker: sorted(map(": ".join, zip(marker.categories, marker.category_labels_de, strict=False))),
        True,
    ),
}


def _span(span: tuple[float, float] | None) -> list[float] | None:
    return None if span is None else list(span)


def _of_schemas(first: StudySchema, second: StudySchema) -> Iterator[Difference]:
    for field, (read, fits) in _OF_SCHEMA.items():
        if read(first) != read(second):
            yield Difference("schema", field, read(first), read(second), fits)
    zeros = first.zero_time_becomes, second.zero_time_becomes
    if zeros[0] != zeros[1]:  # without it, a follow-up of zero is a fault of the table
        yield Difference("schema", "zero_time_becomes", *zeros, fits=None not in zeros)
    for modality in Modality:
        about, ours, theirs = f"modality {modality.value}", first.encoding_of(modality), second.encoding_of(modality)
        for field in ("weight", "missing_weight", "missing_flags"):
            one, other = getattr(ours, field), getattr(theirs, field)
            if one != other:
                yield Difference(about, field, one, other, fits=True)
        written = [modality in schema.modalities for schema in (first, second)]
        if ours == theirs and written[0] != written[1]:  # the same numbers, and another hash
            told = ["as by default" if each else None for each in written]
            yield Difference(about, "section", told[0], told[1], fits=True)


def _of_endpoints(first: StudySchema, second: StudySchema) -> Iterator[Difference]:
    ours, theirs = ({endpoint.name: endpoint for endpoint in schema.endpoints} for schema in (first, second))
    hazards = [
        dict(zip((each.name for each in schema.endpoints), schema.baseline_hazard, strict=True))
        for schema in (first, second)
    ]
    for name in dict.fromkeys([*ours, *theirs]):
        about = f'endpoint "{name}"'
        if name not in ours or name not in theirs:
            yield _lacking("endpoint", name, ours, theirs)
            continue
        for field, read in _OF_ENDPOINT.items():
            if read(ours[name]) != read(theirs[name]):
                yield Difference(about, field, read(ours[name]), read(theirs[name]), fits=False)
        rivals = [_competing(schema, name) for schema in (first, second)]
        if set(rivals[0]) != set(rivals[1]):  # of whom two events at once are a fault
            yield Difference(about, "competes_with", rivals[0], rivals[1], fits=False)
        if ours[name].label_de != theirs[name].label_de:
            yield Difference(about, "label_de", ours[name].label_de, theirs[name].label_de, fits=True)
        if hazards[0][name] != hazards[1][name]:
            yield Difference(about, "baseline_hazard", hazards[0][name], hazards[1][name], fits=True)
    yield from _order("endpoints", [*ours], [*theirs])


def _competing(schema: StudySchema, name: str) -> list[str]:
    number = [endpoint.name for endpoint in schema.endpoints].index(name)
    return [schema.endpoints[other].name for other in schema.competing(number)]


def _of_markers(first: StudySchema, second: StudySchema) -> Iterator[Difference]:
    ours, theirs = ({marker.name: marker for marker in schema.markers} for schema in (first, second))
    for name in dict.fromkeys([*ours, *theirs]):
        about = f'marker "{name}"'
        if name not in ours or name not in theirs:
            yield _lacking("marker", name, ours, theirs)
            continue
        one, other = ours[name], theirs[name]
        for field, (read, fits) in _OF_MARKER.items():
            if read(one) != read(other):
                alike = field == "unit" and _spelt(one.unit) == _spelt(other.unit)
                hint = "the same but for capitals and blanks" if alike else ""
                yield Difference(about, field, read(one), read(other), fits or alike, hint)
        if set(one.categories) != set(other.categories):
            alone = [
                [each for each in mine if each not in yours]
                for mine, yours in ((one.categories, other.categories), (other.categories, one.categories))
            ]
            yield Difference(about, "categories_of_its_own", alone[0], alone[1], fits=False)
        elif one.categories != other.categories:
            yield Difference(about, "order_of_categories", list(one.categories), list(other.categories), fits=True)
        codes = list(one.missing_codes), list(other.missing_codes)
        if codes[0] != codes[1] and sorted(codes[0]) == sorted(codes[1]):
            yield Difference(about, "order_of_missing_codes", *codes, fits=True)
    yield from _order("markers", [*ours], [*theirs])


def _lacking(what: str, name: str, ours: Mapping[str, object], theirs: Mapping[str, object]) -> Difference:
    """Whether a near miss exists is the first thing that somebody will want to know."""
    near = [other for other in (theirs if name in ours else ours) if _letters(other) == _letters(name)]
    hint = f'the other has "{near[0]}": is that the same?' if near else ""
    return Difference(
        f'{what} "{name}"', what, name if name in ours else None, name if name in theirs else None, False, hint
    )


def _spelt(unit: str) -> str:
    """Without blanks and capitals, but of letters that are another prefix as capitals: mega and peta."""
    return "".join(each if each in "MP" else each.casefold() for each in unit if not each.isspace())


def _letters(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())


def _order(what: str, ours: list[str], theirs: list[str]) -> Iterator[Difference]:
    """Told where it is all that differs: of those that both have."""
    here, there = [name for name in ours if name in theirs], [name for name in theirs if name in ours]
    if here != there:
        place = next(place for place, (one, other) in enumerate(zip(here, there, strict=True)) if one != other)
        yield Difference("schema", f"order_of_{what}", here[place], there[place], fits=True)
