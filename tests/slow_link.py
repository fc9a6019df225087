"""A link between a hospital and its coordinator as some have it: a TCP proxy that is slow, holds back, or cuts.

This kernel has no netem, so rate and delay are the proxy's. Each direction of each connection is a queue of pieces with
the time at which each may go on.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from dataclasses import dataclass

Address = tuple[str, int]
_PIECE = 2048


@dataclass(frozen=True)
class Link:
    """bytes_per_second  in each direction; None: as fast as it goes. delay_seconds: of every byte, one way.
    holds_bytes      a proxy that buffers: passes on when it has so many, or after holds_seconds.
    connect          a company's proxy: speaks HTTP, and is the only one that can look up the name that CONNECT says.
    resets_after     seconds after which every connection is reset, again and again. goes_silent: seconds after which a
                     connection passes nothing on any more, and is not closed.
    """

    bytes_per_second: float | None = None
    delay_seconds: float = 0.0
    holds_bytes: int = 0
    holds_seconds: float = 0.0
    resets_after: float | None = None
    goes_silent: float | None = None
    connect: bool = False


class SlowLink:
    """`with SlowLink(listen=..., forward=..., link=...) as proxy:` until it is left. connections: how many came.

    asked: the names that a company's proxy was to connect with.
    """

    def __init__(self, *, listen: Address, forward: Address, link: Link) -> None:
        self._listen, self._forward, self._link = listen, forward, link
        self._open: list[socket.socket] = []
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.connections = 0
        self.asked: list[str] = []

    def __enter__(self) -> SlowLink:
        self._server = socket.create_server(self._listen)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            for each in (self._server, *self._open):
                _close(each)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                asked = _asked_of_a_proxy(near) if self._link.connect else None
                far = socket.create_connection(self._forward, timeout=5)
                far.settimeout(None)
                if asked is not None:
                    self.asked.append(asked)
                    near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            except OSError:
                if self._ended.is_set():
                    return
                with contextlib.suppress(UnboundLocalError):
                    _close(near)
                continue
            with self._lock:
                self._open += [near, far]
            self.connections += 1
            began = time.monotonic()
            for source, target in ((near, far), (far, near)):
                pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=64)
                threading.Thread(target=self._take, args=(source, pieces), daemon=True).start()
                threading.Thread(target=self._give, args=(pieces, target, began), daemon=True).start()
            if self._link.resets_after is not None:
                threading.Timer(self._link.resets_after, _reset_both, (near, far)).start()

    def _take(self, source: socket.socket, pieces: queue.Queue[tuple[float, bytes]]) -> None:
        held, since = b"", 0.0
        while True:
            try:
                source.settimeout(0.05 if held else None)
                piece = source.recv(_PIECE)
            except TimeoutError:
                piece = None
            except OSError:
                piece = b""
            now = time.monotonic()
            since = now if not held else since
            held += piece or b""
            is_due = len(held) >= self._link.holds_bytes or now - since >= self._link.holds_seconds
            if held and (is_due or piece == b""):
                pieces.put((now + self._link.delay_seconds, held))
                held = b""
            if piece == b"":
                pieces.put((now + self._link.delay_seconds, b""))
                return

    def _give(self, pieces: queue.Queue[tuple[float, bytes]], target: socket.socket, began: float) -> None:
        link = self._link
        while not self._ended.is_set():
            due, piece = pieces.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if link.goes_silent is not None and time.monotonic() - began > link.goes_silent:
                continue  # taken, and never given
            if not piece:
                _close(target)
                return
            if link.bytes_per_second is not None:
                time.sleep(len(piece) / link.bytes_per_second)
            try:
                target.sendall(piece)
            except OSError:
                return


def _asked_of_a_proxy(near: socket.socket) -> str:
    """Whom it is to be connected with. Raises OSError for anything but CONNECT."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = near.recv(1)
        if not piece:
            raise OSError("no head came")
        head += piece
    method, target, _ = head.split(b"\r\n")[0].split(b" ")
    if method != b"CONNECT":
        raise OSError("not CONNECT")
    return target.decode()


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _reset_both(near: socket.socket, far: socket.socket) -> None:
    _reset(near)
    _reset(far)


def _reset(one: socket.socket) -> None:
    """With RST and not FIN, as a firewall that forgot the connection."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)
    one.close()
