"""Can a hostile coordinator read patients out of the sums, by the weights that it sends?

The attack. Every patient beyond a threshold fires a ReLU unit, and the gradient at that unit is the sum of what they
add. Two units with neighbouring thresholds differ by the patients between: if that is one, the difference is that
patient, but for a factor (Fowl et al., ICLR 2022; Boenisch et al., EuroS&P 2023, who call such weights trap weights).
The project's units have no biases, so a threshold has to be made of the inputs: with a direction b in which all
patients are positive, a unit with weights a - t b fires where a.x / b.x > t. The coordinator finds b and the thresholds
from patients of the same kind that it knows (`Target.reference`), and asks for other thresholds in each round. The
factor is found from the public values of category and flag columns. Output weights are so large that clipping leaves
the gradient at these units alone; and without clipping, the gradient is far above any noise.

A patient counts as recovered when some difference, brought to scale, is off by at most TOLERANCE of that patient's
length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.simulations.audit.crafted import relu_gradients, weights_of
from oncofed.simulations.audit.target import Hospital, Target
from oncofed.simulations.audit.verdict import (
    InvertedPatients,
    Outcome,
    Power,
    Verdict,
    not_applicable,
)

FloatArray = NDArray[np.float64]

INVERSION = "gradient inversion"

TOLERANCE = 0.05
LEAST_WITHOUT_NOISE = 0.1
"""The share of patients that the same attack must recover without noise, or it proves nothing."""

_LENGTH_OF_HIDDEN = 1e-15
_LENGTH_OF_OUTPUT = 1e9
"""Their product is about what f may reach, next to nothing; the second is how far a gradient stands above others."""

_SHOWN = 6


def inversion(target: Target, rng: np.random.Generator, *, patients: int) -> Verdict:
    """Fails when one patient is recovered from the releases of a whole study.

    patients  in the hospital under attack.
    """
    if not target.plan.model.hidden_units:
        return not_applicable(INVERSION, "the model has no ReLU units whose thresholds could be crafted")
    if not target.discrete.any() or len(target.reference) < 3:
        return not_applicable(INVERSION, "no category gives the scale, or nobody is known whose like is looked for")
    rows = torch.as_tensor(rng.permutation(len(target.patients))[:patients])
    hospital = target.patients.rows(rows)
    attack = _Attack.prepared(target, rng)
    true = hospital.x.numpy()
    quiet = attack.releases(target.without_noise.hospital(hospital))
    found = _recovered(attack.reconstructions(attack.releases(target.hospital(hospital))), true)
    control = _recovered(attack.reconstructions(quiet), true)
    nearly = _noise_that_lets_one_through(attack, quiet, true, rng)
    caught, caught_without = int(found.hit.sum()), int(control.hit.sum())
    powerful = caught_without >= LEAST_WITHOUT_NOISE * len(true)
    shown = np.flatnonzero(control.hit)[:_SHOWN]
    return Verdict(
        INVERSION,
        Outcome.FAILED if caught else Outcome.PASSED if powerful else Outcome.NO_POWER,
        f"{caught} of {len(true)} patients were recovered; {caught_without} by the same attack without the noise",
        f"nobody, to {TOLERANCE:.0%} of a patient's length; without noise at least {LEAST_WITHOUT_NOISE:.0%}",
        Power(
            f"noise of {nearly:.0e} times the plan's (at which one patient is recovered); missing noise gives away "
            f"{caught_without}",
            1.0 if powerful else 0.0,
        ),
        {"recovered": caught, "recovered_without_noise": caught_without, "patients": len(true)},
        (InvertedPatients(true[shown], control.nearest[shown], found.nearest[shown]),) if len(shown) else (),
    )


@dataclass(frozen=True, eq=False)
class _Attack:
    """weights  (parameters,) for each round. discrete: (columns,) as in `Target`."""

    target: Target
    weights: tuple[FloatArray, ...]

    @staticmethod
    def prepared(target: Target, rng: np.random.Generator) -> _Attack:
        """Thresholds at the quantiles of the known patients' ratio; the last of a round is the next one's first."""
        spec, rounds = target.plan.model, target.plan.charged_rounds
        units = spec.hidden_units[0]
        known = target.reference.x.numpy()
        b = _positive_for_all(known)
        a = rng.normal(size=spec.columns)
        ratio = (known @ a) / (known @ b)
        # Quantiles of the known patients are of the others', too, once they are smoothed.
        smoothed = ratio[:, None] + rng.normal(scale=0.15 * ratio.std(), size=(1, 200))
        thresholds = np.quantile(smoothed, np.linspace(0.0, 1.0, max(2, rounds * (units - 1) + 1)))
        directions = a - thresholds[:, None] * b
        directions *= _LENGTH_OF_HIDDEN / np.abs(known @ directions.T).max()
        output = np.zeros((len(spec.endpoints), spec.hidden_units[-1]))
        output[0, : units if len(spec.hidden_units) == 1 else 1] = _LENGTH_OF_OUTPUT
        return _Attack(
            target,
            tuple(
                weights_of(spec, hidden=_rows(directions, start=number * (units - 1), count=units), output=output)
                for number in range(rounds)
            ),
        )

    def releases(self, hospital: Hospital) -> list[FloatArray]:
        """The hospital's answers to all rounds."""
        return [hospital.release(weights) for weights in self.weights]

    def reconstructions(self, releases: list[FloatArray]) -> FloatArray:
        """(differences, columns): of neighbouring units, each brought to a patient's scale."""
        spec, discrete = self.target.plan.model, self.target.discrete
        differences = np.concatenate([np.diff(relu_gradients(spec, release), axis=0) for release in releases])
        ratios = differences[:, discrete != 0] / discrete[discrete != 0]
        largest = np.abs(ratios).max(axis=1)
        differences, ratios, largest = differences[largest > 0], ratios[largest > 0], largest[largest > 0]
        strong = np.abs(ratios) >= 0.5 * largest[:, None]
        factor = np.nanmedian(np.where(strong, ratios, np.nan), axis=1)
        usable = factor != 0
        return np.asarray(differences[usable] / factor[usable, None])


def _noise_that_lets_one_through(
    attack: _Attack, quiet: list[FloatArray], true: FloatArray, rng: np.random.Generator
) -> float:
    """The largest part of the plan's noise, to a power of ten, with which a patient is recovered; 0 when none."""
    for part in 10.0 ** -np.arange(1, 11):
        noisy = [release + rng.normal(scale=part * attack.target.sigma, size=len(release)) for release in quiet]
        if _recovered(attack.reconstructions(noisy), true).hit.any():
            return float(part)
    return 0.0


def _rows(matrix: FloatArray, *, start: int, count: int) -> FloatArray:
    """So many rows from `start`; past the end, the last one again."""
    return matrix[np.minimum(np.arange(start, start + count), len(matrix) - 1)]


def _positive_for_all(known: FloatArray) -> FloatArray:
    """(columns,): the direction in which known patients are as alike and as far from 0 as can be (Fisher's)."""
    mean = known.mean(axis=0)
    centred = known - mean
    covariance = centred.T @ centred / len(known)
    ridge = 0.05 * float(np.trace(covariance)) / len(mean) + 1e-12
    direction = np.linalg.solve(covariance + ridge * np.eye(len(mean)), mean)
    reach = float((known @ direction).mean())
    return np.asarray(direction / reach) if reach > 0 else mean + 1.0


@dataclass(frozen=True, eq=False)
class _Recovered:
    """hit  (patients,) whether recovered. nearest: (patients, columns), the closest reconstruction."""

    hit: NDArray[np.bool_]
    nearest: FloatArray


def _recovered(made: FloatArray, true: FloatArray) -> _Recovered:
    if not len(made):
        return _Recovered(np.zeros(len(true), dtype=np.bool_), np.zeros_like(true))
    squared = np.square(true).sum(axis=1)[:, None] + np.square(made).sum(axis=1)[None, :] - 2 * true @ made.T
    nearest = squared.argmin(axis=1)
    off = np.linalg.norm(true - made[nearest], axis=1)
    return _Recovered(off <= TOLERANCE * np.maximum(np.linalg.norm(true, axis=1), 1e-12), made[nearest])
