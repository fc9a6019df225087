"""What would the model say of this patient if some values were others, and which values may be asked about?

Values that were measured, or are missing, may be given another value within the schema's plausible range. Treatments
may not: one was chosen because of how ill the patient was, so the model's answer would say nothing of giving another.
Nor may the tumour entity: what is usual, who is similar and how the model is adjusted here are of the patient's own.

The answer is the model's for that other patient, with baseline hazard, spread and adjustment as on the patient's page.
Promises: the table stays as it is; nothing that was asked is kept; a value is read as a cell of a table would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.patient_view import Outlook, outlook
from oncofed.client.pages.wording import marker_value, span_with_unit, with_unit
from oncofed.cohort.cells import numbers
from oncofed.cohort.schema import Kind, Marker, Modality, StudySchema
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import is_decimal_logarithm, marker_label
from oncofed.words.numbers import as_typed

FloatArray = NDArray[np.float64]

MOST_VALUES = 12
"""That are asked about at once: a form has few fields, and an answer that changes everything compares nothing."""
_MOST_LEVELS = 30
"""Of an ordinal marker, to be chosen from a list."""


def is_never_changed(schema: StudySchema, marker: Marker) -> str:
    """Why it may not be asked about, a whole sentence in English; empty where it may."""
    if marker.modality is Modality.TREATMENT:
        return later(
            "Treatments are not changed here: one was chosen because of how ill the patient was, "
            "and its contribution says nothing of what giving it, or not, would do."
        )
    if marker.name == schema.tumour_entity:
        return later("The tumour is not changed here: what is compared and adjusted is of this patient's own.")
    return ""


def changeable(schema: StudySchema) -> list[int]:
    """Places of the markers that may be asked about."""
    return [place for place, marker in enumerate(schema.markers) if not is_never_changed(schema, marker)]


def found_by_name(schema: StudySchema, typed: str, *, say: Language = ENGLISH) -> list[int]:
    """Places of the markers that are called so, in words or as the table calls them, whatever the capitals."""
    asked = " ".join(typed.split()).casefold()
    return [
        place
        for place, marker in enumerate(schema.markers)
        if asked
        and asked in [each.casefold() for each in (marker.name, marker_label(marker), marker_label(marker, say=say))]
    ]


def levels(marker: Marker, *, say: Language = ENGLISH) -> list[tuple[str, float]]:
    """What may be chosen, in words and as the table has it; empty where a number is typed."""
    if marker.kind is Kind.CATEGORICAL:
        values = list(range(len(marker.categories)))
    elif marker.kind is Kind.BINARY:
        values = [0, 1]
    elif marker.kind is Kind.ORDINAL and marker.plausible_range is not None:
        low, high = (int(end) for end in marker.plausible_range)
        values = list(range(low, high + 1)) if high - low < _MOST_LEVELS else []
    else:
        values = []
    return [(marker_value(marker, float(each), say=say), float(each)) for each in values]


def plausible(marker: Marker, *, say: Language = ENGLISH) -> str:
    """The range in which a value is taken, in the unit that is shown; empty where the schema has none."""
    if marker.plausible_range is None or levels(marker):
        return ""
    return span_with_unit(marker, *marker.plausible_range, say=say)


@dataclass(frozen=True)
class Refused:
    """why  a value is not taken, a whole sentence in English."""

    why: str


def read(marker: Marker, typed: str, *, say: Language = ENGLISH) -> float | Refused:
    """What was typed or chosen, as the table has it.

    A number is in the unit that is shown. It is read as a table's cell is, with the decimal sign of the page's
    language; a minus may be the one that pages write. On an English page a comma is refused, on a German one a point:
    12,345 is twelve to some people and twelve thousand to others.
    """
    written = as_typed(typed.strip(), say=say)
    value = np.nan if written is None else float(numbers(pd.Series([written], dtype=object)).values[0])
    if np.isnan(value):
        return Refused(later("This is no number: write it with a decimal point, such as 1.5, and without commas."))
    if is_decimal_logarithm(marker):
        if value <= 0:
            return Refused(later("This has to be above 0: the study takes its logarithm."))
        value = float(np.log10(value))
    if marker.kind is not Kind.CONTINUOUS and value != round(value):
        return Refused(later("This has whole levels only."))
    if marker.plausible_range is not None:
        low, high = marker.plausible_range
        # What is shown of a logarithm's ends is rounded, and may be typed as it is shown.
        near = 5e-3 if is_decimal_logarithm(marker) else 0.0
        if not low - near <= value <= high + near:
            return Refused(later("This is outside what the study takes as plausible."))
        value = min(max(value, low), high)
    return value


@dataclass(frozen=True)
class Change:
    """One marker that is asked about. recorded, instead: in words, with the unit.

    before, after  its contributions to the log hazard ratio.
    """

    label: str
    recorded: str
    instead: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class WhatIf:
    """recorded  of the patient's own values. instead: had they been the others.

    rest  what all other markers contribute before and after: it may differ where markers depend on each other.
    """

    recorded: Outlook
    instead: Outlook
    changes: tuple[Change, ...]
    rest: tuple[float, float]


def what_if(
    hospital: HospitalPrognosis, row: int, asked: Mapping[int, float], *, endpoint: int, say: Language = ENGLISH
) -> WhatIf:
    """asked: other values by the marker's place, as `read` gives them; none that is never changed."""
    schema, own = hospital.schema, hospital.cohort.values[row]
    assert not any(is_never_changed(schema, schema.markers[place]) for place in asked)
    values = own.copy()
    for place, value in asked.items():
        values[place] = value
    recorded = outlook(hospital, row, endpoint=endpoint)
    instead = outlook(hospital.as_if(row, values), 0, endpoint=endpoint)
    at = {source: position for position, source in enumerate(recorded.endpoint.sources)}
    changes = []
    for place in asked:
        marker = schema.markers[place]
        before, after = (each.own.relevance[at[marker.name]] for each in (recorded, instead))
        table, other = (with_unit(marker, float(each[place]), say=say) for each in (own, values))
        changes.append(Change(marker_label(marker, say=say), table, other, float(before), float(after)))
    rest = (
        recorded.log_hazard_ratio - sum(each.before for each in changes),
        instead.log_hazard_ratio - sum(each.after for each in changes),
    )
    return WhatIf(recorded, instead, tuple(changes), rest)
