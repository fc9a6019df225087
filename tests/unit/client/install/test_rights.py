"""Does each part of a node belong to its user after whatever a kill, a snapshot or a link did, and to root no more?"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import new_coordinator

from oncofed.client.install import doctor, enrolment
from oncofed.client.install.enrolment import accept, make_request
from oncofed.client.install.findings import Verdict
from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings, read_site
from oncofed.client.install.halves import secrets_fit, tokens_fit
from oncofed.client.install.replacement import refuse_missing
from oncofed.client.install.rights import disk_of, hand_over
from oncofed.client.install.setup import create
from oncofed.client.records.audit_files import archive_of
from oncofed.client.records.sqlite_ledger import verify_ledger
from oncofed.durable import UNFINISHED, create_durably, remove_leftovers
from oncofed.errors import InvalidInput
from oncofed.protocol.enrolment import acceptance_bytes, request_bytes
from oncofed.server.deployment.enrolment import approve, own_fingerprint

USERS = NodeUsers("nobody", "daemon", "bin")
AS_ROOT = os.geteuid() == 0
SETTINGS = SiteSettings("Bonn", "127.0.0.1:9094", None, USERS if AS_ROOT else None)
OWNERS = {"guard": USERS.guard, "approved": USERS.guard, "node": USERS.node, "relay": USERS.relay}


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    made = NodeFolder(tmp_path / "node")
    create(made, SETTINGS)
    return made


def wrong(folder: NodeFolder) -> list[str]:
    """Files below the parts that have two names, are half-written, or another's."""
    found = []
    for path in folder.root.rglob("*"):
        part, status = path.relative_to(folder.root).parts[0], path.lstat()
        if path.is_dir():
            continue
        if path.name.endswith(UNFINISHED) or status.st_nlink > 1:
            found.append(f"{path} is left")
        if AS_ROOT and part in OWNERS and status.st_uid != pwd.getpwnam(OWNERS[part]).pw_uid:
            found.append(f"{path} is another's")
    return found


def killed_once_it_has_its_name(name: str, work: Callable[[], object]) -> None:
    """In another process, between the new name and the end of the unfinished one."""
    child = os.fork()
    if child == 0:
        link = os.link

        def last(source: Path, target: Path) -> None:
            link(source, target)
            if target.name == name:
                os.kill(os.getpid(), signal.SIGKILL)

        os.link = last  # type: ignore[assignment]
        work()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, "it never got that far"


# Kills


@pytest.mark.parametrize(
    "name", ["token", "token.sha256", "superexec.secret", "ledger.sqlite", "bundles", "policy.toml"]
)
def test_an_init_killed_at_a_file_is_whole_after_the_next(name: str, tmp_path: Path) -> None:
    made = NodeFolder(tmp_path / "node")
    for above in (tmp_path, *tmp_path.parents[:-2]):  # root reads the ledger as the guard, who has to come there
        above.chmod(above.stat().st_mode | 0o011)
    killed_once_it_has_its_name(name, lambda: create(made, SETTINGS))
    (file,) = [path for path in made.root.rglob(name) if "superexec" not in name or path.parent == made.node]
    part = file.relative_to(made.root).parts[0]
    if AS_ROOT and part in OWNERS:
        assert file.stat().st_uid == pwd.getpwnam(OWNERS[part]).pw_uid, "its owner's from the first moment"
    create(made, SETTINGS)
    assert wrong(made) == []
    assert (tokens_fit(made), secrets_fit(made)) == (True, True)
    verify_ledger(made.ledger, anchor=None)


@pytest.mark.parametrize("name", ["node.key", "answer.key", "request.json"])
def test_a_request_killed_at_a_file_is_whole_after_the_next(name: str, folder: NodeFolder) -> None:
    killed_once_it_has_its_name(name, lambda: make_request(folder))
    (file,) = folder.root.rglob(name)
    if AS_ROOT:
        assert file.stat().st_uid == pwd.getpwnam(OWNERS[file.parent.name]).pw_uid
    make_request(folder)
    hand_over(folder, SETTINGS.users)
    assert wrong(folder) == []


def test_what_somebody_is_at_work_on_is_no_leftover(tmp_path: Path) -> None:
    at_work, left = tmp_path / f".key.1{UNFINISHED}", tmp_path / f".key.2{UNFINISHED}"
    for path in (at_work, left):
        path.touch()
    (tmp_path / f".pipe{UNFINISHED}").mkdir()
    above = os.open(tmp_path, os.O_RDONLY)
    try:
        with at_work.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            remove_leftovers(above)
        assert (at_work.exists(), left.exists()) == (True, False)
    finally:
        os.close(above)


def test_a_file_that_is_being_created_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def tidied_before(source: Path, target: Path) -> None:
        above = os.open(tmp_path, os.O_RDONLY)
        remove_leftovers(above)
        os.close(above)
        link(source, target)

    monkeypatch.setattr(os, "link", tidied_before)
    assert create_durably(tmp_path / "key", b"content")


# Snapshots


def told(folder: NodeFolder) -> list[str]:
    return [
        str(finding.what)
        for finding in doctor.examine(folder)
        if finding.topic == "file rights" and finding.verdict is Verdict.FAULT
    ]


def test_a_second_name_of_a_file_is_told_by_the_doctor(folder: NodeFolder) -> None:
    assert told(folder) == []
    os.link(folder.token, folder.root.parent / "snapshot")
    (said,) = told(folder)
    assert str(folder.token) in said
    assert "second name" in said


def test_no_remedy_has_root_work_by_name_in_another_users_folder(folder: NodeFolder) -> None:
    """A relay that laid `token.own` as a link would get root's words written wherever it leads."""
    os.link(folder.token, folder.root.parent / "snapshot")
    folder.relay_secret.chmod(0o644)
    remedies = [finding.remedy for finding in doctor.examine(folder) if finding.topic == "file rights"]
    assert len(remedies) == 2
    for remedy in remedies:
        assert not re.search(r"\b(cp|mv|rm|su|runuser|chmod|chown|cat|tee|install) ", remedy), remedy


HOSTILE = "old; touch PWNED; id >PWNED; #"


def test_no_remedy_holds_a_name_that_another_user_chose(folder: NodeFolder) -> None:
    """Root pastes what the doctor says, so a name must be neither in a command nor, where it is told, several words."""
    for part in (folder.guard, folder.node, folder.relay):
        deep = part / HOSTILE / Path(*["a"] * 35)
        deep.mkdir(parents=True)
        twice = part / f"twice {HOSTILE}"
        twice.touch()
        os.link(twice, folder.root.parent / f"other {part.name}")
    (folder.relay / ("'" * 200)).mkdir()
    os.link(twice, folder.relay / ("'" * 200) / HOSTILE)
    found = [each for each in doctor.examine(folder) if each.topic == "file rights" and each.verdict is Verdict.FAULT]
    assert len(found) == (9 if AS_ROOT else 6)
    for finding in found:
        assert "PWNED" not in finding.remedy, finding.remedy
        assert not re.search(r"\b(rm|su|runuser|samefile)\b", finding.remedy), finding.remedy
        place, *_ = re.split(r" (?:\(and|has|holds|is not) ", finding.what)
        (word,) = shlex.split(place)
        assert word.startswith(str(folder.root))


def test_a_former_folder_with_a_name_of_somebody_elses_is_one_word_of_the_command(tmp_path: Path) -> None:
    there = tmp_path / f"node.before-{HOSTILE}"
    there.mkdir()
    with pytest.raises(InvalidInput) as refused:
        refuse_missing(tmp_path / "node")
    command, _ = refused.value.faults[0].remedy.removeprefix("If that is the node: ").split(". If it", maxsplit=1)
    assert shlex.split(command) == ["mv", str(there), str(tmp_path / "node")]


# What would fill root's memory


@pytest.mark.parametrize("name", ["relay/superexec.secret", "node/superexec.secret", "relay/token"])
def test_a_file_without_end_in_place_of_a_secret_is_made_anew(name: str, folder: NodeFolder) -> None:
    path = folder.root / name
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    path.chmod(0o400)
    create(folder, SETTINGS)
    assert (tokens_fit(folder), secrets_fit(folder)) == (True, True)
    assert path.stat().st_size < 100


def test_a_key_without_end_is_one_fault(folder: NodeFolder) -> None:
    make_request(folder)
    for path in (folder.node_key, folder.node / "request.json"):
        with path.open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(InvalidInput, match=f"{path.name}: is larger than 65,536 bytes, which no secret is"):
            make_request(folder)
        folder.node_key.unlink()


def test_folders_without_end_are_told_and_hinder_nothing_else(folder: NodeFolder) -> None:
    before, levels = os.getcwd(), 1_500
    os.chdir(folder.relay)
    try:
        for _ in range(levels):
            os.mkdir("deep")
            os.chdir("deep")
        os.chdir(folder.relay)
        if AS_ROOT:
            os.chown(folder.ledger, 0, 0)
        create(folder, SETTINGS)
        (said,) = told(folder)
        assert "more than 30 deep" in said
        if AS_ROOT:
            assert folder.ledger.stat().st_uid == pwd.getpwnam(USERS.guard).pw_uid
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-r", folder.relay / "deep"], check=True)


@pytest.mark.skipif(not AS_ROOT, reason="NOT TESTED: a file of another user. Run as root to test it.")
def test_a_file_that_is_another_users_is_told_by_the_doctor(folder: NodeFolder) -> None:
    os.chown(folder.ledger, 0, 0)
    (said,) = told(folder)
    assert str(folder.ledger) in said
    assert "not the guard's" in said
    create(folder, SETTINGS)
    assert told(folder) == []


# Links, pipes, devices


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    before = (path.lstat().st_mode, path.lstat().st_uid, path.read_bytes() if path.is_file() else b"")
    yield
    assert (path.lstat().st_mode, path.lstat().st_uid, path.read_bytes() if path.is_file() else b"") == before


def replaced_by_link(path: Path, victim: Path) -> None:
    if path.is_dir():
        path.rename(path.with_name("away"))
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(victim)


@pytest.mark.parametrize("directly", [False, True], ids=["init", "hand over"])
@pytest.mark.parametrize("name", ["guard/models", "guard/plans", "approved", "relay", "node", "run"])
def test_a_link_in_place_of_a_folder_changes_nothing_behind_it(
    name: str, directly: bool, folder: NodeFolder, tmp_path: Path
) -> None:
    victim = tmp_path / "of root"
    victim.mkdir(mode=0o751)
    (victim / "file").write_text("root's")
    replaced_by_link(folder.root / name, victim)
    with unchanged(victim), unchanged(victim / "file"), pytest.raises(InvalidInput, match=f"{name}.*is a link"):
        hand_over(folder, SETTINGS.users) if directly else create(folder, SETTINGS)


@pytest.mark.parametrize("directly", [False, True], ids=["init", "hand over"])
def test_a_link_in_place_of_the_bundles_makes_nothing_public(
    directly: bool, folder: NodeFolder, tmp_path: Path
) -> None:
    victim = tmp_path / "shadow"
    victim.touch(mode=0o600)
    replaced_by_link(folder.bundles, victim)
    with unchanged(victim):
        if directly:
            hand_over(folder, SETTINGS.users)
        else:
            with pytest.raises(InvalidInput, match=r"bundles.*is a link"):
                create(folder, SETTINGS)


def test_a_second_name_in_place_of_the_bundles_makes_nothing_public(folder: NodeFolder, tmp_path: Path) -> None:
    victim = tmp_path / "shadow"
    victim.touch(mode=0o600)
    folder.bundles.unlink()
    os.link(victim, folder.bundles)
    with unchanged(victim):
        create(folder, SETTINGS)


OF_OTHERS = {
    "relay/token": 0o400,
    "relay/superexec.secret": 0o400,
    "node/superexec.secret": 0o400,
    "node/node.key": 0o600,
    "node/request.json": 0o600,
    "node/ca.crt": 0o600,
    "guard/token.sha256": 0o600,
    "guard/answer.key": 0o600,
    "guard/ledger.sqlite": 0o600,
}


@pytest.mark.parametrize("command", ["init", "request"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_file_of_another_kind_is_one_fault_and_nobody_waits_for_it(
    name: str, kind: str, command: str, folder: NodeFolder, tmp_path: Path
) -> None:
    """A limit of time of the tests' own ends one that hangs."""
    make_request(folder)
    victim, path = tmp_path / "of root", folder.root / name
    victim.write_bytes(b"x" * 32)
    victim.chmod(0o600)
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(victim)
    with unchanged(victim), pytest.raises(InvalidInput) as refused:
        create(folder, SETTINGS) if command == "init" else make_request(folder)
    assert [fault.place for fault in refused.value.faults] == [str(path)]
    assert any(name in said for said in told(folder))


def test_the_certificate_is_not_written_through_a_link(
    folder: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laid after the look at what is there: `refuse_other_kinds` is taken out."""
    coordinator = new_coordinator(tmp_path / "coordinator")
    answer = approve(coordinator, request_bytes(make_request(folder)))
    victim = tmp_path / "passwd"
    victim.write_text("root's")
    folder.ca_certificate.symlink_to(victim)
    heard = own_fingerprint(coordinator)
    with pytest.raises(InvalidInput, match=r"ca\.crt.*is a link"):
        accept(folder, acceptance_bytes(answer), heard_fingerprint=heard)
    monkeypatch.setattr(enrolment, "refuse_other_kinds", lambda _: None)
    with unchanged(victim):
        accept(folder, acceptance_bytes(answer), heard_fingerprint=heard)
    assert not folder.ca_certificate.is_symlink()
    assert "BEGIN CERTIFICATE" in folder.ca_certificate.read_text()


def test_the_relay_is_given_no_file_of_root_as_its_secret(
    folder: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "of root"
    secret.write_bytes(b"r" * 32)
    secret.chmod(0o600)
    for path in (folder.node_secret, folder.relay_secret):
        replaced_by_link(path, secret)
    monkeypatch.setattr(enrolment, "refuse_other_kinds", lambda _: None)
    make_request(folder)
    assert secrets_fit(folder)
    assert b"r" * 32 not in (folder.node_secret.read_bytes(), folder.relay_secret.read_bytes())


# Folders that are no node's


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)
    with unchanged(tmp_path):
        for words in (("site", "init", "", "--name", "Bonn"), ("site", "doctor", ""), ("coordinator", "status", "")):
            said = oncofed(*words)
            assert (said.code, "empty" in said.text) == (2, True), said.text
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("there", [("thesis",), (".ssh",), ("node", "logs"), ("guard", "node", "thesis")])
def test_a_folder_that_holds_something_else_is_left_alone(there: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in there:
        (home / name).mkdir()
    with unchanged(home), pytest.raises(InvalidInput, match="not empty, and no node"):
        create(NodeFolder(home), SETTINGS)
    assert sorted(os.listdir(home)) == sorted(there)


def test_a_folder_where_all_may_write_is_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with unchanged(shared), pytest.raises(InvalidInput, match="every user may write"):
        create(NodeFolder(shared), SETTINGS)


def test_an_empty_folder_and_a_volume_and_a_node_that_lost_its_settings_are_made_a_node(tmp_path: Path) -> None:
    for names in ((), ("lost+found",)):
        made = NodeFolder(tmp_path / f"node{len(names)}")
        made.root.mkdir(mode=0o700)
        for name in names:
            (made.root / name).mkdir()
        create(made, SETTINGS)
        (made.root / "patients.csv").touch()
        made.settings.unlink()
        create(made, SETTINGS)
        assert read_site(made).name == "Bonn"


# An old node


OLD: dict[str, Callable[[NodeFolder], Path]] = {
    "audit log": lambda folder: folder.audit_log,
    "closed log": lambda folder: archive_of(folder.audit_log, 6),
    "closing": lambda folder: archive_of(folder.audit_log, 6).with_suffix(".closing"),
    "the log's next": lambda folder: folder.guard / "audit.jsonl.next",
    "answer": lambda folder: folder.answers / "00.asked",
    "approval": lambda folder: folder.approvals / "00.json",
    "patients": lambda folder: folder.patients / "00.00.safetensors",
    "plan": lambda folder: folder.plans / "00.json",
    "model": lambda folder: folder.models / "00.safetensors",
    "masking key": lambda folder: folder.masking / "00.key",
    "answer key": lambda folder: folder.answer_key,
    "split": lambda folder: folder.held_out_secret,
    "bundles": lambda folder: folder.bundles,
    "node key": lambda folder: folder.node_key,
    "public key": lambda folder: folder.node_public_key,
}


@pytest.mark.parametrize("left", OLD)
def test_whatever_is_left_of_an_old_node_it_gets_no_empty_ledger(left: str, folder: NodeFolder) -> None:
    path = OLD[left](folder)
    path.write_text("x")
    folder.ledger.unlink()
    folder.settings.unlink()
    with pytest.raises(InvalidInput, match=f"{path.name}.*ledger is lost"):
        create(folder, SETTINGS)
    assert not folder.ledger.exists()
    assert not folder.settings.exists()


# The halves of SuperNode and relay


@pytest.mark.parametrize("command", ["init", "request"])
@pytest.mark.parametrize("lost", ["node_secret", "relay_secret"])
def test_a_secret_that_lost_its_other_half_is_made_anew_and_told_before(
    lost: str, command: str, folder: NodeFolder
) -> None:
    make_request(folder)
    getattr(folder, lost).unlink()
    said = [finding.what for finding in doctor.examine(folder) if finding.topic == "keys"]
    assert any("superexec.secret" in each for each in said), said
    create(folder, SETTINGS) if command == "init" else make_request(folder)
    assert secrets_fit(folder)
    assert stat.S_IMODE(folder.node_secret.stat().st_mode) == 0o400
    before = folder.node_secret.read_bytes()
    create(folder, SETTINGS)
    assert folder.node_secret.read_bytes() == before, "a pair that fits stays"


def test_the_number_of_a_file_is_looked_for_on_its_own_disk(tmp_path: Path) -> None:
    """Another disk has other files of this number, and the relay may choose it."""
    for path in (tmp_path, Path("/dev/shm"), Path("/proc/self")):
        disk = disk_of(path)
        assert disk.is_mount()
        assert os.path.samefile(path.resolve(), disk) or disk in path.resolve().parents
    assert disk_of(Path("/proc/self/task")) == Path("/proc")
