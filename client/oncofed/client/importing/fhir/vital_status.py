"""Who has died, and when, by all that a patient's resources say?

A patient counts as dead if any resource says so, and as alive if none does. Several days of death that cannot be one
(another day; a month that does not hold the day) are all told, so that whoever needs one day sees that they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class VitalStatus:
    """deceased  (patients,) "true" or "false". days: (patients,) of death, None where none is told.
    further   patient and day, where several days are told.
    notes     what a person should know of it.
    """

    deceased: tuple[str, ...]
    days: tuple[str | None, ...]
    further: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


def vital_status(
    deceased: Sequence[str | None], days: Sequence[str | None], elsewhere: Mapping[int, frozenset[str]]
) -> VitalStatus:
    """
    deceased   (patients,) "true", "false" or None, by the resource Patient. days: (patients,) of death by it.
    elsewhere  the days of death that other resources tell of a patient; empty where they tell none, but that one died.
    """
    status = ["true" if place in elsewhere else told or "false" for place, told in enumerate(deceased)]
    first, further = list(days), []
    for place, others in sorted(elsewhere.items()):
        own = days[place]
        known = sorted(_compatible({*others, *([own] if own else [])}))
        first[place] = known[0] if known else None
        further += [(place, day) for day in known[1:]]
    unsaid = sum(told is None and place not in elsewhere for place, told in enumerate(deceased))
    contrary = sum(deceased[place] == "false" for place in elsewhere)
    notes = [
        f"{count:,} patients {what}"
        for count, what in (
            (unsaid, "have no word of a death, and count as alive"),
            (contrary, "are alive by their own resource and dead by another, and count as dead"),
        )
        if count
    ]
    return VitalStatus(tuple(status), tuple(first), tuple(further), tuple(notes))


def _compatible(days: set[str]) -> set[str]:
    """Without those that are the month or the year of another."""
    return {day for day in days if not any(other.startswith(f"{day}-") for other in days)}
