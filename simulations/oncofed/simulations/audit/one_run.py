"""How large is epsilon at least, by one run of the whole study and by a single canary seen again and again?

`one_run`  many canaries, each of which joins the hospital by a fair coin; after all rounds of one run, the attacker
guesses who joined for those of whom it is surest (Steinke, Nasr, Jagielski, NeurIPS 2023). Canaries' gradients are at
right angles and as long as a clip allows, so one canary's score is the releases' length along its own.
`repeated_canaries`  the same in several runs, taken together (gradient canaries as in Nasr et al., USENIX Security
2023): each canary is a test of its own of one and the same shift mu, so the scores with and without give a lower bound
on mu, and so on epsilon, if the noise is Gaussian; and one without that assumption, from how often a threshold is
passed.

The attacker knows every other patient and takes their sum off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from oncofed.simulations.audit.bounds import (
    epsilon_of_rates,
    gaussian_epsilon,
    mu_at_least,
    one_run_epsilon,
    rate_interval,
)
from oncofed.simulations.audit.crafted import canaries
from oncofed.simulations.audit.target import Target, nobody
from oncofed.simulations.audit.verdict import BY_CHANCE, NOTICED, Outcome, Power, Verdict
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

ONE_RUN = "one-run audit"
REPEATED_CANARIES = "repeated canaries"

_GUESSED = 0.5
"""Share of the canaries for which a guess is made; fixed before the run."""

ONE_RUN_SIGNIFICANCE = 1e-3
"""delta lets no p-value fall below about 2 canaries delta / guesses, so that 1e-6 could never be reached. A target with
the plan's noise comes nowhere near: the theorem is for the worst mechanism there is, and noise is far from it."""


def one_run(target: Target, rng: np.random.Generator, *, patients: int) -> Verdict:
    """Fails when one run refutes the plan's epsilon at ONE_RUN_SIGNIFICANCE.

    patients  of the study, in the hospital beside the canaries.
    """
    claimed, delta = _claim(target)
    others = target.patients.rows(torch.as_tensor(rng.permutation(len(target.patients))[:patients]))
    scores, joined = _Canaries.of(target).run(rng, others)
    count = len(joined)
    guesses = 2 * int(_GUESSED * count / 2)
    order = np.argsort(scores)
    correct = int(joined[order[count - guesses // 2 :]].sum() + (~joined[order[: guesses // 2]]).sum())
    audit = _OneRun(count, guesses, delta)
    shown, most = audit.epsilon(correct), audit.epsilon(guesses)
    powerful = most > claimed
    part = audit.noise_noticed(target.mu_of_canary, claimed=claimed) if powerful else 0.0
    return Verdict(
        ONE_RUN,
        Outcome.FAILED if shown > claimed else Outcome.PASSED if powerful else Outcome.NO_POWER,
        f"{correct} of {guesses} guesses about {count} canaries were right: epsilon is at least {shown:.2f}",
        f"not above the plan's {claimed:g} at delta {delta:g}, at significance {ONE_RUN_SIGNIFICANCE:g}",
        Power(
            f"noise of {part:.2f} times the plan's; all guesses right would show epsilon {most:.2f}"
            if powerful
            else f"none: all guesses right would show epsilon {most:.2f} only",
            NOTICED if powerful else 0.0,
        ),
        {"correct": correct, "guesses": guesses, "epsilon_at_least": shown, "epsilon_if_all_were_right": most},
    )


def repeated_canaries(target: Target, rng: np.random.Generator, *, runs: int) -> Verdict:
    """Fails when `runs` runs of canaries refute the plan's epsilon at BY_CHANCE."""
    claimed, delta = _claim(target)
    flock = _Canaries.of(target)
    scored = [flock.run(rng, nobody(target)) for _ in range(runs)]
    scores, joined = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    present, absent = scores[joined], scores[~joined]
    mu = mu_at_least(present, absent, significance=BY_CHANCE / 2)
    by_mu = gaussian_epsilon(mu, delta)
    by_counts = _epsilon_by_counts(present, absent, spread=target.sigma, rounds=target.plan.charged_rounds, delta=delta)
    part = _noise_noticed(target, samples=len(scores))
    shift = float(present.mean() - absent.mean()) / target.plan.charged_rounds
    return Verdict(
        REPEATED_CANARIES,
        Outcome.FAILED if max(by_mu, by_counts) > claimed else Outcome.PASSED,
        f"{len(present)} canaries that joined and {len(absent)} that did not, in {runs} runs, show epsilon of at least "
        f"{by_mu:.2f} (Gaussian), {by_counts:.2f} (by counts); one moves a release by {shift:.3g} clip norms",
        f"neither above the plan's {claimed:g} at delta {delta:g} (by chance with {BY_CHANCE:g})",
        Power(f"noise of {part:.2f} times the plan's, or a patient who counts {1 / part:.2f} times", NOTICED),
        {"mu_at_least": mu, "epsilon_at_least": by_mu, "epsilon_by_counts": by_counts, "canaries": len(scores)},
    )


@dataclass(frozen=True, eq=False)
class _Canaries:
    """directions  (canaries, parameters), what each adds to a release when it is clipped as promised."""

    target: Target
    patients: PatientTensors
    weights: FloatArray
    directions: FloatArray

    @staticmethod
    def of(target: Target) -> _Canaries:
        made, weights = canaries(target.plan.model)
        single = [made.rows(slice(row, row + 1)) for row in range(len(made))]
        return _Canaries(target, made, weights, np.stack([target.clipped_sum(one, weights) for one in single]))

    def run(self, rng: np.random.Generator, others: PatientTensors) -> tuple[FloatArray, NDArray[np.bool_]]:
        """All the plan's releases of one hospital: each canary's score, rounds/2 from 0 on average, and who joined."""
        joined = rng.random(len(self.patients)) < 0.5
        group = self.patients.rows(torch.as_tensor(joined))
        hospital = self.target.hospital(_together(others, group) if len(others) else group)
        rounds = self.target.plan.charged_rounds
        total = hospital.release(self.weights).copy()
        for _ in range(rounds - 1):
            total += hospital.release(self.weights)
        # Expected of a canary that joins by a coin is half its part.
        known = self.target.clipped_sum(others, self.weights) + self.directions.sum(axis=0) / 2
        return self.directions @ (total - rounds * known), joined


def _claim(target: Target) -> tuple[float, float]:
    assert target.plan.privacy.epsilon is not None
    return target.plan.privacy.epsilon, target.plan.privacy.delta


def _together(*groups: PatientTensors) -> PatientTensors:
    return PatientTensors.of(
        *(torch.cat([getattr(group, name) for group in groups]) for name in ("x", "events", "at_risk"))
    )


@dataclass(frozen=True)
class _OneRun:
    """One run's guesses, before they are made."""

    canaries: int
    guesses: int
    delta: float

    def epsilon(self, correct: int) -> float:
        """What so many correct guesses show."""
        return one_run_epsilon(
            canaries=self.canaries,
            guesses=self.guesses,
            correct=correct,
            delta=self.delta,
            significance=ONE_RUN_SIGNIFICANCE,
        )

    def noise_noticed(self, mu: float, *, claimed: float) -> float:
        """The largest part of the noise with which the claim is refuted with probability NOTICED, by simulation."""
        needed = next((count for count in range(self.guesses + 1) if self.epsilon(count) > claimed), self.guesses)
        rng = np.random.default_rng(0)  # of a simulation, not of an attack: the same plan has the same power
        coins = rng.random((200, self.canaries)) < 0.5
        standard = rng.normal(size=coins.shape)
        for part in np.arange(0.95, 0.0, -0.01):
            order = np.argsort(coins * (mu / part) + standard, axis=1)
            low, high = order[:, : self.guesses // 2], order[:, self.canaries - self.guesses // 2 :]
            right = np.take_along_axis(coins, high, axis=1).sum(axis=1)
            right += (~np.take_along_axis(coins, low, axis=1)).sum(axis=1)
            if (right >= needed).mean() >= NOTICED:
                return float(part)
        return 0.0


def _noise_noticed(target: Target, *, samples: int) -> float:
    """The largest part of the noise at which the bound from two samples exceeds the plan's mu with probability NOTICED.

    The estimate of mu has a standard error of 2 / sqrt(samples), and a little for that of the spread.
    """
    tails = float(stats.norm.isf(BY_CHANCE / 2) + stats.norm.isf(1 - NOTICED))
    low, high = target.mu, 1e6
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        error = math.sqrt(4 / samples + middle**2 / (2 * samples))
        low, high = (low, middle) if middle - tails * error > target.mu else (middle, high)
    return target.mu_of_canary / high


def _epsilon_by_counts(present: FloatArray, absent: FloatArray, *, spread: float, rounds: int, delta: float) -> float:
    """At a threshold two standard deviations of the promised noise above those who did not join."""
    threshold = -rounds / 2 + 2 * spread * math.sqrt(rounds)
    low, _ = rate_interval(int((present > threshold).sum()), len(present), significance=BY_CHANCE / 4)
    _, high = rate_interval(int((absent > threshold).sum()), len(absent), significance=BY_CHANCE / 4)
    return epsilon_of_rates(true_positive_low=low, false_positive_high=high, delta=delta)
