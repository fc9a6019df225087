"""Do the two installation pages lead four hospitals and a coordinator to a model, by their commands alone?

Every line is taken from the pages and typed by bash as it stands, but for what a reader replaces: the names, and the
folders and users of four hospitals that are on one machine here. Services run by `start`, as the page says for a
machine without systemd. What people do beside typing (a mail, a telephone call, a text editor) is in `Walk`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.flower_processes import free_port
from tests.end_to_end.supervised_consortium import DISTRIBUTED, STUDY
from tests.installed_node import SCHEMA, table

REPOSITORY = Path(__file__).resolve().parents[2]
HOSPITALS = ("berlin", "bonn", "essen", "hamburg")
ROUNDS = 8
_FINGERPRINT = re.compile(r"(?:[0-9a-f]{4} ){7}[0-9a-f]{4}")
_HOSPITAL, _COORDINATOR = (REPOSITORY / f"docs/install-{end}.md" for end in ("hospital", "coordinator"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="adds system users: root's"),
    pytest.mark.skipif(not Path("/usr/bin/python3.11").exists(), reason="no Python 3.11 of the system"),
]


def block(page: Path, first: str) -> list[str]:
    """The lines of the page's first block of which a line begins with `first`; continued lines are joined."""
    found: list[list[str]] = [
        text.replace("\\\n", " ").splitlines()
        for text in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        if any(line.startswith(first) for line in text.splitlines())
    ]
    assert found, (page.name, first)
    return found[0]


@dataclass
class Walk:
    """One person at a keyboard after the other, and the telephone between them."""

    base: Path
    port: int
    steps: int = 0
    services: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for place in ("bin", "etc", "srv", "mail"):
            (self.base / place).mkdir(parents=True)

    @property
    def coordinator(self) -> Path:
        return self.base / "coordinator"

    def node(self, name: str) -> Path:
        return self.base / "etc" / name

    def here(self, line: str, name: str = "") -> str:
        """The line with this walk's folders, users and names."""
        users = {end: f"ow-{name}-{end}" for end in ("guard", "node", "relay")}
        for old, new in (
            (r" --index-url \S+", ""),  # torch comes from wherever pip is set up to look
            (r"\.venv/bin/", f"{sys.prefix}/bin/"),
            (r"--wheel-dir wheels|--dest wheels", lambda found: found[0].replace("wheels", str(self.base / "wheels"))),
            (r"\(cd wheels", f"(cd {self.base}/wheels"),
            (r"--find-links wheels", f"--find-links {self.base}/wheels"),
            (r"/opt/oncofed", f"{self.base}/program"),
            (r"/usr/local/bin/oncofed", f"{self.base}/bin/oncofed"),
            (r"/etc/oncofed", str(self.node(name))),
            (r"/srv/oncofed", str(self.base / "srv" / name)),
            (r"/var/lib/oncofed-coordinator", str(self.coordinator)),
            (
                r"-u oncofed-coordinator|-o oncofed-coordinator -g oncofed-coordinator",
                lambda f: f[0].replace("oncofed", "ow"),
            ),
            (r"\boncofed-(guard|node|relay)\b", lambda found: users[found[1]]),
            (r"(\$user|nologin) oncofed-coordinator", r"\1 ow-coordinator"),
            (r"fl\.example\.org:9443", f"127.0.0.1:{self.port}"),
            (r"\bcharite\b", name),
        ):
            line = re.sub(old, new, line)
        return line

    def type(self, lines: Sequence[str], name: str = "", *, answers: str = "", folder: Path = Path("/")) -> str:
        """What the lines say. A line that fails ends the walk; what is for systemd is passed over."""
        told = []
        joined = "\n".join(lines)
        loops = re.sub(
            r"^for .*?^done$",
            lambda found: found[0].replace("\n", "; ").replace("do;", "do"),
            joined,
            flags=re.S | re.M,
        )
        for line in loops.splitlines():
            if line.startswith("systemctl"):
                continue
            self.steps += 1
            done = subprocess.run(
                ["bash", "-c", f"umask 022; {self.here(line, name)}"],
                check=False,
                cwd=folder,
                env=os.environ | {"PATH": f"{self.base}/bin:{os.environ['PATH']}", "PYTHONPATH": ""},
                input=answers,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, (line, self.here(line, name), done.stdout, done.stderr)
            told.append(done.stdout)
        return "".join(told)

    def until(self, line: str, name: str, wanted: str) -> str:
        """What `wanted` finds in what the line says; it is typed until it does, and is one step."""
        steps, ends = self.steps, time.monotonic() + 600
        while (found := re.search(wanted, self.type([line], name))) is None:
            assert time.monotonic() < ends, (line, (self.base / f"{name}.log").read_text())
            time.sleep(2)
        self.steps = steps + 1
        return found[0]

    def serve(self, line: str, name: str = "") -> None:
        self.steps += 1
        command = self.here(line, name)
        environment = os.environ | {"PATH": f"{self.base}/bin:{os.environ['PATH']}", "PYTHONPATH": ""}
        with (self.base / f"{name or 'coordinator'}.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.base, env=environment, stdout=log, stderr=log, text=True
            )
        self.services.append(process)

    def as_coordinator(self, line: str, name: str = "", *, answers: str = "") -> str:
        return self.type([line], name, answers=answers, folder=self.coordinator)


def fingerprint(told: str) -> str:
    found = _FINGERPRINT.search(told)
    assert found, told
    return found[0]


@contextmanager
def walking(base: Path) -> Iterator[Walk]:
    walk = Walk(base, free_port())
    try:
        yield walk
    finally:
        for process in walk.services:
            process.send_signal(signal.SIGTERM)
        for process in walk.services:
            process.wait(60)
        users = ["ow-coordinator", *(f"ow-{name}-{end}" for name in HOSPITALS for end in ("guard", "node", "relay"))]
        for user in users:
            subprocess.run(["userdel", user], capture_output=True, check=False)
        shutil.rmtree(base)


def policy_of_the_page(walk: Walk, name: str) -> str:
    """The page's rules, and the one line more that a study of shared noise needs."""
    (rules,) = re.findall(r"```toml\n(\[node\].*?)```", _HOSPITAL.read_text(), flags=re.DOTALL)
    return walk.here(rules, name) + "fewest_colluding_tolerated = 1\n"


def test_four_hospitals_come_to_a_model_by_the_pages_alone() -> None:
    began = time.monotonic()
    with walking(Path("/srv/walk-by-the-pages")) as walk:
        # Wheels are gathered once, and installed once: here, all are on one machine.
        walk.type(block(_HOSPITAL, ".venv/bin/pip download")[1:], folder=REPOSITORY)
        walk.type(block(_COORDINATOR, ".venv/bin/pip wheel"), folder=REPOSITORY)
        walk.type(["(cd wheels && sha256sum *.whl > SHA256SUMS)"])
        install = block(_HOSPITAL, "/opt/oncofed/bin/pip install")
        (of_coordinator,) = block(_COORDINATOR, "/opt/oncofed/bin/pip install")
        walk.type([of_coordinator if "pip install" in line else line for line in install])
        installed = time.monotonic()

        for line in block(_COORDINATOR, "runuser -P -u oncofed-coordinator -- oncofed coordinator init"):
            told = walk.type([line]) if "units" not in line else ""
            if "coordinator init" in line:
                its_fingerprint = fingerprint(told)
        walk.serve("runuser -P -u oncofed-coordinator -- oncofed coordinator start /var/lib/oncofed-coordinator")

        approve, enrol = block(_COORDINATOR, "runuser -P -u oncofed-coordinator -- oncofed coordinator approve")
        cards = {}
        for number, name in enumerate(HOSPITALS):
            *users, init = block(_HOSPITAL, "oncofed site init")
            walk.type([*users, f"{init} --port {free_port()}"], name)  # four on one machine
            place, copy = block(_HOSPITAL, "install -d -m 750")
            walk.type([place], name)
            patients = table(300 + 20 * number, prefix=f"{name}-", seed=number)
            patients["age"] = patients["age"].astype(np.float64)
            patients.to_parquet(walk.base / "mail" / "registry.parquet")
            walk.type([copy], name, folder=walk.base / "mail")
            (walk.node(name) / "policy.toml").write_text(policy_of_the_page(walk, name))
            walk.type(block(_HOSPITAL, "oncofed site check"), name)
            read_out = fingerprint(walk.type(block(_HOSPITAL, "oncofed site request"), name, folder=walk.base / "mail"))
            shutil.copy(walk.base / "mail" / f"{name}.request.json", walk.coordinator)
            walk.as_coordinator(approve, name, answers=f"{read_out}\n")
            shutil.copy(walk.coordinator / f"{name}.acceptance.json", walk.base / "mail")
            walk.as_coordinator(enrol)
            answers = f"{its_fingerprint}\n"
            walk.type(block(_HOSPITAL, "oncofed site accept"), name, answers=answers, folder=walk.base / "mail")
            walk.serve("oncofed site start /etc/oncofed", name)
            card, verify, peers = block(_HOSPITAL, "oncofed site card")
            cards[name] = fingerprint(walk.type([card], name))
        for name in HOSPITALS:
            for other in HOSPITALS:
                if other != name:
                    walk.type([verify.replace("essen", other)], name, answers=f"{cards[other]}\n")

        new, validate, sign, show, run = block(_COORDINATOR, "runuser -P -u oncofed-coordinator -- oncofed study new")
        walk.as_coordinator(new)
        settings = {"rounds": ROUNDS, "timeout": 60, "patience": 900, "privacy": DISTRIBUTED, "quorum": ""}
        study = STUDY.format(name="lung", **settings).replace("delta = 1e-5", "delta = 1e-6")
        (walk.coordinator / "lung/study.toml").write_text(study)
        (walk.coordinator / "lung/schema.toml").write_text(SCHEMA)
        for line in (validate, sign, show):
            walk.as_coordinator(line)
        walk.serve(f"runuser -P -u oncofed-coordinator -- sh -c 'cd {walk.coordinator} && {run.rpartition(' -- ')[2]}'")

        (listed, shown), (yes, _) = block(_HOSPITAL, "oncofed site plans"), block(_HOSPITAL, "oncofed site approve")
        for name in HOSPITALS:
            plan = walk.until(listed, name, r"\b[0-9a-f]{12,64}\b")
            words, others = (
                walk.type([shown.replace("4f1c", plan)], name),
                walk.type([peers.replace("4f1c", plan)], name),
            )
            assert all(other in words and cards[other] in others for other in HOSPITALS if other != name)
            walk.type([yes.replace("4f1c", plan)], name, answers="y\n")
        approved = time.monotonic()

        status, _, _ = block(_HOSPITAL, "oncofed site status")
        walk.until(status, HOSPITALS[-1], "ended")
        walk.as_coordinator("runuser -P -u oncofed-coordinator -- oncofed coordinator status .")
        explain, _ = block(_HOSPITAL, "oncofed site explain")
        assert "age" in walk.type([explain.replace("4711", f"{HOSPITALS[0]}--00007")], HOSPITALS[0])
        print(
            f"{walk.steps} lines typed; installed after {installed - began:.0f} s, "
            f"approved after {approved - installed:.0f} s, the model after {time.monotonic() - approved:.0f} s more"
        )
