"""How are the models of treatment, death and loss made where nothing is protected, or thousands of times?

Without privacy they are fitted by Newton's method, to the maximum of the likelihood. `privately_trained` is what
hospitals and a coordinator do (`treatment.heads`, and the rounds of any training), by sums of one table: it charges
nothing and protects nobody.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid
from oncofed.treatment.heads import Arm, Heads, as_vector, bounded_parts, from_vector
from oncofed.treatment.question import Observed

FloatArray = NDArray[np.float64]

_BETAS = (0.9, 0.99)
_RIDGE = 1e-3
ROUNDS = 60


def observed(
    z: FloatArray, second: NDArray[np.bool_], months: FloatArray, causes: list[NDArray[np.bool_]], grid: TimeGrid
) -> Observed:
    """grid: ends at the horizon; who is followed for longer is not lost. The last cause is being lost."""
    lost = ~np.logical_or.reduce(causes)
    return Observed(
        z, second, np.stack([grid.events(months, of) for of in (*causes, lost)]), grid.at_risk(np.zeros(len(z)), months)
    )


def with_constant_propensity(heads: Heads, share: float) -> Heads:
    """As if nothing decided about the option: the wrong model of a test."""
    return replace(heads, propensity=np.concatenate([[np.log(share / (1 - share))], 0 * heads.propensity[1:]]))


def fitted(patients: Observed) -> Heads:
    """Without privacy."""
    baseline, slopes = [], []
    for arm in (False, True):
        rows = patients.second == arm
        found = [_hazard(patients.z[rows], events[rows], patients.at_risk[rows]) for events in patients.events]
        baseline.append([one for one, _ in found])
        slopes.append([other for _, other in found])
    return Heads(_logistic(patients.z, patients.second), np.array(baseline), np.array(slopes))


def without_covariates(patients: Observed, heads: Heads) -> Heads:
    """The same with hazards of deaths and loss that are alike for all patients of an option: a wrong model."""
    alike = fitted(replace(patients, z=np.zeros_like(patients.z)))
    return replace(heads, baseline=alike.baseline, slopes=np.zeros_like(heads.slopes))


def _logistic(z: FloatArray, second: NDArray[np.bool_]) -> FloatArray:
    x = np.concatenate([np.ones((len(z), 1)), z], axis=1)
    weights = np.zeros(x.shape[1])
    for _ in range(8):
        chance = 1 / (1 + np.exp(-x @ weights))
        curvature = (x.T * (chance * (1 - chance))) @ x + _RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, x.T @ (second - chance) - _RIDGE * weights)
    return weights


def _hazard(z: FloatArray, events: FloatArray, at_risk: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Baseline and slopes; the baseline has a closed form given slopes, so Newton's steps are of these alone."""
    happened, who = events.sum(axis=0) + 1e-3, events.sum(axis=1)
    slopes = np.zeros(z.shape[1])
    for _ in range(7):
        ratio = np.exp(z @ slopes)
        baseline = happened / (at_risk.T @ ratio + 1e-9)
        expected = ratio * (at_risk @ baseline)
        means = (at_risk * baseline).T @ (z * ratio[:, None])
        curvature = (z.T * expected) @ z - (means.T / happened) @ means + _RIDGE * np.eye(len(slopes))
        slopes = slopes + np.linalg.solve(curvature, z.T @ (who - expected) - _RIDGE * slopes)
    return np.log(happened / (at_risk.T @ np.exp(z @ slopes) + 1e-9)), slopes


def privately_trained(
    patients: Observed,
    *,
    noise: float,
    rng: np.random.Generator,
    baseline_hazard: FloatArray,
    rounds: int = ROUNDS,
    learning_rate: float = 0.03,
) -> Heads:
    """noise: standard deviation of what is added to each number of a round's sum. baseline_hazard: (causes,
    intervals), public, of whole intervals, where training starts.
    """
    causes, intervals = baseline_hazard.shape
    start = np.log(np.broadcast_to(baseline_hazard, (2, causes, intervals)))
    markers = patients.z.shape[1]
    heads = Heads(np.zeros(1 + markers), start.copy(), np.zeros((2, causes, markers)))
    arms = [Arm.of(patients, arm == 1) for arm in (0, 1)]
    first, second = np.zeros(as_vector(heads).size), np.zeros(as_vector(heads).size)
    for step in range(1, rounds + 1):
        gradient = _sum_of_bounded(heads, arms) + noise * rng.standard_normal(first.size)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient**2
        scaled = (first / (1 - _BETAS[0] ** step)) / (np.sqrt(second / (1 - _BETAS[1] ** step)) + 1e-12)
        rate = learning_rate * min(1.0, 2 * (1 - (step - 1) / rounds))
        heads = from_vector(as_vector(heads) - rate * scaled, heads)
    return heads


def bounded_sum(heads: Heads, patients: Observed) -> FloatArray:
    """Of the patients' gradients, each of length 1 at most: propensity, then baselines, then slopes, flat."""
    return _sum_of_bounded(heads, [Arm.of(patients, second) for second in (False, True)])


def _sum_of_bounded(heads: Heads, arms: list[Arm]) -> FloatArray:
    propensity = np.zeros_like(heads.propensity)
    baseline, slopes = np.zeros_like(heads.baseline), np.zeros_like(heads.slopes)
    for arm in arms:
        # Weights are the server's: where a patient's hazards overflow, the patient adds nothing.
        with np.errstate(over="ignore", invalid="ignore"):
            parts = bounded_parts(heads, arm)
            squares = np.square(parts.surprise) * arm.of_propensity + np.square(parts.of_baseline).sum(axis=(0, 2))
            length = np.sqrt(squares + np.square(parts.residual).sum(axis=0) * (arm.length - 1))
        held = np.isfinite(length)
        cut = np.where(held, 1 / np.maximum(np.where(held, length, 1.0), 1.0), 0.0)
        surprise = cut * np.where(held, parts.surprise, 0.0)
        propensity[0] += surprise.sum()
        propensity[1:] += surprise @ np.concatenate([arm.z, arm.hospital], axis=1)
        slopes[arm.place] = (cut * np.where(held, parts.residual, 0.0)) @ arm.z
        baseline[arm.place] = np.einsum("p,cpk->ck", cut, np.where(held[:, None], parts.of_baseline, 0.0))
    return as_vector(Heads(propensity, baseline, slopes))
