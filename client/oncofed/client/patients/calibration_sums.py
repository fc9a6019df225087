"""What does a patient add in a calibration round?

Five numbers an endpoint (`protocol.calibration_layout`), from the patient and public numbers alone, to the last bit.

Bounded: with R = L - d, where L is in [0, c] and d is 0 or 1, the squared length of an endpoint's numbers is
R^2 (1 + f^2) + L^2 i^2 (1 + f^2 + f^4), convex in L, so it is largest for d = 0 and L = c, or for d = 1 and L = 0 or c.
The weight is 1 over the root of the sum of that over endpoints: it follows from the covariates and the current weights,
so at the truth the expected sums of R and R f are 0 (`survival.stopped_residuals`). Rows are held to the bound once
more, as those of a summary are. A comparator's numbers are of its own hazard and log hazard ratio, stopped by that
hazard, times its public weight v, and its part of the sum counts times v^2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.patients.summaries import cut
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.calibration_layout import INFORMATION, SUMS, calibration_numbers
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.one_by_one import one_by_one, root, row_sums
from oncofed.survival.stopped_residuals import stopped_residuals

FloatArray = NDArray[np.float64]

PATIENTS_AT_ONCE = 4096


def calibration_sum(plan: StudyPlan, weights: FloatArray, patients: PatientTensors) -> BoundedSum:
    """The sum of all patients' rows, as long as a round's. Without any noise yet: it may not leave so."""
    network, total = network_with(plan.model, weights), np.zeros(plan.model.parameters)
    for start in range(0, len(patients), PATIENTS_AT_ONCE):
        some = patients.rows(slice(start, start + PATIENTS_AT_ONCE))
        total[: calibration_numbers(plan.model)] += bounded_rows(plan, network, some).sum(dim=0).numpy()
    return in_a_rounds_units(plan, total)


def bounded_rows(plan: StudyPlan, network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """(patients, `calibration_numbers`): what each adds, held to the bound."""
    return cut(calibration_rows(network, patients, cap=plan.privacy.hazard_cap), usable=patients.usable)


def in_a_rounds_units(plan: StudyPlan, total: FloatArray) -> BoundedSum:
    """The sum of rows, as a round's sum is bounded."""
    bound = plan.privacy.l2_norm_bound
    return BoundedSum(total, math.inf) if bound is None else BoundedSum(total * bound, bound)


def calibration_rows(network: PrognosisNetwork, patients: PatientTensors, *, cap: float) -> Tensor:
    """(patients, `calibration_numbers`), each row at most 1 long."""
    with torch.no_grad(), one_by_one(network, patients.fed):
        ratio = network(patients.x)
        models = [(1.0, ratio, network.log_hazard_of(patients.x, ratio))]
        for head in network.heads:
            ratio = head(patients.x)
            models.append((head.weight, ratio, head.log_hazard_of(ratio)))
    numbers, squared = zip(*(_numbers(*each, patients, cap=cap) for each in models), strict=True)
    weight = 1 / root(row_sums(torch.cat(squared, dim=1)))
    return torch.cat(numbers, dim=1) * weight[:, None]


def _numbers(
    weight: float, log_hazard_ratio: Tensor, log_hazard: Tensor, patients: PatientTensors, *, cap: float
) -> tuple[Tensor, Tensor]:
    """(patients, SUMS * endpoints), and (patients, endpoints): the most that their squares can add up to."""
    nothing = torch.zeros_like(patients.events)
    residual, hazard = (
        row_sums(stopped_residuals(log_hazard, events, patients.at_risk, cap=cap).flatten(0, 1)).view_as(
            log_hazard_ratio
        )
        for events in (patients.events, nothing)
    )
    ratio, square = log_hazard_ratio, log_hazard_ratio.square()
    slope, curvature = 1 + square, INFORMATION**2 * (1 + square + square.square())
    survives, dies_late = cap**2 * (slope + curvature), (1 - cap) ** 2 * slope + cap**2 * curvature
    numbers = (
        residual,
        residual * ratio,
        INFORMATION * hazard,
        INFORMATION * hazard * ratio,
        INFORMATION * hazard * square,
    )
    assert len(numbers) == SUMS
    most = torch.maximum(torch.maximum(survives, dies_late), slope)
    return weight * torch.stack(numbers, dim=2).flatten(1), weight**2 * most
