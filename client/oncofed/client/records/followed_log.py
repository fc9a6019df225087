"""What do the lines of an audit log come to, read again and again while it grows?

Promise: reading goes on where it ended before. A log that was closed, put back or does not go on from the last line
read is verified from its beginning. Whether an older line was changed in its place, `verify_audit_log` alone tells.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_line import LONGEST_LINE, fields_in
from oncofed.client.records.chain import START, Anchor
from oncofed.durable import unwritable
from oncofed.plain_file import lines_of, opened


@dataclass(frozen=True)
class Line:
    """What is followed of one line."""

    event: str
    plan_hash: str
    by: str
    time: str
    code: str
    facts: Mapping[str, str]


State = TypeVar("State")


class FollowedLog(Generic[State]):
    """Of one audit log. For several threads.

    empty  before the first line. after: a state and the lines that follow it give the next one, and change neither.
    """

    def __init__(self, audit_log: Path, *, empty: State, after: Callable[[State, Iterable[Line]], State]) -> None:
        self._path = audit_log
        self._empty, self._after = empty, after
        self._lock = threading.Lock()
        self._state = empty
        self._inode, self._read, self._head = -1, 0, Anchor(0, START)

    def read(self) -> State:
        """As the log is now. Raises RecordDamaged, RecordUnwritable."""
        with self._lock:
            if not self._goes_on():
                self._read_anew()
            return self._state

    def _goes_on(self) -> bool:
        """Whether the log goes on from where it was read to; then the rest is read."""
        with unwritable(self._path):
            if not self._path.exists():
                return False
            found = self._path.stat()
            if found.st_ino != self._inode or found.st_size < self._read:
                return False
            if found.st_size == self._read:
                return True
            with opened(self._path) as log:
                if os.fstat(log.fileno()).st_ino != self._inode:  # it was closed, just now
                    return False
                lines, head, read = [], self._head, self._read
                for line in lines_of(log, longest=LONGEST_LINE, start=read):
                    if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                        break  # it is being written, or a full disk has torn it
                    fields = fields_in(line)
                    if fields is None or fields["number"] != head.entries + 1 or fields["previous"] != head.hash:
                        return False
                    head, read = Anchor(head.entries + 1, str(fields["hash"])), read + len(line)
                    facts = fields.get("facts", {})
                    assert isinstance(facts, dict)
                    event, plan_hash, by, time, code = (
                        str(fields[key]) for key in ("event", "plan_hash", "by", "time", "code")
                    )
                    lines.append(Line(event, plan_hash, by, time, code, facts))
        self._state = self._after(self._state, lines)
        self._read, self._head = read, head
        return True

    def _read_anew(self) -> None:
        self._inode = -1
        report = verify_audit_log(self._path)
        lines = (Line(one.event, one.plan_hash, one.by, one.time, one.code, one.facts) for one in report.entries)
        self._state = self._after(self._empty, lines)
        (self._inode, self._read), self._head = report.read_to, report.head
