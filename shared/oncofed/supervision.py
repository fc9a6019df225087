"""How do several processes run as one command that survives the death of any of them?

`Supervisor` starts each service in a session of its own, writes its output, line by line and without
control characters, to a log that rotates, starts it again when it dies (waiting longer each time that it dies early),
says in one JSON file what runs, and on stop ends every process by its own process group: SIGTERM, then after a grace
period SIGKILL.

Promises: nothing is ended by name; a process that was started is ended, also when the start of a later one fails. A
service that ran for `steady_after_seconds` is started again without delay. The status file is replaced, never half
written. A service whose supervisor is killed ends by itself when it calls `end_with_parent`. Refused: a second
supervisor with the same logs while one runs; it would start everything twice and write over the first one's status.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import plain_bytes
from oncofed.texts import LogLines, one_line

_SUPERVISED = "ONCOFED_SUPERVISED"
_LOOK_SECONDS = 0.1
_ORPHAN_SECONDS = 0.5
_LOG_BYTES = 5_000_000
_LOG_FILES = 5
_LARGEST_PID = 2**22
_LARGEST_STATUS = 1_000_000
"""Bytes of its file, which names a handful of services."""
"""Of Linux."""
SUPERVISOR_LOCK = "supervisor.lock"
"""In the folder of logs."""


@dataclass(frozen=True)
class Service:
    """first_wait_seconds    before the first new start after an early death; doubles to longest_wait_seconds.
    steady_after_seconds  a process that lived this long did not die early.
    user                  name of the user it runs as; None: the supervisor's own.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str | None = None
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    steady_after_seconds: float = 30.0


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    since: str = ""
    restarts: int = 0
    early_deaths: int = 0
    start_at: float = 0.0
    last_exit: int | None = None
    readers: list[threading.Thread] = field(default_factory=list)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """While inside, no other process is; its death frees the lock. Services do not inherit it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        remedy = "Stop it first (Ctrl-C there, or systemctl stop), or leave it running."
        raise InvalidInput([Fault(str(lock.parent.parent), "is started already", remedy)]) from None
    else:
        yield
    finally:
        os.close(descriptor)


class Supervisor:
    """echo is given each line with the name of its service in front, e.g. `print`."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        logs: Path,
        status: Path,
        grace_seconds: float = 10.0,
        echo: Callable[[str], None] = lambda line: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._running = [_Running(service) for service in services]
        self._logs = logs
        self._status = status
        self._grace_seconds = grace_seconds
        self._echo = echo
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._handlers: list[logging.Handler] = []

    def run(self) -> None:
        """Start all, and keep them running until `stop`, or SIGTERM or SIGINT when in the main thread.

        Raises InvalidInput when another one does so already.
        """
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self._logs / SUPERVISOR_LOCK):
            self._run()

    def _run(self) -> None:
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                before[number] = signal.signal(number, lambda *_: self.stop())
        try:
            while not self._stopping.is_set():
                if self._look():
                    self._write_status()
                self._stopping.wait(_LOOK_SECONDS)
        finally:
            self._end_all()
            self._write_status()
            for handler in self._handlers:
                handler.close()
            for number, handler_before in before.items():
                signal.signal(number, handler_before)

    def stop(self) -> None:
        """Make `run` end all and return."""
        self._stopping.set()

    def _look(self) -> bool:
        """Start what is due; whether anything changed."""
        changed = False
        for one in self._running:
            if one.process is not None and (code := one.process.poll()) is not None:
                self._note_death(one, code)
                changed = True
            if one.process is None and self._monotonic() >= one.start_at:
                self._start(one)
                changed = True
        return changed

    def _start(self, one: _Running) -> None:
        service = one.service
        group = None if service.user is None else _group_of(service.user)
        one.process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            service.command,
            env={**service.environment, _SUPERVISED: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=service.user,
            group=group,
            extra_groups=None if service.user is None or group is None else os.getgrouplist(service.user, group),
        )
        one.started_at = self._monotonic()
        one.since = datetime.now(UTC).isoformat(timespec="seconds")
        assert one.process.stdout is not None
        reader = threading.Thread(target=self._read, args=(service.name, one.process.stdout), daemon=True)
        reader.start()
        one.readers.append(reader)

    def _note_death(self, one: _Running, code: int) -> None:
        assert one.process is not None
        lived = self._monotonic() - one.started_at
        _signal_group(one.process.pid, signal.SIGKILL)  # what it started and left behind
        one.process = None
        one.last_exit = code
        one.restarts += 1
        one.early_deaths = 0 if lived >= one.service.steady_after_seconds else one.early_deaths + 1
        wait = 0.0
        if one.early_deaths:
            wait = min(one.service.first_wait_seconds * 2.0 ** (one.early_deaths - 1), one.service.longest_wait_seconds)
        one.start_at = self._monotonic() + wait
        self._echo(f"[{one.service.name}] ended ({_words(code)}); starts again in {wait:.0f} s")

    def _read(self, name: str, output: IO[bytes]) -> None:
        logger = self._log_of(name)
        with output:
            for line in output:
                text = one_line(line.decode(errors="replace").rstrip())
                logger.info(text)
                self._echo(f"[{name}] {text}")

    def _log_of(self, name: str) -> logging.Logger:
        logger = logging.Logger(f"oncofed.supervision.{name}")  # of its own: the root logger's settings are not ours
        handler = RotatingFileHandler(
            self._logs / f"{name}.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, delay=True
        )
        handler.setFormatter(LogLines(f"%(asctime)s [{name}] %(message)s"))
        logger.addHandler(handler)
        self._handlers.append(handler)
        return logger

    def _end_all(self) -> None:
        alive = [one.process for one in reversed(self._running) if one.process is not None]
        for process in alive:
            _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        for process in alive:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            # Also when it ended by itself: its children may not have.
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        for one in self._running:
            if one.process is not None:
                one.last_exit, one.process = one.process.returncode, None
            for reader in one.readers:
                reader.join(timeout=2)

    def _write_status(self) -> None:
        processes = [
            {
                "process": one.service.name,
                "pid": one.process.pid if one.process is not None else None,
                "since": one.since,
                "restarts": one.restarts,
                "last_exit": one.last_exit,
            }
            for one in self._running
        ]
        text = json.dumps({"supervisor": os.getpid(), "processes": processes}, indent=2)
        unfinished = self._status.with_suffix(".unfinished")
        unfinished.write_text(text + "\n")
        unfinished.replace(self._status)


@dataclass(frozen=True)
class Seen:
    """One service as the status file has it. pid: None when it was not running then."""

    process: str
    pid: int | None
    since: str
    restarts: int


def read_status(status: Path) -> tuple[Seen, ...]:
    """What a supervisor wrote last; it may be long gone. Raises InvalidInput for a damaged file."""
    try:
        listed = json.loads(plain_bytes(status, most=_LARGEST_STATUS))["processes"]
        found = tuple(Seen(each["process"], each["pid"], each["since"] or "", each["restarts"]) for each in listed)
        for seen in found:
            if not (isinstance(seen.process, str) and isinstance(seen.since, str) and isinstance(seen.restarts, int)):
                raise TypeError("another form")
            if not (seen.pid is None or (type(seen.pid) is int and 0 < seen.pid <= _LARGEST_PID)):
                raise ValueError("no process has that id")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        remedy = "Remove it: it is written again when a service starts or ends. Nothing else is in it."
        raise InvalidInput([Fault(str(status), "cannot be read, or is damaged", remedy)]) from None
    return found


def end_with_parent() -> None:
    """In a supervised process: end when the supervisor is gone, however it went. Elsewhere: do nothing."""
    if os.environ.get(_SUPERVISED) != "1":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        _signal_group(os.getpid(), signal.SIGTERM)
        time.sleep(_ORPHAN_SECONDS)
        _signal_group(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - only Unix has it, and only a root supervisor needs it

    return pwd.getpwnam(user).pw_gid


def _words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
