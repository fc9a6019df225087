"""How does a hospital's ledger outlive the process? As lines of JSON, each on the disk before its charge is acted upon.

For simulated hospitals whose guard is built anew in one worker process after another. One process at a time may use a
journal, which Flower's engine sees to: a node answers one message at a time. A torn last line (a kill while writing)
was never acted upon: it is not read, and the next charge takes its place. Any other damage is refused.

Promises: reading writes nothing. A new journal's folder is flushed before its first charge, so that no power cut takes
the file away together with the charges in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from oncofed.errors import CheckpointDamaged
from oncofed.privacy.ledger import Budget, Charge, MemoryLedger, charge_from_json, charge_to_json


class JournalLedger:
    """A `MemoryLedger` whose every charge is appended to a file and flushed to the disk first."""

    def __init__(self, budget: Budget, path: Path) -> None:
        self._path = path
        self._memory = MemoryLedger(budget, _read(path))

    @property
    def budget(self) -> Budget:
        """As `privacy.ledger.Ledger` says."""
        return self._memory.budget

    def charges(self) -> Sequence[Charge]:
        """As `privacy.ledger.Ledger` says."""
        return self._memory.charges()

    def charge(self, charge: Charge) -> None:
        """As `privacy.ledger.Ledger` says."""
        trial = MemoryLedger(self.budget, self._memory.charges())
        trial.charge(charge)  # refuses before anything is written
        _append(self._path, json.dumps(charge_to_json(charge)).encode() + b"\n")
        self._memory = trial


def _append(path: Path, line: bytes) -> None:
    with path.open("a+b") as journal:
        journal.seek(0)
        whole = len(_whole_lines(journal.read()))
        journal.truncate(whole)
        if whole == 0:  # the file may be new: nobody has yet relied on a charge in it
            _flush_folder(path.parent)
        journal.write(line)
        journal.flush()
        os.fsync(journal.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _read(path: Path) -> list[Charge]:
    if not path.exists():
        return []
    try:
        return [charge_from_json(json.loads(line)) for line in _whole_lines(path.read_bytes()).splitlines()]
    except (ValueError, KeyError, TypeError):
        raise CheckpointDamaged(f"{path} is not a ledger of this program. Keep it, and start another run.") from None
