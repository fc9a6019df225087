"""What goes wrong in a soak, and when? All of it follows from a seed.

The numbers say how often, for a consortium that has bad luck: something happens in about every second round.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Kind(StrEnum):
    """Of one question to one hospital, but for the last three."""

    NONE = "none"
    KILLED = "guard killed at a step"
    DISK_FULL = "guard's disk full from a step on"
    IDLE_KILL = "guard killed between two questions"
    PARTITION = "hospital not reached"
    ANSWER_LOST = "answer lost on the way"
    SLOW = "answer later than the round"
    TWICE = "question delivered twice"
    HELD_BACK = "question delivered after others"
    CLOCK = "hospital's clock wrong"
    COORDINATOR_KILLED = "coordinator killed at a step"
    COORDINATOR_DISK_FULL = "coordinator's disk full at a step"
    POWER = "power cut of all"


_OF_A_QUESTION = {
    Kind.KILLED: 0.05,
    Kind.DISK_FULL: 0.025,
    Kind.IDLE_KILL: 0.015,
    Kind.PARTITION: 0.02,
    Kind.ANSWER_LOST: 0.02,
    Kind.SLOW: 0.02,
    Kind.TWICE: 0.02,
    Kind.HELD_BACK: 0.015,
    Kind.CLOCK: 0.01,
}
_OF_A_RUN = {Kind.COORDINATOR_KILLED: 0.6, Kind.COORDINATOR_DISK_FULL: 0.2, Kind.POWER: 0.1}
_MOST_STEPS = 40
"""An answer that is charged takes some twenty steps."""
_MOST_STEPS_OF_A_RUN = 60
_MEAN_MINUTES = 8.0
"""Of what lasts: a partition, a full disk, a wrong clock."""


@dataclass(frozen=True)
class Fault:
    """step: at which; 0 where it has none. minutes: how long it lasts. seconds: by which a clock is wrong."""

    kind: Kind
    step: int = 0
    minutes: float = 0.0
    seconds: float = 0.0


NO_FAULT = Fault(Kind.NONE)


def of_a_question(rng: np.random.Generator) -> Fault:
    """What happens to a question, or to the hospital that is asked. Draws the same numbers whatever comes of it."""
    kind = _drawn(rng, _OF_A_QUESTION)
    step, minutes = int(rng.integers(1, _MOST_STEPS + 1)), float(rng.exponential(_MEAN_MINUTES))
    seconds = float(rng.choice([-1, 1]) * rng.exponential(1200.0))
    if kind is Kind.NONE:
        return NO_FAULT
    return Fault(kind, step, minutes, seconds)


def of_a_run(rng: np.random.Generator) -> Fault:
    """What ends a run of the coordinator's; most end so before their study does."""
    kind = _drawn(rng, _OF_A_RUN)
    return Fault(kind, int(rng.integers(1, _MOST_STEPS_OF_A_RUN + 1)), float(rng.exponential(_MEAN_MINUTES)))


def _drawn(rng: np.random.Generator, shares: dict[Kind, float]) -> Kind:
    kinds = [*shares, Kind.NONE]
    return kinds[int(rng.choice(len(kinds), p=[*shares.values(), 1 - sum(shares.values())]))]
