"""How is a schema written that people shall still confirm?

Drafts and the catalogue write one alike: a head whose constants are a common choice, and a section for each marker.
Lines that are a guess end with `CONFIRM`. Every constant is public knowledge; none comes from a table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from oncofed.client.importing.analytes import Analyte
from oncofed.cohort.schema import Kind, Marker, Modality

CONFIRM = "# confirm"
TIME_ZONE = f'# time_zone = "Europe/Berlin"  {CONFIRM}: where is the hospital'
"""A line of a draft of a mapping; no table tells it, and every guess would be some day wrong."""


def quoted(text: str) -> str:
    """As a text of a TOML file."""
    return json.dumps(text, ensure_ascii=False)


def head_lines(name: str, *, tumour_entity: str | None = None) -> Iterator[str]:
    """Everything before the markers."""
    yield "[schema]"
    yield f"name = {quoted(name)}  {CONFIRM}"
    yield 'patient_id = "patient_id"'
    yield 'site_column = "hospital"'
    if tumour_entity is not None:
        yield f"tumour_entity = {quoted(tumour_entity)}"
    yield "\n[time]"
    yield f'unit = "months"  {CONFIRM}'
    yield f"interval_bounds = [0, 3, 6, 12, 18, 24, 36, 60]  {CONFIRM}"
    yield f"zero_time_becomes = 0.02  {CONFIRM}: half a day, for who is seen on one day only"
    yield "\n[[endpoint]]"
    yield f'name = "survival"  {CONFIRM}'
    yield 'time = "survival_months"'
    yield 'event = "event_observed"'
    yield f"baseline_hazard = 0.02  {CONFIRM}: events a month; half of the reference patients after 35 months"


TAKEN = frozenset({"patient_id", "hospital", "survival", "survival_months", "event_observed"})
"""Columns of the head."""


def marker_lines(marker: Marker) -> Iterator[str]:
    """The keys of its section, but for its name."""
    yield f'modality = "{marker.modality.value}"'
    yield f'kind = "{marker.kind.value}"'
    if marker.unit:
        yield f"unit = {quoted(marker.unit)}"
    if marker.kind in (Kind.CONTINUOUS, Kind.ORDINAL):
        assert marker.plausible_range is not None
        yield f"plausible_range = {_span(marker.plausible_range)}"
        if marker.reference_range is not None:
            yield f"reference_range = {_span(marker.reference_range)}"
        yield f"centre = {marker.centre:.3g}"
        yield f"scale = {marker.scale:.3g}"
    if marker.kind is Kind.CATEGORICAL:
        yield f"categories = [{', '.join(map(quoted, marker.categories))}]"
        yield f"reference_category = {quoted(marker.reference_category)}"


def _span(span: tuple[float, float]) -> str:
    low, high = (f"{end:.4g}" if abs(end) < 10_000 else f"{end:.0f}" for end in span)
    return f"[{low}, {high}]"


def analyte_marker(analyte: Analyte) -> Marker:
    """How a laboratory value becomes a marker: by its logarithm where it is skewed.

    The reference patient has what is usual: its middle, or its upper limit where a logarithm would make zero of the
    lower one. Without a reference range where that differs by sex, for a schema has one for all.
    """
    low, high = analyte.plausible
    usual_low, usual_high = analyte.usual
    name, unit, usual = analyte.name, analyte.unit, (usual_low, usual_high)
    centre, scale = (usual_low + usual_high) / 2, (usual_high - usual_low) / 2
    if analyte.skewed:
        floor = low or usual_high / 1000
        low, high = math.log10(floor), math.log10(high)
        name, unit, centre, scale = f"log10_{analyte.name}", f"log10({unit})", math.log10(usual_high), 0.5
        usual = (math.log10(max(usual_low, floor)), centre)
    return Marker(
        name=name,
        modality=Modality.LABORATORY,
        kind=Kind.CONTINUOUS,
        unit=unit,
        plausible_range=(low, high),
        centre=centre,
        scale=scale,
        reference_range=None if analyte.usual_men is not None else usual,
    )
