"""What are patients to the likelihood? Their columns, and their outcomes on the public grid, in numbers.

No identifier and no date. Imports no torch, so that whoever only writes them down need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode


@dataclass(frozen=True, eq=False)
class EncodedPatients:
    """x  (patients, columns). events, at_risk  (patients, endpoints, intervals): d_k and p_k. All float64."""

    x: NDArray[np.float64]
    events: NDArray[np.float64]
    at_risk: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.x)


def encoded_patients(cohort: Cohort) -> EncodedPatients:
    """Encode a cohort with its schema's public constants and lay its outcomes on the public grid."""
    grid = cohort.schema.grid
    endpoints = range(len(cohort.schema.endpoints))
    events = [grid.events(cohort.exit[:, e], cohort.observed[:, e]) for e in endpoints]
    at_risk = [grid.at_risk(cohort.entry[:, e], cohort.exit[:, e]) for e in endpoints]
    return EncodedPatients(encode(cohort), np.stack(events, axis=1), np.stack(at_risk, axis=1))
