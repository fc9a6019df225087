"""Which number of a summary of kind `key_markers` or `interactions` means what?

A patient votes for the `most_votes` markers (or pairs of markers) that move the patient's own log hazard ratio most;
all that one patient adds is at most 1 long (Euclidean norm), whatever the patient.

`key_markers`, with M markers and E tumour entities (the first is the reference category, or unknown):
    COUNT    1 + E numbers: that there is a patient, and in which entity.
    VOTES    M numbers, 1 / sqrt(most_votes) for each marker voted for.
    EFFECTS  M numbers: for the same markers the relevance, cut at `largest_effect` and in its units, positive where a
             higher value (a category, being unmeasured) raises the hazard.
    OWN      E * M numbers: the votes once more, among the numbers of the patient's own entity.
    OWN_EFFECTS  E * M numbers: the effects once more, likewise.
Each part has a public weight; their squares add up to at most 1. Votes weigh most: without them nothing is found.
`interactions`: M * (M - 1) / 2 numbers, one for each pair i < j in the order (0, 1), (0, 2), ...: for each pair voted
for 1 / sqrt(most_votes), negative where higher values of both together lower the hazard.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec

FloatArray = NDArray[np.float64]

COUNT_WEIGHT, VOTES_WEIGHT, EFFECTS_WEIGHT, OWN_WEIGHT, OWN_EFFECTS_WEIGHT = 0.2, 0.7, 0.4, 0.42, 0.3


@dataclass(frozen=True)
class VoteLayout:
    """Slices of the vector of kind `key_markers`."""

    count: slice
    votes: slice
    effects: slice
    own: slice
    own_effects: slice

    @staticmethod
    def of(votes: VoteSpec) -> VoteLayout:
        by_entity = votes.entities * votes.markers
        ends = np.cumsum([1 + votes.entities, votes.markers, votes.markers, by_entity, by_entity])
        starts = (0, *ends[:-1].tolist())
        return VoteLayout(*(slice(start, end) for start, end in zip(starts, ends.tolist(), strict=True)))


def cells_of(kind: SummaryKind, votes: VoteSpec) -> int:
    """How many numbers a summary of this kind has."""
    if kind is SummaryKind.INTERACTIONS:
        return votes.markers * (votes.markers - 1) // 2
    return int(VoteLayout.of(votes).own_effects.stop)


def vote_faults(spec: SummarySpec, *, columns: int) -> list[str]:
    """Why nobody can vote so, in words."""
    votes = spec.votes
    if votes is None:
        return ["it does not say how patients vote"]
    found = []
    if len(votes.column_markers) != columns:
        found.append(f"it names {len(votes.column_markers)} columns where the model has {columns}")
    if any(place < 0 for place in votes.column_markers):
        found.append("it gives a column to a marker that is not there")
    if not (votes.markers >= 2 and 1 <= votes.most_votes <= votes.markers):
        found.append("it has fewer than two markers, or as many votes as there are none for")
    if any(not 0 <= column < columns for column in votes.entity_columns):
        found.append("it looks for tumour entities in columns that are not there")
    if not 0 < votes.largest_effect < float("inf"):
        found.append("its largest effect is not a positive number")
    if not found and cells_of(spec.kind, votes) != spec.cells:
        found.append(f"it states {spec.cells} cells where its votes make {cells_of(spec.kind, votes)}")
    return found
