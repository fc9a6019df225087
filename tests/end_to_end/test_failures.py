"""What is lost when a part of a real consortium is killed, absent, full, slow or lying? The rows of docs/failures.md.

A coordinator and four hospitals with real guards and ledgers, under the product's own supervisors; parts are killed by
their process ids. After each row `Supervised.sound` holds: no round counts twice, nothing was released or counted
without an earlier charge, at most one charge a hospital was wasted. ONCOFED_FAILURES names a file that gets a line of
JSON for each row; ONCOFED_ABSENCE_SECONDS says how long the absent hospital is away (180 in the table).
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.failing_guard import trouble_file
from tests.end_to_end.flower_processes import SITES, until
from tests.end_to_end.supervised_consortium import TROUBLED, Study, Supervised, supervised

from oncofed.client.install.findings import Verdict
from oncofed.client.install.patient_checks import patient_findings
from oncofed.client.records.audit_entries import FORGOTTEN, verify_audit_log

pytestmark = pytest.mark.slow

ABSENCE_SECONDS = float(os.environ.get("ONCOFED_ABSENCE_SECONDS", "25"))
HONEST = SITES[0]
COORDINATOR = "coordinator"


@pytest.fixture(scope="module")
def four() -> Iterator[Supervised]:
    with supervised() as one:
        yield one


def begun(four: Supervised, name: str, **settings: Any) -> Study:
    """A study whose first round is over."""
    study = four.study(name, **settings)
    four.begin(study)
    study.wait_for_round(1)
    return study


def completed(four: Supervised, study: Study) -> None:
    status = four.finish(study)
    assert status.outcome == "completed", (status, study.lines("events.jsonl"))


def note(four: Supervised, study: Study, *, since: float) -> None:
    """One row of the table, as it was seen."""
    path = os.environ.get("ONCOFED_FAILURES")
    if not path:
        return
    row = {
        "row": study.document.plan.study,
        "seconds": round(time.monotonic() - since, 1),
        "wasted": {site: four.wasted(site, study) for site in four.nodes},
        "rounds": [(line["round"], line["attempt"], line["seconds"], line["rejected"]) for line in study.rounds],
        "events": study.lines("events.jsonl"),
    }
    with Path(path).open("a") as file:
        file.write(json.dumps(row) + "\n")


def wait_for_trouble(four: Supervised) -> None:
    until(lambda: not trouble_file(four.nodes[TROUBLED]).exists(), seconds=120, what="the guard is in its trouble")


# A hospital's processes


def test_an_idle_guard_is_killed(four: Supervised) -> None:
    study, began = begun(four, "guard_idle", rounds=3), time.monotonic()
    four.kill(HONEST, "guard")
    completed(four, study)
    four.sound(study, wasted=1)
    note(four, study, since=began)


def test_a_guard_is_killed_between_charge_and_answer(four: Supervised) -> None:
    """The answer is lost, the charge is not given back, and a new attempt costs everybody one of the reserve."""
    study, began = begun(four, "guard_charged"), time.monotonic()
    four.trouble("die_after_charge")
    completed(four, study)
    assert f"{TROUBLED}: refused: request_conflict (it was charged for this round before" in study.told("waiting")
    assert sorted(line["attempt"] for line in study.rounds) == [0, 0, 1]
    four.sound(study, wasted=1)
    assert four.wasted(TROUBLED, study) == 1, "the kill hit where it was meant to"
    note(four, study, since=began)


def test_a_relay_is_killed_while_the_guard_computes(four: Supervised) -> None:
    study = begun(four, "relay_at_work", timeout=150)
    four.trouble("sleep 4")
    wait_for_trouble(four)
    began = time.monotonic()
    (relay,) = four.relay_processes(TROUBLED)
    os.kill(relay, signal.SIGKILL)
    completed(four, study)
    assert TROUBLED in study.told("waiting")
    four.sound(study)
    note(four, study, since=began)


def test_a_hospitals_superexec_is_killed(four: Supervised) -> None:
    study, began = begun(four, "relay_superexec"), time.monotonic()
    four.kill(HONEST, "relay")
    completed(four, study)
    four.sound(study)
    note(four, study, since=began)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "as_after_a_401"])
def test_a_supernode_ends(number: signal.Signals, four: Supervised) -> None:
    """SIGINT is what Flower's client sends itself when the coordinator answers 401."""
    study, began = begun(four, f"supernode_{number.name.lower()}"), time.monotonic()
    before = four.pid(HONEST, "node")
    os.kill(before, number)
    completed(four, study)
    assert four.pid(HONEST, "node") != before
    four.sound(study)
    note(four, study, since=began)


# The coordinator's processes


def test_the_serverapp_is_killed_and_resume_does_not_wait_for_flower_to_notice(four: Supervised) -> None:
    study, began = begun(four, "serverapp", rounds=3), time.monotonic()
    (server_app,) = four.server_app()
    os.kill(server_app, signal.SIGKILL)
    status = four.status(study)
    assert status is not None
    assert not status.finished, "Flower does not know yet"
    said = four.resume(study)
    assert "interrupted: cause the run before this one was killed" in said
    assert "finished: round 3" in said
    four.sound(study)
    note(four, study, since=began)


def test_the_coordinators_superexec_is_killed_and_the_serverapp_with_it(four: Supervised) -> None:
    study, began = begun(four, "superexec", rounds=3), time.monotonic()
    (server_app,) = four.server_app()
    four.kill(COORDINATOR, "superexec")
    until(lambda: not Path(f"/proc/{server_app}").exists(), seconds=90, what="the ServerApp ends")
    assert "finished: round 3" in four.resume(study)
    four.sound(study)
    note(four, study, since=began)


def test_the_superlink_is_killed(four: Supervised) -> None:
    study, began = begun(four, "superlink", rounds=3), time.monotonic()
    four.kill(COORDINATOR, "superlink")
    completed(four, study)
    four.sound(study)
    note(four, study, since=began)


def test_coordinator_and_hospitals_are_stopped_together(four: Supervised) -> None:
    study, began = begun(four, "all_together", rounds=3), time.monotonic()
    for side in (COORDINATOR, *SITES):
        four.stop(side)
    four.start()
    assert "finished: round 3" in four.resume(study)
    four.sound(study, wasted=1)
    note(four, study, since=began)


# Absent, full, slow


def test_a_hospital_is_gone_for_a_while(four: Supervised) -> None:
    study, began = begun(four, "absent", rounds=3, patience=600), time.monotonic()
    four.stop(HONEST)
    time.sleep(ABSENCE_SECONDS)
    assert len(study.rounds) < 3, "the quorum is all four"
    assert f"- {HONEST}: " in study.told("waiting")
    four.start_site(HONEST)
    completed(four, study)
    four.sound(study, wasted=1)
    note(four, study, since=began)


def test_the_disk_is_full_at_the_ledger(four: Supervised) -> None:
    study, began = begun(four, "disk_full", rounds=3), time.monotonic()
    guard = four.pid(HONEST, "guard")
    resource.prlimit(guard, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        until(lambda: f"{HONEST}: refused: not_ready" in study.told("waiting"), seconds=120, what="the cause is told")
    finally:
        resource.prlimit(guard, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    completed(four, study)
    assert "its disk is full" in study.told("waiting")
    assert "ledger.sqlite cannot be written" in four.hospital_log(HONEST, "guard")
    assert four.pid(HONEST, "guard") == guard, "it went on by itself once there was space"
    four.sound(study)
    note(four, study, since=began)


def test_a_hospital_takes_longer_than_the_round_and_is_waited_for(four: Supervised) -> None:
    study, began = begun(four, "straggler_needed", timeout=20), time.monotonic()
    four.trouble("sleep 32")
    completed(four, study)
    assert f"{TROUBLED}: no answer" in study.told("waiting")
    assert {line["attempt"] for line in study.rounds} == {0}
    four.sound(study)
    note(four, study, since=began)


def test_a_hospital_takes_longer_than_the_round_and_is_not_needed(four: Supervised) -> None:
    study, began = begun(four, "straggler_spared", timeout=20, quorum=3, rounds=3), time.monotonic()
    four.trouble("sleep 32")
    completed(four, study)
    reasons = [reason for line in study.rounds for reason in line["rejected"]]
    assert any(reason.startswith(f"{TROUBLED}: no answer") for reason in reasons), reasons
    four.sound(study, wasted=1)
    note(four, study, since=began)


def test_a_table_is_changed_after_its_approval(four: Supervised) -> None:
    """Answers are made from the patients as they were approved, and the coordinator is told nothing."""
    study, began = begun(four, "data_changed", rounds=3), time.monotonic()
    folder = four.nodes[TROUBLED]
    table = folder.root / "patients.csv"
    approved = table.read_bytes()
    table.write_bytes(b"\n".join(approved.splitlines()[:-1]) + b"\n")
    try:
        told = [finding for finding in patient_findings(folder) if study.plan_hash[:12] in finding.what]
        assert [finding.verdict for finding in told] == [Verdict.WARNING]
        completed(four, study)
    finally:
        table.write_bytes(approved)
    assert "not_ready" not in json.dumps([study.lines("events.jsonl"), study.rounds])
    four.sound(study)
    note(four, study, since=began)


def test_a_whole_older_folder_is_put_back_and_then_the_true_one(four: Supervised) -> None:
    """All records of last night agree with each other; only the coordinator has had an answer since."""
    study = four.study("older_folder", rounds=3, patience=600)
    guard, last_night, true = (four.nodes[HONEST].root / name for name in ("guard", "last_night", "true"))
    four.stop(HONEST)
    shutil.copytree(guard, last_night)
    four.start_site(HONEST)
    four.base.wait_online(len(SITES))
    four.begin(study)
    study.wait_for_round(1)
    began = time.monotonic()
    four.stop(HONEST)
    guard.rename(true)
    shutil.copytree(last_night, guard)
    four.start_site(HONEST)
    until(lambda: f"{HONEST}: refused: not_ready" in study.told("waiting"), seconds=240, what="the cause is told")
    four.stop(HONEST)
    assert not four.charges(HONEST, study), "the older folder paid for nothing"
    assert "the coordinator has had answers" in four.hospital_log(HONEST, "guard")
    told = [entry.event for entry in verify_audit_log(four.nodes[HONEST].audit_log).entries]
    assert told.count(FORGOTTEN) == 1
    shutil.rmtree(guard)
    true.rename(guard)
    four.start_site(HONEST)
    completed(four, study)
    four.sound(study, wasted=1)
    note(four, study, since=began)


# A hospital that lies


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        ("nan", "sent numbers that are not finite"),
        ("huge", "sent a number larger than any hospital's can be"),
        ("shape", "sent 21 numbers where 22 were asked for"),
        ("byte", "the answer is not what its guard signed"),
    ],
)
def test_a_hospitals_lie_is_named_and_counts_for_nothing(lie: str, cause: str, four: Supervised) -> None:
    four.lie(lie)
    try:
        study = four.study(f"lie_{lie}", quorum=3, rounds=1)
        began = time.monotonic()
        four.begin(study)
        completed(four, study)
    finally:
        four.lie(None)
    (line,) = study.rounds
    (rejected,) = line["rejected"]
    assert rejected.startswith(f"{TROUBLED}: {cause}")
    assert line["update_l2_norm"] < 1
    four.sound(study, liar=TROUBLED)
    note(four, study, since=began)


def test_a_finished_study_is_delivered_again_and_charges_nobody(four: Supervised) -> None:
    study, began = four.study("deliver_again", rounds=1), time.monotonic()
    four.begin(study)
    study.wait_for_round(1)
    four.stop(HONEST)
    status = four.finish(study, seconds=400)
    assert status.outcome == "completed"
    four.start_site(HONEST)
    four.base.wait_online(len(SITES))
    before = {site: sorted(four.charges(site, study)) for site in SITES}
    said = four.resume(study)
    assert f"{HONEST}: accepted" in said.splitlines()[-3]
    assert {site: sorted(four.charges(site, study)) for site in SITES} == before
    four.sound(study)
    note(four, study, since=began)
