"""What does a run leave in the study's folder for `status` and the report? Files of JSON lines.

``rounds.jsonl``: one finished round a line (hospitals that answered, those that did not and why, bytes, seconds).
``events.jsonl``: what else happened, in words, each with its time. Neither holds more than hospitals released.
``written.jsonl``: where a person had a report or a package written, and when.

A kill between the checkpoint and the line never loses the round: `round.checkpoint` is what counts, and keeps the
line, which the next run writes (`note_untold`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oncofed.durable import unwritable
from oncofed.errors import RecordUnwritable
from oncofed.server.rounds.checkpoint import Json
from oncofed.server.rounds.rounds import RoundReport

ROUNDS = "rounds.jsonl"
EVENTS = "events.jsonl"
WRITTEN = "written.jsonl"
PLAN = "plan"
"""The event that holds what each hospital said of the plan, whenever that has changed."""


@dataclass(frozen=True)
class StudyFiles:
    """folder exists. now is the clock."""

    folder: Path
    now: Callable[[], datetime]

    def note(self, event: str, **fields: str | int | float) -> None:
        """Append an event."""
        self.append(EVENTS, {"event": event, **fields})

    def note_said(self, event: str, words: Mapping[str, str]) -> None:
        """Append an event: what each hospital said, by its name. `report.decisions` reads it back."""
        self.note(event, said="; ".join(f"{site}: {word}" for site, word in words.items()))

    def last_event(self) -> str:
        """The newest event's name, or "" before the first."""
        path = self.folder / EVENTS
        for line in reversed(path.read_bytes().splitlines() if path.exists() else []):
            with suppress(ValueError, RecursionError):  # cut short by a kill
                return str(json.loads(line)["event"])
        return ""

    def note_round(self, report: RoundReport) -> None:
        """Append a finished round."""
        self.append(ROUNDS, round_fields(report))

    def note_untold(self, kept: object) -> None:
        """Append the round that a checkpoint keeps (`round_fields`), where a kill came before its line."""
        if isinstance(kept, dict) and kept.get("round") not in self._told():
            self.append(ROUNDS, kept)

    def _told(self) -> set[object]:
        path, found = self.folder / ROUNDS, set()
        for line in path.read_bytes().splitlines() if path.exists() else ():
            with suppress(ValueError, RecursionError, KeyError, TypeError):  # cut short by a kill
                found.add(json.loads(line)["round"])
        return found

    def append(self, name: str, fields: Mapping[str, object]) -> None:
        """A line to one of the files, with its time. Raises RecordUnwritable."""
        line = json.dumps({"at": self.now().isoformat(timespec="milliseconds"), **fields}, allow_nan=False)
        path = self.folder / name
        with unwritable(path):
            # A line that a kill cut short is closed first, or it would swallow this one.
            content = path.read_bytes() if path.exists() else b""
            torn = bool(content) and not content.endswith(b"\n")
            with path.open("a") as file:
                file.write(("\n" if torn else "") + line + "\n")
                file.flush()
                os.fsync(file.fileno())


def round_fields(report: RoundReport) -> dict[str, Json]:
    """Of a finished round: its line, but for the time."""
    return {
        "round": report.round,
        "attempt": report.attempt,
        "answered": list(report.answered),
        "rejected": [str(rejection) for rejection in report.rejected],
        "update_l2_norm": report.update_l2_norm,
        "bytes_down": report.bytes_down,
        "bytes_up": report.bytes_up,
        "seconds": round(report.seconds, 3),
    }


def note_written(study: Path, what: str, path: Path) -> None:
    """Where a report or a package of the study in this folder was written. It stays, should the note fail."""
    with suppress(RecordUnwritable):
        files = StudyFiles(study, lambda: datetime.now(UTC))
        files.append(WRITTEN, {"what": what, "path": str(path.absolute())})
