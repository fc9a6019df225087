"""A coordinator and its hospitals as real processes on loopback, for tests: started, and ended, by process id.

The hospitals' guards are fakes (`fake_relay_app`); everything else is the product's.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.doubles import no_privacy, study_plan

from oncofed.client.install.enrolment import accept, make_request, own_request
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.peers import add_peer
from oncofed.cohort.schema_file import parse_schema
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.cards import card_of
from oncofed.protocol.enrolment import acceptance_bytes, member_of, request_bytes
from oncofed.protocol.plan import ModelSpec, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.secret_files import read_secret
from oncofed.server.deployment.certificates import create_keys
from oncofed.server.deployment.enrolment import approve, own_fingerprint, settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, settings_text
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.flower.control import Control, ControlRefused, RunStatus

REPOSITORY = Path(__file__).resolve().parents[2]
SIGNED_SCHEMA = REPOSITORY / "simulations" / "studies" / "own_table" / "schema.toml"
SITES = ("Berlin", "Bonn", "Essen", "Hamburg")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_coordinator(root: Path, *, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> CoordinatorFolder:
    """host: as hospitals write it."""
    folder = CoordinatorFolder(root)
    root.mkdir(parents=True)
    port = free_port()
    names = ("coordinator.test", host.strip("[]"))
    settings = CoordinatorSettings("test", f"{host}:{port}", f"{listen}:{port}", names)
    folder.settings.write_text(settings_text(settings))
    create_keys(folder, settings, now=datetime.now(UTC))
    return folder


def new_node(root: Path, name: str) -> NodeFolder:
    folder = NodeFolder(root)
    root.mkdir(parents=True)
    folder.settings.write_text(f'[site]\nname = "{name}"\n\n[sockets]\nruntime = "127.0.0.1:{free_port()}"\n')
    return folder


def enrol(coordinator: CoordinatorFolder, node: NodeFolder) -> None:
    acceptance = approve(coordinator, request_bytes(make_request(node)))
    accept(node, acceptance_bytes(acceptance), heard_fingerprint=own_fingerprint(coordinator))


def verify_each_other(nodes: Mapping[str, NodeFolder]) -> None:
    """Each hospital has read its card out to each other one."""
    cards = {site: card_of(member_of(own_request(node))) for site, node in nodes.items()}
    for site, node in nodes.items():
        for other in nodes.keys() - {site}:
            add_peer(node, name=other, card=cards[other])


def signed_plan(
    coordinator: CoordinatorFolder,
    *,
    rounds: int,
    study: str = "test",
    privacy: PrivacySpec | None = None,
    model: ModelSpec | None = None,
) -> StudyPlan:
    """A plan for every approved hospital, in the coordinator's folder. privacy: left out, it promises none."""
    schema_toml = SIGNED_SCHEMA.read_text()
    sites = read_sites(coordinator)
    plan = replace(
        study_plan(model=model, training=TrainingSpec(rounds=rounds), privacy=privacy or no_privacy()),
        study=study,
        schema_hash=parse_schema(schema_toml, where="schema").hash,
        roster=tuple(sites),
        quorum=len(sites),
        members=tuple(site.member for site in sites.values()),
        coordinator_public_key=coordinator.public_key.read_text().strip(),
        bundle_sha256=bundle_sha256(),
        round_timeout_seconds=120.0,
        patience_seconds=10.0,
    )
    document = signed_document(plan, schema_toml=schema_toml, signing_key=read_secret(coordinator.signing_key))
    folder = coordinator.study(plan.hash)
    folder.mkdir(parents=True)
    (folder / "plan.json").write_bytes(document_bytes(document))
    return plan


@dataclass
class Processes:
    """Every process started here, each in a session of its own; `log` has the output of all."""

    log: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        with (self.log / f"{name}.log").open("ab") as output:
            self.running[name] = subprocess.Popen(
                (sys.executable, "-m", *command),
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": _search_path(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for process in self.running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + 5
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
        self.running.clear()

    def text(self, name: str) -> str:
        return (self.log / f"{name}.log").read_text(errors="replace")


def _search_path() -> str:
    """The tests', before whatever says where the product is: it need not be the one that is installed."""
    return os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@dataclass(frozen=True)
class Consortium:
    coordinator: CoordinatorFolder
    nodes: Mapping[str, NodeFolder]
    processes: Processes

    def start_superlink(self) -> None:
        self.processes.start("superlink", "oncofed.server.flower.superlink", str(self.coordinator.root))
        until(self.registered, seconds=60, what="the SuperLink answers")

    def registered(self) -> bool:
        try:
            with Control.of(self.coordinator) as control:
                settle_nodes(self.coordinator, control)
        except ControlRefused:
            return False
        return True

    def start_superexec(self) -> None:
        self.processes.start("superexec", "oncofed.server.flower.superexec", str(self.coordinator.root))

    def start_supernode(self, site: str) -> None:
        self.processes.start(f"{site}-supernode", "oncofed.client.relay.supernode", str(self.nodes[site].root))

    def start_relay(self, site: str) -> None:
        self.processes.start(f"{site}-superexec", "tests.end_to_end.fake_relay_app", str(self.nodes[site].root))

    def start_all(self) -> None:
        self.start_superlink()
        self.start_superexec()
        for site in self.nodes:
            self.start_supernode(site)
            self.start_relay(site)
        self.wait_online(len(self.nodes))

    def online(self) -> int:
        with Control.of(self.coordinator) as control:
            return sum(node.status == "online" for node in control.list_nodes())

    def wait_online(self, count: int) -> None:
        until(lambda: self.online() >= count, seconds=90, what=f"{count} nodes are online")

    def run(self, bundle: bytes, plan: StudyPlan, *, seconds: float) -> RunStatus:
        with Control.of(self.coordinator) as control:
            run_id = control.start_run(bundle, {"plan-hash": plan.hash})
            until(lambda: control.run_status(run_id).finished, seconds=seconds, what="the run ends")
            return control.run_status(run_id)


@contextmanager
def consortium(
    root: Path,
    *,
    sites: tuple[str, ...] = SITES,
    bundles: tuple[str, ...] | None = None,
    host: str = "127.0.0.1",
    listen: str = "127.0.0.1",
) -> Iterator[Consortium]:
    """Folders enrolled with one another and nothing started yet; whatever is started ends with the block."""
    coordinator = new_coordinator(root / "coordinator", host=host, listen=listen)
    nodes = {site: new_node(root / site, site) for site in sites}
    for node in nodes.values():
        enrol(coordinator, node)
        node.bundles.parent.mkdir(exist_ok=True)
        node.bundles.write_text("\n".join(bundles if bundles is not None else (bundle_sha256(),)) + "\n")
    log = root / "logs"
    log.mkdir()
    processes = Processes(log)
    try:
        yield Consortium(coordinator, nodes, processes)
    finally:
        processes.end()


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)
