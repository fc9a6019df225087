"""Does a named pipe, an endless device or a file without end in place of a node's file hold nobody up?

A pipe without a writer is waited for without end by whoever opens it as a file; here a limit of seconds ends that. A
file of a terabyte, of which nothing but its beginning is on the disk, fits into nobody's memory.
"""

from __future__ import annotations

import ast
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pytest
from tests.command_line import oncofed
from tests.installed_node import InstalledNode, installed_node

import oncofed.client.records as records
from oncofed.client.guard.token import read_digits
from oncofed.client.install.backup import back_up
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_files import closing_of, locked
from oncofed.client.records.audit_line import LONGEST_TORN
from oncofed.errors import InvalidInput, OncofedError, RecordDamaged
from oncofed.plain_file import OtherKind

SECONDS = 20
PIPE, DEVICE, ENDLESS = "pipe", "device", "endless"


@contextmanager
def soon() -> Iterator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        pytest.fail("somebody waits for what never comes")

    before = signal.signal(signal.SIGALRM, over)
    left = signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(left)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    """That has answered once, closed its log, and answered again."""
    with installed_node() as made:
        made.enrol()
        made.guard().offer_plan(made.offer())
        made.approve()
        made.guard().contribute(made.request())
        made.audit_log.close(by="x", vouched=lambda _: b"{}")
        made.guard().contribute(made.request(round_=2))
        yield made


def put(path: Path, kind: str) -> None:
    if kind == ENDLESS:
        path.touch()
        os.truncate(path, 1 << 40)
        return
    path.unlink(missing_ok=True)
    if kind == PIPE:
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


FILES: dict[str, Callable[[InstalledNode], Path]] = {
    "audit log": lambda node: node.folder.audit_log,
    "closed log": lambda node: only(node.folder.guard, "audit.*.jsonl"),
    "closing": lambda node: closing_of(only(node.folder.guard, "audit.*.jsonl")),
    "approval": lambda node: only(node.folder.approvals, "*.json"),
    "patients": lambda node: only(node.folder.patients, "*.safetensors"),
    "plan": lambda node: only(node.folder.plans, "*.json"),
    "answer": lambda node: min(node.folder.answers.glob("*.answer")),
    "asked": lambda node: min(node.folder.answers.glob("*.asked")),
    "token": lambda node: node.folder.token,
    "token's hash": lambda node: node.folder.token_sha256,
    "answer key": lambda node: node.folder.answer_key,
    "public key": lambda node: node.folder.node_public_key,
    "certificate": lambda node: node.folder.ca_certificate,
    "ledger": lambda node: node.folder.ledger,
}


@pytest.mark.parametrize("kind", [PIPE, DEVICE, ENDLESS])
@pytest.mark.parametrize("file", FILES)
def test_no_command_and_no_guard_waits_for_it(file: str, kind: str, node: InstalledNode) -> None:
    put(FILES[file](node), kind)
    beginning = node.plan().hash[:12]
    with soon():
        for words in (
            ("doctor",),
            ("metrics",),
            ("status",),
            ("plans",),
            ("audit",),
            ("check",),
            ("decline", beginning),
        ):
            said = oncofed("site", words[0], node.folder.root, *words[1:])
            assert "Traceback" not in said.text
            assert "this check itself failed" not in said.text


@pytest.mark.parametrize("kind", [PIPE, DEVICE, ENDLESS])
@pytest.mark.parametrize("file", ["plan", "patients", "approval", "answer", "asked", "audit log"])
def test_a_question_is_answered_or_refused_at_once(file: str, kind: str, node: InstalledNode) -> None:
    guard = node.guard()
    put(FILES[file](node), kind)
    charges = len(node.charges())
    with soon():
        for round_ in (1, 3):
            with suppress(OncofedError):
                guard.contribute(node.request(round_=round_))
    assert len(node.charges()) <= charges + 1


@pytest.mark.parametrize("kind", [PIPE, DEVICE])
def test_a_restore_from_it_is_refused(kind: str, node: InstalledNode, tmp_path: Path) -> None:
    back_up(node.folder, tmp_path / "true.tar", now=datetime.now(UTC))
    put(tmp_path / "other", kind)
    with soon():
        said = oncofed("site", "restore", node.folder.root, tmp_path / "other")
    assert said.code != 0
    assert ("pipe" if kind == PIPE else "device") in said.text


@pytest.mark.parametrize("kind", [PIPE, DEVICE])
def test_no_line_is_written_where_no_file_lies(kind: str, tmp_path: Path) -> None:
    put(tmp_path / "audit.jsonl", kind)
    with soon(), pytest.raises(OtherKind), locked(tmp_path / "audit.jsonl"):
        pytest.fail("it was taken for a log")


@pytest.mark.parametrize("kind", [PIPE, DEVICE])
def test_a_token_is_read_from_a_file_alone(kind: str, tmp_path: Path) -> None:
    put(tmp_path / "token", kind)
    with soon(), pytest.raises(InvalidInput, match=kind):
        read_digits(tmp_path / "token")


def test_a_longer_line_than_any_is_damage_and_what_came_before_is_told(node: InstalledNode) -> None:
    """Not one more that a kill cut short: nobody writes after it, and nobody holds it."""
    with node.folder.audit_log.open("ab") as log:
        log.write(b"x" * (LONGEST_TORN - 1))
    assert verify_audit_log(node.folder.audit_log).torn_bytes == LONGEST_TORN - 1
    lines = node.folder.audit_log.read_bytes().count(b"\n")
    with node.folder.audit_log.open("ab") as log:
        log.write(b"xx")
    with pytest.raises(RecordDamaged, match=f"audit.jsonl: line {lines + 1} is not what was written"):
        verify_audit_log(node.folder.audit_log)


def test_records_are_read_in_one_way() -> None:
    """`plain_file` is it; a new record is read so too."""
    (room,) = records.__path__
    found = []
    for module in Path(room).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"read_bytes", "read_text"}:
                found.append(f"{module.name}:{node.lineno}")
            of_os = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            if isinstance(node, ast.Attribute) and node.attr == "open" and not of_os:
                found.append(f"{module.name}:{node.lineno}")
    assert found == []
