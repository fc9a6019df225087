"""Which day is meant where only the year or the month is told?

FHIR writes what is known: `2021`, `2021-05` or `2021-05-13`. A day that nobody told is never made up: it becomes what
the mapping says, and the number of such days is told.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from enum import StrEnum

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2}))?", re.ASCII)
_DECEMBER = 12


class PartialDate(StrEnum):
    """What a day of which only the year or the month is known becomes."""

    FAULT = "fault"
    MISSING = "missing"
    FIRST = "first"
    """Of the days that it may be."""
    MIDDLE = "middle"
    """15th of the month; 1 July of the year."""
    LAST = "last"


def is_partial(text: str) -> bool:
    found = _PARTIAL.fullmatch(text)
    return found is not None and (found[2] is None or 1 <= int(found[2]) <= _DECEMBER)


def of_partial_days(count: int, column: str, becomes: PartialDate) -> Iterator[str]:
    """What people should know of that many of a column."""
    if count and becomes is not PartialDate.FAULT:
        taken = "missing" if becomes is PartialDate.MISSING else f"the {becomes.value} day of it"
        yield f'{count:,} days of "{column}" are told as a month or a year, and become {taken}'


def whole_day(text: str, becomes: PartialDate) -> str:
    """A day YYYY-MM-DD; empty for one that becomes missing. What is no partial day stays as it is."""
    found = _PARTIAL.fullmatch(text)
    if becomes is PartialDate.FAULT or found is None or not is_partial(text):
        return text
    if becomes is PartialDate.MISSING:
        return ""
    year, month = found[1], found[2]
    if becomes is PartialDate.FIRST:
        return f"{year}-{month or '01'}-01"
    if becomes is PartialDate.MIDDLE:
        return f"{year}-07-01" if month is None else f"{year}-{month}-15"
    last = 31 if month is None else monthrange(max(int(year), 1), int(month))[1]
    return f"{year}-{month or '12'}-{last:02d}"
