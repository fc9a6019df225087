"""What does a held-out patient add to the summary of kind `evaluation`, or of `time_at_risk`? At most 1 long.

One count an endpoint, or time at risk and event of each. The cell follows from the model's log hazard ratio for the
patient, from the patient's own follow-up and from public bounds: `survival.held_out`, and `survival.time_at_risk` where
patients may come late. It is the same whoever else is there, as `patients.summaries` asks.

Of a model with time shapes a log hazard ratio changes with time. Groups are then cut by that of all of the time up to
the horizon (`gathered_ratio`), from which the risk by the horizon follows as if hazards were proportional.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy
from torch import Tensor

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.survival.held_out import CountLayout, counted
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.one_by_one import exponential, one_by_one, row_sums
from oncofed.survival.time_at_risk import AtRiskLayout, followed


def layout_of(plan: StudyPlan, spec: SummarySpec) -> CountLayout | AtRiskLayout:
    """The table that the plan asks for."""
    layout = AtRiskLayout if spec.kind is SummaryKind.TIME_AT_RISK else CountLayout
    return layout(len(plan.model.endpoints), spec.edges, spec.time_bounds)


def faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
    """Why it cannot be counted so, in words; empty when it can."""
    layout = layout_of(plan, spec)
    found = layout.faults(plan.model.grid)
    if not found and layout.cells != spec.cells:
        found.append(f"it states {spec.cells} cells where its bounds make {layout.cells}")
    if spec.horizon not in spec.time_bounds[1:]:
        found.append("its horizon is none of its times")
    return found


def rows(
    plan: StudyPlan, spec: SummarySpec, weights: NDArray[np.float64], patients: PatientTensors
) -> NDArray[np.float64]:
    """(patients, cells)."""
    network = network_with(plan.model, weights)
    with torch.no_grad(), one_by_one(network, patients.fed):  # or who else is there could move a patient over an edge
        ratios = np.asarray(gathered_ratio(network, patients.x, until=spec.horizon).numpy())
    layout, events, at_risk = layout_of(plan, spec), patients.events.numpy(), patients.at_risk.numpy()
    if isinstance(layout, AtRiskLayout):
        return followed(layout, plan.model.grid, log_hazard_ratio=ratios, events=events, at_risk=at_risk)
    return counted(layout, plan.model.grid, log_hazard_ratio=ratios, events=events, at_risk=at_risk)


def gathered_ratio(network: PrognosisNetwork, x: Tensor, *, until: float) -> Tensor:
    """(patients, endpoints): log of the hazard gathered by a bound of the grid, over that of the reference patient.

    f(x) where the model has no time shapes.
    """
    ratio: Tensor = network(x)
    if network.time_shapes is None:
        return ratio
    counted = network.spec.grid.bounds.index(until)
    own = network.baseline.log_hazard() + network.shapes_of(x)
    reference = torch.as_tensor(network.reference_log_hazard)[None]
    gathered, of_reference = (
        row_sums(exponential(each[:, :, :counted]).flatten(0, 1)).view(each.shape[:2]) for each in (own, reference)
    )
    # scipy calls one scalar function number by number.
    return ratio + torch.as_tensor(xlogy(1.0, (gathered / of_reference).numpy()))
