"""Were these very patients approved before, whatever the schema was that they were read by?

A mark is a salt and a keyed hash of all identifiers together, sorted: it tells whether another table holds exactly the
same ones, in whatever order and with whatever columns, and nothing of any single patient. Each mark has a salt of its
own, so that two of them cannot be compared by whoever has the files alone, and no secret need be kept for it.

Which column identifies patients is said by the schema, which the coordinator writes, and so are times and markers. So
outcomes have marks too, one for each endpoint: all times at which observation ended, and whether with the event,
sorted. And so has what the table itself holds (`oncofed.client.patients.source_content`): the bytes of its file, and
the cells of each column that the schema names. These have one salt together, so that looking for many columns in many
approvals takes no time.

What they cannot find: a copy that is written otherwise (one patient is missing, a format, a database) and is read by a
schema that shares fewer than two columns of enough different cells with the schema of before, or less than half.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence

from oncofed.client.patients.source_content import FEWEST_DISTINCT, FILE
from oncofed.cohort.cohort import Cohort

_DOMAIN = b"oncofed approved patients 1"
_CONTENT = b"oncofed approved content 1"
_CONTENT_DIGITS = 32
_SALT_BYTES = 16
_FEWEST_COLUMNS = 2


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


def content_marks(content: Mapping[str, str]) -> str:
    """New marks of digests: a salt and one mark each, with blanks between. Of what each is, nothing is kept."""
    salt = secrets.token_hex(_SALT_BYTES)
    return " ".join([salt, *sorted(_content_mark(digest, salt) for digest in content.values())])


def marked_content(marks: str, content: Mapping[str, str]) -> tuple[str, ...]:
    """By what of the content, by its keys, it is that of the marks; nothing where there are none (an earlier version).

    The bytes of a file tell by themselves. Columns tell where two or more are marked and at least half of those that
    the smaller of the two studies has: controls that were matched to cases by age have their ages alone.
    """
    salt, *found = marks.split() or [""]
    known = set(found)
    same = [what for what, digest in content.items() if _content_mark(digest, salt) in known]
    columns = [what for what in same if what != FILE]
    enough = max(_FEWEST_COLUMNS, min(len(content.keys() - {FILE}), len(known)) / 2)
    return tuple(what for what in same if what == FILE or len(columns) >= enough)


def _content_mark(digest: str, salt: str) -> str:
    return hmac.new(salt.encode(), _CONTENT + digest.encode(), hashlib.sha256).hexdigest()[:_CONTENT_DIGITS]


def _outcomes(cohort: Cohort) -> Iterator[list[str]]:
    for time, observed in zip(cohort.exit.T, cohort.observed.T, strict=True):
        found = [f"{until!r} {bool(event)}" for until, event in zip(time.tolist(), observed.tolist(), strict=True)]
        if len(set(found)) >= FEWEST_DISTINCT:
            yield found


def _marked(patient_ids: Sequence[str], salt: str) -> str:
    digest = hmac.new(salt.encode(), _DOMAIN, hashlib.sha256)
    for patient in sorted(patient_ids):
        written = patient.encode()
        digest.update(len(written).to_bytes(8, "big") + written)
    return salt + digest.hexdigest()
