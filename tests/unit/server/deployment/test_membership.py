"""Has a hospital's membership a whole life: does each step change what its key is worth, at once and for the server?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, free_port, new_coordinator, new_node, signed_plan

from oncofed.client.install.enrolment import make_request
from oncofed.client.install.folder import NodeFolder
from oncofed.errors import InvalidInput
from oncofed.protocol.enrolment import (
    EnrolmentRequest,
    fingerprint,
    flower_public_key,
    load_node_key,
    request_bytes,
)
from oncofed.protocol.plan import StudyPlan
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.enrolment import approve, settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.member_files import Standing, look_at, read_members, read_sites
from oncofed.server.deployment.member_keys import MemberKeys, key_bytes
from oncofed.server.deployment.membership import readmit, remove, rotate, suspend
from oncofed.server.deployment.runs import begin, take_in
from oncofed.server.flower.control import Control
from oncofed.server.flower.server_app import nodes_of


class Registry:
    """Of a SuperLink: a key that was taken off may be registered again, as another node."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, int] = {}
        self.made = 0

    def node_ids(self) -> dict[bytes, int]:
        return dict(self.nodes)

    def register_node(self, public_key: bytes) -> int:
        assert public_key not in self.nodes
        self.made += 1
        self.nodes[public_key] = self.made
        return self.made

    def unregister_node(self, node_id: int) -> None:
        self.nodes = {key: known for key, known in self.nodes.items() if known != node_id}


class Consortium:
    def __init__(self, root: Path) -> None:
        self.folder = new_coordinator(root / "coordinator")
        self.nodes = {site: new_node(root / site, site) for site in ("Bonn", "Essen")}
        for node in self.nodes.values():
            enrol(self.folder, node)
        self.registry = Registry()
        self.keys = MemberKeys(self.folder)
        self.settle()

    def settle(self) -> None:
        settle_nodes(self.folder, self.registry)

    def key(self, site: str = "Bonn") -> bytes:
        return key_bytes(load_node_key(self.nodes[site].node_key.read_bytes()).public_key())

    def holds(self, key: bytes) -> str | None:
        """Whose key the gate takes it for."""
        return self.keys.site_of(key)

    def registered(self) -> set[str]:
        """The names of all whose present key the SuperLink knows; it knows no other key."""
        sites = read_sites(self.folder).values()
        known = {site.site for site in sites if flower_public_key(site.node_public_key) in self.registry.nodes}
        assert len(known) == len(self.registry.nodes)
        return known

    def standing(self, site: str = "Bonn") -> Standing:
        return read_sites(self.folder)[site].standing


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def new_keys(node: NodeFolder, *, all_of_them: bool = True) -> EnrolmentRequest:
    """As a hospital makes them: what is to be new is taken away, and `site request` makes it."""
    (node.node / "request.json").unlink()
    node.answer_key.unlink()
    if all_of_them:
        node.node_key.unlink()
    return make_request(node)


@pytest.mark.parametrize(("off", "standing"), [(suspend, Standing.SUSPENDED), (remove, Standing.REMOVED)])
def test_a_hospital_is_off_at_once_and_on_again(
    off: Callable[[CoordinatorFolder, str], object], standing: Standing, consortium: Consortium
) -> None:
    """The gate's keys are looked at in between, so that what it remembers is not what lets this pass."""
    assert consortium.holds(consortium.key()) == "Bonn"
    for _ in range(2):
        off(consortium.folder, "Bonn")
        assert consortium.holds(consortium.key()) is None
        assert consortium.standing() is standing
    assert consortium.holds(consortium.key("Essen")) == "Essen"
    consortium.settle()
    assert consortium.registered() == {"Essen"}
    assert read_sites(consortium.folder)["Bonn"].node_id is None
    assert set(read_members(consortium.folder)) == {"Essen"}
    if off is suspend:
        for _ in range(2):
            readmit(consortium.folder, "Bonn")
    else:
        approve(consortium.folder, request_bytes(make_request(consortium.nodes["Bonn"])))
    assert consortium.holds(consortium.key()) == "Bonn"
    consortium.settle()
    assert consortium.registered() == {"Bonn", "Essen"}
    assert consortium.standing() is Standing.MEMBER


def test_what_was_settled_before_is_seen_by_a_server_that_starts_later(consortium: Consortium) -> None:
    remove(consortium.folder, "Bonn")
    suspend(consortium.folder, "Essen")
    consortium.settle()
    assert consortium.registered() == set()


@pytest.mark.parametrize("suspended", [False, True])
def test_new_keys_count_and_the_former_ones_never_again(suspended: bool, consortium: Consortium) -> None:
    former, former_request = consortium.key(), make_request(consortium.nodes["Bonn"])
    if suspended:
        suspend(consortium.folder, "Bonn")
    request = new_keys(consortium.nodes["Bonn"])
    for _ in range(2):
        rotate(consortium.folder, "Bonn", request)
        assert (consortium.holds(former), consortium.holds(consortium.key())) == (None, "Bonn")
    consortium.settle()
    assert consortium.registered() == {"Bonn", "Essen"}
    for again in (
        lambda: rotate(consortium.folder, "Bonn", former_request),
        lambda: approve(consortium.folder, request_bytes(former_request)),
    ):
        with pytest.raises(InvalidInput, match="was replaced by another one"):
            again()
    remove(consortium.folder, "Bonn")
    with pytest.raises(InvalidInput, match="was replaced by another one"):
        approve(consortium.folder, request_bytes(former_request))


def test_only_the_guards_keys_may_be_new(consortium: Consortium) -> None:
    """Then the node key is not a former one."""
    request = new_keys(consortium.nodes["Bonn"], all_of_them=False)
    with pytest.raises(InvalidInput, match="rotate"):
        approve(consortium.folder, request_bytes(request))
    rotate(consortium.folder, "Bonn", request)
    site = read_sites(consortium.folder)["Bonn"]
    assert (site.answer_public_key, site.former_keys) == (request.answer_public_key, ())
    assert consortium.holds(consortium.key()) == "Bonn"


def test_a_removed_hospital_may_come_back_with_other_keys_and_not_with_a_former_one(consortium: Consortium) -> None:
    former = consortium.key()
    remove(consortium.folder, "Bonn")
    approve(consortium.folder, request_bytes(new_keys(consortium.nodes["Bonn"])))
    assert (consortium.holds(former), consortium.holds(consortium.key())) == (None, "Bonn")
    assert len(read_sites(consortium.folder)["Bonn"].former_keys) == 1


def test_what_makes_no_sense_is_refused_with_the_way_out(consortium: Consortium) -> None:
    own, other = (make_request(consortium.nodes[site]) for site in ("Bonn", "Essen"))
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: suspend(consortium.folder, "Kiel"), "Known: Bonn, Essen"),
        (lambda: rotate(consortium.folder, "Bonn", other), "is of Essen"),
    ]
    suspend(consortium.folder, "Bonn")
    refused += [(lambda: approve(consortium.folder, request_bytes(own)), "readmit COORD Bonn")]
    for call, told in refused:
        with pytest.raises(InvalidInput, match=told):
            call()
    remove(consortium.folder, "Bonn")
    for call in (
        lambda: suspend(consortium.folder, "Bonn"),
        lambda: readmit(consortium.folder, "Bonn"),
        lambda: rotate(consortium.folder, "Bonn", own),
    ):
        with pytest.raises(InvalidInput, match="coordinator approve"):
            call()


def test_anothers_former_key_is_nobodys(consortium: Consortium) -> None:
    bonn = consortium.nodes["Bonn"]
    former = bonn.node_key.read_bytes()
    rotate(consortium.folder, "Bonn", new_keys(bonn))
    bonn.node_key.write_bytes(former)
    (bonn.node / "request.json").unlink()
    bonn.settings.write_text(bonn.settings.read_text().replace('"Bonn"', '"Kiel"'))
    with pytest.raises(InvalidInput, match="another name"):
        approve(consortium.folder, request_bytes(make_request(bonn)))


# Studies


def plan_of(consortium: Consortium) -> tuple[StudyPlan, bytes]:
    plan = signed_plan(consortium.folder, rounds=1)
    return plan, (consortium.folder.study(plan.hash) / "plan.json").read_bytes()


@pytest.mark.parametrize(("off", "told"), [(suspend, "Bonn is suspended"), (remove, "Bonn was removed")])
def test_a_plan_that_names_one_who_is_off_is_refused_by_name(
    off: Callable[[CoordinatorFolder, str], object], told: str, consortium: Consortium
) -> None:
    plan, document = plan_of(consortium)
    off(consortium.folder, "Bonn")
    with pytest.raises(InvalidInput, match=told):
        take_in(consortium.folder, document)
    with pytest.raises(InvalidInput, match=told):
        nodes_of(plan, look_at(consortium.folder))


@pytest.mark.parametrize(("off", "told"), [(suspend, "Bonn is suspended"), (remove, "Bonn was removed")])
def test_a_study_that_names_one_who_is_off_is_not_begun(
    off: Callable[[CoordinatorFolder, str], object], told: str, consortium: Consortium
) -> None:
    plan, _ = plan_of(consortium)
    off(consortium.folder, "Bonn")

    class Untouched(Control):
        def __init__(self) -> None:
            pass

    with pytest.raises(InvalidInput, match=told):
        begin(consortium.folder, Untouched(), plan.hash)


def test_a_study_is_signed_for_members_only(consortium: Consortium, tmp_path: Path) -> None:
    assert oncofed("study", "new", tmp_path / "lung").code == 0
    suspend(consortium.folder, "Bonn")
    out = tmp_path / "plan.json"
    signing = ("study", "sign", tmp_path / "lung" / "study.toml", "--coordinator", consortium.folder.root, "--out", out)
    said = oncofed(*signing, "--sites", "Bonn,Essen")
    assert (said.code, '"Bonn" is suspended. Members: Essen.' in said.text) == (2, True)
    said = oncofed(*signing)
    assert (said.code, "Signed for Essen:" in said.text) == (0, True), said.text


def test_a_plan_with_former_keys_is_refused_by_name(consortium: Consortium) -> None:
    plan, document = plan_of(consortium)
    rotate(consortium.folder, "Bonn", new_keys(consortium.nodes["Bonn"]))
    for call in (
        lambda: take_in(consortium.folder, document),
        lambda: nodes_of(plan, look_at(consortium.folder)),
    ):
        with pytest.raises(InvalidInput, match="Bonn is not enrolled with the keys"):
            call()


def test_while_a_study_runs_nobody_is_removed_and_anybody_suspended(consortium: Consortium) -> None:
    plan, _ = plan_of(consortium)
    request = new_keys(consortium.nodes["Essen"])
    refused: tuple[Callable[[], object], ...] = (
        lambda: remove(consortium.folder, "Bonn"),
        lambda: rotate(consortium.folder, "Essen", request),
    )
    with at_work(consortium.folder.study(plan.hash)):
        for call in refused:
            with pytest.raises(InvalidInput, match=rf"{plan.hash[:12]}.*is running.*coordinator suspend"):
                call()
        said = oncofed("coordinator", "suspend", consortium.folder.root, "Bonn")
        assert said.code == 0
        assert f"Study {plan.hash[:12]} goes on without it" in said.text
    remove(consortium.folder, "Bonn")
    rotate(consortium.folder, "Essen", request)


# The gate's own look


def test_a_file_that_cannot_be_read_takes_only_its_own_hospital_off(consortium: Consortium) -> None:
    (consortium.folder.sites / "Bonn.json").write_text("{")
    keys = MemberKeys(consortium.folder)
    assert (keys.site_of(consortium.key()), keys.site_of(consortium.key("Essen"))) == (None, "Essen")


def test_a_file_edited_by_hand_counts_within_seconds(consortium: Consortium) -> None:
    now = [0.0]
    keys = MemberKeys(consortium.folder, monotonic=lambda: now[0], wall_clock=lambda: 1e12)
    assert keys.site_of(consortium.key()) == "Bonn"
    path = consortium.folder.sites / "Bonn.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "standing": "removed"}))  # no change of the folder
    now[0] += 6
    assert keys.site_of(consortium.key()) is None


def test_two_changes_at_the_same_instant_both_count(consortium: Consortium) -> None:
    """File systems count time in steps."""
    stamp = consortium.folder.sites.stat().st_mtime_ns
    keys = MemberKeys(consortium.folder, monotonic=lambda: 0.0, wall_clock=lambda: stamp / 1e9)
    assert keys.site_of(consortium.key()) == "Bonn"
    suspend(consortium.folder, "Bonn")
    os.utime(consortium.folder.sites, ns=(stamp, stamp))
    assert keys.site_of(consortium.key()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"standing": "king"},
        {"node_public_key": "ecdsa"},
        {"node_public_key": 5},
        {"former_keys": [5]},
        {"node_id": "7"},
        {"more": 1},
        {"site": "Essen"},
    ],
)
def test_a_file_with_another_content_is_nobodys(change: dict[str, object], consortium: Consortium) -> None:
    path = consortium.folder.sites / "Bonn.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    hospitals = look_at(consortium.folder)
    assert (set(hospitals.known), str(path) in str(hospitals.damaged["Bonn"])) == ({"Essen"}, True)
    assert MemberKeys(consortium.folder).site_of(consortium.key()) is None


def test_a_file_of_an_earlier_version_is_a_members(consortium: Consortium) -> None:
    path = consortium.folder.sites / "Bonn.json"
    before = json.loads(path.read_bytes())
    path.write_text(json.dumps({key: before[key] for key in before if key not in ("standing", "former_keys")}))
    assert consortium.standing() is Standing.MEMBER
    assert MemberKeys(consortium.folder).site_of(consortium.key()) == "Bonn"


# Commands


def test_the_commands_say_what_they_did_also_without_a_server(consortium: Consortium, tmp_path: Path) -> None:
    root = consortium.folder.root
    text = consortium.folder.settings.read_text()  # a port on which nothing listens
    assert str(free_port()) not in text
    said = oncofed("coordinator", "suspend", root, "Bonn")
    assert (said.code, "when it starts" in said.text) == (0, True)
    assert "Bonn                     suspended" in oncofed("coordinator", "status", root).text
    assert "Bonn                     suspended" in oncofed("coordinator", "enrol", root).text
    assert oncofed("coordinator", "readmit", root, "Bonn").code == 0
    request = new_keys(consortium.nodes["Bonn"])
    file = tmp_path / "bonn.request.json"
    file.write_bytes(request_bytes(request))
    wrong = oncofed("coordinator", "rotate", root, "Bonn", file, "--fingerprint", "0000 " * 7 + "0000")
    assert (wrong.code, "not the one you heard" in wrong.text) == (2, True)
    assert consortium.holds(consortium.key()) is None
    heard = fingerprint(request_bytes(request))
    assert oncofed("coordinator", "rotate", root, "Bonn", file, answers=f"{heard}\n").code == 0
    assert consortium.holds(consortium.key()) == "Bonn"
    assert oncofed("coordinator", "remove", root, "Bonn").code == 0
    assert "Members: 1." in oncofed("coordinator", "enrol", root).text
    gone = oncofed("coordinator", "readmit", root, "Bonn")
    assert (gone.code, "was removed" in gone.text) == (2, True)


@pytest.mark.parametrize("form", ["pipe", "without end"])
def test_new_keys_are_read_from_a_plain_file_of_bounded_size(form: str, consortium: Consortium, tmp_path: Path) -> None:
    file = tmp_path / "bonn.request.json"
    if form == "pipe":
        os.mkfifo(file)
    else:
        with file.open("wb") as made:
            made.truncate(1 << 40)
    said = oncofed("coordinator", "rotate", consortium.folder.root, "Bonn", file, "--fingerprint", "0000")
    assert said.code == 2
    assert ("is a named pipe" if form == "pipe" else "is larger than 65,536 bytes") in said.text
