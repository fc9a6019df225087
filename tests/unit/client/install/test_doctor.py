"""Does the doctor find each fault that hospital IT can make, name its remedy, and never end by one?"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import NamedTuple

import grpc
import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, free_port, new_coordinator
from tests.installed_node import SITE, InstalledNode, installed_node
from tests.node_guards import COORDINATOR_PUBLIC, HonestGuard
from tests.running_parts import held_by_another

from oncofed.client.guard.guard_server import WRONG_TOKEN, serving
from oncofed.client.guard.token import new_token, read_digits, token_sha256
from oncofed.client.install import doctor
from oncofed.client.install.doctor import examine
from oncofed.client.install.enrolment import make_request
from oncofed.client.install.findings import Finding, Verdict, worst
from oncofed.client.install.folder import approved_bundles, listed_bundles
from oncofed.client.records.audit_files import LOG_CLOSED, closing_of
from oncofed.client.records.closed_log import signed_closing
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.signing import new_signing_key
from oncofed.protocol.wire_form import SERVICE, Method
from oncofed.secret_files import read_secret

FINE, WARNING, FAULT = Verdict.FINE, Verdict.WARNING, Verdict.FAULT


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledNode]:
    """Enrolled, with a policy and a table; nothing runs."""
    root = tmp_path_factory.mktemp("coordinator")
    with installed_node() as node:
        settings = node.folder.settings
        settings.write_text(settings.read_text().replace("127.0.0.1:9094", f"127.0.0.1:{free_port()}"))
        enrol(new_coordinator(root / "coordinator"), node.folder)
        os.chmod(node.table_path, 0o600)
        yield node


@pytest.fixture
def node(whole: InstalledNode, tmp_path: Path) -> Iterator[InstalledNode]:
    """A test may spoil it; then it is as before."""
    kept = tmp_path / "kept"
    shutil.copytree(whole.folder.root, kept, symlinks=True)
    yield whole
    shutil.rmtree(whole.folder.root)
    shutil.copytree(kept, whole.folder.root, symlinks=True)


def of(node: InstalledNode, topic: str) -> list[Finding]:
    found = [finding for finding in examine(node.folder) if finding.topic == topic]
    assert found, f"nothing was said about {topic}"
    for finding in found:
        assert bool(finding.remedy) == (finding.verdict is not FINE), "every fault has a remedy, and only a fault"
    return found


def test_a_whole_node_has_no_fault_but_the_coordinator_that_is_not_there(node: InstalledNode) -> None:
    found = {finding.topic: finding.verdict for finding in examine(node.folder)}
    assert found == {
        **dict.fromkeys(
            ("versions", "file rights", "disk", "policy", "keys", "port", "ledger", "audit log", "records"), FINE
        ),
        "patients": FINE,  # nobody's are needed yet
        "users": WARNING,  # one for all, for trying out
        "coordinator": FAULT,
        **dict.fromkeys(("node", "relay", "guard"), FAULT),  # do not run
        "bundles": WARNING,  # nothing is approved
    }


class Spoil(NamedTuple):
    topic: str
    do: Callable[[InstalledNode], object]
    told: str
    remedy: str
    verdict: Verdict = FAULT


def edit_settings(node: InstalledNode, before: str, after: str) -> None:
    settings = node.folder.settings
    assert before in settings.read_text()
    settings.write_text(settings.read_text().replace(before, after))


def write_open(secret: Path) -> None:
    secret.write_text("00")
    secret.chmod(0o644)


def exchange_token(node: InstalledNode) -> None:
    node.folder.token_sha256.write_text(token_sha256(new_token()))


def damage_ledger(node: InstalledNode) -> None:
    with closing(sqlite3.connect(node.folder.ledger)) as connection, connection:
        connection.execute("DROP TRIGGER charge_is_never_removed")


def to_sql(node: InstalledNode, *, mode: int | None) -> None:
    file = node.folder.root / "url"
    if mode is not None:
        file.write_text("postgresql://reader:geheim@db/registry")
        file.chmod(mode)
    node.set_policy('kind = "csv"', 'kind = "sql"\nstatement = "SELECT 1"')
    node.set_policy(f'path = "{node.table_path}"', f'url_file = "{file}"')


def exchange_key(node: InstalledNode) -> None:
    request = node.folder.node / "request.json"
    kept, key = request.read_bytes(), node.folder.node_key
    key.unlink()
    request.unlink()
    make_request(node.folder)
    request.write_bytes(kept)


def closed_log(node: InstalledNode, *, site: str = SITE, key: bytes | None = None) -> Path:
    node.audit_log.append("guard_started")
    vouched = signed_closing(site=site, answer_key=key or read_secret(node.folder.answer_key))
    closed, _ = node.audit_log.close(by="", vouched=vouched)
    assert (site, key) != (SITE, None) or all(finding.verdict is FINE for finding in of(node, "audit log"))
    return closed


SPOILS = {
    "guard folder open": Spoil(
        "file rights", lambda node: node.folder.guard.chmod(0o755), "guard is open", "site init"
    ),
    "guard folder open to a group": Spoil(
        "file rights", lambda node: node.folder.guard.chmod(0o750), "guard is open", "site init"
    ),
    "policy readable by all": Spoil(
        "file rights", lambda node: node.folder.policy.chmod(0o644), "policy.toml is open", "site init"
    ),
    "policy written by a group": Spoil(
        "file rights", lambda node: node.folder.policy.chmod(0o660), "policy.toml is open", "site init"
    ),
    "token open to a group": Spoil(
        "file rights", lambda node: node.folder.token.chmod(0o640), "others may read", "site init"
    ),
    "secret of the node open": Spoil(
        "file rights", lambda node: write_open(node.folder.node_secret), "others may read", "site init"
    ),
    "secret of the relay open": Spoil(
        "file rights", lambda node: write_open(node.folder.relay_secret), "others may read", "site init"
    ),
    "another user's folders": Spoil(
        "file rights",
        lambda node: edit_settings(node, "[sockets]", '[users]\nguard="daemon"\nnode="bin"\nrelay="nobody"\n[sockets]'),
        "node/guard is not the guard's",
        "site init",
    ),
    "run open": Spoil("file rights", lambda node: node.folder.run.chmod(0o2777), "run is open", "site init"),
    "token open": Spoil("file rights", lambda node: node.folder.token.chmod(0o644), "others may read", "site init"),
    "policy open": Spoil(
        "file rights", lambda node: node.folder.policy.chmod(0o666), "policy.toml is open", "site init"
    ),
    "settings closed": Spoil("file rights", lambda node: node.folder.settings.chmod(0o600), "cannot read", "site init"),
    "misspelt policy": Spoil(
        "policy",
        lambda node: node.set_policy("[node]", "[node]\nsmalest_cohort = 5"),
        "smalest_cohort",
        "smallest_cohort",
    ),
    "no table": Spoil("policy", lambda node: node.table_path.unlink(), "is not there", "Check path"),
    "table for all": Spoil(
        "policy", lambda node: node.table_path.chmod(0o644), "every user", "without rights for others", WARNING
    ),
    "no address": Spoil("policy", lambda node: to_sql(node, mode=None), "is not there", "Check url_file"),
    "address for all": Spoil("policy", lambda node: to_sql(node, mode=0o644), "others than its owner", "mode 400"),
    "address for a group": Spoil("policy", lambda node: to_sql(node, mode=0o440), "others than its owner", "mode 400"),
    "tokens that do not fit": Spoil("keys", exchange_token, "guard answers no question", "site init"),
    "no token": Spoil("keys", lambda node: node.folder.token.unlink(), "guard answers no question", "site init"),
    "no key": Spoil("keys", lambda node: node.folder.node_key.unlink(), "no node key", "site request"),
    "other key": Spoil("keys", exchange_key, "not the one that was enrolled", "backup"),
    "other name": Spoil("keys", lambda node: edit_settings(node, '"Bonn"', '"Koeln"'), "enrolled for Bonn", "Restore"),
    "key open": Spoil("keys", lambda node: node.folder.node_key.chmod(0o640), "others than its owner", "mode 600"),
    "no ledger": Spoil("ledger", lambda node: node.folder.ledger.unlink(), "does not exist", "install-hospital"),
    "changed ledger": Spoil("ledger", damage_ledger, "append-only was taken out", "install-hospital"),
    "changed audit": Spoil(
        "audit log", lambda node: node.folder.audit_log.write_text('{"a": 1}\n'), "line 1", "install-hospital"
    ),
    "no closed log": Spoil("audit log", lambda node: closed_log(node).unlink(), "any backup", "install-hospital"),
    "changed closed log": Spoil(
        "audit log", lambda node: closed_log(node).write_text('{"a": 1}\n'), "line 1", "install-hospital"
    ),
    "no closing": Spoil(
        "audit log", lambda node: closing_of(closed_log(node)).unlink(), "any backup", "install-hospital"
    ),
    "another hospital's closing": Spoil(
        "audit log", lambda node: closed_log(node, site="Essen"), "does not vouch", "install-hospital"
    ),
    "another key's closing": Spoil(
        "audit log", lambda node: closed_log(node, key=new_signing_key()), "another key", "head", WARNING
    ),
    "a closing that was stopped": Spoil(
        "audit log", lambda node: node.audit_log.append(LOG_CLOSED), "was stopped", "close-log", WARNING
    ),
    "stale socket": Spoil("guard", lambda node: node.folder.socket.touch(), "not_ready", "start it again"),
    "other version's plan": Spoil(
        "bundles", lambda node: node.folder.bundles.write_text("ab" * 32 + "\n"), "another version", "Decline", WARNING
    ),
    "no bundles": Spoil("bundles", lambda node: node.folder.bundles.unlink(), "bundles", "writes it anew"),
    "unknown users": Spoil(
        "users",
        lambda node: edit_settings(node, "[sockets]", '[users]\nguard="no1"\nnode="no2"\nrelay="no3"\n[sockets]'),
        'no user "no1"',
        "useradd",
    ),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_each_fault_is_told_with_its_remedy(spoil: Spoil, node: InstalledNode) -> None:
    spoil.do(node)
    bad = [finding for finding in of(node, spoil.topic) if finding.verdict is not FINE]
    assert bad, "nothing was found"
    assert bad[0].verdict is spoil.verdict
    assert spoil.told in bad[0].what
    assert spoil.remedy in bad[0].remedy
    assert "geheim" not in str(bad)


def test_a_folder_that_only_its_owner_may_enter_is_no_place_for_the_program(tmp_path: Path) -> None:
    (tmp_path / "program").touch()
    tmp_path.chmod(0o750)
    assert doctor._closed_to_others(Path("/usr/bin/env")) is None
    (tmp_path / "program").chmod(0o755)
    found = doctor._closed_to_others(tmp_path / "program")
    assert found is not None
    assert found in tmp_path.parents or found == tmp_path


def test_approved_plans_of_this_version_are_fine(node: InstalledNode) -> None:
    node.folder.bundles.write_text(bundle_sha256() + "\n")
    (found,) = of(node, "bundles")
    assert found.verdict is FINE


def _in_place_of(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_text("Köln\n"), "holds what is no hash of a bundle"),
        (lambda path: path.write_text("abc\n"), "holds what is no hash of a bundle"),
        (Path.mkdir, "is a folder, not a file"),
        (os.mkfifo, "is a named pipe (FIFO), not a file"),
    ],
)
def test_what_is_no_list_of_bundles_is_a_fault_and_nothing_of_it_runs(
    make: Callable[[Path], object], what: str, node: InstalledNode
) -> None:
    _in_place_of(node.folder.bundles, make)
    (found,) = of(node, "bundles")
    assert (found.verdict, found.what) == (FAULT, f"approved/bundles: {what}")
    assert "writes it anew" in found.remedy
    assert approved_bundles(node.folder) == {bundle_sha256()}


@pytest.mark.parametrize("make", [lambda path: path.write_text("Köln\n"), os.mkfifo])
def test_the_next_decision_writes_the_list_of_bundles_anew(make: Callable[[Path], object], node: InstalledNode) -> None:
    _in_place_of(node.folder.bundles, make)
    node.approvals.tidy()
    assert listed_bundles(node.folder) == frozenset()


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000_000, FINE), (999_999_999, FAULT)])
def test_a_disk_that_is_nearly_full(
    free: int, verdict: Verdict, node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    (found,) = of(node, "disk")
    assert found.verdict is verdict


class Version(NamedTuple):
    major: int
    minor: int


def test_versions_that_were_not_tested_together(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_WANTED", {"flwr": "1.4", "opacus": "9.9", "no-such-package": "1"})
    told = [finding.what for finding in of(node, "versions")]
    assert len(told) == 3, "and 1.42 is not a 1.4"
    assert any("no-such-package is not installed" in what for what in told)
    monkeypatch.setattr(sys, "version_info", Version(3, 14))
    (found,) = of(node, "versions")
    assert (found.verdict, "3.14" in found.what) == (FAULT, True)


@pytest.mark.parametrize(("minor", "verdict"), [(10, FAULT), (11, FINE), (12, FINE), (13, FINE), (14, FAULT)])
def test_of_pythons_three_are_tested_as_a_whole(
    minor: int, verdict: Verdict, node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", Version(3, minor))
    (found,) = of(node, "versions")
    assert found.verdict is verdict


def test_a_guard_that_runs_answers(node: InstalledNode) -> None:
    with serving(
        HonestGuard(),
        socket=node.folder.socket,
        token_sha256=read_digits(node.folder.token_sha256),
        site=SITE,
        audit=node.audit_log,
        answer_key=read_secret(node.folder.answer_key),
        asker_key=COORDINATOR_PUBLIC,
    ):
        (found,) = of(node, "guard")
        assert found.verdict is FINE
        os.chmod(node.folder.token, 0o600)
        node.folder.token.write_text(new_token())
        (found,) = of(node, "guard")
        assert found.verdict is FAULT


def test_what_the_doctor_says_of_a_wrong_token_mends_it(node: InstalledNode) -> None:
    """Step by step: the relay is refused and that is noted; the command of the remedy; the guard starts again."""
    exchange_token(node)

    def guard_says() -> Finding:
        with serving(
            HonestGuard(),
            socket=node.folder.socket,
            token_sha256=read_digits(node.folder.token_sha256),
            site=SITE,
            audit=node.audit_log,
            answer_key=read_secret(node.folder.answer_key),
            asker_key=COORDINATOR_PUBLIC,
        ):
            (found,) = of(node, "guard")
        return found

    assert guard_says().verdict is FAULT
    assert WRONG_TOKEN in [event for event, _ in node.events()]
    (remedy,) = (found.remedy for found in of(node, "keys") if found.verdict is FAULT)
    command = remedy.partition("  (")[0].split()
    assert command[:3] == ["oncofed", "site", "init"]
    assert oncofed(*command[1:]).code == 0
    assert all(found.verdict is FINE for found in of(node, "keys"))
    assert guard_says().verdict is FINE


def test_nobody_waits_for_a_guard_that_takes_calls_and_answers_none(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold the answer back on purpose, and whoever starts it anew loses the round."""
    monkeypatch.setattr(doctor, "_GUARD_SECONDS", 0.5)
    done = Event()

    def holds(_: bytes, __: object) -> bytes:
        done.wait(60)
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler(
        SERVICE, {Method.DESCRIBE: grpc.unary_unary_rpc_method_handler(holds)}
    )
    server.add_generic_rpc_handlers([handler])
    server.add_insecure_port(f"unix:{node.folder.socket}")
    server.start()
    try:
        (found,) = of(node, "guard")
    finally:
        done.set()
        server.stop(0).wait()
    assert (found.verdict, "has not answered for 0.5 seconds" in found.what) == (WARNING, True)
    assert "would lose the round" in found.remedy


def test_a_guard_that_signs_with_another_key_is_told_of(node: InstalledNode) -> None:
    with serving(
        HonestGuard(),
        socket=node.folder.socket,
        token_sha256=read_digits(node.folder.token_sha256),
        site=SITE,
        audit=node.audit_log,
        answer_key=new_signing_key(),
        asker_key=COORDINATOR_PUBLIC,
    ):
        (found,) = of(node, "guard")
    assert (found.verdict, found.what) == (FAULT, "the answer is not what its guard signed")


def test_a_user_who_may_not_look_is_sent_to_root(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, *_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    (found,) = of(node, "file rights")
    assert (found.verdict, "root" in found.remedy) == (WARNING, True)


def test_a_check_that_itself_fails_is_a_finding_without_its_text(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("MRN-0047-00001")

    monkeypatch.setattr(doctor, "read_policy", broken)
    found = examine(node.folder)
    assert "MRN" not in "".join(map(str, found))
    assert [finding.topic for finding in found if "itself failed (RuntimeError)" in finding.what] == ["policy"]
    assert found[-1].topic == "patients", "and all others were made"


def test_the_command_says_it_and_ends_with_1(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    said = oncofed("site", "doctor", node.folder.root)
    assert said.code == 1
    assert "FAULT   coordinator: " in said.text
    assert "\n        -> " in said.text
    monkeypatch.setattr(doctor, "coordinator_findings", lambda *_: iter([Finding("coordinator", FINE, "answers")]))
    assert oncofed("site", "doctor", node.folder.root).code == 1, "no part runs"
    monkeypatch.setattr(doctor, "_guard", lambda _: iter([Finding("guard", FINE, "answers")]))
    with held_by_another(node.folder.locks["node"]):
        assert "FAULT   relay: is not running" in oncofed("site", "doctor", node.folder.root).text
        with held_by_another(node.folder.locks["relay"]):
            assert oncofed("site", "doctor", node.folder.root).code == 0, "a warning is no fault"


def test_no_patient_is_in_it(node: InstalledNode) -> None:
    node.table_path.write_text(node.table_path.read_text().replace("record_number", "MRN-header", 1))
    text = oncofed("site", "doctor", node.folder.root).text
    assert "MRN" not in text


def test_without_site_toml_there_is_one_finding(tmp_path: Path) -> None:
    said = oncofed("site", "doctor", tmp_path)
    assert said.code == 1
    assert said.text.count("FAULT") == 1


def test_the_worst_counts() -> None:
    def findings(*verdicts: Verdict) -> tuple[Finding, ...]:
        return tuple(Finding("x", verdict, "y") for verdict in verdicts)

    assert worst(findings(FINE, FAULT, WARNING)) is FAULT
    assert worst(findings(FINE, WARNING)) is WARNING
    assert worst(findings(FINE)) is FINE
