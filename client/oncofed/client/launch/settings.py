"""Which record system may open a patient on the pages, and by what does it call the patient?

The section [launch] of site.toml. Without it no launch is possible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from oncofed.file_model import Known, Rule, Wrong, needed_where

ID = re.compile(r"(?!\.\.?$)[A-Za-z0-9\-.]{1,64}")
"""Of a FHIR resource; one that a server would take for a folder is none."""


class KnownBy(StrEnum):
    """What of the record system's patient the hospital's table (or the file `patients`) has."""

    ID = "id"
    IDENTIFIER = "identifier"


def _of_identifiers(system: str | None, known: Known) -> str | None:
    if system is not None and known.before.get("known_by") is not KnownBy.IDENTIFIER:
        raise Wrong('stands beside known_by = "id"', 'Leave it out, or write known_by = "identifier".')
    return needed_where("known_by", KnownBy.IDENTIFIER).judge(system, known)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LaunchSection:
    """The section [launch]: SMART App Launch from the hospital's record system."""

    issuer: str
    """The record system's FHIR address (`iss`), as it sends it; every other one is refused."""
    authorize: str
    """Its `authorization_endpoint`, from `<issuer>/.well-known/smart-configuration`."""
    token: str
    """Its `token_endpoint`, from there."""
    client: str
    """Under which name (`client_id`) these pages are registered there. A secret, where it gave one, lies in
    `guard/launch.secret`."""
    known_by: KnownBy
    """By what the hospital's table knows its patients: `id` of the resource Patient, or an `identifier` in it."""
    system: Annotated[str | None, Rule(_of_identifiers)] = None
    """The system of that identifier."""
    scope: str | None = None
    """What is asked for; left out: `launch`, and `patient/Patient.rs` where an identifier is needed."""
    patients: str | None = None
    """A CSV file in guard/ with the columns `record` and `patient`, where the table has other names; left out: the
    same."""
    certificates: str | None = None
    """A PEM file with the authority of its certificate; left out: those that this machine trusts."""

    @property
    def asked(self) -> str:
        """The scope."""
        if self.scope is not None:
            return self.scope
        return "launch patient/Patient.rs" if self.known_by is KnownBy.IDENTIFIER else "launch"

    def is_issuer(self, address: str) -> bool:
        """Whether it is the one that is configured; a slash at the end makes no other."""
        return address.removesuffix("/") == self.issuer.removesuffix("/")
