"""Which bytes did a hospital let out, so that the same question gets the same bytes and no second charge?

An answer is kept before it is returned. Under the identity of a request (plan, site, round, attempt) only one content
is ever answered; that is remembered for good, the bytes themselves only for the last few requests: a coordinator that
repeats a question does so at once or after a restart, not rounds later.

Before an answer is charged `make_room` takes the room on the disk that keeping it will need, and that of a line in the
audit log beside it, which is free again when the answer is kept, just before that line is written.

Refused: nothing here raises about an answer that is damaged or gone; it is simply not found, and the ledger then says
that the request was charged already. RecordUnwritable when the disk refuses: then nothing may be released.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.durable import UNFINISHED, hold_room, replace_durably, unwritable
from oncofed.plain_file import plain_bytes
from oncofed.protocol.messages import Contribution
from oncofed.protocol.wire_form import LARGEST_MESSAGE

_BYTES_A_NUMBER = 8
_BEFORE_THE_NUMBERS = 4096
"""More than the two lines before a vector need."""
_LARGEST_ANSWER = _BEFORE_THE_NUMBERS + LARGEST_MESSAGE
_A_LINE_OF_THE_LOG = 65_536
_DIGITS = 64
_CHARGED, _FREE = ".asked", ".free"

_log = logging.getLogger(__name__)


class Answers(Protocol):
    """The answers of one guard."""

    def find(self, request_hash: str) -> Contribution | None:
        """The bytes that answered the request with this hash, or None."""
        ...

    def content_of(self, identity: str) -> str | None:
        """The hash of the request that was answered under this identity, whether or not its bytes are still there."""
        ...

    def make_room(self, numbers: int) -> None:
        """Be sure that `keep` can keep an answer of so many numbers, before it is charged. Raises RecordUnwritable."""
        ...

    def keep(self, contribution: Contribution, *, identity: str, request_hash: str, charged: bool) -> None:
        """Remember an answer, durably where the implementation is durable at all. Raises RecordUnwritable."""
        ...


class MemoryAnswers:
    """Answers as durable as the process: for simulations, whose ledger refuses what was charged before."""

    def __init__(self, *, largest_number: int = 1) -> None:
        self._largest_number = largest_number
        self._kept: OrderedDict[str, Contribution] = OrderedDict()
        self._content: dict[str, str] = {}

    def find(self, request_hash: str) -> Contribution | None:
        """As `Answers` says."""
        return self._kept.get(request_hash)

    def content_of(self, identity: str) -> str | None:
        """As `Answers` says."""
        return self._content.get(identity)

    def make_room(self, numbers: int) -> None:
        """As `Answers` says: there is room."""

    def keep(self, contribution: Contribution, *, identity: str, request_hash: str, charged: bool) -> None:
        """As `Answers` says."""
        self._content[identity] = request_hash
        self._kept[request_hash] = contribution
        while len(self._kept) > self._largest_number:
            self._kept.popitem(last=False)


class FolderAnswers:
    """Answers as files, for one guard process at a time.

    ``<request hash>.answer``        the line ``oncofed-answer 1 <SHA-256 of the rest>``, JSON in one line, the vector.
    ``<SHA-256 of identity>.asked``  the hash of the request that was answered under it, after a charge; ``.free``:
                                     under a plan that hides nothing and charges nothing.
    ``*.unfinished``                 the room for the next two files.
    """

    def __init__(self, folder: Path, *, largest_number: int = 8) -> None:
        self._folder = folder
        self._largest_number = largest_number
        self._answers_room, self._askeds_room = folder / f"answer{UNFINISHED}", folder / f"asked{UNFINISHED}"
        with unwritable(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            for torn in folder.glob(f"*{UNFINISHED}"):
                torn.unlink()

    def find(self, request_hash: str) -> Contribution | None:
        """As `Answers` says. A damaged file is an answer that is lost, and the local log says so."""
        try:
            content = plain_bytes(self._answer(request_hash), most=_LARGEST_ANSWER)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("a kept answer cannot be read (%s)", type(error).__name__)
            return None
        vector = _vector_in(content, request_hash)
        if vector is None:
            _log.warning("a kept answer is damaged and counts as lost; check the disk")
            return None
        return Contribution(vector)

    def content_of(self, identity: str) -> str | None:
        """As `Answers` says. An entry that is there but unreadable is another content: better refused than repeated."""
        with unwritable(self._folder):
            for ending in (_CHARGED, _FREE):
                with suppress(FileNotFoundError):
                    content = plain_bytes(self._asked(identity, ending), most=_BEFORE_THE_NUMBERS)
                    return content.decode("ascii", errors="replace")
        return None

    def make_room(self, numbers: int) -> None:
        """As `Answers` says. What was not used is there for the next."""
        hold_room(self._askeds_room, _DIGITS)
        hold_room(self._answers_room, _BEFORE_THE_NUMBERS + numbers * _BYTES_A_NUMBER + _A_LINE_OF_THE_LOG)

    def keep(self, contribution: Contribution, *, identity: str, request_hash: str, charged: bool) -> None:
        """As `Answers` says."""
        kind = contribution.vector.dtype
        vector = np.ascontiguousarray(contribution.vector, dtype=kind.newbyteorder("<"))
        fields = {"identity": identity, "request_hash": request_hash, "length": vector.size, "dtype": kind.name}
        header = json.dumps(fields)
        body = header.encode() + b"\n" + vector.tobytes()
        # The identity first: a kill in between then leaves one that no other content can use.
        asked = self._asked(identity, _CHARGED if charged else _FREE)
        replace_durably(asked, request_hash.encode(), room=self._askeds_room)
        replace_durably(self._answer(request_hash), _first_line(body) + body, room=self._answers_room)
        self._drop_oldest()

    def _answer(self, request_hash: str) -> Path:
        return self._folder / f"{request_hash}.answer"

    def _asked(self, identity: str, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()}{ending}"

    def _drop_oldest(self) -> None:
        with unwritable(self._folder):
            kept = sorted(self._folder.glob("*.answer"), key=lambda path: (path.stat().st_mtime_ns, path.name))
            for path in kept[: -self._largest_number]:
                path.unlink()


def _first_line(body: bytes) -> bytes:
    return b"oncofed-answer 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n"


def _vector_in(content: bytes, request_hash: str) -> NDArray[np.float64] | NDArray[np.uint64] | None:
    first, _, body = content.partition(b"\n")
    if first + b"\n" != _first_line(body):
        return None
    # From here on the bytes are those that were written.
    header, _, values = body.partition(b"\n")
    fields = json.loads(header)
    if fields["request_hash"] != request_hash:
        return None
    kind = np.dtype(fields["dtype"])
    vector: NDArray[np.float64] | NDArray[np.uint64]
    vector = np.frombuffer(values, dtype=kind.newbyteorder("<")).astype(kind)
    vector.setflags(write=False)
    return vector
