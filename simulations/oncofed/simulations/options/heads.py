"""What do models of treatment, death and loss say of a patient, and what does one patient add to their training?

Linear heads: the log odds of the second option, and of each option's patients the log hazards of each cause of an end
of follow-up (constant within intervals). Each round the patients' gradients over all heads together, bounded by 1, are
summed (`bounded_sum`), noise is added, and Adam takes a step: by simulated hospitals' guards in `options.compared`, and
here by a copy of the same arithmetic that is run thousands of times, charges nothing and protects nobody
(`privately_trained`). Without privacy they are fitted by Newton's method, to the maximum of the same likelihood.

Gradients are bounded by stopping, not by cutting (`survival.stopped_residuals`): follow-up ends where the hazard of all
causes together, as the current weights predict it, reaches a cap, and a patient counts by a weight of covariates alone.
With l_e >= 0 the hazards of the causes, of sum c at most, and one event at most, the residuals' squares add up to no
more than 1 + c^2, of slopes and of baselines. Cut gradients exaggerate log odds and log hazard ratios alike, and an
error of both is what a doubly robust estimate cannot mend. Whatever the weights, a patient whose numbers overflow adds
nothing, and what is longer than 1 for rounding is cut; so the bound is kept in floating point, not to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid
from oncofed.treatment.rows import Nuisances

FloatArray = NDArray[np.float64]

_BETAS = (0.9, 0.99)
_RIDGE = 1e-3
HAZARD_CAP = 1.0
ROUNDS = 60


@dataclass(frozen=True, eq=False)
class Observed:
    """z: (patients, markers). second: (patients,), the option. events: (causes, patients, intervals), d_k of each
    cause of an end; at_risk: (patients, intervals). All up to the horizon. hospital: (patients, hospitals), 1 at each
    one's own, so that each hospital may prefer an option; None: they are all alike.
    """

    z: FloatArray
    second: NDArray[np.bool_]
    events: FloatArray
    at_risk: FloatArray
    hospital: FloatArray | None = None


def observed(
    z: FloatArray, second: NDArray[np.bool_], months: FloatArray, causes: list[NDArray[np.bool_]], grid: TimeGrid
) -> Observed:
    """grid: ends at the horizon; who is followed for longer is not lost. The last cause is being lost."""
    lost = ~np.logical_or.reduce(causes)
    return Observed(
        z, second, np.stack([grid.events(months, of) for of in (*causes, lost)]), grid.at_risk(np.zeros(len(z)), months)
    )


@dataclass(frozen=True, eq=False)
class Heads:
    """propensity  (1 + markers + hospitals,), intercept first. baseline: (2 options, causes, intervals), log hazards
    over whole intervals at z = 0. slopes: (2, causes, markers).
    """

    propensity: FloatArray
    baseline: FloatArray
    slopes: FloatArray

    def chance(self, z: FloatArray, hospital: FloatArray | None = None) -> FloatArray:
        """(patients,): of the second option. hospital: as `Observed` has it; None: one that prefers neither."""
        of_markers = 1 + z.shape[1]
        log_odds = self.propensity[0] + z @ self.propensity[1:of_markers]
        if hospital is not None:
            log_odds = log_odds + hospital @ self.propensity[of_markers:]
        found: FloatArray = 1 / (1 + np.exp(-log_odds))
        return found

    def hazards(self, z: FloatArray) -> FloatArray:
        """(2, causes, patients, intervals)."""
        ratios = np.exp(np.einsum("pm,acm->acp", z, self.slopes))
        found: FloatArray = ratios[..., None] * np.exp(self.baseline)[:, :, None, :]
        return found

    def nuisances(self, z: FloatArray, *, outcomes: tuple[int, ...], hospital: FloatArray | None = None) -> Nuisances:
        """For a comparison in which survival ends with these causes; all others are ways of being lost."""
        hazards = self.hazards(z)
        others = [cause for cause in range(hazards.shape[1]) if cause not in outcomes]
        return Nuisances(
            self.chance(z, hospital), hazards[:, list(outcomes)].sum(axis=1), hazards[:, others].sum(axis=1)
        )

    def with_constant_propensity(self, share: float) -> Heads:
        """As if nothing decided about the option: the wrong model of a test."""
        return replace(self, propensity=np.concatenate([[np.log(share / (1 - share))], 0 * self.propensity[1:]]))


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
    arms = [_Arm.of(patients, arm == 1) for arm in (0, 1)]
    first, second = np.zeros(as_vector(heads).size), np.zeros(as_vector(heads).size)
    for step in range(1, rounds + 1):
        gradient = _sum_of_bounded(heads, arms) + noise * rng.standard_normal(first.size)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient**2
        scaled = (first / (1 - _BETAS[0] ** step)) / (np.sqrt(second / (1 - _BETAS[1] ** step)) + 1e-12)
        rate = learning_rate * min(1.0, 2 * (1 - (step - 1) / rounds))
        heads = from_vector(as_vector(heads) - rate * scaled, heads)
    return heads


@dataclass(frozen=True, eq=False)
class _Arm:
    """Patients of one option. length: 1 + |z|^2. who: (causes, patients), whose follow-up ended with it."""

    second: bool
    z: FloatArray
    hospital: FloatArray
    length: FloatArray
    events: FloatArray
    who: FloatArray
    at_risk: FloatArray

    @staticmethod
    def of(patients: Observed, second: bool) -> _Arm:
        rows = patients.second == second
        z, events = patients.z[rows], patients.events[:, rows]
        hospital = np.zeros((len(z), 0)) if patients.hospital is None else patients.hospital[rows]
        length = 1 + np.square(z).sum(axis=1)
        return _Arm(second, z, hospital, length, events, events.sum(axis=2), patients.at_risk[rows])

    @property
    def of_propensity(self) -> FloatArray:
        """(patients,): the squared length of what the propensity is made of."""
        found: FloatArray = self.length + np.square(self.hospital).sum(axis=1)
        return found


def bounded_sum(heads: Heads, patients: Observed) -> FloatArray:
    """Of the patients' gradients, each of length 1 at most: propensity, then baselines, then slopes, flat."""
    return _sum_of_bounded(heads, [_Arm.of(patients, second) for second in (False, True)])


def _sum_of_bounded(heads: Heads, arms: list[_Arm]) -> FloatArray:
    propensity = np.zeros_like(heads.propensity)
    baseline, slopes = np.zeros_like(heads.baseline), np.zeros_like(heads.slopes)
    for place, arm in enumerate(arms):
        # Weights are the server's: where a patient's hazards overflow, the patient adds nothing.
        with np.errstate(over="ignore", invalid="ignore"):
            parts = _bounded_parts(heads, arm, place)
            squares = np.square(parts.surprise) * arm.of_propensity + np.square(parts.of_baseline).sum(axis=(0, 2))
            length = np.sqrt(squares + np.square(parts.residual).sum(axis=0) * (arm.length - 1))
        held = np.isfinite(length)
        cut = np.where(held, 1 / np.maximum(np.where(held, length, 1.0), 1.0), 0.0)
        surprise = cut * np.where(held, parts.surprise, 0.0)
        propensity[0] += surprise.sum()
        propensity[1:] += surprise @ np.concatenate([arm.z, arm.hospital], axis=1)
        slopes[place] = (cut * np.where(held, parts.residual, 0.0)) @ arm.z
        baseline[place] = np.einsum("p,cpk->ck", cut, np.where(held[:, None], parts.of_baseline, 0.0))
    return as_vector(Heads(propensity, baseline, slopes))


@dataclass(frozen=True, eq=False)
class _Parts:
    """Of each patient's gradient: surprise (patients,), residual (causes, patients), of_baseline (causes, patients,
    intervals). Not finite where exponentials overflow.
    """

    surprise: FloatArray
    residual: FloatArray
    of_baseline: FloatArray


def _bounded_parts(heads: Heads, arm: _Arm, place: int) -> _Parts:
    chance = heads.chance(arm.z, arm.hospital)
    hazard = np.exp(heads.baseline[place])  # (causes, intervals)
    ratio = np.exp(heads.slopes[place] @ arm.z.T)  # (causes, patients)
    foretold = ratio.T @ hazard  # (patients, intervals), of all causes together
    spent = foretold * arm.at_risk
    # One interval after the other, as `survival.stopped_residuals` does: a difference of sums would cancel.
    since, counted = np.zeros(len(arm.z)), np.zeros_like(spent)
    for interval in range(spent.shape[1]):
        left = np.maximum(HAZARD_CAP - since, 0.0)
        counted[:, interval] = arm.at_risk[:, interval] * np.minimum(left / np.maximum(spent[:, interval], 1e-12), 1.0)
        since = since + spent[:, interval]
    counts = since <= HAZARD_CAP
    of_hazards = 1 + np.minimum(foretold.sum(axis=1), HAZARD_CAP) ** 2
    longest = np.sqrt(arm.of_propensity * np.maximum(chance, 1 - chance) ** 2 + arm.length * of_hazards)
    weight = 1 / np.maximum(longest, 1.0)
    expected = ratio[:, :, None] * (hazard[:, None, :] * counted)
    return _Parts(
        surprise=weight * (chance - arm.second),
        residual=weight * (expected.sum(axis=2) - arm.who * counts),
        of_baseline=weight[:, None] * (expected - counts[:, None] * arm.events),
    )


def as_vector(heads: Heads) -> FloatArray:
    """All numbers, in the order of `bounded_sum`."""
    return np.concatenate([heads.propensity, heads.baseline.ravel(), heads.slopes.ravel()])


def from_vector(numbers: FloatArray, like: Heads) -> Heads:
    """The other way. like: of the same sizes."""
    markers, size = like.propensity.size, like.propensity.size + like.baseline.size
    return Heads(
        numbers[:markers], numbers[markers:size].reshape(like.baseline.shape), numbers[size:].reshape(like.slopes.shape)
    )
