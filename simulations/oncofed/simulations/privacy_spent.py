"""What did a patient spend in a finished run: at one hospital, and at two?

The one source of these figures for `privacy.json`, the report and the command line. They come from what the ledgers
were really charged for, repeated attempts included, never from the rounds that were planned.

Hospitals may have been charged for different numbers of rounds, and of summaries; the largest epsilon is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.privacy.policy import of_two_hospitals
from oncofed.protocol.plan import StudyPlan


class Charged(Protocol):
    """A finished run, as far as its costs go. releases: by site, of those that were charged."""

    @property
    def plan(self) -> StudyPlan: ...

    @property
    def releases(self) -> Mapping[str, tuple[PrivacyEvent, ...]]: ...


@dataclass(frozen=True)
class Spent:
    """releases  in which one patient took part. epsilon  of them together, at the plan's delta."""

    releases: tuple[PrivacyEvent, ...]
    epsilon: float


def spent_at_one(result: Charged) -> Spent | None:
    """By a patient of the hospital where most was spent. None when no ledger holds a charge."""
    return _most([tuple(charged) for charged in result.releases.values() if charged], result)


def spent_at_two(result: Charged) -> Spent | None:
    """By a patient of the two hospitals where both together spent most. None when fewer than two hold a charge."""
    by_content = Counter(tuple(charged) for charged in result.releases.values() if charged)
    # Most hospitals were charged for the same, so that few pairs differ.
    alike = [(one, one) for one, hospitals in by_content.items() if hospitals > 1]
    return _most([of_two_hospitals(one, other) for one, other in [*alike, *combinations(by_content, 2)]], result)


def _most(candidates: Sequence[tuple[PrivacyEvent, ...]], result: Charged) -> Spent | None:
    delta = result.plan.privacy.delta
    spent = [Spent(releases, epsilon_of(releases, delta=delta)) for releases in dict.fromkeys(candidates)]
    return max(spent, key=lambda each: (each.epsilon, len(each.releases)), default=None)
