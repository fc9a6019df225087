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
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.decisions import Decision
from oncofed.client.records.wishes import Wishes, decline_due, due, wishes_in
from oncofed.errors import OncofedError
from oncofed.supervision import end_with_parent
from oncofed.texts import LogLines, shown

SECONDS_BEFORE_AGAIN = 300.0
"""What was not taken is tried again, for a disk may be full or an account shut out; not at once: a table is large."""
_SECONDS_BEFORE_A_NO_AGAIN = 30.0
"""A no that failed: until it is in force the plan is answered."""
_ARGUMENTS = 3
_AT_FAULT = 2
_END_SECONDS = 5.0
_FIRST_SECONDS = 15.0

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
        self._working: dict[Decision, subprocess.Popen[bytes]] = {}
        self._tried: dict[Decision, Mapping[str, Wishes]] = {}
        self._again_at: dict[Decision, float] = {}
        self._left_undone: dict[Decision, bool] = {}

    def look(self) -> None:
        """Start a process for each kind of decision that may be due and has none at work: declines wait for no table.

        What fails is logged, and tried again.
        """
        for decision in (Decision.DECLINED, Decision.APPROVED):
            working = self._working.get(decision)
            if working is not None and working.poll() is None:
                continue
            self._working.pop(decision, None)
            if working is not None:
                self._left_undone[decision] = working.returncode != 0
                if self._left_undone[decision] and decision is Decision.DECLINED:
                    soon = self._clock() + _SECONDS_BEFORE_A_NO_AGAIN
                    self._again_at[decision] = min(self._again_at[decision], soon)
            again = self._clock() >= self._again_at.get(decision, 0.0)
            try:
                wanted = self._wanted(decision)
                new = wanted and wanted != self._tried.get(decision)
                if new or (again and (wanted or self._left_undone.get(decision))):
                    self._tried[decision] = wanted
                    self._again_at[decision] = self._clock() + SECONDS_BEFORE_AGAIN
                    # A session of its own: it ends with the guard, and not with a key that was meant for it.
                    self._working[decision] = subprocess.Popen(  # noqa: S603 - our own command
                        [*self._command, str(self._folder.root), decision.value], start_new_session=True
                    )
            except (OncofedError, OSError) as failed:
                if again:
                    _log.error("whether a decision is wanted in the console cannot be told: %s", failed)
                    self._again_at[decision] = self._clock() + SECONDS_BEFORE_AGAIN

    def first(self, *, seconds: float = _FIRST_SECONDS) -> None:
        """Before anything is answered: a no that was said while the guard was away is in force from the beginning."""
        self.look()
        if (working := self._working.get(Decision.DECLINED)) is not None:
            with suppress(subprocess.TimeoutExpired):
                working.wait(seconds)

    def _wanted(self, decision: Decision) -> Mapping[str, Wishes]:
        """By plan: what enough persons want, if their accounts may decide. That the program looks at."""
        known, now = self._wishes.read(), datetime.now(UTC)
        if decision is Decision.DECLINED:
            return {plan: wishes for plan, wishes in known.items() if decline_due(wishes)}
        waiting = {plan: wishes for plan, wishes in known.items() if wishes.approvals}
        if not waiting:
            return waiting
        policy = read_policy(self._folder.policy)
        return {plan: wishes for plan, wishes in waiting.items() if due(wishes, policy, now=now)}

    def end(self) -> None:
        """A decision that is not taken yet is not: it is tried again when the guard has started."""
        for working in self._working.values():
            if working.poll() is not None:
                continue
            working.terminate()
            try:
                working.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                working.kill()
                working.wait()


def main(arguments: list[str]) -> int:
    """arguments: the program, the node's folder, the kind of decision. Returns 0 where each that was due was tried."""
    if len(arguments) != _ARGUMENTS or arguments[2] not in list(Decision):
        sys.stderr.write("usage: python -m oncofed.client.guard.taking NODE approved|declined\n")
        return _AT_FAULT
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patients
    end_with_parent()
    from oncofed.client.install.deciding import all_due  # noqa: PLC0415 - the guard itself loads no accounts
    from oncofed.client.install.inbox import approvals_of  # noqa: PLC0415 - likewise

    folder = NodeFolder(Path(arguments[1]).absolute())
    known, decision = wishes_in(folder.audit_log), Decision(arguments[2])
    try:
        for plan_hash in all_due(folder, iter(known.read().items()), decision):
            _take(folder, plan_hash)
        approvals_of(folder).tidy()  # what is told, and was killed or found no room before all of it was done
        return 1 if all_due(folder, iter(known.read().items()), decision) else 0
    except OncofedError as failed:
        sys.stderr.write(f"decisions are not taken: {shown(str(failed))}\n")
        return _AT_FAULT


def _take(folder: NodeFolder, plan_hash: str) -> None:
    from oncofed.client.install.deciding import take  # noqa: PLC0415 - likewise

    try:
        taken = take(folder, plan_hash)
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
