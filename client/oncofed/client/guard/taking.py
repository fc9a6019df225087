"""Who takes the decisions that persons want in the console? The guard, in a process of its own.

The process of the pages, which speaks HTTP, writes wishes into the audit log and nothing else of a decision: what may
run here, whose patients are frozen and what an approval says are the guard's to write. So the guard looks whether
enough persons want the same (`records.wishes`), and starts this module as a program, which asks policy, accounts,
ledger and table again (`install.deciding`) and ends. Reading a table takes seconds or minutes, in which the guard must
answer at its public times, and so it is not done in the guard's own threads.
"""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from oncofed.client.install.deciding import all_due, take
from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.wishes import wishes_in
from oncofed.errors import OncofedError
from oncofed.supervision import end_with_parent
from oncofed.texts import LogLines, shown

SECONDS_AFTER_A_FAILURE = 60.0
"""What failed is tried again, for a disk may be full; and not at once, for a table may be large."""
_ARGUMENTS = 2
_AT_FAULT = 2
_END_SECONDS = 5.0

_log = logging.getLogger(__name__)


class DecisionTaker:
    """Of one node. command: to start this module; clock: seconds."""

    def __init__(
        self,
        folder: NodeFolder,
        *,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", __name__),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._wishes = wishes_in(folder.audit_log)
        self._command, self._clock = command, clock
        self._working: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def look(self) -> None:
        """Start the process where a decision is due and none is at work. What fails is logged, and tried again."""
        if self._working is not None:
            ended = self._working.poll()
            if ended is None:
                return
            self._working = None
            if ended:
                self._wait()
        if self._clock() < self._not_before:
            return
        try:
            if all_due(self._folder, iter(self._wishes.read().items())):
                # A session of its own: it ends with the guard, and not with a key that was meant for it.
                self._working = subprocess.Popen([*self._command, str(self._folder.root)], start_new_session=True)  # noqa: S603 - our own command
        except (OncofedError, OSError) as failed:
            _log.error("whether a decision is wanted in the console cannot be told: %s", failed)
            self._wait()

    def end(self) -> None:
        """A decision that is not taken yet is not: it is tried again when the guard has started."""
        if self._working is None or self._working.poll() is not None:
            return
        self._working.terminate()
        try:
            self._working.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._working.kill()
            self._working.wait()

    def _wait(self) -> None:
        self._not_before = self._clock() + SECONDS_AFTER_A_FAILURE


def main(arguments: list[str]) -> int:
    """arguments: the program and the node's folder. Returns the exit status: 0 where each that was due was tried."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m oncofed.client.guard.taking NODE\n")
        return _AT_FAULT
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patients
    end_with_parent()
    folder = NodeFolder(Path(arguments[1]).absolute())
    known = wishes_in(folder.audit_log)
    try:
        for plan_hash in all_due(folder, iter(known.read().items())):
            _take(folder, plan_hash)
        return 1 if all_due(folder, iter(known.read().items())) else 0
    except OncofedError as failed:
        sys.stderr.write(f"decisions are not taken: {shown(str(failed))}\n")
        return _AT_FAULT


def _take(folder: NodeFolder, plan_hash: str) -> None:
    try:
        taken = take(folder, plan_hash)
    except OncofedError as refused:
        _log.error("a decision that persons want is not taken: %s", shown(str(refused)))
        return
    if taken is not None:
        _log.info("%s by %s: %s", taken.decision.value, taken.decided_by, plan_hash[:12])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
