"""Does the doctor tell, here and without a patient, that a table is no longer the approved one?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.installed_node import PATIENTS, InstalledNode, installed_node, table

from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.patient_checks import patient_findings


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        yield node


def only(node: InstalledNode) -> Finding:
    (found,) = patient_findings(node.folder)
    assert str(PATIENTS) not in found.what
    assert "MRN" not in found.what
    return found


def test_nothing_is_running_before_an_approval_and_after_it_is_withdrawn(node: InstalledNode) -> None:
    assert only(node).what == "no study is running"
    node.approve()
    assert only(node).what.endswith("registry is as it was approved")
    node.approvals.decline(node.plan().hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert only(node).what == "no study is running"


def test_another_table_is_a_warning_until_it_is_approved_or_put_back(node: InstalledNode) -> None:
    node.approve()
    table(PATIENTS + 1).to_csv(node.table_path, index=False)
    found = only(node)
    assert found.verdict is Verdict.WARNING
    assert "holds others by now" in found.what
    assert "oncofed site approve" in found.remedy
    node.approve()
    assert only(node).verdict is Verdict.FINE
    node.table_path.unlink()
    found = only(node)
    assert (found.verdict, "cannot be read" in found.what) == (Verdict.WARNING, True)


def test_lost_patients_are_a_fault_with_a_remedy(node: InstalledNode) -> None:
    node.approvals.patients_file(node.approve()).unlink()
    found = only(node)
    assert found.verdict is Verdict.FAULT
    assert "oncofed site approve" in found.remedy


def test_a_study_that_has_its_model_is_over(node: InstalledNode) -> None:
    (node.folder.models / f"{node.approve().plan_hash}.safetensors").touch()
    assert only(node).what == "no study is running"
