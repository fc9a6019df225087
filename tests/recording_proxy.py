"""What goes over a socket, as plaintext? A proxy that passes bytes on and keeps them, for unix sockets and TCP.

`answers()` gives what the far side sent, `questions()` what the near side sent: each as pieces, one for each HTTP/2
stream's data put together (so that a text is not hidden by a frame's edge) and one for each header block, and the raw
bytes of a connection that is not HTTP/2. Header blocks stay packed (HPACK); gRPC writes its header texts as they are,
and `test_guard_exit` says so by finding one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import defaultdict
from pathlib import Path

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_DATA, _HEADERS, _CONTINUATION, _GOAWAY = 0, 1, 9, 7
_PADDED = 0x8

Address = Path | tuple[str, int]


class RecordingProxy:
    """`with RecordingProxy(listen=..., forward=...) as proxy:` passes connections on until it is left.

    come_from  the far side sees connections from this address of the machine; None: from whichever it would be.
    """

    def __init__(self, *, listen: Address, forward: Address, come_from: str | None = None) -> None:
        self._listen, self._forward, self._come_from = listen, forward, come_from
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._sent: list[tuple[bytearray, bytearray]] = []
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> RecordingProxy:
        self._server = _socket_for(self._listen)
        self._server.bind(_name(self._listen))
        self._server.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            for each in (self._server, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        for thread in self._threads:
            thread.join(timeout=5)
        if isinstance(self._listen, Path):
            self._listen.unlink(missing_ok=True)

    def answers(self) -> list[bytes]:
        """What the far side sent: at a guard, what left it."""
        return [piece for _, answered in list(self._sent) for piece in _pieces(bytes(answered))]

    def questions(self) -> list[bytes]:
        """What the near side sent."""
        return [piece for asked, _ in list(self._sent) for piece in _pieces(bytes(asked))]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = _socket_for(self._forward)
            try:
                if self._come_from is not None:
                    far.bind((self._come_from, 0))
                far.connect(_name(self._forward))
            except OSError:
                near.close()
                far.close()
                continue
            asked, answered = bytearray(), bytearray()
            with self._lock:
                if self._ended:
                    near.close()
                    far.close()
                    return
                self._open += [near, far]
                self._sent.append((asked, answered))
            self._start(_pass_on, near, far, asked)
            self._start(_pass_on, far, near, answered)

    def _start(self, target: object, *given: object) -> None:
        thread = threading.Thread(target=target, args=given, daemon=True)  # type: ignore[arg-type]  # a callable
        self._threads.append(thread)
        thread.start()


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65_536):
            kept += content
            target.sendall(content)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _socket_for(address: Address) -> socket.socket:
    return socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET)


def _name(address: Address) -> str | tuple[str, int]:
    return str(address) if isinstance(address, Path) else address


def _pieces(sent: bytes) -> list[bytes]:
    streams: dict[int, bytearray] = defaultdict(bytearray)
    others: list[bytes] = []
    frames, rest = _frames(sent.removeprefix(_PREFACE))
    for kind, flags, stream, payload in frames:
        if kind == _DATA:
            streams[stream] += _without_padding(flags, payload)
        elif kind in {_HEADERS, _CONTINUATION, _GOAWAY}:
            others.append(payload)
    # What is no frame (another protocol, or a frame cut short) is kept as it came.
    return [*map(bytes, streams.values()), *others, *([rest] if rest else [])]


def _frames(content: bytes) -> tuple[list[tuple[int, int, int, bytes]], bytes]:
    """Kind, flags, stream and payload of each whole frame, and the bytes after the last of them."""
    frames, start = [], 0
    while len(content) >= start + _HEADER_BYTES and content[start + 3] <= _CONTINUATION:
        length = int.from_bytes(content[start : start + 3], "big")
        end = start + _HEADER_BYTES + length
        if len(content) < end:
            break
        stream = int.from_bytes(content[start + 5 : start + 9], "big") & 0x7FFFFFFF
        frames.append((content[start + 3], content[start + 4], stream, content[start + _HEADER_BYTES : end]))
        start = end
    return frames, content[start:]


def _without_padding(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload
