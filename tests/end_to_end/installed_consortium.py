"""A coordinator and hospitals as they would be installed, on loopback: patients, policies, guards, and nothing faked.

Set up with the product's own functions and commands. Between each relay and its guard, and between each relay and its
SuperNode, stands a proxy that records the plaintext: the two exits through which anything of a hospital must pass. The
relay finds the proxies through a folder of its own that differs from the hospital's in these two addresses alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from click.testing import CliRunner
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
from tests.installed_node import SCHEMA, SOURCE, planted, table
from tests.leaks import Planted
from tests.recording_proxy import RecordingProxy

from oncofed.cli import oncofed
from oncofed.client.install.folder import NodeFolder, SiteSettings, read_site
from oncofed.client.install.setup import create, settings_text
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.sqlite_ledger import Entry, read_ledger, verify_ledger
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.study_document import StudyDocument, document_bytes, signed_document
from oncofed.secret_files import read_secret
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.deployment.runs import begin, current_run, take_in
from oncofed.server.flower.control import Control, RunStatus

PATIENTS = dict(zip(SITES, (1237, 1361, 1489, 1613), strict=True))
"""Four digits, so that a search for the exact number does not find it by chance; none looks like a year."""

# More than a study with noise asks for, so that it is the plan and not the budget that ends it.
POLICY = """\
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["any"]

[[source]]
name = "{source}"
kind = "csv"
path = "{table}"
largest_epsilon = 4.0
delta = 1e-5
smallest_noise_multiplier = 1.0
allow_no_privacy = true
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
{privacy}

[consortium]
round_timeout_seconds = 60
patience_seconds = 120
answer_seconds = 0.1
summary_answer_seconds = 1
{quorum}
"""
NOISE = 'mode = "local"\nepsilon = 3\ndelta = 1e-5\nl2_norm_bound = 2\nreserve_rounds = {reserve}'
NO_NOISE = 'mode = "none"'
SHARED_NOISE = """\
mode = "distributed"
epsilon = 1.5
delta = 1e-5
l2_norm_bound = 2
reserve_rounds = {reserve}
dropouts = 1
colluding = 1"""

GUARD = "oncofed.client.guard.process"
SUPERNODE = "oncofed.client.relay.supernode"
RELAY = "oncofed.client.relay.superexec"
SUPEREXEC = "oncofed.server.flower.superexec"

_FRAMING = re.compile(rb"(?i)content-length: *\d+")
"""How long an HTTP message is may be any number, and is none of a hospital's."""


@dataclass(frozen=True)
class Hospital:
    """relays_view: the folder that the relay works with. The two proxies record what passes between the processes."""

    folder: NodeFolder
    relays_view: NodeFolder
    before_guard: RecordingProxy
    before_supernode: RecordingProxy
    patients: pd.DataFrame
    planted: Planted

    @property
    def table(self) -> Path:
        return self.folder.root / "patients.csv"

    def left_guard(self) -> list[bytes]:
        """What the guard's side of the socket sent."""
        return self.before_guard.answers()

    def left_relay(self) -> list[bytes]:
        """What the relay's processes sent to the SuperNode, which passes it on to the coordinator."""
        return [_FRAMING.sub(b"", piece) for piece in self.before_supernode.questions()]

    def audit(self) -> tuple[AuditEntry, ...]:
        """Of a log that verifies."""
        return verify_audit_log(self.folder.audit_log).entries

    def charges(self) -> tuple[Entry, ...]:
        """Of a ledger that verifies."""
        verify_ledger(self.folder.ledger, anchor=None)
        return read_ledger(self.folder.ledger)


@dataclass(frozen=True)
class Installed:
    """Hospitals by name, beside the consortium of their folders and processes."""

    root: Path
    base: Consortium
    hospitals: Mapping[str, Hospital]

    @property
    def processes(self) -> Processes:
        return self.base.processes

    def start(
        self,
        *,
        guards: Mapping[str, Sequence[str]] | None = None,
        relays: Mapping[str, str] | None = None,
        coordinator: Mapping[str, str] | None = None,
    ) -> None:
        """Every process.

        guards, relays  for some hospitals another program than the product's, see `odd_guard`.
        coordinator     more of its SuperExec's environment.
        """
        for site, hospital in self.hospitals.items():
            module, *rest = (guards or {}).get(site, (GUARD,))
            self.start_guard(site, module, *rest)
            relay = (relays or {}).get(site, RELAY)
            self.processes.start(f"{site}-relay", relay, str(hospital.relays_view.root))
        self.base.start_superlink()  # registers the keys; a SuperNode that comes too early ends, and nobody restarts it
        self.processes.start("superexec", SUPEREXEC, str(self.base.coordinator.root), environment=coordinator)
        for site, hospital in self.hospitals.items():
            self.processes.start(f"{site}-node", SUPERNODE, str(hospital.folder.root))
        self.base.wait_online(len(self.hospitals))

    def start_guard(self, site: str, module: str = GUARD, *rest: str) -> None:
        folder = str(self.hospitals[site].folder.root)
        self.processes.start(f"{site}-guard", module, folder, *rest, environment={"OMP_NUM_THREADS": "1"})

    def study(
        self,
        name: str,
        *,
        rounds: int,
        privacy: str = NOISE,
        reserve: int = 0,
        quorum: int | None = None,
        readiness: bool = False,
        only: Sequence[str] = (),
    ) -> StudyDocument:
        """Drawn up and signed as `oncofed study sign` does, and known to the coordinator. readiness: a count.

        only  the hospitals that take part; none named: all.
        """
        folder, coordinator = self.root / name, self.base.coordinator
        folder.mkdir()
        (folder / "schema.toml").write_text(SCHEMA)
        sites = read_sites(coordinator)
        text = STUDY.format(
            name=name,
            rounds=rounds,
            quorum="" if quorum is None else f"quorum = {quorum}",
            privacy=privacy.format(reserve=reserve),
        )
        (folder / "study.toml").write_text(text)
        consortium = read_consortium(folder / "study.toml")
        plan = plan_for(
            consortium,
            members=tuple(site.member for name, site in sites.items() if not only or name in only),
            coordinator_public_key=bytes.fromhex(coordinator.public_key.read_text().strip()),
            bundle_sha256=bundle_sha256(),
            readiness=readiness,
        )
        document = signed_document(
            plan, schema_toml=consortium.schema_toml, signing_key=read_secret(coordinator.signing_key)
        )
        return take_in(coordinator, document_bytes(document))

    def begin(self, document: StudyDocument) -> None:
        with Control.of(self.base.coordinator) as control:
            begin(self.base.coordinator, control, document.plan.hash)

    def approve(self, document: StudyDocument, *, by_mail: bool) -> None:
        """By a person of each hospital, who has the plan by mail, or waits until the coordinator has offered it."""
        plan_hash = document.plan.hash
        for site in document.plan.roster:
            hospital = self.hospitals[site]
            if by_mail:
                path = self.base.coordinator.study(plan_hash) / "plan.json"
                cli("site", "plans", str(hospital.folder.root), "--add", str(path))
            offered = hospital.folder.plans / f"{plan_hash}.json"
            until(offered.exists, seconds=60, what=f"{site} was offered the plan")
            cli("site", "approve", str(hospital.folder.root), plan_hash[:12], "--source", SOURCE, "--yes")

    def finish(self, document: StudyDocument, *, seconds: float) -> RunStatus:
        """Wait until the run is over."""
        coordinator, plan_hash = self.base.coordinator, document.plan.hash
        with Control.of(coordinator) as control:

            def status() -> RunStatus:
                found = current_run(coordinator, control, plan_hash)
                assert found is not None
                return found[1]

            until(lambda: status().finished, seconds=seconds, what="the run ends")
            return status()

    def run(self, document: StudyDocument, *, seconds: float, by_mail: bool = True) -> RunStatus:
        """The whole of a study."""
        if by_mail:
            self.approve(document, by_mail=True)
            self.begin(document)
        else:
            self.begin(document)
            self.approve(document, by_mail=False)
        return self.finish(document, seconds=seconds)


def cli(*arguments: str) -> str:
    """What a command of the product says; it must succeed."""
    result = CliRunner().invoke(oncofed, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@contextmanager
def installed(
    *, sites: tuple[str, ...] = SITES, tables: Mapping[str, tuple[pd.DataFrame, Planted]] | None = None
) -> Iterator[Installed]:
    """Enrolled, with policies and patients, and nothing started yet; whatever is started ends with the block.

    tables  other patients than `installed_node`'s, by hospital, and what of them must not leave.
    """
    tables = tables or {site: _usual_table(site) for site in sites}
    with TemporaryDirectory(prefix="oncofed-") as name, ExitStack() as proxies:  # short enough for sockets
        root = Path(name)
        coordinator = new_coordinator(root / "coordinator")
        log = root / "logs"
        log.mkdir()
        processes = Processes(log)
        hospitals = {site: _hospital(root, site, proxies, *tables[site]) for site in sites}
        for hospital in hospitals.values():
            enrol(coordinator, hospital.folder)
        nodes = {site: hospital.folder for site, hospital in hospitals.items()}
        verify_each_other(nodes)
        try:
            yield Installed(root, Consortium(coordinator, nodes, processes), hospitals)
        finally:
            processes.end()


def _usual_table(site: str) -> tuple[pd.DataFrame, Planted]:
    number = SITES.index(site)
    patients = table(PATIENTS[site], prefix=f"MRN-{4711 + number}", seed=number)
    return patients, planted(patients)


def _hospital(root: Path, site: str, proxies: ExitStack, patients: pd.DataFrame, secrets: Planted) -> Hospital:
    folder, view = NodeFolder(root / site), NodeFolder(root / f"{site}-relay")
    create(folder, SiteSettings(site, f"127.0.0.1:{free_port()}", None))
    patients.to_csv(folder.root / "patients.csv", index=False)
    folder.policy.write_text(POLICY.format(source=SOURCE, table=folder.root / "patients.csv"))
    view.run.mkdir(parents=True)
    view.relay.symlink_to(folder.relay)
    port = free_port()
    view.settings.write_text(settings_text(SiteSettings(site, f"127.0.0.1:{port}", None)))
    before_guard = RecordingProxy(listen=view.socket, forward=folder.socket)
    before_supernode = RecordingProxy(listen=("127.0.0.1", port), forward=("127.0.0.1", read_site(folder).runtime_port))
    return Hospital(
        folder, view, proxies.enter_context(before_guard), proxies.enter_context(before_supernode), patients, secrets
    )
