"""Which markers carry a released model most, and which panels of them are nested in one another?

Weights that were released are public, and so are the schema's scales: everything here is arithmetic on both and costs
no privacy. No patient is looked at.

A marker counts by how far the log hazard ratio would vary if patients varied in it alone, all else at the reference:
the root of the sum, over its columns, of (mean of |f(e)| and |f(-e)|)^2 times the variance that a public guess gives
that column. e is the column's unit vector. f has no biases, so it is straight on each side of the reference: of a
linear model this is |weight| times the public spread. Flags that something was not measured are left out: they say who
was measured, and not what was found. Columns of a category and binary ones are never below 0, so of them only e counts.
What two markers do together does not enter.

A panel is the first so many markers in that order. Markers that say the same stand side by side, though one of them
would do: the order is no proof that a panel is the best of its size.

Source of the idea that nested subsets by weight are refitted, not chosen anew: Guyon et al., Machine Learning 46
(2002), recursive feature elimination, here in one step, since each step would cost a training.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import Marker, StudySchema
from oncofed.ranges import range_of
from oncofed.study.chosen_settings import column_variances
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

SIZES = (3, 5, 10, 20, 40, 80, 160)
"""Of panels, where nobody says others."""


def marker_spreads(network: PrognosisNetwork, schema: StudySchema, *, endpoint: int = 0) -> FloatArray:
    """(markers,), in the schema's order: standard deviation of the log hazard ratio by each marker alone.

    network  of the schema's columns.
    """
    inputs = columns(schema)
    units = torch.eye(len(inputs), dtype=torch.float64)
    with torch.no_grad():
        above, below = (np.abs(network(side)[:, endpoint].numpy()) for side in (units, -units))
    places = {marker.name: place for place, marker in enumerate(schema.markers)}
    found = np.zeros(len(places))
    for column, up, down, variance in zip(inputs, above, below, column_variances(schema), strict=True):
        if column.role is Role.MISSING:
            continue
        slope = up if column.role is Role.CATEGORY else (up + down) / 2
        found[places[column.source]] += slope**2 * variance
    return np.sqrt(found)


def ranked_markers(network: PrognosisNetwork, schema: StudySchema, *, endpoint: int = 0) -> tuple[str, ...]:
    """All of them, the strongest first; of equal ones, the first in the schema."""
    spreads = marker_spreads(network, schema, endpoint=endpoint)
    return tuple(schema.markers[place].name for place in np.argsort(-spreads, kind="stable"))


def nested_panels(ranked: Sequence[str], sizes: Sequence[int] = SIZES) -> tuple[tuple[str, ...], ...]:
    """The first so many of them for each size, the smallest first, and all of them last. Sizes beyond all: none."""
    kept = sorted({size for size in sizes if 0 < size < len(ranked)})
    return tuple(tuple(ranked[:size]) for size in (*kept, len(ranked)))


def columns_seen(schema: StudySchema, names: Collection[str]) -> NDArray[np.bool_]:
    """(columns,): which of the network's inputs are of these markers; a modality's flag is where one of them is."""
    modalities = {marker.modality.value for marker in schema.markers if marker.name in names}
    return np.array(
        [column.source in names or column.source in modalities for column in columns(schema)], dtype=np.bool_
    )


def with_released_effects(schema: StudySchema, network: PrognosisNetwork, *, source: str) -> StudySchema:
    """The schema whose markers are expected to do what the released linear weights say, on the first endpoint.

    A model of this schema starts from there, and weight decay pulls to it, at no cost of privacy. Effects that the
    schema had are in these weights already. network: of the schema's columns; without a linear part the schema stays.
    source: as `Marker.expected_source`.
    """
    if network.linear_branch is None:
        return schema
    weights = network.linear_branch.weight.detach()[0].tolist()
    effects = {
        (column.source, column.category): _within(column.weight * weight)
        for column, weight in zip(columns(schema), weights, strict=True)
        if column.role is not Role.MISSING
    }
    markers = tuple(
        replace(
            marker,
            expected_log_hazard_ratios=tuple(
                effects.get((marker.name, name), 0.0) for name in marker.categories or ("",)
            ),
            expected_source=source,
        )
        for marker in schema.markers
    )
    return replace(schema, markers=markers)


def panel_schema(schema: StudySchema, network: PrognosisNetwork, markers: Sequence[str], *, study: str) -> StudySchema:
    """Of these markers alone, expected to do what the model of all did. study: whose model it is."""
    source = f"the released weights of {study}, all markers"
    return with_released_effects(schema, network, source=source).of_markers(markers)


def _within(effect: float) -> float:
    """More than a schema may expect is noise."""
    span = range_of(Marker, "expected_log_hazard_ratios")
    return min(max(effect, span.least), span.most)
