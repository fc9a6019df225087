"""What must every ledger do, whoever keeps it? Record first, refuse over budget, never forget.

`TestEveryLedger` is the conformance suite: an implementation is added to IMPLEMENTATIONS and must pass it as it is.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.doubles import FULL_BATCH_SIGMA, calibrated_privacy
from tests.installed_node import InstalledNode, installed_node

from oncofed.client.records.sqlite_ledger import SqliteLedger, create_ledger
from oncofed.errors import (
    BudgetExceeded,
    CheckpointDamaged,
    PrivacyRefusal,
    RefusalCode,
    RequestRefused,
    UnaccountedEvent,
)
from oncofed.privacy import accounting
from oncofed.privacy import ledger as ledger_module
from oncofed.privacy.accounting import EXCESS_ALLOWED, GaussianRelease, PrivacyEvent, epsilon_of
from oncofed.privacy.ledger import (
    Budget,
    Charge,
    Ledger,
    MemoryLedger,
    charge_from_json,
    charge_to_json,
    refuse_if_over_budget,
    spent_epsilon,
)
from oncofed.privacy.releases import release_of_round
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease, gaussian_equivalent
from oncofed.protocol.plan import StudyPlan, TrainingMode, TrainingSpec
from oncofed.simulations.engines.journal_ledger import JournalLedger

BUDGET = Budget(largest_epsilon=1.0, delta=1e-5)


def local(noise_multiplier: float, *, scale_bits: int = 20) -> SharedIntegerRelease:
    """One sum of a hospital that trusts nobody."""
    return SharedIntegerRelease(noise_multiplier, 100, scale_bits, 1.0, 1, 0, 0)


def sampled(noise_multiplier: float, rate: float, steps: int) -> SampledIntegerRelease:
    """A round of a study that trains by epochs."""
    return SampledIntegerRelease(noise_multiplier, 100, 20, 1.0, rate, steps)


SIXTY_ROUNDS = local(FULL_BATCH_SIGMA)


@dataclass(frozen=True)
class Implementation:
    """open_new makes an empty ledger in a folder; reopen is what a new process finds there after the old one died."""

    open_new: Callable[[Budget, Path], Ledger]
    reopen: Callable[[Ledger, Path], Ledger]


def _memory_reopened(ledger: Ledger, _folder: Path) -> Ledger:
    """As a simulation's checkpoint carries it: through JSON text."""
    text = json.dumps([charge_to_json(charge) for charge in ledger.charges()])
    return MemoryLedger(ledger.budget, [charge_from_json(record) for record in json.loads(text)])


def _journal(budget: Budget, folder: Path) -> JournalLedger:
    return JournalLedger(budget, folder / "ledger.jsonl")


def _sqlite(budget: Budget, folder: Path) -> SqliteLedger:
    return SqliteLedger(folder / "ledger.sqlite", data_source="registry", budget=budget)


def _new_sqlite(budget: Budget, folder: Path) -> SqliteLedger:
    create_ledger(folder / "ledger.sqlite")
    return _sqlite(budget, folder)


IMPLEMENTATIONS = {
    "memory": Implementation(lambda budget, _folder: MemoryLedger(budget), _memory_reopened),
    "journal": Implementation(_journal, lambda ledger, folder: _journal(ledger.budget, folder)),
    "sqlite": Implementation(_new_sqlite, lambda ledger, folder: _sqlite(ledger.budget, folder)),
}


@pytest.fixture(params=list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> Implementation:
    assert isinstance(request.param, Implementation)
    return request.param


def charge(number: int, event: PrivacyEvent = SIXTY_ROUNDS) -> Charge:
    return Charge(f"plan/Bonn/{number}/0", f"hash-{number}", event)


class TestEveryLedger:
    """The conformance suite."""

    def test_a_new_ledger_is_empty(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        assert list(ledger.charges()) == []
        assert ledger.budget == BUDGET
        assert spent_epsilon(ledger) == 0.0

    def test_it_keeps_every_charge_in_order(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        charges = [charge(number, local(200.0 + number)) for number in range(5)]
        for one in charges:
            ledger.charge(one)
        assert list(ledger.charges()) == charges
        assert spent_epsilon(ledger) == epsilon_of([one.event for one in charges], delta=BUDGET.delta)

    def test_sixty_rounds_of_a_plan_for_sixty_pass_and_the_next_is_refused(
        self, implementation: Implementation, tmp_path: Path
    ) -> None:
        plan = calibrated_privacy(
            TrainingSpec(rounds=60), epsilon=1.0, delta=BUDGET.delta, l2_norm_bound=1.0, reserve_rounds=0
        )
        ledger = implementation.open_new(BUDGET, tmp_path)
        for number in range(60):
            ledger.charge(charge(number, local(plan.noise_multiplier)))
        assert 0.999 <= spent_epsilon(ledger) <= 1.0
        with pytest.raises(BudgetExceeded):
            ledger.charge(charge(60, local(plan.noise_multiplier)))
        assert len(ledger.charges()) == 60
        ledger.charge(charge(61, local(1e6)))  # what still fits is still sold

    def test_what_is_refused_is_not_recorded(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        ledger.charge(charge(1))
        for event in (local(0.5), local(0.0), GaussianRelease(0.0), sampled(0.0, 0.1, 1)):
            with pytest.raises(BudgetExceeded):
                ledger.charge(charge(2, event))
        for event in (local(math.nan), local(-3.0), GaussianRelease(math.nan), sampled(5.0, 2.0, 1)):
            with pytest.raises(UnaccountedEvent):
                ledger.charge(charge(2, event))
        assert list(ledger.charges()) == [charge(1)]
        assert list(implementation.reopen(ledger, tmp_path).charges()) == [charge(1)]
        ledger.charge(charge(2))  # a refusal does not use the identity up

    def test_an_identity_is_charged_once(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        ledger.charge(charge(1))
        other_content = Charge(charge(1).identity, "another hash", SIXTY_ROUNDS)
        for again in (charge(1), other_content):
            with pytest.raises(RequestRefused) as refusal:
                ledger.charge(again)
            assert refusal.value.code is RefusalCode.REQUEST_CONFLICT
        assert list(ledger.charges()) == [charge(1)]

    def test_it_survives_a_restart(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        sold = [charge(1), charge(2, sampled(7.1, 0.1, 3)), charge(3, local(1 / 3 * 100))]
        for one in sold:
            ledger.charge(one)
        again = implementation.reopen(ledger, tmp_path)
        assert list(again.charges()) == sold
        assert again.budget == BUDGET
        assert spent_epsilon(again) == spent_epsilon(ledger)
        with pytest.raises(RequestRefused):
            again.charge(charge(2))
        again.charge(charge(4))
        assert len(again.charges()) == 4

    def test_a_restart_buys_no_fresh_budget(self, implementation: Implementation, tmp_path: Path) -> None:
        """privacy.md: a new engine a round reports 1.79 where the truth is 9.76."""
        ledger = implementation.open_new(BUDGET, tmp_path)
        sold = 0
        for number in range(70):
            try:
                ledger.charge(charge(number))
                sold += 1
            except BudgetExceeded:
                break
            ledger = implementation.reopen(ledger, tmp_path)
        assert sold == 60

    def test_all_studies_on_a_source_add_up(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        for study in ("first", "second"):
            for number in range(30):
                ledger.charge(Charge(f"{study}/Bonn/{number}/0", "hash", SIXTY_ROUNDS))
        with pytest.raises(BudgetExceeded):
            ledger.charge(Charge("third/Bonn/0/0", "hash", SIXTY_ROUNDS))

    @pytest.mark.parametrize("kinds", ["by lot, by lot", "by lot, everybody", "everybody, by lot"])
    def test_sums_over_patients_drawn_by_lot_are_of_one_plan_alone(
        self, implementation: Implementation, tmp_path: Path, kinds: str
    ) -> None:
        """No bound is proven for them together with any release of another plan, whichever came first."""
        before, after = (
            sampled(20.0, 0.1, 3) if kind == "by lot" else local(200.0)  # what either costs is nothing beside 1
            for kind in kinds.split(", ")
        )
        ledger = implementation.open_new(BUDGET, tmp_path)
        first = Charge("first/Bonn/1/0", "hash", before)
        ledger.charge(first)
        another = Charge("second/Bonn/1/0", "hash", after)
        with pytest.raises(UnaccountedEvent, match="patients whom no other study uses"):
            ledger.charge(another)
        ledger = implementation.reopen(ledger, tmp_path)
        assert list(ledger.charges()) == [first]
        of_the_same_plan = Charge("first/Bonn/summary/votes/0", "hash", after)
        ledger.charge(of_the_same_plan)
        assert list(ledger.charges()) == [first, of_the_same_plan]
        with pytest.raises(UnaccountedEvent):
            implementation.reopen(ledger, tmp_path).charge(another)

    def test_steps_over_everybody_are_sums_like_any_other(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        charges = [
            Charge("first/Bonn/1/0", "hash", sampled(90.0, 1.0, 10)),
            Charge("second/Bonn/1/0", "hash", local(90.0)),
        ]
        for one in charges:
            ledger.charge(one)
        assert list(ledger.charges()) == charges
        assert spent_epsilon(ledger) == pytest.approx(epsilon_of([local(90.0)] * 11, delta=BUDGET.delta))

    def test_shares_too_small_for_the_proof_cost_more_than_any_budget(
        self, implementation: Implementation, tmp_path: Path
    ) -> None:
        """Of one step, and of two: a Gaussian of such a size alone would cost epsilon 26, which the budget allows."""
        one, two = (SharedIntegerRelease(1.0, 4, bits, 1.0, 1, 0, 0) for bits in (0, 1))
        assert (one.share_standard_deviation, two.share_standard_deviation) == (1, 2)
        assert gaussian_equivalent(one).excess > EXCESS_ALLOWED > gaussian_equivalent(two).excess
        alone = GaussianRelease(gaussian_equivalent(one).noise_multiplier)
        ledger = implementation.open_new(Budget(40.0, 1e-5), tmp_path)
        refuse_if_over_budget(ledger, charge(1, alone))
        with pytest.raises(BudgetExceeded, match="epsilon inf"):
            ledger.charge(charge(1, one))
        assert list(ledger.charges()) == []
        ledger.charge(charge(1, two))
        assert math.isfinite(spent_epsilon(ledger))

    def test_what_was_read_cannot_change_the_record(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        ledger.charge(charge(1))
        seen = ledger.charges()
        with contextlib.suppress(AttributeError):
            seen.clear()  # type: ignore[attr-defined]  # a Sequence has none; a list handed out by mistake has
        assert list(ledger.charges()) == [charge(1)]

    def test_a_budget_that_is_not_a_number_buys_nothing(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(Budget(math.nan, 1e-5), tmp_path)
        with pytest.raises(BudgetExceeded):
            ledger.charge(charge(1))
        assert list(ledger.charges()) == []


def test_the_suite_notices_a_ledger_that_forgets_on_restart(tmp_path: Path) -> None:
    forgetful = Implementation(
        lambda budget, _folder: MemoryLedger(budget), lambda ledger, _folder: MemoryLedger(ledger.budget)
    )
    with pytest.raises(AssertionError):
        TestEveryLedger().test_a_restart_buys_no_fresh_budget(forgetful, tmp_path)
    with pytest.raises(AssertionError):
        TestEveryLedger().test_it_survives_a_restart(forgetful, tmp_path)


def test_the_suite_notices_a_ledger_that_records_before_it_refuses(tmp_path: Path) -> None:
    class Hasty(MemoryLedger):
        def charge(self, charge: Charge) -> None:
            self._charges.append(charge)
            refuse_if_over_budget(self, charge)

    hasty = Implementation(lambda budget, _folder: Hasty(budget), _memory_reopened)
    with pytest.raises(AssertionError):
        TestEveryLedger().test_what_is_refused_is_not_recorded(hasty, tmp_path)


def test_the_suite_notices_a_ledger_that_adds_up_what_no_proof_covers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "one_collection", lambda charged: True)
    for kinds in ("by lot, by lot", "by lot, everybody", "everybody, by lot"):
        with pytest.raises(pytest.fail.Exception):
            TestEveryLedger().test_sums_over_patients_drawn_by_lot_are_of_one_plan_alone(
                IMPLEMENTATIONS["memory"], tmp_path, kinds
            )


def test_excess_adds_up_over_all_releases_of_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over the steps of a round. Allowed is here what two of them come to."""
    one = SharedIntegerRelease(2.0, 1, 0, 1.0, 1, 0, 0)
    steps = [SampledIntegerRelease(2.0, 1, 0, 1.0, 1.0, count) for count in (1, 2, 3)]
    accounting._epsilon.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(accounting, "EXCESS_ALLOWED", 2.5 * gaussian_equivalent(one).excess)
        found = [epsilon_of(events, delta=1e-5) for events in ([one], [one] * 2, [one] * 3)]
        of_steps = [epsilon_of([each], delta=1e-5) for each in steps]
        both = [epsilon_of([steps[0], *[one] * more], delta=1e-5) for more in (1, 2)]
        accounting._epsilon.cache_clear()
    assert [math.isfinite(epsilon) for epsilon in found] == [True, True, False]
    assert [math.isfinite(epsilon) for epsilon in of_steps] == [True, True, False]
    assert [math.isfinite(epsilon) for epsilon in both] == [True, False]
    assert math.isfinite(epsilon_of([one] * 3, delta=1e-5)), "by what is allowed in truth"


# What a person would approve


def by_epochs(node: InstalledNode, *, study: str = "by epochs") -> StudyPlan:
    plan = node.plan()
    training = replace(plan.training, mode=TrainingMode.EPOCHS, local_steps=2, sampling_rate=0.1)
    return replace(plan, study=study, training=training)


@pytest.mark.parametrize("before", ["epochs", "full batch"])
def test_a_study_that_has_no_bound_beside_what_was_released_is_not_approved(before: str) -> None:
    with installed_node() as node:
        plans = {"epochs": by_epochs(node), "full batch": replace(node.plan(), study="full batch")}
        first, second = plans.pop(before), *plans.values()
        node.approve(first)
        node.ledger().charge(Charge(f"{first.hash}/Bonn/1/0", "hash", release_of_round(first).event))
        with pytest.raises(PrivacyRefusal, match="patients whom no other study uses"):
            node.approve(second)
        with pytest.raises(PrivacyRefusal, match="patients whom no other study uses"):
            node.approve(by_epochs(node, study="another by epochs"))
        node.approve(first)  # what it goes on with itself has one


def test_two_studies_over_everybody_are_approved_on_one_source() -> None:
    """So the refusals above are not of any second study."""
    with installed_node() as node:
        first, second = (replace(node.plan(), study=study) for study in ("first", "second"))
        node.set_policy("largest_epsilon = 1.5", "largest_epsilon = 3.0")
        node.approve(first)
        node.ledger().charge(Charge(f"{first.hash}/Bonn/1/0", "hash", release_of_round(first).event))
        node.approve(second)
        assert {approval.plan_hash for approval in node.approvals.all()} == {first.hash, second.hash}


@pytest.mark.parametrize(
    "event",
    [
        GaussianRelease(1 / 3),
        local(28.9),
        SharedIntegerRelease(1 / 3, 12_000, 16, 0.7, 20, 2, 3),
        sampled(5.427115253219453, 0.1, 10),
        sampled(5.0, 1e-7, 1_000_000),
    ],
)
def test_a_charge_survives_json_to_the_last_bit(event: PrivacyEvent) -> None:
    one = Charge("plan/München/3/1", "abc", event)
    again = charge_from_json(json.loads(json.dumps(charge_to_json(one))))
    assert again == one
    assert type(again.event) is type(event)


def test_json_says_what_a_reader_must_know() -> None:
    assert charge_to_json(Charge("plan/Bonn/1/0", "abc", sampled(5.0, 0.1, 10))) == {
        "identity": "plan/Bonn/1/0",
        "request_hash": "abc",
        "release": "SampledIntegerRelease",
        "noise_multiplier": 5.0,
        "parameters": 100,
        "scale_bits": 20,
        "l2_norm_bound": 1.0,
        "sampling_rate": 0.1,
        "steps": 10,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"release": "LaplaceRelease"},
        {"release": None},
        {"noise_multiplier": None, "sigma": 3.0},
        {"discount": 0.5},
        {"identity": None},
    ],
)
def test_a_record_that_is_not_a_charge_is_not_read(change: dict[str, object]) -> None:
    record = charge_to_json(charge(1))
    record |= change
    record = {key: value for key, value in record.items() if value is not None}
    with pytest.raises((KeyError, TypeError)):
        charge_from_json(record)


def test_a_refusal_names_the_epsilons_and_no_more() -> None:
    ledger = MemoryLedger(Budget(0.1, 1e-5))
    with pytest.raises(BudgetExceeded, match=r"epsilon 1\.\d+.*allows 0\.100 at delta 1e-05"):
        refuse_if_over_budget(ledger, charge(1, local(3.5)))
    refuse_if_over_budget(ledger, charge(1, local(100.0)))
    assert list(ledger.charges()) == []  # asking charges nothing


def test_a_journal_holds_each_charge_before_it_is_acted_upon(tmp_path: Path) -> None:
    """What another process would find at that moment, not what this one remembers."""
    ledger = _journal(BUDGET, tmp_path)
    for number in range(3):
        ledger.charge(charge(number))
        assert list(_journal(BUDGET, tmp_path).charges()) == list(ledger.charges())


@pytest.mark.parametrize("kept_bytes", [1, 20, -1])
def test_a_line_torn_by_a_kill_is_dropped_and_the_journal_goes_on(tmp_path: Path, kept_bytes: int) -> None:
    ledger = _journal(BUDGET, tmp_path)
    ledger.charge(charge(1))
    whole = (tmp_path / "ledger.jsonl").read_bytes()
    ledger.charge(charge(2))
    torn = (tmp_path / "ledger.jsonl").read_bytes()[len(whole) :][:kept_bytes]
    (tmp_path / "ledger.jsonl").write_bytes(whole + torn)
    again = _journal(BUDGET, tmp_path)
    assert list(again.charges()) == [charge(1)]
    assert (tmp_path / "ledger.jsonl").read_bytes() == whole + torn, "reading must not write"
    again.charge(charge(3))
    assert list(_journal(BUDGET, tmp_path).charges()) == [charge(1), charge(3)]


def test_a_charge_cuts_nothing_but_a_torn_line(tmp_path: Path) -> None:
    """Not even what another ledger appended after this one was read: a charge must never vanish."""
    first, second = _journal(BUDGET, tmp_path), _journal(BUDGET, tmp_path)
    first.charge(charge(1))
    second.charge(charge(2))
    assert list(_journal(BUDGET, tmp_path).charges()) == [charge(1), charge(2)]


def test_a_new_journal_is_in_its_folder_on_the_disk_before_it_holds_a_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[bool, bytes]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        flushed.append((is_folder, (tmp_path / "ledger.jsonl").read_bytes()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    ledger = _journal(BUDGET, tmp_path)
    ledger.charge(charge(1))
    held = (tmp_path / "ledger.jsonl").read_bytes()
    assert flushed == [(True, b""), (False, held)]
    ledger.charge(charge(2))
    assert [is_folder for is_folder, _ in flushed] == [True, False, False]


@pytest.mark.parametrize("damage", [b"{}\n", b"not json\n", b"[1, 2]\n", b"\xff\xfe\n", b"\n"])
def test_any_other_damage_is_refused_rather_than_read_as_a_smaller_epsilon(tmp_path: Path, damage: bytes) -> None:
    ledger = _journal(BUDGET, tmp_path)
    ledger.charge(charge(1))
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(damage + path.read_bytes())
    with pytest.raises(CheckpointDamaged):
        _journal(BUDGET, tmp_path)
