"""Were these very patients approved before, whatever the schema was that they were read by?

A mark is a salt and a keyed hash of all identifiers together, sorted: it tells whether another table holds exactly the
same ones, in whatever order and with whatever columns, and nothing of any single patient. Each mark has a salt of its
own, so that two of them cannot be compared by whoever has the files alone, and no secret need be kept for it.

Which column identifies patients is said by the schema, which the coordinator writes, and so are times and markers. So
outcomes have marks too, one for each endpoint: all times at which observation ended, and whether with the event,
sorted. And so have the bytes of the table's file.

What they cannot find: a copy that is written otherwise (an order, a format, a database) and has, by the schema that it
is read by, other identifiers and other outcomes; and one that lacks a patient. Columns of markers tell nothing: other
people's are the same where they were matched, or are ranks.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence

from oncofed.cohort.cohort import Cohort

_DOMAIN = b"oncofed approved patients 1"
_SALT_BYTES = 16
_FEWEST_DISTINCT = 20
"""Fewer different outcomes tell nothing: many hospitals could have the same."""


def patients_mark(patient_ids: Sequence[str]) -> str:
    """A new mark of these patients, in hexadecimal digits."""
    return _marked(patient_ids, secrets.token_hex(_SALT_BYTES))


def is_mark_of(mark: str, patient_ids: Sequence[str]) -> bool:
    """Whether the mark was made of exactly these; an empty one, of an earlier version, of nobody."""
    return bool(mark) and hmac.compare_digest(mark, _marked(patient_ids, mark[: 2 * _SALT_BYTES]))


def outcome_marks(cohort: Cohort) -> str:
    """A new mark of each endpoint's outcomes, with blanks between; of those that tell people apart."""
    return " ".join(patients_mark(outcomes) for outcomes in _outcomes(cohort))


def are_outcome_marks_of(marks: str, cohort: Cohort) -> bool:
    """Whether one of them was made of the outcomes of exactly these patients."""
    return any(is_mark_of(mark, outcomes) for outcomes in _outcomes(cohort) for mark in marks.split())


def file_mark(digest: str) -> str:
    """A new mark of a file's digest; of none, which a database has, empty."""
    return patients_mark([digest]) if digest else ""


def is_file_mark_of(mark: str, digest: str) -> bool:
    """Whether the mark was made of this digest."""
    return bool(digest) and is_mark_of(mark, [digest])


def _outcomes(cohort: Cohort) -> Iterator[list[str]]:
    for time, observed in zip(cohort.exit.T, cohort.observed.T, strict=True):
        found = [f"{until!r} {bool(event)}" for until, event in zip(time.tolist(), observed.tolist(), strict=True)]
        if len(set(found)) >= _FEWEST_DISTINCT:
            yield found


def _marked(patient_ids: Sequence[str], salt: str) -> str:
    digest = hmac.new(salt.encode(), _DOMAIN, hashlib.sha256)
    for patient in sorted(patient_ids):
        written = patient.encode()
        digest.update(len(written).to_bytes(8, "big") + written)
    return salt + digest.hexdigest()
