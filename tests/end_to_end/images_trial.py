"""Do the images of packages/ run a study to its end, a coordinator and four nodes, as compose.yaml says?

    python -m tests.end_to_end.images_trial [FOLDER]

As root, with Podman, systemd-nspawn and ip, and with the images `localhost/oncofed-node` and `-coordinator` built.
Where Podman may not run containers, as in a sandbox, each service of compose.yaml is run from its image's root by
systemd-nspawn: the same user, folders, hidden folders, capabilities, read-only root and network. A node has a network
of its own on a bridge, as a machine of its own has; its guard has none. FOLDER is new, and stays with all logs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml  # type: ignore[import-untyped]  # ships no types
from tests.end_to_end.installed_consortium import POLICY, SHARED_NOISE, STUDY
from tests.installed_node import SCHEMA, SOURCE, table

REPOSITORY = Path(__file__).parents[2]
BRIDGE, PREFIX = "oncofed-trial", "10.77.44."
COORDINATOR = "10.77.44.10:9443"
SITES = ("Bonn", "Celle", "Essen", "Hof")
PATIENTS = 400
USERS = "oncofed-guard,oncofed-node,oncofed-relay"
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


@dataclass(frozen=True)
class Machine:
    """network: of `ip netns`. places: what compose's variables and volumes mean here."""

    root: Path
    network: str
    places: Mapping[str, Path]

    def command(self, service: Mapping[str, Any], arguments: Sequence[str], *, alone: bool) -> list[str]:
        """nspawn's, for a service of compose.yaml. alone: without any network."""
        found = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", f"--directory={self.root}"]
        found += ["--read-only"] if service["read_only"] else []
        found += ["--private-network"] if alone else [f"--network-namespace-path=/run/netns/{self.network}"]
        found += ["--no-new-privileges=yes", "--resolv-conf=off", "--timezone=off"]
        for volume in service["volumes"]:
            source, target, *how = _VARIABLE.sub(lambda found: f"@{found[1]}", volume).split(":")
            name, _, below = source.removeprefix("@").partition("/")
            place = Path(source) if source.startswith("/") else self.places[name] / below
            found.append(f"--bind{'-ro' if how == ['ro'] else ''}={place}:{target}")
        for hidden in service.get("tmpfs", ()):
            found.append(f"--tmpfs={hidden}" if ":" in hidden else f"--tmpfs={hidden}:mode=1777")  # as Docker has it
        told = _told_by(service["image"])
        found += [f"--chdir={service.get('working_dir', told.get('WorkingDir') or '/')}"]
        found += [f"--setenv={pair}" for pair in told["Env"]]
        # nspawn would make the user's home first, which nobody has: so root lays everything down here, and goes.
        kept = ",".join(["-all", *(f"+{name.lower()}" for name in service.get("cap_add", ()))])
        user = service["user"]
        becomes = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
        becomes += [f"--bounding-set={kept}", "--inh-caps=-all"]
        return [*found, "--", *becomes, "/opt/oncofed/bin/oncofed", *arguments]


def _told_by(image: str) -> dict[str, Any]:
    told = subprocess.run(["podman", "image", "inspect", image], capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(told)[0]["Config"]
    return found


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The root of a container of the image, which is never run."""

    def podman(*words: str) -> str:
        return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout.strip()

    name = podman("create", image)
    try:
        yield Path(podman("mount", name))
    finally:
        podman("umount", "--force", name)
        podman("rm", name)


@contextmanager
def networks(names: Sequence[str]) -> Iterator[None]:
    """A bridge, and on it a network for each name: 10.77.44.10, .11 and so on."""

    def ip(*words: str, within: str = "") -> None:
        inside = ["ip", "netns", "exec", within] if within else []
        subprocess.run([*inside, "ip", *words], check=True, capture_output=True)

    ip("link", "add", BRIDGE, "type", "bridge")
    made = []
    try:
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            made.append(name)
            ip("link", "add", f"oft{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"oft{number}", "master", BRIDGE, "up")
            ip("addr", "add", f"{PREFIX}{10 + number}/24", "dev", "eth0", within=name)
            ip("link", "set", "eth0", "up", within=name)
            ip("link", "set", "lo", "up", within=name)
        yield
    finally:
        for name in made:
            ip("netns", "delete", name)
        ip("link", "delete", BRIDGE)


class Trial:
    """Services of compose.yaml, one after the other or for as long as the trial lasts."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._kept: list[tuple[list[str], BinaryIO, subprocess.Popen[bytes]]] = []
        stack.callback(self._end_all)
        self._services = yaml.safe_load((REPOSITORY / "packages" / "compose.yaml").read_text())["services"]

    def once(self, machine: Machine, service: str, *arguments: str, may_fail: bool = False) -> str:
        """What a command says."""
        told = self._services[service]
        command = machine.command(told, arguments, alone=told.get("network_mode") == "none")
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode and not may_fail:
            raise SystemExit(f"{machine.network}: oncofed {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start(self, machine: Machine, service: str, *arguments: str) -> subprocess.Popen[bytes]:
        """This command in the background, or the service's own, which `tend` starts again as compose does."""
        told = self._services[service]
        command = machine.command(told, arguments or told["command"], alone=told.get("network_mode") == "none")
        name = "-".join([machine.network, service, *arguments[1:2]])
        log = self._stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if arguments:
            self._stack.callback(_end, process)
        else:
            assert told["restart"] == "unless-stopped"
            self._kept.append((command, log, process))
        return process

    def tend(self) -> None:
        """A SuperNode whose coordinator is not there yet ends after some tries, for instance."""
        for place, (command, log, process) in enumerate(self._kept):
            if process.poll() is not None:
                again = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                self._kept[place] = (command, log, again)

    def _end_all(self) -> None:
        for _, _, process in self._kept:
            _end(process)

    def until(self, happens: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Raises SystemExit."""
        end = time.monotonic() + seconds
        while not happens():
            if time.monotonic() > end:
                raise SystemExit(f"not within {seconds:g} s: {what}")
            self.tend()
            time.sleep(1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()


def fingerprint_in(said: str) -> str:
    """What a person would read out: groups of digits, the only ones that long."""
    found = re.search(r"(?:[0-9a-f]{4} ){7,}[0-9a-f]{4}", said)
    if found is None:
        raise SystemExit(f"no fingerprint in: {said}")
    return found.group()


def run(folder: Path) -> None:
    """The whole of it. Raises SystemExit in words."""
    folder.mkdir(mode=0o755, parents=True)
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", flush=True)

    with ExitStack() as stack:
        stack.enter_context(networks(["oft-coordinator", *(f"oft-{site.lower()}" for site in SITES)]))
        of_node, of_coordinator = (
            stack.enter_context(mounted(f"localhost/oncofed-{end}")) for end in ("node", "coordinator")
        )
        trial = Trial(folder, stack)
        home = folder / "coordinator"
        home.mkdir(mode=0o700)
        os.chown(home, 10104, 10104)
        server = Machine(of_coordinator, "oft-coordinator", {"coordinator": home})
        own = fingerprint_in(
            trial.once(server, "coordinator", "coordinator", "init", ".", "--name", "Trial", "--address", COORDINATOR)
        )
        machines = {site: _node(folder, site, of_node) for site in SITES}
        for number, (site, machine) in enumerate(machines.items()):
            _enrol(trial, server, machine, site, number=number, own=own)
        say("enrolled: a coordinator and four nodes")
        cards = {
            site: fingerprint_in(trial.once(each, "setup", "site", "card", "/etc/oncofed"))
            for site, each in machines.items()
        }
        for site, machine in machines.items():
            for other in SITES:
                if other != site:
                    trial.once(machine, "setup", "site", "verify", "/etc/oncofed", other, "--card", cards[other])
        trial.start(server, "coordinator")
        for machine in machines.values():
            for part in ("guard", "node", "relay"):
                trial.start(machine, part)

        def status() -> str:
            return trial.once(server, "coordinator", "coordinator", "status", ".", may_fail=True)

        try:
            trial.until(lambda: len(re.findall(r"\bonline\b", status())) >= len(SITES), seconds=180, what="all online")
        finally:
            print(status())
        say("online: four nodes of three parts")
        for site, machine in machines.items():
            said = trial.once(machine, "doctor", "site", "doctor", "/etc/oncofed")
            (folder / f"{site}-doctor.txt").write_text(said)
        plan = _sign(trial, server, home)
        say(f"signed: plan {plan[:12]}")
        running = trial.start(server, "coordinator", "coordinator", "run", ".", "trial.plan.json")
        for machine in machines.values():
            offered = machine.places["ONCOFED_NODE"] / "guard" / "plans" / f"{plan}.json"
            trial.until(offered.exists, seconds=120, what=f"{machine.network} was offered the plan")
            trial.once(machine, "setup", "site", "approve", "/etc/oncofed", plan[:12], "--source", SOURCE, "--yes")
        say("approved by four")
        trial.until(lambda: running.poll() is not None, seconds=400, what="the study ends")
        print((folder / "oft-coordinator-coordinator-run.log").read_text())
        if running.returncode:
            raise SystemExit("the study has failed")
        say("the study has ended")
        print(trial.once(server, "coordinator", "coordinator", "report", ".", plan[:12], "--out", "report.html"))
        for site, machine in machines.items():
            print(site, trial.once(machine, "setup", "site", "ledger", "/etc/oncofed"))
        say(f"logs are in {folder}")


def _node(folder: Path, site: str, root: Path) -> Machine:
    """With folders for compose's variables, and a table that its guard alone may read."""
    places = {
        "ONCOFED_NODE": folder / site,
        "ONCOFED_TABLES": folder / f"{site}-tables",
        "ONCOFED_MAIL": folder / "mail",
    }
    for place in places.values():
        place.mkdir(exist_ok=True)
    tables = places["ONCOFED_TABLES"]
    patients = tables / "patients.csv"
    table(PATIENTS, prefix=f"MRN-{4711 + SITES.index(site)}", seed=SITES.index(site)).to_csv(patients, index=False)
    os.chown(tables, 0, 10101)
    tables.chmod(0o750)
    os.chown(patients, 0, 10101)
    patients.chmod(0o440)
    return Machine(root, f"oft-{site.lower()}", places)


def _enrol(trial: Trial, server: Machine, machine: Machine, site: str, *, number: int, own: str) -> None:
    node, mail, home = machine.places["ONCOFED_NODE"], machine.places["ONCOFED_MAIL"], server.places["coordinator"]
    trial.once(machine, "setup", "site", "init", "/etc/oncofed", "--name", site, "--users", USERS)
    (node / "policy.toml").write_text(POLICY.format(source=SOURCE, table="/srv/oncofed/patients.csv"))
    trial.once(machine, "setup", "site", "check", "/etc/oncofed")
    request, acceptance = f"{site}.request.json", f"{site}.acceptance.json"
    said = trial.once(machine, "setup", "site", "request", "/etc/oncofed", "--out", f"/mail/{request}")
    shutil.copy(mail / request, home / request)
    (home / request).chmod(0o644)
    heard = fingerprint_in(said)
    trial.once(
        server, "coordinator", "coordinator", "approve", ".", request, "--out", acceptance, "--fingerprint", heard
    )
    shutil.copy(home / acceptance, mail / acceptance)
    trial.once(machine, "setup", "site", "accept", "/etc/oncofed", f"/mail/{acceptance}", "--fingerprint", own)


def _sign(trial: Trial, server: Machine, home: Path) -> str:
    """The plan's hash."""
    study = home / "trial"
    study.mkdir(mode=0o755)
    (study / "schema.toml").write_text(SCHEMA)
    privacy = SHARED_NOISE.format(reserve=2)
    (study / "study.toml").write_text(STUDY.format(name="trial", rounds=6, privacy=privacy, quorum=""))
    words = ("study", "sign", "trial/study.toml", "--coordinator", ".", "--out", "trial.plan.json")
    trial.once(server, "coordinator", *words)
    said = trial.once(server, "coordinator", "study", "show", "trial.plan.json")
    found = re.search(r"\b[0-9a-f]{64}\b", said)
    if found is None:
        raise SystemExit(f"no plan in: {said}")
    return found.group()


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "/var/tmp/oncofed-trial").absolute())
