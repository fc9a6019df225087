"""Does a backup that is taken while the guard charges agree with itself, and can nothing be spent twice with it?"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
import tests.releases
from tests.command_line import oncofed
from tests.installed_node import InstalledNode, installed_node
from tests.releases import releases

from oncofed.client.guard.unix_socket import claimed_place
from oncofed.client.install.backup import back_up, restore
from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages.accounts import Accounts, Cost, Role
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import ledger_head, verify_ledger
from oncofed.errors import InvalidInput, RecordDamaged

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as installed:
        installed.enrol()
        yield installed


@pytest.fixture
def file(node: InstalledNode) -> Path:
    return node.folder.root.parent / "tonight.tar"


def restored(node: InstalledNode, file: Path, name: str = "elsewhere") -> NodeFolder:
    folder = NodeFolder(node.folder.root.parent / name)
    restore(folder, file, now=NOW)
    return folder


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Backup


def test_a_backup_while_another_process_charges_agrees_with_itself(node: InstalledNode, file: Path) -> None:
    writing = subprocess.Popen(
        [sys.executable, tests.releases.__file__, node.folder.root, "1", "4000"], stdout=subprocess.PIPE, text=True
    )
    assert writing.stdout is not None
    found = []
    try:
        writing.stdout.readline()
        for turn in range(4):
            back_up(node.folder, file, now=NOW)
            assert writing.poll() is None  # it was charging all the time
            folder = restored(node, file, f"turn {turn}")
            refuse_disagreement(folder)
            found.append(verify_ledger(folder.ledger, anchor=None).entries)
    finally:
        writing.kill()
        writing.communicate()
    assert found == sorted(found)
    assert found[-1] > found[0] >= 1


def test_it_holds_what_the_folder_holds_and_nothing_of_a_moment(node: InstalledNode, file: Path) -> None:
    guard = node.guard()
    guard.offer_plan(node.offer())
    node.approve()
    releases(node.folder, first=1, most=2)
    (node.folder.masking / "key").write_text("a masking key")
    (node.folder.run / "guard.lock").touch()
    made = back_up(node.folder, file, now=NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    names = set(made.files)
    assert names >= {"site.toml", "policy.toml", "node.pub", "guard/answer.key", "guard/ledger.sqlite", "relay/token"}
    assert not [name for name in names if "masking" in name or ".lock" in name or "-wal" in name]
    assert made.patients == 1
    assert b"patients.csv" not in b"".join(name.encode() for name in names)  # a table is no part of the node
    said = oncofed("site", "backup", node.folder.root, file)
    assert (said.code, "patients, frozen for 1 approved plan" in said.text) == (0, True), said.text
    before, after = everything(node.folder.guard), everything(restored(node, file).guard)
    gone = set(before) - set(after)
    assert {name for name in gone if not name.startswith("ledger.sqlite-")} == {"masking/key", "plans/.lock"}
    same = [name for name in after if name not in ("ledger.sqlite", "audit.jsonl")]
    assert same
    assert all(after[name] == before[name] for name in same)
    assert after["audit.jsonl"].startswith(before["audit.jsonl"]), "a line more, which tells of the restore"


def test_a_folder_whose_records_disagree_is_not_backed_up(node: InstalledNode, file: Path) -> None:
    releases(node.folder, first=1, most=2)
    back_up(node.folder, file, now=NOW)
    last_night = file.read_bytes()
    next(node.folder.answers.glob("*.asked")).unlink()
    with pytest.raises(RecordDamaged, match="answers has lost"):
        back_up(node.folder, file, now=NOW)
    assert file.read_bytes() == last_night
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_no_link_is_followed(link: Callable[[Path, Path], None], node: InstalledNode, file: Path) -> None:
    secret = file.parent / "of root"
    secret.write_text("secret")
    link(node.folder.guard / "link", secret)
    with pytest.raises(InvalidInput, match="is a link"):
        back_up(node.folder, file, now=NOW)
    assert not file.exists()


def test_a_backup_does_not_lie_inside_of_what_it_holds(node: InstalledNode) -> None:
    with pytest.raises(InvalidInput, match="inside the node's folder"):
        back_up(node.folder, node.folder.guard / "tonight.tar", now=NOW)


# Restore


def test_a_lost_folder_comes_back_as_it_was(node: InstalledNode, file: Path) -> None:
    releases(node.folder, first=1, most=3)
    head = ledger_head(node.folder.ledger)
    back_up(node.folder, file, now=NOW)
    shutil.rmtree(node.folder.root)
    said = oncofed("site", "restore", node.folder.root, file)
    assert said.code == 0, said.text
    assert str(head) in said.text
    assert ledger_head(node.folder.ledger) == head
    assert stat.S_IMODE(node.folder.guard.stat().st_mode) == 0o700
    assert stat.S_IMODE(node.folder.token.stat().st_mode) == 0o400
    releases(node.folder, first=4, most=1)  # and goes on
    refuse_disagreement(node.folder)


def ledger_is_newer(node: InstalledNode) -> None:
    node.folder.audit_log.unlink()
    shutil.rmtree(node.folder.answers)


def answers_are_newer(node: InstalledNode) -> None:
    for ledger in node.folder.guard.glob("ledger.sqlite*"):
        ledger.unlink()
    node.folder.audit_log.unlink()


def log_is_newer(node: InstalledNode) -> None:
    for ledger in node.folder.guard.glob("ledger.sqlite*"):
        ledger.unlink()
    shutil.rmtree(node.folder.answers)


def ledger_cannot_be_read(node: InstalledNode) -> None:
    node.folder.ledger.write_bytes(b"not a ledger")


def rest_of_a_ledger(node: InstalledNode) -> None:
    shutil.rmtree(node.folder.answers)
    node.folder.audit_log.unlink()
    node.folder.ledger.unlink()
    (node.folder.guard / "ledger.sqlite-wal").write_bytes(b"charges that were not merged")


@pytest.mark.parametrize(
    "left",
    [lambda node: None, ledger_is_newer, answers_are_newer, log_is_newer, ledger_cannot_be_read, rest_of_a_ledger],
)
def test_an_older_backup_over_newer_records_is_refused(
    left: Callable[[InstalledNode], object], node: InstalledNode, file: Path
) -> None:
    """Whichever of the records is left to know it."""
    releases(node.folder, first=1, most=2)
    back_up(node.folder, file, now=NOW)
    releases(node.folder, first=3, most=1)
    left(node)
    before = everything(node.folder.root)
    with pytest.raises(RecordDamaged, match="not restored, and nothing was changed"):
        restore(node.folder, file, now=NOW)
    after = everything(node.folder.root)
    assert {name: after[name] for name in before if "ledger.sqlite-shm" not in name} == {
        name: before[name] for name in before if "ledger.sqlite-shm" not in name
    }


def test_a_decision_since_then_is_newer_too(node: InstalledNode, file: Path) -> None:
    node.guard().offer_plan(node.offer())
    node.approve()
    back_up(node.folder, file, now=NOW)
    node.approvals.decline(node.plan().hash, declined_by="Dr. Example", now=NOW)
    with pytest.raises(RecordDamaged, match="gone on about plans"):
        restore(node.folder, file, now=NOW)


def test_a_log_that_went_on_about_no_plan_is_kept(node: InstalledNode, file: Path) -> None:
    releases(node.folder, first=1, most=2)
    back_up(node.folder, file, now=NOW)
    AuditLog(node.folder.audit_log).append("guard_started")
    log = node.folder.audit_log.read_bytes()
    for ledger in node.folder.guard.glob("ledger.sqlite*"):
        ledger.unlink()
    restore(node.folder, file, now=NOW)
    assert node.folder.audit_log.read_bytes().startswith(log)
    assert [entry.event for entry in node.entries()][-2:] == ["guard_started", "backup_restored"]
    refuse_disagreement(node.folder)


def test_the_former_folder_stays_beside_with_no_rest_of_its_ledger_in_the_new_one(
    node: InstalledNode, file: Path
) -> None:
    """SQLite would take a -wal that it finds beside a ledger for a part of it."""
    releases(node.folder, first=1, most=2)
    back_up(node.folder, file, now=NOW)
    node.folder.ledger.rename(file.parent / "damaged")
    for beside in ("-wal", "-shm"):
        (node.folder.guard / f"ledger.sqlite{beside}").write_bytes(b"of another ledger" * 1000)
    (node.folder.guard / "ledger.sqlite-wal").rename(file.parent / "damaged-wal")
    (node.folder.masking / "key").write_text("a masking key")
    former = restore(node.folder, file, now=NOW).former
    assert former is not None
    assert former.name == "node.before-20300102T030405"
    assert (former / "guard" / "ledger.sqlite-shm").exists()
    assert not list(node.folder.guard.glob("ledger.sqlite-*"))
    assert verify_ledger(node.folder.ledger, anchor=None).entries == 2
    assert (node.folder.masking / "key").read_text() == "a masking key"
    assert not (former / "guard" / "masking").exists()


def test_a_node_that_runs_is_not_restored(node: InstalledNode, file: Path) -> None:
    back_up(node.folder, file, now=NOW)
    with claimed_place(node.folder.socket), pytest.raises(InvalidInput, match="is running"):
        restore(node.folder, file, now=NOW)


def test_another_hospitals_backup_is_refused(node: InstalledNode, file: Path) -> None:
    back_up(node.folder, file, now=NOW)
    text = node.folder.settings.read_text()
    node.folder.settings.write_text(text.replace('"Bonn"', '"Essen"'))
    with pytest.raises(RecordDamaged, match="is the node of Essen"):
        restore(node.folder, file, now=NOW)


def _members(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as tar:
        return [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar]


def _rewritten(file: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(file, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def changed_file(file: Path) -> None:
    members = _members(file)
    _rewritten(file, [(member, content.replace(b"Bonn", b"Kiel")) for member, content in members])


def missing_file(file: Path) -> None:
    _rewritten(file, _members(file)[:-1])


def one_more(name: str) -> Callable[[Path], None]:
    def changed(file: Path) -> None:
        (manifest, content), *rest = _members(file)
        fields = json.loads(content)
        fields["files"][name] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        _rewritten(file, [(manifest, json.dumps(fields).encode()), *rest, (tarfile.TarInfo(name), b"")])

    return changed


def a_link(file: Path) -> None:
    link = tarfile.TarInfo("guard/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    _rewritten(file, [*_members(file), (link, b"")])


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"x" * 5000),
        lambda file: file.write_bytes(file.read_bytes()[:3000]),
        lambda file: file.write_bytes(file.read_bytes()[:-40000]),
        changed_file,
        missing_file,
        one_more("guard/../../evil"),
        one_more("/tmp/evil"),
        one_more("guard/masking/key"),
        one_more("elsewhere"),
        a_link,
    ],
)
def test_a_file_that_is_not_whole_is_refused_and_nothing_written(
    harm: Callable[[Path], object], node: InstalledNode, file: Path
) -> None:
    releases(node.folder, first=1, most=2)
    back_up(node.folder, file, now=NOW)
    harm(file)
    elsewhere = NodeFolder(file.parent / "elsewhere")
    with pytest.raises(InvalidInput, match="is no whole backup"):
        restore(elsewhere, file, now=NOW)
    assert sorted(path.name for path in file.parent.iterdir()) == ["node", "tonight.tar"]


# What is newer here


def test_stricter_rules_stay_and_the_backups_lie_beside(node: InstalledNode, file: Path) -> None:
    releases(node.folder, first=1, most=1)
    back_up(node.folder, file, now=NOW)
    looser = node.folder.policy.read_bytes()
    node.set_policy("largest_epsilon = 1.5", "largest_epsilon = 0.4")
    stricter = node.folder.policy.read_bytes()
    said = oncofed("site", "restore", node.folder.root, file)
    assert said.code == 0, said.text
    assert node.folder.policy.read_bytes() == stricter
    assert node.folder.policy.with_name("policy.toml.of-backup").read_bytes() == looser
    assert "not as in the backup: policy.toml" in said.text


def accounts(folder: NodeFolder) -> Accounts:
    return Accounts(folder.guard / "pages-accounts.json", cost=Cost(n=2**4))


@pytest.mark.parametrize("lost", [False, True])
def test_nobody_who_was_shut_out_is_let_in(lost: bool, node: InstalledNode, file: Path) -> None:
    """Not by the backup's file of accounts either, where the one that is here is lost and the log tells of a change."""
    accounts(node.folder).add("mueller", Role.CLINICIAN, "correct horse battery")
    back_up(node.folder, file, now=NOW)
    assert oncofed("site", "pages", "disable", node.folder.root, "mueller").code == 0
    if lost:
        (node.folder.guard / "pages-accounts.json").unlink()
    restored_now = restore(node.folder, file, now=NOW)
    assert [account.enabled for account in accounts(node.folder).all()] == [False]
    assert restored_now.kept.disabled == lost


def test_who_decides_while_it_is_restored_is_not_forgotten(node: InstalledNode, file: Path) -> None:
    back_up(node.folder, file, now=NOW)

    def held(*_: object) -> None:
        for path in (node.folder.patients, node.folder.guard / ".pages-accounts.json.lock"):
            descriptor = os.open(path, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(descriptor)

    with patch("oncofed.client.install.backup.create", side_effect=held) as made:
        restore(node.folder, file, now=NOW)
    made.assert_called_once()


# Kills


def test_a_kill_between_the_renames_is_told_and_undone_before_an_older_backup_is_compared(
    node: InstalledNode, file: Path
) -> None:
    root = node.folder.root
    releases(node.folder, first=1, most=1)
    back_up(node.folder, file, now=NOW)
    releases(node.folder, first=2, most=1)
    root.rename(root.with_name(".node.former"))
    said = oncofed("site", "init", root, "--name", "Bonn")
    assert (said.code != 0, "restore" in said.text, root.exists()) == (True, True, False), said.text
    with pytest.raises(RecordDamaged, match="does not know all"):
        restore(node.folder, file, now=NOW)
    assert verify_ledger(node.folder.ledger, anchor=None).entries == 2


def test_a_kill_after_the_renames_is_completed_with_the_masking_keys(node: InstalledNode, file: Path) -> None:
    root = node.folder.root
    back_up(node.folder, file, now=NOW)
    shutil.copytree(root, former := root.with_name(".node.former"))
    (former / "guard" / "masking" / "key").write_text("a masking key")
    restore(node.folder, file, now=NOW)
    assert (node.folder.masking / "key").read_text() == "a masking key"
    assert sorted(path.name for path in root.parent.glob("*before*")) == [
        "node.before-20300102T030405",
        "node.before-20300102T030405-2",
    ]


def test_a_node_that_is_gone_is_not_begun_anew_beside_its_former_one(node: InstalledNode, file: Path) -> None:
    back_up(node.folder, file, now=NOW)
    node.folder.root.rename(node.folder.root.with_name("node.before-20290101T000000"))
    for said in (
        oncofed("site", "init", node.folder.root, "--name", "Bonn"),
        oncofed("site", "restore", node.folder.root, file),
    ):
        assert (said.code != 0, "node.before-20290101T000000" in said.text) == (True, True), said.text
    assert not node.folder.root.exists()


def test_what_killed_commands_left_is_removed_by_the_next(node: InstalledNode, file: Path) -> None:
    for name in (".oncofed-backup", ".node.restoring"):
        (file.parent / name).mkdir()
        (file.parent / name / "answer.key").write_text("secret")
    back_up(node.folder, file, now=NOW)
    restore(node.folder, file, now=NOW)
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/null"), lambda path: path.write_text("x")]
)
def test_a_backup_destroys_nothing_else(make: Callable[[Path], object], node: InstalledNode, file: Path) -> None:
    make(file)
    before = file.lstat()
    with pytest.raises(InvalidInput, match="Choose the name of a new file"):
        back_up(node.folder, file, now=NOW)
    assert (file.lstat().st_ino, file.lstat().st_mode) == (before.st_ino, before.st_mode)
