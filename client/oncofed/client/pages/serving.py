"""Where do the pages listen, and what does the server itself write down?

On loopback, or on a unix socket for a reverse proxy that does TLS; never on another address of the machine. The
server's own access log is off (it would hold addresses), and a failure that escapes everything else is logged without
its text and without a traceback's.

Refused: a socket where others of this machine, the relay among them, could reach it.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from oncofed.client.pages.accounts import Accounts
from oncofed.client.pages.application import application
from oncofed.client.pages.desk import Desk
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.password_turns import PasswordTurns
from oncofed.client.pages.sessions import Sessions, Timeouts
from oncofed.client.pages.viewing_record import ViewingRecord
from oncofed.client.records.audit_log import AuditLog
from oncofed.errors import Fault, InvalidInput
from oncofed.texts import one_line

LOOPBACK = "127.0.0.1"
_MOST_CONNECTIONS = 100
_SOCKET_RIGHTS = 0o660


@dataclass(frozen=True)
class Place:
    """Where the pages are to be found: a port on loopback, or a unix socket.

    name  under which browsers ask for them, when that is another than the loopback's; with it, cookies need TLS.
    """

    port: int | None = None
    socket: Path | None = None
    name: str | None = None

    @property
    def secure(self) -> bool:
        return self.name is not None

    @property
    def hosts(self) -> frozenset[str]:
        """What a browser may write into the header Host."""
        if self.name is not None:
            return frozenset({self.name})
        return frozenset({f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"})


def desk_for(
    hospital: HospitalPrognosis, *, accounts: Path, key: bytes, audit_log: Path, place: Place, timeouts: Timeouts
) -> Desk:
    """Everything that the application needs, with the machine's clock."""
    return Desk(
        hospital=hospital,
        accounts=Accounts(accounts),
        sessions=Sessions(clock=time.monotonic, timeouts=timeouts),
        turns=PasswordTurns(clock=time.monotonic),
        record=ViewingRecord(AuditLog(audit_log), key=key, plan_hash=hospital.plan_hash, clock=time.monotonic),
        audit_log=audit_log,
        secure=place.secure,
        hosts=place.hosts,
        timeouts=timeouts,
    )


def serve(desk: Desk, place: Place, *, refused_users: frozenset[int], ready: Callable[[], None]) -> None:
    """Until SIGTERM or Ctrl-C. ready: called when the socket listens. Raises InvalidInput when it cannot."""
    app = application(desk, refused_users=refused_users)
    listening = _unix_socket(place.socket) if place.socket is not None else _loopback(place.port or 0)
    log_plainly()
    server = server_of(app)
    ready()
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
        if place.socket is not None:
            place.socket.unlink(missing_ok=True)


def server_of(app: FastAPI) -> uvicorn.Server:
    """No access log of its own, no trust in what a header says of the client, no websockets."""
    settings = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(settings)


def _loopback(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
        found.listen()  # now, so that who is told of the address does not come too early
    except OSError as error:
        found.close()
        what = f"cannot be used ({os.strerror(error.errno or 0)})"
        raise InvalidInput([Fault("--port", what, "Choose another.")]) from None
    return found


def _unix_socket(path: Path) -> socket.socket:
    above = shlex.quote(str(path.parent))
    if not path.parent.is_dir():
        remedy = f"install -d -m 2750 -o oncofed-guard -g www-data {above}"
        raise InvalidInput([Fault("--socket", "lies in no folder", remedy)])
    if stat.S_IMODE(path.parent.stat().st_mode) & stat.S_IRWXO:
        remedy = (
            "Its owner is to give it mode 2750: only the guard, and the group of the reverse proxy, shall enter it."
        )
        raise InvalidInput([Fault("--socket", "lies in a folder that everybody may enter", remedy)])
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise InvalidInput([Fault("--socket", "is a file already", "Choose another name.")])
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~_SOCKET_RIGHTS)
    try:
        found.bind(str(path))
        found.listen()
    finally:
        os.umask(before)
    return found


class _Plain(logging.Formatter):
    """One line each: no traceback and no text of an exception, which may quote what a page was about."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage() if record.exc_info is None else "failed"
        return f"{self.formatTime(record)} {record.levelname} {record.name}: {one_line(said)}"


def log_plainly() -> None:
    """To standard error: our own lines, and the server's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    for name, level in (("oncofed.client.pages", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
