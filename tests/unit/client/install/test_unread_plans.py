"""Does a plan whose document is lost or damaged stand in nobody's way, and is it told with what mends it?

Each way in which a document may be damaged is tried: for one that is approved, and one that nobody decided on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.damages import DAMAGES
from tests.installed_node import SOURCE, InstalledNode, installed_node

from oncofed.client.install.findings import Verdict
from oncofed.client.install.inbox import find_plan, offered_plans
from oncofed.client.install.patient_checks import patient_findings
from oncofed.client.records import offers
from oncofed.client.records.decisions import Decision
from oncofed.errors import InvalidInput
from oncofed.protocol.messages import PlanState
from oncofed.protocol.plan import StudyPlan

HARMLESS = ("open to all",)
DAMAGED = [name for name in DAMAGES if name not in HARMLESS]
STAYING = [name for name in DAMAGED if name != "lost"]


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    """Two plans: its own is approved, `other` waits."""
    with installed_node() as here:
        here.enrol()
        for plan in (here.plan(), other(here)):
            here.guard().offer_plan(here.offer(plan))
        here.approve()
        yield here


def other(node: InstalledNode) -> StudyPlan:
    return replace(node.plan(), study="other")


def document(node: InstalledNode, plan: StudyPlan) -> Path:
    return node.folder.plans / f"{plan.hash}.json"


def frozen(node: InstalledNode) -> list[Path]:
    return list(node.folder.patients.iterdir())


@pytest.mark.parametrize("damage", DAMAGED)
def test_an_approved_plan_without_its_document_is_told_and_declined(damage: str, node: InstalledNode) -> None:
    path, beginning, root = document(node, node.plan()), node.plan().hash[:12], node.folder.root
    DAMAGES[damage](path)
    for command in ("plans", "status", "ledger"):
        said = oncofed("site", command, root)
        assert said.code == 1, said.text
        assert str(path) in said.text
        assert f"oncofed site decline {root} {beginning}" in said.text
    assert "other" in oncofed("site", "plans", root).text
    (found,) = (each for each in patient_findings(node.folder) if str(path) in each.what)
    assert (found.verdict, f"oncofed site decline {root} {beginning}" in found.remedy) == (Verdict.FAULT, True)
    assert frozen(node)
    assert "is approved" in oncofed("site", "forget", root, beginning).text

    said = oncofed("site", "decline", root, beginning)
    assert said.code == 0, said.text
    decided = node.approvals.find(node.plan().hash)
    assert decided is not None
    assert (decided.decision, decided.data_source) == (Decision.DECLINED, SOURCE)
    assert frozen(node) == []
    assert node.folder.bundles.read_text() == ""
    assert [each.verdict for each in patient_findings(node.folder)].count(Verdict.FAULT) == (damage != "lost")


@pytest.mark.parametrize("damage", [name for name in STAYING if name != "a folder"])
def test_a_damaged_document_keeps_no_other_from_the_list_and_is_forgotten(damage: str, node: InstalledNode) -> None:
    path, beginning, root = document(node, other(node)), other(node).hash[:12], node.folder.root
    DAMAGES[damage](path)
    said = oncofed("site", "plans", root)
    assert said.code == 1
    assert f"{node.plan().hash[:12]}  tiny" in said.text
    assert f"oncofed site forget {root} {beginning}" in said.text
    assert oncofed("site", "forget", root, beginning).code == 0
    assert not os.path.lexists(path)
    assert oncofed("site", "plans", root).code == 0


def test_several_are_told_together_and_those_that_wait_are_forgotten_together(node: InstalledNode) -> None:
    third, root = replace(node.plan(), study="third"), node.folder.root
    node.guard().offer_plan(node.offer(third))
    for plan in (other(node), node.plan()):
        DAMAGES["binary"](document(node, plan))
    said = oncofed("site", "plans", root)
    assert "the documents of 2 plans cannot be read" in said.text
    assert [plan.hash[:12] in said.text for plan in (node.plan(), other(node), third)] == [True] * 3
    assert oncofed("site", "forget", root, "--waiting").code == 0
    assert [path.stem for path in node.folder.plans.glob("*.json")] == [node.plan().hash]


def test_a_folder_in_a_documents_place_is_named(node: InstalledNode) -> None:
    DAMAGES["a folder"](document(node, other(node)))
    said = oncofed("site", "plans", node.folder.root).text
    assert "is a folder, not a file. Stop the node and whatever else may write there" in said
    assert oncofed("site", "decline", node.folder.root, other(node).hash).code == 0


@pytest.mark.parametrize("damage", [name for name in DAMAGED if name != "a folder"])
def test_a_document_that_is_offered_again_takes_the_place_of_a_damaged_one(
    damage: str, node: InstalledNode, tmp_path: Path
) -> None:
    guard = node.guard()
    for plan in (node.plan(), other(node)):
        DAMAGES[damage](document(node, plan))
        assert guard.plan_status(plan.hash) is PlanState.REFUSED
    assert guard.offer_plan(node.offer(other(node))) is PlanState.OFFERED
    (tmp_path / "plan.json").write_bytes(node.offer())
    assert oncofed("site", "plans", node.folder.root, "--add", tmp_path / "plan.json").code == 0
    assert guard.plan_status(node.plan().hash) is PlanState.APPROVED
    guard.contribute(node.request())
    assert document(node, node.plan()).read_bytes() == node.offer()


def test_an_approved_plan_is_declined_where_the_whole_folder_of_documents_is_lost(node: InstalledNode) -> None:
    for path in (*node.folder.plans.iterdir(),):
        path.unlink()
    node.folder.plans.rmdir()
    said = oncofed("site", "doctor", node.folder.root)
    assert f"oncofed site decline {node.folder.root} {node.plan().hash[:12]}" in said.text
    said = oncofed("site", "decline", node.folder.root, node.plan().hash[:12])
    assert said.code == 0, said.text
    assert frozen(node) == []


def test_a_study_whose_document_is_damaged_is_not_passed_over_for_another(node: InstalledNode) -> None:
    """What explains is chosen by a person, or is the only one with a model."""
    node.approve(other(node))
    for plan in (node.plan(), other(node)):
        (node.folder.models / f"{plan.hash}.safetensors").touch()
    DAMAGES["binary"](document(node, node.plan()))
    said = oncofed("site", "explain", node.folder.root, "--patient", "nobody")
    assert (said.code, "several studies have a model" in said.text) == (2, True)
    said = oncofed("site", "explain", node.folder.root, "--plan", node.plan().hash, "--patient", "nobody")
    assert (said.code, str(document(node, node.plan())) in said.text) == (1, True)


def test_a_plan_that_gives_way_while_it_is_looked_up_is_not_here_and_not_lost(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, hashes = other(node).hash, offers.Offers.hashes
    document(node, other(node)).unlink()
    before = [[gone], [gone, node.plan().hash]]
    monkeypatch.setattr(offers.Offers, "hashes", lambda self: before.pop() if before else hashes(self))
    here = offered_plans(node.folder)
    assert ([plan.document.plan.study for plan in here.read], here.unread) == (["tiny"], ())
    with pytest.raises(InvalidInput, match="no plan here has a hash that begins so"):
        find_plan(node.folder, gone)
    assert before == []


def test_a_damaged_audit_log_hides_no_plan(node: InstalledNode) -> None:
    DAMAGES["binary"](node.folder.audit_log)
    said = oncofed("site", "plans", node.folder.root)
    assert (said.code, said.text.count("is not answered: approve or decline it again")) == (0, 2), said.text


@pytest.mark.parametrize("damage", STAYING)
def test_whatever_lies_in_a_documents_place_others_are_offered_and_give_way(
    damage: str, node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "MOST_WAITING", 2)
    DAMAGES[damage](document(node, other(node)))
    for number in range(4):
        assert node.guard().offer_plan(node.offer(replace(node.plan(), study=f"{number}"))) is PlanState.OFFERED
