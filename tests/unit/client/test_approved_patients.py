"""Does a guard see the patients that were approved, and no others?"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tests.doubles import request_for
from tests.hospital import NOON, SCHEMA, SITE, TABLE, plan_of_hospital, policy_for, written_csv

from oncofed.client import approved_patients as module
from oncofed.client.approved_patients import ApprovedPatients
from oncofed.client.guard import Guard
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog, verify_audit_log
from oncofed.client.sources import SourceKind, SourceSpec, read_source_cohort
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.survival.likelihood import patient_tensors

PLAN = plan_of_hospital()
PLANTED = "MRN-0047-11"


def approved(folder: Path, source: SourceSpec) -> ApprovedPatients:
    audit = AuditLog(folder / "audit.jsonl")
    policy, one = policy_for(source)
    approval = Approvals(folder / "approvals", folder / "bundles", audit, folder / "held_out.key").approve(
        PLAN,
        SCHEMA,
        site=SITE,
        policy=policy,
        source=one,
        ledger=MemoryLedger(one.site_policy.budget),
        approved_by="Dr. A",
        now=NOON,
    )
    return ApprovedPatients(approval, source, SCHEMA, audit)


def code_of(patients: ApprovedPatients) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        patients()
    return refusal.value.code


def reasons(folder: Path) -> list[str]:
    return [entry.code for entry in verify_audit_log(folder / "audit.jsonl").entries if entry.code]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry each time the source is read."""
    found: list[str] = []

    def read(source: SourceSpec, schema: object) -> object:
        found.append(source.name)
        return read_source_cohort(source, SCHEMA)

    monkeypatch.setattr(module, "read_source_cohort", read)
    return found


def test_the_patients_are_those_of_the_table(tmp_path: Path) -> None:
    source = written_csv(tmp_path)
    patients = approved(tmp_path, source)()
    expected = patient_tensors(read_source_cohort(source, SCHEMA))
    assert torch.equal(patients.x, expected.x)
    assert torch.equal(patients.at_risk, expected.at_risk)


def test_a_file_is_read_once_while_it_stays_as_it_is(tmp_path: Path, reads: list[str]) -> None:
    patients = approved(tmp_path, written_csv(tmp_path))
    assert reads == []  # nothing is read before somebody asks
    assert patients() is patients()
    assert len(reads) == 1


def test_a_file_written_again_with_the_same_patients_is_read_again_and_accepted(
    tmp_path: Path, reads: list[str]
) -> None:
    patients = approved(tmp_path, written_csv(tmp_path))
    patients()
    written_csv(tmp_path, TABLE.iloc[::-1])
    patients()
    assert len(reads) == 2
    assert reasons(tmp_path) == []


def test_a_file_that_changed_is_refused_until_it_is_approved_again(tmp_path: Path) -> None:
    patients = approved(tmp_path, written_csv(tmp_path))
    patients()
    changed = TABLE.copy()
    changed.loc[1, "crp"] = 0.2  # one cell of one patient
    source = written_csv(tmp_path, changed)
    assert [code_of(patients) for _ in range(2)] == [RefusalCode.NOT_READY] * 2
    assert reasons(tmp_path) == ["patients_changed"] * 2
    assert len(approved(tmp_path, source)()) == 7
    written_csv(tmp_path)
    assert len(patients()) == 7  # what was approved first is there again


def test_a_file_that_is_gone_or_broken_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = written_csv(tmp_path)
    patients = approved(tmp_path, source)
    assert source.path is not None
    source.path.write_text(source.path.read_text().replace("12.25", PLANTED))
    assert code_of(patients) is RefusalCode.NOT_READY
    source.path.unlink()
    assert code_of(patients) is RefusalCode.NOT_READY
    assert reasons(tmp_path) == ["patients_unreadable"] * 2
    assert PLANTED not in caplog.text
    assert PLANTED.encode() not in (tmp_path / "audit.jsonl").read_bytes()


def test_a_database_is_read_each_time_and_one_changed_cell_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "patients.db")) as connection:
        TABLE.to_sql("patients", connection, index=False)
    (tmp_path / "address").write_text(f"sqlite:///{tmp_path / 'patients.db'}")
    statement = "SELECT * FROM patients"
    source = SourceSpec("registry", SourceKind.SQL, statement=statement, url_file=tmp_path / "address")
    patients = approved(tmp_path, source)
    patients()
    patients()
    assert len(reads) == 2
    with closing(sqlite3.connect(tmp_path / "patients.db")) as connection:
        connection.execute("UPDATE patients SET crp = 0.2 WHERE patient = ?", (PLANTED,))
        connection.commit()
    assert code_of(patients) is RefusalCode.NOT_READY
    assert reasons(tmp_path) == ["patients_changed"]


def test_a_guard_refuses_changed_patients_without_a_charge(tmp_path: Path) -> None:
    patients = approved(tmp_path, written_csv(tmp_path))
    policy = policy_for(patients.source)[1].site_policy
    guard = Guard(
        site=SITE,
        plan=PLAN,
        policy=policy,
        patients=patients,
        ledger=MemoryLedger(policy.budget),
        noise=OperatingSystemNoise(),
    )
    written_csv(tmp_path, TABLE.iloc[1:])
    with pytest.raises(RequestRefused) as refusal:
        guard.contribute(request_for(PLAN))
    assert refusal.value.code is RefusalCode.NOT_READY
    assert list(guard.ledger.charges()) == []
    written_csv(tmp_path)
    assert guard.contribute(request_for(PLAN)).vector.shape == (PLAN.model.parameters,)
    assert len(guard.ledger.charges()) == 1
