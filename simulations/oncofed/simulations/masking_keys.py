"""With which keys do simulated hospitals mask their sums? Keys that anybody can derive: one process hides nothing.

They make a simulation run the very code of a real consortium, in which each guard makes a key of its own for each plan,
that never leaves it. Here each hospital's key follows from plan and name, so that nobody need be asked for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from oncofed.client.guard.sum_masks import SumMasks
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.masking import public_masking_key_of
from oncofed.protocol.plan import Member, StudyPlan


def simulated_member(site: str) -> Member:
    """The member of a simulated plan."""
    return Member(site, "")


def simulated_masks(plan: StudyPlan, site: str) -> SumMasks | None:
    """What the guard of a simulated hospital needs; None where the plan shares no noise."""
    if not plan.needs_masking_keys:
        return None
    plan_hash = plan.hash
    return SumMasks(_key(plan_hash, site), _public_keys(plan_hash, plan.roster), graph_of(plan))


@lru_cache(maxsize=4)
def _public_keys(plan_hash: str, roster: tuple[str, ...]) -> Mapping[str, bytes]:
    """Cached, because each of a thousand simulated hospitals has the same thousand keys."""
    return {site: public_masking_key_of(_key(plan_hash, site)) for site in roster}


def _key(plan_hash: str, site: str) -> bytes:
    return hashlib.sha256(f"oncofed simulated masking key\n{plan_hash}\n{site}".encode()).digest()
