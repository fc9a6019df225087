"""What does the record system's server say: whose launch is this code, and by what is that patient known?

Only configured addresses are asked, none to which an answer would lead; of an answer no more is read than it may have,
and nothing of it is kept. A token is used for one question at most, while it is valid.

Source: RFC 6749 (4.1.3, 5.1), RFC 7636 (4.5); HL7 SMART App Launch 2.2, "Obtain access token".
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from oncofed.client.launch.refusals import LaunchRefused, Why
from oncofed.client.launch.settings import KnownBy, LaunchSection

_SECONDS = 10.0
_LARGEST = 256 * 1024
"""Bytes of an answer: a Patient with a picture in it is larger, and is not needed here."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_OLD = "old"


@dataclass(frozen=True, eq=False)
class Issuer:
    """settings  of its addresses. secret: of these pages, where they have one. clock: seconds, monotonic."""

    settings: LaunchSection
    secret: str | None
    clock: Callable[[], float] = time.monotonic

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
        if not isinstance(patient, str) or not _ID.fullmatch(patient):
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
            auth = httpx.BasicAuth(self.settings.client, self.secret)
        status, found = self._asked("POST", self.settings.token, headers, data=form, auth=auth)
        if status in (400, 401) and found.get("error") == "invalid_grant":
            raise LaunchRefused(Why.CODE)
        if status != 200:
            raise LaunchRefused(Why.SERVER)
        return found

    def _identifier(self, patient: str, token: str) -> str:
        """The one of the configured system. None, or several that differ, are nobody's."""
        address = f"{self.settings.issuer.removesuffix('/')}/Patient/{patient}"
        headers = {"accept": "application/fhir+json", "authorization": f"Bearer {token}"}
        status, found = self._asked("GET", address, headers)
        if status in (401, 403):
            raise LaunchRefused(Why.TOKEN)
        if status != 200:
            raise LaunchRefused(Why.PATIENT if status in (404, 410) else Why.SERVER)
        if found.get("resourceType") != "Patient" or found.get("id") != patient:
            raise LaunchRefused(Why.PATIENT)
        listed = found.get("identifier")
        values = {
            each.get("value")
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict) and each.get("system") == self.settings.system and each.get("use") != _OLD
        }
        value = values.pop() if len(values) == 1 else None
        if not isinstance(value, str) or not value:
            raise LaunchRefused(Why.PATIENT)
        return value

    def _asked(self, method: str, address: str, headers: dict[str, str], **more: Any) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object; an empty one where a refusal has none. Raises LaunchRefused."""
        headers = {**headers, "accept-encoding": "identity"}
        ends, body = time.monotonic() + _SECONDS, b""
        try:
            with (
                httpx.Client(
                    verify=self._trusted,
                    timeout=_SECONDS,
                    follow_redirects=False,
                    trust_env=False,
                ) as client,
                client.stream(method, address, headers=headers, **more) as answer,
            ):
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > _LARGEST or time.monotonic() > ends:
                        raise LaunchRefused(Why.SERVER)
                status = answer.status_code
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
