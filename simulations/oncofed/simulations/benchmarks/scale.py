"""What do rounds of thousands of small hospitals cost, against a bare loop over the same ones?

The loop computes one hospital after the other and adds up: no Flower, no guard, no ledger, no masks; its noise is the
plan's. It takes turns with the grid's rounds, over `LOOP_SITES` hospitals of them where there are more, whose time is
scaled up: a loop over ten times as many takes ten times as long.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.patients.training import ascent_sum
from oncofed.client.relay.relay import build_client_app
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.benchmarks.made_up import model, patients, plan
from oncofed.simulations.benchmarks.side_by_side import Spread, processor_seconds, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes
from oncofed.simulations.federation import LocalHospitals, simulated_guard
from oncofed.simulations.masking_keys import simulated_member
from oncofed.simulations.site_policy import site_policy
from oncofed.simulations.sums_together import GuardInBatch, SumsTogether
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, parameter_vector

ROWS_A_SITE = 16
DEMONSTRATION = model(columns=400, hidden_units=(8,))
"""About the columns of the synthetic consortium's 350 markers, and its units."""
SITES = (1_000, 5_000, 10_000)
LOOP_SITES = 500
WARM_UP_ROUNDS = 1
WANTED = 1.3


def scale_table(*, rounds: int, sites: Sequence[int] = SITES) -> Table:
    """One row a mode and number of sites."""
    rows, wanted = [], []
    for mode in PrivacyMode:
        for count in sites:
            with one_thread():
                grid, loop, grew = _compared(_plan(mode, sites=count, rounds=WARM_UP_ROUNDS + rounds), rounds=rounds)
            times = ratio(grid, loop)
            wanted.append(verdict(f"{mode.value}, {count:,} sites, own Grid over loop", times.median, at_most=WANTED))
            rows.append(
                (
                    mode.value,
                    f"{count:,}",
                    f"{Spread.of(loop).median:.1f}",
                    f"{Spread.of(grid).median:.1f}",
                    str(times),
                    f"{_peak_mebibytes():,.0f}",
                    f"{grew:,.0f}",
                )
            )
    return Table(
        title="Rounds of thousands of hospitals",
        columns=("mode", "sites", "loop, s", "own Grid, s", "Grid / loop", "peak, MiB", "grown after a round, MiB"),
        rows=tuple(rows),
        notes=(
            f"{ROWS_A_SITE} patients a site, {DEMONSTRATION.parameters:,} parameters; in mode distributed a tenth of "
            "the sites may be missing and another tenth collude. Loop: one hospital after the other without Flower, "
            f"guard, ledger and masks; over {LOOP_SITES} of the sites, scaled. Peak: of the process so far, patients "
            "included.",
            *wanted,
        ),
    )


def _plan(mode: PrivacyMode, *, sites: int, rounds: int) -> StudyPlan:
    study = plan(DEMONSTRATION, sites=sites, rounds=rounds, private=mode.private)
    if mode is not PrivacyMode.DISTRIBUTED:
        return study
    shares = SharedNoise(sites, sites // 10, sites // 10)
    members = tuple(map(simulated_member, study.roster))
    privacy = replace(study.privacy, mode=mode, shares=shares)
    return replace(study, privacy=privacy, members=members, quorum=sites - shares.dropouts)


def _compared(study: StudyPlan, *, rounds: int) -> tuple[list[float], list[float], float]:
    """Seconds of each measured round of the grid and of the loop, and by how much memory grew between them."""
    cohorts = {
        site: patients(ROWS_A_SITE, columns=study.model.columns, seed=number)
        for number, site in enumerate(study.roster)
    }
    together = SumsTogether(study, cohorts)

    def guard(**given: object) -> GuardInBatch:
        return GuardInBatch(together=together, **given)

    guards = tuple(
        simulated_guard(study, site, own, MemoryLedger(site_policy(study, site).budget), guard=guard)
        for site, own in cohorts.items()
    )
    one_round = _loop(study, list(cohorts.values())[:LOOP_SITES])
    grid, loop, peaks, began = list[float](), list[float](), list[float](), 0.0

    def take_turns(state: FederationState, report: RoundReport) -> None:
        nonlocal began
        grid.append(processor_seconds() - began)
        peaks.append(_peak_mebibytes())
        began = processor_seconds()
        one_round(state.weights)
        loop.append((processor_seconds() - began) * len(cohorts) / min(LOOP_SITES, len(cohorts)))
        began = processor_seconds()

    server = build_server_app(
        plan=study,
        nodes=lambda asked: find_nodes(asked, roster=study.roster),
        start=initial_state(parameter_vector(PrognosisNetwork(study.model, initialisation_seed=1))),
        checkpoint_folder=None,
        observer=take_turns,
    )
    client = answer_partition_queries(build_client_app(LocalHospitals(guards)))
    run_in_process(server, client, node_count=len(study.roster))
    measured = slice(WARM_UP_ROUNDS, None)
    assert len(grid[measured]) == rounds
    return grid[measured], loop[measured], peaks[-1] - peaks[0]


def _loop(study: StudyPlan, cohorts: Sequence[PatientTensors]) -> Callable[[np.ndarray], np.ndarray]:
    release, noise = release_of_round(study), OperatingSystemNoise()

    def one_round(weights: np.ndarray) -> np.ndarray:
        total = np.zeros_like(weights)
        for cohort in cohorts:
            total += release.noised(ascent_sum(study, weights, cohort), noise)
        return total

    return one_round


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
