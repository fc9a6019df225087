"""A hospital's record system for tests of a launch: SMART App Launch's server on loopback, and it can misbehave.

It checks by itself what the specifications ask of a client: RFC 6749 (4.1), RFC 7636 (4.6), SMART App Launch 2.2.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

CLIENT = "oncofed-pages"
TOKEN = "stand-in-token-4711"
MRN = "urn:example:mrn"


@dataclass
class RecordSystem:
    """launches: whose each is. patients: resources by id. asked: of token server and FHIR, in order.

    answer       of the token server, over what it would say. status, location: of it, where it is no 200.
    drips        bytes of a header that come one by one, twenty a second, before an answer is whole.
    reuses       whether a code is good twice, as it must not be. fhir: status of FHIR. raw: its bytes, whatever asked.
    page         for a person, in a browser.
    """

    port: int = 0
    host: str = "127.0.0.1"
    launches: dict[str, str] = field(default_factory=dict)
    patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    location: str = ""
    reuses: bool = False
    fhir: int = 200
    drips: int = 0
    raw: bytes | None = None
    secret: str | None = None
    page: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    authorized: list[dict[str, str]] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.root}/fhir"

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent with a code."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["aud"] == self.issuer
        assert "launch" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["code_challenge"]) == 43
        assert len(asked["state"]) >= 22, "122 bits, as SMART asks"
        self.authorized.append(asked)
        code = f"code-{len(self.authorized)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def granted(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.get(form.get("code", ""))
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        right = asked is not None and (
            form.get("grant_type") == "authorization_code"
            and form.get("redirect_uri") == asked["redirect_uri"]
            and base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == asked["code_challenge"]
            and len(form["code_verifier"]) >= 43
        )
        if not right:
            return 400, {"error": "invalid_grant"}
        assert asked is not None
        basic = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        said = [unquote_plus(each) for each in basic]
        known = form.get("client_id") == CLIENT if self.secret is None else said == [CLIENT, self.secret]
        if not known:
            return 401, {"error": "invalid_client"}
        if not self.reuses:
            del self.codes[form["code"]]
        told = {
            "access_token": TOKEN,
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": asked["scope"],
            "patient": self.launches[asked["launch"]],
            **self.answer,
        }
        return 200, {name: value for name, value in told.items() if value is not None}


@contextmanager
def record_system() -> Iterator[RecordSystem]:
    """Started here, and stopped at the end."""
    system = RecordSystem()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                return self.answer(302, b"", location=system.authorize(asked))
            if parts.path == "/record":
                return self.answer(200, system.page.encode(), kind="text/html")
            system.asked.append(f"GET {self.path}")
            found = system.patients.get(parts.path.removeprefix("/fhir/Patient/"))
            if self.headers["authorization"] != f"Bearer {TOKEN}":
                return self.answer(401, b"{}")
            if system.fhir != 200:
                return self.answer(system.fhir, b"{}", location=system.location)
            return self.answer(404 if found is None else 200, json.dumps(found or {}).encode())

        def do_POST(self) -> None:
            system.asked.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            if system.status != 200:
                return self.answer(system.status, b"{}", location=system.location)
            if system.raw is not None:
                return self.answer(200, system.raw)
            status, told = system.granted(form, self.headers.get("authorization", ""))
            return self.answer(status, json.dumps(told).encode())

        def answer(self, status: int, content: bytes, *, location: str = "", kind: str = "application/json") -> None:
            self.send_response_only(status)
            if location:
                self.send_header("Location", location)
            if system.drips:
                self.flush_headers()
                self.wfile.write(b"X-Slow: ")
                for _ in range(system.drips):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
                self.wfile.write(b"\r\n")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the overridden one
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
    server.daemon_threads = True
    system.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield system
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
