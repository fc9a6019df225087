"""Does what a finished run left behind hold together? From its files alone, and by running it again where that is
possible.

A run's folder is what `oncofed simulate` wrote. Checked: model, checkpoint and plan belong together and say what they
were; every contribution that was combined was charged, with the plan's event, and the epsilons in `privacy.json` are
those of an independent count; the plan's noise gives what it promises; and, for synthetic patients, whom anybody can
make again: the model is as far from the model of the same run without noise as other runs with noise are.

The contributions themselves are kept by nobody, so their noise cannot be measured any more.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Modality
from oncofed.errors import CheckpointDamaged, Fault, InvalidInput, PrivacyRefusal
from oncofed.privacy.ledger import Charge, charge_from_json
from oncofed.privacy.policy import releases_of, without_privacy
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.server.flower.app import flower_says_errors_only
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.simulations.audit.accountant import AGREEMENT, agree, independent_epsilon
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict, not_applicable
from oncofed.simulations.federation import Engine, federate
from oncofed.simulations.partition import consortium
from oncofed.simulations.study import EvaluationSpec, Part, Partition, SitesSpec, Split
from oncofed.simulations.synthetic.consortium import generate

FloatArray = NDArray[np.float64]

RELEASED_WEIGHTS = "released weights"
CHARGES = "charges of the run"
CALIBRATION = "noise of the plan"
RERUN = "noise in the model"

UNSEEN_OF_A_RUN = (
    "The noise of single contributions: they are not kept. Audit the study itself to attack the guard that made them.",
    "Whether the code that ran was this code. The files say what it wrote down.",
    "Whether the ledgers were complete before they were written to the checkpoint.",
    "Which patients took part, and whether the table was the one that the study names.",
    "Other runs on the same patients, whose epsilons add up.",
)

_CLOSE = 0.1
_RERUNS = 2


@dataclass(frozen=True)
class AuditedRun:
    """What was found in a run's folder."""

    study: str
    facts: Sequence[tuple[str, str]]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class _Run:
    """A run's files, read."""

    folder: Path
    plan: StudyPlan
    stated_hash: str
    weights: FloatArray
    settings: Mapping[str, Any]
    privacy: Mapping[str, Any]
    rounds: pd.DataFrame
    finished: bool
    last_weights: FloatArray
    charges: Mapping[str, Sequence[Charge]]


def audited_run(folder: Path) -> AuditedRun:
    """Raises InvalidInput when the folder is not that of a finished run."""
    run = _read(folder)
    privacy = run.plan.privacy
    promised = "nothing" if privacy.epsilon is None else f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g}"
    facts = [
        ("Run", folder.name),
        ("Study", run.plan.study),
        ("Plan hash", run.stated_hash),
        ("Privacy mode", privacy.mode.value),
        ("Promised", promised),
        ("Rounds done", f"{len(run.rounds)} of {run.plan.training.rounds}"),
    ]
    verdicts = [_released_weights(run)]
    if not privacy.mode.private:
        why = "mode none promises nothing and charges nothing"
        verdicts += [not_applicable(name, why) for name in (CHARGES, CALIBRATION, RERUN)]
    else:
        verdicts += [_charges(run), _calibration(run), _rerun(run)]
    return AuditedRun(run.plan.study, facts, tuple(verdicts))


def _read(folder: Path) -> _Run:
    remedy = "Name the folder that `oncofed simulate --out` wrote, of a run that has ended."
    try:
        with safe_open(folder / "model.safetensors", framework="numpy") as model:
            metadata = model.metadata() or {}
            tensors = {name: model.get_tensor(name) for name in model.keys()}  # noqa: SIM118 - not a dictionary
        stated = metadata["plan_hash"]
        plan = plan_from_json(json.loads(metadata["plan"]))
        settings = json.loads((folder / "study.json").read_text())["settings"]
        privacy = json.loads((folder / "privacy.json").read_text())
        rounds = pd.read_parquet(folder / "rounds.parquet")
        checkpoint = load_checkpoint(folder, plan_hash=stated)
    except (OSError, SafetensorError, KeyError, ValueError, CheckpointDamaged) as error:
        what = f"cannot be read as a finished run ({type(error).__name__})"
        raise InvalidInput([Fault(str(folder), what, remedy)]) from None
    extra = checkpoint.extra
    ledgers = extra["ledgers"] if isinstance(extra, dict) else {}
    return _Run(
        folder=folder,
        plan=plan,
        stated_hash=stated,
        weights=_in_order(plan, tensors),
        settings=settings,
        privacy=privacy,
        rounds=rounds,
        finished=checkpoint.state.round == plan.training.rounds,
        last_weights=checkpoint.state.weights,
        charges={site: [charge_from_json(charge) for charge in charges] for site, charges in ledgers.items()},
    )


def _in_order(plan: StudyPlan, tensors: Mapping[str, NDArray[Any]]) -> FloatArray:
    """(parameters,): the model's tensors in the order in which they travel."""
    from oncofed.survival.network import PrognosisNetwork  # noqa: PLC0415 - torch, only now that files were read

    names = [name for name, _ in PrognosisNetwork(plan.model, initialisation_seed=0).named_parameters()]
    if set(names) - set(tensors):
        raise InvalidInput([Fault("model.safetensors", "is of another network than its plan's", "Restore the file.")])
    return np.concatenate([np.asarray(tensors[name], dtype=np.float64).ravel() for name in names])


def _released_weights(run: _Run) -> Verdict:
    same = run.weights.shape == run.last_weights.shape and bool((run.weights == run.last_weights).all())
    faults = [
        *([] if run.plan.hash == run.stated_hash else ["the plan in the model is not the one whose hash it states"]),
        *([] if same else ["the model's weights are not those of the last round"]),
        *([] if np.isfinite(run.weights).all() else ["the model's weights are not finite"]),
        *([] if run.finished else ["the run has not reached the plan's last round"]),
    ]
    return Verdict(
        RELEASED_WEIGHTS,
        Outcome.FAILED if faults else Outcome.PASSED,
        "; ".join(faults) or f"{len(run.weights):,} weights are those of round {len(run.rounds)}, bit for bit",
        "model, checkpoint and plan belong together",
        Power("one changed bit of weights or plan", 1.0),
        {"parameters": len(run.weights)},
    )


def _charges(run: _Run) -> Verdict:
    """Every contribution that was combined, against the ledgers."""
    plan, delta = run.plan, run.plan.privacy.delta
    event = release_of_round(plan).event
    answered, faults = int(run.rounds["answered"].sum()), []
    of_rounds = {
        site: [charge for charge in charges if _is_round_of(run.stated_hash, charge)]
        for site, charges in run.charges.items()
    }
    charged = sum(map(len, of_rounds.values()))
    if charged < answered:
        faults.append(f"{answered - charged} contributions were combined and not charged")
    everybody = set(run.rounds.loc[run.rounds["answered"] == len(plan.roster), "round"])
    for site in plan.roster:
        made = {int(charge.identity.split("/")[2]) for charge in of_rounds.get(site, [])}
        if everybody - made:
            faults.append(f"{site} answered {len(everybody - made)} rounds that its ledger does not hold")
    if any(charge.event != event for charges in of_rounds.values() for charge in charges):
        faults.append("a charge is of another release than the plan's")
    truth = {
        site: independent_epsilon([charge.event for charge in charges], delta=delta)
        for site, charges in run.charges.items()
        if charges
    }
    stated = run.privacy.get("epsilon_by_site") or {}
    wrong = [site for site in truth if not agree(float(stated.get(site) or math.inf), truth[site])]
    if wrong:
        faults.append(f"privacy.json says another epsilon for {', '.join(wrong)}")
    most = max(truth.values(), default=0.0)
    if plan.privacy.epsilon is not None and most > plan.privacy.epsilon + AGREEMENT:
        faults.append(f"the plan promises {plan.privacy.epsilon:g}")
    return Verdict(
        CHARGES,
        Outcome.FAILED if faults else Outcome.PASSED,
        f"{answered} contributions were combined and {charged} charged; an independent count gives epsilon {most:.3f} "
        f"at most" + "".join(f"; {fault}" for fault in faults),
        f"none without a charge, each charge the plan's, epsilons alike within {AGREEMENT}",
        Power(f"one missing charge, or an epsilon that is {AGREEMENT} off", 1.0),
        {"contributions": answered, "charges": charged, "epsilon_independent": most},
    )


def _is_round_of(plan_hash: str, charge: Charge) -> bool:
    """Not one of a summary, whose identity has the summary's name where a round's has its number."""
    parts = charge.identity.split("/")
    return parts[0] == plan_hash and parts[2].isdigit()


def _calibration(run: _Run) -> Verdict:
    plan = run.plan
    releases = releases_of(plan)
    needed = independent_epsilon(releases, delta=plan.privacy.delta)
    promised = plan.privacy.epsilon
    kept = promised is not None and needed <= promised + AGREEMENT
    return Verdict(
        CALIBRATION,
        Outcome.PASSED if kept else Outcome.FAILED,
        f"{len(releases)} releases of the plan's noise cost epsilon {needed:.3f}",
        f"not more than the {promised} that the plan promises, within {AGREEMENT}",
        Power(f"noise that gives an epsilon {AGREEMENT} too large", 1.0),
        {"epsilon_needed": needed},
    )


def _rerun(run: _Run) -> Verdict:
    """Distance from the model without noise, in that of other runs with noise."""
    if run.settings["data"]["table"] is not None:
        return not_applicable(RERUN, "only synthetic patients can be made again here")
    hospitals = _hospitals(run)
    if tuple(hospitals) != run.plan.roster or next(iter(hospitals.values())).schema.hash != run.plan.schema_hash:
        return not_applicable(RERUN, "this version of the program makes other synthetic patients")
    noisy = replace(run.plan, summaries=())  # they leave the model as it is
    silent = replace(noisy, privacy=without_privacy(l2_norm_bound=run.plan.privacy.l2_norm_bound), members=())
    centre = _trained(silent, hospitals)
    power = Power("noise that was left out altogether (then the distance is 0)", 1.0)
    allowed = f"between {1 - _CLOSE:g} and {1 + _CLOSE:g}"
    try:
        others = [float(np.linalg.norm(_trained(noisy, hospitals) - centre)) for _ in range(_RERUNS)]
    except PrivacyRefusal:
        return Verdict(RERUN, Outcome.FAILED, "no guard runs this plan: it promises too much", allowed, power)
    usual = float(np.mean(others))
    ratio = float(np.linalg.norm(run.weights - centre)) / usual if usual > 0 else math.inf
    return Verdict(
        RERUN,
        Outcome.PASSED if abs(ratio - 1) <= _CLOSE else Outcome.FAILED,
        f"the model is {ratio:.3f} times as far from the model without noise as {_RERUNS} other runs are",
        allowed,
        power,
        {"ratio": ratio},
    )


def _hospitals(run: _Run) -> Mapping[str, Cohort]:
    """The run's patients, made again."""
    data, sites, evaluation = (run.settings[name] for name in ("data", "sites", "evaluation"))
    made = generate(
        patients=data["synthetic_patients"], hospitals=data["synthetic_hospitals"], seed=data["synthetic_seed"]
    )
    schema = made.schema
    if data["modalities"] is not None:
        wanted = {Modality(name) for name in data["modalities"]}
        markers = tuple(marker for marker in schema.markers if marker.modality in wanted)
        entity = schema.tumour_entity if schema.tumour_entity in {marker.name for marker in markers} else None
        schema = replace(schema, markers=markers, tumour_entity=entity)
    split = evaluation | {
        "split": Split(evaluation["split"]),
        "part": Part(evaluation["part"]),
        "reserved_seeds": tuple(evaluation["reserved_seeds"]),
    }
    found = consortium(
        made.table,
        schema,
        where="synthetic consortium",
        sites=SitesSpec(Partition(sites["partition"]), count=sites["count"]),
        evaluation=EvaluationSpec(**split),
        seed=run.settings["seed"],
    )
    return found.hospitals


def _trained(plan: StudyPlan, hospitals: Mapping[str, Cohort]) -> FloatArray:
    with tempfile.TemporaryDirectory() as folder, flower_says_errors_only():
        federated = federate(
            plan,
            hospitals,
            run_folder=Path(folder),
            engine=Engine.GRID,
            resume=False,
            figures=lambda state, report: {},
        )
    return federated.state.weights
