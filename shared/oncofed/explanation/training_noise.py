"""What would the noise of training alone have made of a weight?

The noise of every round is public: its size follows from the plan, and its form is the same in each number of a
round's sum. So anybody can train on noise alone, as if no hospital had a patient, and see how large a weight becomes.
That is post-processing of public numbers and costs no privacy. All weights of the linear part start at 0, see equal
noise and equal decay, and so have one distribution; a marker's part of one patient's log hazard ratio is by noise alone
normal around 0, with `deviation` times the length of the marker's encoded columns.

`deviation` is told of one linear part that learns by `fedadam` or `fedavg` in mode `full_batch`, which is what studies
use; None of anything else, and without noise. The calibration rounds at the end change the spread of all weights
together; here they are left out, so that after a spread that was narrowed the tag errs towards "may be noise".

**Which weights stand out.** Among hundreds of markers some reach twice the deviation by chance, so a marker stands out
from `STANDS_OUT` deviations on. docs/explanations.md says what that finds and misses on patients whose truth is known.

The weights of tumour entities that calibration rounds have moved (`moved_by_entity`) have another noise, which depends
on how many events each entity has: of these nothing is told.

What it does not know: chance in the patients themselves, and markers that go together. A weight that stands out is not
noise of training; it may still be another marker's.

Source: the update of FedAdam is that of Reddi et al., ICLR 2021, with the bias correction of Kingma and Ba, 2015, as
Flower computes it (`tests/unit/explanation/test_training_noise.py` holds it against Flower's own).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import ModelSpec, Strategy, StudyPlan, TrainingMode, TrainingSpec
from oncofed.words.language import later

FloatArray = NDArray[np.float64]

OUT_OF_NOISE, WITHIN_NOISE = later("stands out"), later("may be noise")
STANDS_OUT = 3.3
"""Deviations of noise alone."""
_WEIGHTS = 20_000
"""So many that the deviation is exact to half a per cent."""
_SEED = 16


def in_words(deviations: float) -> str:
    """Of how many deviations of noise alone something is, in English: `OUT_OF_NOISE` or `WITHIN_NOISE`."""
    return OUT_OF_NOISE if abs(deviations) > STANDS_OUT else WITHIN_NOISE


def deviation(plan: StudyPlan) -> float | None:
    """Standard deviation of a weight of the linear part after a training on noise alone; None where it is not known.

    In log hazard ratio per unit of an encoded column. The same for the same plan: the seed is ours, and public, since
    nothing is hidden by this noise.
    """
    training = plan.training
    told = training.mode is TrainingMode.FULL_BATCH and training.strategy in (Strategy.FEDADAM, Strategy.FEDAVG)
    hospitals = len(plan.roster)
    scale = release_of_round(plan).noise_of_sum(hospitals=hospitals) / hospitals
    if not (told and plan.model.linear_branch and scale > 0):
        return None
    rng = np.random.default_rng(_SEED)
    rounds = training.rounds - training.calibration_rounds
    noise = (rng.normal(scale=scale, size=_WEIGHTS) for _ in range(rounds))
    return float(trained_on(noise, training).std())


def moved_by_entity(model: ModelSpec) -> tuple[int, ...]:
    """Columns whose weights have the noise of calibration rounds of tumour entities, too: `deviation` is not theirs."""
    return () if model.entity_levels is None else model.entity_levels.entity_columns


def trained_on(means: Iterator[FloatArray], training: TrainingSpec) -> FloatArray:
    """Weights that began at 0, after one round for each of the means.

    means  (weights,), of what hospitals send in a round, in units of the bound.
    """
    weights, first, second = np.zeros(1), np.zeros(1), np.zeros(1)
    for number, mean in enumerate(means, start=1):
        if training.strategy is not Strategy.FEDADAM:
            weights = weights + training.server_learning_rate * (mean - training.weight_decay * weights)
            continue
        moved = mean - training.weight_decay * weights
        first = training.beta_1 * first + (1 - training.beta_1) * moved
        second = training.beta_2 * second + (1 - training.beta_2) * moved**2
        rate = training.server_learning_rate * math.sqrt(1 - training.beta_2 ** (number + 1))
        weights = weights + rate / (1 - training.beta_1 ** (number + 1)) * first / (np.sqrt(second) + training.tau)
    return weights
