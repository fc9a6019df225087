"""Can somebody with the model, or with all releases, tell who took part?

The game: of a group of patients, each joins a hospital by a fair coin, and a model is trained; again and again, with
new coins. For each model, the attacker has seen the others (with their coins) and scores each patient by how much
likelier the patient's statistic is with than without that patient (LiRA of Carlini et al., IEEE S&P 2022). Two
statistics:
- `model`       what the final model, which everybody gets, expects of the patient;
- `transcript`  how far every release of the study points the way this patient's gradient would push it (the server's
  view; canaries, in `one_run`, are the sharper test of it).

What the plan allows: all releases together are as private as one Gaussian of shift mu, so at 1 % false positives no
attack has more true positives than Phi(Phi^-1(0.01) + mu). The control is the very same game without noise and without
clip: same patients, same coins, same first weights, same rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from oncofed.privacy.policy import without_privacy
from oncofed.simulations.audit.bounds import gaussian_true_positives, rate_interval
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.training_loop import Trained, trained
from oncofed.simulations.audit.verdict import (
    BY_CHANCE,
    NOTICED,
    Outcome,
    Power,
    RocCurve,
    Verdict,
    not_applicable,
)
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]
Coins = NDArray[np.bool_]

MEMBERSHIP = "membership inference"

FALSE_POSITIVES = 0.01
LEAST_OF_CONTROL = 0.3
"""True positives that the attack must have without noise and clip, or it proves nothing."""

STATISTICS = ("model", "transcript")

_SHRINKAGE = 2.0
"""A patient's own variance counts as much as all patients' together when it comes from so many models."""


def membership(target: Target, rng: np.random.Generator, *, models: int, patients: int) -> Verdict:
    """Fails when more members are recognised, at 1 % false positives, than the plan's noise allows.

    patients  who may take part; half of them do.
    """
    chosen = target.patients.rows(torch.as_tensor(rng.permutation(len(target.patients))[:patients]))
    if len(chosen) < 20 or models < 3:
        return not_applicable(MEMBERSHIP, "needs at least 20 patients and 3 models")
    coins = rng.random((models, len(chosen))) < 0.5
    # Nobody is in all models or in none: there would be nothing to compare with.
    coins[0], coins[1] = True, False
    coins = rng.permuted(coins, axis=0)
    private = _statistics(target, chosen, coins)
    open_ = _statistics(_without_protection(target), chosen, coins)
    scores = {name: likelihood_ratios(private[name], coins) for name in STATISTICS}
    control = {name: likelihood_ratios(open_[name], coins) for name in STATISTICS}
    rates = {name: _true_positives(scores[name], coins) for name in STATISTICS}
    rates_of_control = {name: _true_positives(control[name], coins) for name in STATISTICS}
    allowed = gaussian_true_positives(target.mu, FALSE_POSITIVES)
    game = _Game(members=int(coins.sum()), others=int((~coins).sum()))
    excess = {name: game.is_excess(rates[name], mu=target.mu) for name in STATISTICS}
    strongest = max(rates_of_control.values())
    outcome = Outcome.PASSED if strongest >= LEAST_OF_CONTROL else Outcome.NO_POWER
    with_events = chosen.events.sum(dim=(1, 2)).numpy() > 0
    figures = {f"true_positives_{name}": rates[name] for name in STATISTICS}
    figures |= {f"true_positives_{name}_without_privacy": rates_of_control[name] for name in STATISTICS}
    figures |= {
        "true_positives_model_with_events": _true_positives(scores["model"][:, with_events], coins[:, with_events]),
        "true_positives_model_with_events_without_privacy": _true_positives(
            control["model"][:, with_events], coins[:, with_events]
        ),
        "allowed": allowed,
    }
    return Verdict(
        MEMBERSHIP,
        Outcome.FAILED if any(excess.values()) else outcome,
        f"at 1 % false positives, {rates['model']:.3f} of members are recognised from the model and "
        f"{rates['transcript']:.3f} from all releases; without noise and clip {rates_of_control['model']:.3f} and "
        f"{rates_of_control['transcript']:.3f} ({models} models, {len(chosen)} patients)",
        f"not more than {allowed:.4f}, the most that the plan's noise allows (by chance with {BY_CHANCE:g}); without "
        f"protection at least {LEAST_OF_CONTROL}",
        Power(
            f"an attack that recognises {game.noticed(target.mu):.3f} of members; the plan's noise missing is one "
            f"of {strongest:.3f}",
            NOTICED,
        ),
        figures,
        tuple(
            RocCurve(f"{name}, {what}", *_curve(found[name], coins))
            for what, found in (("private", scores), ("no noise, no clip", control))
            for name in STATISTICS
        ),
    )


def _without_protection(target: Target) -> Target:
    plan = replace(target.plan, privacy=without_privacy(l2_norm_bound=None), members=(), summaries=())
    return Target(plan, target.patients, target.reference, target.discrete)


def _statistics(target: Target, patients: PatientTensors, coins: Coins) -> dict[str, FloatArray]:
    """By name, (models, patients, numbers)."""
    found: dict[str, list[FloatArray]] = {name: [] for name in STATISTICS}
    for joined in coins:
        model = trained(target.plan, target.hospital(patients.rows(torch.as_tensor(joined))))
        found["model"].append(_log_expected_events(target, model.final, patients))
        found["transcript"].append(_alignment(target, model, patients)[:, None])
    return {name: np.stack(rows) for name, rows in found.items()}


def _log_expected_events(target: Target, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, endpoints): log of how many events the model expects of each patient's own time at risk.

    Of an overfit model, it is 0 for members with the event and very low for others. It is near to linear in the
    weights, so that it is near to normal, which the loss is not.
    """
    network = network_with(target.plan.model, weights)
    with torch.no_grad():
        log_hazard = network.log_hazard(patients.x) + patients.at_risk.log()
        return np.asarray(torch.logsumexp(log_hazard, dim=2).clamp(min=-1e3).numpy())


def _losses(target: Target, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    with torch.no_grad():
        return np.asarray(patient_losses(network_with(target.plan.model, weights), patients).numpy())


def _alignment(target: Target, model: Trained, patients: PatientTensors) -> FloatArray:
    """(patients,): over the rounds, how much a step along the release would lower each patient's loss.

    A release is the way up the likelihood, so that is the product of the release and the patient's own part. The
    derivative is a difference quotient; its step is far above float64's rounding and far below any curvature.
    """
    total = np.zeros(len(patients))
    for weights, release in zip(model.weights, model.releases, strict=True):
        length = float(np.linalg.norm(release))
        if length > 0:
            step = release * (1e-4 / length)
            lower, higher = (_losses(target, weights + sign * step, patients) for sign in (-1, 1))
            total += (lower - higher) * (length / 2e-4)
    return total


def likelihood_ratios(statistic: FloatArray, coins: Coins) -> FloatArray:
    """(models, patients): log likelihood of having taken part against not, each model judged by all others.

    statistic  (models, patients, numbers); the numbers count as independent and normal, with a mean and a variance of
               each patient's own in both worlds, the variances drawn towards those of all patients together.
    """
    scores = np.zeros(coins.shape)
    for model in range(len(statistic)):
        others = np.arange(len(statistic)) != model
        seen, joined, here = statistic[others], coins[others][:, :, None], statistic[model]
        inside, outside = _log_density(seen, joined, here), _log_density(seen, ~joined, here)
        scores[model] = (inside - outside).sum(axis=1)
    return scores


def _log_density(seen: FloatArray, where: Coins, here: FloatArray) -> FloatArray:
    """(patients, numbers): of `here` under what was seen in the models of that world."""
    count = where.sum(axis=0)
    mean = np.where(where, seen, 0.0).sum(axis=0) / np.maximum(1, count)
    squared = np.where(where, np.square(seen - mean), 0.0).sum(axis=0)
    of_all = squared.sum(axis=0) / np.maximum(1, count.sum(axis=0) - len(count))
    variance = (squared + _SHRINKAGE * of_all) / np.maximum(1, count - 1 + _SHRINKAGE) + 1e-300
    # A mean of few is itself uncertain.
    variance = variance * (1 + 1 / np.maximum(1, count))
    return np.asarray(-0.5 * np.log(variance) - np.square(here - mean) / (2 * variance))


def _true_positives(scores: FloatArray, coins: Coins) -> float:
    """Share of members above the score that FALSE_POSITIVES of the others exceed."""
    others = np.sort(scores[~coins])[::-1]
    limit = others[int(FALSE_POSITIVES * len(others))]
    return float((scores[coins] > limit).mean())


def _curve(scores: FloatArray, coins: Coins) -> Iterator[FloatArray]:
    order = np.argsort(-scores.ravel(), kind="stable")
    joined = coins.ravel()[order]
    yield np.cumsum(~joined) / max(1, int((~joined).sum()))
    yield np.cumsum(joined) / max(1, int(joined.sum()))


@dataclass(frozen=True)
class _Game:
    """How many members and others were scored: what a share of them can show."""

    members: int
    others: int

    @property
    def false_positive_high(self) -> float:
        """Above the true share of false positives at the threshold that was taken from these others."""
        return rate_interval(int(FALSE_POSITIVES * self.others) + 1, self.others, significance=BY_CHANCE / 2)[1]

    def is_excess(self, true_positives: float, *, mu: float) -> bool:
        """Whether so many cannot be chance under mu."""
        found = round(true_positives * self.members)
        low, _ = rate_interval(found, self.members, significance=BY_CHANCE / 2)
        return low > gaussian_true_positives(mu, self.false_positive_high)

    def noticed(self, mu: float) -> float:
        """The smallest true share of true positives that is called an excess with probability NOTICED."""
        shares = np.arange(self.members + 1) / self.members
        needed = next((share for share in shares if self.is_excess(float(share), mu=mu)), 1.0)
        return float(stats.beta.ppf(NOTICED, round(needed * self.members) + 1, self.members))
