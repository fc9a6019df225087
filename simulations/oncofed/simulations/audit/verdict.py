"""What does a check of the audit say?

A verdict says what was measured, against which threshold that was fixed before, and how large a defect would have been
noticed with which probability. An attack that does not even succeed against the same target without protection has
proved nothing: then the verdict is `no power`, not `passed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

BY_CHANCE = 1e-6
"""With at most this probability a check of chance fails a target that keeps its promise."""

NOTICED = 0.99
"""The probability with which the defect that a verdict's power names is noticed, unless it says another."""


class Outcome(StrEnum):
    """`failed` alone makes the command end with 1."""

    PASSED = "passed"
    FAILED = "failed"
    NO_POWER = "no power"
    """The same attack fails without protection, too: it says nothing about this target."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Power:
    """defect       the smallest one that is noticed, in words with its size.
    probability  with which it is.
    """

    defect: str
    probability: float


@dataclass(frozen=True, eq=False)
class RocCurve:
    """false_positives, true_positives  shares of non-members and members called members, threshold by threshold."""

    name: str
    false_positives: NDArray[np.float64]
    true_positives: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InvertedPatients:
    """Encoded patients, (patients, columns), and what an attack made of the release of each, with and without noise."""

    true: NDArray[np.float64]
    without_noise: NDArray[np.float64]
    with_noise: NDArray[np.float64]


Evidence = RocCurve | InvertedPatients


@dataclass(frozen=True, eq=False)
class Verdict:
    """check      its name.
    measured   in a sentence; `figures` are the same for programs.
    threshold  in a sentence; fixed before the run.
    evidence   for pictures.
    """

    check: str
    outcome: Outcome
    measured: str
    threshold: str
    power: Power
    figures: Mapping[str, float] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAILED


def not_applicable(check: str, why: str) -> Verdict:
    """The check says nothing about this target, for this reason."""
    return Verdict(check, Outcome.NOT_APPLICABLE, why, "none", Power("none: nothing was checked", 0.0))


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Plain JSON values; the evidence is for pictures and stays out."""
    return {
        "check": verdict.check,
        "outcome": verdict.outcome.value,
        "measured": verdict.measured,
        "threshold": verdict.threshold,
        "power": asdict(verdict.power),
        "figures": dict(verdict.figures),
        "seconds": round(verdict.seconds, 3),
    }
