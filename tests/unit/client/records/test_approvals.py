"""Does an approval look at everything, freeze what it saw, and stand in the way of anything else?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.hardship import no_file_longer_than
from tests.hospital import NOON, SCHEMA, SITE, TABLE, plan_of_hospital, policy_for, written_csv

from oncofed.client.records.approvals import Approvals, Decision
from oncofed.client.records.audit_log import AuditLog, verify_audit_log
from oncofed.client.sources import SourceSpec, read_source_cohort
from oncofed.cohort.schema import StudySchema
from oncofed.errors import InvalidInput, PrivacyRefusal, RecordDamaged, RecordUnwritable
from oncofed.privacy.ledger import Charge, Ledger, MemoryLedger
from oncofed.privacy.policy import without_privacy
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import StudyPlan

PLAN = plan_of_hospital()
EVENT = release_of_round(PLAN).event


def approvals(folder: Path) -> Approvals:
    audit = AuditLog(folder / "audit.jsonl", clock=lambda: NOON)
    return Approvals(folder / "approvals", folder / "bundles", audit, folder / "held_out.key", folder / "patients")


def approve(
    folder: Path,
    *,
    plan: StudyPlan = PLAN,
    schema: StudySchema = SCHEMA,
    site: str = SITE,
    source: SourceSpec | None = None,
    smallest_cohort: int = 5,
    largest_epsilon: float = 1.0,
    ledger: Ledger | None = None,
    allow_no_privacy: bool = False,
) -> str:
    """The cohort's hash in the approval."""
    policy, one = policy_for(
        source or written_csv(folder), smallest_cohort=smallest_cohort, largest_epsilon=largest_epsilon
    )
    one = replace(one, site_policy=replace(one.site_policy, allow_no_privacy=allow_no_privacy))
    return (
        approvals(folder)
        .approve(
            plan,
            schema,
            site=site,
            policy=policy,
            source=one,
            ledger=ledger or MemoryLedger(one.site_policy.budget),
            approved_by="Dr. A. Weiß",
            now=NOON,
        )
        .cohort_hash
    )


def events(folder: Path) -> list[str]:
    return [entry.event for entry in verify_audit_log(folder / "audit.jsonl").entries]


def test_an_approval_freezes_the_cohort_and_says_who_and_when(tmp_path: Path) -> None:
    cohort_hash = approve(tmp_path)
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert found.decision is Decision.APPROVED
    assert found.cohort_hash == cohort_hash == read_source_cohort(written_csv(tmp_path), SCHEMA).content_hash
    assert (found.data_source, found.decided_by, found.decided_at) == (
        "registry",
        "Dr. A. Weiß",
        "2026-11-23T12:00:00+00:00",
    )
    assert approvals(tmp_path).all() == (found,)
    (entry,) = verify_audit_log(tmp_path / "audit.jsonl").entries
    assert (entry.event, entry.plan_hash, entry.by) == ("approved", PLAN.hash, "Dr. A. Weiß")
    assert (tmp_path / "approvals").stat().st_mode & 0o777 == 0o700


def test_its_bundle_may_run_until_the_plan_is_declined(tmp_path: Path) -> None:
    other = replace(PLAN, study="other", bundle_sha256="ef" * 32)
    approve(tmp_path)
    approve(tmp_path, plan=other)
    bundles = tmp_path / "bundles"
    assert bundles.read_text().split() == ["cd" * 32, "ef" * 32]
    assert bundles.stat().st_mode & 0o777 == 0o644
    approvals(tmp_path).decline(PLAN, declined_by="Dr. B", now=NOON)
    assert bundles.read_text().split() == ["ef" * 32]
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert (found.decision, found.cohort_hash) == (Decision.DECLINED, "")
    assert events(tmp_path) == ["approved", "approved", "declined"]


def test_a_plan_that_nobody_decided_is_not_found(tmp_path: Path) -> None:
    assert approvals(tmp_path).find(PLAN.hash) is None
    assert approvals(tmp_path).all() == ()


@pytest.mark.parametrize("plan_hash", ["", "../audit", "a" * 63, "A" * 64, f"{'a' * 64}\n", "a" * 60 + "/../"])
def test_a_hash_from_outside_is_no_path(tmp_path: Path, plan_hash: str) -> None:
    (tmp_path / "approvals").mkdir()
    for reachable in ("audit.json", "approvals/.json", f"approvals/{'A' * 64}.json"):
        (tmp_path / reachable).write_text("{}")
    assert approvals(tmp_path).find(plan_hash) is None


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "weaker noise": ({"plan": replace(PLAN, privacy=replace(PLAN.privacy, noise_multiplier=4.0))}, "too small"),
    "more rounds": ({"plan": replace(PLAN, training=replace(PLAN.training, rounds=90))}, "need epsilon"),
    "a reserve": ({"plan": replace(PLAN, privacy=replace(PLAN.privacy, reserve_rounds=20))}, "need epsilon"),
    "a large model": (
        {"plan": replace(PLAN, model=replace(PLAN.model, hidden_units=(400, 400)))},
        "parameters, above 100000",
    ),
    "another schema": ({"schema": replace(SCHEMA, name="skin")}, "schema is not the one"),
    "other inputs": ({"plan": replace(PLAN, model=replace(PLAN.model, columns=3))}, "number of inputs"),
    "other endpoints": ({"plan": replace(PLAN, model=replace(PLAN.model, endpoints=("x",)))}, "other endpoints"),
    "another hospital's": ({"site": "Köln"}, "not in its roster"),
    "few patients": ({"smallest_cohort": 8}, "fewer patients"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_policy_forbids_is_not_approved(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(PrivacyRefusal, match=words) as refusal:
        approve(tmp_path, **change)  # type: ignore[arg-type]  # the table above has the types
    assert not re.search(r"\b7\b", str(refusal.value))  # the exact number of patients is told to nobody
    assert approvals(tmp_path).all() == ()
    assert not (tmp_path / "bundles").exists()


def test_seven_patients_are_enough_for_seven(tmp_path: Path) -> None:
    approve(tmp_path, smallest_cohort=7)


def many(patients: int) -> pd.DataFrame:
    found = pd.concat([TABLE] * (patients // len(TABLE) + 1), ignore_index=True).iloc[:patients]
    return found.assign(patient=[f"{row:05d}" for row in range(patients)])


def test_more_patients_than_the_plans_delta_suits_are_not_approved(tmp_path: Path) -> None:
    """By a person, once; at a request it would tell the coordinator how many there are."""
    approve(tmp_path, source=written_csv(tmp_path, many(10_000)))  # delta 1e-5
    with pytest.raises(
        PrivacyRefusal, match=r"more than the 10,000 patients .* a plan with a smaller delta"
    ) as refusal:
        approve(tmp_path, source=written_csv(tmp_path, many(10_001)))
    assert "10001" not in str(refusal.value).replace(",", "")
    unprotected = replace(PLAN, privacy=without_privacy(l2_norm_bound=None))
    approve(tmp_path, plan=unprotected, source=written_csv(tmp_path, many(10_001)), allow_no_privacy=True)


def test_what_was_spent_before_counts(tmp_path: Path) -> None:
    """Sixty rounds fit by themselves, and not beside ten of another study."""
    budget = policy_for(written_csv(tmp_path))[1].site_policy.budget
    approve(tmp_path, ledger=MemoryLedger(budget))
    spent = MemoryLedger(budget, [Charge(f"{'0' * 64}/Bonn/{number}/0", "h", EVENT) for number in range(10)])
    with pytest.raises(PrivacyRefusal, match="with what registry has spent already"):
        approve(tmp_path, plan=replace(PLAN, study="second"), ledger=spent)


def test_approved_again_half_way_only_the_rest_is_to_come(tmp_path: Path) -> None:
    budget = policy_for(written_csv(tmp_path))[1].site_policy.budget
    approve(tmp_path)
    half = MemoryLedger(budget, [Charge(f"{PLAN.hash}/Bonn/{number}/0", "h", EVENT) for number in range(30)])
    approve(tmp_path, ledger=half)


def test_a_ledger_of_another_budget_is_refused(tmp_path: Path) -> None:
    rich = replace(policy_for(written_csv(tmp_path))[1].site_policy.budget, largest_epsilon=100.0)
    with pytest.raises(PrivacyRefusal, match="another budget"):
        approve(tmp_path, ledger=MemoryLedger(rich))


def test_a_table_with_faults_is_not_approved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="death"):
        approve(tmp_path, source=written_csv(tmp_path, TABLE.drop(columns="death")))
    assert approvals(tmp_path).all() == ()


def test_approved_again_after_the_table_changed(tmp_path: Path) -> None:
    first = approve(tmp_path)
    second = approve(tmp_path, source=written_csv(tmp_path, TABLE.iloc[:6]))
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert found.cohort_hash == second != first
    assert events(tmp_path) == ["approved", "approved"]


@pytest.mark.parametrize("declined_between", [False, True])
def test_a_plan_never_moves_to_another_source(tmp_path: Path, declined_between: bool) -> None:
    """Its requests would be answered twice, each time from another budget."""
    approve(tmp_path)
    if declined_between:
        approvals(tmp_path).decline(PLAN, declined_by="Dr. B", now=NOON)
    with pytest.raises(PrivacyRefusal, match="approved for the data source registry"):
        approve(tmp_path, source=replace(written_csv(tmp_path), name="another"))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "torn": lambda content: content[:50],
    "empty": lambda _: b"",
    "another decision": lambda content: content.replace(b"approved", b"accepted"),
    "another plan": lambda content: content.replace(PLAN.hash.encode(), b"0" * 64),
    "one field more": lambda content: content.replace(b"{", b'{"x": "y",', 1),
    "a number": lambda content: json.dumps({**json.loads(content), "cohort_hash": 7}).encode(),
    "a list": lambda _: b"[]",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_decision_is_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    approve(tmp_path)
    path = tmp_path / "approvals" / f"{PLAN.hash}.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecordDamaged, match="approve or decline again"):
        approvals(tmp_path).find(PLAN.hash)


def test_on_a_full_disk_nothing_is_approved(tmp_path: Path) -> None:
    source = written_csv(tmp_path)
    with no_file_longer_than(100), pytest.raises(RecordUnwritable):
        approve(tmp_path, source=replace(source))
    assert approvals(tmp_path).all() == ()
