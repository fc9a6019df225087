"""Which days are the moments of a Parquet column, by the clock of a place?

A moment is stored as what it is in UTC, and the column's zone says by which clock it was written down. Promise: of a
clock that is UTC's, by whatever name, or by a name that nobody knows, no day is taken unless the hospital's zone is
told. A moment whose day there no calendar has, such as an open end of 9999-12-31 23:59 east of UTC, keeps its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"[+-](?!00:?00)\d{2}:?\d{2}")
_NO_PLACES = ("Etc/", "posix/", "right/")
"""Of the public list of zones: names of UTC and of offsets, and copies of it in other seconds."""


def region(name: str) -> ZoneInfo | None:
    """The zone of a place (Europe/Berlin); None for other names of zones (GMT0, localtime) and for unknown ones."""
    if "/" not in name or name.startswith(_NO_PLACES):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a path, a folder of zones, a name that nobody knows
        return None


def is_instant(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


@dataclass(frozen=True, eq=False)
class DaysThere:
    """moved: how many are midnight in the file's own zone, where others are not, and became another day."""

    days: pa.ChunkedArray
    moved: int = 0


def days_there(
    cells: pa.ChunkedArray, zone: tzinfo | None, *, stand_ins: frozenset[str] = frozenset()
) -> DaysThere | None:
    """Of moments the days in that zone; None: in the file's own, and nothing where that is no place's.

    stand_ins  days (YYYY-MM-DD) that mean "not known": a moment of such a day of the file's own zone keeps it.
    A column all of whose moments are midnight in the file's own zone holds days.
    """
    named = cells.type.tz
    own = named if _OFFSET.fullmatch(named) or region(named) is not None else "UTC"
    moments = cells.combine_chunks().cast(pa.timestamp(cells.type.unit, own)).dictionary_encode()
    distinct = pc.floor_temporal(moments.dictionary, unit="second")
    clock = pc.local_timestamp(distinct)
    days = pc.floor_temporal(clock, unit="day")
    moved = 0
    if not pc.all(pc.equal(clock, days), min_count=0).as_py():
        if zone is not None:
            seconds = distinct.cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_pylist()
            own_days = days.cast(pa.date32()).cast(pa.int32()).to_pylist()
            kept = {date.fromisoformat(word).toordinal() - _EPOCH.toordinal() for word in stand_ins if _is_day(word)}
            numbers = [
                own_day if own_day in kept else _day(each, zone, own_day)
                for each, own_day in zip(seconds, own_days, strict=True)
            ]
            another = pc.and_(pc.equal(clock, days), pc.not_equal(pa.array(own_days), pa.array(numbers)))
            moved = pc.sum(another.take(moments.indices)).as_py() or 0
            days = pa.array(numbers, pa.int32())
        elif own == "UTC":
            return None
    return DaysThere(pa.chunked_array([days.cast(pa.date32()).take(moments.indices)]), moved)


def _is_day(word: str) -> bool:
    try:
        date.fromisoformat(word)
    except ValueError:
        return False
    return True


def _day(seconds: int, zone: tzinfo, own_day: int) -> int:
    """Since 1970, as is `own_day`."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).toordinal() - _EPOCH.toordinal()
    except OverflowError:
        return own_day
