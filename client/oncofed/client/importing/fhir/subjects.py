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

_TAIL = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_AFTER = {"official": 0, "old": 2}
_BASE = re.compile(r"https?://(.*/)(?:Patient|Medication)/[^/]+(?:/_history/[^/]*)?$")
_USUAL_PORT = re.compile(r"(?<=[^/]):(?:80|443)(?=/)")


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
    """Of the absolute address of a patient or a medication; a server has one name with and without encryption, with its
    usual port, and with a slash too many.
    """
    found = _BASE.fullmatch(address)
    return None if found is None else re.sub(r"/{2,}", "/", _USUAL_PORT.sub("", found.group(1)))


def servers_of_links(persons: Sequence[Person]) -> set[str]:
    """Those of the patients who are linked to these."""
    links = (link for each in persons for link in (each.replaced_by, *each.replaces) if link is not None)
    return {server for link in links if (server := server_of(link)) is not None}


@dataclass(frozen=True)
class Versions:
    """How many ids have versions that cannot be of one person, and how many have some that differ and may be."""

    of_several: int
    in_doubt: int


def versions_of(persons: Sequence[Person]) -> Versions:
    """Of a birth, a gender, and an identifier in each system that both have, two that differ are of two people.

    One alone may have been corrected, and a visit has a number of its own. What is alike outweighs: an identifier, or
    the whole day of birth. An unknown gender is no other.
    """
    by_id: dict[str, list[Person]] = {}
    for each in persons:
        if each.id is not None:
            by_id.setdefault(each.id, []).append(each)
    differ = [
        max(_differences(one, other) for one, other in combinations(set(alike), 2))
        for alike in by_id.values()
        if len(set(alike)) > 1
    ]
    return Versions(sum(count > 1 for count in differ), sum(count == 1 for count in differ))


def _differences(one: Person, other: Person) -> int:
    if set(one.identifiers) & set(other.identifiers):
        return 0
    both = {system for system, _ in one.identifiers} & {system for system, _ in other.identifiers}
    told = {one.gender, other.gender} - {None, "unknown"}
    count = _born_apart(one, other) + (len(told) > 1) + bool(both - {""})
    whole_day = one.born is not None and one.born == other.born and len(one.born) == len("YYYY-MM-DD")
    return min(count, 1) if whole_day else count


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


@dataclass(frozen=True)
class Shared:
    """patients: how many share an identifier with another, and are one. contested: identifiers of people who were born
    on different days.
    """

    patients: int
    contested: frozenset[str]


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

    def shared(self) -> Shared:
        """Patients who have one identifier, as how many, and those who were not born as one."""
        alike: dict[str, set[int]] = {}
        for place in range(len(self.persons)):
            if (identity := self.identity(place)) is not None and self.identifier is not None:
                alike.setdefault(identity, set()).add(self.final(place))
        several = {name: [self.persons[place] for place in places] for name, places in alike.items() if len(places) > 1}
        apart = [name for name, of in several.items() if any(_born_apart(*pair) for pair in combinations(of, 2))]
        return Shared(sum(len(of) for name, of in several.items() if name not in apart), frozenset(apart))

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
