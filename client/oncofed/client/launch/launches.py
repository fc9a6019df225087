"""How does a launch begin, and how does it end with one patient of the hospital's table?

SMART App Launch from a record system: an authorization code with PKCE (S256), at the one configured issuer. What a
session has begun lies in that session: a state means nothing in another one, is good for one use, and for ten minutes.
A code that was shown once is shown to no server again, whatever that server would say.

Source: HL7 SMART App Launch 2.2; RFC 7636; RFC 9700 (2.1, 4.7).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from oncofed.client.launch.refusals import LaunchRefused, Why
from oncofed.client.launch.settings import ID, KnownBy, LaunchSection
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_secret

BACK = "/launch/back"
"""Where the record system's server sends the browser to: registered there, with the address of the pages before it."""
_SECONDS = 600.0
_MOST_UNDER_WAY = 5
"""Of one session: who clicks again begins anew."""
_MOST_CODES = 10_000
_BYTES = 32
_WORD = re.compile(r"[\x21-\x7e]{1,4000}")
_LARGEST_TABLE = 64_000_000


@dataclass(eq=False)
class UnderWay:
    """What one session has begun: verifier and time by state."""

    begun: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)


class AsksPatient(Protocol):
    """`Issuer.patient`."""

    def __call__(self, code: str, *, verifier: str, redirect: str) -> str: ...


class Launches:
    """Of one installation.

    pages     the address of the pages, such as https://prognosis.hospital.example.
    patients  what the record system's name of a patient is in the table; None: the same.
    """

    def __init__(
        self,
        settings: LaunchSection,
        *,
        pages: str,
        ask: AsksPatient,
        clock: Callable[[], float],
        patients: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._redirect = f"{pages}{BACK}"
        self._ask = ask
        self._clock = clock
        self._patients = patients
        self._shown: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def system(self) -> str | None:
        """Of the identifier by which the table knows its patients, where it is the record system's own."""
        return self._settings.system if self._patients is None else None

    def resource_of(self, patient: str) -> str | None:
        """The address of the record system's resource, where the table has its ids for names."""
        if self._patients is not None or self._settings.known_by is not KnownBy.ID or not ID.fullmatch(patient):
            return None
        return f"{self._settings.issuer.removesuffix('/')}/Patient/{patient}"

    def refuse_other(self, issuer: str, launch: str) -> None:
        """Raises LaunchRefused for another issuer, or a launch that is no word."""
        if not self._settings.is_issuer(issuer) or not _WORD.fullmatch(launch):
            raise LaunchRefused(Why.ISSUER)

    def begin(self, session: UnderWay, *, issuer: str, launch: str) -> str:
        """The address of the record system at which the browser asks for a code. Raises LaunchRefused."""
        self.refuse_other(issuer, launch)
        state, verifier = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)
        session.begun[state] = (verifier, self._clock())
        while len(session.begun) > _MOST_UNDER_WAY:
            session.begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client,
            "redirect_uri": self._redirect,
            "scope": self._settings.asked,
            "state": state,
            "aud": self._settings.issuer,
            "launch": launch,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._settings.authorize}?{urlencode(asked)}"

    def end(self, session: UnderWay, *, state: str, code: str, error: str) -> str:
        """Whom the table knows by what the record system said. Raises LaunchRefused."""
        verifier, began = session.begun.pop(state, (None, 0.0))
        if verifier is None or self._clock() - began > _SECONDS:
            raise LaunchRefused(Why.STATE)
        if error:
            raise LaunchRefused(Why.DECLINED)
        if not _WORD.fullmatch(code) or not self._is_new(code):
            raise LaunchRefused(Why.CODE)
        name = self._ask(code, verifier=verifier, redirect=self._redirect)
        found = name if self._patients is None else self._patients.get(name)
        if found is None:
            raise LaunchRefused(Why.PATIENT)
        return found

    def _is_new(self, code: str) -> bool:
        seen = hashlib.sha256(code.encode()).digest()
        with self._lock:
            if seen in self._shown:
                return False
            self._shown[seen] = None
            if len(self._shown) > _MOST_CODES:
                self._shown.popitem(last=False)
            return True


def patients_in(path: Path) -> Mapping[str, str]:
    """The file `patients` of the section, for the guard's user alone. Raises InvalidInput, which names no patient."""
    where, remedy = path.name, "Two columns, record and patient; each record once, and none empty."
    try:
        reader = csv.DictReader(io.StringIO(read_secret(path, most=_LARGEST_TABLE).decode("utf-8-sig")), strict=True)
        columns, rows = sorted(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error):
        raise InvalidInput([Fault(where, "cannot be read as CSV in UTF-8", remedy)]) from None
    if columns != ["patient", "record"] or any(len(row) != 2 for row in rows):
        raise InvalidInput([Fault(where, "has other columns", remedy)])
    found = {row["record"].strip(): row["patient"].strip() for row in rows if row["record"] and row["patient"]}
    twice = len(rows) - len(found)
    if twice or not all(found) or not all(found.values()):
        raise InvalidInput(
            [Fault(where, "has rows that are empty, or records that stand twice", remedy, max(1, twice))]
        )
    return found
