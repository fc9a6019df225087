"""What leaves a hospital that shares the noise of a sum with others?

A sum over its patients, each of whose parts is bounded, in integers, with its share of the noise, under a mask that
only the sum over the whole roster of the attempt takes off. The order matters: clip each patient and sum (float64, in
units of the bound), scale and round (`privacy.integer_noise` proves the sensitivity), add the share, mask.

Promises: the share of the noise and the mask are fresh for each attempt; the private masking key stays here. Refused: a
plan whose pinned key of this hospital is not the one that belongs to its private key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.integer_noise import IntegerNoiseSource, noised, rounded
from oncofed.privacy.masking import Attempt, MaskingPairs, masked, public_masking_key_of
from oncofed.privacy.policy import largest_entry_of, largest_patients
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.plan import StudyPlan


@dataclass(frozen=True)
class NoiseSharing:
    """masking_key  X25519, 32 raw bytes; never leaves the guard. noise: of the operating system, but in tests."""

    masking_key: bytes = field(repr=False)
    noise: IntegerNoiseSource
    _pairs: dict[str, MaskingPairs] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By plan hash: what is shared with another hospital is the same in all rounds."""

    def refuse_unless_fit(self, plan: StudyPlan, *, site: str) -> None:
        """Raises PrivacyRefusal when the plan names another masking key for this hospital."""
        named = {member.site: member.masking_public_key for member in plan.members}
        if named.get(site) != public_masking_key_of(self.masking_key).hex():
            raise PrivacyRefusal("the plan names another masking key for this hospital than its own")

    def masked_part(
        self,
        bounded: NDArray[np.float64],
        *,
        own: str,
        plan: StudyPlan,
        release: SharedIntegerRelease,
        attempt: Attempt,
    ) -> NDArray[np.uint64]:
        """(parameters,) uint64: the part of the hospital `own` in the sum of this attempt.

        bounded  (parameters,): its sum, in units of one patient's bound, and without any noise.
        """
        total = rounded(bounded, release=release, largest_patients=largest_patients(plan.privacy.delta))
        return masked(
            noised(total, self.noise),
            pairs=self._pairs_of(plan, own=own, plan_hash=attempt.plan_hash),
            attempt=attempt,
            largest_entry=largest_entry_of(release, delta=plan.privacy.delta),
        ).words

    def _pairs_of(self, plan: StudyPlan, *, own: str, plan_hash: str) -> MaskingPairs:
        if plan_hash not in self._pairs:
            self._pairs[plan_hash] = MaskingPairs(
                own=own,
                private_key=self.masking_key,
                public_keys={member.site: bytes.fromhex(member.masking_public_key) for member in plan.members},
            )
        return self._pairs[plan_hash]
