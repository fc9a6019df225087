"""Is the noise of a release as large as the plan says, in every coordinate, and fresh in each release?

`noise_scale`  differences of pairs of releases of the same patients: their spread, in all and coordinate by coordinate.
`fresh_noise`  releases of hospitals that hold nobody, which are pure noise: of one guard in two rounds, and of a second
guard started anew, all generators that have a seed being set to the same before each. No two may be correlated.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.target import Target, nobody
from oncofed.simulations.audit.verdict import BY_CHANCE, NOTICED, Outcome, Power, Verdict

FloatArray = NDArray[np.float64]

NOISE_SCALE = "noise scale"
FRESH_NOISE = "fresh noise"

_PATIENTS = 50
"""More than one, so that noise which is divided by their number shows."""


def noise_scale(target: Target, rng: np.random.Generator, *, pairs: int) -> Verdict:
    """Fails when the spread of the noise contradicts the plan, or any coordinate's is too small, each by BY_CHANCE."""
    noise = _differences(target, rng, pairs=pairs) / target.sigma  # standard normal, if all is well
    size = noise.size
    ratio, low, high = scale_of(noise)
    by_coordinate = np.square(noise).sum(axis=0)
    least = float(stats.chi2.ppf(BY_CHANCE / noise.shape[1], pairs))
    thin = int((by_coordinate < least).sum())
    fits = low <= 1 <= high
    return Verdict(
        NOISE_SCALE,
        Outcome.PASSED if fits and thin == 0 else Outcome.FAILED,
        f"the noise has {ratio:.4f} times the plan's standard deviation (interval {low:.4f} to "
        f"{high:.4f}, from {size:,} draws); {thin} of {noise.shape[1]:,} coordinates have too little",
        f"the interval at 1 - {BY_CHANCE:g} holds 1, and no coordinate's spread is that improbable",
        Power(f"noise of {noticed_scale(size):.3f} times the plan's, in all coordinates together", NOTICED),
        {"ratio": ratio, "low": low, "high": high, "thin_coordinates": thin},
    )


def _differences(target: Target, rng: np.random.Generator, *, pairs: int) -> FloatArray:
    """(pairs, parameters): of two releases, over the square root of 2."""
    weights = first_weights(target.plan.model)
    rows = rng.permutation(len(target.patients))[:_PATIENTS]
    patients = target.patients.rows(torch.as_tensor(rows))
    found: list[FloatArray] = []
    while len(found) < pairs:
        hospital = target.hospital(patients)
        for _ in range(min(pairs - len(found), target.plan.charged_rounds // 2) or 1):
            if target.plan.charged_rounds == 1:  # a second hospital has another budget, and the same patients
                found.append(hospital.release(weights) - target.hospital(patients).release(weights))
            else:
                found.append(hospital.release(weights) - hospital.release(weights))
    return np.asarray(np.stack(found) / np.sqrt(2))


def scale_of(noise: FloatArray) -> tuple[float, float, float]:
    """Root mean square of normal noise around 0, and the interval at 1 - BY_CHANCE of its standard deviation."""
    total = float(np.square(noise).sum())
    low, high = (math.sqrt(total / stats.chi2.isf(tail, noise.size)) for tail in (BY_CHANCE / 2, 1 - BY_CHANCE / 2))
    return math.sqrt(total / noise.size), low, high


def noticed_scale(size: int) -> float:
    """The largest scale below 1 that is noticed with probability NOTICED."""
    return float(np.sqrt(stats.chi2.ppf(BY_CHANCE / 2, size) / stats.chi2.ppf(NOTICED, size)))


def fresh_noise(target: Target, rng: np.random.Generator) -> Verdict:
    """Fails when any two of four releases, or the two halves of one, are correlated more than by BY_CHANCE."""
    weights, seed = first_weights(target.plan.model), int(rng.integers(2**31))
    releases: list[FloatArray] = []
    for _ in range(2):
        with _seeded(seed):
            hospital = target.hospital(nobody(target))
            releases += [hospital.release(weights)]
            again = hospital if target.plan.charged_rounds > 1 else target.hospital(nobody(target))
            releases += [again.release(weights)]
    pairs = list(itertools.combinations(range(len(releases)), 2))
    of_halves = [release[: len(release) // 2 * 2].reshape(2, -1) for release in releases]
    tested = [(releases[one], releases[other]) for one, other in pairs] + [(half[0], half[1]) for half in of_halves]
    limit = float(stats.norm.isf(BY_CHANCE / 2 / len(tested)))
    strengths = [abs(_correlation(one, other)) * np.sqrt(len(one)) for one, other in tested]
    largest = max(abs(_correlation(one, other)) for one, other in tested)
    silent = any(not release.any() for release in releases)
    noticed = (limit + float(stats.norm.isf(1 - NOTICED))) / np.sqrt(target.plan.model.parameters)
    return Verdict(
        FRESH_NOISE,
        Outcome.FAILED if silent or max(strengths) > limit else Outcome.PASSED,
        "a release of a hospital that holds nobody is zero"
        if silent
        else f"the largest correlation of two releases, or of two halves of one, is {largest:.4f}",
        f"every correlation is below {limit:.1f} over the root of its draws (by chance with {BY_CHANCE:g})",
        Power(f"{min(1.0, noticed):.1%} of one release's noise used again in another", NOTICED),
        {"largest_correlation": float(largest), "limit": limit},
    )


def _correlation(one: FloatArray, other: FloatArray) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths > 0 else 0.0


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """All global generators set to a seed, and afterwards as they were."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
