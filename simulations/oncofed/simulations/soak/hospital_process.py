"""A hospital's guard in a process of its own, which can be killed: as `client.guard.process`, but for its door.

In place of a socket it has a pipe to the soak, in place of public times none, since nobody looks at how long it takes;
and a trap. Forked, so that it starts at once; a kill is SIGKILL, and what it had in memory is gone.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.pinned_keys import pinned_keys
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.records import audit_log, sqlite_ledger
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.source_memory import remember_sources
from oncofed.client.records.sqlite_ledger import verify_ledger
from oncofed.errors import OncofedError
from oncofed.simulations.soak.faults import NO_FAULT, Fault, Kind
from oncofed.simulations.soak.traps import Trap
from oncofed.supervision import end_with_parent

_MOST_FILES = 4096
_UNLIMITED = resource.RLIM_INFINITY
Answer = tuple[str, bytes | str]
"""What came of a question: ("answer", bytes), ("dead", "") or ("fault", words)."""


class HospitalProcess:
    """Starts when it is asked. disk_full, clock_seconds: as they are at this hospital now."""

    def __init__(self, folder: NodeFolder) -> None:
        self.folder = folder
        self.disk_full = False
        self.clock_seconds = 0.0
        self._pid = 0
        self._connection: Connection | None = None

    def ask(self, method: str, question: bytes, fault: Fault = NO_FAULT) -> Answer:
        """fault: KILLED or DISK_FULL happens while this is answered."""
        if self._connection is None:
            self._start()
        assert self._connection is not None
        said: Answer
        try:
            self._connection.send((method, question, fault, self.disk_full))
            said = self._connection.recv()
        except (EOFError, OSError):
            said = ("dead", "")
        if said[0] != "answer":
            self.kill()
        return said

    def kill(self) -> None:
        """SIGKILL; nothing where it does not run."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        if self._connection is not None:
            self._connection.close()
        self._pid, self._connection = 0, None

    def _start(self) -> None:
        ours, theirs = Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _keep_only(theirs)
                _serve(self.folder, theirs, clock_seconds=self.clock_seconds, disk_full=self.disk_full)
            finally:
                os._exit(0)
        theirs.close()
        self._connection = ours


def _keep_only(connection: Connection) -> None:
    """Else this process would hold the coordinator's lock on its study, and the pipes of the other hospitals."""
    end_with_parent()
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, _MOST_FILES)


def _serve(folder: NodeFolder, connection: Connection, *, clock_seconds: float, disk_full: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its pipe
    logging.disable(logging.CRITICAL)
    Trap.uninstall()  # the coordinator's
    trap = Trap()
    trap.install()
    _shift_clocks(clock_seconds)
    _fill(disk_full)
    try:
        desk = _desk(folder)
    except OncofedError as refused:  # as the process says it and ends; its supervisor tries again
        connection.recv()
        connection.send(("fault", str(refused)))
        return
    while True:
        try:
            method, question, fault, full = connection.recv()
        except EOFError:
            return
        _fill(full)
        if fault.kind is Kind.KILLED:
            trap.set(fault.step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        elif fault.kind is Kind.DISK_FULL:
            trap.set(fault.step, lambda: _fill(True))
        answer = desk.ask(method, question)
        trap.set(0, lambda: None)
        connection.send(("answer", answer))


def _desk(folder: NodeFolder) -> Desk:
    settings, policy = read_site(folder), read_policy(folder.policy)
    keys = pinned_keys(folder, settings)
    verify_ledger(folder.ledger, anchor=None)
    refuse_disagreement(folder)
    guard = NodeGuard(folder, site=settings.name, keys=keys)
    remember_sources(folder, policy, guard.audit)
    guard.audit.append("guard_started")
    return Desk(
        questions_to_node(guard, site=settings.name),
        audit=guard.audit,
        answer_key=keys.answer,
        asker_key=keys.coordinator,
    )


def _fill(full: bool) -> None:
    """No byte can be written to any file of this process, or again all; pipes are no files."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0 if full else _UNLIMITED, hard))


def _shift_clocks(seconds: float) -> None:
    """What ledger and audit log take for the time of day."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz or UTC) + timedelta(seconds=seconds)

    for module in (audit_log, sqlite_ledger):
        vars(module)["datetime"] = Shifted
