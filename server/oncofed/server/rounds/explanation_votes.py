"""What do the released votes say: which markers and pairs carry the model's prognosis across the consortium?

Everything after the release is arithmetic on noised numbers and costs no privacy: so the search for pairs may be
hierarchical without asking twice, by looking only at pairs of the markers with the most votes. It was measured to find
fewer than looking at all pairs (docs/explanations.md): their noise is hardly larger, and not every pair is one of key
markers.

Nothing is shown where too few patients stand behind it: a part (everybody, or one tumour entity) is shown when its
noised count reaches the plan's `smallest_shown` and twice the standard deviation of the count's noise. A marker is
shown when its votes stand out of the noise of that many numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from oncofed.cohort.schema import StudySchema
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import (
    COUNT_WEIGHT,
    EFFECTS_WEIGHT,
    OWN_EFFECTS_WEIGHT,
    OWN_WEIGHT,
    VOTES_WEIGHT,
    VoteLayout,
)
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.study.explanation_settings import entity_names, voted_names

FloatArray = NDArray[np.float64]

FALSE_SHOWN = 0.05
"""Bound on the chance that anything is shown that nobody voted for."""

MOST = 0.9
"""Of the votes: how many markers hold them is told."""

SURE = 2.0
"""Standard deviations of its noise from which on an effect's direction is told. Once in 40 it is the wrong one."""


@dataclass(frozen=True)
class KeyMarker:
    """voters  noised number of patients of whose strongest markers it is one.
    effect  noised mean of their relevances, each cut at the plan's bound: log hazard ratio, positive where a higher
            value raises the hazard.
    voters_sd, effect_sd  of the noise in it.
    """

    name: str
    voters: float
    voters_sd: float
    effect: float
    effect_sd: float

    @property
    def direction(self) -> int:
        """1 where a higher value raises the hazard, -1 where it lowers it, 0 where the noise may have decided."""
        return 0 if abs(self.effect) <= SURE * self.effect_sd else 1 if self.effect > 0 else -1


@dataclass(frozen=True)
class KeyPair:
    """net_voters  noised number of patients of whose strongest pairs it is one, less those in whom it has the other
    sign: positive where higher values of both together are worse than their sum. noise_sd: in it.
    """

    first: str
    second: str
    net_voters: float
    noise_sd: float


@dataclass(frozen=True)
class ReleasedPart:
    """patients: noised. markers: those that stand out of the noise, most voters first; empty below the floor.

    patients_sd     of the noise in it.
    share_of_votes  of as many votes as these patients have, those for the markers shown.
    carry_most      how many of the first markers hold MOST of all votes; None where all that are shown hold less.
    """

    patients: float
    patients_sd: float
    markers: tuple[KeyMarker, ...]
    share_of_votes: float = 0.0
    carry_most: int | None = None


@dataclass(frozen=True)
class ReleasedMarkers:
    """ranked  every marker by noised votes, for the search of pairs; not for showing."""

    everybody: ReleasedPart
    by_entity: Mapping[str, ReleasedPart]
    ranked: tuple[int, ...]


@dataclass(frozen=True)
class ReleasedExplanations:
    """What may be told of a study's model. hospitals: whose patients voted.

    pairs   None where the plan asks for none, or they were not released.
    """

    spec: SummarySpec
    hospitals: tuple[str, ...]
    markers: ReleasedMarkers
    pairs: tuple[KeyPair, ...] | None


def summary_of(plan: StudyPlan, kind: SummaryKind) -> SummarySpec | None:
    """The plan's summary of this kind."""
    return next((each for each in plan.summaries if each.kind is kind), None)


def released_explanations(
    plan: StudyPlan, schema: StudySchema, summaries: Mapping[str, ReleasedSummary]
) -> ReleasedExplanations | None:
    """None when the plan asks for no key markers, or they were not released."""
    spec, of_pairs = (summary_of(plan, kind) for kind in (SummaryKind.KEY_MARKERS, SummaryKind.INTERACTIONS))
    released = None if spec is None else summaries.get(spec.name)
    if spec is None or released is None:
        return None
    sd = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered))
    markers = read_markers(released.vector, spec=spec, schema=schema, noise_sd=sd)
    pairs, released_pairs = None, None if of_pairs is None else summaries.get(of_pairs.name)
    if of_pairs is not None and released_pairs is not None:
        sd = release_of_summary(plan, of_pairs).noise_of_sum(hospitals=len(released_pairs.answered))
        pairs = read_pairs(released_pairs.vector, markers, spec=of_pairs, schema=schema, noise_sd=sd)
    return ReleasedExplanations(spec, released.answered, markers, pairs)


def read_markers(vector: FloatArray, *, spec: SummarySpec, schema: StudySchema, noise_sd: float) -> ReleasedMarkers:
    """vector  (cells,), the released sum. noise_sd: of the noise in each of its numbers."""
    votes, names, sd = _votes_of(spec), voted_names(schema), noise_sd
    layout = VoteLayout.of(votes)
    counts, count_sd, of_all = vector[layout.count] / COUNT_WEIGHT, sd / COUNT_WEIGHT, vector[layout.votes]
    everybody = _Summed(float(counts[0]), count_sd, of_all, vector[layout.effects], VOTES_WEIGHT, EFFECTS_WEIGHT)
    own, own_effects = (
        vector[block].reshape(votes.entities, votes.markers) for block in (layout.own, layout.own_effects)
    )
    by_entity = {
        entity: _Summed(float(counts[1 + at]), count_sd, own[at], own_effects[at], OWN_WEIGHT, OWN_EFFECTS_WEIGHT)
        for at, entity in enumerate(entity_names(schema) if votes.entities else ())
    }
    return ReleasedMarkers(
        _part(everybody, spec, names, sd),
        {entity: _part(summed, spec, names, sd) for entity, summed in by_entity.items()},
        tuple(np.argsort(-of_all, kind="stable").tolist()),
    )


@dataclass(frozen=True, eq=False)
class _Summed:
    """Of everybody or of one entity. votes, effects: (markers,), noised, as they were summed with these weights."""

    patients: float
    patients_sd: float
    votes: FloatArray
    effects: FloatArray
    votes_weight: float
    effects_weight: float


def _part(summed: _Summed, spec: SummarySpec, names: tuple[str, ...], sd: float) -> ReleasedPart:
    """sd: of the noise on each number."""
    if not summed.patients >= max(spec.smallest_shown, 2 * summed.patients_sd):
        return ReleasedPart(summed.patients, summed.patients_sd, ())
    votes = _votes_of(spec)
    one_vote = summed.votes_weight / math.sqrt(votes.most_votes)
    effect_unit = votes.largest_effect * math.sqrt(votes.most_votes) / summed.effects_weight
    voters, voters_sd = summed.votes / one_vote, sd / one_vote
    least = voters_sd * float(norm.isf(FALSE_SHOWN / len(voters)))
    shown = [place for place in np.argsort(-voters, kind="stable") if voters[place] > max(least, 0.0)]
    bounded = np.clip(summed.effects[shown] * effect_unit / voters[shown], -votes.largest_effect, votes.largest_effect)
    found = tuple(
        KeyMarker(
            name=names[place],
            voters=float(voters[place]),
            voters_sd=voters_sd,
            effect=float(effect),
            effect_sd=float(sd * effect_unit / voters[place]),
        )
        for place, effect in zip(shown, bounded, strict=True)
    )
    held = np.cumsum(voters[shown]) / (summed.patients * votes.most_votes)
    enough = np.flatnonzero(held >= MOST)
    return ReleasedPart(
        summed.patients,
        summed.patients_sd,
        found,
        share_of_votes=float(held[-1]) if found else 0.0,
        carry_most=int(enough[0]) + 1 if len(enough) else None,
    )


def read_pairs(
    vector: FloatArray,
    markers: ReleasedMarkers,
    *,
    spec: SummarySpec,
    schema: StudySchema,
    noise_sd: float,
    candidates: int | None = None,
) -> tuple[KeyPair, ...]:
    """Pairs that stand out of the noise, most voters first; nothing when there are too few patients.

    vector  (cells,), the released sum of kind `interactions`; noise_sd: of the noise in each of its numbers.
    markers of the release of `key_markers`.
    candidates  look only at pairs of so many markers, those with the most votes; None: at all.
    """
    votes, names = _votes_of(spec), voted_names(schema)
    if not markers.everybody.markers:
        return ()
    chosen = sorted([place for place in markers.ranked if place < votes.markers][:candidates])
    net = np.zeros((votes.markers, votes.markers))
    net[np.triu_indices(votes.markers, k=1)] = vector * math.sqrt(votes.most_votes)
    pairs = [(i, j) for place, i in enumerate(chosen) for j in chosen[place + 1 :]]
    sd = noise_sd * math.sqrt(votes.most_votes)
    least = sd * float(norm.isf(FALSE_SHOWN / (2 * max(len(pairs), 1))))
    standing = [(i, j) for i, j in pairs if abs(net[i, j]) > max(least, 0.0)]
    standing.sort(key=lambda pair: -abs(net[pair]))
    return tuple(KeyPair(names[i], names[j], float(net[i, j]), sd) for i, j in standing)


def _votes_of(spec: SummarySpec) -> VoteSpec:
    assert spec.votes is not None, "a plan with votes says how they are cast"
    return spec.votes
