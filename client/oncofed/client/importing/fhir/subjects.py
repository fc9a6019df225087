"""Which patient does a reference mean?

`Patient/7`, `Patient/7/_history/2`, `https://server/fhir/Patient/7` and the `urn:uuid:` of a bundle's entry lead to the
patient with that id or address; `?system|value` (`elements.identifier_key`) to the one with that identifier. A patient
who is replaced by another (`Patient.link`, of either of the two) is that other. What leads to no patient of the folder
is told by its id, so that patients may come from another source; a reference to something else than a patient is
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from oncofed.client.importing.fhir.elements import identifier_key, object_of, objects_of, text_of
from oncofed.client.importing.fhir.files import Entry
from oncofed.errors import Fault, InvalidInput

_TAIL = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_AFTER = {"official": 0, "old": 2}
_BASE = re.compile(r"https?://(.*/)(?:Patient|Medication)/[^/]+(?:/_history/[^/]*)?$")


@dataclass(frozen=True)
class Person:
    """id: None where the resource has none. names: addresses that lead to the patient.

    identifiers  system and value, the official ones first and old ones last.
    replaced_by  a reference, as are those of `replaces`.
    born         the day, or as much of it as is told.
    """

    id: str | None
    names: tuple[str, ...]
    identifiers: tuple[tuple[str, str], ...]
    replaced_by: str | None
    replaces: tuple[str, ...]
    base: str | None
    born: str | None = None
    gender: str | None = None


def person(entry: Entry) -> Person:
    """Of a resource Patient. Raises OtherForm."""
    own, url = text_of(entry.resource, "id"), entry.full_url
    identifiers = sorted(
        (_AFTER.get(text_of(each, "use") or "", 1), value, text_of(each, "system") or "")
        for each in objects_of(entry.resource, "identifier")
        if (value := text_of(each, "value")) is not None
    )
    links = [
        (text_of(each, "type"), reference)
        for each in objects_of(entry.resource, "link")
        if (reference := text_of(object_of(each, "other"), "reference")) is not None
    ]
    replaced = [reference for kind, reference in links if kind == "replaced-by"]
    return Person(
        id=own or (url.rpartition(":")[2] if url is not None and url.startswith("urn:") else None),
        names=tuple(name for name in (f"Patient/{own}" if own else None, url) if name is not None),
        identifiers=tuple((system, value) for _, value, system in identifiers),
        replaced_by=replaced[0] if replaced else None,
        replaces=tuple(reference for kind, reference in links if kind == "replaces"),
        base=None if url is None else server_of(url),
        born=text_of(entry.resource, "birthDate"),
        gender=text_of(entry.resource, "gender"),
    )


def server_of(address: str) -> str | None:
    """Of the absolute address of a patient or a medication; a server has one name with and without encryption."""
    found = _BASE.fullmatch(address)
    return None if found is None else found.group(1)


def servers_of_links(persons: Sequence[Person]) -> set[str]:
    """Those of the patients who are linked to these."""
    links = (link for each in persons for link in (each.replaced_by, *each.replaces) if link is not None)
    return {server for link in links if (server := server_of(link)) is not None}


def of_different_people(versions: Sequence[Person]) -> int:
    """How many ids have versions that cannot be of one person: another identifier in each system that both have, or
    without such a system another birth and another gender. One of the two alone may have been corrected.
    """
    by_id: dict[str, list[Person]] = {}
    for each in versions:
        if each.id is not None:
            by_id.setdefault(each.id, []).append(each)
    return sum(any(_differ(one, other) for one, other in combinations(alike, 2)) for alike in by_id.values())


def _differ(one: Person, other: Person) -> bool:
    if {system for system, _ in one.identifiers} & {system for system, _ in other.identifiers}:
        return not set(one.identifiers) & set(other.identifiers)
    return _born_apart(one, other) and None not in (one.gender, other.gender) and one.gender != other.gender


def _born_apart(one: Person, other: Person) -> bool:
    """Not where one tells less of the same day."""
    if one.born is None or other.born is None:
        return False
    return not (one.born.startswith(other.born) or other.born.startswith(one.born))


@dataclass(frozen=True)
class Meant:
    """identity: how other sources know the patient, None for nobody. is_patient: whether it is meant to be one."""

    identity: str | None
    is_patient: bool = True


class Persons:
    """All patients of a folder, those that count."""

    def __init__(self, persons: Sequence[Person], *, identifier: str | None, home: str | None = None) -> None:
        """identifier: the system of the identifier by which patients are known; None: by the id.

        home  their server, if it is known: an id of another one is somebody else's.
        """
        self.persons = persons
        self._home = home
        self.identifier = identifier
        self.by_name: dict[str, int] = {}
        for place, each in enumerate(persons):
            for name in (*each.names, *(identifier_key(*pair) for pair in each.identifiers)):
                self.by_name.setdefault(name, place)
        self._by_whom: dict[int, int] = {}
        for place, each in enumerate(persons):
            for reference in each.replaces:
                if (before := self._place(reference)) is not None:
                    self._by_whom.setdefault(before, place)

    def final(self, place: int) -> int:
        """The patient by whom one is replaced, in the end; of those who replace one another, the first."""
        passed: list[int] = []
        while place not in passed:
            passed.append(place)
            replaced = self.persons[place].replaced_by
            after = self._by_whom.get(place) if replaced is None else self._place(replaced)
            if after is None:
                return place
            place = after
        return min(passed[passed.index(place) :])

    def links_abroad(self) -> Iterator[str]:
        """How many patients are linked to one of another server, who is not here."""
        count = sum(bool(servers_of_links([each]) - {self._home}) for each in self.persons)
        if self._home is not None and count:
            yield f"{count:,} patients are linked to one of another server, and are not taken for one"

    def refuse_strangers(self, where: str) -> Iterator[str]:
        """How many patients share an identifier, and are one. Raises InvalidInput where they were not born as one."""
        alike: dict[str, set[int]] = {}
        for place in range(len(self.persons)):
            if (identity := self.identity(place)) is not None and self.identifier is not None:
                alike.setdefault(identity, set()).add(self.final(place))
        several = [[self.persons[place] for place in places] for places in alike.values() if len(places) > 1]
        apart = sum(any(_born_apart(one, other) for one, other in combinations(each, 2)) for each in several)
        if apart:
            what = "identifiers are those of several patients, who were born on different days"
            remedy = "Correct them, link the patients who are one, or leave identifier out of the mapping."
            raise InvalidInput([Fault(where, what, remedy, apart)])
        if several:
            yield f"{sum(map(len, several)):,} patients share an identifier with another, and are one"

    def identity(self, place: int) -> str | None:
        found = self.persons[self.final(place)]
        if self.identifier is None:
            return found.id
        return next((value for system, value in found.identifiers if system == self.identifier), None)

    def meant(self, reference: str) -> Meant:
        place = self._place(reference)
        if place is not None:
            return Meant(self.identity(place))
        tail = _TAIL.search(reference)
        if tail is not None and self.identifier is None:
            return Meant(tail.group(1))
        if reference.startswith("?"):
            system, _, value = reference.removeprefix("?").rpartition("|")
            return Meant(value if system == self.identifier else None)
        return Meant(None, tail is not None or reference.startswith("urn:"))

    def _place(self, reference: str) -> int | None:
        found = self.by_name.get(reference)
        abroad = self._home is not None and server_of(reference) not in (None, self._home)
        if found is None and not abroad and (tail := _TAIL.search(reference)) is not None:
            found = self.by_name.get(f"Patient/{tail.group(1)}")
        return found
