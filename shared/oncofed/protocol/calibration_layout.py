"""Which numbers does a hospital send in a calibration round, and in which order?

In the last `calibration_rounds` of a plan a hospital sends, in place of a gradient, five sums over its patients for
each endpoint, first of all numbers of the release; the others are zeros under their noise. Those of the plan's
comparators, times their weights, come after the network's. With f a patient's log
hazard ratio, R the residual and L the predicted hazard, both stopped (`survival.stopped_residuals`), and w the weight:

    sum w R, sum w R f, and INFORMATION times: sum w L, sum w L f, sum w L f^2

The first two are the slope of the likelihood along a common change of the level (log hazard + a) and of the spread
(f becomes (1 + s) f); the others are its curvature.

Where the plan has `entity_levels`, two more things are set right. In these rounds, the course over time that is common
to all; after the sums above come, for each endpoint and interval k, with R_k and L_k of that interval alone:

    sum w R_k, and INFORMATION times sum w L_k

And the middle half of the calibration rounds are of entities instead: for each endpoint and tumour entity, over the
patients of that entity, all with one public weight:

    sum w R, and INFORMATION times sum w L

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.protocol.plan import ModelSpec, StudyPlan

SUMS = 5
"""Of an endpoint."""

INFORMATION = 0.5
"""The curvature is needed less exactly than the slope, so it takes less of a patient's length."""

FEWEST_WITH_ENTITIES = 4
"""Calibration rounds of a plan with levels of entities: one of all before, two of entities, one of all after."""


@dataclass(frozen=True)
class CalibrationRound:
    """of_entities: whether it sets levels of entities right. number, of: which of how many of its kind, from 1 on."""

    of_entities: bool
    number: int
    of: int


def calibration_round_of(plan: StudyPlan, round_: int) -> CalibrationRound | None:
    """What the round calibrates; None where it trains."""
    number, count = plan.training.calibration_round(round_), plan.training.calibration_rounds
    if not number:
        return None
    if plan.model.entity_levels is None:
        return CalibrationRound(False, number, count)
    before = count // 4
    of_entities = count - 2 * before
    if number <= before:
        return CalibrationRound(False, number, 2 * before)
    if number <= before + of_entities:
        return CalibrationRound(True, number - before, of_entities)
    return CalibrationRound(False, number - of_entities, 2 * before)


def one_of_each_kind(plan: StudyPlan) -> tuple[int, ...]:
    """A calibration round of each kind that the plan has: by entity they compute something else."""
    first = plan.training.rounds - plan.training.calibration_rounds + 1
    kinds = {}
    for round_ in range(max(first, 1), plan.training.rounds + 1):
        found = calibration_round_of(plan, round_)
        if found is not None:
            kinds[found.of_entities] = round_
    return tuple(sorted(kinds.values()))


def course_begins(model: ModelSpec) -> int:
    """Where the numbers of the common course over time begin."""
    return SUMS * len(model.endpoints) * (1 + len(model.comparators))


def calibration_numbers(model: ModelSpec) -> int:
    """How many of the release's numbers mean something in a round of all patients."""
    of_course = 0 if model.entity_levels is None else 2 * len(model.endpoints) * model.grid.intervals
    return course_begins(model) + of_course


def entity_numbers(model: ModelSpec) -> int:
    """How many of them in a round of entities."""
    return 0 if model.entity_levels is None else 2 * len(model.endpoints) * model.entity_levels.entities


def entity_weight(model: ModelSpec, *, cap: float) -> float:
    """w of a round of entities: 1 over the most that the two numbers of all endpoints can be long.

    With L in [0, c] and one event at most, R^2 + i^2 L^2 is convex in L, so largest without hazard or with all of it.
    """
    of_one = max(1.0, cap**2 * (1 + INFORMATION**2), (1 - cap) ** 2 + cap**2 * INFORMATION**2)
    return float((of_one * len(model.endpoints)) ** -0.5)


def has_room_for_calibration(model: ModelSpec) -> bool:
    """Whether a release as long as the model holds them."""
    return max(calibration_numbers(model), entity_numbers(model)) <= model.parameters
