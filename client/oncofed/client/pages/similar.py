"""How did patients of this hospital fare who have this patient's tumour and about this predicted risk?

A patient belongs to the part of the own tumour (`outcome_parts`) whose middle predicted risk is nearest, and only where
it is about the same: others' course says nothing of this patient's. Where there is no such part nobody is compared,
and the page says why. Everybody is in one part only: two patients' pages never show two groups that differ in a few.
Only the group's outcome is shown; nobody of it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis
from oncofed.client.pages.outcome_parts import fewest_for_parts, public_axis
from oncofed.client.pages.units import REST
from oncofed.words.language import ENGLISH, Language, later

SAME_RISK = float(np.log(1.25))
"""Of a middle hazard ratio from the patient's, at most."""


@dataclass(frozen=True, eq=False)
class SimilarPatients:
    """How they fared, and the middle of the log hazard ratios that the model gives them, with the spread that is right
    here.

    among   whose they are, such as "patients with melanoma".
    """

    outcome: GroupOutcome
    among: str
    log_hazard_ratio: float


@dataclass(frozen=True)
class NobodySimilar:
    """why: in words, a whole sentence."""

    why: str


def similar_patients(
    hospital: HospitalPrognosis,
    endpoint: EndpointPrognosis,
    row: int,
    own: OwnPrognosis,
    *,
    say: Language = ENGLISH,
) -> SimilarPatients | NobodySimilar:
    """The outcome of the patient's part. own: as the model was released."""
    unit = hospital.unit_now(row)
    mixed = unit == REST and hospital.schema.tumour_entity is not None
    parts = [] if mixed else [part for part in endpoint.parts if part.unit == unit]
    if not parts:
        fewest = fewest_for_parts(hospital.disclosure)
        return NobodySimilar(
            say("It takes at least %(fewest)s patients with the same tumour, and there are fewer.", fewest=fewest)
        )
    among = hospital.of_entity(unit).words(say)
    nearest = min(parts, key=lambda part: abs(part.log_hazard_ratio - own.log_hazard_ratio))
    above = endpoint.slope * (own.log_hazard_ratio - nearest.log_hazard_ratio)
    if abs(above) > SAME_RISK:
        return NobodySimilar(
            say("No group of %(patients)s has about this patient's predicted risk in its middle.", patients=among)
        )
    outcome = group_outcome(
        later("similar patients"), [nearest], axis=public_axis(hospital.grid), disclosure=hospital.disclosure
    )
    if outcome is None:
        return NobodySimilar(say("Too few of those with the same tumour and about this risk were followed."))
    return SimilarPatients(outcome, among, endpoint.slope * nearest.log_hazard_ratio)
