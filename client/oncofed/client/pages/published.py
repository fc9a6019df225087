"""Of which patients are the pages' figures of groups, from the day they are published until a person publishes anew?

The table changes each night, and what changes from one night to the next is mostly one patient. So figures are not made
from the table as it is now, but from a version that is kept in one file of the guard's user. A new version takes what
would not tell anybody apart, unit by unit (`units`):

- *new patients* of a tumour, as a batch of their own, when there are at least twice the floor of them; till then they
  wait. What is told of the unit is the sum of what is told of each batch, so two versions tell a batch and no more;
- *follow-up* of those who are published already, when that of at least the floor of a unit's patients has changed.

Markers of who is published stay as they were then, and so does who has left the table: a correction would be the
difference of two versions. They are right on the patient's own page, and in the figures of the next study.

The file holds marker values and follow-up of the published patients, and instead of identifiers keyed hashes. Promises:
whole or not at all, for its owner alone, refused when it was changed or was published for another study, or with
another floor: two floors would be two roundings of one number.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.units import REST, Units, entity_of_each, unit_of_each
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged
from oncofed.secret_files import read_secret

IntArray = NDArray[np.intp]

_HASH_BYTES = 16
_KEY_BYTES = 32
_SHA256_DIGITS = 64
_OF_COHORT = ("values", "entry", "exit", "observed")


@dataclass(frozen=True, eq=False)
class Published:
    """units: what is shown; identifiers are keyed hashes. key: theirs. versions: how many there were, this included."""

    units: Units
    floor: int
    key: bytes
    versions: int


@dataclass(frozen=True)
class Renewal:
    """What became of each unit.

    grown    units that new patients came to, new units among them. followed: whose follow-up is as in the table now.
    waiting  units of which new patients wait, or changes of the follow-up.
    """

    published: Published
    grown: tuple[int, ...]
    followed: tuple[int, ...]
    waiting: tuple[int, ...]


def renewal(before: Published | None, cohort: Cohort, *, floor: int) -> Renewal:
    """A new version from the table as it is now. before: None for the first one, else of this floor."""
    assert before is None or before.floor == floor
    key = secrets.token_bytes(_KEY_BYTES) if before is None else before.key
    old = _none_of(cohort) if before is None else before.units
    version = 1 if before is None else before.versions + 1
    hashes = tuple(hashed(patient, key) for patient in cohort.patient_ids)
    old, followed, late = _followed(old, cohort, hashes, floor)
    known = set(old.cohort.patient_ids)
    new = cohort.subset([row for row, each in enumerate(hashes) if each not in known])
    unit, taken = _batches(old, new, floor)
    units = Units(
        _together(old.cohort, new.subset(np.flatnonzero(taken)), key),
        np.concatenate([old.of, unit[taken]]),
        np.concatenate([old.batch, np.full(int(taken.sum()), version, dtype=np.intp)]),
    )
    grown, waiting = (tuple(int(each) for each in np.unique(unit[rows])) for rows in (taken, ~taken))
    published = Published(units, floor, key, version)
    return Renewal(published, grown, followed, tuple(sorted({*waiting, *late})))


def _batches(old: Units, new: Cohort, floor: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """The unit of each new patient, and whether it is taken now. Who has the tumour of a unit never joins the rest."""
    disclosure, entity = Disclosure(floor), entity_of_each(new)
    unit = unit_of_each(new, disclosure)
    of_units = np.isin(entity, old.numbers())
    unit[of_units] = entity[of_units].astype(np.intp)
    taken = np.zeros(len(new), dtype=np.bool_)
    for each in np.unique(unit):
        rows = unit == each
        # The first rest is as large as a rest must be to be in any figure.
        first_rest = each == REST and not (old.of == REST).any()
        taken |= rows if int(rows.sum()) >= (floor if first_rest else disclosure.crowd) else np.False_
    return unit, taken


def _followed(
    old: Units, cohort: Cohort, hashes: tuple[str, ...], floor: int
) -> tuple[Units, tuple[int, ...], tuple[int, ...]]:
    """The published patients with their follow-up as it is now, in which units it is, and in which it is not yet."""
    place = {each: row for row, each in enumerate(hashes)}
    now = np.array([place.get(each, -1) for each in old.cohort.patient_ids], dtype=np.intp)
    outcome = {name: np.array(getattr(old.cohort, name)) for name in _OF_COHORT[1:]}
    changed = np.zeros(len(now), dtype=np.bool_)
    for name, column in outcome.items():
        changed[now >= 0] |= (column[now >= 0] != getattr(cohort, name)[now[now >= 0]]).any(axis=1)
    followed, late = [], []
    for unit in np.unique(old.of[changed]):
        rows = changed & (old.of == unit)
        if int(rows.sum()) < floor:
            late.append(int(unit))
            continue
        followed.append(int(unit))
        for name, column in outcome.items():
            column[rows] = getattr(cohort, name)[now[rows]]
    found = Cohort(old.cohort.schema, old.cohort.patient_ids, old.cohort.values, **outcome)
    return Units(found, old.of, old.batch), tuple(followed), tuple(late)


def hashed(patient: str, key: bytes) -> str:
    """A keyed hash, which nobody can turn back without the key."""
    return hashlib.blake2b(patient.encode(), key=key, digest_size=_HASH_BYTES).hexdigest()


def _none_of(cohort: Cohort) -> Units:
    none = np.zeros(0, dtype=np.intp)
    return Units(cohort.subset([]), none, none)


def _together(old: Cohort, new: Cohort, key: bytes) -> Cohort:
    arrays = {name: np.concatenate([getattr(old, name), getattr(new, name)]) for name in _OF_COHORT}
    return Cohort(old.schema, (*old.patient_ids, *(hashed(each, key) for each in new.patient_ids)), **arrays)


def write_published(path: Path, published: Published) -> None:
    """Raises RecordUnwritable."""
    units, cohort = published.units, published.units.cohort
    about = {
        "floor": published.floor,
        "schema": cohort.schema.hash,
        "key": published.key.hex(),
        "versions": published.versions,
        "patients": cohort.patient_ids,
    }
    arrays = {"of": units.of, "batch": units.batch, **{name: getattr(cohort, name) for name in _OF_COHORT}}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", json.dumps(about))
        for name, array in arrays.items():
            written = io.BytesIO()
            np.save(written, array, allow_pickle=False)
            file.writestr(f"{name}.npy", written.getvalue())
    body = content.getvalue()
    replace_durably(path, hashlib.sha256(body).hexdigest().encode() + body, mode=0o600)


def read_published(path: Path, schema: StudySchema) -> Published | None:
    """None where nothing is published yet. Raises RecordDamaged, or InvalidInput if it cannot be read or others may."""
    with unwritable(path):
        if not path.exists():
            return None
    content = read_secret(path)
    digest, body = content[:_SHA256_DIGITS], content[_SHA256_DIGITS:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise RecordDamaged(f"{path.name} was changed. Restore its newest copy: it says what was told before.")
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        about = json.loads(file.read("about.json"))
        arrays: dict[str, Any] = {name: _array(file, name) for name in ("of", "batch", *_OF_COHORT)}
    if about["schema"] != schema.hash:
        raise RecordDamaged(f"{path.name} is of another schema. Restore its newest copy: it says what was told before.")
    cohort = Cohort(schema, tuple(about["patients"]), **{name: arrays[name] for name in _OF_COHORT})
    units = Units(cohort, arrays["of"], arrays["batch"])
    return Published(units, about["floor"], bytes.fromhex(about["key"]), about["versions"])


def _array(file: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    return np.asarray(np.load(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False))


def refuse_other_floor(published: Published, floor: int | None) -> None:
    """Raises InvalidInput. floor: None accepts that of what is published."""
    if floor not in (None, published.floor):
        what = f"is not {published.floor}, with which the figures of this study were published here"
        remedy = f"Give --smallest-group {published.floor}: two floors would be two roundings of one number."
        raise InvalidInput([Fault("--smallest-group", what, remedy)])
