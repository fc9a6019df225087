"""Which pairs of markers does the model let depend on each other, among a group of this hospital's patients?

The seam to `interactions`, whose quantity is the model's: 0 for two markers that it merely adds up, and in a
patient who has one of them as the reference patient has it. So a strength is told of pairs alone that enough patients
have, as their share, rounded down, times what it is in them. None where there is nothing to show: too few patients, a
network of more than one hidden layer (which has no closed form), or no pair at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers
from oncofed.cohort.schema import Kind
from oncofed.explanation.interactions import model_interactions, ranked_pairs
from oncofed.explanation.rules import hidden_layer_of
from oncofed.words.language import Language, later
from oncofed.words.markers import marker_label

FloatArray = NDArray[np.float64]

MOST_PAIRS = 20
_MOST_PATIENTS = 500
"""Evenly taken from a larger group: a root mean square over so many is exact to a few per cent, and quick."""
_SEEN = 1e-4
TOGETHER_WORDS = {True: later("worse"), False: later("better"), None: later("by category")}
"""In English: how a pair does together, against what both do one by one."""


@dataclass(frozen=True)
class Interaction:
    """strength  root mean square, log hazard ratio. worse_together: None where a marker has categories, no order.

    places  of the two markers in the schema.
    """

    first: str
    second: str
    strength: float
    worse_together: bool | None
    places: tuple[int, int] = (0, 0)


def strongest_interactions(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers
) -> tuple[Interaction, ...] | None:
    """At most MOST_PAIRS, strongest first."""
    found, disclosure = np.flatnonzero(peers.rows), hospital.disclosure
    if not disclosure.told(len(found)) or hidden_layer_of(hospital.network) is None:
        return None
    taken = found[np.linspace(0, len(found) - 1, min(len(found), _MOST_PATIENTS)).astype(np.intp)]
    cohort, encoded = hospital.units.cohort.subset(taken), hospital.published_encoded[taken]
    markers = hospital.schema.markers
    limit = hospital.schema.largest_encoded_value
    values = np.zeros(cohort.values.shape)
    for place, marker in enumerate(markers):
        if marker.kind is not Kind.CATEGORICAL:
            standardised = (cohort.values[:, place] - marker.centre) / marker.scale
            values[:, place] = np.nan_to_num(np.clip(standardised, -limit, limit), nan=0.0)
    pairs = model_interactions(
        hospital.network,
        torch.as_tensor(encoded),
        hospital.columns,
        names=tuple(marker.name for marker in markers),
        values=values,
        endpoint=endpoint.number,
    )
    strength = _told(pairs.strength, _with_both(hospital, encoded), len(taken), disclosure)
    return (
        tuple(
            Interaction(
                marker_label(markers[first]),
                marker_label(markers[second]),
                float(strength[first, second]),
                None
                if Kind.CATEGORICAL in (markers[first].kind, markers[second].kind)
                else bool(pairs.slope[first, second] > 0),
                (int(first), int(second)),
            )
            for first, second in ranked_pairs(strength)[:MOST_PAIRS]
            if strength[first, second] > _SEEN
        )
        or None
    )


def in_language(
    hospital: HospitalPrognosis, pairs: tuple[Interaction, ...] | None, say: Language
) -> tuple[Interaction, ...] | None:
    """The same, with the markers' names in another language."""
    if pairs is None:
        return None
    markers = hospital.schema.markers
    names = [[marker_label(markers[place], say=say) for place in pair.places] for pair in pairs]
    return tuple(replace(pair, first=first, second=second) for pair, (first, second) in zip(pairs, names, strict=True))


def _with_both(hospital: HospitalPrognosis, encoded: FloatArray) -> FloatArray:
    """(markers, markers), how many patients have both otherwise than the reference patient."""
    place = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    other = np.zeros((len(encoded), len(place)))
    for at, column in enumerate(hospital.columns):
        if column.source in place:
            other[:, place[column.source]] += encoded[:, at] != 0
    other = (other > 0).astype(np.float64)
    return np.asarray(other.T @ other, dtype=np.float64)


def _told(strength: FloatArray, with_both: FloatArray, patients: int, disclosure: Disclosure) -> FloatArray:
    """The root of: their share, rounded down, times the mean square in them, its root rounded to two digits."""
    share = with_both // disclosure.floor * disclosure.floor / disclosure.count(patients)
    enough = with_both >= disclosure.crowd
    in_them = strength * np.sqrt(np.divide(patients, with_both, out=np.zeros_like(strength), where=enough))
    digits = 10.0 ** (np.floor(np.log10(np.maximum(in_them, 1e-12))) - 1)
    return np.asarray(np.sqrt(np.minimum(share, 1.0)) * np.round(in_them / digits) * digits, dtype=np.float64)
