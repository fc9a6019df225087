"""A coordinator and four hospitals under the product's own supervisors, for tests that kill parts of them.

Each side is one command, `oncofed coordinator start` and `oncofed site start`, as it would be installed; parts are
found by the process ids in their status files, and killed one by one. The last hospital's guard and relay can be
troubled (`failing_site`). `Supervised.sound` is what must hold after whatever happened.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.end_to_end.failing_guard import trouble_file
from tests.end_to_end.failing_site import lie_file
from tests.end_to_end.flower_processes import (
    SITES,
    Consortium,
    Processes,
    enrol,
    free_port,
    new_coordinator,
    until,
    verify_each_other,
)
from tests.end_to_end.installed_consortium import cli
from tests.installed_node import SCHEMA, SOURCE, table

from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.client.install.setup import create
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.sqlite_ledger import Entry, read_ledger, verify_ledger
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.study_document import StudyDocument, document_bytes, signed_document
from oncofed.secret_files import read_secret
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.deployment.runs import begin, current_run, take_in
from oncofed.server.flower.control import Control, ControlRefused, RunStatus
from oncofed.server.rounds.checkpoint import load_checkpoint

PATIENTS = dict(zip(SITES, (64, 75, 88, 97), strict=True))
TROUBLED = SITES[-1]
"""The hospital whose guard and relay a test can trouble."""

POLICY = """\
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["any"]

[[source]]
name = "{source}"
kind = "csv"
path = "{table}"
largest_epsilon = 100.0
delta = 1e-5
smallest_noise_multiplier = 1.0
fewest_colluding_tolerated = 1
"""
STUDY = """\
[study]
name = "{name}"
seed = 3

[data]
schema = "schema.toml"

[model]
hidden_units = [3]

[training]
mode = "full_batch"
strategy = "fedadam"
rounds = {rounds}
server_learning_rate = 0.03

[privacy]
mode = {privacy}
epsilon = 3
delta = 1e-5
l2_norm_bound = 2
reserve_rounds = 2

[consortium]
round_timeout_seconds = {timeout}
patience_seconds = {patience}
answer_seconds = 0.1
summary_answer_seconds = 1
{quorum}
"""
LOCAL = '"local"'
DISTRIBUTED = '"distributed"\ndropouts = 1\ncolluding = 1'


@dataclass(frozen=True)
class Study:
    document: StudyDocument
    folder: Path

    @property
    def plan_hash(self) -> str:
        return self.document.plan.hash

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def rounds(self) -> list[dict[str, Any]]:
        return self.lines("rounds.jsonl")

    def told(self, event: str) -> str:
        """What the coordinator noted of this kind, all of it."""
        return "\n".join(json.dumps(line) for line in self.lines("events.jsonl") if line["event"] == event)

    def wait_for_round(self, number: int, *, seconds: float = 240) -> None:
        until(lambda: len(self.rounds) >= number, seconds=seconds, what=f"round {number}")


@dataclass(frozen=True)
class Supervised:
    root: Path
    coordinator: Any
    nodes: Mapping[str, NodeFolder]
    processes: Processes

    @property
    def base(self) -> Consortium:
        return Consortium(self.coordinator, self.nodes, self.processes)

    def start(self) -> None:
        self.start_coordinator()
        for site in self.nodes:
            self.start_site(site)
        self.base.wait_online(len(self.nodes))

    def start_coordinator(self) -> None:
        self.processes.start("coordinator", "oncofed.cli", "coordinator", "start", str(self.coordinator.root))
        until(self.base.registered, seconds=120, what="the SuperLink answers")

    def start_site(self, site: str, *, environment: Mapping[str, str] | None = None) -> None:
        root = str(self.nodes[site].root)
        command = ("tests.end_to_end.failing_site",) if site == TROUBLED else ("oncofed.cli", "site", "start")
        self.processes.start(site, *command, root, environment=environment)

    def trouble(self, what: str) -> None:
        trouble_file(self.nodes[TROUBLED]).write_text(what)

    def lie(self, what: str | None) -> None:
        path = lie_file(self.nodes[TROUBLED])
        path.write_text(what) if what else path.unlink()

    def study(
        self,
        name: str,
        *,
        rounds: int = 3,
        quorum: int | None = None,
        timeout: int = 60,
        patience: int = 300,
        privacy: str = LOCAL,
        decided: bool = True,
    ) -> Study:
        """Signed, known to the coordinator, and approved by every hospital from the file they had by mail.

        decided  False: they have it by mail, and nobody has approved it.
        """
        folder = self.root / name
        folder.mkdir()
        (folder / "schema.toml").write_text(SCHEMA)
        text = STUDY.format(
            name=name,
            rounds=rounds,
            quorum="" if quorum is None else f"quorum = {quorum}",
            timeout=timeout,
            patience=patience,
            privacy=privacy,
        )
        (folder / "study.toml").write_text(text)
        consortium = read_consortium(folder / "study.toml")
        sites = read_sites(self.coordinator)
        plan = plan_for(
            consortium,
            members=tuple(site.member for site in sites.values() if site.is_member),
            coordinator_public_key=bytes.fromhex(self.coordinator.public_key.read_text().strip()),
            bundle_sha256=bundle_sha256(),
        )
        key = read_secret(self.coordinator.signing_key)
        document = take_in(
            self.coordinator, document_bytes(signed_document(plan, schema_toml=consortium.schema_toml, signing_key=key))
        )
        study = Study(document, self.coordinator.study(document.plan.hash))
        for site in plan.roster:
            node = self.nodes[site]
            cli("site", "plans", str(node.root), "--add", str(study.folder / "plan.json"))
            if not decided:
                continue
            cli("site", "approve", str(node.root), study.plan_hash[:12], "--source", SOURCE, "--yes")
        return study

    def begin(self, study: Study) -> None:
        with Control.of(self.coordinator) as control:
            begin(self.coordinator, control, study.plan_hash)

    def resume(self, study: Study) -> str:
        """What `oncofed coordinator resume` says, to the end of the run."""
        return cli("coordinator", "resume", str(self.coordinator.root), study.plan_hash[:12])

    def status(self, study: Study) -> RunStatus | None:
        """None while the SuperLink does not answer."""
        try:
            with Control.of(self.coordinator) as control:
                found = current_run(self.coordinator, control, study.plan_hash)
        except ControlRefused:
            return None
        assert found is not None
        return found[1]

    def finish(self, study: Study, *, seconds: float = 400) -> RunStatus:
        def finished() -> bool:
            status = self.status(study)
            return status is not None and status.finished

        until(finished, seconds=seconds, what="the run ends")
        status = self.status(study)
        assert status is not None
        return status

    def pid(self, side: str, part: str) -> int:
        """side: a hospital or `coordinator`. part: as its status file names it."""
        status = self.coordinator.status if side == "coordinator" else self.nodes[side].status
        (found,) = (each for each in json.loads(status.read_text())["processes"] if each["process"] == part)
        assert found["pid"] is not None
        return int(found["pid"])

    def stop(self, side: str) -> None:
        """End one side's command as its operator would."""
        process = self.processes.running.pop(side)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)

    def kill(self, side: str, part: str) -> None:
        os.kill(self.pid(side, part), signal.SIGKILL)

    def server_app(self) -> list[int]:
        """The ServerApp's process, below the coordinator's SuperExec."""
        return [pid for pid in descendants(self.pid("coordinator", "superexec")) if "serverapp" in command_of(pid)]

    def relay_processes(self, site: str) -> list[int]:
        """Relays at work now: forked, for one message each, from the fork server below the hospital's SuperExec."""
        return [grandchild for child in children(self.pid(site, "relay")) for grandchild in children(child)]

    def charges(self, site: str, study: Study) -> dict[tuple[int, int], Entry]:
        """By round and attempt, of a ledger that verifies."""
        path = self.nodes[site].ledger
        verify_ledger(path, anchor=None)
        found = {}
        for entry in read_ledger(path):
            plan_hash, _, round_, attempt = entry.charge.identity.split("/")
            if plan_hash == study.plan_hash:
                assert (int(round_), int(attempt)) not in found
                found[int(round_), int(attempt)] = entry
        return found

    def wasted(self, site: str, study: Study) -> int:
        """Charges for attempts that did not count."""
        counted = {(line["round"], line["attempt"]) for line in study.rounds if site in line["answered"]}
        return len(set(self.charges(site, study)) - counted)

    def hospital_log(self, site: str, part: str) -> str:
        return "".join(path.read_text(errors="replace") for path in self.nodes[site].logs.glob(f"{part}.log*"))

    def sound(self, study: Study, *, wasted: int = 0, liar: str = "") -> None:
        """No round twice; nothing released or counted without an earlier charge; at most `wasted` charges a site.

        liar  a hospital whose answers do not count, whatever it spends on them.
        """
        plan = study.document.plan
        assert [line["round"] for line in study.rounds] == list(range(1, plan.training.rounds + 1))
        checkpoint = load_checkpoint(study.folder, plan_hash=plan.hash)
        assert checkpoint.state.round == plan.training.rounds
        for site, node in self.nodes.items():
            charges = self.charges(site, study)
            counted = {(line["round"], line["attempt"]) for line in study.rounds if site in line["answered"]}
            released = [
                (entry, (entry.round, entry.attempt))
                for entry in verify_audit_log(node.audit_log).entries
                if entry.plan_hash == study.plan_hash and entry.event == "contribute" and entry.left
            ]
            for entry, which in released:
                assert which in charges, f"{site} released {which} without a charge"
                charged_at = datetime.fromisoformat(charges[which].charged_at)
                assert charged_at <= datetime.fromisoformat(entry.time), f"{site} released {which} before its charge"
            assert counted <= {which for _, which in released}, f"{site}: counted, and not released"
            if site != liar:
                spent, used = sorted(charges), sorted(counted)
                assert self.wasted(site, study) <= wasted, f"{site}: {spent} charged, {used} counted"


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except FileNotFoundError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def new_hospital(root: Path, site: str) -> NodeFolder:
    """With rules and patients, and not enrolled."""
    node, number = NodeFolder(root / site), SITES.index(site)
    create(node, SiteSettings(site, f"127.0.0.1:{free_port()}", None))
    patients = table(PATIENTS[site], prefix=f"MRN-{4711 + number}", seed=number)
    patients.to_csv(node.root / "patients.csv", index=False)
    node.policy.write_text(POLICY.format(source=SOURCE, table=node.root / "patients.csv"))
    return node


@contextmanager
def supervised(sites: tuple[str, ...] = SITES) -> Iterator[Supervised]:
    """Enrolled, with policies and patients, and all started; whatever runs ends with the block."""
    with TemporaryDirectory(prefix="oncofed-") as name:  # short enough for sockets
        root = Path(name)
        coordinator = new_coordinator(root / "coordinator")
        nodes = {site: new_hospital(root, site) for site in sites}
        for node in nodes.values():
            enrol(coordinator, node)
        verify_each_other(nodes)
        log = root / "logs"
        log.mkdir()
        processes = Processes(log)
        one = Supervised(root, coordinator, nodes, processes)
        try:
            one.start()
            yield one
        finally:
            end(processes)


def end(processes: Processes) -> None:
    """Supervisors are given the time that they give to their own processes."""
    for process in processes.running.values():
        process.send_signal(signal.SIGTERM)
    for process in processes.running.values():
        process.wait(timeout=60)
    processes.end()
