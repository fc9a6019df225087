"""Is a finding somebody else's, since its focus is; and may a modifier turn its meaning?

An observation in the file of its subject may be of a newborn or a donor (`focus`); or of a tumour, a scan or a stay of
the subject, which is the subject's own. Rule: it is another's where its focus leads to a person who is not the subject:
another patient, or whoever is no patient. What leads nowhere is the subject's own.
"""

from __future__ import annotations

import re

import numpy as np

from oncofed.client.importing.fhir.elements import objects_of, reference_in, reference_of, text_of
from oncofed.client.importing.fhir.files import Entry, Json
from oncofed.client.importing.fhir.register import Mask
from oncofed.client.importing.fhir.subjects import Persons

_PATIENT, _NO_PATIENTS = "Patient", ("RelatedPerson", "Person", "Group", "Practitioner", "PractitionerRole")
_TYPED = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[^/#]+(?:/_history/[^/]*)?$")

Focus = tuple[str, str | None]
"""The type that is told of it, or nothing; and the reference."""


def is_modified(resource: Json) -> bool:
    return any(objects_of(each, "modifierExtension") for each in (resource, *objects_of(resource, "component")))


def focus_of(resource: Json) -> tuple[Focus, ...]:
    """Of an observation, what may be a person. Raises OtherForm."""
    if resource["resourceType"] != "Observation":
        return ()
    found = ((_type_of(each, resource), reference_in(each)) for each in objects_of(resource, "focus"))
    return tuple((kind, told) for kind, told in found if kind in ("", _PATIENT, *_NO_PATIENTS))


def _type_of(told: Json, resource: Json) -> str:
    reference = text_of(told, "reference") or ""
    for each in objects_of(resource, "contained"):
        if reference.startswith("#") and text_of(each, "id") == reference[1:]:
            return text_of(each, "resourceType") or ""
    typed = _TYPED.search(reference)
    return typed[1] if typed is not None else (text_of(told, "type") or "").rpartition("/")[2]


class Findings:
    """Of which resources it is known what their focus is, as they come."""

    def __init__(self) -> None:
        self._named: list[tuple[int, str | None, Focus]] = []
        self._addresses: set[str] = set()

    def look_at(self, entry: Entry) -> None:
        """At each resource, of whatever type."""
        if entry.full_url is not None and entry.resource["resourceType"] in _NO_PATIENTS:
            self._addresses.add(entry.full_url)

    def add(self, resource: Json, number: int, focus: tuple[Focus, ...]) -> None:
        self._named += [(number, reference_of(resource), each) for each in focus]

    def of_others(self, persons: Persons, resources: int) -> Mask:
        """(resources,)"""
        found = np.zeros(resources, dtype=np.bool_)
        for number, subject, focus in self._named:
            found[number] |= self._is_other(subject, *focus, persons)
        return found

    def _is_other(self, subject: str | None, kind: str, reference: str | None, persons: Persons) -> bool:
        if kind in _NO_PATIENTS or reference in self._addresses:
            return True
        if reference is None or reference == subject:
            return False
        focus = persons.meant(reference).identity
        return kind == _PATIENT if focus is None else focus != (subject and persons.meant(subject).identity)
