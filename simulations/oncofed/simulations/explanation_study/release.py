"""What is left of key markers and interactions when hospitals release them with noise? Against the answer without.

The study is federated with two summaries after its last round (`rounds.explanation_votes`), whose noise makes both
together cost a stated epsilon by themselves, beside that of training; guards charge their ledgers as they do for
rounds. The answer without noise is the same sum of the same model over the same patients.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.patients.summaries import bounded_sum
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.privacy.accounting import PrivacyEvent, epsilon_of, smallest_noise_multiplier
from oncofed.privacy.policy import releases_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.protocol.vote_layout import VoteLayout
from oncofed.server.rounds.explanation_votes import KeyPair, ReleasedMarkers, read_markers, read_pairs
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.simulations.federation import Engine, federate
from oncofed.study.explanation_settings import INTERACTIONS, KEY_MARKERS, ExplanationRequest, vote_summaries
from oncofed.survival.likelihood import patient_tensors

FloatArray = NDArray[np.float64]

STRONGEST = 20
"""Markers, and pairs, that are compared with the answer without noise."""


@dataclass(frozen=True, eq=False)
class ExplanationRelease:
    """epsilon       of both releases together at one hospital, from what its ledger was charged; None in mode `none`.
    charged       summaries in the ledger of the hospital that was charged for most.
    recall        share of the STRONGEST markers by votes without noise that are among as many by votes with it.
    pair_recall   the same of pairs: the STRONGEST of all pairs without noise, among as many that were released.
    """

    markers: ReleasedMarkers
    pairs: tuple[KeyPair, ...]
    epsilon: float | None
    charged: int
    recall: float
    same_direction: int
    pair_recall: float
    same_pair_sign: int


def plan_with_votes(
    plan: StudyPlan, schema: StudySchema, *, epsilon: float, smallest_shown: float | None = None
) -> StudyPlan:
    """The plan with both summaries, which together cost `epsilon` by themselves; its own epsilon grows by them.

    smallest_shown  None: as in `study.explanation_settings`.
    """
    request = ExplanationRequest(pairs=True)
    if smallest_shown is not None:
        request = replace(request, smallest_shown=smallest_shown)
    specs = vote_summaries(schema, request)
    if not plan.privacy.mode.private:
        return replace(plan, summaries=specs)

    def releases(sigma: float) -> list[PrivacyEvent]:
        return [release_of_summary(plan, replace(spec, noise_multiplier=sigma)).event for spec in specs]

    sigma = smallest_noise_multiplier(releases, epsilon=epsilon, delta=plan.privacy.delta)
    grown = replace(plan, summaries=tuple(replace(spec, noise_multiplier=sigma) for spec in specs))
    total = math.ceil(1e4 * epsilon_of(releases_of(grown), delta=plan.privacy.delta)) / 1e4
    return replace(grown, privacy=replace(plan.privacy, epsilon=total))


def released(plan: StudyPlan, hospitals: Mapping[str, Cohort]) -> ExplanationRelease:
    """Train, release, and compare. plan: of `plan_with_votes`."""

    def nothing(*_: Any) -> dict[str, Any]:
        return {}

    with tempfile.TemporaryDirectory() as folder:
        federated = federate(
            plan, hospitals, run_folder=Path(folder), engine=Engine.GRID, resume=False, figures=nothing
        )
    of_summaries = {site: events[plan.training.rounds :] for site, events in federated.releases.items()}
    charged = max(of_summaries.values(), key=len, default=())
    return compared(
        plan,
        hospitals,
        weights=federated.state.weights,
        came_back=federated.state.summaries,
        epsilon=epsilon_of(charged, delta=plan.privacy.delta) if charged else None,
        charged=len(charged),
    )


def compared(
    plan: StudyPlan,
    hospitals: Mapping[str, Cohort],
    *,
    weights: FloatArray,
    came_back: Mapping[str, ReleasedSummary],
    epsilon: float | None,
    charged: int,
) -> ExplanationRelease:
    """came_back  the released sums, by name."""
    schema = next(iter(hospitals.values())).schema
    of_markers, of_pairs = _spec(plan, KEY_MARKERS), _spec(plan, INTERACTIONS)
    noise_sd = {
        spec.name: release_of_summary(plan, spec).noise_of_sum(hospitals=len(came_back[spec.name].answered))
        for spec in (of_markers, of_pairs)
    }
    markers = read_markers(
        came_back[KEY_MARKERS].vector, spec=of_markers, schema=schema, noise_sd=noise_sd[KEY_MARKERS]
    )
    pairs = read_pairs(
        came_back[INTERACTIONS].vector, markers, spec=of_pairs, schema=schema, noise_sd=noise_sd[INTERACTIONS]
    )
    exact = {spec.name: _without_noise(plan, spec, weights, hospitals) for spec in plan.summaries}
    assert of_markers.votes is not None
    layout = VoteLayout.of(of_markers.votes)
    true_votes, true_effects = exact[KEY_MARKERS][layout.votes], exact[KEY_MARKERS][layout.effects]
    strongest = np.argsort(-true_votes, kind="stable")[:STRONGEST]
    noisy_effects = came_back[KEY_MARKERS].vector[layout.effects]
    true_net = exact[INTERACTIONS]
    first, second = np.triu_indices(len(schema.markers), k=1)
    names = [marker.name for marker in schema.markers]
    strongest_pairs = {
        (names[first[cell]], names[second[cell]]): bool(true_net[cell] > 0)
        for cell in np.argsort(-np.abs(true_net), kind="stable")[:STRONGEST]
    }
    found = {(pair.first, pair.second): pair.net_voters > 0 for pair in pairs[:STRONGEST]}
    both = strongest_pairs.keys() & found.keys()
    return ExplanationRelease(
        markers=markers,
        pairs=pairs,
        epsilon=epsilon,
        charged=charged,
        recall=len(set(strongest.tolist()) & set(markers.ranked[:STRONGEST])) / STRONGEST,
        same_direction=int((np.sign(noisy_effects[strongest]) == np.sign(true_effects[strongest])).sum()),
        pair_recall=len(both) / STRONGEST,
        same_pair_sign=sum(strongest_pairs[pair] == found[pair] for pair in both),
    )


def _spec(plan: StudyPlan, name: str) -> SummarySpec:
    spec = plan.summary(name)
    assert spec is not None
    return spec


def _without_noise(
    plan: StudyPlan, spec: SummarySpec, weights: FloatArray, hospitals: Mapping[str, Cohort]
) -> FloatArray:
    sums = [bounded_sum(plan, spec, weights, patient_tensors(cohort)).vector for cohort in hospitals.values()]
    return np.asarray(np.sum(sums, axis=0))


def lines(found: ExplanationRelease, *, shown: int = STRONGEST) -> Iterator[str]:
    """Of Markdown: what may be told, then how it compares."""
    cost = "no noise" if found.epsilon is None else f"epsilon {found.epsilon:.3f} at each hospital"
    patients = found.markers.everybody.patients
    yield f"Two releases ({found.charged} charged to the ledger), {cost}; patients (noised): {patients:,.0f}\n"
    yield "| marker | voters (noised) | effect of a higher value |"
    yield "|---|---|---|"
    for marker in found.markers.everybody.markers[:shown]:
        yield f"| {marker.name} | {marker.voters:,.0f} | {marker.effect:+.2f} |"
    yield "\n| pair | voters, net (noised) |"
    yield "|---|---|"
    for pair in found.pairs[:shown]:
        yield f"| {pair.first} × {pair.second} | {pair.net_voters:+,.0f} |"
    above = {entity: part for entity, part in found.markers.by_entity.items() if part.markers}
    yield f"\nBy entity: {len(above)} of {len(found.markers.by_entity)} are above the floor.\n"
    for entity, part in above.items():
        yield f"- {entity} ({part.patients:,.0f}): {', '.join(marker.name for marker in part.markers[:5])}"
    yield (
        f"\nAgainst the answer without noise: recall of the {STRONGEST} strongest markers {found.recall:.2f}, same "
        f"direction for {found.same_direction}; of the {STRONGEST} strongest pairs {found.pair_recall:.2f}, all but "
        f"{round(found.pair_recall * STRONGEST) - found.same_pair_sign} of them with the same sign; {len(found.pairs)} "
        "pairs stood out of the noise."
    )
