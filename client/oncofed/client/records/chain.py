"""How does a record show that nothing in it was changed, taken out or put in another order?

Each entry carries the hash of the one before it, and its own hash covers that and its content. Whoever can write the
file can also compute a new chain, or cut its end off; that shows only against an `Anchor`, a head that was noted
outside (on paper, in the coordinator's mailbox). An anchor stays good for ever: later entries only come after it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from oncofed.errors import Fault, InvalidInput, RecordDamaged

START = "0" * 64
"""What stands for the hash before the first entry."""

_ANCHOR = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Anchor:
    """The head of a chain at some time: how many entries it had, and the hash of the last. Written ``12:9f86d0…``."""

    entries: int
    hash: str

    def __str__(self) -> str:
        return f"{self.entries}:{self.hash}"


def link(previous: str, content: bytes) -> str:
    """The hash of an entry: SHA-256 over the hash before it, which has a fixed length, and its content."""
    return hashlib.sha256(previous.encode() + b"\n" + content).hexdigest()


def head_of(hashes: Sequence[str]) -> Anchor:
    """The head of a chain of these hashes, oldest first."""
    return Anchor(len(hashes), hashes[-1] if hashes else START)


def parse_anchor(text: str) -> Anchor:
    """The inverse of `str(anchor)`. Raises InvalidInput."""
    found = _ANCHOR.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            [
                Fault(
                    "anchor",
                    "is not a head of a record",
                    "Copy it whole, as it was printed: a number, a colon, a hash.",
                )
            ]
        )
    return Anchor(int(found[1]), found[2])


def refuse_unless_anchored(hashes: Sequence[str], anchor: str, *, record: str) -> None:
    """Raises RecordDamaged unless the chain still holds the entry of the anchor where it was.

    record  what the message calls the record.
    """
    noted = parse_anchor(anchor)
    if noted.entries > len(hashes):
        raise RecordDamaged(
            f"{record} has {len(hashes)} entries, and had {noted.entries} when the anchor was noted: the last ones "
            "were taken out, or an older copy was put in its place. Do not release anything, and put no older copy "
            "back: docs/install-hospital.md, section 8."
        )
    if noted.hash != (hashes[noted.entries - 1] if noted.entries else START):
        raise RecordDamaged(
            f"{record} has another entry {noted.entries} than when the anchor was noted: it was rewritten. "
            "Do not release anything, and put no older copy back: docs/install-hospital.md, section 8."
        )
