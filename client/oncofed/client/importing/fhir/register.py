"""Which of several copies of a resource counts, and which resources contradict one another?

Of one type and id the highest version (`meta.versionId`, then `meta.lastUpdated`) counts, also where it says that the
others were entered in error. Law: the answer does not depend on the order in which copies come. Copies of one version
that say different things of what is read contradict one another. A resource without an id is a copy of none.

Identity and content are kept as hashes of 128 and 64 bits: with 10 million resources two of different identity have
one hash with a probability below 1e-24.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from oncofed.client.importing.fhir.elements import object_of, text_of
from oncofed.client.importing.fhir.files import Json
from oncofed.client.importing.fhir.text_columns import Place, numbers_in

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Copies:
    """current (resources,): those that count. How many ids have copies of one version that say different things
    (contradicting), and how many have some that differ and are about something else (unlike).
    """

    current: Mask
    contradicting: int
    unlike: int


class Register:
    """Every resource that was read, numbered as they come."""

    def __init__(self) -> None:
        self._high, self._low, self._content = array("Q"), array("Q"), array("Q")
        self._version, self._updated = array("d"), array("d")

    def __len__(self) -> int:
        return len(self._high)

    def add(self, resource: Json, *, name: str | None, content: object) -> int:
        """Its number. name: of which it is a copy. content: what is read of it. Raises OtherForm."""
        number = len(self)
        hashed = blake2b((name or f"?{number}").encode(), digest_size=16).digest()
        meta = object_of(resource, "meta")
        version, updated = _number(text_of(meta, "versionId")), _moment(text_of(meta, "lastUpdated"))
        self._high.append(int.from_bytes(hashed[:8]))
        self._low.append(int.from_bytes(hashed[8:]))
        self._content.append(int.from_bytes(blake2b(repr(content).encode(), digest_size=8).digest()))
        self._version.append(version)
        self._updated.append(updated)
        return number

    def copies(self, about: Place) -> Copies:
        """about: (resources,) a number for what or whom each is about."""
        high, low, content = (numbers_in(each, np.uint64) for each in (self._high, self._low, self._content))
        version, updated = numbers_in(self._version, np.float64), numbers_in(self._updated, np.float64)
        if not len(high):
            return Copies(np.zeros(0, dtype=np.bool_), 0, 0)
        order = np.lexsort((content, updated, version, low, high))
        high, low, content, version, updated, about = (
            each[order] for each in (high, low, content, version, updated, about)
        )
        same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        last = np.append(~same, True)  # of each identity
        group = np.append(0, np.cumsum(~same))
        best = np.flatnonzero(last)[group]
        differs = (version == version[best]) & (updated == updated[best]) & (content != content[best])
        unlike = (about != about[best]) & (content != content[best])
        current = np.zeros(len(high), dtype=np.bool_)
        current[order[last]] = True
        return Copies(current, len(np.unique(group[differs])), len(np.unique(group[unlike])))


def _number(version: str | None) -> float:
    """Before all others where it is none."""
    return float(version) if version is not None and version.isascii() and version.isdigit() else -1.0


def _moment(told: str | None) -> float:
    if told is None:
        return -np.inf
    try:
        moment = datetime.fromisoformat(told)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -np.inf
