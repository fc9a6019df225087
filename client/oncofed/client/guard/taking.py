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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.wishes import Wishes, due, wishes_in
from oncofed.errors import OncofedError
from oncofed.supervision import end_with_parent
from oncofed.texts import LogLines, shown

SECONDS_BEFORE_AGAIN = 300.0
"""What was not taken is tried again, for a disk may be full or an account shut out; not at once: a table is large."""
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
        self._tried: Mapping[str, Wishes] = {}
        self._again_at = 0.0

    def look(self) -> None:
        """Start the process where a decision may be due and none is at work. What fails is logged, and tried again."""
        if self._working is not None and self._working.poll() is None:
            return
        self._working = None
        try:
            wanted = self._wanted()
            if wanted and (wanted != self._tried or self._clock() >= self._again_at):
                self._tried, self._again_at = wanted, self._clock() + SECONDS_BEFORE_AGAIN
                # A session of its own: it ends with the guard, and not with a key that was meant for it.
                self._working = subprocess.Popen([*self._command, str(self._folder.root)], start_new_session=True)  # noqa: S603 - our own command
        except (OncofedError, OSError) as failed:
            if self._clock() >= self._again_at:
                _log.error("whether a decision is wanted in the console cannot be told: %s", failed)
                self._again_at = self._clock() + SECONDS_BEFORE_AGAIN

    def _wanted(self) -> Mapping[str, Wishes]:
        """By plan: what enough persons want, if their accounts may decide. That the program looks at."""
        known = {plan: wishes for plan, wishes in self._wishes.read().items() if wishes.approvals or wishes.decline}
        if not known:
            return known
        policy, now = read_policy(self._folder.policy), datetime.now(UTC)
        return {plan: wishes for plan, wishes in known.items() if due(wishes, policy, now=now) is not None}

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
    from oncofed.client.install.deciding import all_due  # noqa: PLC0415 - the guard itself loads no accounts

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
    from oncofed.client.install.deciding import take  # noqa: PLC0415 - likewise

    try:
        taken = take(folder, plan_hash)
    except OncofedError as refused:
        _log.error("a decision that persons want is not taken: %s", shown(str(refused)))
        return
    if taken is not None:
        _log.info("%s by %s: %s", taken.decision.value, taken.decided_by, plan_hash[:12])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
