"""With an installation's three users: what can each open that is another's?

privacy.md, test 8, on the folder that `oncofed site init --users` and `site request` lay out, with a guard that serves
as the guard's user. Every refusal is shown to be the work of the rights: loosened, the same attempt succeeds. The three
uids belong to nobody here. Needs root, and says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.installed_node import InstalledNode, installed_node, table
from tests.privacy.test_two_users import CONNECT, LIST, READ, SWAP, WRITE, can

from oncofed.client.install.doctor import examine
from oncofed.client.install.enrolment import make_request
from oncofed.client.install.findings import Verdict
from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings
from oncofed.client.install.rights import hand_over
from oncofed.client.install.services import node_services
from oncofed.client.install.setup import create

USERS = NodeUsers("some-guard", "some-node", "some-relay")
UIDS = {"some-guard": 61001, "some-node": 61002, "some-relay": 61003}
GUARD, NODE, RELAY, NOBODY = *UIDS.values(), 65534

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: that the node's users cannot open each other's files. Run as root."
)

SERVE = """
import os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, HonestGuard
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.guard.guard_server import serving
from oncofed.secret_files import read_secret
root, digits, uid = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def served(socket, audit, answer_key):
    return serving(HonestGuard(), socket=socket, token_sha256=digits, site="Bonn", audit=audit, answer_key=answer_key,
        asker_key=COORDINATOR_PUBLIC)
# Once as root, for what is imported on the way: the guard's user may not be able to read where the packages lie.
with TemporaryDirectory() as name, served(Path(name) / "run" / "guard.sock", AuditLog(Path(name) / "a"), ANSWER_KEY):
    pass
os.umask(0o077)
os.setgroups([]); os.setgid(uid); os.setuid(uid)
audit = AuditLog(root / "guard" / "audit.jsonl")
with served(root / "run" / "guard.sock", audit, read_secret(root / "guard" / "answer.key")):
    audit.append("guard_started")
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def served(folder: NodeFolder) -> Iterator[None]:
    """By a process of the guard's user and no other group."""
    arguments = [str(folder.root), folder.token_sha256.read_text().strip(), str(GUARD)]
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as guard:
        assert guard.stdin is not None
        assert guard.stdout is not None
        try:
            assert guard.stdout.readline() == "ready\n"
            yield
        finally:
            guard.stdin.close()
            guard.wait(timeout=20)


@pytest.fixture(scope="module")
def node() -> Iterator[InstalledNode]:
    with pytest.MonkeyPatch.context() as patch, installed_node() as made:
        patch.setattr(NodeUsers, "ids", staticmethod(lambda name: (UIDS[name], UIDS[name])))
        folder = NodeFolder(made.folder.root.parent / "installed")
        node = InstalledNode(folder, made.signing_key)
        os.chmod(folder.root.parent, 0o755)
        before = os.umask(0o077)  # the strictest that root may have: what is for all must be so all the same
        try:
            create(folder, SiteSettings("Bonn", "127.0.0.1:9094", None, USERS))
            make_request(folder)
            hand_over(folder, USERS)
        finally:
            os.umask(before)
        table().to_csv(node.table_path, index=False)
        os.chown(node.table_path, GUARD, GUARD)
        os.chmod(node.table_path, 0o600)
        with served(folder):
            yield node


PLACES: dict[str, Callable[[InstalledNode], Path]] = {
    "patients": lambda node: node.table_path,
    "ledger": lambda node: node.folder.ledger,
    "audit log": lambda node: node.folder.audit_log,
    "policy": lambda node: node.folder.policy,
    "token's hash": lambda node: node.folder.token_sha256,
    "masking keys": lambda node: node.folder.masking,
    "answer key": lambda node: node.folder.answer_key,
    "approvals": lambda node: node.folder.approvals,
    "node key": lambda node: node.folder.node_key,
    "node's secret": lambda node: node.folder.node_secret,
    "token": lambda node: node.folder.token,
    "relay's secret": lambda node: node.folder.relay_secret,
    "socket": lambda node: node.folder.socket,
    "bundles": lambda node: node.folder.bundles,
    "site.toml": lambda node: node.folder.settings,
    "public key": lambda node: node.folder.node_public_key,
}
OF_THE_GUARD = ("patients", "ledger", "audit log", "policy", "token's hash", "answer key")
REFUSED = [
    *[(RELAY, READ, name) for name in (*OF_THE_GUARD, "node key", "node's secret")],
    *[(NODE, READ, name) for name in (*OF_THE_GUARD, "token", "relay's secret")],
    *[(GUARD, READ, name) for name in ("node key", "node's secret", "token", "relay's secret")],
    *[(NOBODY, READ, name) for name in (*OF_THE_GUARD, "node key", "token", "relay's secret")],
    *[(uid, LIST, name) for name in ("approvals", "masking keys") for uid in (RELAY, NODE, NOBODY)],
    *[(uid, CONNECT, "socket") for uid in (NODE, NOBODY)],
    (GUARD, WRITE, "policy"),
    *[(uid, WRITE, "bundles") for uid in (RELAY, NODE, NOBODY)],
    *[(uid, WRITE, "site.toml") for uid in (GUARD, NODE, RELAY, NOBODY)],
    *[(uid, WRITE, "public key") for uid in (GUARD, NODE, RELAY, NOBODY)],
    (RELAY, SWAP, "socket"),
]
NAMES = {GUARD: "guard", NODE: "node", RELAY: "relay", NOBODY: "nobody"}
WORDS = {READ: "reads", WRITE: "writes", LIST: "lists", CONNECT: "connects to", SWAP: "swaps"}


@contextmanager
def loosened(path: Path, root: Path) -> Iterator[None]:
    """The place and all folders up to the node's, open to everybody."""
    places = [path, *(above for above in path.parents if above.is_relative_to(root))]
    before = [(place, place.stat().st_mode & 0o7777) for place in places]
    for place in places:
        os.chmod(place, 0o777)
    try:
        yield
    finally:
        for place, mode in before:
            os.chmod(place, mode)


@pytest.mark.parametrize(
    ("uid", "attempt", "name"), REFUSED, ids=[f"{NAMES[uid]} {WORDS[how]} {name}" for uid, how, name in REFUSED]
)
def test_nobody_opens_what_is_anothers_and_it_is_the_rights_that_refuse(
    node: InstalledNode, uid: int, attempt: str, name: str
) -> None:
    path = PLACES[name](node)
    assert path.exists()
    assert not can(uid, attempt, path)
    with loosened(path, node.folder.root):
        assert can(uid, attempt, path)
        if attempt == SWAP:
            path.with_name(path.name + ".old").rename(path)


@pytest.mark.parametrize(
    ("uid", "attempt", "name"),
    [
        *[(GUARD, READ, name) for name in (*OF_THE_GUARD, "public key", "site.toml")],
        *[(GUARD, WRITE, name) for name in ("ledger", "audit log", "bundles")],
        *[(NODE, READ, name) for name in ("node key", "node's secret", "bundles", "site.toml")],
        *[(RELAY, READ, name) for name in ("token", "relay's secret", "site.toml")],
        (RELAY, CONNECT, "socket"),
    ],
)
def test_each_can_do_its_own_work(node: InstalledNode, uid: int, attempt: str, name: str) -> None:
    assert can(uid, attempt, PLACES[name](node))


def test_the_doctor_finds_the_rights_sound_and_tells_of_each_that_is_loosened(node: InstalledNode) -> None:
    folder = node.folder

    def told() -> list[str]:
        return [one.what for one in examine(folder) if one.topic == "file rights" and one.verdict is Verdict.FAULT]

    assert told() == []
    for path in (folder.guard, folder.node, folder.relay, folder.run, folder.token, folder.node_key, folder.policy):
        before = path.stat().st_mode & 0o7777
        os.chmod(path, 0o777)
        try:
            assert any(str(path) in line for line in told()), path.name
        finally:
            os.chmod(path, before)
    os.chmod(folder.node_public_key, 0o600)
    try:
        assert any("cannot read" in line for line in told())
    finally:
        os.chmod(folder.node_public_key, 0o644)


def test_handing_over_follows_no_name_that_leads_elsewhere(node: InstalledNode, tmp_path: Path) -> None:
    """A relay of ill will must not get root to give it another's file."""
    folder, secret = node.folder, tmp_path / "of_root"
    secret.write_text("root's")
    (folder.relay / "a_link").symlink_to(secret)
    (folder.relay / "a_folder").symlink_to(tmp_path)
    os.link(folder.ledger, folder.relay / "a_second_name")  # on the same disk, which the test's folder may not be
    try:
        hand_over(folder, USERS)
        assert secret.stat().st_uid == 0
        assert tmp_path.stat().st_uid == 0
        assert folder.ledger.stat().st_uid == GUARD
    finally:
        for name in ("a_link", "a_folder", "a_second_name"):
            (folder.relay / name).unlink()


def test_a_databases_address_in_a_variable_is_the_guards_alone(node: InstalledNode) -> None:
    inherited = {"PATH": "/usr/bin", "HOME": "/root", "DATABASE": "postgresql://reader:word@host/name"}
    site = SiteSettings("Bonn", "127.0.0.1:9094", None, USERS)
    guard, supernode, relay = node_services(node.folder, site, inherited=inherited)
    assert guard.environment["DATABASE"]
    for service in (supernode, relay):
        assert "word" not in str(service.environment)
    assert [service.user for service in (guard, supernode, relay)] == list(UIDS)
    assert all("HOME" not in service.environment for service in (guard, supernode, relay))
