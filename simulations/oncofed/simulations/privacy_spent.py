"""What did a patient spend in a finished run: at one hospital, and at two?

The one source of these figures for `privacy.json`, the report and the command line. They come from what the ledgers
were really charged for, repeated attempts included, never from the rounds that were planned.

All releases of a plan are alike, so the hospitals that released most often are the ones where most was spent.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.privacy.policy import of_two_hospitals
from oncofed.simulations.results import RunResult


@dataclass(frozen=True)
class Spent:
    """releases  in which one patient took part. epsilon  of them together, at the plan's delta."""

    releases: tuple[PrivacyEvent, ...]
    epsilon: float


def spent_at_one(result: RunResult) -> Spent | None:
    """By a patient of the hospital that released most often. None when no ledger holds a charge."""
    return _spent(result, hospitals=1)


def spent_at_two(result: RunResult) -> Spent | None:
    """By a patient of the two hospitals that released most often. None when fewer than two hold a charge."""
    return _spent(result, hospitals=2)


def _spent(result: RunResult, *, hospitals: int) -> Spent | None:
    most_first = sorted((charged for charged in result.releases.values() if charged), key=len, reverse=True)
    if len(most_first) < hospitals:
        return None
    releases = tuple(most_first[0]) if hospitals == 1 else of_two_hospitals(most_first[0], most_first[1])
    return Spent(releases, epsilon_of(releases, delta=result.plan.privacy.delta))
