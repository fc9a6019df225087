"""What does the federation cost? A simulated round against a bare Python loop doing the same training, and against Ray.

The loop calls the same local computation for each site and the same FedAdam arithmetic, and nothing else: no guard, no
messages, no admission. Both make the same weights, which is checked. Rounds of grid and loop take turns. Neither writes
checkpoints. Ray runs the same apps from folders of hospitals, by the clock on the wall, against the grid's rounds.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.patients.training import ascent_sum
from oncofed.client.relay.relay import build_client_app
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.benchmarks.made_up import STUDY_COLUMNS, model, patients, plan
from oncofed.simulations.benchmarks.side_by_side import Spread, processor_seconds, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes
from oncofed.simulations.engines.ray_engine import run_on_ray
from oncofed.simulations.engines.ray_hospitals import RayHospitals
from oncofed.simulations.federation import LocalHospitals, simulated_guard
from oncofed.simulations.site_policy import site_policy
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, parameter_count, parameter_vector

FloatArray = NDArray[np.float64]

ROWS_A_SITE = 64
NETWORKS = {
    "tiny": model(columns=20, hidden_units=(8,)),
    "study": model(columns=STUDY_COLUMNS, hidden_units=(16,)),
}
SITES = (10, 100, 500, 1000)
WANTED_SITES = 500
RAY_UP_TO = 500
"""At 1,000 sites a round on Ray takes minutes."""
RAY_ROUNDS = 3
WARM_UP_ROUNDS = 1


@dataclass(frozen=True)
class _Compared:
    """own_to_loop: processor time. own_seconds: median by the clock on the wall, for Ray."""

    own_to_loop: Spread
    loop: float
    own: float
    own_seconds: float


def rounds_table(*, rounds: int, sites: tuple[int, ...] = SITES, with_ray: bool = True) -> Table:
    """One row a network, noise and number of sites."""
    ray_is_there = with_ray and importlib.util.find_spec("ray") is not None
    rows, wanted = [], []
    for name, spec in NETWORKS.items():
        for private in (False, True):
            for count in sites:
                with one_thread():
                    study, cohorts, start = _federation(spec, sites=count, rounds=rounds, private=private)
                    compared = _grid_and_loop(study, cohorts, start)
                if count == WANTED_SITES:
                    label = f"{name} network, {'noise' if private else 'no noise'}, {count} sites, own Grid over loop"
                    wanted.append(verdict(label, compared.own_to_loop.median, at_most=1.5))
                ray = "-"
                if ray_is_there and name == "tiny" and not private and count <= RAY_UP_TO:
                    times_as_long = _ray_seconds(study, cohorts, start) / compared.own_seconds
                    ray = f"{times_as_long:.1f}"
                    if count == WANTED_SITES:
                        wanted.append(verdict(f"{count} sites, Ray over own Grid", times_as_long, at_least=5))
                rows.append(
                    (
                        name,
                        f"{parameter_count(spec):,}",
                        "yes" if private else "no",
                        f"{count:,}",
                        f"{compared.loop:.3f}",
                        f"{compared.own:.3f}",
                        str(compared.own_to_loop),
                        ray,
                    )
                )
    return Table(
        title="A simulated round",
        columns=("network", "parameters", "noise", "sites", "loop, s", "own Grid, s", "Grid / loop", "Ray / Grid"),
        rows=tuple(rows),
        notes=(
            f"{ROWS_A_SITE} patients a site. Loop: the same training and FedAdam without Flower, guard or ledger, in "
            f"turn with the grid's rounds. Ray: median of {RAY_ROUNDS} rounds after the first, on all cores.",
            *wanted,
        ),
    )


def _federation(
    spec: ModelSpec, *, sites: int, rounds: int, private: bool
) -> tuple[StudyPlan, list[PatientTensors], FloatArray]:
    study = plan(spec, sites=sites, rounds=WARM_UP_ROUNDS + rounds, private=private)
    cohorts = [patients(ROWS_A_SITE, columns=spec.columns, seed=number) for number in range(sites)]
    return study, cohorts, parameter_vector(PrognosisNetwork(spec, initialisation_seed=1))


def _grid_and_loop(study: StudyPlan, cohorts: list[PatientTensors], start: FloatArray) -> _Compared:
    one_round = _bare_loop(study, cohorts, start)
    own: list[float] = []
    loop: list[float] = []
    on_the_wall: list[float] = []
    began = 0.0

    def take_turns(state: FederationState, report: RoundReport) -> None:
        nonlocal began
        own.append(processor_seconds() - began)
        on_the_wall.append(report.seconds)
        began = processor_seconds()
        weights = one_round()
        loop.append(processor_seconds() - began)
        if not study.privacy.mode.private:
            np.testing.assert_allclose(weights, state.weights, rtol=0, atol=1e-6)
        began = processor_seconds()

    guards = tuple(
        simulated_guard(study, site, cohort, MemoryLedger(site_policy(study, site).budget))
        for site, cohort in zip(study.roster, cohorts, strict=True)
    )
    server = build_server_app(
        plan=study,
        nodes=lambda grid: find_nodes(grid, roster=study.roster),
        start=initial_state(start),
        checkpoint_folder=None,
        observer=take_turns,
    )
    client = answer_partition_queries(build_client_app(LocalHospitals(guards)))
    run_in_process(server, client, node_count=len(study.roster))
    measured = slice(WARM_UP_ROUNDS, None)
    return _Compared(
        own_to_loop=ratio(own[measured], loop[measured]),
        loop=Spread.of(loop[measured]).median,
        own=Spread.of(own[measured]).median,
        own_seconds=Spread.of(on_the_wall[measured]).median,
    )


def _bare_loop(study: StudyPlan, cohorts: list[PatientTensors], start: FloatArray) -> Callable[[], FloatArray]:
    training = study.training
    release, noise = release_of_round(study), OperatingSystemNoise()
    weights: FloatArray = start
    m, v, finished = np.zeros_like(start), np.zeros_like(start), 0

    def one_round() -> FloatArray:
        nonlocal weights, m, v, finished
        total = np.zeros_like(weights)
        for cohort in cohorts:
            total += release.sealed(ascent_sum(study, weights, cohort), noise=noise)
        update = total / len(cohorts)
        m = training.beta_1 * m + (1 - training.beta_1) * update
        v = training.beta_2 * v + (1 - training.beta_2) * update**2
        finished += 1
        # Flower corrects the bias of both moments with the number of the next round.
        rate = training.server_learning_rate * np.sqrt(1 - training.beta_2 ** (finished + 1))
        weights = weights + rate / (1 - training.beta_1 ** (finished + 1)) * m / (np.sqrt(v) + training.tau)
        return weights

    return one_round


def _ray_seconds(study: StudyPlan, cohorts: list[PatientTensors], start: FloatArray) -> float:
    study = replace(study, training=replace(study.training, rounds=WARM_UP_ROUNDS + RAY_ROUNDS))
    seconds: list[float] = []

    def observe(state: FederationState, report: RoundReport) -> None:
        seconds.append(report.seconds)

    with tempfile.TemporaryDirectory() as folder:
        for site, cohort in zip(study.roster, cohorts, strict=True):
            home = Path(folder) / site
            home.mkdir()
            parts = {"x": cohort.x, "events": cohort.events, "at_risk": cohort.at_risk}
            save_file({name: part.contiguous() for name, part in parts.items()}, home / "patients.safetensors")
        client = answer_partition_queries(build_client_app(RayHospitals(study, Path(folder))))
        server = build_server_app(
            plan=study,
            nodes=lambda grid: find_nodes(grid, roster=study.roster),
            start=initial_state(start),
            checkpoint_folder=None,
            observer=observe,
        )
        run_on_ray(server, client, node_count=len(study.roster))
    return Spread.of(seconds[WARM_UP_ROUNDS:]).median
