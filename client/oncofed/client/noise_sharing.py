"""What leaves a hospital that shares the noise of a sum with others?

Its patients' clipped sum, in integers, with its share of the noise, under a mask that only the sum over the whole
roster of the attempt takes off. The order matters: clip each patient and sum (float64, in units of the clip norm),
scale and round (`privacy.integer_noise` proves the sensitivity), add the share, mask.

Promises: the share of the noise and the mask are fresh for each attempt; the private masking key stays here. Refused: a
plan whose pinned key of this hospital is not the one that belongs to its private key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oncofed.client.training import clipped_direction
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.integer_noise import IntegerNoiseSource, noised, rounded
from oncofed.privacy.masking import Attempt, MaskingPairs, masked, public_masking_key_of
from oncofed.privacy.policy import largest_entry_of, largest_patients, shared_release
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.likelihood import PatientTensors


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

    def masked_contribution(
        self, request: ContributeRequest, plan: StudyPlan, patients: PatientTensors
    ) -> NDArray[np.uint64]:
        """(parameters,) uint64: this hospital's part of the sum of this attempt."""
        release = shared_release(plan.privacy)
        direction = clipped_direction(plan, request.weights, patients)
        total = rounded(direction, release=release, largest_patients=largest_patients(plan.privacy.delta))
        return masked(
            noised(total, self.noise),
            pairs=self._pairs_of(plan, request),
            attempt=Attempt(request.plan_hash, request.round, request.attempt, request.roster),
            largest_entry=largest_entry_of(plan.privacy),
        ).words

    def _pairs_of(self, plan: StudyPlan, request: ContributeRequest) -> MaskingPairs:
        if request.plan_hash not in self._pairs:
            self._pairs[request.plan_hash] = MaskingPairs(
                own=request.site,
                private_key=self.masking_key,
                public_keys={member.site: bytes.fromhex(member.masking_public_key) for member in plan.members},
            )
        return self._pairs[request.plan_hash]
