"""Which restricted models do the sections [[comparator]] of a study file ask for, and which columns are theirs?

Names that the schema does not have raise InvalidInput when the plan is made.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import Known, Wrong
from oncofed.survival.comparators import Comparator


@dataclass(frozen=True)
class ComparatorSection:
    """A model of a few markers, trained beside the network and compared with it."""

    name: str
    """What reports call it."""
    markers: tuple[str, ...]
    """The schema's markers that it may look at, and nothing else. Its log hazard is linear in them as they are encoded:
    a grade or stage that should have a step of its own for each value is categorical in the schema."""


def named_once(found: tuple[ComparatorSection, ...] | None, known: Known) -> tuple[ComparatorSection, ...] | None:
    """Of the sections."""
    twice = [f'"{name}"' for name, times in sorted(Counter(each.name for each in found or ()).items()) if times > 1]
    if twice:
        raise Wrong(f"has {', '.join(twice)} more than once", "Give each a name of its own.")
    return found


def comparators_of(asked: Sequence[ComparatorSection], schema: StudySchema, *, weight: float) -> tuple[Comparator, ...]:
    """In their order. Raises InvalidInput for markers that the schema does not have."""
    inputs, names = columns(schema), [marker.name for marker in schema.markers]
    faults = [
        Fault(
            f'[[comparator]] "{each.name}", markers', f'"{unknown}" is no marker of the schema', _remedy(unknown, names)
        )
        for each in asked
        for unknown in each.markers
        if unknown not in names
    ]
    if faults:
        raise InvalidInput(faults)
    found = []
    for each in asked:
        own = [(place, column.role) for place, column in enumerate(inputs) if column.source in each.markers]
        missing = tuple(place for place, role in own if role is Role.MISSING)
        found.append(Comparator(each.name, tuple(place for place, _ in own), missing, weight))
    return tuple(found)


def _remedy(unknown: str, names: list[str]) -> str:
    """A schema may have thousands: one that is near is enough."""
    near = difflib.get_close_matches(unknown, names, n=1)
    return f'Did you mean "{near[0]}"?' if near else "Name markers of the schema."
