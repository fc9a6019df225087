"""Does a hospital's epsilon survive restarts, new runs and new studies, and is it what dp-accounting says?

privacy.md, test 6. The other side is dp-accounting used directly: every release composed by itself, with no line of
`oncofed.privacy.accounting`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from dp_accounting.dp_event import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
from dp_accounting.privacy_accountant import NeighboringRelation

from oncofed.client.records.chain import START, Anchor
from oncofed.client.records.ledger_view import ledger_view, rounds_left
from oncofed.client.records.sqlite_ledger import SqliteLedger, create_ledger, ledger_head, read_ledger
from oncofed.errors import BudgetExceeded
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.ledger import Budget, Charge, spent_epsilon
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease

BUDGET = Budget(largest_epsilon=3.0, delta=1e-5)
FIRST, SECOND, THIRD = "1" * 64, "2" * 64, "3" * 64


def local(noise_multiplier: float) -> SharedIntegerRelease:
    return SharedIntegerRelease(noise_multiplier, 100, 20, 1.0, 1, 0, 0)


SHARED = SharedIntegerRelease(9.5, 100, 20, 1.0, 9, 2, 2)
SAMPLED = SampledIntegerRelease(3.0, 100, 20, 1.0, 0.1, 10)


def independent_epsilon(events: list[PrivacyEvent]) -> float:
    """As if the noise were Gaussian and nothing rounded: that is within 1e-4 of it."""
    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in events:
        if isinstance(event, SampledIntegerRelease):
            step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
            accountant.compose(SelfComposedDpEvent(step, event.steps))
        else:
            accountant.compose(GaussianDpEvent(event.noise_multiplier))
    return float(accountant.get_epsilon(BUDGET.delta))


def opened(folder: Path) -> SqliteLedger:
    return SqliteLedger(folder / "ledger.sqlite", data_source="registry", budget=BUDGET)


OF_SUMS: list[tuple[str, PrivacyEvent, int]] = [
    (FIRST, local(12.0), 10),
    (SECOND, SHARED, 3),  # a new study on the same source
    (FIRST, local(12.0), 10),  # and the first one is resumed
    (THIRD, local(9.5), 5),
]
BY_EPOCHS: list[tuple[str, PrivacyEvent, int]] = [
    (FIRST, SAMPLED, 4),  # a source of its own
    (FIRST, local(9.5), 2),  # its summaries
    (FIRST, SAMPLED, 2),  # and rounds that were repeated
]


@pytest.mark.parametrize("studies", [OF_SUMS, BY_EPOCHS], ids=["of sums", "by epochs"])
def test_the_epsilon_survives_and_equals_an_independent_one(
    tmp_path: Path, studies: list[tuple[str, PrivacyEvent, int]]
) -> None:
    create_ledger(tmp_path / "ledger.sqlite")
    events: list[PrivacyEvent] = []
    for run, (plan_hash, event, rounds) in enumerate(studies):
        for number in range(rounds):
            opened(tmp_path).charge(Charge(f"{plan_hash}/Bonn/{number}/{run}", f"{run}-{number}", event))  # restarts
            events.append(event)
        expected = independent_epsilon(events)
        assert expected > 0.5
        assert spent_epsilon(opened(tmp_path)) == pytest.approx(expected, abs=0.02)


def test_the_view_says_what_was_spent_and_what_the_rest_buys(tmp_path: Path) -> None:
    create_ledger(tmp_path / "ledger.sqlite")
    for number in range(20):
        opened(tmp_path).charge(Charge(f"{FIRST}/Bonn/{number}/0", "hash", local(12.0)))
    opened(tmp_path).charge(Charge(f"{SECOND}/Bonn/1/0", "hash", local(7.0)))
    other = SqliteLedger(tmp_path / "ledger.sqlite", data_source="other", budget=BUDGET)
    other.charge(Charge(f"{FIRST}/Bonn/1/0", "hash", local(2.0)))
    view = ledger_view(
        read_ledger(tmp_path / "ledger.sqlite"),
        data_source="registry",
        budget=BUDGET,
        head=ledger_head(tmp_path / "ledger.sqlite"),
        next_event=local(12.0),
        study_names={FIRST: "Lung 2026"},
    )
    assert view.releases == 21
    assert [(study.name, study.releases) for study in view.studies] == [("Lung 2026", 20), (SECOND[:12], 1)]
    assert view.spent_epsilon == spent_epsilon(opened(tmp_path))
    # The rounds it promises are the rounds it sells.
    assert view.rounds_left is not None
    assert 10 < view.rounds_left < 1000
    ledger = opened(tmp_path)
    for number in range(view.rounds_left):
        ledger.charge(Charge(f"{THIRD}/Bonn/{number}/0", "hash", local(12.0)))
    with pytest.raises(BudgetExceeded):
        ledger.charge(Charge(f"{THIRD}/Bonn/one-more/0", "hash", local(12.0)))
    text = "\n".join(view.lines())
    for words in (
        "epsilon",
        f"{view.spent_epsilon:.3f} of 3.000",
        f"buys {view.rounds_left} more rounds",
        "Lung 2026",
        "20 releases",
        "1 release,",
        str(view.head),
        "second hospital",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("made", "event", "expected"),
    [
        (0, local(1.0), 0),
        (0, local(1.5), 1),
        (60, local(11.0), 2),
        (62, local(11.0), 0),
    ],
)
def test_rounds_left_at_the_edges(made: int, event: PrivacyEvent, expected: int) -> None:
    assert rounds_left([(FIRST, local(11.0))] * made, event, plan_hash=SECOND, budget=BUDGET) == expected


def test_no_round_is_left_beside_a_study_that_trains_by_epochs() -> None:
    """The ledger refuses both ways round, so the view must not promise one."""
    steps = SampledIntegerRelease(9.0, 5, 20, 1.0, 0.01, 10)
    for made, following in ((steps, local(11.0)), (local(11.0), steps)):
        assert rounds_left([(FIRST, made)], following, plan_hash=SECOND, budget=BUDGET) == 0
        assert rounds_left([(FIRST, made)], following, plan_hash=FIRST, budget=BUDGET) > 0
    assert rounds_left([], steps, plan_hash=SECOND, budget=BUDGET) > 0


def test_an_empty_source_has_spent_nothing() -> None:
    view = ledger_view((), data_source="new", budget=BUDGET, head=Anchor(0, START), next_event=None, study_names={})
    assert (view.spent_epsilon, view.releases, view.studies, view.rounds_left) == (0.0, 0, (), None)
    assert "epsilon 0.000 of 3.000" in "\n".join(view.lines())
