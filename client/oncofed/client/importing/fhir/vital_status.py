"""Who has died, and when, by all that a patient's resources say?

A patient counts as dead if any resource says so, and as alive if none does. Several days of death that cannot be one
(another day; a month that does not hold the day) are all told, so that whoever needs one day sees that they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Without
from oncofed.errors import Fault, InvalidInput

MODIFIED_MEANS = (
    "has a modifier that may turn its meaning (modifierExtension), where its lack would mean something "
    "(who is a patient, time zero, without_row, no variant, no event)"
)
REMEDY_OF_MODIFIED = "Read what it says. Take it out where the meaning stays, and the resource where it does not."


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


def deaths_of_nobody(count: int, where: str, source: Source) -> list[str]:
    """What people should know of so many that other resources tell of no patient. Raises InvalidInput, unless the
    mapping leaves others out: whoever died would be alive.
    """
    if not count:
        return []
    what = "resources tell the death of nobody among the patients"
    if source.of_nobody is Without.FAULT:
        remedy = 'Export their patients, too. If they are others: of_nobody = "leave_out" in the source of patients.'
        raise InvalidInput([Fault(f"{where} (Patient)", what, remedy, count)])
    return [f"{count:,} {what}, and do not count"]


def refuse_modified(count: int, of: str, where: str) -> None:
    """Raises InvalidInput where resources whose meaning may be turned tell something for whose lack a patient has 0."""
    if count:
        raise InvalidInput([Fault(f"{where} ({of})", MODIFIED_MEANS, REMEDY_OF_MODIFIED, count)])


def filled(texts: list[str | None], before: Iterable[tuple[int | None, str | None]]) -> list[str | None]:
    """(patients,) where the patient's own resource says nothing: what those say, as one, whom the patient replaces.

    before  by the place of the patient who replaces them.
    """
    said: dict[int, set[str]] = {}
    for place, text in before:
        if place is not None and text is not None:
            said.setdefault(place, set()).add(text)
    return [
        next(iter(said.get(place, ()))) if text is None and len(said.get(place, ())) == 1 else text
        for place, text in enumerate(texts)
    ]


def listed(cells: pd.Series) -> list[str | None]:
    return [cell if isinstance(cell, str) else None for cell in cells]
