"""How does a hospital's ledger outlive the process? As lines of JSON, each on the disk before its charge is acted upon.

For simulated hospitals whose guard is built anew in one worker process after another. One process at a time may use a
journal, which Flower's engine sees to: a node answers one message at a time. A torn last line (a kill while writing)
was never acted upon and is dropped; any other damage is refused.
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
        with self._path.open("ab") as journal:
            journal.write(json.dumps(charge_to_json(charge)).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._memory = trial


def _read(path: Path) -> list[Charge]:
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as journal:
            journal.truncate(len(whole))
    try:
        return [charge_from_json(json.loads(line)) for line in whole.splitlines()]
    except (ValueError, KeyError, TypeError):
        raise CheckpointDamaged(f"{path} is not a ledger of this program. Keep it, and start another run.") from None
