"""Is what is written after a charge certain before it, and does an answer leave whatever becomes of the disk?

The disk fails at each step of a question in turn, on the files of a real installation, and then works again. Whatever
the step: an answer that is charged leaves, what is not charged is `not_ready` and free, nothing leaves of which the
audit log has no line, and which of the two it is follows from the step and from no patient.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.hardship import no_file_longer_than
from tests.installed_node import SITE, InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.guard import Guard
from oncofed.client.records.audit_entries import NOT_CHARGED, TO_BE_CHARGED, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import SqliteLedger
from oncofed.errors import RecordUnwritable, RefusalCode, RequestRefused

FEWEST, MOST = 60, 700
CALLS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "write"),
    (os, "posix_fallocate"),
    (os, "unlink"),
    (Path, "replace"),
)
"""What a program asks of a disk, but for SQLite, which asks by itself."""


@dataclass
class Asked:
    """An installed hospital whose one guard is asked, and all that left it."""

    node: InstalledNode
    left: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        guard = self.node.guard()
        guard.offer_plan(self.node.offer())
        self.node.approve()
        self.desk = Desk(
            questions_to_node(guard, site=SITE), audit=guard.audit, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC
        )

    def ask(self, method: str, question: bytes) -> bytes:
        answer = self.desk.ask(method, question)
        self.left.append(answer)
        return answer

    def outcome(self, *, round_: int = 1, attempt: int = 0) -> bytes | RefusalCode:
        """The vector's bytes, or a code."""
        try:
            return Asker(self).contribute(self.node.request(round_=round_, attempt=attempt)).vector.tobytes()
        except RequestRefused as refused:
            return refused.code

    @property
    def noted(self) -> set[str]:
        return {one.sha256 for entry in self.node.entries() for one in entry.left}

    def events(self) -> list[str]:
        return [event for event, _ in self.node.events() if event not in ("plan_kept", "approved")]

    def untold(self) -> int:
        return len(verify_audit_log(self.node.folder.audit_log).untold)


@contextmanager
def hospital(patients: int = FEWEST) -> Iterator[Asked]:
    with installed_node() as node:
        table(patients).to_csv(node.table_path, index=False)
        yield Asked(node)


@dataclass
class Disk:
    """fails: whether it does at the so-many-th call (0 is the first). calls: the names of those that were made."""

    fails: Callable[[int], bool] = lambda number: False
    calls: list[str] = field(default_factory=list)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            for home, name in CALLS:
                patched.setattr(home, name, self._of(name, getattr(home, name)))
            yield

    def _of(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*positional: Any, **named: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if self.fails(number):
                raise OSError(errno.ENOSPC, "full")
            return inner(*positional, **named)

        return call


@cache
def steps_of_a_question() -> int:
    with hospital() as asked, (disk := Disk()).mounted():
        assert isinstance(asked.outcome(), bytes)
    assert {name for _, name in CALLS} - {"unlink"} <= set(disk.calls)
    return len(disk.calls)


CONSTANT: dict[str, Callable[[int], Callable[[int], bool]]] = {
    "from there on": lambda step: lambda number: number >= step,
    "only there": lambda step: lambda number: number == step,
}


def outcome_at(step: int, fails: Callable[[int], Callable[[int], bool]], patients: int) -> str:
    """Whether an answer left. The rules are checked."""
    with hospital(patients) as asked:
        with Disk(fails(step)).mounted():
            first = asked.outcome()
        charged = len(asked.node.charges())
        if isinstance(first, bytes):
            assert charged == 1, "nothing leaves uncharged"
            assert TO_BE_CHARGED in asked.events(), "nor without a line"
        else:
            assert first is RefusalCode.NOT_READY
            assert charged == 0, "no charge without an answer"
            assert not asked.noted
        # The disk works again: another question is answered, and by then the log tells of all that left.
        second = asked.outcome(round_=2)
        assert isinstance(second, bytes)
        assert len(asked.node.charges()) == charged + 1
        vectors = [answer for answer in asked.left if len(answer) > 8 * asked.node.request().weights.size]
        assert asked.noted == {hashlib.sha256(answer).hexdigest() for answer in vectors}
        assert asked.untold() == 0
        # Asked again: the same bytes without a charge, or, if they could not be kept, never others.
        again = asked.outcome()
        assert (
            again == first
            or (again is RefusalCode.REQUEST_CONFLICT and "answer_not_kept" in asked.events())
            or (first is RefusalCode.NOT_READY and isinstance(again, bytes))
        )
        assert os.listdir(asked.node.folder.answers).count("asked.unfinished") == 0
        return "left" if isinstance(first, bytes) else "free"


def every_step(fails: Callable[[int], Callable[[int], bool]]) -> list[str]:
    return [outcome_at(step, fails, FEWEST) for step in range(steps_of_a_question())]


@pytest.mark.parametrize("fails", CONSTANT.values(), ids=CONSTANT)
def test_wherever_the_disk_fails_what_is_charged_leaves_and_what_leaves_is_told(
    fails: Callable[[int], Callable[[int], bool]],
) -> None:
    outcomes = every_step(fails)
    assert outcomes == sorted(outcomes), "free up to the charge, and then it leaves"
    assert set(outcomes) == {"free", "left"}


def test_which_of_the_two_it_is_follows_from_no_patient() -> None:
    fails = CONSTANT["from there on"]
    few, many = (
        [outcome_at(step, fails, patients) for step in range(0, steps_of_a_question(), 3)]
        for patients in (FEWEST, MOST)
    )
    assert few == many


@pytest.mark.parametrize("size_bytes", [0, 100, 1_000, 4_096, 10_000, 30_000, 60_000, 70_000, 100_000, 1_000_000])
def test_so_it_is_where_the_operating_system_refuses_the_bytes(size_bytes: int) -> None:
    """Also SQLite's."""
    with hospital() as asked:
        with no_file_longer_than(size_bytes):
            first = asked.outcome()
        if isinstance(first, bytes):
            assert len(asked.node.charges()) == 1
            assert len(asked.noted) == 1
        else:
            assert first is RefusalCode.NOT_READY
            assert asked.node.charges() == ()
        assert isinstance(asked.outcome(), bytes)
        assert len(asked.node.charges()) == 1
        assert asked.untold() == 0


def test_without_room_for_the_answer_nothing_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though every line could still be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with hospital() as asked:
        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", full)
            assert asked.outcome() is RefusalCode.NOT_READY
        assert asked.node.charges() == ()
        assert asked.events() == ["contribute"]
        assert isinstance(asked.outcome(), bytes)


# What is told of it


def test_what_could_not_be_told_is_told_with_its_own_time_before_the_next_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with hospital() as asked:
        disk = Disk()
        inner = SqliteLedger.charge

        def charge(ledger: SqliteLedger, *positional: Any) -> None:
            inner(ledger, *positional)
            disk.fails = lambda number: True

        monkeypatch.setattr(SqliteLedger, "charge", charge)
        with disk.mounted():
            first = asked.outcome()
        monkeypatch.setattr(SqliteLedger, "charge", inner)
        assert isinstance(first, bytes)
        assert asked.events() == [TO_BE_CHARGED]
        report = verify_audit_log(asked.node.folder.audit_log)
        assert [(entry.round, entry.attempt) for entry in report.untold] == [(1, 0)]
        assert "1 answer was to be charged and no line says what left" in "\n".join(report.lines())
        assert "is owed until it can be written" in caplog.text
        assert isinstance(asked.outcome(round_=2), bytes)
        assert asked.events() == [TO_BE_CHARGED, "answer_not_kept", "contribute", TO_BE_CHARGED, "contribute"]
        assert [entry.round for entry in asked.node.entries()[-5:]] == [1, 1, 1, 2, 2]
        times = [entry.time for entry in asked.node.entries()]
        assert times == sorted(times)
        assert asked.outcome() is RefusalCode.REQUEST_CONFLICT


def test_a_kept_answer_is_not_sent_again_while_that_cannot_be_told() -> None:
    """It was not announced: nothing is lost, for it is still kept."""
    with hospital() as asked:
        first = asked.outcome()
        with Disk(lambda number: True).mounted():
            assert asked.outcome() is RefusalCode.NOT_READY
        assert asked.outcome() == first
        assert len(asked.node.charges()) == 1
        assert asked.events() == [TO_BE_CHARGED, "contribute", "contribute"]


def test_a_charge_that_the_ledger_refused_is_told_as_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RecordUnwritable("the ledger")

    with hospital() as asked:
        with monkeypatch.context() as patched:
            patched.setattr(SqliteLedger, "charge", refuse)
            assert asked.outcome() is RefusalCode.NOT_READY
        assert asked.events() == [TO_BE_CHARGED, NOT_CHARGED, "contribute"]
        assert asked.untold() == 0
        assert asked.node.charges() == ()


def test_a_kill_after_a_charge_leaves_a_line_that_says_so() -> None:
    """Another process goes on with the log, and knows nothing of it."""
    with hospital() as asked:
        child = os.fork()
        if child == 0:
            setattr(guard_module, "ascent_sum", lambda *_: os._exit(7))  # noqa: B010 - in a forked child only
            asked.outcome()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert len(asked.node.charges()) == 1
        assert asked.outcome() is RefusalCode.REQUEST_CONFLICT
        assert asked.untold() == 1, "that refusal says nothing of what left before"


# The tests themselves


def charged_unannounced(guard: Guard, request: Any, charge: Any, work: Any) -> Any:
    patients = work.load()
    guard.ledger.charge(charge)
    return patients


@pytest.mark.parametrize("fails", CONSTANT.values(), ids=CONSTANT)
def test_a_guard_that_makes_no_room_and_announces_nothing_would_be_noticed(
    fails: Callable[[int], Callable[[int], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guard, "_charged_patients", charged_unannounced)
    with pytest.raises(AssertionError):
        every_step(fails)


def test_a_log_that_owes_nothing_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def announce(log: AuditLog, event: str, **named: Any) -> None:
        log.append(TO_BE_CHARGED, **named)

    monkeypatch.setattr(AuditLog, "announce", announce)
    with pytest.raises(AssertionError):
        every_step(CONSTANT["from there on"])
