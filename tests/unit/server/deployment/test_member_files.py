"""Does a hospital stay off whatever became of files, its own or another's, and is it told which one to mend?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.unit.server.deployment.test_membership import Consortium, new_keys

from oncofed.client.install.enrolment import make_request
from oncofed.errors import InvalidInput
from oncofed.protocol.enrolment import request_bytes
from oncofed.server.deployment.enrolment import approve
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.member_files import ApprovedSite, Standing, decide, look_at, read_sites
from oncofed.server.deployment.member_keys import MemberKeys
from oncofed.server.deployment.membership import readmit, remove, rotate, suspend


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/file")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _lost(path: Path) -> None:
    path.unlink()


DAMAGES = (_empty, _binary, _cut, _folder, _dangling, _deep, _lost)


def both_files(folder: CoordinatorFolder, site: str) -> tuple[Path, Path]:
    return folder.sites / f"{site}.json", folder.decisions / f"{site}.json"


def member(consortium: Consortium, site: str = "Bonn") -> bool:
    """As a server sees it that starts now."""
    return MemberKeys(consortium.folder).site_of(consortium.key(site)) == site


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_one_hospital_keeps_nobody_from_deciding_about_another(
    damage: Callable[[Path], None], which: int, consortium: Consortium
) -> None:
    broken = both_files(consortium.folder, "Essen")[which]
    damage(broken)
    root = consortium.folder.root
    for command, standing in (("suspend", "suspended"), ("readmit", "member"), ("remove", "removed")):
        said = oncofed("coordinator", command, root, "Bonn")
        assert (said.code, str(broken) in said.text, "remove COORD Essen" in said.text) == (0, True, True), said.text
        assert consortium.standing() == standing
        assert member(consortium) is (standing == "member")
    approve(consortium.folder, request_bytes(make_request(consortium.nodes["Bonn"])))
    rotate(consortium.folder, "Bonn", new_keys(consortium.nodes["Bonn"]))
    assert member(consortium)
    assert not member(consortium, "Essen")
    consortium.settle()
    assert consortium.registered() == {"Bonn"}


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_hospital_whose_own_file_is_damaged_can_be_taken_off_and_not_let_in(
    damage: Callable[[Path], None], which: int, consortium: Consortium
) -> None:
    folder = consortium.folder
    damage(both_files(folder, "Bonn")[which])
    for lets_in in (
        lambda: readmit(folder, "Bonn"),
        lambda: rotate(folder, "Bonn", make_request(consortium.nodes["Bonn"])),
        lambda: approve(folder, request_bytes(make_request(consortium.nodes["Bonn"]))),
    ):
        with pytest.raises(InvalidInput, match="remove COORD Bonn"):
            lets_in()
    if damage is _folder:  # which no command removes
        both_files(folder, "Bonn")[which].rmdir()
    assert remove(folder, "Bonn").standing is Standing.REMOVED
    assert not member(consortium)
    approve(folder, request_bytes(make_request(consortium.nodes["Bonn"])))
    assert member(consortium)


@pytest.mark.parametrize("off", [suspend, remove])
@pytest.mark.parametrize("what", ["removed", "new keys", "edited"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_way_leads_from_damaged_files_back_to_a_former_membership(
    damage: Callable[[Path], None],
    what: str,
    off: Callable[[CoordinatorFolder, str], ApprovedSite],
    consortium: Consortium,
    tmp_path: Path,
) -> None:
    """Last week's sites/ is put back, or one file edited, and what is newer cannot be read."""
    folder, former = consortium.folder, consortium.key("Bonn")
    in_sites, in_decisions = both_files(folder, "Bonn")
    last_week = in_sites.read_bytes()
    if what == "new keys":
        rotate(folder, "Bonn", new_keys(consortium.nodes["Bonn"]))
    else:
        remove(folder, "Bonn")
    if what == "edited":
        in_sites.write_bytes(in_sites.read_bytes().replace(b'"removed"', b'"member"'))
    else:
        in_sites.write_bytes(last_week)
        damage(in_decisions)
        if damage is _folder:  # which no command removes
            in_decisions.rmdir()
    assert off(folder, "Bonn").standing is Standing.REMOVED
    with pytest.raises(InvalidInput, match="was removed"):
        readmit(folder, "Bonn")
    assert MemberKeys(folder).site_of(former) is None
    assert look_at(folder).known["Bonn"].is_removed


@pytest.mark.parametrize("which", [0, 1])
def test_a_key_that_was_replaced_stays_nobodys_whichever_file_was_edited(which: int, consortium: Consortium) -> None:
    folder, former = consortium.folder, make_request(consortium.nodes["Bonn"])
    rotate(folder, "Bonn", new_keys(consortium.nodes["Bonn"]))
    path = both_files(folder, "Bonn")[which]
    path.write_text(json.dumps({**json.loads(path.read_text()), "former_keys": []}))
    remove(folder, "Bonn")
    with pytest.raises(InvalidInput, match="was replaced by another one"):
        approve(folder, request_bytes(former))


@pytest.mark.parametrize("off", [suspend, remove])
def test_an_older_copy_of_the_folder_of_hospitals_revives_nobody(
    off: Callable[[CoordinatorFolder, str], object], consortium: Consortium, tmp_path: Path
) -> None:
    folder = consortium.folder
    shutil.copytree(folder.sites, tmp_path / "last night")
    former = consortium.key("Essen")
    off(folder, "Bonn")
    rotate(folder, "Essen", new_keys(consortium.nodes["Essen"]))
    shutil.rmtree(folder.sites)
    shutil.copytree(tmp_path / "last night", folder.sites)

    assert not member(consortium)
    assert MemberKeys(folder).site_of(former) is None
    assert member(consortium, "Essen")
    told = "\n".join(look_at(folder).told)
    assert f"{folder.sites / 'Bonn.json'} is an older copy" in told
    said = oncofed("coordinator", "enrol", folder.root).text
    assert "sites/Bonn.json is an older copy" in said
    consortium.settle()
    assert consortium.registered() == {"Essen"}
    assert look_at(folder).told == ()  # the older copies are gone
    assert not member(consortium)


def test_an_older_copy_of_the_decisions_revives_nobody(consortium: Consortium, tmp_path: Path) -> None:
    folder = consortium.folder
    shutil.copytree(folder.decisions, tmp_path / "last night")
    remove(folder, "Bonn")
    shutil.rmtree(folder.decisions)
    shutil.copytree(tmp_path / "last night", folder.decisions)
    assert not member(consortium)
    assert f"{folder.decisions / 'Bonn.json'} is an older copy" in "\n".join(look_at(folder).told)


def test_a_copy_from_before_a_hospital_came_does_not_forget_it(consortium: Consortium) -> None:
    (consortium.folder.sites / "Bonn.json").unlink()
    assert not member(consortium)
    assert "is lost" in str(look_at(consortium.folder).damaged["Bonn"])


def test_what_was_decided_between_a_kills_two_writes_counts(consortium: Consortium, tmp_path: Path) -> None:
    """The decision first, so that the hospital is off when its file still says that it is not."""
    path = consortium.folder.sites / "Bonn.json"
    before = path.read_bytes()
    suspend(consortium.folder, "Bonn")
    path.write_bytes(before)
    assert not member(consortium)
    assert readmit(consortium.folder, "Bonn").is_member


def test_a_clock_that_went_back_makes_no_decision_older(consortium: Consortium) -> None:
    folder = consortium.folder
    site = read_sites(folder)["Bonn"]
    later = decide(folder, site, now_ms=lambda: 1)
    assert later.decided_ms == site.decided_ms + 1


def test_hospitals_of_a_version_that_kept_no_decisions_go_on_and_get_one(consortium: Consortium) -> None:
    folder = consortium.folder
    shutil.rmtree(folder.decisions)
    for path in folder.sites.glob("*.json"):
        fields = json.loads(path.read_bytes())
        del fields["decided_ms"]
        path.write_text(json.dumps(fields))
    assert member(consortium)
    consortium.settle()
    assert consortium.registered() == {"Bonn", "Essen"}
    old = (folder.sites / "Bonn.json").read_bytes()
    remove(folder, "Bonn")
    (folder.sites / "Bonn.json").write_bytes(old)
    assert not member(consortium)


def test_a_file_without_a_time_beside_a_decision_is_an_older_copy(consortium: Consortium) -> None:
    folder = consortium.folder
    path = folder.sites / "Bonn.json"
    fields = json.loads(path.read_bytes())
    remove(folder, "Bonn")
    path.write_text(json.dumps({name: fields[name] for name in fields if name != "decided_ms"}))
    assert not member(consortium)


@pytest.mark.parametrize("damaged", [0, 1])
def test_no_key_of_a_damaged_hospital_becomes_anothers(damaged: int, consortium: Consortium) -> None:
    both_files(consortium.folder, "Bonn")[damaged].write_bytes(b"")
    bonn = consortium.nodes["Bonn"]
    (bonn.node / "request.json").unlink()
    bonn.settings.write_text(bonn.settings.read_text().replace('"Bonn"', '"Kiel"'))
    with pytest.raises(InvalidInput, match="another name"):
        approve(consortium.folder, request_bytes(make_request(bonn)))


@pytest.mark.parametrize(
    "command",
    [
        ("suspend", "X"),
        ("readmit", "X"),
        ("remove", "X"),
        ("enrol",),
        ("status",),
        ("start",),
        ("stop", ""),
        ("resume", ""),
        ("report", "--out", "out.html"),
    ],
)
def test_a_path_where_no_coordinator_is_stays_as_it_was(command: tuple[str, ...], tmp_path: Path) -> None:
    for wrong in (tmp_path / "nothing here", tmp_path / "run"):
        (tmp_path / "run" / "sites").mkdir(parents=True, exist_ok=True)  # as a simulation's folder has
        before = sorted(tmp_path.rglob("*"))
        said = oncofed("coordinator", command[0], wrong, *command[1:])
        assert said.code == 2, said.text
        assert str(wrong) in said.text
        assert sorted(tmp_path.rglob("*")) == before


def test_a_file_edited_by_hand_lets_nobody_in(consortium: Consortium) -> None:
    suspend(consortium.folder, "Bonn")
    path = consortium.folder.sites / "Bonn.json"
    path.write_text(path.read_text().replace('"suspended"', '"member"'))
    assert not member(consortium)
    assert "does not say what" in str(look_at(consortium.folder).damaged["Bonn"])
