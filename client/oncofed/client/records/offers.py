"""Which offered plans lie at a hospital, and which one gives way when a coordinator offers more than there is room for?

A plan is one file, ``<plan hash>.json`` in ``guard/plans``. One that somebody here was shown has a
``<plan hash>.shown`` beside it; one that the audit log does not tell of yet, a ``<plan hash>.untold``. There is room
for `MOST_WAITING` plans that nobody has decided on and nobody was shown, and for `MOST_WAITING_BYTES` of them together;
of more, the oldest give way. If their coordinator still waits for one, it is offered again. A hospital has one
coordinator at a time, so that these are bounds for each coordinator, too.

Promises: what somebody was shown, or decided on, gives way to nothing that is offered; whatever is offered, there is
room for one plan more; so the disk is filled, and whoever lists plans is kept, by no more than that and what persons
here have looked at. Names and sizes of the files say all that is needed for it: no document is parsed here. Nobody
takes a plan away between `show` and the decision, at whatever instant. Refuses to forget an approved plan: its guard
would have no document.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.records.decisions import Approval, Decision
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import InvalidInput, RecordFailure
from oncofed.plain_file import file_content
from oncofed.protocol.wire_form import is_hash

MOST_WAITING = 100
MOST_WAITING_BYTES = 2_000_000
"""Two of the largest that there may be (`study_document.LARGEST_BYTES`), or 100 of 20 kB."""

_PLAN, _SHOWN, _UNTOLD = ".json", ".shown", ".untold"
_LOCK = ".lock"


@dataclass(frozen=True, order=True)
class _Waiting:
    """since: in ns. size: bytes of the document."""

    since: int
    plan_hash: str
    size: int


@dataclass(frozen=True)
class Offers:
    """folder: ``guard/plans``. decision: what somebody here has decided on the plan of this hash, None if nothing."""

    folder: Path
    decision: Callable[[str], Approval | None]

    def path(self, plan_hash: str) -> Path:
        return self.folder / f"{plan_hash}{_PLAN}"

    def hashes(self) -> list[str]:
        """Of all plans here; a copy that somebody made of one has another name, and is none.

        Raises OSError where the folder may not be read, which is not an empty one. One that is lost holds none.
        """
        if not os.path.lexists(self.folder):
            return []
        return sorted(path.stem for path in self.folder.iterdir() if path.suffix == _PLAN and is_hash(path.stem))

    def holds(self, plan_hash: str, document: bytes) -> bool:
        """Whether this very document is kept."""
        try:
            return file_content(self.path(plan_hash), most=len(document)) == document
        except InvalidInput:
            return False

    def keep(self, plan_hash: str, document: bytes) -> bool:
        """Keep a new plan, which is untold; whether others gave way for it. Raises RecordUnwritable."""
        with self._alone():
            waiting = self._waiting() if not self.path(plan_hash).exists() else []
            giving_way = _giving_way(waiting, len(document))
            for other in giving_way:
                self._take_away(other.plan_hash)
            replace_durably(self.path(plan_hash).with_suffix(_UNTOLD), b"")  # first: a kill may come between
            replace_durably(self.path(plan_hash), document)
        return bool(giving_way)

    def is_untold(self, plan_hash: str) -> bool:
        """Whether it was kept and the audit log does not tell so, as after a kill or while a disk is full."""
        return self.path(plan_hash).with_suffix(_UNTOLD).exists()

    def told(self, plan_hash: str) -> None:
        """It is in the audit log now. Raises RecordUnwritable."""
        with unwritable(self.path(plan_hash)):
            self.path(plan_hash).with_suffix(_UNTOLD).unlink(missing_ok=True)

    def show(self, plan_hash: str) -> None:
        """Somebody looks at it, so it stays. Raises FileNotFoundError when it has given way."""
        with self._alone():
            self.path(plan_hash).stat()
            replace_durably(self.path(plan_hash).with_suffix(_SHOWN), b"")

    def forget(self, plan_hash: str) -> bool:
        """Take it away, unless it is approved; whether it is. It may be offered again; declined stays declined."""
        with self._alone():
            decided = self.decision(plan_hash)
            if decided is not None and decided.decision is Decision.APPROVED:
                return False
            self._take_away(plan_hash)
            return True

    def _waiting(self) -> list[_Waiting]:
        """Those that may give way, the oldest first."""
        found = []
        for plan_hash in self.hashes():
            path = self.path(plan_hash)
            if path.is_dir():  # whose is that? Not ours to remove
                continue
            if not path.with_suffix(_SHOWN).exists() and not self._is_decided(plan_hash):
                kept = path.lstat()  # a link may lead nowhere
                found.append(_Waiting(kept.st_mtime_ns, plan_hash, kept.st_size))
        return sorted(found)

    def _is_decided(self, plan_hash: str) -> bool:
        """Or may be: what somebody decided there and cannot be read now gives way to nothing."""
        try:
            return self.decision(plan_hash) is not None
        except RecordFailure:
            return True

    def _take_away(self, plan_hash: str) -> None:
        with unwritable(self.path(plan_hash)):
            for beside in (_SHOWN, _UNTOLD):
                self.path(plan_hash).with_suffix(beside).unlink(missing_ok=True)
            self.path(plan_hash).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The guard and whoever gives a command here do this to the same folder."""
        with unwritable(self.folder):
            descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _giving_way(waiting: list[_Waiting], size: int) -> list[_Waiting]:
    """The first of `waiting`, as many as must go for one more of `size` bytes."""
    number, taken = len(waiting), sum(each.size for each in waiting)
    gone = 0
    while gone < number and (number - gone >= MOST_WAITING or taken + size > MOST_WAITING_BYTES):
        taken -= waiting[gone].size
        gone += 1
    return waiting[:gone]
