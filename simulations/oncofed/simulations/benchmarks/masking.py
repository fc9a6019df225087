"""What does it cost to share the noise under masks? A masked round against a plain one, mode `local`, in turn.

Masked in two ways: each hospital with all others, and with the fewest that the plan may name (`privacy.mask_graph`).

Both go through the real server's questions and step, the relay and the guard, on the same patients; none writes to a
disk. In this one process hospitals work one after the other. Between machines they work side by side, so what a single
hospital does stands beside the whole: its part of a round, measured in the same rounds.

The first round of each is left out: in it a hospital makes its network, and exchanges keys with all others, once for
all rounds of a plan (`exchange`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Context

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.client.guard.guard import Guard
from oncofed.client.guard.one_thread import one_thread
from oncofed.client.relay.relay import build_client_app
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.masking import MaskingPairs
from oncofed.protocol.messages import ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import ModelSpec, PrivacyMode, SharedNoise, StudyPlan
from oncofed.server.flower.app import flower_says_errors_only
from oncofed.server.rounds.rounds import RoundReport, questions_of, step
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.benchmarks.made_up import STUDY_COLUMNS, model, patients, plan
from oncofed.simulations.benchmarks.side_by_side import Spread, processor_seconds, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.engines.in_process_grid import InProcessGrid
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of
from oncofed.simulations.federation import simulated_guard
from oncofed.simulations.masking_keys import simulated_masks, simulated_member
from oncofed.simulations.site_policy import site_policy
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, parameter_vector

ROWS_A_SITE = 230
"""As TCGA's four fifths in twenty sites."""
NETWORKS = {
    "study, 8 units": model(columns=STUDY_COLUMNS, hidden_units=(8,)),
    "study, 16 units": model(columns=STUDY_COLUMNS, hidden_units=(16,)),
}
SITES = (10, 50, 200, 1000)
MOST_SITES_WITH_ALL = 200
"""With more, each with all others, a round takes half a minute, and nobody would run it so."""
MOST_ROUNDS_OF_MANY = 3
WANTED = {50: 1.5, 200: 1.7, 1000: 2.0}
"""By sites: the most that a round with the fewest neighbours may be of a plain one."""
WANTED_WITH_ALL = {50: 2.0}
WARM_UP_ROUNDS = 1


@dataclass(frozen=True)
class _Took:
    """Seconds of the whole round, and of all hospitals' part of it; what travelled."""

    whole: list[float]
    hospitals: list[float]
    reports: list[RoundReport]

    @property
    def bytes(self) -> int:
        return self.reports[-1].bytes_up + self.reports[-1].bytes_down


class _Hospitals:
    """The guards of both plans: which one is asked, the request says."""

    def __init__(self, plans: Sequence[StudyPlan], cohorts: Sequence[PatientTensors]) -> None:
        self.guards = {study.hash: _guards(study, cohorts) for study in plans}

    def __call__(self, context: Context) -> Desk:
        return unsigned_desk(_OneHospital(self, partition_of(context)))


@dataclass(frozen=True)
class _OneHospital:
    hospitals: _Hospitals
    number: int

    def contribute(self, request: ContributeRequest) -> Contribution:
        return self.hospitals.guards[request.plan_hash][self.number].contribute(request)

    def summarise(self, request: SummariseRequest) -> Contribution:
        return self.hospitals.guards[request.plan_hash][self.number].summarise(request)


def masking_table(*, rounds: int, sites: tuple[int, ...] = SITES) -> Table:
    """One row a network, number of sites and way to mask."""
    rows, wanted = [], []
    for name, spec in NETWORKS.items():
        for count in sites:
            few = count <= MOST_SITES_WITH_ALL
            repeated = rounds if few else min(rounds, MOST_ROUNDS_OF_MANY)
            ways = [masking_plan(spec, sites=count, rounds=repeated, with_all=each) for each in (True, False)]
            ways = ways if few else ways[1:]
            with one_thread(), flower_says_errors_only():
                plain, *masked = compared(spec, ways, sites=count, rounds=repeated)
                exchange = exchange_seconds(ways[0])
            for study, took in zip(ways, masked, strict=True):
                times, bytes_ = ratio(took.whole, plain.whole), took.bytes / plain.bytes
                peers = _peers(study)
                most = (WANTED if peers < count - 1 else WANTED_WITH_ALL).get(count)
                if most is not None:
                    what = f"{name}, {count:,} sites, masked with {peers}"
                    wanted.append(verdict(f"{what}, a round", times.median, at_most=most))
                    wanted.append(verdict(f"{what}, bytes of a round", bytes_, at_most=1.5))
                rows.append(
                    (
                        name,
                        f"{spec.parameters:,}",
                        f"{count:,}",
                        f"{peers:,}",
                        f"{Spread.of(plain.whole).median:.3f}",
                        f"{Spread.of(took.whole).median:.3f}",
                        str(times),
                        f"{1000 * Spread.of(plain.hospitals).median / count:.2f}",
                        f"{1000 * Spread.of(took.hospitals).median / count:.2f}",
                        f"{ratio(took.hospitals, plain.hospitals).median:.2f}",
                        f"{1000 * exchange:.1f}",
                        f"{bytes_:.2f}",
                    )
                )
    return Table(
        title="A masked round",
        columns=(
            "network",
            "parameters",
            "sites",
            "masks with",
            "plain, s",
            "masked, s",
            "masked / plain",
            "a hospital, ms",
            "masked, ms",
            "ratio",
            "exchange, ms",
            "bytes",
        ),
        rows=tuple(rows),
        notes=(
            f"{ROWS_A_SITE} patients a site. Plain: mode local, noise in full at every hospital; masked: mode "
            "distributed, a tenth of the sites may be missing, another tenth collude. Masks with: all others, or the "
            "fewest that hide as much. The same patients, in turn; the "
            "whole round with all hospitals one after the other, and one hospital's part of it (relay, guard, ledger). "
            "Exchange: with all others, once a hospital and plan, not in the rounds. Bytes: of vectors, both ways.",
            *wanted,
        ),
    )


def masking_plan(spec: ModelSpec, *, sites: int, rounds: int, with_all: bool) -> StudyPlan:
    """As `made_up.plan`, with its noise shared. with_all: else with the fewest that withstand who may collude."""
    study = plan(spec, sites=sites, rounds=WARM_UP_ROUNDS + rounds, private=True)
    tenth = sites // 10
    shares = SharedNoise(sites, tenth, tenth, mask_neighbours=0 if with_all else tenth + 1)
    privacy = replace(study.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares)
    members = tuple(simulated_member(site) for site in study.roster)
    return replace(study, privacy=privacy, members=members, quorum=sites - shares.dropouts)


def _peers(study: StudyPlan) -> int:
    """With how many others each hospital masks."""
    graph, others = graph_of(study), len(study.roster) - 1
    return others if graph.reaches_all(len(study.roster)) else 2 * graph.steps


def compared(spec: ModelSpec, masked: Sequence[StudyPlan], *, sites: int, rounds: int) -> list[_Took]:
    """Rounds of a plain plan and of each masked one, in turn, the first ones left out."""
    studies = (plan(spec, sites=sites, rounds=WARM_UP_ROUNDS + rounds, private=True), *masked)
    cohorts = [patients(ROWS_A_SITE, columns=spec.columns, seed=number) for number in range(sites)]
    hospitals = _Hospitals(studies, cohorts)
    grid = InProcessGrid(answer_partition_queries(build_client_app(hospitals)), node_count=sites)
    nodes = dict(find_nodes(grid, roster=studies[0].roster))
    start = initial_state(parameter_vector(PrognosisNetwork(spec, initialisation_seed=1)))
    states = [start for _ in studies]
    took = [_Took([], [], []) for _ in studies]
    for number in range(WARM_UP_ROUNDS + rounds):
        for which, study in enumerate(studies):
            states[which], whole, asked, report = _one_round(grid, states[which], study, nodes)
            if number >= WARM_UP_ROUNDS:
                took[which].whole.append(whole)
                took[which].hospitals.append(asked)
                took[which].reports.append(report)
    return took


def _one_round(
    grid: InProcessGrid, state: FederationState, study: StudyPlan, nodes: dict[str, int]
) -> tuple[FederationState, float, float, RoundReport]:
    began = processor_seconds()
    asked = questions_of(state, plan=study, nodes=nodes)
    sent = processor_seconds()
    replies = grid.send_and_receive([message for _, message in asked], timeout=study.round_timeout_seconds)
    received = processor_seconds()
    questions = {message.metadata.message_id: question for question, message in asked}
    after, report = step(state, replies, plan=study, questions=questions)
    assert len(report.answered) == len(study.roster)
    assert np.isfinite(after.weights).all()
    return after, processor_seconds() - began, received - sent, report


def exchange_seconds(study: StudyPlan) -> float:
    """Of one hospital with all others."""
    own = study.roster[0]
    masks = simulated_masks(study, own)
    assert masks is not None
    began = processor_seconds()
    pairs = MaskingPairs(own=own, private_key=masks.masking_key, public_keys=masks.public_keys)
    for peer in study.roster[1:]:
        pairs.secret(peer)
    return processor_seconds() - began


def _guards(study: StudyPlan, cohorts: Sequence[PatientTensors]) -> tuple[Guard, ...]:
    return tuple(
        simulated_guard(study, site, cohort, MemoryLedger(site_policy(study, site).budget), masks=simulated_masks)
        for site, cohort in zip(study.roster, cohorts, strict=True)
    )
