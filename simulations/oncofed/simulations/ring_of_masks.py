"""Which masks does a simulation need? Two a hospital in place of K - 1: the result is the same, to the last bit.

Theorem. Let r_i be the residues modulo 2^64 of the integers of hospital i, and m_ij a stream that i adds and j
subtracts, for whatever pairs i, j of the roster. Each stream then stands in the sum over the roster once with a plus
and once with a minus. Addition modulo 2^64 is exact, associative and commutative, so that sum is the sum of the r_i,
whatever the pairs and the streams are; and what the server makes of it is the same bits. With all pairs it is
`privacy.masking`. Here the roster is a ring, and each hospital has a stream with the next one and one with the one
before, from numbers that anybody can derive: one process hides nothing from itself.

Why any at all: a guard lets out no numbers of mode `distributed` that look unmasked, and a server opens no sum whose
masks do not cancel, and so hospitals that did not answer the same attempt. Both go on to judge a simulation.

tests/privacy/test_ring_of_masks.py holds whole trainings with either masks against each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.masking import Attempt, residues
from oncofed.privacy.release import Mask
from oncofed.protocol.plan import StudyPlan


def ring_masks(plan: StudyPlan, site: str) -> RingMasks | None:
    """In the place of `masking_keys.simulated_masks`; None where the plan shares no noise."""
    return _of_plan(plan) if plan.needs_masking_keys else None


@dataclass(frozen=True)
class RingMasks:
    """As `client.guard.sum_masks.Masks` asks. sites: the plan's hospitals, any of which may mask with these."""

    sites: frozenset[str]

    def refuse_unless_fit(self, *, site: str) -> None:
        """Raises PrivacyRefusal for a hospital that the plan does not name."""
        if site not in self.sites:
            raise PrivacyRefusal("the plan does not name this hospital")

    def know(self, roster: Iterable[str]) -> bool:
        """Whether the plan names all of these."""
        return self.sites.issuperset(roster)

    def of(self, attempt: Attempt, *, own: str) -> Mask:
        """The two masks of the hospital `own` in this attempt."""

        def mask(integers: NDArray[np.int64], largest_entry: int) -> NDArray[np.uint64]:
            sites, place = len(attempt.roster), _places(attempt.roster)[own]
            words = residues(integers, sites=sites, largest_entry=largest_entry)
            words += _stream(attempt, place, len(words))
            words -= _stream(attempt, (place - 1) % sites, len(words))
            return words

        return mask


@lru_cache(maxsize=4)
def _of_plan(plan: StudyPlan) -> RingMasks:
    return RingMasks(frozenset(plan.roster))


@lru_cache(maxsize=4)
def _places(roster: tuple[str, ...]) -> Mapping[str, int]:
    return {site: place for place, site in enumerate(roster)}


@lru_cache(maxsize=2)  # hospitals are asked in turn, so that the next one needs it at once
def _stream(attempt: Attempt, place: int, size: int) -> NDArray[np.uint64]:
    """(size,), shared by the hospital at this place of the roster and the next one."""
    name = "/".join((attempt.plan_hash, *attempt.domain, attempt.content_hash, str(place)))
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()))
    return generator.integers(0, 2**64, size=size, dtype=np.uint64)
