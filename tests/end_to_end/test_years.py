"""What comes in years: does a consortium go on through it? Real processes, and the commands of the pages.

One consortium of three hospitals, to which the fourth comes later. Each test leaves it whole. `Supervised.sound` says
after each study that no round counted twice and nothing left without a charge. ONCOFED_YEARS names a file that gets a
line of JSON for each step, with its seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.command_line import Said, oncofed
from tests.end_to_end.flower_processes import SITES, free_port, until
from tests.end_to_end.supervised_consortium import Study, Supervised, new_hospital, supervised

from oncofed.client.install.folder import read_site
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.protocol.enrolment import fingerprint
from oncofed.server.deployment.enrolment import own_fingerprint

pytestmark = pytest.mark.slow

FIRST, LATE = SITES[:3], SITES[3]
HERE = SITES[0]
LONG = 600


@pytest.fixture(scope="module")
def ours() -> Iterator[Supervised]:
    with supervised(FIRST) as one:
        yield one


def typed(*arguments: str | Path) -> Said:
    """A command that must succeed; its seconds are noted."""
    began = time.monotonic()
    said = oncofed(*arguments)
    assert said.code == 0, said.text
    note(" ".join(str(each) for each in arguments[:2]), time.monotonic() - began)
    return said


def note(step: str, seconds: float) -> None:
    path = os.environ.get("ONCOFED_YEARS")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"step": step, "seconds": round(seconds, 1)}) + "\n")


def begun(ours: Supervised, name: str, *, rounds: int = 2) -> Study:
    """A study whose first round is over."""
    study = ours.study(name, rounds=rounds, patience=LONG, timeout=120)
    ours.begin(study)
    study.wait_for_round(1, seconds=LONG)
    return study


def completed(ours: Supervised, study: Study, *, wasted: int = 0) -> None:
    status = ours.finish(study, seconds=LONG)
    assert status.outcome == "completed", (status, study.lines("events.jsonl"))
    roster = list(study.document.plan.roster)
    assert [line["answered"] for line in study.rounds] == [roster] * study.document.plan.training.rounds
    ours.sound(study, wasted=wasted)


def whole_study(ours: Supervised, name: str) -> Study:
    study = begun(ours, name, rounds=1)
    completed(ours, study)
    return study


def restarted(ours: Supervised, *sides: str) -> None:
    for side in sides:
        ours.stop(side)
        ours.start_site(side)


def test_a_hospital_joins_late_while_a_study_runs(ours: Supervised, tmp_path: Path) -> None:
    running = begun(ours, "before_it_came")
    node, coordinator = new_hospital(ours.root, LATE), ours.coordinator.root
    request, answer = tmp_path / "request.json", tmp_path / "acceptance.json"
    typed("site", "request", node.root, "--out", request)
    typed(
        "coordinator",
        "approve",
        coordinator,
        request,
        "--out",
        answer,
        "--fingerprint",
        fingerprint(request.read_bytes()),
    )
    typed("site", "accept", node.root, answer, "--fingerprint", own_fingerprint(ours.coordinator))
    assert isinstance(ours.nodes, dict)
    ours.nodes[LATE] = node
    ours.start_site(LATE)
    ours.base.wait_online(4)
    assert "None yet" in oncofed("site", "plans", node.root).text
    completed_without = {site: each for site, each in ours.nodes.items() if site != LATE}
    assert ours.finish(running, seconds=LONG).outcome == "completed"
    assert [line["answered"] for line in running.rounds] == [list(completed_without)] * 2
    assert not ours.charges(LATE, running)
    assert whole_study(ours, "with_it").document.plan.roster == SITES


def test_a_hospital_leaves(ours: Supervised) -> None:
    """Refused while a study that names it runs; then at once, and it keeps its models and what was spent."""
    coordinator, running = ours.coordinator.root, begun(ours, "last_together")
    refused = oncofed("coordinator", "remove", coordinator, LATE)
    assert refused.code != 0
    assert "running" in refused.text
    completed(ours, running)
    typed("coordinator", "remove", coordinator, LATE)
    until(lambda: ours.base.online() == 3, seconds=120, what="it is off")
    assert f"{LATE} was removed" in oncofed("coordinator", "resume", coordinator, running.plan_hash[:12]).text
    assert whole_study(ours, "without_it").document.plan.roster == FIRST
    ours.stop(LATE)
    root = ours.nodes[LATE].root
    typed("site", "explain", root, "--cohort", "--plan", running.plan_hash[:12])
    assert "2 " in typed("site", "ledger", root).text
    typed("site", "audit", root, "--verify")


def test_an_audit_log_is_closed_while_a_study_runs(ours: Supervised) -> None:
    running, node = begun(ours, "closed_log"), ours.nodes[HERE]
    before = len(verify_audit_log(node.audit_log).entries)
    typed("site", "close-log", node.root)
    completed(ours, running)
    assert list(node.guard.glob("audit.*.closing"))
    assert len(verify_audit_log(node.audit_log).entries) > before
    typed("site", "audit", node.root, "--verify")


def test_the_servers_certificate_is_renewed(ours: Supervised) -> None:
    """And a running study goes on: hospitals notice nothing but a server that was away."""
    running, folder = begun(ours, "renewed"), ours.coordinator
    serial = folder.server_certificate.read_bytes()
    typed("coordinator", "init", folder.root, "--renew-certificate")
    assert folder.server_certificate.read_bytes() != serial
    ours.kill("coordinator", "superlink")
    completed(ours, running)
    assert ours.base.online() == 3


def test_the_coordinator_has_another_address_while_a_study_runs(ours: Supervised, tmp_path: Path) -> None:
    running, folder, port = begun(ours, "moved"), ours.coordinator, free_port()
    refused = oncofed("coordinator", "change", folder.root, "--address", f"127.0.0.1:{port}", "--out", tmp_path)
    assert "its server is running" in refused.text
    ours.stop("coordinator")
    typed("coordinator", "change", folder.root, "--address", f"127.0.0.1:{port}", "--out", tmp_path)
    ours.start_coordinator()
    for site in FIRST:
        said = typed("site", "accept", ours.nodes[site].root, tmp_path / f"{site}.acceptance.json")  # asks for nothing
        assert "its address, which was" in said.text
    restarted(ours, *FIRST)
    ours.base.wait_online(3)
    ours.resume(running)
    completed(ours, running, wasted=1)


def test_authority_and_signing_key_are_made_anew(ours: Supervised, tmp_path: Path) -> None:
    """Models of before still explain; plans of before are closed, in words; new ones run."""
    before, unfinished, folder = (
        whole_study(ours, "old_keys"),
        begun(ours, "never_finished", rounds=50),
        ours.coordinator,
    )
    former = read_site(ours.nodes[HERE]).enrolled.public_key
    ours.stop("coordinator")
    typed("coordinator", "change", folder.root, "--new-authority", "--new-signing-key", "--out", tmp_path)
    ours.start_coordinator()
    heard = own_fingerprint(folder)
    for site in FIRST:
        node, file = ours.nodes[site].root, tmp_path / f"{site}.acceptance.json"
        assert "repeat the command with --change" in oncofed("site", "accept", node, file, "--fingerprint", heard).text
        typed("site", "accept", node, file, "--fingerprint", heard, "--change")
    restarted(ours, *FIRST)
    ours.base.wait_online(3)
    root = ours.nodes[HERE].root
    typed("site", "explain", root, "--cohort", "--plan", before.plan_hash[:12])
    assert "its coordinator has another key" in typed("site", "plans", root).text
    again = oncofed("site", "approve", root, unfinished.plan_hash[:12], "--source", "registry", "--yes")
    assert "is signed with a key that its coordinator has replaced" in again.text
    resumed = oncofed("coordinator", "resume", folder.root, unfinished.plan_hash[:12])
    assert "is signed with a key that was replaced" in resumed.text
    assert former in read_site(ours.nodes[HERE]).enrolled.former_public_keys
    after = whole_study(ours, "new_keys")
    assert after.document.plan.coordinator_public_key != former
    for site in FIRST:
        typed("site", "audit", ours.nodes[site].root, "--verify")


def test_a_lost_node_is_restored_and_what_it_had_answered_since_stays_closed(ours: Supervised, tmp_path: Path) -> None:
    """Last night's backup, a lost disk, and a coordinator that has had an answer since."""
    running, node = begun(ours, "lost_disk", rounds=3), ours.nodes[HERE]
    backup, true, heads = tmp_path / "tonight.tar", ours.root / "true", len(ours.charges(HERE, running))
    typed("site", "backup", node.root, backup)
    running.wait_for_round(2, seconds=LONG)
    until(lambda: len(ours.charges(HERE, running)) > heads, seconds=LONG, what="it was charged since")
    ours.stop(HERE)
    refused = oncofed("site", "restore", node.root, backup)
    assert refused.code != 0
    assert "not restored, and nothing was changed" in refused.text
    node.root.rename(true)
    typed("site", "restore", node.root, backup)
    (node.root / "patients.csv").write_bytes((true / "patients.csv").read_bytes())
    ours.start_site(HERE)
    until(lambda: f"{HERE}: refused: not_ready" in running.told("waiting"), seconds=LONG, what="the cause is told")
    assert "the coordinator has had answers" in ours.hospital_log(HERE, "guard")
    assert len(ours.charges(HERE, running)) == heads, "nothing was spent a second time"
    typed("coordinator", "stop", ours.coordinator.root, running.plan_hash[:12])
    rules = node.policy.read_text()
    node.policy.write_text(rules.replace("[node]", f'[node]\nplans_with_lost_answers = ["{running.plan_hash}"]'))
    whole_study(ours, "after_the_loss")
    assert len(ours.charges(HERE, running)) == heads
