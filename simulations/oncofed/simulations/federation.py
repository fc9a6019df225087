"""How do simulated hospitals train one model through the real ServerApp and ClientApp?

Each hospital is a `Guard` with patients, policy and ledger of its own. The engine `grid` runs everything in this
process through `InProcessGrid`; `ray` runs the very same apps on Flower's Ray engine, whose worker processes build the
guards from each hospital's own folder. Privacy noise comes from the operating system in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from flwr.app import Context

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.client.guard.guard import Guard
from oncofed.client.guard.sum_masks import Masks
from oncofed.client.relay.relay import build_client_app
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.ledger import Charge, Ledger, MemoryLedger, charge_from_json, charge_to_json
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.releases import largest_patients
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.server.rounds.course import Unsummarised, ends_the_run
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.server.rounds.summaries import missing_summaries
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of
from oncofed.simulations.engines.ray_engine import run_on_ray
from oncofed.simulations.engines.ray_hospitals import RayHospitals
from oncofed.simulations.masking_keys import simulated_member
from oncofed.simulations.ring_of_masks import ring_masks
from oncofed.simulations.site_policy import site_policy
from oncofed.simulations.study import Study
from oncofed.simulations.sums_together import GuardInBatch, SumsTogether
from oncofed.study.chosen_settings import patients_told
from oncofed.study.plan_settings import PlanSettings, plan_from
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.likelihood import PatientTensors, patient_tensors
from oncofed.survival.network import PrognosisNetwork, parameter_vector

Row = dict[str, Any]
RoundFigures = Callable[[FederationState, RoundReport], Row]
"""What a simulation measures after each round, as more columns of the round table."""
MasksOf = Callable[[StudyPlan, str], Masks | None]
"""With what a hospital of the plan masks its sums: `ring_masks`, or `masking_keys.simulated_masks`."""


class Engine(StrEnum):
    """What carries messages between the apps."""

    GRID = "grid"
    RAY = "ray"


@dataclass(frozen=True, eq=False)
class Federated:
    """state: after the last round. rounds: one row a round. ledgers: by site, empty in mode `none`."""

    state: FederationState
    rounds: pd.DataFrame
    ledgers: Mapping[str, Ledger]

    @property
    def releases(self) -> dict[str, tuple[PrivacyEvent, ...]]:
        """What each ledger that holds a charge was charged for."""
        charged = {site: tuple(charge.event for charge in ledger.charges()) for site, ledger in self.ledgers.items()}
        return {site: events for site, events in charged.items() if events}


@dataclass(frozen=True)
class Earlier:
    """What the same patients have released for their study before a plan of it. charges: by site.

    epsilon  that all plans of the study together may spend; None in mode `none`.
    """

    charges: Mapping[str, Sequence[Charge]]
    epsilon: float | None

    @staticmethod
    def of(ledgers: Mapping[str, Ledger], *, epsilon: float | None) -> Earlier:
        """By those of a training that has ended."""
        return Earlier({site: ledger.charges() for site, ledger in ledgers.items()}, epsilon)


def plan_of(study: Study, schema: StudySchema, *, roster: tuple[str, ...], patients: int) -> StudyPlan:
    """The plan that the simulated hospitals approve, of all markers. patients: who train, together."""
    return simulated_plan(
        expecting(study.first_settings, patients),
        schema,
        study=study.name,
        roster=roster,
        quorum=study.sites.quorum,
        seed=study.seed,
    )


def expecting(settings: PlanSettings, patients: int) -> PlanSettings:
    """As a study file says that so many are expected, or else as hospitals would tell it."""
    return replace(settings, expected_patients=settings.expected_patients or patients_told(patients))


def simulated_plan(
    settings: PlanSettings,
    schema: StudySchema,
    *,
    study: str,
    roster: tuple[str, ...],
    quorum: int | None,
    seed: int,
    model: ModelSpec | None = None,
) -> StudyPlan:
    """The same without a study file. quorum, model: as in `plan_from`. seed: of the network's first weights."""
    plan = plan_from(settings, schema, study=study, roster=roster, quorum=quorum, initialisation_seed=seed, model=model)
    return with_simulated_members(plan)


def with_simulated_members(plan: StudyPlan) -> StudyPlan:
    """With keys of the hospitals, where they share their noise."""
    if plan.privacy.shares is None:
        return plan
    return replace(plan, members=tuple(simulated_member(site) for site in plan.roster))


def federate(
    plan: StudyPlan,
    hospitals: Mapping[str, Cohort],
    *,
    run_folder: Path | None,
    engine: Engine,
    resume: bool,
    figures: RoundFigures,
    held_out: Mapping[str, Cohort] | None = None,
    summarised: Callable[[FederationState], None] = lambda state: None,
    unsummarised: Unsummarised = ends_the_run,
    first_weights: FloatArray | None = None,
    guard: Callable[..., Guard] | None = None,
    masks: MasksOf = ring_masks,
    earlier: Earlier | None = None,
) -> Federated:
    """Train from the start, or from the run folder's checkpoint, to the plan's last round and its last summary.

    run_folder     None keeps nothing: no file is read or written, and there is nothing to resume. Engine `grid` only.
    held_out       the patients whom each hospital sets aside, where the plan measures them.
    summarised     told after each summary.
    unsummarised   told why a summary could not be had; the model is there all the same.
    first_weights  before the first round; None: of the plan's network, from its seed.
    guard          makes each hospital's guard, from the arguments of `Guard`; None: one that computes the same sums
                   together with others (`sums_together`).
    masks          engine `grid` only. Of a ring or of all pairs: the result is the same bits.
    earlier        plans of the same study that have ended: each ledger goes on from what they spent. Engine `grid`
                   only.

    With a folder, each finished round is on disk before `figures` is asked for it and the next begins. Raises
    FederationFailure, and InvalidInput when a hospital has more patients than the plan's promise holds for: its guard
    would never answer.
    """
    _refuse_too_many(plan, hospitals)
    start, rows, charges = _start(plan, run_folder, resume=resume, first_weights=first_weights)
    if earlier is not None:  # a checkpoint holds them too, but for a summary that was asked for again since
        charges = {site: list(dict.fromkeys((*made, *charges.get(site, ())))) for site, made in earlier.charges.items()}
    if engine is Engine.RAY:
        assert run_folder is not None
        assert earlier is None
        folder = run_folder / "sites"
        hosts: LocalHospitals | RayHospitals = RayHospitals.prepared(plan, hospitals, folder=folder, held_out=held_out)
        start = _after_wasted_charges(start, charges, hosts.ledgers)
    else:
        largest_epsilon = None if earlier is None else earlier.epsilon
        hosts = LocalHospitals.of(
            plan, hospitals, charges, held_out=held_out, guard=guard, masks=masks, largest_epsilon=largest_epsilon
        )
    states, kept = [start], _KeptCharges()

    def measured(state: FederationState, report: RoundReport) -> dict[str, Any]:
        states[:] = [state]
        if state.summaries:  # what comes after the last round is no round
            summarised(state)
        else:
            rows.append(_row(report) | figures(state, report))
        return {"rounds": rows, "ledgers": kept.of(hosts.ledgers)}

    def observed(state: FederationState, report: RoundReport) -> None:
        if run_folder is None:  # else each checkpoint has asked for it
            measured(state, report)

    client_app = answer_partition_queries(build_client_app(hosts))
    server_app = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=start,
        checkpoint_folder=run_folder,
        unsummarised=unsummarised,
        observer=observed,
        summary_observer=lambda _, state, report: observed(state, report),
        extra=measured,
    )
    if start.round < plan.training.rounds or missing_summaries(plan, start):
        if engine is Engine.RAY:
            run_on_ray(server_app, client_app, node_count=len(plan.roster))
        else:
            run_in_process(server_app, client_app, node_count=len(plan.roster))
    return Federated(states[0], pd.DataFrame(rows), hosts.ledgers)


def _start(
    plan: StudyPlan, run_folder: Path | None, *, resume: bool, first_weights: FloatArray | None
) -> tuple[FederationState, list[Row], dict[str, list[Charge]]]:
    if not resume:
        if first_weights is None:
            first_weights = parameter_vector(PrognosisNetwork(plan.model, initialisation_seed=plan.initialisation_seed))
        return initial_state(first_weights), [], {}
    assert run_folder is not None
    checkpoint = load_checkpoint(run_folder, plan_hash=plan.hash)
    extra = checkpoint.extra
    assert isinstance(extra, dict)
    charges = {site: [charge_from_json(charge) for charge in made] for site, made in extra["ledgers"].items()}
    return checkpoint.state, list(extra["rounds"]), charges


def _after_wasted_charges(
    start: FederationState, charges: Mapping[str, list[Charge]], ledgers: Mapping[str, Ledger]
) -> FederationState:
    """A round that was charged and not finished counts as released: it is asked again as a new attempt."""
    wasted = any(len(ledger.charges()) > len(charges.get(site, [])) for site, ledger in ledgers.items())
    return replace(start, attempt=start.attempt + 1) if wasted else start


def _row(report: RoundReport) -> Row:
    return {
        "round": report.round,
        "attempt": report.attempt,
        "seconds": report.seconds,
        "update_l2_norm": report.update_l2_norm,
        "answered": len(report.answered),
        "rejected": "; ".join(str(rejection) for rejection in report.rejected),
    }


class _KeptCharges:
    """Ledgers as JSON. They only grow, so each charge is written once and not anew in each round."""

    def __init__(self) -> None:
        self._written: dict[str, list[dict[str, Any]]] = {}

    def of(self, ledgers: Mapping[str, Ledger]) -> dict[str, list[dict[str, Any]]]:
        for site, ledger in ledgers.items():
            own = self._written.setdefault(site, [])
            own += map(charge_to_json, ledger.charges()[len(own) :])
        return self._written


@dataclass(frozen=True, eq=False)
class LocalHospitals:
    """Finds the guard of a simulated node in this process."""

    guards: tuple[Guard, ...]

    @staticmethod
    def of(
        plan: StudyPlan,
        hospitals: Mapping[str, Cohort],
        charges: Mapping[str, list[Charge]],
        *,
        held_out: Mapping[str, Cohort] | None = None,
        guard: Callable[..., Guard] | None = None,
        masks: MasksOf = ring_masks,
        largest_epsilon: float | None = None,
    ) -> LocalHospitals:
        """One guard a hospital, in roster order, each with the charges its ledger already holds.

        guard, masks     as in `federate`.
        largest_epsilon  as `site_policy` has it.
        """
        policies = {site: site_policy(plan, site, largest_epsilon=largest_epsilon) for site in plan.roster}
        patients = {site: patient_tensors(hospitals[site]) for site in plan.roster}
        guard = guard or partial(GuardInBatch, together=SumsTogether(plan, patients))
        return LocalHospitals(
            tuple(
                simulated_guard(
                    plan,
                    site,
                    patients[site],
                    MemoryLedger(policy.budget, charges.get(site, [])),
                    held_out=None if held_out is None else patient_tensors(held_out[site]),
                    guard=guard,
                    masks=masks,
                    policy=policy,
                )
                for site, policy in policies.items()
            )
        )

    @property
    def ledgers(self) -> dict[str, Ledger]:
        return {guard.site: guard.ledger for guard in self.guards}

    def __call__(self, context: Context) -> Desk:
        return unsigned_desk(self.guards[partition_of(context)])


def _refuse_too_many(plan: StudyPlan, hospitals: Mapping[str, Cohort]) -> None:
    if not plan.privacy.mode.private:
        return
    most = largest_patients(plan.privacy.delta)
    remedy = "Choose delta of at most 1 / (10 x patients of the largest hospital you expect)."
    what = f"has more than {most:,} patients, for which [privacy] delta is too large"
    too_many = [Fault(f"hospital {site}", what, remedy) for site, cohort in hospitals.items() if len(cohort) > most]
    if too_many:
        raise InvalidInput(too_many)


def simulated_guard(
    plan: StudyPlan,
    site: str,
    patients: PatientTensors,
    ledger: Ledger,
    *,
    held_out: PatientTensors | None = None,
    guard: Callable[..., Guard] = Guard,
    masks: MasksOf = ring_masks,
    policy: SitePolicy | None = None,
) -> Guard:
    """A guard as a hospital runs it: its noise is the operating system's, whatever a simulation's seed.

    policy  None admits the plan and nothing beyond it.
    """
    return guard(
        site=site,
        plan=plan,
        policy=site_policy(plan, site) if policy is None else policy,
        patients=lambda: patients,
        ledger=ledger,
        noise=OperatingSystemNoise(),
        masks=masks(plan, site),
        held_out=None if held_out is None else (lambda: held_out),
    )
