"""How are pages served on loopback, and what does their server itself write down?

The server's own access log is off (it would hold addresses), and a failure that escapes everything else is logged
without its text and without a traceback's.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from oncofed.errors import Fault, InvalidInput
from oncofed.texts import one_line

LOOPBACK = "127.0.0.1"
_MOST_CONNECTIONS = 100


def loopback_hosts(port: int | None) -> frozenset[str]:
    """What a browser may write into the header Host for a port on loopback."""
    return frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})


def loopback_socket(port: int) -> socket.socket:
    """Listening, on no other address of the machine. Raises InvalidInput where the port is taken."""
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


def serve_until_ended(app: Starlette, listening: socket.socket, *, ready: Callable[[], None]) -> None:
    """Until SIGTERM or Ctrl-C. ready: called before the first answer."""
    server = server_of(app)
    ready()
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()


def server_of(app: Starlette) -> uvicorn.Server:
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


class _Plain(logging.Formatter):
    """One line each: no traceback and no text of an exception, which may quote what a page was about."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage() if record.exc_info is None else "failed"
        return f"{self.formatTime(record)} {record.levelname} {record.name}: {one_line(said)}"


def log_plainly(pages: str) -> None:
    """To standard error: the lines of the logger of this name, and the server's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    for name, level in ((pages, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
