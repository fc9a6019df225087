"""Where does each marker of a schema come from, and does a mapping say all that its schema needs?

Promise: each marker of the schema is mapped exactly once (or said to be not measured), its unit can be converted and
its words lead into the schema, and each column of an outcome comes from one place; else each fault has its section, key
and remedy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oncofed.client.importing.analytes import BY_NAME, Analyte, factor_between
from oncofed.client.importing.mapping import MappedMarker, MappingFile, Source
from oncofed.client.importing.mapping_choices import OF_STUDY_FOLDER, Part, SameDay, Take, Transform
from oncofed.client.importing.primary_samples import Samples
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import Kind, Marker, StudySchema, TimeUnit
from oncofed.errors import Fault
from oncofed.toml_file import closest

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

    def fills_without_code(self, source: Source) -> bool:
        """Whether patients without a row of its codes in the source have something."""
        return self.source == source.name and self.mapped.without_row is not None and bool(self.mapped.codes)

    def reads_value_of(self, source: Source) -> bool:
        """Whether its cells are the source's values, each with its unit, whichever rows are kept."""
        return bool(self.mapped.codes) or (self.column is not None and self.column == source.value)


def plans_of(file: MappingFile, schema: StudySchema) -> Iterator[MarkerPlan]:
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


def faults_with_schema(
    where: str, file: MappingFile, schema: StudySchema, plans: Sequence[MarkerPlan]
) -> Iterator[Fault]:
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
    yield from _of_shared_cells(where, file, plans)
    if schema.site_column is not None and file.mapping.site is None and file.mapping.site_column is None:
        remedy = "Name the hospital of all patients (site), or the column with it (site_column)."
        yield Fault(
            f"{where}: [mapping], site", f'is missing: the schema has the column "{schema.site_column}"', remedy
        )
    yield from _of_outcomes(where, file, schema)


def _of_shared_cells(where: str, file: MappingFile, plans: Sequence[MarkerPlan]) -> Iterator[Fault]:
    """A primary sample's cell takes the place of others where it is known: for all who read it, or nobody."""
    folders = {
        each.name: each for each in file.source if each.part in OF_STUDY_FOLDER and each.samples is not Samples.ALL
    }
    first: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
    for plan in plans:
        if plan.column is None or (source := folders.get(plan.source)) is None:
            continue
        own = frozenset((source.missing if plan.mapped.missing is None else plan.mapped.missing) or ())
        other, theirs = first.setdefault((plan.source, plan.column), (plan.marker.name, own))
        if own != theirs:
            what = (
                f'has other words than "{other}" of the same column, so a primary sample counts for one of them alone'
            )
            yield Fault(f'{where}: [[marker]] "{plan.marker.name}", missing', what, "Give both markers the same words.")


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
    if mapped.same_day in (SameDay.HIGHEST, SameDay.LOWEST) and marker.kind is Kind.CATEGORICAL:
        yield Fault(
            f"{where}, same_day", "needs numbers, and its marker has categories", "Write missing, or remove it."
        )
    source = next(each for each in file.source if each.name == plan.source)
    if plan.column == "value_as_number" and source.table is not None:
        remedy = 'Write column = "value", which has both, or name the codes.'
        yield Fault(f"{where}, column", "has neither its unit nor its limit of detection", remedy)
    yield from _of_absence(where, mapped, source)
    yield from _of_words(where, plan)
    if marker.kind is Kind.CONTINUOUS and not mapped.not_measured:
        yield from _of_units(where, plan)
        if mapped.upper_limit is not None and mapped.unit is None and source.unit is not None:
            yield Fault(f"{where}, unit", "is missing: that of upper_limit", f"The source {source.name} has several.")


def _of_absence(where: str, mapped: MappedMarker, source: Source) -> Iterator[Fault]:
    if mapped.without_row is None and source.part is not Part.MUTATIONS:
        for key in ("may_be_of_nobody", "may_be_absent"):
            if getattr(mapped, key):
                yield Fault(f"{where}, {key}", "has no meaning without without_row", "Add that, or remove it.")
    columns = [name.removesuffix(mapped.suffix or "") for name in mapped.marker_names]
    listed = [*mapped.codes] or [*columns, *filter(None, [mapped.column])]
    for each in mapped.may_be_absent:
        if each not in listed:
            yield Fault(f"{where}, may_be_absent", "names what is no code (or gene) of it", closest(each, listed))


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
