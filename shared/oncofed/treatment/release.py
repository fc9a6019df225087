"""What does one patient add to the one release of a comparison, and what does the sum of all say?

One row of length 1 at most, charged once, made of parts that each are rows of length 1 at most (`treatment.rows`,
`treatment.balance`), times a public weight; the weights' squares add up to 1, so a part of weight w has the noise of a
release of its own that is charged w^2 of this one.

| part       | share | what                                                                        |
|------------|-------|-----------------------------------------------------------------------------|
| comparison | 0.40  | the row, in the block of the patient's group by modifiers                   |
| balance    | 0.36  | weighted differences of what is adjusted for                                |
| negative   | 0.20  | the row by the negative outcome, where one is named                         |
| trial_like | 0.20  | the row of who the benchmark's trial would have taken, where it took others |
| recorded   | 0.04  | that there is one, and which required markers are recorded, where any are   |

Shares are of those that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.treatment.balance import balance_rows, imbalances
from oncofed.treatment.estimate import Comparison, by_modifier, compare
from oncofed.treatment.heads import Heads, first_heads, from_vector
from oncofed.treatment.question import Question
from oncofed.treatment.refusals import Checks, Refusal, first_refusal, groups_refused
from oncofed.treatment.rows import NUMBERS, rows

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """cells: numbers of it. weight: of its rows."""

    cells: int
    weight: float


def parts_of(question: Question) -> Mapping[str, _Part]:
    """By name, in the order in which they stand in a row."""
    trial, known = question.trial, question.trial.benchmark
    there = {
        "comparison": (0.40, len(trial.groups) * NUMBERS),
        "balance": (0.36, 1 + len(question.balanced)),
        "negative": (0.20, NUMBERS if question.negative else 0),
        "trial_like": (0.20, NUMBERS if known is not None and known.eligible else 0),
        "recorded": (0.04, 1 + len(trial.required) if trial.required else 0),
    }
    together = sum(share for share, cells in there.values() if cells)
    return {name: _Part(cells, math.sqrt(share / together)) for name, (share, cells) in there.items() if cells}


def cells_of(question: Question) -> int:
    """Numbers in the release."""
    return sum(part.cells for part in parts_of(question).values())


def release_rows(question: Question, weights: FloatArray, patients: EncodedPatients) -> FloatArray:
    """(patients, cells): what each adds. weights: of the released models, as `heads.as_vector` has them."""
    with np.errstate(all="ignore"):  # weights are the server's; what overflows tells of itself
        return _release_rows(question, from_vector(weights, first_heads(question)), patients)


def _release_rows(question: Question, heads: Heads, patients: EncodedPatients) -> FloatArray:
    seen = question.observed(patients)
    everybody = np.arange(len(seen.z))

    def compared(causes: tuple[int, ...]) -> FloatArray:
        nuisances = heads.nuisances(seen.z, outcomes=causes, hospital=seen.hospital)
        return rows(nuisances, seen.second, seen.events[list(causes)].sum(axis=0), seen.at_risk, question.grid.widths)

    of_outcomes = compared(question.outcomes)
    in_groups = np.zeros((len(everybody), len(question.trial.groups), NUMBERS))
    in_groups[everybody, question.groups(patients)] = of_outcomes
    made: dict[str, Callable[[], FloatArray]] = {
        "comparison": lambda: in_groups.reshape(len(everybody), -1),
        "balance": lambda: balance_rows(heads.chance(seen.z, seen.hospital), seen.second, seen.z[:, question.balanced]),
        "negative": lambda: compared(question.negative),
        "trial_like": lambda: of_outcomes * question.trial_like(patients)[:, None],
        "recorded": lambda: (
            np.concatenate([np.ones((len(everybody), 1)), question.recorded(patients)], axis=1)
            / math.sqrt(1 + len(question.trial.required))
        ),
    }
    return np.concatenate([part.weight * made[name]() for name, part in parts_of(question).items()], axis=1)


@dataclass(frozen=True, eq=False)
class Group:
    """Some patients. name: for people. refusal: why nothing is shown of them, or None."""

    name: str
    compared: Comparison
    refusal: Refusal | None


@dataclass(frozen=True, eq=False)
class Options:
    """What the release says.

    everybody     all who were compared. by_modifier: without and with each modifier.
    not_apart     why groups are not shown apart, in words; empty where they may be.
    checks        what was looked at.
    noise         standard deviation of what was added to each number of the sum, in the unit of one patient's row.
    """

    everybody: Group
    by_modifier: tuple[Group, ...]
    not_apart: str
    checks: Checks
    noise: float

    @property
    def shown_apart(self) -> tuple[Group, ...]:
        """Groups of which something is told."""
        return () if self.not_apart or self.everybody.refusal is not None else self.by_modifier


def options_of(question: Question, sums: FloatArray, *, noise: float) -> Options:
    """sums: (cells,), noised. noise: standard deviation of it, in each number."""
    found: dict[str, tuple[FloatArray, float]] = {}
    begins = 0
    for name, part in parts_of(question).items():
        found[name] = (sums[begins : begins + part.cells] / part.weight, noise / part.weight)
        begins += part.cells
    trial = question.trial
    of_groups, group_noise = found["comparison"]
    groups = of_groups.reshape(len(trial.groups), NUMBERS)
    everybody = compare(groups, noise=group_noise)

    def of_part(name: str) -> Comparison | None:
        return compare(found[name][0], noise=found[name][1]) if name in found else None

    alike, alike_noise = found["balance"]
    trial_like = of_part("trial_like")
    if trial_like is None and trial.benchmark is not None:
        trial_like = everybody
    checks = Checks(
        balance=imbalances(alike, question.balanced_names, noise=alike_noise),
        recorded=_recorded(question, found["recorded"][0]) if "recorded" in found else {},
        negative=of_part("negative"),
        trial_like=trial_like,
    )
    pairs = []
    for place, name in enumerate(trial.modifiers):
        for words, compared in zip(("without", "with"), by_modifier(groups, place, noise=group_noise), strict=True):
            pairs.append(Group(f"{words} {name}", compared, first_refusal(trial, compared, checks)))
    each = [compare(group, noise=group_noise) for group in groups]
    return Options(
        everybody=Group("all", everybody, first_refusal(trial, everybody, checks)),
        by_modifier=tuple(pairs),
        not_apart=groups_refused(each) if trial.modifiers else "",
        checks=checks,
        noise=noise,
    )


def _recorded(question: Question, counts: FloatArray) -> Mapping[str, float]:
    """Shares of patients; 0 where hardly anybody is there."""
    everybody = float(counts[0])
    shares = counts[1:] / everybody if everybody > 0 else np.zeros(len(question.trial.required))
    return dict(zip(question.trial.required, map(float, shares), strict=True))
