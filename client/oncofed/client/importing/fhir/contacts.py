"""When was each patient last seen, by all that a folder's resources tell?

Of a day that is told as a month or a year it is the first, since nothing later is known. Promise: a moment in UTC is no
day until the hospital's zone is known, as in every other table; what is no day at all is counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from oncofed.client.importing.fhir.register import Mask
from oncofed.client.importing.fhir.subjects import Persons
from oncofed.client.importing.fhir.text_columns import numbers_in
from oncofed.client.importing.moments import needs_zone
from oncofed.client.importing.partial_dates import PartialDate, whole_day

_NO_DAY, _IN_UTC = -1, -2


@dataclass(frozen=True)
class LastContacts:
    """days by identity. in_utc, no_day: how many resources tell such a contact."""

    days: dict[str | None, str]
    in_utc: int
    no_day: int


class Contacts:
    """As they come."""

    def __init__(self) -> None:
        self._subject, self._day, self._resource = array("i"), array("i"), array("i")

    def add(self, told: str, *, subject: int, resource: int) -> None:
        for column, value in ((self._subject, subject), (self._day, _day(told)), (self._resource, resource)):
            column.append(value)

    def last(self, current: Mask, subjects: Sequence[str], persons: Persons) -> LastContacts:
        """subjects: the references that subjects are numbered by."""
        subject, day, resource = (
            numbers_in(each, np.int32).astype(np.int64) for each in (self._subject, self._day, self._resource)
        )
        kept = current[resource]
        latest = np.zeros(len(subjects), dtype=np.int64)
        np.maximum.at(latest, subject[kept], day[kept])
        found: dict[str | None, int] = {}
        for reference, last in zip(subjects, latest, strict=True):
            if last and (identity := persons.meant(reference).identity) is not None:
                found[identity] = max(found.get(identity, 0), int(last))
        days = {identity: date.fromordinal(last).isoformat() for identity, last in found.items()}
        return LastContacts(days, int((day[kept] == _IN_UTC).sum()), int((day[kept] == _NO_DAY).sum()))


def _day(told: str) -> int:
    try:
        return date.fromisoformat(whole_day(told, PartialDate.FIRST)).toordinal()
    except ValueError:
        return _IN_UTC if needs_zone(told.partition("T")[2]) else _NO_DAY
