"""Can another user of the machine reach the guard's socket, the relay's token, the patients or the ledger?

privacy.md, test 8, as far as files and the socket go. The folders are handed over as an installation does, to users
that exist on every machine; what is tried runs in processes that have become another user. Needs root, and says so.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.installed_node import InstalledNode, installed_node
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, HonestGuard

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import new_token, token_sha256
from oncofed.secret_files import write_secret

GUARD, RELAY, STRANGER = 0, 61001, 65534
"""uids. The guard serves as root here, because this process cannot become root again; that makes it no weaker: all
that is tried is tried by others, against the rights on the disk."""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: other users' access to guard and token. Run as root to test it."
)

BECOME = "import os, socket, sys; os.setgroups([]); os.setgid({uid}); os.setuid({uid}); path = sys.argv[1]; "
"""Imports first: the interpreter itself may lie where only root can read."""
CONNECT = "socket.socket(socket.AF_UNIX).connect(path)"
READ = "open(path, 'rb').read(1)"
WRITE = "open(path, 'ab')"
LIST = "os.listdir(path)"
SWAP = "os.rename(path, path + '.old')"


def can(uid: int, attempt: str, path: Path) -> bool:
    """Whether a process of this user, and of no group but its own, manages it. Only PermissionError is a no."""
    done = subprocess.run(
        [sys.executable, "-c", BECOME.format(uid=uid) + attempt, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        assert done.stderr.strip().splitlines()[-1].startswith("PermissionError"), done.stderr
    return done.returncode == 0


@contextmanager
def handed_over() -> Iterator[InstalledNode]:
    """A node whose folders belong to the three users, served."""
    with installed_node() as node:
        folder, token = node.folder, new_token()
        os.chmod(folder.root.parent, 0o755)
        for path in (folder.relay, folder.token):
            os.chown(path, RELAY, RELAY)
        os.chown(folder.run, GUARD, RELAY)
        os.chmod(node.table_path, 0o640)
        write_secret(folder.answer_key, ANSWER_KEY)
        with serving(
            HonestGuard(),
            socket=folder.socket,
            token_sha256=token_sha256(token),
            site="Bonn",
            audit=node.audit_log,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ):
            yield node


@pytest.fixture(scope="module")
def node() -> Iterator[InstalledNode]:
    with handed_over() as here:
        yield here


def test_what_is_public_can_be_read_by_all(node: InstalledNode) -> None:
    """Or else every attempt below would fail for the wrong reason: a folder further up, say."""
    assert can(STRANGER, READ, node.folder.settings)


def test_the_relay_reaches_the_socket_and_its_token(node: InstalledNode) -> None:
    assert can(RELAY, CONNECT, node.folder.socket)
    assert can(RELAY, READ, node.folder.token)


def test_a_stranger_reaches_neither(node: InstalledNode) -> None:
    assert not can(STRANGER, CONNECT, node.folder.socket)
    assert not can(STRANGER, READ, node.folder.token)
    assert not can(STRANGER, LIST, node.folder.run)


def test_a_stranger_is_kept_out_by_the_socket_itself_too(node: InstalledNode) -> None:
    """Two barriers: with the folder open, the socket's own rights still hold."""
    os.chmod(node.folder.run, 0o755)
    try:
        assert not can(STRANGER, CONNECT, node.folder.socket)
        assert can(RELAY, CONNECT, node.folder.socket)
    finally:
        os.chmod(node.folder.run, 0o750)


def test_the_relay_cannot_put_a_socket_of_its_own_in_the_guards_place(node: InstalledNode) -> None:
    assert not can(RELAY, SWAP, node.folder.socket)


@pytest.mark.parametrize("uid", [RELAY, STRANGER])
def test_nobody_else_opens_patients_ledger_or_records(node: InstalledNode, uid: int) -> None:
    folder = node.folder
    node.audit_log.append("guard_started")
    of_the_guard = (folder.ledger, folder.audit_log, folder.token_sha256, folder.policy, folder.answer_key)
    for path in (node.table_path, *of_the_guard):
        assert path.exists()
        assert not can(uid, READ, path), path.name
        assert not can(uid, WRITE, path), path.name
    for path in (folder.guard, folder.plans, folder.approvals, folder.answers, folder.models, folder.node):
        assert not can(uid, LIST, path), path.name


def test_the_attempts_succeed_where_the_rights_are_given(node: InstalledNode) -> None:
    """Each of them, so that none of the refusals above is an attempt that can never succeed."""
    folder = node.folder
    for attempt, path in (
        (READ, folder.ledger),
        (WRITE, folder.ledger),
        (LIST, folder.guard),
        (CONNECT, folder.socket),
    ):
        assert can(GUARD, attempt, path)


def test_nobody_is_a_user_here() -> None:
    assert pwd.getpwuid(STRANGER).pw_name == "nobody"
