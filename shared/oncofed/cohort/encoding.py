"""How does a cohort become the network's input, using public constants only?

The reference patient (every marker measured and at its public centre or reference category) is the zero vector, so
that a network without biases gives it a log hazard ratio of exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Kind, MissingFlags, Modality, StudySchema


class Role(StrEnum):
    VALUE = "value"
    CATEGORY = "category"
    MISSING = "missing"


@dataclass(frozen=True)
class Column:
    """One input of the network.

    source     the marker it folds back to, or the modality for a flag that covers a whole modality.
    category   only for Role.CATEGORY: the category that sets it.
    weight     public multiplier: the column's value when a category or flag is set, else the factor on the
               standardised value.
    """

    source: str
    role: Role
    weight: float
    category: str = ""


def columns(schema: StudySchema) -> tuple[Column, ...]:
    """The network's inputs, in order: depends on the schema alone."""
    found: list[Column] = []
    for marker in schema.markers:
        encoding = schema.encoding_of(marker.modality)
        weight = encoding.weight * marker.weight
        if marker.kind is Kind.CATEGORICAL:
            others = [category for category in marker.categories if category != marker.reference_category]
            found.extend(Column(marker.name, Role.CATEGORY, weight, category) for category in others)
        else:
            found.append(Column(marker.name, Role.VALUE, weight))
        if encoding.missing_flags is MissingFlags.MARKER:
            found.append(Column(marker.name, Role.MISSING, encoding.missing_weight))
    for modality in _present_modalities(schema):
        encoding = schema.encoding_of(modality)
        if encoding.missing_flags is MissingFlags.MODALITY:
            found.append(Column(modality.value, Role.MISSING, encoding.missing_weight))
    return tuple(found)


def encode(cohort: Cohort) -> NDArray[np.float64]:
    """(patients, len(columns(schema))), float64, finite whatever the values: each row depends on its patient alone."""
    schema, values = cohort.schema, cohort.values
    encodings = {modality: schema.encoding_of(modality) for modality in _present_modalities(schema)}
    own: list[NDArray[np.float64] | None] = []  # None: of a marker that is a number
    numbers: list[int] = []
    for place, marker in enumerate(schema.markers):
        encoding = encodings[marker.modality]
        if marker.kind is Kind.CATEGORICAL:
            own += [
                (values[:, place] == index) * (encoding.weight * marker.weight)
                for index, category in enumerate(marker.categories)
                if category != marker.reference_category
            ]
        else:
            own.append(None)
            numbers.append(place)
        if encoding.missing_flags is MissingFlags.MARKER:
            own.append(np.isnan(values[:, place]) * encoding.missing_weight)
    for modality, encoding in encodings.items():
        if encoding.missing_flags is MissingFlags.MODALITY:
            members = [place for place, marker in enumerate(schema.markers) if marker.modality is modality]
            own.append(np.where(np.isnan(values[:, members]).all(axis=1), encoding.missing_weight, 0.0))
    encoded = np.empty((len(cohort), len(own)))
    for place, column in enumerate(own):
        if column is not None:
            encoded[:, place] = column
    encoded[:, [place for place, column in enumerate(own) if column is None]] = _standardised(schema, values, numbers)
    return encoded


def _present_modalities(schema: StudySchema) -> tuple[Modality, ...]:
    present = {marker.modality for marker in schema.markers}
    return tuple(modality for modality in Modality if modality in present)


def _standardised(schema: StudySchema, values: NDArray[np.float64], places: Sequence[int]) -> NDArray[np.float64]:
    """(patients, places): all these markers at once. A thousand simulated hospitals of some patients each are many."""
    markers, limit = [schema.markers[place] for place in places], schema.largest_encoded_value
    weights = {modality: schema.encoding_of(modality).weight for modality in _present_modalities(schema)}
    centre, scale, weight = (
        np.array(constants, dtype=np.float64)
        for constants in (
            [marker.centre for marker in markers],
            [marker.scale for marker in markers],
            [weights[marker.modality] * marker.weight for marker in markers],
        )
    )
    with np.errstate(over="ignore"):  # beyond float64's range is beyond the limit, too
        standardised = np.clip((values[:, places] - centre) / scale, -limit, limit)
    return np.nan_to_num(standardised, nan=0.0) * weight
