"""Do two trainings on the same patients, each with its part of the budget, stay within the budget together?

The truth is the accountant's of what both plans release, and for Gaussian sums the law that precisions add up.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.optimize import brentq
from scipy.special import ndtr
from tests.doubles import study_plan
from tests.options_asked import ASKED, STUDY

from oncofed.errors import BudgetExceeded
from oncofed.privacy.accounting import GaussianRelease, epsilon_of, part_of_epsilon, smallest_noise_multiplier
from oncofed.privacy.ledger import Budget, Charge, MemoryLedger
from oncofed.privacy.policy import calibrated_together, releases_of
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise, StudyPlan, TrainingSpec
from oncofed.simulations.federation import plan_of
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.treated import treated_schema
from oncofed.study.options_plan import options_plan_from

DELTA = 1e-6


def plan_with(epsilon: float, *, rounds: int, parameters: int, shares: SharedNoise | None) -> StudyPlan:
    mode = PrivacyMode.LOCAL if shares is None else PrivacyMode.DISTRIBUTED
    asked = PrivacySpec(mode, epsilon, DELTA, 0.0, 1.0, reserve_rounds=2, shares=shares)
    training = TrainingSpec(rounds=rounds)
    privacy, _ = calibrated_together(training, asked, [], parameters=parameters)
    return replace(study_plan(), training=training, privacy=privacy)


@pytest.mark.parametrize("shares", [None, SharedNoise(20, 2, 2)], ids=["local", "distributed"])
@pytest.mark.parametrize(("epsilon", "share"), [(1.0, 0.5), (3.0, 0.2), (3.0, 0.85)])
def test_together_they_are_within_the_budget_and_use_it_up(
    epsilon: float, share: float, shares: SharedNoise | None
) -> None:
    first, second = (
        releases_of(
            plan_with(part_of_epsilon(part, epsilon=epsilon, delta=DELTA), rounds=r, parameters=p, shares=shares)
        )
        for part, r, p in ((1 - share, 60, 700), (share, 20, 40))
    )
    together = epsilon_of([*first, *second], delta=DELTA)
    assert 0.998 * epsilon < together <= epsilon
    # Counting one of them alone would be seen: neither comes near.
    assert max(epsilon_of(first, delta=DELTA), epsilon_of(second, delta=DELTA)) < 0.95 * epsilon


def test_a_part_is_that_of_one_sum_with_its_share_of_the_precision() -> None:
    whole = smallest_noise_multiplier(lambda sigma: [GaussianRelease(sigma)], epsilon=2.0, delta=DELTA)
    of_a_quarter = epsilon_of([GaussianRelease(2 * whole)], delta=DELTA)
    assert part_of_epsilon(0.25, epsilon=2.0, delta=DELTA) == pytest.approx(of_a_quarter, rel=3e-4)
    assert part_of_epsilon(1.0, epsilon=2.0, delta=DELTA) == pytest.approx(2.0, rel=3e-4)
    for wrong in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match="a share"):
            part_of_epsilon(wrong, epsilon=2.0, delta=DELTA)


def test_a_ledger_refuses_a_second_training_that_takes_more_than_its_part() -> None:
    budget = Budget(1.0, DELTA)

    def charges(plan: StudyPlan, name: str) -> list[Charge]:
        return [Charge(f"{name}/{n}", "", event) for n, event in enumerate(releases_of(plan))]

    def take(ledger: MemoryLedger, wanted: list[Charge]) -> None:
        for charge in wanted:
            ledger.charge(charge)

    half = part_of_epsilon(0.5, epsilon=1.0, delta=DELTA)
    first = charges(plan_with(half, rounds=5, parameters=700, shares=None), "first")
    take(MemoryLedger(budget, first), charges(plan_with(half, rounds=5, parameters=40, shares=None), "second"))
    greedy = charges(plan_with(1.0, rounds=5, parameters=40, shares=None), "greedy")
    take(MemoryLedger(budget), greedy)
    with pytest.raises(BudgetExceeded):
        take(MemoryLedger(budget, first), greedy)


def epsilon_of_gaussians(precision: float, *, delta: float) -> float:
    """Of Gaussian releases whose 1 / sigma^2 add up to this (Balle and Wang 2018, equation 6). Not the accountant's."""
    distance = math.sqrt(precision)

    def excess(epsilon: float) -> float:
        lost = math.exp(epsilon) * ndtr(-distance / 2 - epsilon / distance)
        return float(ndtr(distance / 2 - epsilon / distance) - lost - delta)

    return float(brentq(excess, 0, 100))


@pytest.mark.parametrize("bits", [4, 20])
def test_a_prognosis_and_a_comparison_of_options_stay_within_the_epsilon_of_their_study(
    bits: int, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(STUDY + ASKED)
    study = read_study(tmp_path / "study.toml", overrides=[f"privacy.scale_bits={bits}", "held_out.horizon=24"])
    schema, roster = treated_schema(), ("a", "b", "c")
    assert study.target_trial is not None
    plans = (
        plan_of(study, schema, roster=roster, patients=320),
        options_plan_from(
            study.target_trial, study.settings, schema, study=study.name, roster=roster, quorum=None, seed=1
        ),
    )
    # Rounding to whole steps moves each number by one at most: a patient of length 2^bits by sqrt(numbers) more.
    # Two hospitals of three add noise that the server does not know, each of a whole number of steps.
    steps, adding = int(2**bits), 2

    def precision(sigma: float, times: int, numbers: int) -> float:
        noise = math.ceil(sigma * steps / math.sqrt(adding)) * math.sqrt(adding)
        return times * math.pow((steps + math.sqrt(numbers)) / noise, 2)

    together = sum(
        precision(plan.privacy.noise_multiplier, plan.charged_rounds, plan.model.parameters)
        + sum(precision(each.noise_multiplier, each.attempts, each.cells) for each in plan.summaries)
        for plan in plans
    )
    assert 0.95 * 3 < epsilon_of_gaussians(together, delta=1e-5) <= 3.0
    assert 0.95 * 3 < epsilon_of([event for plan in plans for event in releases_of(plan)], delta=1e-5) <= 3.0
