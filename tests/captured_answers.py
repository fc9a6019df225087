"""Which answers with a vector are in what a proxy recorded, byte for byte, and what has the audit log noted of them?

Looked for by their form alone, with nothing of the product's: a reply of a given number of 8-byte numbers, the hash of
a question, a signature, each with its tag and length (`guard.proto`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from oncofed.client.records.audit_entries import AuditEntry

_QUESTION_AND_SIGNATURE = rb"\x12\x20.{32}\x1a\x40.{64}"
_VECTOR, _MASKED, _COUNTS = b"\x0a", b"\x1a", b"\x22"


def answers_in(pieces: Iterable[bytes], *, numbers: int) -> set[bytes]:
    """The signed answers with this many numbers, each once."""
    length = _varint(8 * numbers)
    before = [b"\x0a" + _varint(len(tag + length) + 8 * numbers) + tag + length for tag in (_VECTOR, _MASKED, _COUNTS)]
    found = set()
    for piece in pieces:
        for match in re.finditer(_QUESTION_AND_SIGNATURE, piece, re.DOTALL):
            for head in before:
                start = match.start() - 8 * numbers - len(head)
                if start >= 0 and piece.startswith(head, start):
                    found.add(piece[start : match.end()])
    return found


def noted_hashes(entries: Iterable[AuditEntry]) -> set[str]:
    """Of all vectors that have left, as these entries of an audit log say."""
    return {left.sha256 for entry in entries for left in entry.left}


def hashes_of(answers: Iterable[bytes]) -> set[str]:
    return {hashlib.sha256(answer).hexdigest() for answer in answers}


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
