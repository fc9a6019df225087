"""Of whom do the resources of a folder, other than patients, tell a death, and on which days?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oncofed.client.importing.fhir.death_signs import DeathTold
from oncofed.client.importing.fhir.register import Mask
from oncofed.client.importing.fhir.subjects import Persons
from oncofed.client.importing.fhir.vital_status import refuse_modified
from oncofed.errors import Fault, InvalidInput


@dataclass(frozen=True)
class Elsewhere:
    """By the place of the patient.

    days        of death; empty where none is told, but that the patient has died.
    discharged  the last day of the last stay that ended with the death: for whom no day of it is told.
    of_nobody   how many resources tell a death of nobody here.
    """

    days: dict[int, frozenset[str]]
    discharged: Mapping[int, str]
    of_nobody: int

    def with_days_of(self, patients: Sequence[str | None], notes: list[str]) -> dict[int, frozenset[str]]:
        """patients: (patients,) the day of death of the patient's own resource."""
        last = {
            place: frozenset({day})
            for place, day in self.discharged.items()
            if patients[place] is None and not self.days[place]
        }
        if last:
            notes.append(f"{len(last):,} deaths have the day of the discharge that tells them, and no other")
        return self.days | last


@dataclass
class Deaths:
    """As they come."""

    _told: list[tuple[int, DeathTold, int]] = field(default_factory=list)
    _unclear: list[int] = field(default_factory=list)

    def add(self, told: DeathTold, *, subject: int, resource: int) -> None:
        if told.unclear:
            self._unclear.append(resource)
        if told.dead:
            self._told.append((subject, told, resource))

    def elsewhere(
        self,
        subjects: Sequence[str],
        persons: Persons,
        by_identity: Mapping[str, int],
        *,
        current: Mask,
        modified: Mask,
        where: str,
    ) -> Elsewhere:
        """subjects: the references that subjects are numbered by, -1 for none. by_identity: the place of a patient.

        Raises InvalidInput.
        """
        refuse_modified(sum(bool(modified[number]) for *_, number in self._told), "deaths", where)
        if unclear := sum(bool(current[number]) for number in self._unclear):
            what = "tells a vital status (LOINC 67162-8) that is not known, neither as alive nor as dead"
            remedy = "Export it as L or T of the German Vitalstatus, as SNOMED 438949009 or 419099009, or in words."
            raise InvalidInput([Fault(f"{where} (Observation)", what, remedy, unclear)])
        days: dict[int, frozenset[str]] = {}
        discharged: dict[int, str] = {}
        of_nobody = 0
        for subject, told, number in self._told:
            if not current[number]:
                continue
            meant = None if subject < 0 else persons.meant(subjects[subject]).identity
            if meant is None or meant not in by_identity:
                of_nobody += 1
                continue
            place = by_identity[meant]
            days[place] = days.get(place, frozenset()) | ({told.day} if told.day is not None else frozenset())
            if told.discharged is not None:
                discharged[place] = max(discharged.get(place, ""), told.discharged)
        return Elsewhere(days, discharged, of_nobody)
