"""How does it become known who asked this hospital for what, what was approved, and what left?

One line of JSON an event, appended, flushed to the disk, chained to the line before by its hash. Several processes may
append to one file: each line is written under a lock, in one piece.

Promises: no field has room for a patient's value or a count of patients: words are short and of a fixed alphabet, and
of what left there are the name, shape, type and size, which are the model's, and a hash of the bytes, by which whoever
has captured or kept them can tell that they are the ones. When `append` returns, the line is on the
disk. A line that a kill or a full disk cut short is never silently lost: `verify_audit_log` reports it, and the next
append closes it and writes down how many bytes it had. Any other damage is told with the number of the first bad line.

A log may be closed and begun anew (`AuditLog.close`). The closed file keeps its lines under another name for good, and
the new one goes on with the next number and the hash of the last line: all of them are one chain, read as one, and a
head that was noted outside stays good. Nobody need stop meanwhile. A kill at any instant leaves the log open, or closed
with the new one at hand, which whoever writes next puts in its place. Refused: a log without the closed ones that it
goes on from, and closed ones that it does not go on from.

What is charged must leave, so its line may not be what fails. Before a charge it is announced; then the lines about it
are owed where they cannot be written, and written before the next that can be. Where a kill comes in between,
`verify_audit_log` tells of an answer that was announced and of which no line says what left.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.records.audit_entries import NOT_CHARGED, TO_BE_CHARGED, TORN, Released, verify_audit_log
from oncofed.client.records.audit_files import (
    LOG_BEGUN,
    LOG_CLOSED,
    archive_of,
    archives_beside,
    begun_of,
    closing,
    closing_of,
    locked,
    lost,
)
from oncofed.client.records.audit_line import (
    CUT_SHORT_MARK,
    LONGEST_TORN,
    cut_short,
    fields_in,
    line_of,
    well_formed,
)
from oncofed.client.records.chain import START, Anchor
from oncofed.client.records.repeats import NOT_NOTED
from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged, RecordFailure

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,39}")
_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w .@+-]{0,140}(?: \(claimed\))?")
"""As `install.person` tells it; of two accounts, whose names have 64 letters at most, with a plus between."""
_LARGEST_NUMBER = 10**9
_MOST_OWED = 8
"""Lines that are owed at once. A charge has three at most, and there is no next one before they are written."""

_log = logging.getLogger(__name__)


class AuditLog:
    """The log in one file; the first entry makes it. For several threads.

    What is announced to one object may be told late to the same object only.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._announced: tuple[str, str, int | None, int | None] | None = None
        self._owed: list[dict[str, object]] = []

    @property
    def path(self) -> Path:
        """Of the open log."""
        return self._path

    def announce(self, event: str, *, plan_hash: str, round_: int | None, attempt: int | None) -> None:
        """Write that the answer to this is about to be charged. Raises as `append` does: then it may not be charged.

        event  that of the line which will say what left. Until then lines about this plan, round and attempt that
               cannot be written are owed, and nothing is raised.
        """
        try:
            self.append(TO_BE_CHARGED, plan_hash=plan_hash, round_=round_, attempt=attempt)
        except RecordFailure:
            # Its line may stand there all the same, where only the flush failed.
            with self._lock:
                self._owe(self._entry(NOT_CHARGED, plan_hash=plan_hash, round_=round_, attempt=attempt))
            raise
        self._announced = (event, plan_hash, round_, attempt)

    def append(
        self,
        event: str,
        *,
        plan_hash: str = "",
        round_: int | None = None,
        attempt: int | None = None,
        code: str = "",
        by: str = "",
        left: Sequence[Released] = (),
        facts: Mapping[str, str] | None = None,
        unless: Callable[[], None] = lambda: None,
    ) -> None:
        """Write one line durably, and before it those that are owed. Of what was announced it may become owed itself.

        Raises RecordUnwritable, or RecordDamaged when the file is no audit log.

        event, code  short words of ours, never a text that came from outside; anything else is an error of ours.
        plan_hash    64 hexadecimal digits; whatever else a request may hold there is written as "malformed".
        by           a name; what a name cannot hold is written as "?".
        facts        as `audit_line` has them; empty ones are left out.
        unless       asked while nobody else can write any more, and may read the log; where it raises, nothing is
                     written.
        """
        fields = self._entry(event, plan_hash=plan_hash, round_=round_, attempt=attempt, code=code, by=by, left=left)
        if told := {key: text for key, text in (facts or {}).items() if text}:
            assert well_formed(told), "facts are names of sources, hashes and how often"
            fields["facts"] = told
        with self._lock:
            announced = self._announced
            try:
                while self._owed:
                    self._write(self._owed[0])
                    del self._owed[0]
                self._write(fields, unless)
            except RecordFailure as failure:
                about_it = announced is not None and announced[1:] == (plan_hash, round_, attempt)
                if not about_it or not self._owe(fields):
                    raise
                _log.error("%s is to be noted and is owed until it can be written: %s", event, failure)
            if announced is not None and event in (announced[0], NOT_CHARGED):
                self._announced = None

    def count(self, times: int) -> None:
        """How many things more there were than are noted one by one (`repeats`). Raises as `append` does."""
        self.append(NOT_NOTED, facts={"times": str(times)})

    def close(self, *, by: str, vouched: Callable[[Anchor], bytes]) -> tuple[Path, Anchor]:
        """Close the log and begin a new one. Other processes may write to it meanwhile; they wait.

        vouched  what to keep beside the closed log, given its head (`closed_log.signed_closing`).
        returns  the closed log, and its head.

        Raises InvalidInput when nothing was noted since it was begun, RecordDamaged for a log that is not sound.
        """
        with self._lock, unwritable(self._path), closing(self._path), locked(self._path) as descriptor:
            report = verify_audit_log(self._path)
            if not report.entries or report.entries[-1].event == LOG_BEGUN:
                raise InvalidInput([Fault(self._path.name, "has no entry to close", "Nothing is to be done.")])
            head = self._append_locked(descriptor, self._entry(LOG_CLOSED, by=by))
            closed, begun = archive_of(self._path, head.entries), begun_of(self._path)
            replace_durably(closing_of(closed), vouched(head))
            line, _ = line_of({**self._entry(LOG_BEGUN, by=by), "torn": None}, after=head)
            replace_durably(begun, line)
            self._path.rename(closed)
            sync_folder(self._path.parent)
            with contextlib.suppress(FileNotFoundError):  # somebody who writes was faster
                begun.rename(self._path)
            sync_folder(self._path.parent)
        return closed, head

    def _entry(
        self,
        event: str,
        *,
        plan_hash: str = "",
        round_: int | None = None,
        attempt: int | None = None,
        code: str = "",
        by: str = "",
        left: Sequence[Released] = (),
    ) -> dict[str, object]:
        assert _WORD.fullmatch(event), "an event is a short word of ours"
        assert not code or _WORD.fullmatch(code), "a code is a short word of ours"
        return {
            "time": self._clock().astimezone(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "plan_hash": plan_hash if not plan_hash or _PLAN_HASH.fullmatch(plan_hash) else "malformed",
            "round": _small(round_),
            "attempt": _small(attempt),
            "code": code,
            "by": by if _NAME.fullmatch(by) else "?",
            "left": [asdict(one) for one in left],
        }

    def _owe(self, fields: dict[str, object]) -> bool:
        """Whether it is owed now; once where it is the same but for the time."""
        untimed = {**fields, "time": ""}
        if any({**owed, "time": ""} == untimed for owed in self._owed):
            return True
        if len(self._owed) < _MOST_OWED:
            self._owed.append(fields)
            return True
        return False

    def _write(self, fields: Mapping[str, object], unless: Callable[[], None] = lambda: None) -> None:
        with unwritable(self._path), locked(self._path) as descriptor:
            unless()
            self._append_locked(descriptor, fields)

    def _append_locked(self, descriptor: int, fields: Mapping[str, object]) -> Anchor:
        head, torn = _end_of(descriptor, self._path)
        if head.entries == 0 and (unexplained := archives_beside(self._path)):
            raise lost(self._path, unexplained=unexplained)
        content = b""
        if torn:
            note = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            told = {**dict.fromkeys(fields.keys() - {"facts"}, ""), "time": fields["time"], "event": TORN, "torn": note}
            line, head = line_of({**told, "round": None, "attempt": None, "left": []}, after=head)
            content += (b"" if torn.endswith(CUT_SHORT_MARK) else CUT_SHORT_MARK) + line
        line, after = line_of({**fields, "torn": None}, after=head)
        content += line
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, "the line was cut short")
        os.fsync(descriptor)
        if head.entries == 0 or torn:
            sync_folder(self._path.parent)
        return after


def _small(number: int | None) -> int | None:
    """A round as a request may claim it; what is no small number is left out."""
    return number if type(number) is int and abs(number) < _LARGEST_NUMBER else None


def _end_of(descriptor: int, path: Path) -> tuple[Anchor, bytes]:
    """The head of the chain, and what a kill left after it."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - LONGEST_TORN)
    tail = os.pread(descriptor, size - start, start)
    torn = b""
    for line in reversed(tail.splitlines(keepends=True)):
        fields = fields_in(line)
        if fields is not None:
            return Anchor(int(str(fields["number"])), str(fields["hash"])), torn
        if not cut_short(line):
            break
        torn = line + torn
    else:
        if start == 0:
            return Anchor(0, START), torn
    raise RecordDamaged(
        f"{path.name} does not end in an entry of an audit log. Keep it as it is, and put no older copy in its place; "
        "docs/install-hospital.md, section 8, says what to do."
    )
