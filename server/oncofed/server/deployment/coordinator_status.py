"""What runs at this coordinator, who is online, how long do its certificates hold, and how far is each study?

In lines, in JSON and as an exit code. The form of the JSON is `FORM`'s; fields may be added to it, none is taken away
or means something else. Nothing in it is more than hospitals released. A study that cannot be read hides none of the
others. What the server must be asked for (`ask_server`, a call to this machine that may take its time) is apart from
what stands in the folder, so that nobody who looks often has to wait for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from cryptography import x509

from oncofed.errors import OncofedError
from oncofed.plain_file import plain_bytes
from oncofed.running import Part, parts_of
from oncofed.secret_files import LARGEST_SECRET
from oncofed.server.deployment.at_work import is_at_work
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings
from oncofed.server.deployment.member_files import Hospitals, look_at
from oncofed.server.deployment.runs import current_run, shown
from oncofed.server.flower.control import Control, ControlRefused, RunStatus
from oncofed.server.report.reading import read_deployed_study
from oncofed.server.report.study import DeployedStudy, state_in_words

FORM = 1
SHORTEST_VALIDITY = timedelta(days=30)
"""Of a certificate: an end that is nearer is told."""
_LOOK_SECONDS = 5.0
NOT_REGISTERED, UNKNOWN, DAMAGED = "not registered", "unknown", "damaged"


@dataclass(frozen=True)
class Certificate:
    """name: server or authority, as they lie in keys/; served: what a running server shows.

    until  its end; None where it is lost or damaged.
    """

    name: str
    until: datetime | None

    def line(self, now: datetime, *, folder: Path) -> str | None:
        """What is to be told of it; None while it holds for long."""
        remedies = {
            "server": f"oncofed coordinator init {folder} --renew-certificate, and start the server again",
            "authority": f"oncofed coordinator change {folder} --new-authority --out DIR, on a day that all know",
            "served": "the server goes on with a former certificate: start it again",
        }
        remedy = remedies[self.name]
        if self.until is None:
            remedy = remedy if self.name == "server" else "restore keys/ca.crt from a backup"
            return f"{self.name} certificate: is lost or damaged: {remedy}"
        if self.until - now >= SHORTEST_VALIDITY:
            return None
        ended = "ended" if self.until <= now else "ends"
        return f"{self.name} certificate: {ended} on {self.until:%Y-%m-%d}: {remedy}"

    def holds(self, now: datetime) -> bool:
        """Whether hospitals can trust it now."""
        return self.until is not None and now < self.until


@dataclass(frozen=True)
class StudyStatus:
    """study: None where its folder cannot be read; fault says why. run: what the SuperLink knows of it.

    shown  as many digits of the hash as tell it from other studies here.
    """

    plan_hash: str
    shown: str
    study: DeployedStudy | None
    at_work: bool
    run: tuple[int, RunStatus] | None = None
    fault: str = ""

    @property
    def state(self) -> str:
        """finished | under way | stopped | not started | unreadable."""
        if self.study is None:
            return "unreadable"
        if self.study.finished:
            return "finished"
        if self.at_work:
            return "under way"
        return "stopped" if self.study.rounds or self.study.events else "not started"

    def fields(self) -> dict[str, object]:
        """For JSON."""
        study = self.study
        last = max(study.rounds, key=lambda row: row.round) if study is not None and study.rounds else None
        return {
            "plan": self.plan_hash,
            "study": None if study is None else study.plan.study,
            "state": self.state,
            "words": self.fault if study is None else state_in_words(study),
            "rounds_planned": None if study is None else study.plan.training.rounds,
            "rounds_done": None if study is None else study.last_round,
            "last_round": None if last is None else last.finished_at.isoformat(timespec="seconds"),
            "answers": None if study is None else dict(study.answers),
            "run": None if self.run is None else {"id": str(self.run[0]), **vars(self.run[1])},
        }


@dataclass(frozen=True)
class ServerWords:
    """What the server said when it was asked.

    states      of each node id, as Flower says; None while it does not answer, with `unreached`.
    since       of those of which it knows since when.
    runs        of each study that was asked about: the run that works on it or did last.
    served      the certificate that it shows; None where it shows none.
    """

    states: Mapping[int, str] | None
    since: Mapping[int, datetime] = field(default_factory=dict)
    runs: Mapping[str, tuple[int, RunStatus] | None] = field(default_factory=dict)
    served: Certificate | None = None
    unreached: str = ""


@dataclass(frozen=True)
class CoordinatorStatus:
    """states, since, unreached: of `ServerWords`."""

    name: str
    at: datetime
    folder: Path
    parts: tuple[Part, ...]
    certificates: tuple[Certificate, ...]
    hospitals: Hospitals
    states: Mapping[int, str] | None
    since: Mapping[int, datetime] = field(default_factory=dict)
    studies: tuple[StudyStatus, ...] = field(default=())
    unreached: str = ""

    @property
    def is_well(self) -> bool:
        """Whether all parts run, the server answers, and hospitals can trust it."""
        certain = all(certificate.holds(self.at) for certificate in self.certificates)
        return self.states is not None and all(part.runs for part in self.parts) and certain

    def of_hospitals(self) -> dict[str, str]:
        """online | offline | registered | not registered | unknown | suspended | removed | damaged, by hospital."""
        found = {}
        for site in self.hospitals.known.values():
            if not site.is_member:
                found[site.site] = site.standing.value
            elif self.states is None:
                found[site.site] = UNKNOWN
            elif site.node_id is None:
                found[site.site] = NOT_REGISTERED
            else:
                found[site.site] = self.states.get(site.node_id, UNKNOWN)
        return found | dict.fromkeys(self.hospitals.damaged, DAMAGED)

    def since_of_hospitals(self) -> dict[str, datetime]:
        """Since when each is what `of_hospitals` says; without those of whom nobody knows."""
        found = {}
        for site in self.hospitals.known.values():
            if not site.is_member and site.decided_ms:
                found[site.site] = datetime.fromtimestamp(site.decided_ms / 1000, tz=UTC)
            elif site.is_member and site.node_id is not None and site.node_id in self.since:
                found[site.site] = self.since[site.node_id]
        return found

    def lines(self) -> Iterator[str]:
        """For a person: all but the studies."""
        yield from self.troubles()
        for name, state in self.of_hospitals().items():
            yield f"{name:24s} {state}"

    def troubles(self) -> Iterator[str]:
        """For a person: what does not run, and which certificate ends."""
        if self.states is None:
            yield f"The server is not running ({self.unreached})"
        yield from (str(part) for part in self.parts if not part.runs)
        ends = {certificate.name: certificate.until for certificate in self.certificates}
        for certificate in self.certificates:
            if certificate.name == "served" and certificate.until == ends["server"]:
                continue
            line = certificate.line(self.at, folder=self.folder)
            if line is not None:
                yield line

    def fields(self) -> dict[str, object]:
        """For JSON."""
        since = self.since_of_hospitals()
        return {
            "form": FORM,
            "name": self.name,
            "at": self.at.isoformat(timespec="seconds"),
            "version": version("oncofed"),
            "is_well": self.is_well,
            "parts": [part.fields() for part in self.parts],
            "certificates": [
                {"name": each.name, "until": None if each.until is None else each.until.isoformat(timespec="seconds")}
                for each in self.certificates
            ],
            "hospitals": [
                {
                    "site": name,
                    "state": state,
                    "since": since[name].isoformat(timespec="seconds") if name in since else None,
                }
                for name, state in self.of_hospitals().items()
            ],
            "older_or_damaged_files": list(self.hospitals.told),
            "studies": [study.fields() for study in self.studies],
        }


def ask_server(folder: CoordinatorFolder, settings: CoordinatorSettings, *, studies: Sequence[str]) -> ServerWords:
    """studies: the hashes of those whose runs are asked about. Takes as long as a connection may, some 30 s."""
    try:
        with Control.of(folder) as control:
            nodes = control.list_nodes()
            runs = {plan_hash: _run_of(folder, control, plan_hash) for plan_hash in studies}
    except ControlRefused as refused:
        return ServerWords(None, unreached=str(refused))
    return ServerWords(
        states={node.node_id: node.status for node in nodes},
        since={node.node_id: node.since for node in nodes if node.since is not None},
        runs=runs,
        served=_served(settings),
    )


def coordinator_status(
    folder: CoordinatorFolder,
    settings: CoordinatorSettings,
    *,
    studies: Sequence[str],
    now: datetime,
    said: ServerWords | None = None,
) -> CoordinatorStatus:
    """studies: the hashes of those that are looked at. said: by the server; left out: it is asked.

    Raises InvalidInput for a folder that is no coordinator's.
    """
    said = ask_server(folder, settings, studies=studies) if said is None else said
    return CoordinatorStatus(
        name=settings.name,
        at=now,
        folder=folder.root,
        parts=parts_of(folder.locks, logs=folder.logs, status=folder.status),
        certificates=(*_kept(folder), *(() if said.served is None else (said.served,))),
        hospitals=look_at(folder),
        states=said.states,
        since=said.since,
        studies=tuple(_study(folder, plan_hash, said.runs.get(plan_hash)) for plan_hash in studies),
        unreached=said.unreached,
    )


def _kept(folder: CoordinatorFolder) -> tuple[Certificate, ...]:
    return (
        Certificate("server", _until(folder.server_certificate)),
        Certificate("authority", _until(folder.ca_certificate)),
    )


def _served(settings: CoordinatorSettings) -> Certificate | None:
    host, _, port = settings.local_address.rpartition(":")
    with suppress(OSError, ValueError):
        shown = ssl.get_server_certificate((host, int(port)), timeout=_LOOK_SECONDS)
        return Certificate("served", x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc)
    return None


def _until(path: Path) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(plain_bytes(path, most=LARGEST_SECRET)).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _run_of(folder: CoordinatorFolder, control: Control, plan_hash: str) -> tuple[int, RunStatus] | None:
    try:
        return current_run(folder, control, plan_hash)
    except ControlRefused:
        raise
    except OncofedError:  # its note is damaged, which `resume` says
        return None


def _study(folder: CoordinatorFolder, plan_hash: str, run: tuple[int, RunStatus] | None) -> StudyStatus:
    path = folder.study(plan_hash)
    try:
        return StudyStatus(plan_hash, shown(folder, plan_hash), read_deployed_study(path), is_at_work(path), run)
    except (OncofedError, OSError) as fault:
        return StudyStatus(plan_hash, shown(folder, plan_hash), None, is_at_work(path), run, str(fault))
