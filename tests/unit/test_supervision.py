"""Does the supervisor keep its processes running, and leave none behind?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oncofed.errors import InvalidInput
from oncofed.supervision import Service, Supervisor

SLEEPS = "import time; print('here', flush=True); time.sleep(600)"


def service(name: str, script: str, **seconds: float) -> Service:
    return Service(name, (sys.executable, "-c", script), dict(os.environ), **seconds)  # type: ignore[arg-type]  # floats


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Watched:
    def __init__(self, folder: Path, *services: Service) -> None:
        self.lines: list[str] = []
        self.status_file = folder / "status.json"
        self.supervisor = Supervisor(
            services, logs=folder / "logs", status=self.status_file, grace_seconds=1.0, echo=self.lines.append
        )

    def process(self, name: str) -> dict[str, object]:
        status = json.loads(self.status_file.read_text())
        return next(one for one in status["processes"] if one["process"] == name)

    def pid(self, name: str) -> int:
        return int(str(self.process(name)["pid"]))


@contextmanager
def running(watched: Watched) -> Iterator[Watched]:
    thread = threading.Thread(target=watched.supervisor.run)
    thread.start()
    try:
        until(watched.status_file.exists, "a status file")
        yield watched
    finally:
        watched.supervisor.stop()
        thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_killed_process_is_started_again_and_the_other_left_alone(tmp_path: Path) -> None:
    with running(Watched(tmp_path, service("a", SLEEPS, first_wait_seconds=0.1), service("b", SLEEPS))) as watched:
        before, other = watched.pid("a"), watched.pid("b")
        os.kill(before, signal.SIGKILL)
        until(lambda: watched.process("a")["pid"] not in (None, before), "a new process")
        assert watched.process("a")["restarts"] == 1
        assert watched.process("a")["last_exit"] == -signal.SIGKILL
        assert watched.pid("b") == other
        new = watched.pid("a")
    assert not alive(new)
    assert not alive(other)
    assert watched.process("a")["pid"] is None


def test_early_deaths_are_waited_for_longer_each_time(tmp_path: Path) -> None:
    with running(
        Watched(tmp_path, service("a", "raise SystemExit(3)", first_wait_seconds=0.1, longest_wait_seconds=0.3))
    ) as watched:
        until(lambda: len(watched.lines) >= 3, "three deaths")
    assert "ended (exit code 3)" in watched.lines[0]
    assert int(str(watched.process("a")["restarts"])) >= 3


def test_waits_double_up_to_the_longest(tmp_path: Path) -> None:
    watched = Watched(tmp_path, service("a", "pass", first_wait_seconds=1, longest_wait_seconds=5))
    one = watched.supervisor._running[0]
    waits = []
    for _ in range(5):
        one.process = subprocess.Popen(["true"], start_new_session=True)
        one.process.wait()
        one.started_at = watched.supervisor._monotonic()
        watched.supervisor._note_death(one, 0)
        waits.append(round(one.start_at - watched.supervisor._monotonic()))
    assert waits == [1, 2, 4, 5, 5]
    one.process = subprocess.Popen(["true"], start_new_session=True)
    one.process.wait()
    one.started_at = watched.supervisor._monotonic() - 31
    watched.supervisor._note_death(one, 0)
    assert one.start_at <= watched.supervisor._monotonic()


def test_a_process_that_ignores_the_end_and_its_children_are_ended(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with running(Watched(tmp_path, service("a", stubborn))) as watched:
        until(lambda: any("child" in line for line in watched.lines), "a child")
        child = int(watched.lines[0].split()[-1])
        leader = watched.pid("a")
        assert alive(child)
    assert not alive(leader)
    until(lambda: not alive(child), "the child is gone")


def test_what_a_dead_process_left_behind_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    leaving = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid, flush=True)\n"
    )
    with running(Watched(tmp_path, service("a", leaving, first_wait_seconds=60))) as watched:
        until(lambda: any("child" in line for line in watched.lines), "a child")
        child = int(next(line for line in watched.lines if "child" in line).split()[-1])
        until(lambda: not alive(child), "the child is gone")


def test_output_is_in_a_log_of_its_own_with_the_name_in_front(tmp_path: Path) -> None:
    with running(Watched(tmp_path, service("a", SLEEPS))) as watched:
        until(lambda: watched.lines == ["[a] here"], "a line")
    assert (tmp_path / "logs" / "a.log").read_text().endswith("[a] here\n")


def test_a_process_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    inner = (
        "from oncofed.supervision import end_with_parent; end_with_parent(); import pathlib, time; "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    outer = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from oncofed.supervision import Service, Supervisor\n"
        f"service = Service('a', (sys.executable, '-c', {inner!r}), dict(os.environ))\n"
        f"Supervisor([service], logs=Path({str(tmp_path)!r}), status=Path({str(tmp_path / 's.json')!r})).run()\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", outer])
    try:
        until((tmp_path / "s.json").exists, "a status file")
        pid = json.loads((tmp_path / "s.json").read_text())["processes"][0]["pid"]
        until(ready.exists, "its first line")
    finally:
        supervisor.kill()
        supervisor.wait()
    until(lambda: not alive(pid), "the process is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    outer = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from oncofed.supervision import Service, Supervisor\n"
        f"service = Service('a', (sys.executable, '-c', {SLEEPS!r}), dict(os.environ))\n"
        f"Supervisor([service], logs=Path({str(tmp_path)!r}), status=Path({str(tmp_path / 's.json')!r})).run()\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", outer])
    try:
        until((tmp_path / "s.json").exists, "a status file")
        pid = json.loads((tmp_path / "s.json").read_text())["processes"][0]["pid"]
        supervisor.send_signal(number)
        assert supervisor.wait(timeout=10) == 0
    finally:
        supervisor.kill()
        supervisor.wait()
    assert not alive(pid)


def test_a_second_supervisor_of_the_same_folder_is_refused_and_the_first_is_left_alone(tmp_path: Path) -> None:
    with running(Watched(tmp_path, service("one", SLEEPS))) as first:
        until(lambda: first.status_file.exists() and "one" in first.status_file.read_text(), "it runs")
        before = first.status_file.read_bytes()
        second = Watched(tmp_path, service("two", SLEEPS))
        second.supervisor.stop()  # were it not refused, it would end at once
        with pytest.raises(InvalidInput, match="is started already"):
            second.supervisor.run()
        assert first.status_file.read_bytes() == before
        assert alive(first.pid("one"))
    again = Watched(tmp_path, service("one", SLEEPS))
    with running(again):
        until(lambda: '"pid": null' not in again.status_file.read_text(), "once the first has ended")
