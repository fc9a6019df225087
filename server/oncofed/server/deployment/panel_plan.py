"""What does a study of real hospitals ask for when its panel is trained?

The panel's plan comes after that of all markers, whose released weights say which they are and where training starts;
both cost no privacy. It is a plan like any other: signed, approved for itself and charged, with its part of the study's
epsilon (`study.panel_settings`). Whoever the first plan set aside is set aside here, too.
"""

from __future__ import annotations

from dataclasses import replace

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.errors import Fault, InvalidInput
from oncofed.explanation.panels import panel_schema, ranked_markers
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_words import cost_of
from oncofed.server.deployment.consortium_file import Consortium, of_prognosis
from oncofed.server.report.study import DeployedStudy
from oncofed.study.panel_settings import PANEL, PanelRequest, decided, of_panel, size_faults
from oncofed.survival.network import network_with


def panel_consortium(consortium: Consortium, first: DeployedStudy) -> Consortium:
    """The study file as one of the panel's markers. first: of all markers. Raises InvalidInput with every fault."""
    name, schema, hospitals = consortium.study.name, consortium.schema, len(first.plan.roster)
    request, _ = decided(consortium.settings, schema, hospitals=hospitals, request=consortium.panel)
    faults = size_faults(request, schema)
    if not request.is_asked:
        remedy = "Write there how many markers. What the first plan spent is spent: it must have known of the panel."
        faults.append(Fault("[panel]", "asks for no panel, or its public numbers say that none pays", remedy))
    if (first.plan.study, first.plan.schema_hash) != (name, schema.hash):
        remedy = "Name the plan that was made of this very file."
        faults.append(Fault("--panel", f"is a plan of the study {first.plan.study}, or of another schema", remedy))
    if not first.plan.makes_model:
        remedy = "Name the plan of all markers."
        faults.append(Fault("--panel", "is a plan that trains no prognosis", remedy))
    elif first.weights is None:
        remedy = "Wait until it has ended, or go on with it: oncofed coordinator resume"
        faults.append(Fault("--panel", "has no released model yet, whose weights say which markers", remedy))
    if request.is_asked and _spent_more(consortium, request, first.plan):
        remedy = "The panel's would come on top of it: name a plan that was signed with this [panel], or leave it out."
        faults.append(Fault("--panel", "promises more than this file leaves it beside its other plans", remedy))
    if faults:
        raise InvalidInput(faults)
    assert first.weights is not None
    network = network_with(first.plan.model, first.weights)
    few = panel_schema(schema, network, ranked_markers(network, schema)[: request.markers], study=name)
    return replace(
        consortium,
        study=replace(consortium.study, name=f"{name}_{PANEL}"),
        schema=few,
        schema_toml=schema_as_toml(few),
        settings=of_panel(consortium.settings, request, few, hospitals=hospitals),
        panel=PanelRequest(),
        target_trial=None,
        set_aside=first.plan.held_out_fraction,
    )


def _spent_more(consortium: Consortium, request: PanelRequest, first: StudyPlan) -> bool:
    """Than is left for all markers: the study's epsilon holds both, and all that was released of the first."""
    left = of_prognosis(consortium, request).privacy.epsilon
    cost = cost_of(first)
    if left is None or cost is None:
        return left is not None and cost is None
    return cost.planned > left * (1 + 1e-9)
