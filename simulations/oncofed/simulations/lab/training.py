"""How is an experiment trained? As `oncofed simulate` trains, through the real apps, without a folder or a study file.

Each hospital is a guard with a ledger of its own; privacy noise comes from the operating system and follows from no
seed. Everything happens in this process, and nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import rich.console
import torch
from torch import nn

from oncofed.client.guard.one_thread import one_thread
from oncofed.cohort.encoding import encode
from oncofed.errors import Fault, FederationFailure, InvalidInput
from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import Bounding, ModelSpec, StudyPlan, TrainingMode
from oncofed.ranges import range_faults
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.evaluation import Prognosis as Measured
from oncofed.simulations.evaluation import test_c_index
from oncofed.simulations.federation import Engine, Federated, federate, simulated_plan
from oncofed.simulations.lab.arguments import instance, maybe, number, refuse_wrong, yes_or_no
from oncofed.simulations.lab.logs import A_LOG, Log, Telling
from oncofed.simulations.lab.model import COLUMNS, Model
from oncofed.simulations.lab.other_network import (
    OtherGuard,
    OtherNetwork,
    PatientGradients,
    copied,
    described,
    load_vector,
    refuse_unfit,
    vector_of,
)
from oncofed.simulations.lab.patients import SEED, Hospitals, Patients, by_hospital, same_schema, somebody
from oncofed.simulations.lab.privacy import PRIVACY, Privacy
from oncofed.simulations.lab.strategies import FedAdam, Prognosis, Strategy, a_strategy, settings_of, some_rounds
from oncofed.simulations.lab.valuing import LAYERS, value_request
from oncofed.simulations.model_file import metadata_of
from oncofed.simulations.privacy_spent import spent_at_two
from oncofed.simulations.progress import Progress, no_progress, notebook_bars, progress_bars
from oncofed.study.plan_settings import PlanSettings, model_of
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.network import PrognosisNetwork, network_with

NETWORK = instance(
    *(Prognosis, nn.Module),
    words="a network",
    remedy="Write of.prognosis(hidden=[8]), or give a torch.nn.Module.",
)


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """What training left.

    model      after the last round.
    plan       what the hospitals had agreed to.
    rounds     one row a round: seconds, length of the update, how many answered, and `test_c_index` where `test` was
               given.
    releases   what each hospital's ledger was charged for; empty in mode none.
    hospitals  who was trained on.
    set_aside  who was not: `test`, or those whom `split` set aside from these hospitals. None where nobody is known.
    """

    model: Model
    plan: StudyPlan
    rounds: pd.DataFrame
    releases: Mapping[str, tuple[PrivacyEvent, ...]]
    hospitals: Mapping[str, Patients]
    set_aside: Patients | None = None

    @property
    def spent(self) -> pd.DataFrame:
        """One row a hospital: releases, and the epsilon that one of its patients spent at `delta`; inf: no protection.

        It is of this run alone. Whoever chooses among several runs on the same patients has spent them all.
        """
        delta = self.plan.privacy.delta
        charged = {site: self.releases.get(site, ()) for site in self.plan.roster}
        return pd.DataFrame(
            {
                "hospital": list(charged),
                "releases": [len(events) for events in charged.values()],
                "epsilon": [epsilon_of(events, delta=delta) if events else math.inf for events in charged.values()],
                "delta": delta,
            }
        )

    @property
    def words(self) -> str:
        """What was promised and spent, and whether bounds hold to the last bit."""
        two = spent_at_two(self)
        at_two = "" if two is None else f"; {two.epsilon:.2f} for one of two hospitals"
        spent = float(self.spent["epsilon"].max())
        told = (
            f"Epsilon {spent:.2f} at delta {self.plan.privacy.delta:g} for one patient of one hospital{at_two}."
            if self.releases
            else "Nothing is protected: the run is a yardstick."
        )
        return f"{told} Each sum left a hospital {release_of_round(self.plan).noise_words()}. {self.model.bits}"

    def __repr__(self) -> str:
        return f"<run of {len(self.rounds)} rounds at {len(self.plan.roster)} hospitals. {self.words}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self).strip('<>'))}</p>"


def train(
    hospitals: Mapping[str, Patients],
    *,
    privacy: Privacy,
    network: Prognosis | nn.Module = Prognosis(),  # noqa: B008 - frozen
    strategy: Strategy | str = FedAdam(),  # noqa: B008 - frozen
    rounds: int = 60,
    calibration_rounds: int = 0,
    layers: Sequence[str] = (),
    seed: int = 1,
    test: Patients | None = None,
    progress: bool = True,
    log: Log | None = None,
) -> Run:
    """Train one model across the hospitals.

    hospitals  as `split` gives them, or a mapping of one's own; all of one schema.
    strategy   one of the classes below, or its name in a study file: "fedadam" is `FedAdam()`.
    network    `prognosis(...)`, the project's own, or any `torch.nn.Module` that maps (patients, columns) in float64 to
               log hazard ratios: (patients,), or (patients, endpoints). It is copied, not changed. Another network
               needs a strategy without `local`, and bounds then hold in floating point, not to the last bit.
    rounds     1 to 10,000, and how many of them, at the end, set level and spread of all risks right (3 are enough;
               docs/study.md).
    layers     modalities that rounds take away by turns, as if they had not been measured, so that the model can do
               without any of them and `value` can say what each is worth.
    seed       of the own network's first weights, never of the privacy noise. A network that is given brings its own.
    test       measured after each round (C-index of the first endpoint). A simulation may look; a study may not.
    progress   a bar on the terminal, or below the notebook's cell.
    log        `mlflow_log(...)` or `tensorboard_log(...)`: told of settings and of each round's row.
    raises     InvalidInput for what is wrong with settings or patients, before anything is computed; FederationFailure
               when the numbers run away.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=200, hospitals=3), test=0.25)
    >>> run = of.train(hospitals, privacy=of.local(epsilon=3), rounds=2, progress=False)
    >>> run.model
    <model of overall_survival, time_to_next_treatment: the project's own network>
    >>> bool(run.spent["epsilon"].max() <= 3)
    True
    """
    refuse_wrong(
        hospitals=(hospitals, by_hospital),
        privacy=(privacy, PRIVACY),
        network=(network, NETWORK),
        strategy=(strategy, a_strategy),
        rounds=(rounds, some_rounds),
        calibration_rounds=(calibration_rounds, number("TrainingSpec.calibration_rounds")),
        layers=(layers, LAYERS),
        seed=(seed, SEED),
        test=(test, maybe(somebody)),
        progress=(progress, yes_or_no),
        log=(log, maybe(A_LOG)),
    )
    everybody = dict(sorted(hospitals.items()))
    schema = next(iter(everybody.values())).schema
    same_schema(schema.hash, hospitals=everybody, test=test)
    own = network if isinstance(network, Prognosis) else Prognosis()
    settings = settings_of(
        privacy,
        strategy,
        rounds=int(rounds),
        network=own,
        calibration_rounds=int(calibration_rounds),
        value=value_request(layers, schema),
    )
    spec = model_of(settings, schema)
    other = None if isinstance(network, Prognosis) else _other(network, spec, settings)
    plan = simulated_plan(
        settings,
        schema,
        study="lab",
        roster=tuple(everybody),
        quorum=None,
        seed=int(seed),
        model=spec if other is None else described(other.network, spec),
    )
    if faults := [*range_faults(plan, where="plan"), *strategy_faults(plan)]:
        raise InvalidInput(faults)
    with one_thread(), _shown(progress) as show, _logged(log, plan) as telling:
        federated, trained = _trained(plan, everybody, other, test, show, telling)
        telling.figures({"epsilon": _most_spent(federated.releases, plan)}, round_=plan.training.rounds)
    more = {} if other is None else {COLUMNS: str(spec.columns)}
    model = Model(trained, spec, metadata_of(plan, more))
    if test is None and isinstance(hospitals, Hospitals):
        test = hospitals.set_aside
    return Run(model, plan, federated.rounds, federated.releases, everybody, test)


def _other(network: nn.Module, spec: ModelSpec, settings: PlanSettings) -> OtherNetwork:
    faults = []
    if settings.training.mode is not TrainingMode.FULL_BATCH:
        what = "has local steps, and a network of one's own trains in full batches only"
        faults.append(Fault("strategy", what, "Leave `local` out, or use of.prognosis()."))
    if settings.privacy.bounding is not Bounding.CLIP:
        what = "bounds a patient's part by the form of the project's own network"
        faults.append(Fault("privacy: bounding", what, 'Use "clip", or of.prognosis().'))
    if settings.training.calibration_rounds:
        what = "are sums of the project's own network"
        faults.append(Fault("calibration_rounds", what, "Leave them out, or use of.prognosis()."))
    if faults:
        raise InvalidInput(faults)
    network = copied(network)
    refuse_unfit(network, spec=spec)
    return OtherNetwork(network, spec)


def _trained(
    plan: StudyPlan,
    hospitals: Mapping[str, Patients],
    other: OtherNetwork | None,
    test: Patients | None,
    show: Progress,
    telling: Telling,
) -> tuple[Federated, PrognosisNetwork | OtherNetwork]:
    failures: list[str] = []
    guard = None
    if other is not None:
        guard = partial(OtherGuard, gradients=PatientGradients(other), failures=failures)

    def at(weights: FloatArray) -> PrognosisNetwork | OtherNetwork:
        if other is None:
            return network_with(plan.model, weights)
        load_vector(other, weights)
        return other

    x = None if test is None else torch.as_tensor(encode(test.cohort))

    def figures(state: FederationState, report: RoundReport) -> dict[str, Any]:
        show("rounds", state.round, plan.training.rounds)
        reached: dict[str, float] = {}
        if x is not None and test is not None:
            measured: Measured = at(state.weights)
            reached = {"test_c_index": test_c_index(measured, x, test.cohort)}
        told = {"update_l2_norm": report.update_l2_norm, "answered": len(report.answered), "seconds": report.seconds}
        telling.figures(told | reached, round_=state.round)
        return dict(reached)

    show("rounds", 0, plan.training.rounds)
    federated = federate(
        plan,
        {site: patients.cohort for site, patients in hospitals.items()},
        run_folder=None,
        engine=Engine.GRID,
        resume=False,
        figures=figures,
        first_weights=None if other is None else vector_of(other, plan.model),
        guard=guard,
    )
    if failures:
        raise FederationFailure(
            f"the network failed {len(failures)} times on patients, at first with {failures[0]}. "
            "What it said is not repeated here, for it may quote them: call the network on encoded patients yourself."
        )
    return federated, at(federated.state.weights)


@contextmanager
def _shown(progress: bool) -> Iterator[Progress]:
    if not progress:
        yield no_progress
        return
    console = rich.console.Console()
    with notebook_bars() if console.is_jupyter else progress_bars(console) as show:
        yield show


@contextmanager
def _logged(log: Log | None, plan: StudyPlan) -> Iterator[Telling]:
    telling, finished = Telling(log), False
    telling.settings(plan)
    try:
        yield telling
        finished = True
    finally:
        telling.close(finished=finished)


def _most_spent(releases: Mapping[str, tuple[PrivacyEvent, ...]], plan: StudyPlan) -> float:
    spent = [epsilon_of(events, delta=plan.privacy.delta) for events in releases.values() if events]
    return max(spent, default=math.inf)
