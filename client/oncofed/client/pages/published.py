"""Of which patients are the pages' figures of groups, from the day they are published until a person publishes anew?

The table changes each night, and what changes from one night to the next is mostly one patient. So figures are not made
from the table as it is now, but from a version that is kept in one file of the guard's user. A new version takes what
would not tell anybody apart, unit by unit (`units`):

- *new patients* of a tumour, as a batch of their own, when there are at least twice the floor of them; till then they
  wait. What is told of the unit is the sum of what is told of each batch, so two versions tell a batch and no more;
- *follow-up* of those who are published already, endpoint by endpoint: when it is known of nobody or of at least the
  floor of a unit's patients that they had an event, and of nobody or of at least the floor that they were observed
  otherwise. *Corrections* of events, when there are at least the floor of them. Till then what was known before stays,
  with its date, and whether nobody or a few wait is not told apart.

Markers of who is published stay as they were then, and so does who has left the table: a correction would be the
difference of two versions. They are right on the patient's own page, and in figures of groups when a person has all of
them begun anew (`begun_anew`), for which in each tumour that was shown at least twice the floor of patients must have
come, or left.

The file holds marker values and follow-up of the published patients, and instead of identifiers keyed hashes, with the
lots by which studies set patients aside: they follow from identifiers, so nobody could draw them later. It is one
for a data source, whatever studies use it, and for one floor: two would be two roundings of one number. A study with
another schema has a file beside it, of the same patients (`among`). Promises: whole or not at all, for its owner alone,
refused when it was changed; what was told before cannot be lost in silence (`publication_record`).
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import zipfile
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.units import REST, Units, entity_of_each, unit_of_each
from oncofed.client.patients.held_out_split import NO_LOT, LotArray, Lots
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput, RecordDamaged

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

_HASH_BYTES = 16
_KEY_BYTES = 32
_SHA256_DIGITS = 64
_OF_OUTCOME = ("entry", "exit", "observed")
_OF_COHORT = ("values", *_OF_OUTCOME)


@dataclass(frozen=True, eq=False)
class Published:
    """units: what is shown; identifiers are keyed hashes. key: theirs. versions: how many there were, this included.

    as_of  (patients, endpoints), the day (its ordinal) whose follow-up is shown.
    lots   (patients,), NO_LOT of whom it is not known. lots_of: their name (`Lots`); empty where none are known.
    """

    units: Units
    floor: int
    key: bytes
    versions: int
    as_of: IntArray
    lots: LotArray
    lots_of: str = ""


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


def renewal(
    before: Published | None,
    cohort: Cohort,
    *,
    floor: int,
    key: bytes = b"",
    today: date | None = None,
    lots: Lots | None = None,
) -> Renewal:
    """A new version from the table as it is now. before: None for the first one, else of this floor.

    key   of a first one; made where it is left out. today: left out where nobody looks at it.
    lots  drawn for those who are in the table, unless others were drawn before; None: of who is new they are not known.
    """
    assert before is None or before.floor == floor
    key = before.key if before is not None else key or secrets.token_bytes(_KEY_BYTES)
    day = date.min.toordinal() if today is None else today.toordinal()
    old = _none_of(cohort) if before is None else before.units
    version = 1 if before is None else before.versions + 1
    hashes = tuple(hashed(patient, key) for patient in cohort.patient_ids)
    endpoints = cohort.exit.shape[1]
    as_of = np.zeros((0, endpoints), dtype=np.intp) if before is None else before.as_of.copy()
    old, taken_now, late = _followed(old, cohort, hashes, floor)
    as_of[taken_now] = day
    followed = tuple(int(each) for each in np.unique(old.of[taken_now.any(axis=1)]))
    known = set(old.cohort.patient_ids)
    new = cohort.subset([row for row, each in enumerate(hashes) if each not in known])
    unit, taken = _batches(old, new, floor)
    units = Units(
        _together(old.cohort, new.subset(np.flatnonzero(taken)), key),
        np.concatenate([old.of, unit[taken]]),
        np.concatenate([old.batch, np.full(int(taken.sum()), version, dtype=np.intp)]),
    )
    grown, waiting = (tuple(int(each) for each in np.unique(unit[rows])) for rows in (taken, ~taken))
    as_of = np.concatenate([as_of, np.full((int(taken.sum()), endpoints), day, dtype=np.intp)])
    lots_of, drawn = _lots_after(before, units, cohort, hashes, lots)
    published = Published(units, floor, key, version, as_of, drawn, lots_of)
    return Renewal(published, grown, followed, tuple(sorted({*waiting, *late})))


def _lots_after(
    before: Published | None, units: Units, cohort: Cohort, hashes: tuple[str, ...], lots: Lots | None
) -> tuple[str, LotArray]:
    """The name of the lots and each published patient's. Whose is known keeps it."""
    known = "" if before is None else before.lots_of
    found = np.full(len(units.of), NO_LOT)
    if before is not None:
        found[: len(before.lots)] = before.lots
    if lots is None or known not in ("", lots.name):
        return known, found
    by_hash = dict(zip(hashes, lots.of(cohort.patient_ids).tolist(), strict=True))
    now = np.array([by_hash.get(each, int(NO_LOT)) for each in units.cohort.patient_ids], dtype=np.uint64)
    return lots.name, np.where(found == NO_LOT, now, found)


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
) -> tuple[Units, BoolArray, tuple[int, ...]]:
    """The published patients with their follow-up as it is now, of whom and which endpoint, and units that wait.

    Of a unit and an endpoint it is taken as a whole, the dead with the living, or curves would be of the one or the
    other; corrections of events apart from it. Of endpoints that compete it is one follow-up, taken of all or of none.
    """
    place = {each: row for row, each in enumerate(hashes)}
    now = np.array([place.get(each, -1) for each in old.cohort.patient_ids], dtype=np.intp)
    here = (now >= 0)[:, None]
    before = {name: getattr(old.cohort, name) for name in _OF_OUTCOME}
    after = {name: np.where(here, getattr(cohort, name)[now], before[name]) for name in _OF_OUTCOME}
    changed: BoolArray = np.any([before[name] != after[name] for name in _OF_OUTCOME], axis=0)
    together = _together_with(old.cohort.schema)
    corrected = (changed @ together) & (before["observed"] @ together) & changed
    event = changed & ~corrected & after["observed"]
    otherwise = changed & ~corrected & ~after["observed"]
    taken, late = np.zeros_like(changed), set[int]()
    for unit in np.unique(old.of).tolist():
        rows = (old.of == unit)[:, None]
        for kinds in ((event, otherwise), (corrected,)):
            counts = np.array([(rows & kind).sum(axis=0) for kind in kinds])
            enough = ~(~((counts == 0) | (counts >= floor)).all(axis=0) @ together)
            taken |= rows & np.any(kinds, axis=0) & enough
            if (counts[:, ~enough] > 0).any():
                late.add(unit)
    outcome = {name: np.where(taken, after[name], before[name]) for name in _OF_OUTCOME}
    found = Cohort(old.cohort.schema, old.cohort.patient_ids, old.cohort.values, **outcome)
    return Units(found, old.of, old.batch), taken, tuple(sorted(late))


def _together_with(schema: StudySchema) -> BoolArray:
    """(endpoints, endpoints): whether two are the same, or compete."""
    found = np.eye(len(schema.endpoints), dtype=np.bool_)
    for number in range(len(found)):
        found[number, list(schema.competing(number))] = True
    return found


def begun_anew(before: Published, cohort: Cohort, *, floor: int, today: date, lots: Lots | None = None) -> Published:
    """All figures of the table as it is now, with markers as they are now, under a floor that may be another one.

    Raises InvalidInput unless in each unit that was shown enough patients have come, or have left: of two pictures of
    the same patients, rounded in two ways, one could tell what each alone does not.
    """
    enough = Disclosure(max(floor, before.floor)).crowd
    hashes = np.array([hashed(patient, before.key) for patient in cohort.patient_ids])
    entity, old = entity_of_each(cohort), before.units
    come = ~np.isin(hashes, np.array(old.cohort.patient_ids))
    gone = ~np.isin(np.array(old.cohort.patient_ids), hashes)
    for unit in np.unique(old.of).tolist():
        mine = ~np.isin(entity, old.numbers()) if unit == REST else entity == unit
        if max(int((come & mine).sum()), int((gone & (old.of == unit)).sum())) < enough:
            what = "are published, and in one of the tumours shown too few patients have come or left since"
            remedy = (
                f"Wait until at least {enough} of each have; `oncofed site pages publish` takes what it can meanwhile."
            )
            raise InvalidInput([Fault("figures of groups", what, remedy)])
    first = renewal(None, cohort, floor=floor, today=today, lots=lots).published
    return replace(first, versions=before.versions + 1)


def among(members: Members, cohort: Cohort) -> Cohort:
    """Those of a cohort who are published."""
    return cohort.subset(
        [row for row, each in enumerate(cohort.patient_ids) if hashed(each, members.key) in members.patients]
    )


def hashed(patient: str, key: bytes) -> str:
    """A keyed hash, which nobody can turn back without the key."""
    return hashlib.blake2b(patient.encode(), key=key, digest_size=_HASH_BYTES).hexdigest()


def _none_of(cohort: Cohort) -> Units:
    none = np.zeros(0, dtype=np.intp)
    return Units(cohort.subset([]), none, none)


def _together(old: Cohort, new: Cohort, key: bytes) -> Cohort:
    arrays = {name: np.concatenate([getattr(old, name), getattr(new, name)]) for name in _OF_COHORT}
    return Cohort(old.schema, (*old.patient_ids, *(hashed(each, key) for each in new.patient_ids)), **arrays)


def content_of(published: Published) -> bytes:
    """Of the file."""
    units, cohort = published.units, published.units.cohort
    about = {
        "floor": published.floor,
        "schema": cohort.schema.hash,
        "key": published.key.hex(),
        "versions": published.versions,
        "patients": cohort.patient_ids,
        "lots_of": published.lots_of,
    }
    arrays = {
        "of": units.of,
        "batch": units.batch,
        "as_of": published.as_of,
        "lots": published.lots,
        **{name: getattr(cohort, name) for name in _OF_COHORT},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", json.dumps(about))
        for name, array in arrays.items():
            written = io.BytesIO()
            np.save(written, array, allow_pickle=False)
            file.writestr(f"{name}.npy", written.getvalue())
    body = content.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + body


def published_of(content: bytes, schema: StudySchema, *, name: str) -> Published:
    """From the content of a file of this name. Raises RecordDamaged."""
    about = _about(content, name)
    if about["schema"] != schema.hash:
        raise RecordDamaged(f"{name} is of another schema. Restore its newest copy: it says what was told before.")
    with zipfile.ZipFile(io.BytesIO(content[_SHA256_DIGITS:])) as file:
        arrays: dict[str, Any] = {each: _array(file, each) for each in ("of", "batch", "as_of", *_OF_COHORT)}
        # An earlier version kept no lots.
        lots: Any = _array(file, "lots") if "lots_of" in about else np.full(len(arrays["of"]), NO_LOT)
    cohort = Cohort(schema, tuple(about["patients"]), **{each: arrays[each] for each in _OF_COHORT})
    units = Units(cohort, arrays["of"], arrays["batch"])
    key, lots_of = bytes.fromhex(about["key"]), about.get("lots_of", "")
    return Published(units, about["floor"], key, about["versions"], arrays["as_of"], lots, lots_of)


def _about(content: bytes, name: str) -> dict[str, Any]:
    digest, body = content[:_SHA256_DIGITS], content[_SHA256_DIGITS:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise RecordDamaged(f"{name} was changed. Restore its newest copy: it says what was told before.")
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        found: dict[str, Any] = json.loads(file.read("about.json"))
    return found


@dataclass(frozen=True)
class Members:
    """What is published, whatever its schema: who, and under which floor."""

    schema: str
    floor: int
    key: bytes
    patients: frozenset[str]


def members_of(content: bytes, *, name: str) -> Members:
    """From the content of a file of this name. Raises RecordDamaged."""
    about = _about(content, name)
    return Members(about["schema"], about["floor"], bytes.fromhex(about["key"]), frozenset(about["patients"]))


def _array(file: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    return np.asarray(np.load(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False))
