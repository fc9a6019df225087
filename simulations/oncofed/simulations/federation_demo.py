"""What does a real consortium look like, all of it on this machine? `make demo-federation`.

One coordinator and four hospitals as processes of their own on loopback, set up with the very commands that a
coordinator and hospital IT type: keys, enrolment by request and acceptance, policies, a signed plan, four approvals,
training with differential privacy, release of the key markers, delivery of the model, the report. The patients are
invented. With `--privacy distributed` hospitals share the noise of masked sums. Everything runs as one user, which is
for trying out only; docs/install-hospital.md shows the real installation.

Whatever is started here is ended here, by its process id, also after Ctrl-C or a failure.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from oncofed.errors import FederationFailure

HOSPITALS = ("aachen", "bonn", "celle", "dresden")
_ROUNDS = 20
_STUDY = f"""\
[study]
name = "demo_federation_invented_patients"
title = "Demonstration: one coordinator, four hospitals"

[data]
schema = "schema.toml"

[model]
hidden_units = []
baseline_weight = 0.5

[training]
mode = "full_batch"
strategy = "fedadam"
rounds = {_ROUNDS}
server_learning_rate = 0.03
weight_decay = 3
calibration_rounds = 0

[privacy]
{{privacy}}
epsilon = 3
delta = 1e-6
l2_norm_bound = 2
bounding = "clip"
reserve_rounds = 2

[explanations]
budget_share = 0.15

[consortium]
round_timeout_seconds = 60
patience_seconds = 300
summary_answer_seconds = 2
"""
_POLICY = """\
[node]
smallest_cohort = 50
largest_parameters = 100_000
allowed_plans = ["any"]

[[source]]
name = "registry"
kind = "parquet"
path = "{path}"
largest_epsilon = 3.0
delta = 1e-6
smallest_noise_multiplier = 1.0
{shared}
"""
PRIVACY = {
    "local": 'mode = "local"',
    "distributed": 'mode = "distributed"\ndropouts = 1\ncolluding = 1',
}
"""One hospital may be missing and one may side with the coordinator, so two of four shares of noise are guaranteed."""


def study_of(privacy: str) -> str:
    """The study file."""
    return _STUDY.format(privacy=PRIVACY[privacy])


def policy_of(table: Path, *, privacy: str) -> str:
    """Each hospital's policy.toml. Noise may be shared only where the hospital says so."""
    shared = "fewest_colluding_tolerated = 1" if privacy == "distributed" else ""
    return _POLICY.format(path=table, shared=shared)


@dataclass(frozen=True)
class Demo:
    """told: one line for each command that is run, so that a reader can repeat it. privacy: a key of `PRIVACY`."""

    root: Path
    told: Callable[[str], None]
    privacy: str = "local"

    @property
    def coordinator(self) -> Path:
        return self.root / "coordinator"

    def node(self, hospital: str) -> Path:
        return self.root / hospital

    def oncofed(self, *arguments: str, quiet: bool = False) -> str:
        """Run one command as a person would, and return what it says. Raises FederationFailure with its words."""
        if not quiet:
            self.told(f"$ oncofed {shlex.join(_shortened(arguments, self.root))}")
        done = subprocess.run(_command(*arguments), capture_output=True, text=True, cwd=self.root, check=False)  # noqa: S603 - our own command
        if done.returncode != 0:
            raise FederationFailure(f"oncofed {arguments[0]} {arguments[1]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def set_up(self, *, patients: int) -> str:
        """Tables, keys, enrolment, policies, and the signed plan; its hash."""
        self.oncofed(
            *("cohort", "generate", "--patients", str(patients), "--hospitals", str(len(HOSPITALS))),
            *("--seed", "5", "--quiet", "--out", str(self.root / "consortium")),
        )
        _cut(self.root)
        port = _free_port()
        address = f"127.0.0.1:{port}"
        self.oncofed(
            "coordinator", "init", str(self.coordinator), "--name", "demo", "--address", address, "--listen", address
        )
        own = _fingerprint(self.oncofed("coordinator", "enrol", str(self.coordinator), quiet=True))
        for hospital in HOSPITALS:
            self._enrol(hospital, coordinators_fingerprint=own)
        if self.privacy == "distributed":
            self._verify_each_other()
        (self.root / "study.toml").write_text(study_of(self.privacy))
        (self.root / "schema.toml").write_text((self.root / "consortium" / "schema.toml").read_text())
        signed = self.oncofed(
            *("study", "sign", str(self.root / "study.toml"), "--coordinator", str(self.coordinator)),
            *("--out", str(self.root / "plan.json")),
        )
        found = re.search(r"^Plan ([0-9a-f]{64})$", signed, re.MULTILINE)
        assert found is not None
        return found[1]

    def _enrol(self, hospital: str, *, coordinators_fingerprint: str) -> None:
        node, request = str(self.node(hospital)), str(self.root / f"{hospital}.request.json")
        acceptance = str(self.root / f"{hospital}.acceptance.json")
        self.oncofed("site", "init", node, "--name", hospital, "--port", str(_free_port()))
        table = self.root / f"{hospital}.parquet"
        (self.node(hospital) / "policy.toml").write_text(policy_of(table, privacy=self.privacy))
        heard = _fingerprint(self.oncofed("site", "request", node, "--out", request))
        self.oncofed(
            *("coordinator", "approve", str(self.coordinator), request, "--out", acceptance, "--fingerprint", heard)
        )
        self.oncofed("site", "accept", node, acceptance, "--fingerprint", coordinators_fingerprint)
        self.oncofed("site", "check", node)

    def _verify_each_other(self) -> None:
        """As people do over the telephone: who shares its noise must know the others without the coordinator's word."""
        cards = {}
        for hospital in HOSPITALS:
            _, _, cards[hospital] = self.oncofed("site", "card", str(self.node(hospital))).strip().partition(": ")
        for hospital in HOSPITALS:
            for other in HOSPITALS:
                if other != hospital:
                    self.oncofed("site", "verify", str(self.node(hospital)), other, "--card", cards[other])


@contextmanager
def _running(demo: Demo, *commands: tuple[str, ...]) -> Iterator[None]:
    """Each command in a session of its own; all are ended with the block."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, arguments in enumerate(commands):
            demo.told(f"$ oncofed {shlex.join(_shortened(arguments, demo.root))} &")
            with (demo.root / f"process-{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(  # noqa: S603 - our own command
                        _command(*arguments),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
        yield
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def run(root: Path, *, patients: int, privacy: str, console: Console) -> None:
    """The whole demonstration in an empty folder."""
    demo = Demo(root, lambda line: console.print(line, style="dim", highlight=False, soft_wrap=True), privacy)
    plan_hash = demo.set_up(patients=patients)
    nodes = [("site", "start", str(demo.node(hospital))) for hospital in HOSPITALS]
    with _running(demo, ("coordinator", "start", str(demo.coordinator)), *nodes):
        _until(lambda: _tries(demo, "coordinator", "status", str(demo.coordinator)), seconds=60)
        _until(lambda: demo.oncofed("coordinator", "status", str(demo.coordinator), quiet=True).count("online") >= 4)
        demo.oncofed("coordinator", "run", str(demo.coordinator), str(root / "plan.json"), "--detach")
        for hospital in HOSPITALS:
            _until((demo.node(hospital) / "guard" / "plans" / f"{plan_hash}.json").exists)
            demo.oncofed("site", "approve", str(demo.node(hospital)), plan_hash[:12], "--source", "registry", "--yes")
        _watch(demo, plan_hash, console)
    report = root / "report.html"
    demo.oncofed("coordinator", "report", str(demo.coordinator), "--out", str(report))
    console.print(
        demo.oncofed("study", "explain", str(demo.coordinator), "--most", "8"), highlight=False, soft_wrap=True
    )
    console.print(demo.oncofed("site", "ledger", str(demo.node(HOSPITALS[0]))), highlight=False)
    patient = str(pd.read_parquet(root / f"{HOSPITALS[0]}.parquet")["patient_id"].iloc[0])
    explained = demo.oncofed("site", "explain", str(demo.node(HOSPITALS[0])), "--patient", patient, "--top", "8")
    console.print(explained, highlight=False)
    console.print(f"Look at {report}", highlight=False)


def _watch(demo: Demo, plan_hash: str, console: Console) -> None:
    """All five in one view, until the model is delivered or the run has failed."""
    study = demo.coordinator / "studies" / plan_hash
    began = time.monotonic()
    with Live(console=console, refresh_per_second=2) as live:
        while True:
            rounds, events = _lines(study / "rounds.jsonl"), _lines(study / "events.jsonl")
            live.update(_view(demo, rounds, events, seconds=time.monotonic() - began))
            last = events[-1]["event"] if events else ""
            if last == "finished":
                return
            if last == "stopped":
                raise FederationFailure(f"the run stopped: {events[-1]['cause']}")
            time.sleep(0.5)


def _view(demo: Demo, rounds: list[dict[str, object]], events: list[dict[str, object]], *, seconds: float) -> Group:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "state", "releases", "last"):
        table.add_column(heading)
    state = str(events[-1]["event"]) if events else "starting"
    took = f"last round {rounds[-1]['seconds']} s" if rounds else ""
    table.add_row("coordinator", f"{state}, round {len(rounds)} of {_ROUNDS}", "", took)
    for hospital in HOSPITALS:
        entries = _lines(demo.node(hospital) / "guard" / "audit.jsonl")
        events_of = [str(entry["event"]) for entry in entries]
        approved = "plan approved" if "approved" in events_of else "plan waits" if "plan_kept" in events_of else "ready"
        left = sum(1 for entry in entries if entry.get("round") is not None and entry.get("left"))
        last = f"{entries[-1]['event']} {entries[-1].get('code') or ''}" if entries else ""
        table.add_row(hospital, approved, str(left), last)
    bar = ProgressBar(total=_ROUNDS, completed=len(rounds), width=60)
    return Group(Text(), table, bar, Text(f"{seconds:.0f} s", style="dim"))


def _lines(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):  # the last one may be half written
            found.append(json.loads(line))
    return found


def _cut(root: Path) -> None:
    """One table for each hospital, which is all that it ever has."""
    table = pd.read_parquet(root / "consortium" / "patients.parquet")
    for hospital, (_, rows) in zip(HOSPITALS, table.groupby("hospital", sort=True), strict=True):
        rows.to_parquet(root / f"{hospital}.parquet", index=False)


def _until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise FederationFailure(f"not ready within {seconds:.0f} s; the logs are beside the folders")
        time.sleep(0.5)


def _tries(demo: Demo, *arguments: str) -> bool:
    return "not running" not in demo.oncofed(*arguments, quiet=True)


def _fingerprint(text: str) -> str:
    found = re.search(r"[0-9a-f]{4}(?: [0-9a-f]{4}){7}", text)
    assert found is not None
    return found[0]


def _shortened(arguments: tuple[str, ...], root: Path) -> list[str]:
    return [argument.removeprefix(f"{root}/") for argument in arguments]


def _command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "oncofed.cli", *arguments)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@click.command()
@click.option("--out", "root", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--patients", type=click.IntRange(min=400), default=1600, show_default=True, help="Over all hospitals.")
@click.option(
    "--privacy",
    type=click.Choice(list(PRIVACY)),
    default="local",
    show_default=True,
    help="Noise in full at every hospital, or shared under masks.",
)
def main(root: Path, patients: int, privacy: str) -> None:
    """Start a coordinator and four hospitals here, run a study, and end with its report in FOLDER."""
    if root.exists() and any(root.iterdir()):
        raise click.UsageError(f"{root} is not empty; choose another folder.")
    root.mkdir(parents=True, exist_ok=True)
    try:
        run(root.resolve(), patients=patients, privacy=privacy, console=Console())
    except FederationFailure as failure:
        raise click.ClickException(str(failure)) from None


if __name__ == "__main__":
    main()
