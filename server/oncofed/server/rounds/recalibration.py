"""How do the sums of a calibration round change the level and the spread of the model's risks?

Clipped gradients make risks too extreme, noise in the weights does too, and weight decay makes them too timid. All
three are mended along two directions that matter to a patient: a common level, and a common factor of the log hazard
ratio. Of these two a round's sums tell slope and curvature, so the step is Newton's; with noise of known size it is the
estimate of a linear model with prior N(0, PRIOR^2) for both. Later calibration rounds are averaged with the earlier
ones as far as noise is what they differ by, and set right what the first step, on a curved likelihood, has left.

Comparators have their own level and spread set right in the same way, from their own sums, so that no comparison with
the network is one with a model that nobody has calibrated.

Where the plan has levels of entities, the course over time is set right, too: the hazard of each interval by a factor
of its own, with a prior of its own, of what the common level leaves.

It costs what a round costs. The sums are of the patients who were trained on, so a spread that comes of fitting those
very patients too closely stays; noise and clip do not hide in that way. The order of patients by risk does not change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.calibration_layout import INFORMATION, SUMS, calibration_numbers, course_begins
from oncofed.protocol.plan import ModelSpec

FloatArray = NDArray[np.float64]

PRIOR = 0.5
"""Standard deviation of what is looked for: a level within a factor of exp(1), a spread between nothing and twice."""

LEFT = 0.1
"""Standard deviation of what earlier steps leave without any noise."""

COURSE_PRIOR = 0.3
"""The same of an interval's own factor."""

LARGEST_SUM = 1e9
"""No consortium has so many patients."""

LARGEST_STEP = 0.7
"""Of one round, whatever the sums say: the spread keeps its sign."""


def recalibrated(
    weights: FloatArray, sums: FloatArray, *, model: ModelSpec, calibration_round: int, noise: float
) -> FloatArray:
    """The next weights.

    sums               over all hospitals, in units of one patient's bound; as long as a round's.
    calibration_round  1 is the first.
    noise              standard deviation in each of the sums.
    """
    changed = weights.copy()
    intervals, endpoints = model.grid.intervals, len(model.endpoints)
    models = [(1.0, 0, [_output_weights(model, endpoint) for endpoint in range(endpoints)])]
    for each, (of_baseline, of_ratio) in zip(model.comparators, model.comparator_parts, strict=True):
        models.append((each.weight, of_baseline.start, _rows(of_ratio.start, len(each.columns), endpoints)))
    for number, (weight, baseline, own_weights) in enumerate(models):
        for endpoint, outputs in enumerate(own_weights):
            place = SUMS * (number * endpoints + endpoint)
            level, spread = _step(
                sums[place : place + SUMS] / weight, calibration_round=calibration_round, noise=noise / weight
            )
            begin = baseline + intervals * endpoint
            changed[begin : begin + intervals] += level / model.baseline_weight
            for own in outputs:
                changed[own] *= 1 + spread
            if model.entity_levels is not None and not number:
                own_course = _course(sums, level, model=model, endpoint=endpoint)
                moved = step_alone(*own_course, prior=COURSE_PRIOR, noise=noise, earlier_rounds=calibration_round - 1)
                changed[begin : begin + intervals] += moved / model.baseline_weight
    return changed


def _course(sums: FloatArray, level: float, *, model: ModelSpec, endpoint: int) -> tuple[FloatArray, FloatArray]:
    """(intervals,) each: slope and curvature of each interval's hazard, after all have moved by the level."""
    of_course = sums[course_begins(model) : calibration_numbers(model)].reshape(len(model.endpoints), -1, 2)[endpoint]
    if not (np.abs(of_course) <= LARGEST_SUM).all():
        return np.zeros(len(of_course)), np.zeros(len(of_course))
    curvature = of_course[:, 1] / INFORMATION
    return -of_course[:, 0] - level * curvature, curvature


def step_alone(
    slope: FloatArray, curvature: FloatArray, *, prior: float, noise: float, earlier_rounds: float
) -> FloatArray:
    """By how much each of several log hazards moves, each of which has a slope and a curvature of its own.

    noise, curvature  as in the sums. earlier_rounds: how often as much was told before, and used.
    """
    events = np.maximum(curvature, 0.0)
    variance = noise**2 + np.maximum(events, 1.0)
    told, known = events**2 / variance, np.full_like(slope, 1 / prior**2)
    if earlier_rounds > 0:
        known = 1 / (1 / (known + earlier_rounds * told) + LEFT**2)
    return np.clip(events * slope / variance / (known + told), -LARGEST_STEP, LARGEST_STEP)


def _rows(start: int, columns: int, endpoints: int) -> list[list[slice]]:
    """Of each endpoint, where a linear layer's weights lie."""
    return [[slice(start + columns * row, start + columns * (row + 1))] for row in range(endpoints)]


def _step(sums: FloatArray, *, calibration_round: int, noise: float) -> FloatArray:
    """(2,): by how much the log hazard's level moves, and by which part of itself its spread does."""
    if not (np.abs(sums) <= LARGEST_SUM).all():
        return np.zeros(2)
    of_level, of_spread, *curvature = sums
    all_, mixed, squared = (number / INFORMATION for number in curvature)
    matrix, slope = np.array([[all_, mixed], [mixed, squared]]), -np.array([of_level, of_spread])
    # Who dies and who does not is as uncertain as the expected number of events.
    variance = noise**2 + max(abs(all_), 1.0)
    told = matrix.T @ matrix / variance
    known: FloatArray = np.eye(2) / PRIOR**2
    if calibration_round > 1:
        earlier = np.linalg.inv(known + (calibration_round - 1) * told)
        known = np.asarray(np.linalg.inv(earlier + np.eye(2) * LEFT**2), dtype=np.float64)
    found = np.linalg.solve(known + told, matrix.T @ slope / variance)
    return np.clip(np.asarray(found, dtype=np.float64), -LARGEST_STEP, LARGEST_STEP)


def _output_weights(model: ModelSpec, endpoint: int) -> list[slice]:
    """Where the weights of this endpoint's output lie: f is linear in them together."""
    found = []
    if model.linear_branch:
        start = model.ratio_begins + endpoint * model.columns
        found.append(slice(start, start + model.columns))
    if model.hidden_units:
        last = model.hidden_units[-1]
        start = model.ratio_ends - (len(model.endpoints) - endpoint) * last
        found.append(slice(start, start + last))
    return found
