"""Who may see the coordinator's pages, and what stands on them now?

Everybody who knows the credential sees everything, and nobody can do anything: acts stay at the command line. A refusal
is a line of the log, which names no credential.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from oncofed.errors import OncofedError
from oncofed.local_pages.refusals import SignInNeeded
from oncofed.local_pages.sessions import KeptSessions, OneSession
from oncofed.server.deployment.coordinator_status import (
    CoordinatorStatus,
    ServerWords,
    ask_server,
    coordinator_status,
)
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings
from oncofed.server.deployment.runs import known_studies
from oncofed.server.pages.credential import Credential
from oncofed.server.pages.watch import Heard, Watch

log = logging.getLogger("oncofed.server.pages")


@dataclass(eq=False, kw_only=True)
class Session(OneSession):
    """mark: of the credential with which it began."""

    mark: str


@dataclass(frozen=True, eq=False)
class Desk:
    """All that the routes work with. hosts: names under which the pages may be asked for."""

    folder: CoordinatorFolder
    settings: CoordinatorSettings
    credential: Credential
    sessions: KeptSessions[Session]
    watch: Watch
    hosts: frozenset[str]
    now: Callable[[], datetime]

    def status(self) -> tuple[CoordinatorStatus, Heard]:
        """Of all studies: files as they are now, and the server's last word."""
        heard = self.watch.heard()
        found = coordinator_status(
            self.folder, self.settings, studies=known_studies(self.folder), now=self.now(), said=heard.said
        )
        return found, heard

    def begin(self) -> str:
        """A new session's identifier, for who has shown the credential."""
        mark = self.credential.mark()
        return self.sessions.keep(lambda now: Session(mark=mark, began=now, last_seen=now))

    def session(self, identifier: str) -> Session | None:
        """None where it is unknown or over, or the credential is another one by now."""
        mark = self.credential.mark()
        return self.sessions.kept(identifier, holds=lambda session: bool(mark) and session.mark == mark)


def desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def cookie_of(request: Request) -> str:
    """Its name, with the port: a browser gives cookies of one host to all its ports, and other pages may be there."""
    return f"oncofed_coordinator_{request.url.port or 80}"


def session_of(request: Request) -> Session:
    """Raises SignInNeeded."""
    identifier = request.cookies.get(cookie_of(request), "")
    session = desk_of(request).session(identifier)
    if session is None:
        if identifier:  # over, or made up
            log.warning("refused: no_session")
        raise SignInNeeded
    return session


def asked(folder: CoordinatorFolder, settings: CoordinatorSettings) -> ServerWords:
    """What the server says now. A file of ours that is lost or damaged is told as a server that does not answer."""
    try:
        return ask_server(folder, settings, studies=())
    except OncofedError as fault:
        return ServerWords(None, unreached=str(fault))
