"""Of which patients are the pages' figures of groups, from the day they are published until a person publishes anew?

The table changes each night, and what changes from one night to the next is mostly one patient. So figures are not made
from the table as it is now, but from a version that is kept in one file of the guard's user. A new version is taken
unit by unit (`units`): a tumour whose patients differ from *every* version of it that was ever shown by none, or
by at least the floor, is renewed; any other stays as it was. So neither two versions of a unit, nor two of all patients
together, which are the units together, differ by fewer patients than the floor.

Patients differ when a line of the table does: of a corrected value there is one old and one new line, which count as
one patient. A patient whose tumour was corrected may be in two units for a while, or in none. The figures say nothing
so exact that this would show.

The file holds marker values and follow-up of the published patients without identifiers, and of each earlier version
a keyed hash of each line. Promises: whole or not at all, for its owner alone, and refused when it was changed or was
published for another study or floor: two floors would be two roundings of one number.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.units import REST, Units, unit_of_each
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged

FloatArray = NDArray[np.float64]
Lines = Counter[bytes]

_DIGEST_BYTES = 12
_KEY_BYTES = 32
_SHA256_DIGITS = 64
_ARRAYS = ("values", "entry", "exit", "observed", "unit")


@dataclass(frozen=True, eq=False)
class Published:
    """units: what is shown. key: of the hashes. earlier: each version of each unit ever shown, this included."""

    units: Units
    floor: int
    key: bytes
    earlier: Mapping[int, tuple[Lines, ...]]


@dataclass(frozen=True)
class Renewal:
    """What became of each unit: renewed, or kept as it was because too few patients have changed."""

    published: Published
    renewed: tuple[int, ...]
    kept: tuple[int, ...]


def renewal(before: Published | None, cohort: Cohort, *, floor: int) -> Renewal:
    """A new version from the table as it is now. before: None for the first one, else of this floor."""
    assert before is None or before.floor == floor
    key = secrets.token_bytes(_KEY_BYTES) if before is None else before.key
    now = unit_of_each(cohort, Disclosure(floor))
    earlier = {} if before is None else dict(before.earlier)
    renewed, kept, parts = [], [], []
    for unit in sorted({int(each) for each in now} | {REST}):
        rows = np.flatnonzero(now == unit)
        rows = rows if len(rows) >= floor else rows[:0]  # a rest of fewer is in no figure
        new = cohort.subset(rows)
        lines = lines_of(new, key)
        versions = earlier.get(unit, ())
        if all(differing(lines, version) == 0 or differing(lines, version) >= floor for version in versions):
            if lines not in versions:
                earlier[unit] = (*versions, lines)
            renewed.append(unit)
            parts.append((new, unit))
        else:
            assert before is not None
            kept.append(unit)
            parts.append((before.units.cohort.subset(np.flatnonzero(before.units.of == unit)), unit))
    published = Published(_together(cohort.schema, parts), floor, key, earlier)
    return Renewal(published, tuple(renewed), tuple(kept))


def differing(one: Lines, other: Lines) -> int:
    """Patients who are in one and not, or not as they are, in the other; a changed one counts once."""
    return max((one - other).total(), (other - one).total())


def lines_of(cohort: Cohort, key: bytes) -> Lines:
    """A keyed hash of each patient's line, without the identifier."""
    parts = (cohort.values, cohort.entry, cohort.exit, cohort.observed.astype(np.float64))
    # What is missing, and zero, are each written in several ways.
    table = np.concatenate([np.where(np.isnan(part), np.nan, part + 0.0) for part in parts], axis=1)
    return Counter(
        hashlib.blake2b(np.ascontiguousarray(line).tobytes(), key=key, digest_size=_DIGEST_BYTES).digest()
        for line in table
    )


def _together(schema: StudySchema, parts: list[tuple[Cohort, int]]) -> Units:
    def joined(name: str) -> FloatArray:
        return np.concatenate([getattr(cohort, name) for cohort, _ in parts])

    unit = np.concatenate([np.full(len(cohort), unit, dtype=np.intp) for cohort, unit in parts])
    return _units(schema, {name: joined(name) for name in _ARRAYS[:-1]} | {"unit": unit})


def _units(schema: StudySchema, arrays: Mapping[str, NDArray[np.generic]]) -> Units:
    names = tuple(str(row) for row in range(len(arrays["unit"])))  # identifiers are not kept
    values, entry, exit_ = (np.asarray(arrays[name], dtype=np.float64) for name in ("values", "entry", "exit"))
    cohort = Cohort(schema, names, values, entry, exit_, np.asarray(arrays["observed"], dtype=np.bool_))
    return Units(cohort, np.asarray(arrays["unit"], dtype=np.intp))


def write_published(path: Path, published: Published) -> None:
    """Raises RecordUnwritable."""
    cohort = published.units.cohort
    about = {
        "floor": published.floor,
        "schema": cohort.schema.hash,
        "key": published.key.hex(),
        "earlier": {
            str(unit): [sorted(line.hex() for line in lines.elements()) for lines in versions]
            for unit, versions in published.earlier.items()
        },
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", json.dumps(about))
        for name in _ARRAYS:
            array = io.BytesIO()
            np.save(array, published.units.of if name == "unit" else getattr(cohort, name), allow_pickle=False)
            file.writestr(f"{name}.npy", array.getvalue())
    body = content.getvalue()
    replace_durably(path, hashlib.sha256(body).hexdigest().encode() + body, mode=0o600)


def read_published(path: Path, schema: StudySchema) -> Published | None:
    """None where nothing is published yet. Raises RecordDamaged, RecordUnwritable."""
    if not path.exists():
        return None
    with unwritable(path):
        digest, body = (content := path.read_bytes())[:_SHA256_DIGITS], content[_SHA256_DIGITS:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise RecordDamaged(f"{path.name} was changed. Restore it from a backup: it says what was told before.")
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        about = json.loads(file.read("about.json"))
        arrays = {name: np.load(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False) for name in _ARRAYS}
    if about["schema"] != schema.hash:
        raise RecordDamaged(f"{path.name} is of another schema. Restore it from a backup.")
    earlier = {
        int(unit): tuple(Counter(bytes.fromhex(line) for line in lines) for lines in versions)
        for unit, versions in about["earlier"].items()
    }
    return Published(_units(schema, arrays), about["floor"], bytes.fromhex(about["key"]), earlier)


def refuse_other_floor(published: Published, floor: int | None) -> None:
    """Raises InvalidInput. floor: None accepts that of what is published."""
    if floor not in (None, published.floor):
        what = f"is not {published.floor}, with which the figures of this study were published here"
        remedy = f"Give --smallest-group {published.floor}: two floors would be two roundings of one number."
        raise InvalidInput([Fault("--smallest-group", what, remedy)])
