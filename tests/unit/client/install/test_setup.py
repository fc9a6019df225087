"""Does `site init` lay a node out once, set rights each time, and never forget what was spent?"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.at_once import at_once, meeting
from tests.command_line import oncofed

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.guard.token import fits, read_digits
from oncofed.client.install import enrolment, halves, peers
from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings, read_site
from oncofed.client.install.halves import tokens_fit
from oncofed.client.install.rights import hand_over, places
from oncofed.client.install.setup import become, create
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import verify_ledger
from oncofed.errors import InvalidInput, RecordDamaged

SETTINGS = SiteSettings("Bonn", "127.0.0.1:9094", None)
NOBODY = "nobody"
SOURCE = """
[[source]]
name = "registry"
kind = "csv"
path = "/nowhere.csv"
largest_epsilon = 1.5
delta = 1e-5
smallest_noise_multiplier = 5.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    made = NodeFolder(tmp_path / "node")
    create(made, SETTINGS)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_folder_has_its_rights_and_gets_them_back(folder: NodeFolder) -> None:
    for place in places(folder):
        assert mode(place.path) == place.mode, place
        place.path.chmod(0o777)
    for path in (folder.policy, folder.settings):
        path.chmod(0o666)
    create(folder, SETTINGS)
    assert [place for place in places(folder) if mode(place.path) != place.mode] == []
    assert (mode(folder.policy), mode(folder.settings)) == (0o640, 0o644)
    assert (mode(folder.token), mode(folder.token_sha256)) == (0o400, 0o600)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_rights_do_not_depend_on_the_umask(umask: int, tmp_path: Path) -> None:
    made, before = NodeFolder(tmp_path / "node"), os.umask(umask)
    try:
        create(made, SETTINGS)
    finally:
        os.umask(before)
    assert [place for place in places(made) if mode(place.path) != place.mode] == []
    public = (made.root, made.settings, made.bundles, made.policy)
    assert [mode(path) for path in public] == [0o755, 0o644, 0o644, 0o640]


def test_a_second_init_keeps_token_ledger_policy_and_settings(folder: NodeFolder) -> None:
    folder.policy.write_text("mine")
    kept = (folder.token, folder.token_sha256, folder.policy, folder.settings)
    before = [path.read_bytes() for path in kept]
    inode = folder.ledger.stat().st_ino
    create(folder, replace(SETTINGS, runtime="127.0.0.1:9999"))
    assert [path.read_bytes() for path in kept] == before
    assert folder.ledger.stat().st_ino == inode
    assert fits(read_digits(folder.token), sha256=read_digits(folder.token_sha256))


@pytest.mark.parametrize("lost", ["token", "token_sha256"])
def test_a_token_that_lost_its_other_half_is_made_anew(lost: str, folder: NodeFolder) -> None:
    getattr(folder, lost).unlink()
    create(folder, SETTINGS)
    assert fits(read_digits(folder.token), sha256=read_digits(folder.token_sha256))


@pytest.mark.parametrize("half", ["token", "token_sha256"])
@pytest.mark.parametrize("content", ["ab" * 32, "cut sh", ""])
def test_a_token_whose_halves_do_not_fit_is_made_anew(half: str, content: str, folder: NodeFolder) -> None:
    path = getattr(folder, half)
    path.unlink()
    path.write_text(content)
    assert not tokens_fit(folder)
    create(folder, SETTINGS)
    assert tokens_fit(folder)
    assert (mode(folder.token), mode(folder.token_sha256)) == (0o400, 0o600)


def test_of_three_inits_at_once_one_makes_the_node_and_the_others_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = NodeFolder(tmp_path / "node")
    with meeting(monkeypatch, halves, "new_token", 3):
        told = at_once(*[partial(create, made, SETTINGS)] * 3)
    assert sorted(told, key=str) == [False, False, True]
    assert tokens_fit(made)
    assert read_site(made) == SETTINGS
    verify_ledger(made.ledger, anchor=None)
    assert not list(made.root.glob(".*")), "the lock goes with the command"


def test_of_two_inits_at_once_with_other_names_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = NodeFolder(tmp_path / "node")
    with meeting(monkeypatch, halves, "new_token", 2):
        told = at_once(*(partial(create, made, replace(SETTINGS, name=name)) for name in ("Bonn", "Essen")))
    won = read_site(made).name
    assert sorted(map(type, told), key=str) == [bool, InvalidInput]
    assert f"is the node of {won} already" in "".join(map(str, told))


def test_requests_at_once_are_the_same_request(folder: NodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with meeting(monkeypatch, enrolment, "write_secret", 2):
        told = at_once(*[partial(enrolment.make_request, folder)] * 2)
    assert told == [enrolment.own_request(folder)] * 2


def test_two_hospitals_that_are_verified_at_once_are_both_known(
    folder: NodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = {"smallest_cohort": "50", "largest_parameters": "1000", "allowed_plans": '["any"]'}
    folder.policy.write_text("\n".join(["[node]", *(f"{key} = {value}" for key, value in policy.items())]) + SOURCE)
    with meeting(monkeypatch, peers, "replace_durably", 2):
        cards = {"essen": "ab" * 16, "jena": "cd" * 16}
        told = at_once(*(partial(peers.add_peer, folder, name=name, card=card) for name, card in cards.items()))
    assert told == [None, None]
    assert {peer.name for peer in read_policy(folder.policy).peers} == {"essen", "jena"}


def test_a_lock_that_a_kill_left_stops_nobody(folder: NodeFolder) -> None:
    (folder.root / ".setting-up.lock").touch(mode=0o600)
    assert not create(folder, SETTINGS)


def test_a_lost_ledger_is_never_replaced(folder: NodeFolder) -> None:
    folder.ledger.unlink()
    create(folder, SETTINGS)
    with pytest.raises(RecordDamaged, match="does not exist"):
        verify_ledger(folder.ledger, anchor=None)


def test_nor_when_site_toml_is_lost_with_it(folder: NodeFolder) -> None:
    AuditLog(folder.audit_log).append("guard_started")
    folder.ledger.unlink()
    folder.settings.unlink()
    with pytest.raises(InvalidInput, match="ledger is lost"):
        create(folder, SETTINGS)
    assert not folder.ledger.exists()
    assert not folder.settings.exists()


def test_an_init_that_was_killed_before_its_end_is_begun_again(folder: NodeFolder) -> None:
    folder.settings.unlink()  # written last
    inode = folder.ledger.stat().st_ino
    create(folder, SETTINGS)
    assert read_site(folder) == SETTINGS
    assert folder.ledger.stat().st_ino == inode


def test_another_name_is_refused(folder: NodeFolder) -> None:
    with pytest.raises(InvalidInput, match="is the node of Bonn already"):
        create(folder, replace(SETTINGS, name="Essen"))
    assert read_site(folder).name == "Bonn"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (replace(SETTINGS, name='B"\nx = 1'), "usable name"),
        (replace(SETTINGS, name="../up"), "usable name"),
        (replace(SETTINGS, users=NodeUsers("no-such-guard", NOBODY, "no-such-relay")), "no-such-relay"),
    ],
)
def test_what_could_not_work_later_leaves_nothing_behind(settings: SiteSettings, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=told):
        create(NodeFolder(tmp_path / "node"), settings)
    assert not (tmp_path / "node").exists()


def test_init_as_a_command(tmp_path: Path) -> None:
    node = tmp_path / "node"
    assert oncofed("site", "init", node, "--name", "Bonn", "--port", "9555").code == 0
    assert read_site(NodeFolder(node)).runtime == "127.0.0.1:9555"
    again = oncofed("site", "init", node, "--name", "Bonn")
    assert (again.code, "was the node of Bonn already" in again.text) == (0, True)
    other = oncofed("site", "init", node, "--name", "Bonn", "--port", "9556")
    assert other.code == 2
    assert "without --port" in other.text
    for users in ("a,b", "a,a,b"):
        said = oncofed("site", "init", tmp_path / "new", "--name", "Bonn", "--users", users)
        assert (said.code, "three different users" in said.text) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: users of a node that has none yet. Run as root to test it.")
def test_users_named_too_late_are_not_silently_ignored(tmp_path: Path) -> None:
    node = tmp_path / "node"
    assert oncofed("site", "init", node, "--name", "Bonn").code == 0
    said = oncofed("site", "init", node, "--name", "Bonn", "--users", "daemon,bin,nobody")
    assert said.code == 2
    assert "site.toml" in said.text


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: handing files over. Run as root to test it.")
def test_files_that_come_and_go_and_links_do_not_trip_root(folder: NodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = folder.root / "victim"
    victim.touch()
    (folder.relay / "link").symlink_to(victim)
    os.link(victim, folder.relay / "second-name")
    (folder.guard / "gone").touch()
    open_before = os.open

    def opened(path: str | bytes | int | Path, *flags: int, **settings: int) -> int:
        if path == "gone":
            (folder.guard / "gone").unlink(missing_ok=True)
        return open_before(path, *flags, **settings)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(os, "open", opened)
    hand_over(folder, NodeUsers(NOBODY, "daemon", "bin"))
    relay, guard = pwd.getpwnam("bin").pw_uid, pwd.getpwnam(NOBODY).pw_uid
    assert not (folder.guard / "gone").exists()
    assert (folder.token.stat().st_uid, folder.ledger.stat().st_uid) == (relay, guard)
    assert victim.stat().st_uid == 0


def test_who_is_neither_root_nor_the_user_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a list of plans that may not be read would look like an empty one."""
    users = NodeUsers(NOBODY, "daemon", "bin")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(InvalidInput, match=f"root or the user {NOBODY}"):
        become("guard", users)
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam(NOBODY).pw_uid)
    become("guard", users)
    become("guard", None)
