"""Do the commands write down what another hospital read out, and say what is known of a plan's hospitals?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, new_coordinator
from tests.installed_node import InstalledNode, installed_node

from oncofed.client.guard.policy_file import Peer, read_policy
from oncofed.protocol.cards import card_in_words, card_of
from oncofed.protocol.plan import SharedNoise
from oncofed.server.deployment.member_files import read_sites

ESSEN = 1
HEARD = "4f1c 22AA 90b1 7d3e  5c0f 8812 aa31 0b7e"
DIGITS = "4f1c22aa90b17d3e5c0f8812aa310b7e"


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        here.enrol()
        yield here


def test_what_was_read_out_stands_in_the_policy_whose_rules_and_rights_stay(node: InstalledNode) -> None:
    before, text = read_policy(node.folder.policy), node.folder.policy.read_text()
    os.chmod(node.folder.policy, 0o640)
    if os.geteuid() == 0:
        os.chown(node.folder.policy, 0, 61001)
    for _ in range(2):  # said twice, it stands there once
        said = oncofed("site", "verify", node.folder.root, "essen", "--card", HEARD)
        assert said.code == 0, said.text
    after = read_policy(node.folder.policy)
    assert after.peers == (Peer("essen", DIGITS),)
    assert [source.site_policy.verified_cards for source in after.sources] == [frozenset({DIGITS})]
    assert node.folder.policy.read_text().startswith(text.rstrip())
    assert replace(after, peers=(), sources=before.sources) == before
    rights = node.folder.policy.stat()
    assert rights.st_mode & 0o777 == 0o640
    assert os.geteuid() != 0 or (rights.st_uid, rights.st_gid) == (0, 61001)
    assert "4f1c 22aa" in oncofed("site", "peers", node.folder.root).text


@pytest.mark.parametrize(
    ("name", "card", "told"),
    [
        ("essen", "4f1c 22aa", "eight groups"),
        ("essen", "x" * 32, "eight groups"),
        ("../essen", HEARD, "HOSPITAL"),
        ("Bonn", HEARD, "another hospital"),
        ("köln", "12", "eight groups"),
    ],
)
def test_what_cannot_be_a_card_is_refused_and_nothing_is_written(
    node: InstalledNode, name: str, card: str, told: str
) -> None:
    before = node.folder.policy.read_bytes()
    said = oncofed("site", "verify", node.folder.root, name, "--card", card)
    assert (said.code, told in said.text) == (2, True), said.text
    assert node.folder.policy.read_bytes() == before


def test_a_hospital_whose_keys_have_changed_is_asked_about_before_it_is_believed(node: InstalledNode) -> None:
    oncofed("site", "verify", node.folder.root, "essen", "--card", HEARD)
    said = oncofed("site", "verify", node.folder.root, "essen", "--card", HEARD.replace("4", "5"))
    assert said.code == 2
    assert "Ask essen why its keys have changed" in said.text
    assert read_policy(node.folder.policy).peers == (Peer("essen", DIGITS),)


def test_what_would_break_the_policy_is_not_written(node: InstalledNode) -> None:
    said = oncofed("site", "verify", node.folder.root, "esen", "--card", HEARD)
    assert said.code == 0
    before = node.folder.policy.read_bytes()
    said = oncofed("site", "verify", node.folder.root, "essen", "--card", HEARD)
    assert (said.code, "misspelt" in said.text) == (2, True), said.text
    assert node.folder.policy.read_bytes() == before
    inline = before.decode().replace("[node]", f'peer = [{{name = "esen", card = "{DIGITS}"}}]\n[node]')
    inline = inline[: inline.index("[[peer]]")]
    node.folder.policy.write_text(inline)
    read_policy(node.folder.policy)
    said = oncofed("site", "verify", node.folder.root, "bochum", "--card", HEARD.replace("4", "5"))
    assert said.code == 2, said.text
    assert node.folder.policy.read_text() == inline
    assert not list(node.folder.root.glob("policy.toml.*"))


def test_a_policy_that_is_a_link_stays_one(node: InstalledNode, tmp_path: Path) -> None:
    kept = tmp_path / "rules.toml"
    kept.write_bytes(node.folder.policy.read_bytes())
    node.folder.policy.unlink()
    node.folder.policy.symlink_to(kept)
    assert oncofed("site", "verify", node.folder.root, "essen", "--card", HEARD).code == 0
    assert node.folder.policy.is_symlink()
    assert read_policy(kept).peers == (Peer("essen", DIGITS),)


def test_of_a_plan_each_hospital_is_shown_with_its_card_and_what_is_known(node: InstalledNode, tmp_path: Path) -> None:
    plan = node.plan()
    (tmp_path / "plan.json").write_bytes(node.offer())
    oncofed("site", "plans", node.folder.root, "--add", tmp_path / "plan.json")

    def shown() -> str:
        said = oncofed("site", "peers", node.folder.root, plan.hash[:12])
        assert said.code == 0, said.text
        return said.text

    card = card_in_words(plan.members[ESSEN])
    assert f"{card}  not verified" in shown()
    assert "0 of 1" in shown()
    oncofed("site", "verify", node.folder.root, "Essen", "--card", HEARD)
    assert "NOT the card that was verified for it" in shown()
    node.set_policy('"4f1c 22aa 90b1 7d3e 5c0f 8812 aa31 0b7e"', f'"{card}"')
    assert f"{card}  verified" in shown()
    assert "1 of 1" in shown()
    assert "compare with the other hospitals" in shown()
    assert f"{card}  verified" in oncofed("site", "plans", node.folder.root, "--show", plan.hash[:12]).text


def test_a_plan_that_shares_its_noise_is_not_approved_with_a_hospital_nobody_knows(node: InstalledNode) -> None:
    plan = node.plan()
    mode = type(plan.privacy.mode)("distributed")
    privacy = replace(plan.privacy, mode=mode, noise_multiplier=29.0, epsilon=1.0, shares=SharedNoise(2, 0, 0))
    plan = replace(plan, privacy=privacy)
    node.set_policy("largest_epsilon", "fewest_colluding_tolerated = 0\nlargest_epsilon")
    (node.folder.plans / f"{plan.hash}.json").write_bytes(node.offer(plan))
    source = str(read_policy(node.folder.policy).sources[0].name)
    said = oncofed("site", "approve", node.folder.root, plan.hash[:12], "--source", source, "--yes")
    assert said.code != 0
    assert "1 that nobody here has verified (Essen)" in said.text
    oncofed("site", "verify", node.folder.root, "Essen", "--card", card_of(plan.members[ESSEN]))
    said = oncofed("site", "approve", node.folder.root, plan.hash[:12], "--source", source, "--yes")
    assert said.code == 0, said.text


def test_a_hospital_reads_out_the_card_that_plans_have_of_it(tmp_path: Path) -> None:
    with installed_node() as here:
        coordinator = new_coordinator(tmp_path / "coordinator")
        enrol(coordinator, here.folder)
        (site,) = read_sites(coordinator).values()
        said = oncofed("site", "card", here.folder.root)
    assert said.text.strip() == f"{site.site}: {card_in_words(site.member)}"


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        ('[[peer]]\nname = "essen"\n', "card"),
        ('[[peer]]\nname = "essen"\ncard = "12"\n', "is no card"),
        (f'[[peer]]\nname = "a b"\ncard = "{DIGITS}"\n', "no hospital's name"),
        (f'[[peer]]\nname = "a"\ncard = "{DIGITS}"\n' * 2, "two peers of the name a"),
        (f'[[peer]]\nname = "a"\ncard = "{DIGITS}"\n[[peer]]\nname = "b"\ncard = "{HEARD}"\n', "two peers of the card"),
        (f'[[peer]]\nname = "a"\ncard = "{DIGITS}"\nkey = 1\n', "key"),
    ],
)
def test_faults_of_peers_are_told(node: InstalledNode, peers: str, told: str) -> None:
    with node.folder.policy.open("a") as file:
        file.write("\n" + peers)
    said = oncofed("site", "check", node.folder.root)
    assert (said.code, told in said.text) == (2, True), said.text
