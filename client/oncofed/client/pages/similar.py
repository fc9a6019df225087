"""How did patients of this hospital fare whom the model sees like this one?

A patient belongs to the part of the same tumour (`outcome_parts`) whose mean contributions are nearest. So what the
model ignores does not count, and everybody is in one part only: two patients' pages never show two groups that differ
in a few. Only the group's outcome is shown; nobody of it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis
from oncofed.client.pages.outcome_parts import TOGETHER, public_axis

FloatArray = NDArray[np.float64]

_FAR = np.log(1.5)
"""Of a middle hazard ratio from the patient's: then the group is like the patient, but not as much at risk."""


@dataclass(frozen=True, eq=False)
class SimilarPatients:
    """How they fared, and the middle of the log hazard ratios that the model gives them.

    among   whose they are, such as "patients with melanoma".
    differ  "", or in which way the patient's own risk is not theirs: "higher", "lower".
    """

    outcome: GroupOutcome
    among: str
    log_hazard_ratio: float
    differ: str


def similar_patients(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, row: int, own: OwnPrognosis
) -> SimilarPatients | None:
    """The outcome of the patient's part; None where the patient's unit is in none."""
    unit = hospital.unit_now(row)
    parts = [part for part in endpoint.parts if part.unit == unit]
    if not parts:
        unit, parts = TOGETHER, [part for part in endpoint.parts if part.unit == TOGETHER]
    if not parts:
        return None
    nearest = parts[int(np.argmin([np.linalg.norm(part.centre - own.relevance) for part in parts]))]
    outcome = group_outcome(
        "similar patients", [nearest], axis=public_axis(hospital.grid), disclosure=hospital.disclosure
    )
    if outcome is None:
        return None
    above = own.log_hazard_ratio - nearest.log_hazard_ratio
    differ = "higher" if above > _FAR else "lower" if above < -_FAR else ""
    among = hospital.rarer if unit == TOGETHER else hospital.of_entity(unit).label
    return SimilarPatients(outcome, among, nearest.log_hazard_ratio, differ)
