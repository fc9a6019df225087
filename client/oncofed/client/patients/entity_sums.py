"""What does a patient add in a calibration round of tumour entities?

Two numbers an endpoint, at the place of the patient's own entity, and zeros at all others
(`protocol.calibration_layout`): the residual and INFORMATION times the predicted hazard, both stopped
(`survival.stopped_residuals`). All patients have one public weight, which keeps any outcome within the bound, so each
sum is the entity's expected less observed events, and the expected ones, up to a public factor. Rows are held to the
bound once more, as those of a summary are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.patients.calibration_sums import all_along, stopped, sum_of_rows
from oncofed.client.patients.summaries import cut
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.calibration_layout import INFORMATION, entity_weight
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.categories import category_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork
from oncofed.survival.one_by_one import one_by_one


def entity_sum(plan: StudyPlan, weights: NDArray[np.float64], patients: PatientTensors) -> BoundedSum:
    """The sum of all patients' rows, as long as a round's. Without any noise yet: it may not leave so."""
    return sum_of_rows(plan, weights, patients, bounded_entity_rows)


def bounded_entity_rows(plan: StudyPlan, network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """(patients, `entity_numbers`): what each adds, held to the bound."""
    return cut(entity_rows(network, patients, cap=plan.privacy.hazard_cap), usable=patients.usable)


def entity_rows(network: PrognosisNetwork, patients: PatientTensors, *, cap: float) -> Tensor:
    """(patients, `entity_numbers`), each row at most 1 long: by endpoint, entity, and the two numbers."""
    levels = network.spec.entity_levels
    assert levels is not None
    with torch.no_grad(), one_by_one(network, patients.fed):
        of_outcome = stopped(network.log_hazard(patients.x), patients, cap=cap)
    numbers = torch.stack([all_along(of_outcome.residuals), INFORMATION * all_along(of_outcome.hazards)], dim=2)
    entity = category_of(levels.entity_columns, patients.x)
    is_own = torch.zeros(len(patients), levels.entities, dtype=torch.float64).scatter_(1, entity[:, None], 1.0)
    weighted = entity_weight(network.spec, cap=cap) * numbers
    return (weighted[:, :, None, :] * is_own[:, None, :, None]).flatten(1)
