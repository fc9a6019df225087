"""Is an id of a folder one resource's?

An id is that of its server: `Patient/1` of a laboratory is somebody else than `Patient/1` of the hospital. Addresses
say which server it is: of a reference, or of the entry in which a resource or a relative reference stands (FHIR R4,
Bundle). Promise: where they name several, or only some of them name one, nobody guesses. A mapping may say that all
ids are those of one server; or name the servers, each with the files that are its (`Apart`): a bulk export of a
pharmacy's catalogue has no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oncofed.client.importing.fhir.files import Entry
from oncofed.errors import Fault, InvalidInput

_ADDRESS = re.compile(r"https?://(.*/)[A-Za-z]+/[^/]+(?:/_history/[^/]*)?$")
_RELATIVE = re.compile(r"[A-Za-z]+/")
_USUAL_PORT = re.compile(r"(?<=[^/]):(?:80|443)(?=/)")


def server_of(address: str | None) -> str | None:
    """Of the absolute address of a resource; a server has one name with and without encryption, with its usual port,
    and with a slash too many.
    """
    found = None if address is None else _ADDRESS.fullmatch(address)
    return None if found is None else re.sub(r"/{2,}", "/", _USUAL_PORT.sub("", found.group(1)))


@dataclass(frozen=True)
class Home:
    """server: whose the ids are, None if no address says it. alone: whether the mapping says that there is no other."""

    server: str | None = None
    alone: bool = False

    def has(self, reference: str) -> bool:
        """Whether its id is one of these."""
        return self.alone or server_of(reference) in (None, self.server)


@dataclass
class Servers:
    """What the addresses of a folder say."""

    _named: set[str] = field(default_factory=set)
    _of_drugs: set[str] = field(default_factory=set)
    _patients_named: bool = False
    _some_unnamed: bool = False

    def add(self, full_url: str | None, *, whom: Sequence[str | None], drug: str | None, is_patient: bool) -> None:
        """A resource with its address, and the references to whom it is about and to a medication."""
        own, others = server_of(full_url), map(server_of, whom)
        self._of_drugs |= {each for each in (server_of(drug),) if each is not None}
        self._named |= {each for each in (own, *others) if each is not None}
        self._patients_named |= is_patient and own is not None
        self._some_unnamed |= own is None and (is_patient or any(_RELATIVE.match(each or "") for each in whom))

    @property
    def are_several(self) -> bool:
        """Or may be. What no address names is of the patients' server. A drug of another server than that is told."""
        unknown = self._some_unnamed and not self._patients_named
        return bool(self._named | self._of_drugs) if unknown else len(self._named) > 1

    def home(self, *, alone: bool) -> Home:
        return Home(next(iter(self._named), None), alone)


_OF = "@"
"""Before the number of a server, in the id of a resource that is not of the hospital's own; in no id of FHIR."""
_REFERENCE = re.compile(r"(?:(.*)/)?((?:Patient|Medication)/[^/#?]+)(?:/_history/[^/]*)?$")


class Apart:
    """Servers whose ids are apart, since the mapping names them.

    What the hospital's own server has keeps its id, and so do references to it; those of each other server get ids that
    no other has. Own is the one of all files that no other names: `"."`.
    """

    def __init__(self, servers: Mapping[str, Sequence[str]]) -> None:
        """servers: by address, the files and folders whose resources are its, where these do not say it."""
        named = {_named(address): paths for address, paths in servers.items()}
        self._paths = {path.strip("/"): server for server, paths in named.items() for path in paths}
        self._own = self._paths.get(".")
        self._number = {server: number for number, server in enumerate(named) if server != self._own}
        self._unknown = 0

    def of(self, entry: Entry) -> Entry:
        server = server_of(entry.full_url) or self._of_file(entry.path)
        resource = self._with_references(entry.resource, server)
        assert isinstance(resource, dict)
        if isinstance(own := resource.get("id"), str):
            resource["id"] = self._id(own, server)
        return replace(entry, resource=resource, full_url=None if server_of(entry.full_url) else entry.full_url)

    def _of_file(self, path: str) -> str | None:
        parts = path.split("/")
        inside = ["/".join(parts[:many]) for many in range(len(parts), 0, -1)]
        return next((self._paths[each] for each in inside if each in self._paths), self._own)

    def _id(self, own: str, server: str | None) -> str:
        if server == self._own:
            return own
        self._unknown += server not in self._number
        return f"{own}{_OF}{self._number.get(server or '', '')}"

    def _with_references(self, value: Any, server: str | None) -> Any:
        if isinstance(value, dict):
            return {
                key: self._there(each, server) if key == "reference" else self._with_references(each, server)
                for key, each in value.items()
            }
        return [self._with_references(each, server) for each in value] if isinstance(value, list) else value

    def _there(self, reference: Any, server: str | None) -> Any:
        found = _REFERENCE.match(reference) if isinstance(reference, str) else None
        if found is None or (found[1] is not None and server_of(reference) is None):
            return reference
        return self._id(found[2], server if found[1] is None else server_of(reference))

    def faults(self, path: Path) -> Iterator[Fault]:
        if self._unknown:
            what = "ids and references are of a server that is not under servers"
            yield Fault(
                path.name, what, "List each by its address there, with [] where its resources say it.", self._unknown
            )
        for each in self._paths:
            if each != "." and not (path / each).exists():
                remedy = "Correct it: a file or a folder, as it lies below the source's path."
                yield Fault(f"{path.name}: servers", "names a file that is not there", remedy)


def _named(address: str) -> str:
    return server_of(f"{address.rstrip('/')}/Patient/1") or address


def refuse_ids_of_several(where: str, ids: Sequence[str | None], *, identifier: str | None) -> None:
    """Raises InvalidInput where patients are of other servers than the own, and are known by nothing but their ids."""
    if identifier is None and any(each is not None and _OF in each for each in ids):
        what = "has patients of several servers, whose ids are not those of the hospital"
        remedy = "Name the system of the identifier by which all know a patient (identifier), in each source of FHIR."
        raise InvalidInput([Fault(where, what, remedy)])
