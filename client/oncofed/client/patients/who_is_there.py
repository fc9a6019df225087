"""What does a patient add to the summary of kind `readiness`? That there is one, which events, and what was measured.

The numbers of `protocol.readiness_layout`, from the patient's encoded columns and outcomes alone, entry by entry: so
they are the same bits whoever else is there. The weights in the question have no part in it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.readiness_layout import PATIENTS_WEIGHT, readiness_layout
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.likelihood import PatientTensors


def rows(
    plan: StudyPlan, spec: SummarySpec, weights: NDArray[np.float64], patients: PatientTensors
) -> NDArray[np.float64]:
    """(patients, cells), each row less than 1 long."""
    layout = readiness_layout(plan, spec)
    found = torch.zeros(len(patients), layout.cells, dtype=torch.float64)
    found[:, 0] = PATIENTS_WEIGHT
    found[:, layout.events] = (patients.events > 0).any(dim=2).double() * layout.event
    unmeasured = patients.x[:, list(spec.group_columns)] != 0
    found[:, layout.measured] = (1.0 - 2.0 * unmeasured.double()) * layout.flag
    return np.asarray(found.numpy())
