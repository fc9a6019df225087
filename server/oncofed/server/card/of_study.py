"""What does a coordinator hand on of a finished study of real hospitals? Its model package, made of what was released.

The model's file and its signature are those that the hospitals have. Card, checklist and ONNX file are made here, after
the fact and as often as somebody wants; nobody signs them, and SHA256SUMS tells them apart from others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.onnx_model import onnx_metadata, onnx_model
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.study_document import read_document
from oncofed.server.card.known import Known, Origin, described
from oncofed.server.card.package import write_package
from oncofed.server.deployment.delivery import MODEL
from oncofed.server.evaluation.calibration import measured_calibration
from oncofed.server.evaluation.gains import released_gains
from oncofed.server.evaluation.measured import evaluation_in, measured
from oncofed.server.evaluation.options import released_options
from oncofed.server.report.options_figures import options_figures
from oncofed.server.report.reading import read_deployed_study
from oncofed.server.report.released_figures import (
    plain,
    released_calibration_figures,
    released_figures,
    released_gain_figures,
    released_marker_figures,
)
from oncofed.server.report.spending import site_costs
from oncofed.server.report.study import DeployedStudy
from oncofed.server.rounds.explanation_votes import released_explanations
from oncofed.study.reporting import NOTHING_SAID, Reporting
from oncofed.words.names import plain_name


@dataclass(frozen=True)
class Said:
    """What a study file says in words. study: its name, which must be the plan's. title: empty for none."""

    study: str
    title: str
    reporting: Reporting


def write_package_of_study(study_folder: Path, out: Path, said: Said | None) -> None:
    """study_folder: of one study at the coordinator. said: None where no study file is at hand.

    Raises InvalidInput: there is no released model yet; the study file is another study's.
    """
    study = read_deployed_study(study_folder)
    faults = []
    if study.plan.validates is not None:
        remedy = "Hand on the package of the study that trained it."
        faults.append(Fault(f"study {plain_name(study.plan.study)}", "measures a model of another study", remedy))
    elif study.plan.target_trial is not None:
        remedy = "Its report says what was compared: oncofed coordinator report"
        faults.append(Fault(f"study {plain_name(study.plan.study)}", "compares options and hands out no model", remedy))
    elif study.weights is None:
        remedy = "Wait until it has ended, or go on with it: oncofed coordinator resume"
        faults.append(Fault(f"study {plain_name(study.plan.study)}", "has no released model yet", remedy))
    if said is not None and said.study != study.plan.study:
        what = f"is of the study {said.study}, and the plan of {study.plan.study}"
        faults.append(Fault("--study", what, "Give the study file that the plan was made from."))
    if faults:
        raise InvalidInput(faults)
    assert study.weights is not None
    plan, document = study.plan, (study_folder / "plan.json").read_bytes()
    figures: dict[str, Any] = plain(metrics_of_study(study))
    contents = {
        "model.safetensors": (study_folder / MODEL).read_bytes(),
        "signature.json": _json(
            {
                "file": "model.safetensors",
                "sha256": study.model_sha256,
                "ed25519_signature": study.signature,
                "coordinator_public_key": plan.coordinator_public_key,
            }
        ),
        "model.onnx": onnx_model(plan.model, study.schema, study.weights, metadata=onnx_metadata(plan)),
        "schema.toml": read_document(document).schema_toml.encode(),
        "plan.json": document,
        "metrics.json": _json(figures),
    }
    write_package(out, known_of_study(study, figures, said), contents)


def known_of_study(study: DeployedStudy, figures: dict[str, Any], said: Said | None) -> Known:
    """figures: of `metrics_of_study`, as JSON holds them."""
    return Known(
        title=(said.title if said is not None else "") or plain_name(study.plan.study),
        plan=study.plan,
        schema=study.schema,
        metrics=figures,
        reporting=NOTHING_SAID if said is None else said.reporting,
    )


def metrics_of_study(study: DeployedStudy) -> dict[str, Any]:
    """The study in numbers, under the names of a simulation's metrics.json: only what hospitals released, and costs."""
    plan, privacy, weights = study.plan, study.plan.privacy, study.weights
    evaluation = evaluation_in(plan)
    found = (
        None if weights is None else measured(plan, study.summaries, weights, competing=study.schema.competing_names)
    )
    calibration = measured_calibration(plan, study.summaries)
    gains = released_gains(plan, study.summaries)
    markers = released_explanations(plan, study.schema, study.summaries)
    question = question_of(plan, study.schema)
    costs = [each.epsilon_at_most for each in site_costs(study) if each.epsilon_at_most is not None]
    return {
        "study": plan.study,
        "privately_released": None if found is None else released_figures(found),
        "calibration_privately_released": None
        if calibration is None
        else released_calibration_figures(calibration, study.schema),
        "gains_privately_released": None if gains is None else released_gain_figures(gains),
        "key_markers_privately_released": None if markers is None else released_marker_figures(markers),
        "options_privately_released": None
        if question is None
        else options_figures(question, released_options(plan, question, study.summaries)),
        "privacy": {
            "mode": privacy.mode.value,
            "epsilon": max(costs, default=None),
            "delta": privacy.delta,
            "relation": privacy.relation,
        },
        "described": described(
            plan,
            study.schema,
            origin=Origin.HOSPITALS,
            horizon=None if evaluation is None else evaluation.horizon,
        ),
        "sites": len(plan.roster),
        "rounds": study.last_round,
    }


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, default=str) + "\n").encode()
