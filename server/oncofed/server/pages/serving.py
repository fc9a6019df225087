"""What do the coordinator's pages need, with the machine's clocks?"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from oncofed.local_pages.listening import loopback_hosts
from oncofed.local_pages.sessions import KeptSessions, Timeouts
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.server.pages.credential import Credential
from oncofed.server.pages.desk import Desk, Session, asked
from oncofed.server.pages.watch import Watch


def now() -> datetime:
    return datetime.now(UTC)


def desk_for(folder: CoordinatorFolder, *, port: int) -> Desk:
    """Raises InvalidInput for a folder whose settings are damaged."""
    settings = read_settings(folder)
    return Desk(
        folder=folder,
        settings=settings,
        credential=Credential(folder.pages_token),
        # A page that follows a study asks every few seconds: a session is idle when its page is closed.
        sessions=KeptSessions[Session](clock=time.monotonic, timeouts=Timeouts()),
        watch=Watch(lambda: asked(folder, settings), now=now),
        hosts=loopback_hosts(port),
        now=now,
    )
