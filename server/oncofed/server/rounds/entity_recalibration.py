"""How do the sums of a calibration round of tumour entities change the level of each entity?

A round's noise is as large in the sums of one tumour's patients as in those of all, so one round tells little of an
entity. The rounds of entities are two halves: throughout a half the weights stay, and their sums are averaged; at its
end each entity's log hazard moves by the estimate of a linear model with prior N(0, PRIOR^2). The second half sets
right what the first, on a curved likelihood, has left.

How many events are expected of an entity is itself told under noise, so that number is shrunken to the mean of all
entities, as far as noise and not the entities is what they differ by (Efron and Morris, JASA 70, 1975).

The reference entity's level is that of the baseline hazard; the others keep their own against it. So all of it is in
the log hazard ratio, with its explanations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.calibration_layout import INFORMATION, CalibrationRound, entity_numbers, entity_weight
from oncofed.protocol.plan import ModelSpec
from oncofed.server.rounds.recalibration import LARGEST_SUM, step_alone

FloatArray = NDArray[np.float64]

PRIOR = 0.3
"""Standard deviation of what is looked for: most entities within a factor of 1.8."""

LEAST_SPREAD = 1 / 3
"""Of the entities' expected events, in units of their mean: noise never says that all have as many."""


def entities_recalibrated(
    weights: FloatArray,
    sums: FloatArray,
    *,
    model: ModelSpec,
    calibration: CalibrationRound,
    noise: float,
    cap: float,
    averaged: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """The next weights, and the average of this half's sums until now.

    sums      over all hospitals, in units of one patient's bound. noise: standard deviation in each.
    averaged  what the round before left; not read in the first of a half.
    """
    first_half = calibration.of // 2
    in_second = calibration.number > first_half
    place = calibration.number - (first_half if in_second else 0)
    count = calibration.of - first_half if in_second else first_half
    own = sums[: entity_numbers(model)]
    own = np.where(np.abs(own) <= LARGEST_SUM, own, 0.0)  # also what is no number
    mean = own if place == 1 or averaged is None else averaged + (own - averaged) / place
    if place < count:
        return weights, mean
    assert model.entity_levels is not None
    in_events = (mean / entity_weight(model, cap=cap)).reshape(len(model.endpoints), model.entity_levels.entities, 2)
    of_mean = noise / entity_weight(model, cap=cap) / math.sqrt(count)
    changed = weights.copy()
    for endpoint, of_entities in enumerate(in_events):
        steps = step_alone(
            -of_entities[:, 0],
            shrunken(of_entities[:, 1] / INFORMATION, noise=of_mean / INFORMATION),
            prior=PRIOR,
            noise=of_mean,
            earlier_rounds=float(in_second),
        )
        _move(changed, steps, model=model, endpoint=endpoint)
    return changed, mean


def shrunken(numbers: FloatArray, *, noise: float) -> FloatArray:
    """The numbers, which have this noise, nearer to their mean; none is below a tenth of it."""
    mean = max(float(numbers.mean()), 0.0)
    spread = max(float(numbers.var()) - noise**2, (LEAST_SPREAD * mean) ** 2)
    kept = spread / (spread + noise**2) if spread else 0.0
    return np.maximum(mean + (numbers - mean) * kept, mean / 10)


def _move(changed: FloatArray, steps: FloatArray, *, model: ModelSpec, endpoint: int) -> None:
    """steps: (entities,), the reference one first."""
    levels, intervals = model.entity_levels, model.grid.intervals
    assert levels is not None
    changed[intervals * endpoint : intervals * (endpoint + 1)] += steps[0] / model.baseline_weight
    begin = model.ratio_begins + endpoint * model.columns
    changed[begin + np.array(levels.entity_columns)] += (steps[1:] - steps[0]) / levels.encoded
