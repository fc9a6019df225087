"""Under which masks does a hospital's part of a sum leave, in one plan?

This hospital's masking key of the plan makes, with the other hospitals', the masks of one attempt (`privacy.masking`).
What is put under them is made by a release (`privacy.releases`): integers that hold this hospital's share of the noise
already. Whose the others' keys are was asked before (`guard.trust`).

Promises: the private masking key stays here. Refused: keys of which this hospital's is not the one that belongs to its
private key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.mask_graph import EVERYBODY, MaskGraph
from oncofed.privacy.masking import Attempt, MaskingPairs, masked, new_masking_key, public_masking_key_of
from oncofed.privacy.release import Mask


class Masks(Protocol):
    """What a guard asks of the masks of its plan. A hospital's are `SumMasks`."""

    def refuse_unless_fit(self, *, site: str) -> None:
        """Raises PrivacyRefusal when the hospital `site` cannot mask with these."""
        ...

    def know(self, roster: Iterable[str]) -> bool:
        """Whether each of these can be masked with."""
        ...

    def of(self, attempt: Attempt, *, own: str) -> Mask:
        """The masks of the hospital `own` in this attempt."""
        ...


@dataclass(frozen=True)
class SumMasks:
    """masking_key  X25519, 32 raw bytes; never leaves the guard.

    public_keys  of the plan's hospitals whose key is known here, this one's among them; 32 raw bytes each.
    graph        the plan's: with whom a hospital masks.
    """

    masking_key: bytes = field(repr=False)
    public_keys: Mapping[str, bytes]
    graph: MaskGraph = EVERYBODY
    _pairs: dict[str, MaskingPairs] = field(default_factory=dict, init=False, repr=False, compare=False)

    @staticmethod
    def against_nobody(own: str, others: Iterable[str], graph: MaskGraph) -> SumMasks:
        """With keys for the others that nobody else has: for a trial, whose answers go nowhere."""
        key = new_masking_key()
        keys = {site: key if site == own else new_masking_key() for site in {own, *others}}
        return SumMasks(key, {site: public_masking_key_of(each) for site, each in keys.items()}, graph)

    def refuse_unless_fit(self, *, site: str) -> None:
        """Raises PrivacyRefusal when another masking key is named for this hospital, or one that is none.

        All keys are exchanged here, before anything is charged: one that fails would fail after each charge.
        """
        pairs = self._pairs_of(site)
        for peer in self.public_keys.keys() - {site}:
            pairs.secret(peer)

    def know(self, roster: Iterable[str]) -> bool:
        """Whether there is a key of each of these."""
        return set(roster) <= self.public_keys.keys()

    def of(self, attempt: Attempt, *, own: str) -> Mask:
        """The masks of the hospital `own` in this attempt."""

        def mask(integers: NDArray[np.int64], largest_entry: int) -> NDArray[np.uint64]:
            return masked(integers, pairs=self._pairs_of(own), attempt=attempt, largest_entry=largest_entry).words

        return mask

    def _pairs_of(self, own: str) -> MaskingPairs:
        if own not in self._pairs:
            self._pairs[own] = MaskingPairs(
                own=own, private_key=self.masking_key, public_keys=self.public_keys, graph=self.graph
            )
        return self._pairs[own]
