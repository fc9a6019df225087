"""Which attacks meet which defences, with which privacy, and what is left of the model?

A cell is one training through the real apps (`simulations.federation`), measured on patients who were set aside, whose
values and outcomes nobody has touched. Some cells cannot be: `not_possible` asks the server's own rules.

Promises: the same cell on the same consortium gives the same figures in mode `none`; privacy noise follows from no
seed. A training that the server ends, since the numbers ran away, is a finding and told as such. Raises QuorumLost when
the server does not admit what a hospital sent: none of the attacks here sends such a thing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.one_thread import one_thread
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import Modality
from oncofed.errors import FederationFailure, InvalidInput, QuorumLost
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.evaluation import test_c_index
from oncofed.simulations.federation import Engine, federate, simulated_plan
from oncofed.simulations.partition import consortium
from oncofed.simulations.robustness.attacks import Attack, Backdoor
from oncofed.simulations.robustness.poisoned_guards import BoundingGuard, Coalition, NormBound, PoisonedGuard
from oncofed.simulations.study import DataSpec, EvaluationSpec, Partition, SitesSpec, Split
from oncofed.simulations.study_table import tables_of
from oncofed.simulations.told import Told
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, PrivacyRequest
from oncofed.survival.network import PrognosisNetwork, network_with

FloatArray = NDArray[np.float64]

MODALITIES = (Modality.CLINICAL, Modality.LABORATORY, Modality.DNA_MUTATION)
ENDPOINTS = ("overall_survival",)
FIGURES = ("c_index", "slope", "expected_to_observed", "backdoor_success")
NO_ATTACK = "none"
SUM_ALONE = "not possible: the server sees the sum alone"
RAN_AWAY = "ended: the numbers ran away"


@dataclass(frozen=True, eq=False)
class DealtPatients:
    """hospitals: who trains, by name, sorted. test: who is set aside. poisoned: names of hospitals."""

    hospitals: Mapping[str, Cohort]
    test: Cohort
    poisoned: tuple[str, ...]


@dataclass(frozen=True)
class Defence:
    """How the server combines. name: as tables call it. norm_bound: None, and contributions are as long as they are."""

    name: str
    training: TrainingSpec
    norm_bound: NormBound | None = None


@dataclass(frozen=True)
class Cell:
    """attack: None for the yardstick. seed: of the network's first weights."""

    attack: Attack | None
    defence: Defence
    privacy: PrivacyRequest
    seed: int

    @property
    def named(self) -> dict[str, Any]:
        """What tells it from others, as columns of the table."""
        return {
            "attack": NO_ATTACK if self.attack is None else self.attack.name,
            "defence": self.defence.name,
            "privacy": self.privacy.mode.value,
            "seed": self.seed,
        }


def dealt(*, patients: int, hospitals: int, poisoned: int, test: float, seed: int) -> DealtPatients:
    """An invented consortium of ENDPOINTS and MODALITIES, dealt to hospitals of about the same size by chance.

    Sums of hospitals of one kind and size are what the guarantees of robust averages are about; hospitals that differ
    are harder for each of them. test: the share set aside. seed: of the patients, of who is dealt where, and of which
    hospitals are poisoned. Raises InvalidInput as `consortium` does.
    """
    table, schema, where = tables_of(
        DataSpec(
            table=None,
            schema=None,
            synthetic_patients=patients,
            synthetic_hospitals=hospitals,
            synthetic_seed=seed,
            modalities=MODALITIES,
            endpoints=ENDPOINTS,
        )
    )
    cut = consortium(
        table,
        replace(schema, site_column=None),
        where=where,
        sites=SitesSpec(Partition.HASH, count=hospitals),
        evaluation=EvaluationSpec(1.0, Split.RANDOM, test_fraction=test),
        seed=seed,
    )
    drawn = np.random.default_rng([seed, 17]).choice(sorted(cut.hospitals), size=poisoned, replace=False)
    return DealtPatients(cut.hospitals, cut.test, tuple(sorted(map(str, drawn))))


def plan_of_cell(cell: Cell, dealt_to: DealtPatients) -> StudyPlan:
    """What the hospitals approve: a linear model, which learns from few patients."""
    settings = PlanSettings(
        hidden_units=(),
        linear_branch=True,
        baseline_weight=1.0,
        training=cell.defence.training,
        privacy=cell.privacy,
        held_out=HeldOutRequest(),
    )
    roster = tuple(dealt_to.hospitals)
    return simulated_plan(
        settings, dealt_to.test.schema, study="robustness", roster=roster, quorum=None, seed=cell.seed
    )


def not_possible(cell: Cell, plan: StudyPlan) -> str:
    """Why there can be no such training, or nothing. Raises InvalidInput for settings that are wrong otherwise."""
    faults = strategy_faults(plan)
    alone = release_of_round(plan).needs_everybody
    if alone and (cell.defence.norm_bound is not None or any(each.where == "training.strategy" for each in faults)):
        return SUM_ALONE
    if faults:
        raise InvalidInput(list(faults))
    return ""


def measured(cell: Cell, dealt_to: DealtPatients, *, trigger: Backdoor, horizon: float) -> dict[str, Any]:
    """One row of the table: the cell, then figures, NaN where there are none, and `outcome`, empty or why not.

    trigger    its mark is tried on the test patients, whoever was attacked how: without a backdoor, by chance.
    horizon    in the grid's unit, of slope, expected over observed, and risks.
    """
    plan = plan_of_cell(cell, dealt_to)
    row = cell.named | {"hospitals": len(plan.roster), "poisoned": 0 if cell.attack is None else len(dealt_to.poisoned)}
    figures = dict.fromkeys(FIGURES, math.nan)
    if outcome := not_possible(cell, plan):
        return row | figures | {"outcome": outcome}
    try:
        network = trained(cell, plan, dealt_to)
    except QuorumLost:
        raise  # hospitals that do not answer are no finding
    except FederationFailure:
        return row | figures | {"outcome": RAN_AWAY}
    return row | figures_of(network, dealt_to.test, trigger=trigger, horizon=horizon) | {"outcome": ""}


def trained(cell: Cell, plan: StudyPlan, dealt_to: DealtPatients) -> PrognosisNetwork:
    """Through all rounds. Raises FederationFailure when the server ends it."""
    attack, patients = cell.attack, dict(dealt_to.hospitals)
    bound = cell.defence.norm_bound
    if attack is not None:
        patients |= {name: attack.told(patients[name]) for name in dealt_to.poisoned}
        coalition = Coalition(attack)

    def guard(*, site: str, **of_guard: Any) -> Guard:
        if attack is not None and site in dealt_to.poisoned:
            return PoisonedGuard(coalition=coalition, norm_bound=bound, site=site, **of_guard)
        return BoundingGuard(norm_bound=bound, site=site, **of_guard)

    with one_thread():
        federated = federate(
            plan,
            patients,
            run_folder=None,
            engine=Engine.GRID,
            resume=False,
            figures=lambda state, report: {},
            guard=guard,
        )
    return network_with(plan.model, federated.state.weights)


def figures_of(network: PrognosisNetwork, test: Cohort, *, trigger: Backdoor, horizon: float) -> dict[str, float]:
    """On patients as they are, but for the backdoor's success, which is of the same patients with the mark.

    c_index               Harrell's, of the first endpoint.
    slope                 of the calibration at the horizon: 1 is right, below 0 risks are upside down.
    expected_to_observed  at the horizon.
    backdoor_success      of the half with the higher predicted risk, which share the mark moves below the middle.
    """
    x = torch.as_tensor(encode(test))
    told = Told.of(network, x)
    with np.errstate(over="ignore", invalid="ignore"):  # an attacked model may expect anything
        risk = told.risk(test, 0, horizon)
        calibration = told.calibration(test, 0, horizon)
        marked = Told.of(network, torch.as_tensor(encode(trigger.marked(test)))).risk(test, 0, horizon)
    return {
        "c_index": test_c_index(network, x, test),
        "slope": calibration.slope,
        "expected_to_observed": calibration.expected_to_observed,
        "backdoor_success": moved_below(risk, marked),
    }


def moved_below(risk: FloatArray, marked: FloatArray) -> float:
    """Of those above the median risk, the share whose risk with the mark is below it. NaN where nobody is above.

    risk, marked  (patients,), of the same patients without and with the mark.
    """
    middle = np.median(risk)
    high = risk > middle
    return float((marked[high] < middle).mean()) if high.any() else math.nan
