"""Does the guard's process serve, end when told, and refuse to start on a policy with an unknown field?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.installed_node import SITE, InstalledNode, installed_node
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, TOKEN, Asker

from oncofed.client.guard import process as process_module
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.process import main
from oncofed.client.guard.public_times import PUBLIC_SECONDS
from oncofed.client.guard.token import token_sha256
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import create_ledger
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.protocol.answer_times import READING
from oncofed.protocol.messages import NodeDescription, PlanState


@contextmanager
def enrolled_node() -> Iterator[InstalledNode]:
    with installed_node() as node:
        node.enrol()
        node.folder.token_sha256.write_text(token_sha256(TOKEN))
        yield node


def ended_status(node: InstalledNode, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    umask = os.umask(0o022)
    try:
        return main(["process", str(node.folder.root)]), capsys.readouterr().err
    finally:
        os.umask(umask)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_process_serves_and_ends_when_told() -> None:
    with enrolled_node() as node:
        process = subprocess.Popen(
            [sys.executable, "-m", "oncofed.client.guard.process", str(node.folder.root)],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            channel = Asker(GuardChannel(socket=node.folder.socket, token=TOKEN, answer_seconds=10, start_seconds=60))
            assert channel.describe() == NodeDescription(SITE)
            assert channel.offer_plan(node.offer()) is PlanState.OFFERED
            node.approve()  # by another process, while this one serves
            request = node.request()
            began = time.monotonic()
            answer = channel.contribute(request)
            assert time.monotonic() - began >= (READING + 1) * node.plan().answer_seconds
            began = time.monotonic()
            channel.contribute(replace(request, round=2))
            assert time.monotonic() - began >= PUBLIC_SECONDS + node.plan().answer_seconds
            assert channel.contribute(request).vector.tobytes() == answer.vector.tobytes()
            channel.close()
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(
                timeout=60
            )  # one that does not end raises; a busy machine may take its time
        assert process.returncode == 0, errors
        assert not node.folder.socket.exists()
        assert len(node.charges()) == 2
        assert [event for event, _ in node.events()] == [
            "guard_started",
            "describe",
            "plan_kept",
            "offer_plan",
            "approved",
            *["to_be_charged", "contribute"] * 2,
            "contribute",
        ]


@dataclass
class Recorded:
    """The guard that `_serve` made, and the log that its answers were noted in."""

    guard: NodeGuard | None = None
    audit: AuditLog | None = None

    @contextmanager
    def serving(self, guard: NodeGuard, *, audit: AuditLog, **named: Any) -> Iterator[object]:
        self.guard, self.audit = guard, audit
        with serving(guard, audit=audit, **named) as server:
            yield server


def test_after_decline_nobody_stays_in_the_memory_of_a_process_that_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert process_module.LOOK_SECONDS <= 30, "docs/privacy.md says: within a minute"
    monkeypatch.setattr(process_module, "LOOK_SECONDS", 0.05)
    recorded, ended = Recorded(), threading.Event()
    monkeypatch.setattr(process_module, "serving", recorded.serving)
    with enrolled_node() as node:
        thread = threading.Thread(target=process_module._serve, args=(node.folder, ended))
        thread.start()
        try:
            asker = Asker(GuardChannel(socket=node.folder.socket, token=TOKEN, answer_seconds=10, start_seconds=60))
            asker.offer_plan(node.offer())
            node.approve()
            asker.contribute(node.request())
            asker.close()
            guard = recorded.guard
            assert guard is not None
            assert recorded.audit is guard.audit, "what is announced there may be told late there"
            assert len(guard._guards) == 1
            node.approvals.decline(node.plan().hash, declined_by="Dr. Example", now=datetime.now(UTC))
            assert list(node.folder.patients.iterdir()) == []
            until = time.monotonic() + 10
            while guard._guards and time.monotonic() < until:
                time.sleep(0.02)
            assert not guard._guards
        finally:
            ended.set()
            thread.join()


def misspelt(node: InstalledNode) -> None:
    node.set_policy("smallest_cohort", "smallest_cohrt")


def no_coordinator(node: InstalledNode) -> None:
    text = node.folder.settings.read_text()
    node.folder.settings.write_text(text[: text.index("[coordinator]")])


def no_ledger(node: InstalledNode) -> None:
    node.folder.ledger.unlink()


def older_ledger(node: InstalledNode) -> None:
    """As a copy of before the first answer would leave it."""
    guard = node.guard()
    guard.offer_plan(node.offer())
    node.approve()
    desk = Desk(
        questions_to_node(guard, site=SITE), audit=guard.audit, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC
    )
    Asker(desk).contribute(node.request())
    for file in node.folder.guard.glob("ledger.sqlite*"):
        file.unlink()
    create_ledger(node.folder.ledger)


FAULTS: dict[str, tuple[Callable[[InstalledNode], None], str]] = {
    "a misspelt field of the policy": (misspelt, "smallest_cohrt"),
    "no policy": (lambda node: node.folder.policy.unlink(), "policy.toml"),
    "no coordinator": (no_coordinator, "no coordinator"),
    "no ledger": (no_ledger, "ledger.sqlite"),
    "a ledger put back": (older_ledger, "the records disagree"),
    "no token": (lambda node: node.folder.token_sha256.unlink(), "token.sha256"),
    "no key of its own": (lambda node: node.folder.node_public_key.unlink(), "node.pub"),
}


@pytest.mark.parametrize(("break_it", "told"), FAULTS.values(), ids=FAULTS)
def test_a_set_up_at_fault_ends_with_status_two_and_says_so(
    break_it: Callable[[InstalledNode], None], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with enrolled_node() as node:
        break_it(node)
        status, errors = ended_status(node, capsys)
        assert status == 2
        assert told in errors
        assert "Traceback" not in errors
        assert not node.folder.socket.exists()
