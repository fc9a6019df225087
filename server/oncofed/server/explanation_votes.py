"""What do the released votes say: which markers and pairs carry the model's prognosis across the consortium?

`vote_summaries` draws up the two summaries for a plan; `read_markers` and `read_pairs` read what came back. Everything
after the release is arithmetic on noised numbers and costs no privacy: so the search for pairs may be hierarchical
without asking twice, by looking only at pairs of the markers with the most votes. It was measured to find fewer than
looking at all pairs (docs/explanations.md): their noise is hardly larger, and not every pair is one of key markers.

Nothing is shown where too few patients stand behind it: a part (everybody, or one tumour entity) is shown when its
noised count reaches the plan's `smallest_shown` and twice the standard deviation of the count's noise. A marker is
shown when its votes stand out of the noise of that many numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import PrivacyMode, StudyPlan, SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import COUNT_WEIGHT, EFFECTS_WEIGHT, OWN_WEIGHT, VOTES_WEIGHT, VoteLayout, cells_of

FloatArray = NDArray[np.float64]

KEY_MARKERS, INTERACTIONS = "key_markers", "interactions"
SMALLEST_SHOWN = 500.0
"""Patients from which votes with the noise of one hospital name the first 20 markers with recall 0.93
(`../shared/privacy.md`)."""
FALSE_SHOWN = 0.05
"""Bound on the chance that anything is shown that nobody voted for."""


def vote_summaries(schema: StudySchema, *, smallest_shown: float = SMALLEST_SHOWN) -> tuple[SummarySpec, SummarySpec]:
    """Of the schema's markers, and of their pairs; noise and shares are still to be found."""
    markers, pairs = vote_spec(schema, with_modalities=True), vote_spec(schema, with_modalities=False)
    return (
        SummarySpec(
            KEY_MARKERS,
            SummaryKind.KEY_MARKERS,
            cells_of(SummaryKind.KEY_MARKERS, markers),
            0.0,
            smallest_shown=smallest_shown,
            votes=markers,
        ),
        SummarySpec(
            INTERACTIONS,
            SummaryKind.INTERACTIONS,
            cells_of(SummaryKind.INTERACTIONS, pairs),
            0.0,
            smallest_shown=smallest_shown,
            votes=pairs,
        ),
    )


def vote_spec(schema: StudySchema, *, with_modalities: bool) -> VoteSpec:
    """with_modalities  whether a modality's missing flag can be voted for, as a marker can."""
    names, encoded = voted_names(schema), columns(schema)
    place = {name: index for index, name in enumerate(names)}
    places = [place[column.source] for column in encoded]
    return VoteSpec(
        column_markers=tuple(
            -1 - own if column.role is Role.MISSING else own for own, column in zip(places, encoded, strict=True)
        ),
        markers=len(names) if with_modalities else len(schema.markers),
        entity_columns=tuple(
            index
            for index, column in enumerate(encoded)
            if with_modalities and column.source == schema.tumour_entity and column.role is Role.CATEGORY
        ),
    )


def voted_names(schema: StudySchema) -> tuple[str, ...]:
    """Of the places in a vote: the markers, then the modalities that have a flag of their own."""
    markers = tuple(marker.name for marker in schema.markers)
    return tuple(dict.fromkeys((*markers, *(column.source for column in columns(schema)))))


def entity_names(schema: StudySchema) -> tuple[str, ...]:
    """Of the entities in a vote. The first holds the patients of unknown entity, too."""
    marker = next((each for each in schema.markers if each.name == schema.tumour_entity), None)
    if marker is None:
        return ()
    others = [category for category in marker.categories if category != marker.reference_category]
    return (marker.reference_category, *others)


@dataclass(frozen=True)
class KeyMarker:
    """voters  noised number of patients of whose strongest markers it is one.
    effect  noised mean of their relevances, each cut at the plan's bound: log hazard ratio, positive where a higher
            value raises the hazard. Its sign is the direction.
    """

    name: str
    voters: float
    effect: float


@dataclass(frozen=True)
class KeyPair:
    """net_voters  noised number of patients of whose strongest pairs it is one, less those in whom it has the other
    sign: positive where higher values of both together are worse than their sum.
    """

    first: str
    second: str
    net_voters: float


@dataclass(frozen=True)
class ReleasedPart:
    """patients: noised. markers: those that stand out of the noise, most voters first; empty below the floor."""

    patients: float
    markers: tuple[KeyMarker, ...]


@dataclass(frozen=True)
class ReleasedMarkers:
    """ranked  every marker by noised votes, for the search of pairs; not for showing."""

    everybody: ReleasedPart
    by_entity: dict[str, ReleasedPart]
    ranked: tuple[int, ...]


def noise_sd(plan: StudyPlan, spec: SummarySpec, *, hospitals: int) -> float:
    """Standard deviation of the noise on each number of the sum. In mode `distributed`, of the guaranteed shares."""
    if plan.privacy.mode is PrivacyMode.LOCAL:
        return spec.noise_multiplier * math.sqrt(hospitals)
    return spec.noise_multiplier


def read_markers(
    vector: FloatArray, *, plan: StudyPlan, spec: SummarySpec, schema: StudySchema, hospitals: int
) -> ReleasedMarkers:
    """vector  (cells,), the released sum."""
    votes, names, sd = _votes_of(spec), voted_names(schema), noise_sd(plan, spec, hospitals=hospitals)
    layout, each_vote = VoteLayout.of(votes), 1 / math.sqrt(votes.most_votes)
    counts = vector[layout.count] / COUNT_WEIGHT
    of_all = vector[layout.votes] / (VOTES_WEIGHT * each_vote)
    summed = vector[layout.effects] / (EFFECTS_WEIGHT * each_vote) * votes.largest_effect

    def part(patients: float, count_sd: float, voters: FloatArray, voters_sd: float) -> ReleasedPart:
        if not patients >= max(spec.smallest_shown, 2 * count_sd):
            return ReleasedPart(patients, ())
        least = voters_sd * float(norm.isf(FALSE_SHOWN / len(voters)))
        shown = [place for place in np.argsort(-voters, kind="stable") if voters[place] > max(least, 0.0)]
        effects = summed[shown] / of_all[shown]
        bounded = np.clip(effects, -votes.largest_effect, votes.largest_effect)
        found = [
            KeyMarker(names[place], float(voters[place]), float(effect))
            for place, effect in zip(shown, bounded, strict=True)
        ]
        return ReleasedPart(patients, tuple(found))

    count_sd = sd / COUNT_WEIGHT
    everybody = part(float(counts.sum()), count_sd * math.sqrt(len(counts)), of_all, sd / (VOTES_WEIGHT * each_vote))
    own = vector[layout.own].reshape(votes.entities, votes.markers) / (OWN_WEIGHT * each_vote)
    by_entity = {
        entity: part(float(count), count_sd, voters, sd / (OWN_WEIGHT * each_vote))
        for entity, count, voters in zip(entity_names(schema) if votes.entities else (), counts, own, strict=False)
    }
    return ReleasedMarkers(everybody, by_entity, tuple(np.argsort(-of_all, kind="stable").tolist()))


def read_pairs(
    vector: FloatArray,
    markers: ReleasedMarkers,
    *,
    plan: StudyPlan,
    spec: SummarySpec,
    schema: StudySchema,
    hospitals: int,
    candidates: int | None = None,
) -> tuple[KeyPair, ...]:
    """Pairs that stand out of the noise, most voters first; nothing when there are too few patients.

    vector  (cells,), the released sum of kind `interactions`. markers: of the release of `key_markers`.
    candidates  look only at pairs of so many markers, those with the most votes; None: at all.
    """
    votes, names = _votes_of(spec), voted_names(schema)
    if not markers.everybody.markers:
        return ()
    chosen = sorted([place for place in markers.ranked if place < votes.markers][:candidates])
    net = np.zeros((votes.markers, votes.markers))
    net[np.triu_indices(votes.markers, k=1)] = vector * math.sqrt(votes.most_votes)
    pairs = [(i, j) for place, i in enumerate(chosen) for j in chosen[place + 1 :]]
    sd = noise_sd(plan, spec, hospitals=hospitals) * math.sqrt(votes.most_votes)
    least = sd * float(norm.isf(FALSE_SHOWN / (2 * max(len(pairs), 1))))
    standing = [(i, j) for i, j in pairs if abs(net[i, j]) > max(least, 0.0)]
    standing.sort(key=lambda pair: -abs(net[pair]))
    return tuple(KeyPair(names[i], names[j], float(net[i, j])) for i, j in standing)


def _votes_of(spec: SummarySpec) -> VoteSpec:
    assert spec.votes is not None, "a plan with votes says how they are cast"
    return spec.votes
