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
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.doubles import FULL_BATCH_SIGMA, calibrated_privacy

from oncofed.client.records.sqlite_ledger import SqliteLedger, create_ledger
from oncofed.errors import BudgetExceeded, CheckpointDamaged, RefusalCode, RequestRefused, UnaccountedEvent
from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent, SampledGaussianRelease, epsilon_of
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
from oncofed.protocol.plan import TrainingSpec
from oncofed.simulations.engines.journal_ledger import JournalLedger

BUDGET = Budget(largest_epsilon=1.0, delta=1e-5)
SIXTY_ROUNDS = GaussianRelease(FULL_BATCH_SIGMA)


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
        charges = [charge(number, GaussianRelease(200.0 + number)) for number in range(5)]
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
            ledger.charge(charge(number, GaussianRelease(plan.noise_multiplier)))
        assert 0.999 <= spent_epsilon(ledger) <= 1.0
        with pytest.raises(BudgetExceeded):
            ledger.charge(charge(60, GaussianRelease(plan.noise_multiplier)))
        assert len(ledger.charges()) == 60
        ledger.charge(charge(61, GaussianRelease(1e6)))  # what still fits is still sold

    def test_what_is_refused_is_not_recorded(self, implementation: Implementation, tmp_path: Path) -> None:
        ledger = implementation.open_new(BUDGET, tmp_path)
        ledger.charge(charge(1))
        for event in (GaussianRelease(0.5), GaussianRelease(0.0), SampledGaussianRelease(0.0, 0.1, 1)):
            with pytest.raises(BudgetExceeded):
                ledger.charge(charge(2, event))
        for event in (GaussianRelease(math.nan), GaussianRelease(-3.0), SampledGaussianRelease(5.0, 2.0, 1)):
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
        sold = [charge(1), charge(2, SampledGaussianRelease(7.1, 0.1, 3)), charge(3, GaussianRelease(1 / 3 * 100))]
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
            refuse_if_over_budget(self, charge.event)

    hasty = Implementation(lambda budget, _folder: Hasty(budget), _memory_reopened)
    with pytest.raises(AssertionError):
        TestEveryLedger().test_what_is_refused_is_not_recorded(hasty, tmp_path)


@pytest.mark.parametrize(
    "event",
    [
        GaussianRelease(28.9),
        GaussianRelease(1 / 3),
        SampledGaussianRelease(5.427115253219453, 0.1, 10),
        SampledGaussianRelease(5.0, 1e-7, 1_000_000),
    ],
)
def test_a_charge_survives_json_to_the_last_bit(event: PrivacyEvent) -> None:
    one = Charge("plan/München/3/1", "abc", event)
    again = charge_from_json(json.loads(json.dumps(charge_to_json(one))))
    assert again == one
    assert type(again.event) is type(event)


def test_json_says_what_a_reader_must_know() -> None:
    assert charge_to_json(Charge("plan/Bonn/1/0", "abc", SampledGaussianRelease(5.0, 0.1, 10))) == {
        "identity": "plan/Bonn/1/0",
        "request_hash": "abc",
        "release": "SampledGaussianRelease",
        "noise_multiplier": 5.0,
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
        refuse_if_over_budget(ledger, GaussianRelease(3.5))
    refuse_if_over_budget(ledger, GaussianRelease(100.0))
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
