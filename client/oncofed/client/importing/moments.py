"""Which day was a moment at the hospital?

A moment that is stored or written with its time zone, often UTC, is a day only somewhere: half past midnight in Berlin
is the day before in UTC. Promise: where the mapping names the hospital's `time_zone`, every such moment of a Parquet
file, a database, a text or a FHIR resource is the day that a calendar on its wall showed. Days, and times of day
without a zone, stay as they are.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from oncofed.client.importing.mapping import Source

_WITH_ZONE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)", re.ASCII)
UNSAID = 'Name the hospital\'s in [mapping], such as time_zone = "Europe/Berlin".'
"""The remedy for a moment in a zone that is not the hospital's."""


def zone_of(source: Source) -> tzinfo | None:
    """None where the mapping names none."""
    return None if source.time_zone is None else _zone(source.time_zone)


@lru_cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


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
