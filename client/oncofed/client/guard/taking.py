"""Who takes the decisions that persons want in the console? The guard: it declines itself, and approves in a process.

The process of the pages, which speaks HTTP, writes wishes into the audit log and nothing else of a decision: what may
run here, whose patients are frozen and what an approval says are the guard's to write. So the guard looks what persons
want (`records.wishes`). A no is put into force there and then. Where enough persons want to approve, this module is
started as a program, which asks policy, accounts, ledger and table again (`install.deciding`) and ends: reading a table
takes seconds or minutes, in which the guard must answer at its public times.
"""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.wishes import Wishes, decline_due, due, wishes_in
from oncofed.errors import OncofedError
from oncofed.supervision import end_with_parent
from oncofed.texts import LogLines, shown

if TYPE_CHECKING:
    from oncofed.client.install.deciding import Known

SECONDS_BEFORE_AGAIN = 300.0
"""What was not taken is tried again, for a disk may be full or an account shut out; not at once: a table is large."""
_SECONDS_BEFORE_A_NO_AGAIN = 15.0
"""A no that failed: until it is in force the plan is answered."""
_SECONDS_FOR_A_NO = 15.0
"""To wait for who decides now. Meanwhile nothing else is looked at."""
_THE_LOG = ""
"""What cannot be read, where that is no plan."""
_ARGUMENTS = 2
_AT_FAULT = 2
_END_SECONDS = 5.0

_log = logging.getLogger(__name__)


class DecisionTaker:
    """Of one node, for one thread. decisions: the guard's. command: to start this module; clock: seconds."""

    def __init__(
        self,
        folder: NodeFolder,
        decisions: Approvals,
        *,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", __name__),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._decisions = folder, decisions
        self._wishes = wishes_in(folder.audit_log)
        self._command, self._clock = command, clock
        self._working: subprocess.Popen[bytes] | None = None
        self._tried: Mapping[str, Wishes] = {}
        self._again_at = 0.0
        self._left_undone = False
        self._failed_noes: dict[str, float] = {}

    def look(self) -> None:
        """Decline what is to be declined, and start a process where an approval may be due and none is at work.

        What fails is logged, and tried again.
        """
        self.decline()
        if self._working is not None:
            if self._working.poll() is None:
                return
            self._left_undone = self._working.returncode != 0
            self._working = None
        again = self._clock() >= self._again_at
        try:
            wanted = self._wanted()
            new = wanted and wanted != self._tried
            if new or (again and (wanted or self._left_undone)):
                self._tried = wanted
                self._again_at = self._clock() + SECONDS_BEFORE_AGAIN
                # A session of its own: it ends with the guard, and not with a key that was meant for it.
                self._working = subprocess.Popen(  # noqa: S603 - our own command
                    [*self._command, str(self._folder.root)], start_new_session=True
                )
        except (OncofedError, OSError) as failed:
            if again:
                _log.error("whether an approval is wanted in the console cannot be told: %s", failed)
                self._again_at = self._clock() + SECONDS_BEFORE_AGAIN

    def decline(self) -> None:
        """Decline what anybody wants declined, here and now: the log is read already, and no table is needed.

        Before anything is answered, too: a no that was said while the guard was away is in force from the beginning.
        """
        if self._waits(_THE_LOG):
            return
        try:
            due = {plan: wanted for plan, wishes in self._wishes.read().items() if (wanted := decline_due(wishes))}
        except OncofedError as failed:
            self._note_no(_THE_LOG, failed)
            return
        for plan in dict.fromkeys([*due, *self._failed_noes]):
            if self._waits(plan):
                continue
            try:
                if plan in due:
                    _, reason, by = due[plan]
                    now = datetime.now(UTC)
                    self._decisions.decline(plan, declined_by=by, now=now, reason=reason, seconds=_SECONDS_FOR_A_NO)
                    _log.info("declined by %s: %s", by, plan[:12])
                else:  # it is told, and was not done to its end
                    self._decisions.tidy(seconds=_SECONDS_FOR_A_NO)
                self._failed_noes.pop(plan, None)
            except (OncofedError, OSError) as failed:
                self._note_no(plan, failed)

    def _waits(self, plan: str) -> bool:
        return self._clock() < self._failed_noes.get(plan, 0.0)

    def _note_no(self, plan: str, failed: Exception) -> None:
        _log.error("what persons want declined is not declined yet: %s", shown(str(failed)))
        self._failed_noes[plan] = self._clock() + _SECONDS_BEFORE_A_NO_AGAIN

    def _wanted(self) -> Mapping[str, Wishes]:
        """By plan: what enough persons want approved, if their accounts may decide. That the program looks at."""
        waiting = {plan: wishes for plan, wishes in self._wishes.read().items() if wishes.approvals}
        if not waiting:
            return waiting
        policy, now = read_policy(self._folder.policy), datetime.now(UTC)
        return {plan: wishes for plan, wishes in waiting.items() if due(wishes, policy, now=now)}

    def end(self) -> None:
        """An approval that is not in force yet is not: it is tried again when the guard has started."""
        working = self._working
        if working is None or working.poll() is not None:
            return
        working.terminate()
        try:
            working.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            working.kill()
            working.wait()


def main(arguments: list[str]) -> int:
    """arguments: the program, the node's folder. Returns 0 where each approval that was due was tried."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m oncofed.client.guard.taking NODE\n")
        return _AT_FAULT
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patients
    end_with_parent()
    from oncofed.client.install.deciding import Known, all_due  # noqa: PLC0415 - the guard itself loads no accounts

    known = Known.of(NodeFolder(Path(arguments[1]).absolute()))
    try:
        for plan_hash in all_due(known):
            _take(known, plan_hash)
        known.decisions.tidy()  # what is told, and was killed or found no room before all of it was done
        return 1 if all_due(known) else 0
    except OncofedError as failed:
        sys.stderr.write(f"plans are not approved: {shown(str(failed))}\n")
        return _AT_FAULT


def _take(known: Known, plan_hash: str) -> None:
    from oncofed.client.install.deciding import take  # noqa: PLC0415 - likewise

    try:
        taken = take(known.folder, plan_hash, known)
    except Exception as refused:  # whatever it is, decisions about other plans are taken
        _log.error("a decision that persons want is not taken: %s", shown(str(refused)))
        return
    if taken is not None:
        _log.info("%s by %s: %s", taken.decision.value, taken.decided_by, plan_hash[:12])


def _ends_first() -> None:
    """Of the guard's processes where memory runs out: it has the whole table, and can be begun again."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    _ends_first()
    sys.exit(main(sys.argv))
