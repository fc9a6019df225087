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
from typing import Any
from zoneinfo import ZoneInfo

from oncofed.client.importing.mapping import Source

_WITH_ZONE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)", re.ASCII)
UNSAID = 'Name the hospital\'s in [mapping], such as time_zone = "Europe/Berlin".'
"""The remedy for a moment in a zone that is not the hospital's."""
IN_UTC = "If it is a moment in UTC, say in [mapping] where that is: time_zone."
"""The same, where it may be something else that is no day."""


def zone_of(source: Source) -> tzinfo | None:
    """None where the mapping names none."""
    return None if source.time_zone is None else _zone(source.time_zone)


@lru_cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


_CLOCK = re.compile(
    r"(?P<hours>\d{1,2}):(?P<minutes>\d{2})(?::(?P<seconds>\d{2})(?:[.,]\d*)?)?\s*"
    r"(?:Z|UTC|GMT|(?:UTC|GMT)?(?P<offset>[+-](?P<off_hours>\d{2})(?::?(?P<off_minutes>\d{2}))?))\s*",
    re.ASCII | re.IGNORECASE,
)
_IN_UTC = re.compile(r".*(?<![A-Z])(?:Z|UTC|GMT)\W*", re.IGNORECASE)


def day_there(day: date, clock: str, zone: tzinfo | None) -> date | None:
    """The day in that zone of a moment whose day and clock stand in a cell; None where they do not tell.

    clock  what is written behind the day, such as 23:30:00 UTC or 24:00+01:00; without a zone of its own (or with a
           span of time, as 12:00-13:00) it is the hospital's.
    zone   None: nobody said. Then a moment in UTC is no day, unless it is midnight: so are days written, too.
    """
    found = _CLOCK.fullmatch(clock)
    if found is None:
        return None if _IN_UTC.fullmatch(clock) else day
    hours, minutes, seconds, off_hours, off_minutes = (
        int(found[part] or 0) for part in ("hours", "minutes", "seconds", "off_hours", "off_minutes")
    )
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


_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)


def there(text: str, zone: tzinfo) -> str:
    """A moment with its zone (ISO 8601) by the hospital's clock; any other text as it stands."""
    if _WITH_ZONE.fullmatch(text) is None:
        return text
    try:
        return datetime.fromisoformat(text).astimezone(zone).isoformat()
    except (ValueError, OverflowError):
        return text


def all_there(value: Any, zone: tzinfo) -> Any:
    """`there` of every text in a JSON value."""
    if isinstance(value, dict):
        return {key: all_there(member, zone) for key, member in value.items()}
    if isinstance(value, list):
        return [all_there(member, zone) for member in value]
    return there(value, zone) if isinstance(value, str) else value
