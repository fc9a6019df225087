"""Were these very patients approved before, whatever the schema was that they were read by?

A mark is a salt and a keyed hash of all identifiers together, sorted: it tells whether another table holds exactly the
same ones, in whatever order and with whatever columns, and nothing of any single patient. Each mark has a salt of its
own, so that two of them cannot be compared by whoever has the files alone, and no secret need be kept for it.

What it cannot find: a copy in which one patient is missing, or one identifier is written otherwise.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

_DOMAIN = b"oncofed approved patients 1"
_SALT_BYTES = 16


def patients_mark(patient_ids: Sequence[str]) -> str:
    """A new mark of these patients, in hexadecimal digits."""
    return _marked(patient_ids, secrets.token_hex(_SALT_BYTES))


def is_mark_of(mark: str, patient_ids: Sequence[str]) -> bool:
    """Whether the mark was made of exactly these; an empty one, of an earlier version, of nobody."""
    return bool(mark) and hmac.compare_digest(mark, _marked(patient_ids, mark[: 2 * _SALT_BYTES]))


def _marked(patient_ids: Sequence[str], salt: str) -> str:
    digest = hmac.new(salt.encode(), _DOMAIN, hashlib.sha256)
    for patient in sorted(patient_ids):
        written = patient.encode()
        digest.update(len(written).to_bytes(8, "big") + written)
    return salt + digest.hexdigest()
