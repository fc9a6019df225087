"""Which day was a moment at the hospital?

A moment that is stored or written with its time zone, often UTC, is a day only somewhere: half past midnight in Berlin
is the day before in UTC. Promise: where the mapping names the hospital's `time_zone`, every such moment of a Parquet
file, a database, a text or a FHIR resource is the day that a calendar on its wall showed. Days, and times of day
without a zone, stay as they are.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from oncofed.client.importing.mapping import Source

UNSAID = 'Name the hospital\'s in [mapping], such as time_zone = "Europe/Berlin".'
"""The remedy for a moment in a zone that is not the hospital's."""


def zone_of(source: Source) -> tzinfo | None:
    """None where the mapping names none."""
    return None if source.time_zone is None else _zone(source.time_zone)


@lru_cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


_CLOCK = re.compile(
    r"(?P<hours>\d{1,2}):(?P<minutes>\d{2})(?::(?P<seconds>\d{2})(?:[.,]\d*)?)?\s*(?P<half>[AP]M)?\s*"
    r"(?:Z(?:ulu)?|UTC|UCT|GMT|(?:UTC|GMT)?(?P<offset>[+-](?P<off_hours>\d{1,2})(?::?(?P<off_minutes>\d{2}))?)"
    r"(?:\s*UTC)?)\s*(?:\[[\w/+-]+\])?\s*",
    re.ASCII | re.IGNORECASE,
)
_IN_UTC = re.compile(r".*(?<![A-Z])(?:Z|ZULU|UTC|UCT|GMT)\W*", re.IGNORECASE)
_MIDNIGHT = re.compile(r"0?0:00(?::00(?:[.,]0*)?)?\s*(?:[^\d\s:.,APap].*)?", re.ASCII)


def day_there(day: date, clock: str, zone: tzinfo | None) -> date | None:
    """The day in that zone of a moment whose day and clock stand in a cell; None where they do not tell.

    clock  what is written behind the day, such as 23:30:00 UTC, 11:30 PM +00:00 or 24:00+01:00; without a zone of its
           own (or with a span of time, as 11:00-12:00) it is the hospital's.
    zone   None: nobody said. Then a moment in UTC is no day, unless it is midnight: so are days written, too.
    """
    found = _CLOCK.fullmatch(clock)
    if found is None:
        return None if _IN_UTC.fullmatch(clock) else day
    hours, minutes, seconds, off_hours, off_minutes = (
        int(found[part] or 0) for part in ("hours", "minutes", "seconds", "off_hours", "off_minutes")
    )
    if found["half"] is not None:
        hours = hours % 12 + (12 if found["half"].upper() == "PM" else 0)
    since = timedelta(hours=hours, minutes=minutes, seconds=seconds)  # a leap second, and 24:00, go to the next day
    ahead = timedelta(hours=off_hours, minutes=off_minutes) * (-1 if (found["offset"] or "").startswith("-") else 1)
    if not _WEST <= ahead <= _EAST:
        return day
    if zone is None:
        return day if ahead or not since else None
    try:
        return (datetime.combine(day, time(), timezone(ahead)) + since).astimezone(zone).date()
    except OverflowError:
        return day


_WEST, _EAST = timedelta(hours=-11), timedelta(hours=14)
"""Of the zones in which people live."""


def tells_hours(clock: str) -> bool:
    """Whether what is written behind a day is a time other than midnight, as which programs write a day."""
    return bool(clock) and _MIDNIGHT.fullmatch(clock) is None


def needs_zone(clock: str) -> bool:
    """Whether what is written behind a day is a time in UTC, and no midnight: then the day is one only somewhere."""
    return day_there(_ANY_DAY, clock, None) is None


_ANY_DAY = date(2000, 1, 1)


def of_midnights(count: int, of_what: str) -> str:
    """What people should know of midnights among other times of the day. of_what: where they stand."""
    return (
        f"{count:,} moments {of_what} are midnight by their own clock, where others are not, and became another day by "
        "the hospital's. If they were written for days, export them as days"
    )
