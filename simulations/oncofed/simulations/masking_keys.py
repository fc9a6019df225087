"""With which keys do simulated hospitals mask their sums? Keys that anybody can derive: one process hides nothing.

They make a simulation run the very code of a real consortium, in which each guard makes a key of its own that never
leaves it.
"""

from __future__ import annotations

import hashlib

from oncofed.client.sum_masks import SumMasks
from oncofed.privacy.masking import public_masking_key_of
from oncofed.protocol.plan import Member, StudyPlan


def simulated_member(site: str) -> Member:
    """The member of a simulated plan."""
    return Member(site, "", public_masking_key_of(_key(site)).hex())


def simulated_masks(plan: StudyPlan, site: str) -> SumMasks | None:
    """What the guard of a simulated hospital needs; None where the plan shares no noise."""
    return None if plan.privacy.shares is None else SumMasks(_key(site))


def _key(site: str) -> bytes:
    return hashlib.sha256(b"oncofed simulated masking key\n" + site.encode()).digest()
