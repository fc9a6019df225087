"""Which patient does a reference mean?

`Patient/7`, `Patient/7/_history/2`, `https://server/fhir/Patient/7` and the `urn:uuid:` of a bundle's entry lead to the
patient with that id or address; `?system|value` (`elements.identifier_key`) to the one with that identifier. A patient
who is replaced by another (`Patient.link`, of either of the two) is that other. What leads to no patient of the folder
is told by its id, so that patients may come from another source; a reference to something else than a patient is
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from oncofed.client.importing.fhir.elements import identifier_key, object_of, objects_of, reference_in, text_of
from oncofed.client.importing.fhir.files import Entry
from oncofed.client.importing.fhir.servers import Home

_TAIL = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_AFTER = {"official": 0, "old": 2}


@dataclass(frozen=True)
class Person:
    """id: None where the resource has none. names: addresses that lead to the patient.

    identifiers  system and value, the official ones first and old ones last.
    replaced_by  a reference, as are those of `replaces`, and of `beside`: further records of the same person.
    born         the day, or as much of it as is told.
    """

    id: str | None
    names: tuple[str, ...]
    identifiers: tuple[tuple[str, str], ...]
    replaced_by: str | None
    replaces: tuple[str, ...]
    born: str | None = None
    gender: str | None = None
    beside: tuple[str, ...] = ()


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
        if (reference := reference_in(object_of(each, "other"))) is not None
    ]
    replaced = [reference for kind, reference in links if kind == "replaced-by"]
    return Person(
        id=own or (url.rpartition(":")[2] if url is not None and url.startswith("urn:") else None),
        names=tuple(name for name in (f"Patient/{own}" if own else None, url) if name is not None),
        identifiers=tuple((system, value) for _, value, system in identifiers),
        replaced_by=replaced[0] if replaced else None,
        replaces=tuple(reference for kind, reference in links if kind == "replaces"),
        born=text_of(entry.resource, "birthDate"),
        gender=text_of(entry.resource, "gender"),
        beside=tuple(reference for kind, reference in links if kind in ("seealso", "refer")),
    )


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

    def __init__(self, persons: Sequence[Person], *, identifier: str | None, home: Home) -> None:
        """identifier: the system of the identifier by which patients are known; None: by the id.

        home  an id of another server is somebody else's.
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

    def notes(self) -> Iterator[str]:
        """Of what nobody can decide."""
        linked = ((each.replaced_by, *each.replaces) for each in self.persons)
        if abroad := sum(any(link and not self._home.has(link) for link in links) for links in linked):
            yield f"{abroad:,} patients are linked to one of another server, and are not taken for one"
        if two := sum(any(map(self._is_another(place), each.beside)) for place, each in enumerate(self.persons)):
            yield f"{two:,} patients are linked to another record of the same person (seealso, refer), and both count"
        if self.identifier is not None:
            numbers = (
                {value for system, value in each.identifiers if system == self.identifier} for each in self.persons
            )
            if many := sum(len(each) > 1 for each in numbers):
                what = "have several identifiers of its system: the official one counts, or the first by its letters"
                yield f"{many:,} patients {what}"

    def _is_another(self, place: int) -> Callable[[str], bool]:
        """Whether a reference leads to somebody here who is not one with that patient."""

        def told(reference: str) -> bool:
            other = self._place(reference)
            return other is not None and self.identity(other) != self.identity(place)

        return told

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
        return Meant(None, tail is not None or reference.startswith(("urn:", "Patient/")))

    def _place(self, reference: str) -> int | None:
        found = self.by_name.get(reference)
        if found is None and self._home.has(reference) and (tail := _TAIL.search(reference)) is not None:
            found = self.by_name.get(f"Patient/{tail.group(1)}")
        return found
