"""What does the audit log tell, and is it as it was written?

Whoever writes it is `audit_log`. A line that a kill or a full disk cut short is reported; any other damage is told with
the number of the first bad line. An answer that was announced and of which no line says what left is told too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oncofed.client.records.audit_files import LOG_CLOSED, files_of
from oncofed.client.records.audit_line import LONGEST_TORN, cut_short, fields_in, tells_of
from oncofed.client.records.chain import Anchor, head_of, refuse_unless_anchored
from oncofed.durable import unwritable
from oncofed.errors import RecordDamaged
from oncofed.protocol.plan_hash import shown_of
from oncofed.words.language import ENGLISH, Language

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

    def lines(self, say: Language = ENGLISH) -> tuple[str, ...]:
        """For a person."""
        entries = len(self.entries)
        found = [
            say(
                "%(entries)s entries, unchanged and in order. Head, to note outside: %(head)s",
                entries=entries,
                head=self.head,
            )
        ]
        if self.archives:
            closed, head = self.archives[-1]
            found.append(
                say(
                    "%(entries)s of them are in %(logs)s closed logs, the last %(name)s.",
                    entries=head.entries,
                    logs=len(self.archives),
                    name=closed.name,
                )
            )
        if self.closing_unfinished:
            found.append(say("Its closing was begun and not finished: oncofed site close-log does it again."))
        if self.closed_torn_lines:
            told = say("%(lines)s times a line was cut short by a kill or a full disk.", lines=self.closed_torn_lines)
            found.append(told)
        if self.torn_bytes:
            told = say(
                "The last %(bytes)s bytes are a line cut short; the next entry will close it.", bytes=self.torn_bytes
            )
            found.append(told)
        if self.untold:
            last = self.untold[-1]
            about = shown_of(last.plan_hash, among=[entry.plan_hash for entry in self.entries])
            found.append(
                say.several(
                    "%(count)s answer was to be charged and no line says what left: it is being made, or a kill or a "
                    "full disk came in between: line %(line)s, plan %(plan)s.",
                    "%(count)s answers were to be charged and no line says what left: they are being made, or a kill "
                    "or a full disk came in between. The last: line %(line)s, plan %(plan)s.",
                    len(self.untold),
                    line=last.number,
                    plan=about,
                )
            )
        return tuple(found)


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


def _entry(fields: dict[str, object], path: Path, line_number: int) -> AuditEntry:
    kept = {key: value for key, value in fields.items() if key not in ("torn", "previous", "hash", "left")}
    left = fields["left"]
    try:
        assert isinstance(left, list)
        released = tuple(Released(**{**one, "shape": tuple(one["shape"])}) for one in left)
        assert all(isinstance(one.name, str) for one in released), "agreement reads it"
        return AuditEntry(**kept, left=released)  # type: ignore[arg-type]  # types of JSON; the hash says they are ours
    except (TypeError, KeyError, AssertionError):
        raise _bad(path, line_number) from None
