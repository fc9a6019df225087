"""How does a cohort become the network's input, using public constants only?

The reference patient (every marker measured and at its public centre or reference category) is the zero vector, so
that a network without biases gives it a log hazard ratio of exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Kind, Marker, MissingFlags, Modality, StudySchema


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
    schema = cohort.schema
    blocks: list[NDArray[np.float64]] = []
    for column, marker in enumerate(schema.markers):
        encoding = schema.encoding_of(marker.modality)
        blocks.extend(_value_columns(schema, marker, cohort.values[:, column]))
        if encoding.missing_flags is MissingFlags.MARKER:
            blocks.append(np.isnan(cohort.values[:, column]) * encoding.missing_weight)
    for modality in _present_modalities(schema):
        encoding = schema.encoding_of(modality)
        if encoding.missing_flags is MissingFlags.MODALITY:
            members = [index for index, marker in enumerate(schema.markers) if marker.modality is modality]
            unmeasured = np.isnan(cohort.values[:, members]).all(axis=1)
            blocks.append(np.where(unmeasured, encoding.missing_weight, 0.0))
    if not blocks:
        return np.zeros((len(cohort), 0))
    return np.column_stack(blocks)


def _present_modalities(schema: StudySchema) -> tuple[Modality, ...]:
    present = {marker.modality for marker in schema.markers}
    return tuple(modality for modality in Modality if modality in present)


def _value_columns(schema: StudySchema, marker: Marker, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    weight = schema.encoding_of(marker.modality).weight * marker.weight
    if marker.kind is Kind.CATEGORICAL:
        return [
            (values == index) * weight
            for index, category in enumerate(marker.categories)
            if category != marker.reference_category
        ]
    limit = schema.largest_encoded_value
    with np.errstate(over="ignore"):  # beyond float64's range is beyond the limit, too
        standardised = np.clip((values - marker.centre) / marker.scale, -limit, limit)
    return [np.nan_to_num(standardised, nan=0.0) * weight]
