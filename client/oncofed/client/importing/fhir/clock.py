"""Which day was a moment of a resource at the hospital?

Every moment of an element of days (`onsetDateTime`, `period.end`) is what the hospital's clock showed, where the
mapping names its `time_zone`. Some programs write a day as midnight, mostly in UTC. Promise: of an element all of whose
moments in the folder are midnight by their own clock, each is the day that is written. Where others are not, a midnight
is a moment like them, and how many became another day is told: whether they were days nobody can know.

Whether an element tells hours is known at the end of the files. So they are read once more where it matters
(`undecided`), which is seldom: east of UTC no midnight of UTC is another day.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import Any

from oncofed.client.importing.fhir.files import Json
from oncofed.client.importing.moments import day_there, of_midnights

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}(?::\d{2}.*)?(?:[Zz]|[+-]\d{2}:?\d{2})", re.ASCII)
"""Also as ISO 8601 and some programs write it, and FHIR does not: +0000, z, T23Z."""
_OF_DAYS = re.compile(r".*DateTime|.*Instant|start|end|authoredOn|recordedDate|started|issued")
_MIDNIGHT = time()


@dataclass
class Clock:
    """zone   of the hospital; None: nobody said, and moments stay as they are.
    stand_ins  days (YYYY-MM-DD) that the mapping lists as missing; a moment of such a day keeps it.
    hours      elements that are known to tell hours.
    """

    zone: tzinfo | None
    stand_ins: frozenset[str] = frozenset()
    hours: frozenset[str] = frozenset()
    _kept: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)
    _moved: Counter[str] = field(default_factory=Counter)

    @property
    def undecided(self) -> bool:
        """Whether an element of which midnights were left as they are tells hours as well."""
        return bool(self._kept & self._told)

    def decided(self) -> Clock:
        """For reading the same files once more."""
        return Clock(self.zone, self.stand_ins, frozenset(self._told))

    def notes(self, kind: str) -> Iterator[str]:
        """Of a type of resources."""
        for element, count in sorted(self._moved.items()):
            if element.startswith(f"{kind}."):
                yield of_midnights(count, f"of {element}")

    def of(self, resource: Json) -> Json:
        """The resource with its moments by the hospital's clock, without a zone."""
        if self.zone is None:
            return resource
        found = self._of(resource, resource["resourceType"], "")
        assert isinstance(found, dict)
        return found

    def _of(self, value: Any, element: str, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: self._of(member, f"{element}.{key}", key) for key, member in value.items()}
        if isinstance(value, list):
            return [self._of(member, element, name) for member in value]
        if isinstance(value, str) and _OF_DAYS.fullmatch(name) and _MOMENT.fullmatch(value):
            return self._there(value, element)
        return value

    def _there(self, text: str, element: str) -> str:
        written = text[:10]
        if written in self.stand_ins:
            return written
        try:
            moment = datetime.fromisoformat(text.upper())
            there = moment.astimezone(self.zone).replace(tzinfo=None)
        except OverflowError:  # an open end, beyond which no calendar goes
            return written
        except ValueError:
            return self._there_by_text(text)
        if moment.time() != _MIDNIGHT:
            self._told.add(element)
        elif there.date() != moment.date():
            if element not in self.hours:
                self._kept.add(element)
                return written
            self._moved[element] += 1
        return there.isoformat()

    def _there_by_text(self, text: str) -> str:
        """Of a clock that only people read: a leap second, 24:00."""
        try:
            there = day_there(date.fromisoformat(text[:10]), text[11:], self.zone)
        except ValueError:
            return text
        return text if there is None else there.isoformat()
