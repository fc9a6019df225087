"""Where do the pages of a hospital listen?

On loopback, or on a unix socket for a reverse proxy that does TLS; never on another address of the machine.

Refused: a socket where others of this machine, the relay among them, could reach it.
"""

from __future__ import annotations

import os
import shlex
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.launch.launches import Launches
from oncofed.client.pages.accounts import Accounts
from oncofed.client.pages.application import application
from oncofed.client.pages.board_lists import BoardLists
from oncofed.client.pages.console import Console
from oncofed.client.pages.desk import Desk
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.password_turns import PasswordTurns
from oncofed.client.pages.sessions import Sessions
from oncofed.client.pages.viewing_record import ViewingRecord
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.sign_on.proxy_names import ProxyNames
from oncofed.errors import Fault, InvalidInput
from oncofed.local_pages.listening import LOOPBACK, log_plainly, loopback_hosts, loopback_socket, serve_until_ended
from oncofed.local_pages.sessions import Timeouts

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
    def address(self) -> str:
        """In a browser."""
        return f"https://{self.name}" if self.name else f"http://{LOOPBACK}:{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """What a browser may write into the header Host."""
        if self.name is not None:
            return frozenset({self.name})
        return loopback_hosts(self.port)


def desk_for(
    prognosis: HospitalPrognosis | None,
    *,
    accounts: Path,
    key: bytes,
    audit_log: Path,
    place: Place,
    timeouts: Timeouts,
    console: Console | None = None,
    launches: Launches | None = None,
    names: ProxyNames | None = None,
) -> Desk:
    """Everything that the application needs, with the machine's clock."""
    plan_hash = "" if prognosis is None else prognosis.plan_hash
    return Desk(
        prognosis=prognosis,
        console=console,
        launches=launches,
        names=names,
        accounts=Accounts(accounts),
        sessions=Sessions(clock=time.monotonic, timeouts=timeouts),
        turns=PasswordTurns(clock=time.monotonic),
        record=ViewingRecord(AuditLog(audit_log), key=key, plan_hash=plan_hash, clock=time.monotonic),
        board=BoardLists(accounts.with_name("pages-board.json"), study=plan_hash),
        audit_log=audit_log,
        secure=place.secure,
        hosts=place.hosts,
        timeouts=timeouts,
    )


def serve(desk: Desk, place: Place, *, refused_users: frozenset[int], ready: Callable[[], None]) -> None:
    """Until SIGTERM or Ctrl-C. ready: called when the socket listens. Raises InvalidInput when it cannot."""
    app = application(desk, refused_users=refused_users)
    listening = _unix_socket(place.socket) if place.socket is not None else loopback_socket(place.port or 0)
    log_plainly("oncofed.client.pages")
    try:
        serve_until_ended(app, listening, ready=ready)
    finally:
        if place.socket is not None:
            place.socket.unlink(missing_ok=True)


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
