"""What does a patient add in a calibration round?

Five numbers an endpoint (`protocol.calibration_layout`), from the patient and public numbers alone, to the last bit.

Bounded: with R = L - d, where L is in [0, c] and d is 0 or 1, the squared length of an endpoint's numbers is
R^2 (1 + f^2) + L^2 i^2 (1 + f^2 + f^4), convex in L, so it is largest for d = 0 and L = c, or for d = 1 and L = 0 or c.
The weight is 1 over the root of the sum of that over endpoints: it follows from the covariates and the current weights,
so at the truth the expected sums of R and R f are 0 (`survival.stopped_residuals`). Rows are held to the bound once
more, as those of a summary are. A comparator's numbers are of its own hazard and log hazard ratio, stopped by that
hazard, times its public weight v, and its part of the sum counts times v^2.

With the course over time, R_k and i L_k of each interval are numbers, too. Their squares are convex in the hazards
L_k >= 0, whose sum is at most c, so largest where all of it lies in one interval, or none: c^2 (1 + i^2) without an
event; 1 with one before any hazard; 1 + c^2 (1 + i^2) with one after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.patients.summaries import cut
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.calibration_layout import INFORMATION, SUMS
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.one_by_one import one_by_one, root, row_sums
from oncofed.survival.stopped_residuals import stopped_residuals

FloatArray = NDArray[np.float64]

PATIENTS_AT_ONCE = 4096

BoundedRows = Callable[[StudyPlan, PrognosisNetwork, PatientTensors], Tensor]
"""(patients, numbers), each row at most 1 long."""


def calibration_sum(plan: StudyPlan, weights: FloatArray, patients: PatientTensors) -> BoundedSum:
    """The sum of all patients' rows, as long as a round's. Without any noise yet: it may not leave so."""
    return sum_of_rows(plan, weights, patients, bounded_rows)


def sum_of_rows(plan: StudyPlan, weights: FloatArray, patients: PatientTensors, rows_of: BoundedRows) -> BoundedSum:
    """The same of other rows, which come first in what is as long as a round's."""
    network, total = network_with(plan.model, weights), np.zeros(plan.model.parameters)
    for start in range(0, len(patients), PATIENTS_AT_ONCE):
        rows = rows_of(plan, network, patients.rows(slice(start, start + PATIENTS_AT_ONCE)))
        total[: rows.shape[1]] += rows.sum(dim=0).numpy()
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
        models = [(1.0, ratio, stopped(network.log_hazard_of(patients.x, ratio), patients, cap=cap))]
        for head in network.heads:
            ratio = head(patients.x)
            models.append((head.weight, ratio, stopped(head.log_hazard_of(ratio), patients, cap=cap)))
    has_course = network.spec.entity_levels is not None
    numbers, squared = zip(
        *(_numbers(*each, cap=cap, has_course=has_course and not place) for place, each in enumerate(models)),
        strict=True,
    )
    of_course = [_of_course(models[0][2])] if has_course else []
    weight = 1 / root(row_sums(torch.cat(squared, dim=1)))
    return torch.cat([*numbers, *of_course], dim=1) * weight[:, None]


@dataclass(frozen=True, eq=False)
class Stopped:
    """(patients, endpoints, intervals) each, up to where a patient's follow-up ends."""

    residuals: Tensor
    hazards: Tensor


def stopped(log_hazard: Tensor, patients: PatientTensors, *, cap: float) -> Stopped:
    """log_hazard: (patients, endpoints, intervals), as current weights have it."""
    nothing = torch.zeros_like(patients.events)
    residuals, hazards = (
        stopped_residuals(log_hazard, events, patients.at_risk, cap=cap) for events in (patients.events, nothing)
    )
    return Stopped(residuals, hazards)


def all_along(over_time: Tensor) -> Tensor:
    """(patients, endpoints, intervals) -> (patients, endpoints): the sum."""
    return row_sums(over_time.flatten(0, 1)).view(over_time.shape[:2])


def _numbers(
    weight: float, log_hazard_ratio: Tensor, of_outcome: Stopped, *, cap: float, has_course: bool
) -> tuple[Tensor, Tensor]:
    """(patients, SUMS * endpoints), and (patients, endpoints): the most that their squares can add up to, with those
    of the course where it stands beside them.
    """
    residual, hazard = all_along(of_outcome.residuals), all_along(of_outcome.hazards)
    ratio, square = log_hazard_ratio, log_hazard_ratio.square()
    slope, curvature = 1 + square, INFORMATION**2 * (1 + square + square.square())
    survives = cap**2 * (slope + curvature)
    dies_late = (1 - cap) ** 2 * slope + cap**2 * curvature
    dies_at_once = slope
    if has_course:
        survives = survives + cap**2 * (1 + INFORMATION**2)
        dies_late = dies_late + 1 + cap**2 * (1 + INFORMATION**2)
        dies_at_once = dies_at_once + 1
    numbers = (
        residual,
        residual * ratio,
        INFORMATION * hazard,
        INFORMATION * hazard * ratio,
        INFORMATION * hazard * square,
    )
    assert len(numbers) == SUMS
    most = torch.maximum(torch.maximum(survives, dies_late), dies_at_once)
    return weight * torch.stack(numbers, dim=2).flatten(1), weight**2 * most


def _of_course(of_outcome: Stopped) -> Tensor:
    """(patients, endpoints * intervals * 2)."""
    return torch.stack([of_outcome.residuals, INFORMATION * of_outcome.hazards], dim=3).flatten(1)
