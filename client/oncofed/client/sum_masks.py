"""Under which masks does a hospital's part of a sum leave?

The guard's own masking key makes, with the other hospitals' keys in the plan, the masks of one attempt
(`privacy.masking`). What is put under them is made by a release (`privacy.releases`): integers that hold this
hospital's share of the noise already.

Promises: the private masking key stays here. Refused: a plan whose pinned key of this hospital is not the one that
belongs to its private key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.masking import Attempt, MaskingPairs, masked, public_masking_key_of
from oncofed.privacy.releases import Mask
from oncofed.protocol.plan import StudyPlan


@dataclass(frozen=True)
class SumMasks:
    """masking_key  X25519, 32 raw bytes; never leaves the guard."""

    masking_key: bytes = field(repr=False)
    _pairs: dict[str, MaskingPairs] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By plan hash: what is shared with another hospital is the same in all rounds."""

    def refuse_unless_fit(self, plan: StudyPlan, *, site: str) -> None:
        """Raises PrivacyRefusal when the plan names another masking key for this hospital, or one that is none.

        All keys are exchanged here, before anything is charged: one that fails would fail after each charge.
        """
        named = {member.site: member.masking_public_key for member in plan.members}
        if named.get(site) != public_masking_key_of(self.masking_key).hex():
            raise PrivacyRefusal("the plan names another masking key for this hospital than its own")
        pairs = self._pairs_of(plan, own=site, plan_hash=plan.hash)
        for peer in named.keys() - {site}:
            pairs.secret(peer)

    def of(self, attempt: Attempt, *, plan: StudyPlan, own: str) -> Mask:
        """The masks of the hospital `own` in this attempt at the plan."""

        def mask(integers: NDArray[np.int64], largest_entry: int) -> NDArray[np.uint64]:
            pairs = self._pairs_of(plan, own=own, plan_hash=attempt.plan_hash)
            return masked(integers, pairs=pairs, attempt=attempt, largest_entry=largest_entry).words

        return mask

    def _pairs_of(self, plan: StudyPlan, *, own: str, plan_hash: str) -> MaskingPairs:
        if plan_hash not in self._pairs:
            self._pairs[plan_hash] = MaskingPairs(
                own=own,
                private_key=self.masking_key,
                public_keys={member.site: bytes.fromhex(member.masking_public_key) for member in plan.members},
            )
        return self._pairs[plan_hash]
