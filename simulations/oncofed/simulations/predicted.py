"""Who does a network expect to have had an endpoint's event by a time, and who not?

Where other endpoints may come first, that follows from the hazards of all of them (`curves.cumulative_incidence`): one
minus the exponential of one of them would be of a world without the others.

Everywhere: log_hazard_ratio (patients, endpoints), log_baseline_hazard (patients, endpoints, intervals), as a network
gives them; times in the grid's unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import StudySchema
from oncofed.survival.curves import cumulative_incidence, risk_at, survival_curves

FloatArray = NDArray[np.float64]

_LARGEST = 50.0
"""Of a log hazard: nobody lives through an interval with that many events."""


def predicted_risk(
    horizon: float,
    log_hazard_ratio: FloatArray,
    log_baseline_hazard: FloatArray,
    *,
    schema: StudySchema,
    endpoint: int,
) -> FloatArray:
    """(patients,), the probability of having had the event by `horizon`."""
    if schema.competing(endpoint):
        asked = np.array([horizon])
        return _incidence(log_hazard_ratio, log_baseline_hazard, schema, endpoint, asked)[:, 0]
    baseline = log_baseline_hazard[:, endpoint]
    return risk_at(horizon, log_hazard_ratio[:, endpoint], log_baseline_hazard=baseline, grid=schema.grid)


def predicted_survival(
    log_hazard_ratio: FloatArray,
    log_baseline_hazard: FloatArray,
    *,
    schema: StudySchema,
    endpoint: int,
    times: FloatArray,
) -> FloatArray:
    """(patients, times), the probability of not having had the event, whatever came first."""
    if schema.competing(endpoint):
        return 1 - _incidence(log_hazard_ratio, log_baseline_hazard, schema, endpoint, times)
    baseline = log_baseline_hazard[:, endpoint]
    return survival_curves(log_hazard_ratio[:, endpoint], log_baseline_hazard=baseline, grid=schema.grid, times=times)


def _incidence(
    log_hazard_ratio: FloatArray,
    log_baseline_hazard: FloatArray,
    schema: StudySchema,
    endpoint: int,
    times: FloatArray,
) -> FloatArray:
    causes = [endpoint, *schema.competing(endpoint)]
    hazards = np.exp(np.minimum(log_baseline_hazard[:, causes] + log_hazard_ratio[:, causes, None], _LARGEST))
    return cumulative_incidence(hazards, grid=schema.grid, times=times)[:, 0]
