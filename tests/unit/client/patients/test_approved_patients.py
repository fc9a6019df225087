"""Does a guard see the patients that were approved, as they were then, and nothing of the table since?"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node, table
from tests.summaries import evaluation_of

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients import approved_patients as module
from oncofed.client.patients.approved_patients import ApprovedPatients
from oncofed.client.patients.held_out_split import HeldOutSplit
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import bounded_sum
from oncofed.client.patients.training import ascent_sum
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.likelihood import PatientTensors, patient_tensors
from oncofed.survival.network import parameter_count


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        yield here


def cohort_of(node: InstalledNode) -> Cohort:
    source = read_policy(node.folder.policy).source(SOURCE).source
    return read_source_cohort(source, parse_schema(node.document().schema_toml, where="schema"))


def approved(node: InstalledNode, plan: StudyPlan | None = None) -> ApprovedPatients:
    approval = node.approve(plan)
    return ApprovedPatients(node.approvals.patients_file(approval), approval.patients_sha256)


def same(found: PatientTensors, expected: PatientTensors) -> bool:
    parts = ("x", "events", "at_risk", "usable")
    return all(torch.equal(getattr(found, part), getattr(expected, part)) for part in parts)


def test_the_patients_are_those_of_the_table(node: InstalledNode) -> None:
    patients = approved(node)
    assert same(patients.trained_on(), patient_tensors(cohort_of(node)))
    assert len(patients.held_out()) == 0


def test_who_is_set_aside_was_decided_at_the_approval(node: InstalledNode) -> None:
    measured = evaluation_of(node.plan(), noise_multiplier=20.0)
    privacy = replace(node.plan().privacy, epsilon=1.5)
    plan = replace(node.plan(), privacy=privacy, summaries=(measured,), held_out_fraction=0.3)
    patients, cohort = approved(node, plan), cohort_of(node)
    split = HeldOutSplit(node.folder.held_out_secret.read_bytes(), SOURCE, 0.3)
    node.folder.held_out_secret.unlink()  # it is needed no more
    rows = split.held_out(cohort.patient_ids)
    assert same(patients.held_out(), patient_tensors(cohort.subset(np.flatnonzero(rows))))
    assert same(patients.trained_on(), patient_tensors(cohort.subset(np.flatnonzero(~rows))))


def test_all_that_is_made_of_patients_once_is_made_when_they_are_read(node: InstalledNode) -> None:
    """What a first answer made of them, and later ones found, would add to the time of that answer alone."""
    measured = evaluation_of(node.plan(), noise_multiplier=20.0)
    privacy = replace(node.plan().privacy, epsilon=1.5)
    plan = replace(node.plan(), privacy=privacy, summaries=(measured,), held_out_fraction=0.3)
    patients = approved(node, plan)
    groups = (patients.trained_on(), patients.held_out())
    before = [set(vars(group)) for group in groups]
    weights = np.zeros(parameter_count(plan.model))
    ascent_sum(plan, weights, groups[0])
    bounded_sum(plan, measured, weights, groups[1])
    assert [set(vars(group)) for group in groups] == before
    assert all("fed" in names for names in before)


def change(node: InstalledNode) -> None:
    changed = table()
    changed.loc[0, "age"] = 99.5
    changed.to_csv(node.table_path, index=False)


BECOMES: dict[str, Callable[[InstalledNode], object]] = {
    "changed": change,
    "longer": lambda node: table(1238).to_csv(node.table_path, index=False),
    "shorter than the policy allows": lambda node: table(49).to_csv(node.table_path, index=False),
    "of another form": lambda node: node.table_path.write_text("nonsense"),
    "away": lambda node: node.table_path.unlink(),
}


@pytest.mark.parametrize("become", BECOMES.values(), ids=BECOMES)
def test_whatever_becomes_of_the_table_answers_are_made_from_the_approved_patients(
    node: InstalledNode, become: Callable[[InstalledNode], object]
) -> None:
    expected = patient_tensors(cohort_of(node))
    patients = approved(node)
    become(node)
    assert same(patients.trained_on(), expected)
    node.guard().offer_plan(node.offer())
    guard = node.guard()
    guard.contribute(node.request())
    assert [event for event, _ in node.events()] == ["approved", "plan_kept", "to_be_charged"]


def test_approved_again_the_table_as_it_is_then_takes_part(node: InstalledNode) -> None:
    first = approved(node)
    change(node)
    again = approved(node)
    assert same(again.trained_on(), patient_tensors(cohort_of(node)))
    with pytest.raises(RequestRefused):  # of the first approval there is nothing left
        first.trained_on()


def test_the_file_is_read_once_and_says_when(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    approval, readings = node.approve(), list[str]()

    @contextmanager
    def reading() -> Iterator[None]:
        readings.append("begins")
        yield
        readings.append("ends")

    file = node.approvals.patients_file(approval)
    patients = ApprovedPatients(file, approval.patients_sha256, reading)
    assert readings == []  # nothing is read before somebody asks
    assert patients.trained_on() is patients.trained_on()
    patients.held_out()
    assert readings == ["begins", "ends"]


def test_the_file_is_the_guards_alone_and_names_nobody(node: InstalledNode) -> None:
    approval = node.approve()
    file = node.approvals.patients_file(approval)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    content = file.read_bytes()
    assert set(safetensors.numpy.load(content)) == {
        f"{group}.{part}" for group in ("trained_on", "held_out") for part in ("x", "events", "at_risk")
    }
    for record in table()["record_number"]:
        assert record.encode() not in content


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "lost": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "a folder": folder_in_its_place,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_not_ready_free_and_told_here_with_its_remedy(
    node: InstalledNode, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    guard = node.guard()
    guard.offer_plan(node.offer())
    file = node.approvals.patients_file(node.approve())
    damage(file)
    with pytest.raises(RequestRefused) as refusal:
        guard.contribute(node.request())
    assert refusal.value.code is RefusalCode.NOT_READY
    assert node.charges() == ()
    assert str(file) in caplog.text
    assert "Approve the plan again" in caplog.text
    if not file.is_dir():
        node.approve()
        guard.contribute(node.request())


def test_whatever_goes_wrong_in_reading_is_one_code(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Large hospitals may have too little memory where small ones have enough."""
    patients = approved(node)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError(f"1237 patients of {SITE}")

    monkeypatch.setattr(module, "read_frozen", fail)
    with pytest.raises(RequestRefused) as refusal:
        patients.trained_on()
    assert refusal.value.code is RefusalCode.NOT_READY
    assert refusal.value.__context__ is None
    assert "MemoryError" in caplog.text
    assert "1237" not in caplog.text


def test_declining_removes_them(node: InstalledNode) -> None:
    plan = node.plan()
    file = node.approvals.patients_file(node.approve(plan))
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_bytes(b"what a kill left")
    node.approvals.decline(plan.hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert list(file.parent.iterdir()) == []
    node.approvals.decline(
        plan.hash, declined_by="Dr. Example", now=datetime.now(UTC)
    )  # nothing is there, and that is fine


def test_an_approval_of_an_earlier_version_waits_to_be_given_again(node: InstalledNode) -> None:
    node.guard().offer_plan(node.offer())
    approval = node.approve()
    path = node.folder.approvals / f"{approval.plan_hash}.json"
    path.write_text(path.read_text().replace(approval.patients_sha256, ""))
    with pytest.raises(RequestRefused) as refusal:
        node.guard().contribute(node.request())
    assert refusal.value.code is RefusalCode.NOT_READY
