"""What does the record system's server say: whose launch is this code, and by what is that patient known?

Only configured addresses are asked, none to which an answer would lead; of an answer no more is read than it may have,
and nothing of it is kept. A token is used for one question at most, while it is valid.

Source: RFC 6749 (2.3.1, 4.1.3, 5.1), RFC 7636 (4.5); HL7 SMART App Launch 2.2, "Obtain access token".
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote_plus

import httpx

from oncofed.client.launch.refusals import LaunchRefused, Why
from oncofed.client.launch.settings import ID, KnownBy, LaunchSection

_SECONDS = 10.0
"""For one question, from its first byte to the last of its answer, however slowly these come."""
_LARGEST = 256 * 1024
"""Bytes of an answer: a Patient with a picture in it is larger, and is not needed here."""
_DAY = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?(?=T|$)")
_OLD, _REPLACED = "old", "replaced-by"


@dataclass(frozen=True, eq=False)
class Issuer:
    """settings  of its addresses. secret: of these pages, where they have one. clock: seconds, monotonic."""

    settings: LaunchSection
    secret: str | None
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], date] = lambda: datetime.now().astimezone().date()

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Read once: it takes longer than to ask."""
        return ssl.create_default_context(cafile=self.settings.certificates)

    def patient(self, code: str, *, verifier: str, redirect: str) -> str:
        """By what the record system knows whom this launch is of. Raises LaunchRefused."""
        began = self.clock()
        granted = self._granted(code, verifier=verifier, redirect=redirect)
        patient, token, seconds = granted.get("patient"), granted.get("access_token"), granted.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise LaunchRefused(Why.TOKEN)
        if str(granted.get("token_type", "")).lower() != "bearer":
            raise LaunchRefused(Why.TOKEN)
        if seconds is not None and (type(seconds) is not int or self.clock() - began >= seconds):
            raise LaunchRefused(Why.TOKEN)
        if not isinstance(patient, str) or not ID.fullmatch(patient):
            raise LaunchRefused(Why.PATIENT)
        return patient if self.settings.known_by is KnownBy.ID else self._identifier(patient, token)

    def _granted(self, code: str, *, verifier: str, redirect: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers, auth = {"accept": "application/json"}, None
        if self.secret is None:
            form["client_id"] = self.settings.client
        else:
            auth = httpx.BasicAuth(quote_plus(self.settings.client), quote_plus(self.secret))  # RFC 6749, 2.3.1
        status, found = self._asked("POST", self.settings.token, headers, data=form, auth=auth)
        if status in (400, 401) and found.get("error") == "invalid_grant":
            raise LaunchRefused(Why.CODE)
        if status != 200:
            raise LaunchRefused(Why.SERVER)
        return found

    def _identifier(self, patient: str, token: str) -> str:
        """The one of the configured system. None, several that differ, or a record that was merged are nobody's."""
        address = f"{self.settings.issuer.removesuffix('/')}/Patient/{patient}"
        headers = {"accept": "application/fhir+json", "authorization": f"Bearer {token}"}
        status, found = self._asked("GET", address, headers)
        if status in (401, 403):
            raise LaunchRefused(Why.TOKEN)
        if status != 200:
            raise LaunchRefused(Why.PATIENT if status in (404, 410) else Why.SERVER)
        if found.get("resourceType") != "Patient" or found.get("id") != patient:
            raise LaunchRefused(Why.PATIENT)
        if any(each.get("type") == _REPLACED for each in _objects(found, "link")):
            raise LaunchRefused(Why.PATIENT)
        values = [
            each.get("value")
            for each in _objects(found, "identifier")
            if each.get("system") == self.settings.system and self._holds(each)
        ]
        value = values[0] if values and all(each == values[0] for each in values) else None
        if not isinstance(value, str) or not value:
            raise LaunchRefused(Why.PATIENT)
        return value

    def _holds(self, identifier: Mapping[str, Any]) -> bool:
        """Today: before and after, a number may be somebody else's. A year, a month or a day is meant as a whole."""
        period, today = identifier.get("period", {}), self.today().isoformat()
        if identifier.get("use") == _OLD or not isinstance(period, dict):
            return False
        for name in ("start", "end"):
            moment = period.get(name)
            if moment is None:
                continue
            day = _DAY.match(moment) if isinstance(moment, str) else None
            if day is None:
                return False
            now = today[: len(day[0])]
            if now < day[0] if name == "start" else now > day[0]:
                return False
        return True

    def _asked(self, method: str, address: str, headers: dict[str, str], **more: Any) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object; an empty one where a refusal has none. Raises LaunchRefused."""
        headers = {**headers, "accept-encoding": "identity"}
        try:
            status, body = asyncio.run(self._answer(method, address, headers=headers, **more))
        except (httpx.HTTPError, OSError):
            raise LaunchRefused(Why.SERVER) from None
        if 300 <= status < 400:
            raise LaunchRefused(Why.ELSEWHERE)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return status, found
        if status == 200:
            raise LaunchRefused(Why.SERVER)
        return status, {}

    async def _answer(self, method: str, address: str, **more: Any) -> tuple[int, bytes]:
        """Raises TimeoutError, which no single byte that still comes puts off."""
        body = b""
        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(
                verify=self._trusted, follow_redirects=False, timeout=_SECONDS, trust_env=False
            ) as client,
            client.stream(method, address, **more) as answer,
        ):
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > _LARGEST:
                    raise LaunchRefused(Why.SERVER)
            return answer.status_code, body


def is_address(address: str) -> bool:
    """Whether it can be asked at all: some names of hosts and some ports are none."""
    try:
        asked = httpx.URL(address)
        return bool(asked.host) and (asked.port or 1) < 2**16
    except (httpx.InvalidURL, UnicodeError):
        return False


def _objects(resource: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    listed = resource.get(name)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
