"""Which markers move the released model most, in its linear part, and which way?

The linear part is w.x (`survival.network`), so a weight times the step that a marker makes in x is a log hazard ratio.
The step is public: the marker's scale, "yes" against "no", a category against the reference category, or "not measured"
against the reference value. This is arithmetic on a model that is released already, and costs no privacy.

The layout of the vector is the network's: the parameters of the hazard's course first, then (endpoints, columns).
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.encoding import Column, Role, columns
from oncofed.cohort.schema import Kind, Marker, StudySchema
from oncofed.explanation.training_noise import deviation, in_words, moved_by_entity
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import category_label, is_decimal_logarithm, shown_unit, source_label
from oncofed.words.numbers import plainly


@dataclass(frozen=True)
class LinearEffect:
    """marker  its name, or a modality's. step: what is compared. log_hazard_ratio: positive is a worse prognosis."""

    marker: str
    step: str
    log_hazard_ratio: float


def linear_effects(
    model: ModelSpec, schema: StudySchema, weights: NDArray[np.float64], *, say: Language = ENGLISH
) -> dict[str, tuple[LinearEffect, ...]]:
    """By endpoint, each effect of the linear part, strongest first; empty when the network has no linear part."""
    if not model.linear_branch:
        return {}
    start, endpoints = model.ratio_begins, len(model.endpoints)
    rows = weights[start : start + endpoints * model.columns].reshape(endpoints, model.columns)
    inputs = columns(schema)
    assert len(inputs) == model.columns
    markers = {marker.name: marker for marker in schema.markers}
    effects = {}
    for endpoint, row in zip(model.endpoints, rows, strict=True):
        found = [
            _effect(column, markers.get(column.source), schema, float(weight), say)
            for column, weight in zip(inputs, row, strict=True)
        ]
        # Rounding would leave order to chance where two are equal, so the schema's order decides then.
        effects[endpoint] = tuple(sorted(found, key=lambda effect: -abs(effect.log_hazard_ratio)))
    return effects


def against_noise(plan: StudyPlan, schema: StudySchema, weights: NDArray[np.float64]) -> Mapping[str, str]:
    """By marker, or modality that may be missing as a whole: whether a weight stands out of the noise of training.

    In words, of the first endpoint's linear part (`explanation.training_noise`); empty where that noise is not known.
    """
    alone = deviation(plan)
    if alone is None:
        return {}
    start, inputs = plan.model.baseline_parameters, columns(schema)
    not_known = {inputs[number].source for number in moved_by_entity(plan.model)}
    largest: dict[str, float] = {}
    for column, weight in zip(inputs, weights[start : start + len(inputs)].tolist(), strict=True):
        largest[column.source] = max(largest.get(column.source, 0.0), abs(weight) / alone)
    return {source: in_words(times) for source, times in largest.items() if source not in not_known}


def _effect(column: Column, marker: Marker | None, schema: StudySchema, weight: float, say: Language) -> LinearEffect:
    name = source_label(schema, column.source, say=say)
    if column.role is Role.CATEGORY:
        assert marker is not None
        step = say(
            "%(category)s against %(reference)s",
            category=category_label(marker, column.category, say=say),
            reference=category_label(marker, marker.reference_category, say=say),
        )
        return LinearEffect(name, step, weight * column.weight)
    if column.role is Role.MISSING or marker is None:
        step = (
            say("not measured, against measured")
            if marker is None
            else say("not measured, against its reference value")
        )
        return LinearEffect(name, step, weight * column.weight)
    if marker.kind is Kind.BINARY:
        limit = schema.largest_encoded_value
        low, high = np.clip((np.array([0.0, 1.0]) - marker.centre) / marker.scale, -limit, limit)
        return LinearEffect(name, say("yes against no"), weight * column.weight * float(high - low))
    return LinearEffect(name, _one_scale_more(marker, say), weight * column.weight)


def _one_scale_more(marker: Marker, say: Language) -> str:
    if is_decimal_logarithm(marker):
        return say("%(factor)s times as much", factor=say.figures(f"{10.0**marker.scale:.2g}"))
    amount = f"{plainly(marker.scale, say=say)} {shown_unit(marker, say=say)}".rstrip()
    return say("%(amount)s more", amount=amount)
