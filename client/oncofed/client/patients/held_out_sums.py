"""What does a held-out patient add to the summary of kind `calibration`?

Observed less expected events and expected events, both stopped, with their moments in the log hazard ratio: the numbers
of `protocol.expected_layout`, which also proves how long they are at most. From the patient and public numbers alone,
to the last bit: the network is computed one by one, sums are added in one order, and all else is done entry by entry.

Exact under delayed entry, unlike counts by time of follow-up: exposure counts from entry on, so nobody is left out and
nobody counts as followed from time zero.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.protocol.expected_layout import BLOCK_WEIGHTS, OVERALL, OVERALL_WEIGHTS, ExpectedLayout, expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.categories import category_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with
from oncofed.survival.one_by_one import one_by_one, row_sums
from oncofed.survival.stopped_residuals import stopped_residuals


def rows(
    plan: StudyPlan, spec: SummarySpec, weights: NDArray[np.float64], patients: PatientTensors
) -> NDArray[np.float64]:
    """(patients, cells), each row at most 1 long."""
    layout, network = expected_layout(plan, spec), network_with(plan.model, weights)
    with torch.no_grad(), one_by_one(network, patients.fed):
        ratio = network(patients.x)
        log_hazard = network.log_hazard_of(patients.x, ratio)
    found = expected_rows(
        layout,
        ratio,
        _by_window(layout, plan, log_hazard, patients.events, patients.at_risk),
        _by_window(layout, plan, log_hazard, torch.zeros_like(patients.events), patients.at_risk),
        category_of(spec.group_columns, patients.x),
    )
    return np.asarray(found.numpy())


def _by_window(layout: ExpectedLayout, plan: StudyPlan, log_hazard: Tensor, events: Tensor, at_risk: Tensor) -> Tensor:
    """(patients, endpoints, windows): predicted hazard less event, stopped."""
    stopped = stopped_residuals(log_hazard, events, at_risk, cap=layout.cap)
    places = [plan.model.grid.bounds.index(bound) for bound in layout.time_bounds]
    return torch.stack(
        [row_sums(stopped[:, :, begin:end].flatten(0, 1)).view(stopped.shape[:2]) for begin, end in pairwise(places)],
        dim=2,
    )


def expected_rows(
    layout: ExpectedLayout, log_hazard_ratio: Tensor, residual: Tensor, hazard: Tensor, group: Tensor
) -> Tensor:
    """(patients, cells).

    log_hazard_ratio  (patients, endpoints). residual, hazard: (patients, endpoints, windows), hazard less event and
                      hazard, stopped. group: (patients,), of `layout.groups`.
    """
    patients, endpoints, windows = hazard.shape
    z = ((log_hazard_ratio - layout.centre) / layout.spread).clamp(-1.0, 1.0)
    less, expected = (row_sums(each.flatten(0, 1)).view(patients, endpoints) for each in (-residual, hazard))
    overall = (less, less * z, expected, expected * z, expected * z.square())
    numbers = torch.zeros(patients, endpoints, layout.numbers, dtype=torch.float64)
    numbers[:, :, :OVERALL] = torch.stack(overall, dim=2) * torch.tensor(OVERALL_WEIGHTS, dtype=torch.float64)
    by_window = torch.stack([-residual, hazard], dim=3) * torch.tensor(BLOCK_WEIGHTS, dtype=torch.float64)
    end = OVERALL + layout.rows_of_everybody * 2 * windows
    numbers[:, :, OVERALL:end] = by_window.flatten(2)[:, :, : end - OVERALL]
    if layout.rows_of_groups:
        place = end + 2 * windows * group[:, None] + torch.arange(2 * windows)
        numbers.scatter_(2, place[:, None, :].expand(-1, endpoints, -1), by_window.flatten(2))
    return numbers.flatten(1) * layout.weight
