"""How does a study train a second model, of the few markers that carry its first one most?

The markers are those with the largest released weights, which are public, so that choosing them costs nothing. The
second training costs what any training costs: it has a plan of its own, and each hospital's ledger goes on from what
the first one was charged, within the study's epsilon (`federation.Earlier`). It starts from the released weights, and
decay pulls to them, so that what the first training learned of these markers is not lost. Fewer columns have less noise
in all, so the settings are chosen anew for them, and the model is judged on the very patients that the first one is
judged on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.errors import Fault
from oncofed.explanation.panels import nested_panels, panel_schema, ranked_markers
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState
from oncofed.simulations.evaluation import endpoint_results, test_c_index
from oncofed.simulations.federation import Earlier, Engine, expecting, federate, simulated_plan
from oncofed.simulations.model_file import metadata_of, write_model
from oncofed.simulations.panel_path import panel_path
from oncofed.simulations.partition import Consortium
from oncofed.simulations.progress import Progress
from oncofed.simulations.results import Panel
from oncofed.simulations.study import Study
from oncofed.study.panel_settings import PANEL, PanelRequest, of_panel, size_faults
from oncofed.survival.network import PrognosisNetwork, network_with


@dataclass(frozen=True, eq=False)
class TrainedPanel:
    """releases: by site, of both trainings."""

    panel: Panel
    releases: Mapping[str, tuple[PrivacyEvent, ...]]


def panel_faults(request: PanelRequest, schema: StudySchema, engine: Engine) -> list[Fault]:
    """Why the study cannot have its panel; empty where it asks for none."""
    if not request.is_asked:
        return []
    faults = size_faults(request, schema)
    if engine is not Engine.GRID:
        faults.append(Fault("[panel]", f"is not trained by the engine {engine}", "Leave --engine out, or [panel]."))
    return faults


def trained_panel(
    study: Study,
    network: PrognosisNetwork,
    patients: Consortium,
    *,
    earlier: Earlier,
    run_folder: Path,
    resume: bool,
    progress: Progress,
) -> TrainedPanel:
    """The model, and what it costs with all before it. network: of all markers. earlier: what was released until now.

    Its checkpoint is in a folder of its own in the run's. Raises FederationFailure.
    """
    ranked = ranked_markers(network, patients.test.schema)
    markers = ranked[: study.panel.markers]
    own, plan = planned_panel(study, network, patients, markers)
    folder, x_test = run_folder / PANEL, torch.as_tensor(encode(own.test))
    folder.mkdir(exist_ok=True)

    def figures(state: FederationState, report: RoundReport) -> dict[str, Any]:
        progress("panel", state.round, plan.training.rounds)
        reached = test_c_index(network_with(plan.model, state.weights), x_test, own.test)
        return {"test_c_index": None if math.isnan(reached) else reached}

    progress("panel", 0, plan.training.rounds)
    federated = federate(
        plan,
        own.hospitals,
        run_folder=folder,
        engine=Engine.GRID,
        resume=resume and has_checkpoint(folder),
        figures=figures,
        earlier=earlier,
    )
    found = Panel(
        markers=markers,
        schema=own.test.schema,
        plan=plan,
        weights=federated.state.weights,
        rounds=federated.rounds,
        endpoints=endpoint_results(
            network_with(plan.model, federated.state.weights),
            patients=own,
            evaluation=study.evaluation,
            seed=study.seed,
        ),
        path=panel_path(network, nested_panels(ranked), patients.test, rng=np.random.default_rng([study.seed, 5])),
    )
    return TrainedPanel(found, federated.releases)


def planned_panel(
    study: Study, network: PrognosisNetwork, patients: Consortium, markers: Sequence[str]
) -> tuple[Consortium, StudyPlan]:
    """The patients by these markers alone, and the plan of the second training. network: of all markers."""
    own = of_markers(patients, panel_schema(patients.test.schema, network, markers, study=study.name))
    trained_on = sum(map(len, own.hospitals.values()))
    settings = expecting(study.settings, trained_on)
    plan = simulated_plan(
        of_panel(settings, study.panel, own.test.schema, hospitals=len(own.hospitals)),
        own.test.schema,
        study=f"{study.name}_{PANEL}",
        roster=tuple(own.hospitals),
        quorum=study.sites.quorum,
        seed=study.seed,
    )
    return own, plan


def of_markers(patients: Consortium, schema: StudySchema) -> Consortium:
    """The same hospitals and patients, by the markers of this schema alone, which are some of their own."""
    names = {marker.name for marker in schema.markers}

    def by_these(cohort: Cohort) -> Cohort:
        return replace(cohort.of_markers(names), schema=schema)

    return replace(
        patients,
        hospitals={site: by_these(cohort) for site, cohort in patients.hospitals.items()},
        test=by_these(patients.test),
        held_out={site: by_these(cohort) for site, cohort in patients.held_out.items()},
    )


def write_panel(folder: Path, panel: Panel, *, study_hash: str) -> None:
    """The model, and the schema of its markers, which is all that a study of it needs."""
    network = network_with(panel.plan.model, panel.weights)
    write_model(folder / "model.safetensors", network, metadata_of(panel.plan, {"study_hash": study_hash}))
    (folder / "schema.toml").write_text(schema_as_toml(panel.schema), encoding="utf-8")
