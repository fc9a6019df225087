"""How did patients of this hospital fare whom the model sees like this one?

Alike are those whose markers move the hazard alike: the smallest distance between contributions (log hazard ratios,
marker by marker) among patients of the same tumour entity. So what the model ignores does not count, and a difference
that it finds important does. Only the group's outcome is shown; nobody of it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers

MOST = 50
_USUAL_SHARE, _LARGEST_SHARE = 0.25, 0.5
"""Of the peers: more than half of them are not alike, whatever the floor asks for."""


_FAR = np.log(1.5)
"""Of a middle hazard ratio from the patient's: then the group is like the patient, but not as much at risk."""


@dataclass(frozen=True, eq=False)
class SimilarPatients:
    """How they fared, and the middle of the log hazard ratios that the model gives them.

    differ  "", or in which way the patient's own risk is not theirs: "higher", "lower".
    """

    outcome: GroupOutcome
    log_hazard_ratio: float
    differ: str


def similar_patients(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, row: int, peers: Peers
) -> SimilarPatients | None:
    """The outcome of the most similar ones, the patient not among them; None when the floor asks for too many."""
    others = np.flatnonzero(peers.rows)
    others = others[others != row]
    # As many again as the floor asks for, or the first who leaves observation would end their curve.
    roomy = min(2 * hospital.smallest_group, int(_LARGEST_SHARE * len(others)))
    wanted = max(hospital.smallest_group, min(MOST, max(roomy, int(_USUAL_SHARE * len(others)))))
    if wanted > _LARGEST_SHARE * len(others):
        return None
    distance = np.linalg.norm(endpoint.relevance[others] - endpoint.relevance[row], axis=1)
    chosen = others[np.argsort(distance, kind="stable")[:wanted]]
    rows = np.zeros(len(peers.rows), dtype=np.bool_)
    rows[chosen] = True
    outcome = group_outcome(
        "similar patients",
        hospital.cohort,
        rows,
        endpoint=endpoint.number,
        grid=hospital.grid,
        floor=hospital.smallest_group,
    )
    if outcome is None:
        return None
    middle, own = float(np.median(endpoint.log_hazard_ratio[chosen])), float(endpoint.log_hazard_ratio[row])
    differ = "higher" if own - middle > _FAR else "lower" if middle - own > _FAR else ""
    return SimilarPatients(outcome, middle, differ)
