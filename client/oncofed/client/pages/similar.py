"""How did patients of this hospital fare whom the model sees like this one?

Alike are those whose markers move the hazard alike: the smallest distance between contributions (log hazard ratios,
marker by marker) among patients of the same tumour entity. So what the model ignores does not count, and a difference
that it finds important does. Only the group's outcome is shown; nobody of it is.
"""

from __future__ import annotations

import numpy as np

from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers

MOST = 50
_LARGEST_SHARE = 0.25
"""Of the peers: half of a small group would not be alike."""


def similar_patients(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, row: int, peers: Peers
) -> GroupOutcome | None:
    """The outcome of the most similar ones, the patient not among them; None when they are fewer than the floor."""
    others = np.flatnonzero(peers.rows)
    others = others[others != row]
    wanted = max(hospital.smallest_group, min(MOST, int(_LARGEST_SHARE * len(others))))
    if len(others) < wanted:
        return None
    distance = np.linalg.norm(endpoint.relevance[others] - endpoint.relevance[row], axis=1)
    chosen = others[np.argsort(distance, kind="stable")[:wanted]]
    rows = np.zeros(len(peers.rows), dtype=np.bool_)
    rows[chosen] = True
    return group_outcome(
        "similar patients",
        hospital.cohort,
        rows,
        endpoint=endpoint.number,
        grid=hospital.grid,
        floor=hospital.smallest_group,
    )
