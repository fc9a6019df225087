"""Who asked this hospital for what, what was approved, and what left?

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
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.records.audit_files import (
    LOG_BEGUN,
    LOG_CLOSED,
    archive_of,
    archives_beside,
    begun_of,
    closing,
    closing_of,
    files_of,
    locked,
    lost,
)
from oncofed.client.records.audit_line import (
    CUT_SHORT_MARK,
    LONGEST_TORN,
    cut_short,
    fields_in,
    line_of,
    tells_of,
    well_formed,
)
from oncofed.client.records.chain import START, Anchor, head_of, refuse_unless_anchored
from oncofed.client.records.repeats import NOT_NOTED
from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged, RecordFailure
from oncofed.protocol.plan_hash import shown_of

TORN = "torn_line"
"""The event that tells of what a kill left unfinished before it."""

TO_BE_CHARGED = "to_be_charged"
"""The event before a charge: an answer is about to be charged, and then leaves whatever fails."""
NOT_CHARGED = "not_charged"
"""The event after it where the ledger refused: nothing was charged, nothing leaves."""
NOT_KEPT = "answer_not_kept"
"""The event for an answer that left and could not be kept: asked again, the request is refused."""
FORGOTTEN = "answers_not_in_the_ledger"
"""The event for a question of a coordinator that has had answers which the ledger was not charged for."""
HELD_BACK = "held_back"
"""The event for an answer that `guard.egress` stopped; its code is the rule."""

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,39}")
_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w .@+-]{0,80}(?: \(claimed\))?")
"""As `install.person` tells it."""
_LARGEST_NUMBER = 10**9
_MOST_OWED = 8
"""Lines that are owed at once. A charge has three at most, and there is no next one before they are written."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Released:
    """One thing that left: its name, shape, type and size, and the hash of the answer that held it.

    sha256  hexadecimal, of exactly the bytes that left: the whole `Answer` (`protocol.answer`), signature and all.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class AuditEntry:
    """One line. `left` is what left; `code` a refusal's code or a local reason; `by` a person of the hospital.

    facts  what must not be forgotten (`audit_line`).
    """

    number: int
    time: str
    event: str
    plan_hash: str
    round: int | None
    attempt: int | None
    code: str
    by: str
    left: tuple[Released, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditReport:
    """A sound log. closed_torn_lines: cut short by a kill, and a later line tells of it. torn_bytes: at the end.

    entries   of the closed logs too.
    untold    what was announced to be charged, and no line says that it left or did not.
    archives  the closed logs, oldest first, each with its head.
    read_to   inode of the open log, and the bytes of it up to the end of its last whole line.
    """

    entries: tuple[AuditEntry, ...]
    head: Anchor
    closed_torn_lines: int
    torn_bytes: int
    untold: tuple[AuditEntry, ...]
    archives: tuple[tuple[Path, Anchor], ...] = ()
    read_to: tuple[int, int] = (-1, 0)

    @property
    def closing_unfinished(self) -> bool:
        """Whether somebody began to close the log, and was stopped."""
        return bool(self.entries) and self.entries[-1].event == LOG_CLOSED

    def lines(self) -> tuple[str, ...]:
        """For a person."""
        found = [f"{len(self.entries)} entries, unchanged and in order. Head, to note outside: {self.head}"]
        if self.archives:
            closed, head = self.archives[-1]
            found.append(f"{head.entries} of them are in {len(self.archives)} closed logs, the last {closed.name}.")
        if self.closing_unfinished:
            found.append("Its closing was begun and not finished: oncofed site close-log does it again.")
        if self.closed_torn_lines:
            found.append(f"{self.closed_torn_lines} times a line was cut short by a kill or a full disk.")
        if self.torn_bytes:
            found.append(f"The last {self.torn_bytes} bytes are a line cut short; the next entry will close it.")
        if self.untold:
            last = self.untold[-1]
            about = shown_of(last.plan_hash, among=[entry.plan_hash for entry in self.entries])
            found.append(
                f"{len(self.untold)} times an answer was to be charged and no line says what left: it is being made, "
                f"or a kill or a full disk came in between. The last: line {last.number}, plan {about}."
            )
        return tuple(found)


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
    ) -> None:
        """Write one line durably, and before it those that are owed. Of what was announced it may become owed itself.

        Raises RecordUnwritable, or RecordDamaged when the file is no audit log.

        event, code  short words of ours, never a text that came from outside; anything else is an error of ours.
        plan_hash    64 hexadecimal digits; whatever else a request may hold there is written as "malformed".
        by           a name; what a name cannot hold is written as "?".
        facts        as `audit_line` has them; empty ones are left out.
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
                self._write(fields)
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

    def _write(self, fields: Mapping[str, object]) -> None:
        with unwritable(self._path), locked(self._path) as descriptor:
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


def verify_audit_log(path: Path, *, anchor: str | None = None) -> AuditReport:
    """Every entry of a sound log. Raises RecordDamaged that names the first bad line.

    anchor  a head that was noted earlier; without one, lines taken off the end do not show.
    """
    entries: list[AuditEntry] = []
    hashes: list[str] = []
    archives: list[tuple[Path, Anchor]] = []
    closed, torn, read_to = 0, b"", (-1, 0)
    with unwritable(path), contextlib.closing(files_of(path)) as files:
        for file in files:
            read, read_to = 0, (file.inode, 0)
            for number, line in enumerate(file.lines, start=1):
                read += len(line)
                fields = fields_in(line)
                if fields is None and cut_short(line) and len(torn) + len(line) < LONGEST_TORN:
                    torn += line
                    continue
                if fields is None or not tells_of(fields["torn"], torn):
                    raise _bad(file.path, number)
                closed, torn, read_to = closed + (torn != b""), b"", (file.inode, read)
                if fields["number"] != len(hashes) + 1 or fields["previous"] != head_of(hashes).hash:
                    raise _bad(file.path, number)
                hashes.append(str(fields["hash"]))
                entries.append(_entry(fields, file.path, number))
            archives.append((file.path, head_of(hashes)))
    if anchor is not None:
        refuse_unless_anchored(hashes, anchor, record=path.name)
    closed_logs = tuple(archives[:-1])
    return AuditReport(tuple(entries), head_of(hashes), closed, len(torn), _untold(entries), closed_logs, read_to)


def _untold(entries: Sequence[AuditEntry]) -> tuple[AuditEntry, ...]:
    waiting: dict[tuple[str, int | None, int | None], list[AuditEntry]] = {}
    for entry in entries:
        same = waiting.setdefault((entry.plan_hash, entry.round, entry.attempt), [])
        if entry.event == TO_BE_CHARGED:
            same.append(entry)
        elif same and (entry.left or entry.event in (NOT_CHARGED, HELD_BACK)):
            same.pop()
    return tuple(sorted((entry for same in waiting.values() for entry in same), key=lambda entry: entry.number))


def _bad(path: Path, line_number: int) -> RecordDamaged:
    return RecordDamaged(
        f"{path.name}: line {line_number} is not what was written there; it, or one before it, was changed, taken out "
        "or moved. Keep the file as it is, and put no older copy in its place; docs/install-hospital.md, section 8, "
        "says what to do."
    )


def _small(number: int | None) -> int | None:
    """A round as a request may claim it; what is no small number is left out."""
    return number if type(number) is int and abs(number) < _LARGEST_NUMBER else None


def _entry(fields: dict[str, object], path: Path, line_number: int) -> AuditEntry:
    kept = {key: value for key, value in fields.items() if key not in ("torn", "previous", "hash", "left")}
    left = fields["left"]
    try:
        assert isinstance(left, list)
        released = tuple(Released(**{**one, "shape": tuple(one["shape"])}) for one in left)
        return AuditEntry(**kept, left=released)  # type: ignore[arg-type]  # types of JSON; the hash says they are ours
    except (TypeError, KeyError, AssertionError):
        raise _bad(path, line_number) from None


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
