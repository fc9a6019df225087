"""Are these arguments numbers that a study may hold? The ranges are those of study files (`oncofed.ranges`)."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from oncofed.errors import Fault, InvalidInput
from oncofed.ranges import RANGES, Range, told

Record = TypeVar("Record")


def plain(value: Any) -> Any:
    """A number of numpy's as Python's own, so that it is written as one; all else as it is."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def number_faults(
    given: Mapping[str, Any], *, owner: str, names: Mapping[str, str] | None = None, prefix: str = ""
) -> list[Fault]:
    """A fault for each argument that is not a number in the range of `owner`'s field.

    names   the field of an argument that has another name. prefix: of fields whose arguments lack it.
    """
    faults = []
    for name, value in given.items():
        field = (names or {}).get(name, f"{prefix}{name}")
        faults += _fault(name, plain(value), RANGES[f"{owner}.{field}"])
    return faults


def _fault(where: str, value: Any, within: Range) -> list[Fault]:
    if value in within:
        return []
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    what = f"is {told(value)}, outside {within.words}" if is_number else "is not a number"
    if within.whole and isinstance(value, float):
        what = f"is {value}, and not a whole number"
    return [Fault(where, what, within.remedy)]


def checked(record: Record, *, where: str, optional: tuple[str, ...] = (), others: Sequence[Fault] = ()) -> Record:
    """The record (a dataclass) with Python's own numbers. Raises InvalidInput with a fault for each that does not fit.

    optional  fields that may be None. others: faults that were found before, to be told with these.
    """
    owner, found, faults = type(record).__name__, {}, list(others)
    for field in fields(record):  # type: ignore[arg-type]  # a TypeVar cannot say that it is a dataclass
        name, value = f"{owner}.{field.name}", plain(getattr(record, field.name))
        if name in RANGES and not isinstance(value, tuple) and not (value is None and field.name in optional):
            faults += _fault(f"{where}: {field.name}", value, RANGES[name])
        found[field.name] = value
    if faults:
        raise InvalidInput(faults)
    return replace(record, **found)  # type: ignore[type-var]  # likewise
