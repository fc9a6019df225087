"""Do two trainings on the same patients, each with its part of the budget, stay within the budget together?

The truth is the accountant's of what both plans release, and for Gaussian sums the law that precisions add up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles import study_plan

from oncofed.errors import BudgetExceeded
from oncofed.privacy.accounting import GaussianRelease, epsilon_of, part_of_epsilon, smallest_noise_multiplier
from oncofed.privacy.ledger import Budget, Charge, MemoryLedger
from oncofed.privacy.policy import calibrated_together, releases_of
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise, StudyPlan, TrainingSpec

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
