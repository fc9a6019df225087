"""Does an approval look at everything, freeze what it saw, and stand in the way of anything else?"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.hardship import no_file_longer_than
from tests.hospital import NOON, SCHEMA, SITE, TABLE, plan_of_hospital, policy_for, written_csv

from oncofed.client.patients.sources import SourceSpec, read_source_cohort
from oncofed.client.records import approvals as approvals_module
from oncofed.client.records import decisions, followed_log, frozen_patients
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Decision, ToldDecisions
from oncofed.client.records.frozen_patients import read_frozen
from oncofed.client.records.plan_keys import PlanKeys
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
    return Approvals(
        folder / "approvals",
        folder / "bundles",
        audit,
        folder / "held_out.key",
        folder / "patients",
        PlanKeys(folder / "masking"),
    )


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
    data_source: str = "",
) -> str:
    """The cohort's hash in the approval."""
    policy, one = policy_for(
        source or written_csv(folder), smallest_cohort=smallest_cohort, largest_epsilon=largest_epsilon
    )
    name = data_source or one.name
    site_policy = replace(one.site_policy, allow_no_privacy=allow_no_privacy, data_source=name)
    one = replace(one, source=replace(one.source, name=name), site_policy=site_policy)
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
    cohort_hash = approve(tmp_path)
    approve(tmp_path, plan=other)
    bundles = tmp_path / "bundles"
    assert bundles.read_text().split() == ["cd" * 32, "ef" * 32]
    assert bundles.stat().st_mode & 0o777 == 0o644
    approvals(tmp_path).decline(PLAN.hash, declined_by="Dr. B", now=NOON)
    assert bundles.read_text().split() == ["ef" * 32]
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert (found.decision, found.cohort_hash) == (Decision.DECLINED, cohort_hash), "what was spent stays spent"
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


@pytest.mark.parametrize("declined", [False, True])
def test_a_copy_is_found_whatever_the_schema_and_whatever_else_it_holds(tmp_path: Path, declined: bool) -> None:
    """Two studies usually have two schemas. The mark tells exactly these patients, and names none."""
    table = TABLE.assign(**{SCHEMA.patient_id: [f"PLANTED-{row}" for row in range(len(TABLE))]})
    approve(tmp_path, source=written_csv(tmp_path, table))
    if declined:
        approvals(tmp_path).decline(PLAN.hash, declined_by="Dr. Example", now=NOON)
    schema = replace(SCHEMA, name="another")
    plan = replace(PLAN, study="other", schema_hash=schema.hash)
    for number, same in enumerate((table, table.iloc[::-1], table.assign(**{table.columns[-1]: 0}))):
        (tmp_path / str(number)).mkdir()
        copy = written_csv(tmp_path / str(number), same)
        with pytest.raises(PrivacyRefusal, match="approved as registry, by their identifiers") as refused:
            approve(tmp_path, plan=plan, schema=schema, source=copy, data_source="biobank")
        by_the_file = "the bytes of its file" in str(refused.value)
        assert by_the_file is (number == 0)
        assert ("begin their identifiers otherwise" in str(refused.value)) is not by_the_file
    others = written_csv(tmp_path / "0", table.iloc[1:])
    approve(tmp_path, plan=plan, schema=schema, source=others, data_source="biobank")
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".csv"]
    assert len(files) > 3
    assert not any(b"PLANTED" in content for content in files)
    marks = {found.patients_mark for found in approvals(tmp_path).all()}
    assert len(marks) == 2
    approve(tmp_path, source=written_csv(tmp_path, table))
    assert len(marks | {found.patients_mark for found in approvals(tmp_path).all()}) == 3, "each has a salt of its own"


@pytest.mark.parametrize("declined", [False, True])
def test_a_copy_is_found_though_its_identifiers_are_others(tmp_path: Path, declined: bool) -> None:
    """The schema, which a coordinator writes, says which column they are."""
    time = SCHEMA.endpoints[0].time_column
    table = many(30).assign(**{time: [1 + row for row in range(30)]})
    approve(tmp_path, source=written_csv(tmp_path, table))
    if declined:
        approvals(tmp_path).decline(PLAN.hash, declined_by="Dr. Example", now=NOON)
    schema = replace(SCHEMA, patient_id="case")
    plan = replace(PLAN, study="other", schema_hash=schema.hash)
    copied = table.rename(columns={SCHEMA.patient_id: "case"}).assign(case=[f"C-{row}" for row in range(len(table))])
    (tmp_path / "copy").mkdir()
    copy = written_csv(tmp_path / "copy", copied.iloc[::-1])
    with pytest.raises(PrivacyRefusal, match="by their outcomes") as refused:
        approve(tmp_path, plan=plan, schema=schema, source=copy, data_source="biobank")
    assert "begin their identifiers" not in str(refused.value), "which would not help: they are others already"
    others = written_csv(tmp_path / "copy", copied.assign(**{time: copied[time] * 0.99}))
    approve(tmp_path, plan=plan, schema=schema, source=others, data_source="biobank")


@pytest.mark.parametrize("declined", [False, True])
def test_a_copy_of_a_file_is_found_whatever_the_schema_names(tmp_path: Path, declined: bool) -> None:
    """A coordinator's schema that names other identifiers and another time, which many could have."""
    alike = [row % 9 + 1 for row in range(40)]
    table = many(40).assign(case=[f"C-{row}" for row in range(40)], pfs=alike)
    approve(tmp_path, source=written_csv(tmp_path, table))
    # Meanwhile somebody approves another plan for others, under the same name.
    later = replace(PLAN, study="later")
    approve(tmp_path, plan=later, source=written_csv(tmp_path, many(40).assign(patient=[f"L{n}" for n in range(40)])))
    if declined:
        approvals(tmp_path).decline(PLAN.hash, declined_by="Dr. Example", now=NOON)
    endpoint = replace(SCHEMA.endpoints[0], time_column="pfs")
    schema = replace(SCHEMA, patient_id="case", endpoints=(endpoint, *SCHEMA.endpoints[1:]))
    plan = replace(PLAN, study="other", schema_hash=schema.hash)
    (tmp_path / "copy").mkdir()
    copy = written_csv(tmp_path / "copy", table)
    with pytest.raises(PrivacyRefusal, match="by the bytes of its file, and would give") as refused:
        approve(tmp_path, plan=plan, schema=schema, source=copy, data_source="biobank")
    assert "other identifiers do not help" in str(refused.value)
    assert "same_patients_as" in str(refused.value)


def test_controls_who_were_matched_in_every_marker_are_other_people(tmp_path: Path) -> None:
    """Or whose markers are ranks: only people and what became of them are theirs alone."""
    time = SCHEMA.endpoints[0].time_column
    cases = many(40).assign(**{time: [1.5 * row + 1 for row in range(40)]}, age_years=[*range(20, 60)])
    approve(tmp_path, source=written_csv(tmp_path, cases))
    controls = cases.assign(patient=[f"O{row}" for row in range(40)])
    controls[time] *= 0.99
    (tmp_path / "controls").mkdir()
    plan = replace(PLAN, study="other")
    approve(tmp_path, plan=plan, source=written_csv(tmp_path / "controls", controls), data_source="biobank")


def test_two_marks_of_the_same_file_cannot_be_compared(tmp_path: Path) -> None:
    for study in ("one", "two"):
        approve(tmp_path, plan=replace(PLAN, study=study), source=written_csv(tmp_path, TABLE))
    first, second = (found.file_mark for found in approvals(tmp_path).all())
    assert first
    assert second
    assert first != second


def test_outcomes_that_many_could_have_are_nobodys_mark(tmp_path: Path) -> None:
    alike = many(90).assign(**{SCHEMA.endpoints[0].time_column: [1 + row % 9 for row in range(90)]})
    approve(tmp_path, source=written_csv(tmp_path, alike))
    assert [found.outcome_marks for found in approvals(tmp_path).all()] == [""]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"plan": replace(PLAN, study="other")}, "holds the very patients that were approved as biobank"),
        ({}, "was approved for the data source biobank"),
    ],
    ids=["another plan on a copy of the table", "the same plan on another source"],
)
def test_what_somebody_approves_while_the_table_is_read_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], words: str
) -> None:
    """Two terminals at once: one after the other the second would be refused."""
    read = read_source_cohort

    def meanwhile(*arguments: Any) -> Any:
        found = read(*arguments)
        monkeypatch.setattr(approvals_module, "read_source_cohort", read)
        approve(tmp_path, data_source="biobank", **other)
        return found

    monkeypatch.setattr(approvals_module, "read_source_cohort", meanwhile)
    with pytest.raises(PrivacyRefusal, match=words):
        approve(tmp_path)
    assert [found.data_source for found in approvals(tmp_path).all()] == ["biobank"]
    assert len(list((tmp_path / "patients").iterdir())) == 1


@pytest.mark.parametrize("declined_between", [False, True])
def test_a_plan_never_moves_to_another_source(tmp_path: Path, declined_between: bool) -> None:
    """Its requests would be answered twice, each time from another budget."""
    approve(tmp_path)
    if declined_between:
        approvals(tmp_path).decline(PLAN.hash, declined_by="Dr. B", now=NOON)
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


# Approved again, and what comes in between


def trap(home: Any, name: str, *, call: int = 1, before: bool) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Spring it around the so-many-th call of a function; what it gives takes the trap away."""

    def arm(spring: Callable[[], None]) -> Callable[[], None]:
        inner, calls = getattr(home, name), 0

        def trapped(*positional: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if before and calls == call:
                spring()
            found = inner(*positional, **named)
            if not before and calls == call:
                spring()
            return found

        setattr(home, name, trapped)
        return lambda: setattr(home, name, inner)

    return arm


FILES = (approvals_module, "replace_durably")
STEPS = {
    "before the patients are written": (trap(frozen_patients, "replace_durably", before=True), "old"),
    "after the patients are written": (trap(frozen_patients, "replace_durably", before=False), "old"),
    "before it is told": (trap(AuditLog, "append", before=True), "old"),
    "after it is told": (trap(AuditLog, "append", before=False), "new"),
    "before the decision waits": (trap(*FILES, call=1, before=True), "old"),
    "after the decision waits": (trap(*FILES, call=1, before=False), "old"),
    "before its bundle may run": (trap(Approvals, "_settle", before=True), "new"),
    "after its bundle may run": (trap(Approvals, "_settle", before=False), "new"),
    "before the old patients are removed": (trap(approvals_module, "thaw", before=True), "new"),
    "after the old patients are removed": (trap(approvals_module, "thaw", before=False), "new"),
}
EACH_STEP = pytest.mark.parametrize(("arm", "in_force"), STEPS.values(), ids=STEPS)


def decision_in_force(folder: Path, *, cohorts: dict[str, str], expected: str) -> None:
    """It is the expected one, and the patients that it names can be read."""
    here = approvals(folder)
    found = here.find(PLAN.hash)
    assert found is not None
    assert found.cohort_hash == cohorts[expected]
    trained_on, _ = read_frozen(here.patients_file(found), sha256=found.patients_sha256)
    assert len(trained_on.x) == {"old": len(TABLE), "new": len(TABLE) - 1}[expected]


def cohorts_of(folder: Path) -> dict[str, str]:
    """Approves the old one."""
    return {
        "new": read_source_cohort(written_csv(folder, TABLE.iloc[:6]), SCHEMA).content_hash,
        "old": approve(folder, source=written_csv(folder)),
    }


@EACH_STEP
def test_a_kill_at_any_step_of_approving_again_leaves_a_decision_with_its_own_patients(
    arm: Callable[[Callable[[], None]], object], in_force: str, tmp_path: Path
) -> None:
    cohorts, source = cohorts_of(tmp_path), written_csv(tmp_path, TABLE.iloc[:6])
    child = os.fork()
    if child == 0:
        try:
            arm(lambda: os.kill(os.getpid(), signal.SIGKILL))
            approve(tmp_path, source=source)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "the trap was sprung"
    decision_in_force(tmp_path, cohorts=cohorts, expected=in_force)
    (tmp_path / "patients" / f"{PLAN.hash}.half.unfinished").touch()
    approvals(tmp_path).tidy()
    assert len(os.listdir(tmp_path / "patients")) == 1
    decision_in_force(tmp_path, cohorts=cohorts, expected=in_force)
    approve(tmp_path, source=source)
    decision_in_force(tmp_path, cohorts=cohorts, expected="new")
    assert len(os.listdir(tmp_path / "patients")) == 1


@EACH_STEP
def test_a_failure_at_any_step_does_so_too_and_leaves_nobody_whom_no_decision_names(
    arm: Callable[[Callable[[], None]], Callable[[], None]], in_force: str, tmp_path: Path
) -> None:
    cohorts, source = cohorts_of(tmp_path), written_csv(tmp_path, TABLE.iloc[:6])

    def fail() -> None:
        raise RecordUnwritable("the disk fails")

    disarm = arm(fail)
    try:
        with pytest.raises(RecordUnwritable):
            approve(tmp_path, source=source)
    finally:
        disarm()
    decision_in_force(tmp_path, cohorts=cohorts, expected=in_force)
    if arm is not STEPS["before the old patients are removed"][0]:
        assert len(os.listdir(tmp_path / "patients")) == 1


def test_approving_the_same_patients_again_without_a_log_takes_nothing_back(tmp_path: Path) -> None:
    """Both approvals name one file, and the one that fails must not remove it."""
    cohort_hash = approve(tmp_path)
    (tmp_path / "audit.jsonl").rename(tmp_path / "elsewhere")
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(RecordUnwritable):
        approve(tmp_path)
    (tmp_path / "audit.jsonl").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "audit.jsonl")
    decision_in_force(tmp_path, cohorts={"old": cohort_hash}, expected="old")


def test_of_a_damaged_decision_nothing_is_removed(tmp_path: Path) -> None:
    """Of the others what no decision names."""
    approve(tmp_path)
    before = os.listdir(tmp_path / "patients")
    (tmp_path / "patients" / f"{'0' * 64}.{'0' * 64}.safetensors").touch()
    path = tmp_path / "approvals" / f"{PLAN.hash}.json"
    path.write_bytes(path.read_bytes()[:50])
    approvals(tmp_path).tidy()
    assert os.listdir(tmp_path / "patients") == before


def test_who_tidies_waits_for_who_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that starts must not take away the patients of an approval that is just being written."""
    approve(tmp_path)
    inner, tidying = AuditLog.append, threading.Thread(target=approvals(tmp_path).tidy)

    def meanwhile(log: AuditLog, *positional: Any, **named: Any) -> None:
        tidying.start()
        tidying.join(0.3)
        assert tidying.is_alive(), "it waits"
        inner(log, *positional, **named)

    monkeypatch.setattr(AuditLog, "append", meanwhile)
    cohort_hash = approve(tmp_path, source=written_csv(tmp_path, TABLE.iloc[:6]))
    tidying.join()
    decision_in_force(tmp_path, cohorts={"new": cohort_hash}, expected="new")


# What the audit log still knows


def decline(folder: Path) -> None:
    approvals(folder).decline(PLAN.hash, declined_by="Dr. B", now=NOON)


def decision_file(folder: Path) -> Path:
    return folder / "approvals" / f"{PLAN.hash}.json"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"[]")], ids=["removed", "damaged"])
@pytest.mark.parametrize("declined_after", [False, True])
def test_a_decision_whose_file_is_gone_is_not_in_force_and_keeps_its_source(
    tmp_path: Path, damage: Callable[[Path], object], declined_after: bool
) -> None:
    approve(tmp_path)
    damage(decision_file(tmp_path))
    with pytest.raises(RecordDamaged):
        approvals(tmp_path).find(PLAN.hash)
    if declined_after:
        decline(tmp_path)
    with pytest.raises(PrivacyRefusal, match="approved for the data source registry"):
        approve(tmp_path, source=replace(written_csv(tmp_path), name="another"))
    approve(tmp_path)
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert found.decision is Decision.APPROVED


def test_a_split_is_remembered_without_its_file(tmp_path: Path) -> None:
    plan = replace(PLAN, held_out_fraction=0.2, summaries=())
    approve(tmp_path, plan=plan)
    (tmp_path / "approvals" / f"{plan.hash}.json").unlink()
    (tmp_path / "held_out.key").unlink()
    with pytest.raises(PrivacyRefusal, match="other patients aside"):
        approve(tmp_path, plan=plan)


def kept(folder: Path) -> Callable[[], None]:
    """A copy of approvals and patients as they are now; puts both back together."""
    copies = [(folder / name, folder / f"copy of {name}") for name in ("approvals", "patients")]
    for true, copy in copies:
        shutil.copytree(true, copy)

    def put_back() -> None:
        for true, copy in copies:
            shutil.rmtree(true)
            shutil.copytree(copy, true)

    return put_back


def test_an_older_copy_of_approvals_and_patients_revives_nothing(tmp_path: Path) -> None:
    """Neither a plan that was declined nor the patients of an approval before."""
    approve(tmp_path)
    first = kept(tmp_path)
    decline(tmp_path)
    first()
    here = approvals(tmp_path)
    found = here.find(PLAN.hash)
    assert found is not None
    assert (found.decision, found.data_source) == (Decision.DECLINED, "registry")
    (told,) = here.disagreements()
    assert "older copy" in told
    here.tidy()
    assert os.listdir(tmp_path / "patients") == []
    assert (tmp_path / "bundles").read_text() == ""
    approve(tmp_path, source=written_csv(tmp_path, TABLE.iloc[:6]))
    assert not here.disagreements()
    first()
    with pytest.raises(RecordDamaged, match="older than the last decision"):
        here.find(PLAN.hash)
    assert len(here.disagreements()) == 1
    approve(tmp_path)
    assert not here.disagreements()


def test_a_decision_of_which_no_log_tells_is_none(tmp_path: Path) -> None:
    approve(tmp_path)
    (tmp_path / "audit.jsonl").unlink()
    with pytest.raises(RecordDamaged):
        approvals(tmp_path).find(PLAN.hash)
    with pytest.raises(RecordDamaged):
        approvals(tmp_path).find(PLAN.hash)


def as_an_earlier_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An approval whose file and line have no word."""
    with monkeypatch.context() as earlier:
        earlier.setattr(decisions.Approval, "facts", {})
        cohort_hash = approve(folder)
    fields = json.loads(decision_file(folder).read_bytes())
    decision_file(folder).write_text(json.dumps({key: text for key, text in fields.items() if key != "told_as"}))
    return cohort_hash


def test_a_decision_of_an_earlier_version_counts_until_its_file_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort_hash = as_an_earlier_version(tmp_path, monkeypatch)
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert (found.cohort_hash, found.data_source) == (cohort_hash, "registry")
    older = kept(tmp_path)
    decline(tmp_path)
    older()
    found = approvals(tmp_path).find(PLAN.hash)
    assert found is not None
    assert (found.decision, found.data_source) == (Decision.DECLINED, "registry")


@pytest.mark.parametrize("act", [approve, decline])
def test_of_an_earlier_version_nobody_guesses_what_a_lost_file_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object]
) -> None:
    as_an_earlier_version(tmp_path, monkeypatch)
    decision_file(tmp_path).unlink()
    with pytest.raises(RecordDamaged, match="for which data source"):
        act(tmp_path)


def test_what_is_read_on_is_what_is_read_anew(tmp_path: Path) -> None:
    """The log grows, is closed, and ends in a line cut short."""

    def cut_short() -> None:
        with (tmp_path / "audit.jsonl").open("ab") as file:
            file.write(b'{"cut')

    told, log = ToldDecisions(tmp_path / "audit.jsonl"), AuditLog(tmp_path / "audit.jsonl", clock=lambda: NOON)
    steps: list[Callable[[], object]] = [
        lambda: approve(tmp_path),
        lambda: decline(tmp_path),
        lambda: log.close(by="Dr. B", vouched=lambda _: b""),
        lambda: approve(tmp_path),
        lambda: log.append("guard_started"),
        cut_short,
        lambda: decline(tmp_path),
        lambda: approve(tmp_path),
    ]
    for step in steps:
        step()
        assert told.by_plan() == ToldDecisions(tmp_path / "audit.jsonl").by_plan()
    (last,) = told.by_plan().values()
    assert (last.decision, last.data_source) == (Decision.APPROVED, "registry")
    (tmp_path / "audit.jsonl").write_bytes((tmp_path / "audit.jsonl").read_bytes()[:-200])
    log.append("guard_started")
    assert told.by_plan() == ToldDecisions(tmp_path / "audit.jsonl").by_plan()


def test_a_torn_end_of_the_log_has_nobody_read_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a disk is full it stays, and each question would have the guard verify years of entries."""
    approve(tmp_path)
    told = ToldDecisions(tmp_path / "audit.jsonl")
    before = told.by_plan()
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b'{"cut')
    monkeypatch.setattr(followed_log, "verify_audit_log", lambda path: pytest.fail("it was read anew"))
    assert told.by_plan() == before


def test_what_a_person_laid_beside_frozen_patients_stays_and_is_in_nobodys_way(tmp_path: Path) -> None:
    approve(tmp_path)
    patients = tmp_path / "patients"
    (patients / "registry.csv").write_text("a table")
    (patients / "old").mkdir()
    decline(tmp_path)
    assert sorted(os.listdir(patients)) == ["old", "registry.csv"]
