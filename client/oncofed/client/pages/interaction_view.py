"""Which pairs of markers does the model let depend on each other, among a group of this hospital's patients?

The seam to `client.interactions`, whose quantity is the model's: 0 for two markers that it merely adds up. What is
shown is a mean over at least the floor's patients. None where there is nothing to show: fewer patients, a network of
more than one hidden layer (which has no closed form), or no pair at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.interactions import model_interactions, ranked_pairs
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis
from oncofed.client.pages.wording import marker_label
from oncofed.client.relevance_rules import hidden_layer_of
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Kind

BoolArray = NDArray[np.bool_]

MOST_PAIRS = 20
_MOST_PATIENTS = 500
"""Evenly taken from a larger group: a root mean square over so many is exact to a few per cent, and quick."""
_SEEN = 1e-4
TOGETHER_WORDS = {True: "worse", False: "better", None: "by category"}
"""How a pair does together, against what both do one by one."""


@dataclass(frozen=True)
class Interaction:
    """strength  root mean square, log hazard ratio. worse_together: None where a marker has categories, no order."""

    first: str
    second: str
    strength: float
    worse_together: bool | None


def strongest_interactions(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, rows: BoolArray
) -> tuple[Interaction, ...] | None:
    """At most MOST_PAIRS, strongest first."""
    found = np.flatnonzero(rows)
    if len(found) < hospital.smallest_group or hidden_layer_of(hospital.network) is None:
        return None
    cohort = hospital.cohort.subset(
        found[np.linspace(0, len(found) - 1, min(len(found), _MOST_PATIENTS)).astype(np.intp)]
    )
    markers = hospital.schema.markers
    limit = hospital.schema.largest_encoded_value
    values = np.zeros(cohort.values.shape)
    for place, marker in enumerate(markers):
        if marker.kind is not Kind.CATEGORICAL:
            standardised = (cohort.values[:, place] - marker.centre) / marker.scale
            values[:, place] = np.nan_to_num(np.clip(standardised, -limit, limit), nan=0.0)
    pairs = model_interactions(
        hospital.network,
        torch.as_tensor(encode(cohort)),
        columns(hospital.schema),
        names=tuple(marker.name for marker in markers),
        values=values,
        endpoint=endpoint.number,
    )
    return (
        tuple(
            Interaction(
                marker_label(markers[first]),
                marker_label(markers[second]),
                float(pairs.strength[first, second]),
                None
                if Kind.CATEGORICAL in (markers[first].kind, markers[second].kind)
                else bool(pairs.slope[first, second] > 0),
            )
            for first, second in ranked_pairs(pairs.strength)[:MOST_PAIRS]
            if pairs.strength[first, second] > _SEEN
        )
        or None
    )
