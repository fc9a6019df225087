"""Is an id of a folder one resource's?

An id is that of its server: `Patient/1` of a laboratory is somebody else than `Patient/1` of the hospital. Addresses
say which server it is: of a reference, or of the entry in which a resource or a relative reference stands (FHIR R4,
Bundle). Promise: where they name several, or only some of them name one, nobody guesses. A mapping may say that all
ids are those of one server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

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

    def add(self, full_url: str | None, *, subject: str | None, drug: str | None, is_patient: bool) -> None:
        """A resource with its address, and the references to whom it is about and to a medication."""
        own, other = server_of(full_url), server_of(subject)
        self._of_drugs |= {each for each in (server_of(drug),) if each is not None}
        self._named |= {each for each in (own, other) if each is not None}
        self._patients_named |= is_patient and own is not None
        self._some_unnamed |= own is None and (is_patient or _RELATIVE.match(subject or "") is not None)

    @property
    def are_several(self) -> bool:
        """Or may be. What no address names is of the patients' server. A drug of another server than that is told."""
        unknown = self._some_unnamed and not self._patients_named
        return bool(self._named | self._of_drugs) if unknown else len(self._named) > 1

    def home(self, *, alone: bool) -> Home:
        return Home(next(iter(self._named), None), alone)
