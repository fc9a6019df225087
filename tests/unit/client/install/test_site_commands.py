"""What do the hospital's commands say, with which exit code, and does any of it name a patient?

One node goes the whole way: a plan is added, read, approved, charged, delivered and explained, each by its command.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.command_line import oncofed
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node, planted
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker
from tests.running_parts import held_by_another

from oncofed.client.guard import trial
from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import read_digits
from oncofed.client.patients.sources import SourceKind, SourceSpec, read_source_cohort
from oncofed.client.records.audit_files import archive_of
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.chain import parse_anchor
from oncofed.client.records.closed_log import verify_closing
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema_file import parse_schema
from oncofed.explanation.relevance import column_relevance
from oncofed.protocol.messages import DeliveryState
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.survival.curves import median_survival
from oncofed.survival.network import network_with, parameter_count


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    """Its coordinator is pinned."""
    with installed_node() as here:
        here.enrol()
        yield here


@pytest.fixture
def offered(node: InstalledNode, tmp_path: Path) -> InstalledNode:
    (tmp_path / "plan.json").write_bytes(node.offer())
    said = oncofed("site", "plans", node.folder.root, "--add", tmp_path / "plan.json")
    assert said.code == 0, said.text
    assert "waits for a decision" in said.text
    return node


@pytest.fixture
def approved(offered: InstalledNode) -> InstalledNode:
    said = oncofed("site", "approve", offered.folder.root, hash_of(offered), "--source", SOURCE, "--yes")
    assert said.code == 0, said.text
    return offered


@pytest.fixture
def delivered(approved: InstalledNode) -> InstalledNode:
    model = signed_model(weights_of(approved), plan_hash=approved.plan().hash, signing_key=approved.signing_key)
    state = approved.guard().deliver_model(model.content, model.signature, approved.plan().hash)
    assert state is DeliveryState.ACCEPTED
    return approved


def hash_of(node: InstalledNode) -> str:
    return node.plan().hash[:12]


def weights_of(node: InstalledNode) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(3).normal(scale=2.0, size=parameter_count(node.plan().model))


def table_of(node: InstalledNode) -> pd.DataFrame:
    return pd.read_csv(node.table_path, dtype=str)


def test_a_whole_way_names_no_patient(delivered: InstalledNode) -> None:
    node = delivered.folder.root
    for number in (1, 2):
        delivered.guard().contribute(delivered.request(round_=number))
    commands = [
        *(("check", node), ("plans", node), ("plans", node, "--show", hash_of(delivered)), ("status", node)),
        *(("ledger", node), ("audit", node), ("audit", node, "--verify"), ("doctor", node)),
        *(("approve", node, hash_of(delivered), "--source", SOURCE, "--yes"), ("decline", node, hash_of(delivered))),
    ]
    said = {command[0]: oncofed("site", *command) for command in commands}
    assert {name: one.code for name, one in said.items() if one.code != 0} == {"doctor": 1, "status": 1}
    # The machine's free gigabytes, or its Python, may be some patient's age or months by chance.
    text = re.sub(r"[\d.]+ GB|Python [\d.]+", "", "".join(one.text for one in said.values()))
    found = table_of(delivered)
    assert [secret for secret in planted(found.astype({"death_observed": int})).texts if secret in text] == []
    cells = {cell for column in ("age", "survival_months") for cell in found[column]}
    shown = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", text))
    assert shown & cells == set()
    deaths = str(int(found["death_observed"].astype(int).sum()))
    assert not re.search(rf"\b{deaths}\b", text)
    assert "2 releases" in said["ledger"].text
    assert "that buys" in said["ledger"].text


def test_check_tells_every_source_that_cannot_be_read(node: InstalledNode) -> None:
    assert oncofed("site", "check", node.folder.root).code == 0
    text = node.folder.policy.read_text()
    second = text[text.index("[[source]]") :].replace('"registry"', '"second"').replace(".csv", "-2.csv")
    node.folder.policy.write_text(text + second)
    node.table_path.unlink()
    said = oncofed("site", "check", node.folder.root)
    assert said.code == 2
    assert said.text.startswith("oncofed: 2 faults")


@pytest.mark.parametrize("command", ["check", "plans", "status", "ledger", "audit", "start"])
def test_a_folder_that_is_no_node_is_told_as_that(command: str, tmp_path: Path) -> None:
    said = oncofed("site", command, tmp_path / "nobody")
    assert said.code == 2
    assert "site.toml" in said.text
    assert not (tmp_path / "nobody").exists()


def test_a_plan_of_another_coordinator_or_for_others_is_not_kept(node: InstalledNode, tmp_path: Path) -> None:
    key = new_signing_key()
    foreign_plan = replace(node.plan(), coordinator_public_key=public_key_of(key).hex())
    toml = node.document().schema_toml
    foreign = document_bytes(signed_document(foreign_plan, schema_toml=toml, signing_key=key))
    for content in (foreign, b"{}"):
        (tmp_path / "plan.json").write_bytes(content)
        said = oncofed("site", "plans", node.folder.root, "--add", tmp_path / "plan.json")
        assert (said.code, "not a plan for this hospital" in said.text) == (2, True)
    listed = oncofed("site", "plans", node.folder.root).text
    assert "None yet" in listed
    assert "again about every 15 seconds" in listed


def test_a_plan_is_shown_in_lines_that_the_terminal_does_not_break(
    offered: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that it broke would go on where paragraphs begin; the list of hospitals comes after the plan."""
    for columns in (50, 70):
        monkeypatch.setenv("COLUMNS", str(columns))
        said = oncofed("site", "plans", offered.folder.root, "--show", hash_of(offered)).text
        assert columns - 15 < max(map(len, said.partition("\nEssen")[0].splitlines())) <= columns


def test_a_plan_is_shown_in_german_to_whom_asks_for_it(offered: InstalledNode) -> None:
    asked = ("site", "plans", offered.folder.root, "--show", hash_of(offered))
    said = oncofed(*asked, "--language", "de")
    assert said.code == 0, said.text
    for words in ("WAS DAS HAUS VERLÄSST: ", "VERÖFFENTLICHT: ", "nicht geprüft", "Hier geprüft: 0 von "):
        assert words in said.text
    assert "WHAT LEAVES" not in said.text
    assert "WHAT LEAVES" in oncofed(*asked).text


def test_approving_asks_first_and_no_is_no(offered: InstalledNode) -> None:
    said = oncofed("site", "approve", offered.folder.root, hash_of(offered), "--source", SOURCE, answers="n\n")
    assert said.code == 1
    assert "Not approved" in said.text
    assert "Interrupted" not in said.text
    assert offered.approvals.find(offered.plan().hash) is None
    said = oncofed("site", "approve", offered.folder.root, hash_of(offered), "--source", SOURCE, answers="y\n")
    assert (said.code, "Approved: tiny on registry" in said.text) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(("f" * 12, "--source", SOURCE), 2, "Known: "), (("HASH", "--source", "registri"), 2, "registry")],
)
def test_what_approve_refuses(arguments: tuple[str, ...], code: int, told: str, offered: InstalledNode) -> None:
    words = [hash_of(offered) if word == "HASH" else word for word in arguments]
    said = oncofed("site", "approve", offered.folder.root, *words, "--yes")
    assert (said.code, told in said.text) == (code, True), said.text


@pytest.mark.parametrize("digits", [0, 1, 3])
@pytest.mark.parametrize(
    "words",
    [
        ("approve", "HASH", "--source", SOURCE, "--yes"),
        ("decline", "HASH"),
        ("forget", "HASH"),
        ("peers", "HASH"),
        ("plans", "--show", "HASH"),
    ],
)
def test_an_empty_or_short_hash_means_no_plan_not_the_only_one(
    words: tuple[str, ...], digits: int, offered: InstalledNode
) -> None:
    beginning = offered.plan().hash[:digits]
    before = offered.events()
    given = [beginning if word == "HASH" else word for word in words]
    said = oncofed("site", given[0], offered.folder.root, *given[1:])
    assert said.code == 2, said.text
    assert "digits" in said.text or "Name a plan" in said.text
    assert offered.events() == before
    assert offered.approvals.find(offered.plan().hash) is None


def test_four_digits_are_enough(offered: InstalledNode) -> None:
    assert oncofed("site", "decline", offered.folder.root, offered.plan().hash[:4]).code == 0


def test_a_policy_that_forbids_the_plan_says_so_with_1(offered: InstalledNode) -> None:
    offered.set_policy("smallest_noise_multiplier = 5.0", "smallest_noise_multiplier = 50.0")
    said = oncofed("site", "approve", offered.folder.root, hash_of(offered), "--source", SOURCE, "--yes")
    assert said.code == 1
    assert "noise" in said.text
    assert "Traceback" not in said.text


def test_a_plan_that_is_too_fast_for_the_patients_says_so_with_1(
    offered: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "measured", lambda *_, **__: trial.Seconds(reading=0.0, round_=0.03, summary=0.0))
    said = oncofed("site", "approve", offered.folder.root, hash_of(offered), "--source", SOURCE, "--yes")
    assert said.code == 1
    assert "Ask the coordinator for a plan with answer_seconds of 0.1 or more (it has 0.05)." in said.text
    assert offered.approvals.find(offered.plan().hash) is None


@pytest.mark.parametrize("command", ["plans", "status", "ledger"])
def test_a_plan_that_was_changed_on_the_disk_is_refused_by_name(command: str, offered: InstalledNode) -> None:
    (path,) = offered.folder.plans.glob("*.json")
    fields = json.loads(path.read_bytes())
    fields["plan"]["quorum"] = 1
    path.write_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
    said = oncofed("site", command, offered.folder.root)
    assert said.code == 1
    assert str(path) in said.text


def test_a_document_under_another_plans_name_is_refused(offered: InstalledNode) -> None:
    (path,) = offered.folder.plans.glob("*.json")
    path.rename(path.with_name("ab" * 32 + ".json"))
    said = oncofed("site", "plans", offered.folder.root)
    assert (said.code, "another plan than its name" in said.text) == (1, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a folder that may not be read. Run as root to test it.")
def test_a_folder_that_may_not_be_read_is_not_an_empty_one(offered: InstalledNode) -> None:
    for path in (offered.folder.root.parent, offered.folder.guard):
        os.chmod(path, 0o755)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from oncofed.client.install.folder import NodeFolder\n"
        "from oncofed.client.install.inbox import offered_plans\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(len(offered_plans(NodeFolder(Path(sys.argv[1]))).read))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(offered.folder.root)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].startswith("PermissionError"), done.stderr


def test_status_believes_no_file_about_a_process_that_is_gone(node: InstalledNode) -> None:
    rows = [
        {"process": name, "pid": os.getpid(), "since": "noon", "restarts": 3, "last_exit": None}
        for name in ("guard", "node", "relay")
    ]
    node.folder.status.write_text(json.dumps({"supervisor": 1, "processes": rows}))
    root = node.folder.root
    with held_by_another(node.folder.locks["guard"]):
        said = oncofed("site", "status", root)
        assert [line.split()[1] for line in said.text.splitlines()[:3]] == ["runs", "does", "does"]
        assert said.code == 1
        assert "noon" not in said.text, "no supervisor runs that could know"
        node.folder.logs.mkdir()
        with held_by_another(node.folder.logs / "supervisor.lock"):
            assert "runs since noon, started again 3 times" in oncofed("site", "status", root).text
            with held_by_another(node.folder.locks["node"]), held_by_another(node.folder.locks["relay"]):
                assert oncofed("site", "status", root).code == 0


def test_status_says_how_far_each_plan_is_and_that_a_study_has_ended(offered: InstalledNode) -> None:
    def told() -> str:
        return oncofed("site", "status", offered.folder.root).text.splitlines()[-1]

    assert told().endswith("tiny: waits for a decision")
    offered.approve()
    assert told().endswith("tiny: approved; the coordinator has asked for no round yet")
    with answering(offered) as channel:
        for number, attempt in ((1, 0), (1, 1), (2, 0)):
            channel.contribute(offered.request(round_=number, attempt=attempt))
    assert re.search(r"tiny: approved; 2 of 3 rounds answered, the last 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", told())
    model = signed_model(weights_of(offered), plan_hash=offered.plan().hash, signing_key=offered.signing_key)
    offered.guard().deliver_model(model.content, model.signature, offered.plan().hash)
    assert re.search(
        r"tiny: ended: 2 of 3 rounds answered; the model came 20.* UTC, and `oncofed site explain`", told()
    )


def test_status_tells_of_a_plan_that_was_declined_half_way(approved: InstalledNode) -> None:
    with answering(approved) as channel:
        channel.contribute(approved.request())
    assert oncofed("site", "decline", approved.folder.root, hash_of(approved)).code == 0
    said = oncofed("site", "status", approved.folder.root).text
    assert re.search(r"tiny: declined by \w+( \(claimed\))?; 1 of 3 rounds answered before$", said.strip())


@contextmanager
def answering(node: InstalledNode) -> Iterator[Asker]:
    """As a coordinator asks: through the server that writes the audit log."""
    folder = node.folder
    with serving(
        node.guard(),
        socket=folder.socket,
        token_sha256=read_digits(folder.token_sha256),
        site=SITE,
        audit=AuditLog(folder.audit_log),
        answer_key=ANSWER_KEY,
        asker_key=COORDINATOR_PUBLIC,
    ):
        channel = Asker(GuardChannel(socket=folder.socket, token=read_digits(folder.token)))
        yield channel
        channel.close()


def test_the_ledger_tells_of_a_source_that_was_renamed(approved: InstalledNode) -> None:
    approved.guard().contribute(approved.request())
    approved.set_policy('"registry"', '"fresh-budget"')
    said = oncofed("site", "ledger", approved.folder.root)
    assert "Data source registry: 1 releases, and policy.toml does not name it" in said.text
    head = re.search(r"\d+:[0-9a-f]{64}", said.text)
    assert head is not None
    assert oncofed("site", "ledger", approved.folder.root, "--verify", head[0]).code == 0
    wrong = oncofed("site", "ledger", approved.folder.root, "--verify", "9:" + "ab" * 32)
    assert (wrong.code, "9 when the anchor" in wrong.text) == (1, True)
    assert oncofed("site", "ledger", approved.folder.root, "--verify", "x").code == 2


def test_an_audit_log_that_was_changed_is_told_with_1(approved: InstalledNode) -> None:
    path = approved.folder.audit_log
    path.write_text(path.read_text().replace("approved", "declined", 1))
    said = oncofed("site", "audit", approved.folder.root, "--verify")
    assert (said.code, "line" in said.text) == (1, True)


def test_a_closed_log_is_read_on_and_its_head_shows_that_nothing_is_missing(approved: InstalledNode) -> None:
    root = approved.folder.root
    said = oncofed("site", "close-log", root)
    assert said.code == 0, said.text
    head = re.search(r"Head, to note outside: (\d+:[0-9a-f]{64})", said.text)
    assert head is not None
    archive = archive_of(approved.folder.audit_log, int(head[1].partition(":")[0]))
    assert str(archive) in said.text
    vouches = verify_closing(archive, parse_anchor(head[1]), site=SITE)
    assert vouches == public_key_of(ANSWER_KEY).hex(), "as plans name it"
    assert oncofed("site", "audit", root, "--verify", "--anchor", head[1]).code == 0
    shown = oncofed("site", "audit", root)
    assert "approved" in shown.text
    assert "log_closed" in shown.text
    again = oncofed("site", "close-log", root)
    assert (again.code, "no entry to close" in again.text) == (2, True)
    archive.unlink()
    gone = oncofed("site", "audit", root)
    assert (gone.code, f"{archive.name}, a closed audit log, is lost" in gone.text) == (1, True)


def test_a_model_explains_a_patient_and_the_parts_add_up(delivered: InstalledNode) -> None:
    schema = parse_schema(delivered.document().schema_toml, where="schema")
    cohort = read_source_cohort(SourceSpec(SOURCE, SourceKind.CSV, path=delivered.table_path), schema)
    patient = cohort.patient_ids[7]
    x = torch.as_tensor(encode(cohort.subset([7])))
    network = network_with(delivered.plan().model, weights_of(delivered))
    total = float(column_relevance(network, x, endpoint=0).sum())
    assert total == pytest.approx(float(network(x).detach()[0, 0]), abs=1e-6)
    assert abs(total) > 0.05, "there must be something to explain"
    for top in ("1", "2", "15"):
        said = oncofed("site", "explain", delivered.folder.root, "--patient", patient, "--top", top)
        assert said.code == 0, said.text
        parts = [float(part) for part in re.findall(r"(?m)^ +([+-]\d+\.\d{3})  ", said.text)]
        assert len(parts) == min(int(top), 2) + 1
        assert sum(parts) == pytest.approx(total, abs=0.0005 * len(parts) + 1e-6)
        assert f"log hazard ratio {total:+.2f} (hazard ratio {np.exp(total):.2f})" in said.text
    baseline = network.baseline.log_hazard()[0].detach().numpy()
    (median,) = median_survival(np.array([total]), log_baseline_hazard=baseline, grid=delivered.plan().model.grid)
    words = "not reached" if np.isinf(median) else f"{median:.0f} months"
    assert f"median {words}" in said.text
    asked = oncofed("site", "explain", delivered.folder.root, answers=f"{patient}\n")
    assert (asked.code, "log hazard ratio" in asked.text) == (0, True)


def test_an_unknown_patient_is_named_nowhere(delivered: InstalledNode) -> None:
    said = oncofed("site", "explain", delivered.folder.root, "--patient", "MRN-9999-1")
    assert (said.code, "MRN" in said.text) == (2, False)
    assert "record_number" in said.text
    assert all("MRN" not in path.read_text(errors="replace") for path in (delivered.folder.audit_log,))


@pytest.mark.parametrize("name", ["safetensors", "signature"])
def test_a_model_that_was_changed_on_the_disk_explains_nobody(name: str, delivered: InstalledNode) -> None:
    path = delivered.folder.models / f"{delivered.plan().hash}.{name}"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    said = oncofed("site", "explain", delivered.folder.root, "--patient", "MRN-0047-00007")
    assert said.code == 1
    assert "not the one that the coordinator signed" in said.text
    assert "hazard ratio" not in said.text


def test_without_a_model_it_says_so(approved: InstalledNode) -> None:
    said = oncofed("site", "explain", approved.folder.root, "--patient", "MRN-0047-00007")
    assert (said.code, "no study here has a model yet" in said.text) == (2, True)
