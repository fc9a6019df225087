"""Whom has a clinician put on the list for the tumour board, and in which order?

One file of the guard's user holds, for each account and study, codes of patients as they stand in the audit log: no
identifier. A list is its account's own, in the order that a person gave it, and of no other: nothing here knows a
patient's risk. It ends two weeks after it was changed last, so that what nobody needs any more is not kept.

Promises: the file is written whole or not at all, under a lock; who is to tell of a change (`told`) has done so before
it is made, and where that fails nothing is changed. A file that is damaged is none: no list is worth a page that does
not open.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from oncofed.durable import replace_durably, unwritable
from oncofed.plain_file import plain_bytes
from oncofed.turns import in_turn, opened_lock

MOST = 40
"""On one list: more than a board discusses in a day, and few enough to be shown at once."""
_KEPT = timedelta(days=14)
_LARGEST_BYTES = 8_000_000


class Change(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    UP = "up"
    DOWN = "down"
    CLEAR = "clear"


@dataclass(frozen=True)
class _List:
    changed_at: str
    codes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class BoardLists:
    """study: whose patients these are. now: the moment, with its zone."""

    path: Path
    study: str
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def of(self, account: str) -> tuple[str, ...]:
        """The codes of an account's list."""
        return self._read().get(self._key(account), _List("", ())).codes

    def change(self, account: str, change: Change, code: str, *, told: Callable[[], None]) -> bool:
        """Whether it could be made: a list is no longer than MOST. code: of the patient; of none to clear it.

        told: called where something changes, before it does.
        """
        lock_file = self.path.with_name(f".{self.path.name}.lock")
        with in_turn(lock_file, opened=lambda: _opened(lock_file)):
            lists = self._read()
            before = lists.get(self._key(account), _List("", ())).codes
            after = _changed(before, change, code)
            if len(after) > MOST:
                return False
            if after != before:
                told()
                lists[self._key(account)] = _List(self.now().isoformat(), after)
                kept = {
                    key: {"changed_at": each.changed_at, "codes": each.codes}
                    for key, each in lists.items()
                    if each.codes
                }
                replace_durably(self.path, json.dumps(kept, indent=1).encode(), mode=0o600)
            return True

    def _key(self, account: str) -> str:
        return f"{account} {self.study}"

    def _read(self) -> dict[str, _List]:
        """Those that have not ended."""
        with unwritable(self.path):
            content = plain_bytes(self.path, most=_LARGEST_BYTES) if self.path.exists() else b"{}"
        try:
            found = {
                str(key): _List(str(each["changed_at"]), tuple(map(str, each["codes"])))
                for key, each in json.loads(content).items()
            }
            return {
                key: each
                for key, each in found.items()
                if timedelta() <= self.now() - datetime.fromisoformat(each.changed_at) < _KEPT
            }
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            return {}


def _changed(codes: tuple[str, ...], change: Change, code: str) -> tuple[str, ...]:
    if change is Change.CLEAR:
        return ()
    if change is Change.ADD:
        return codes if code in codes else (*codes, code)
    if code not in codes:
        return codes
    place, rest = codes.index(code), tuple(each for each in codes if each != code)
    if change is Change.REMOVE:
        return rest
    place += 1 if change is Change.DOWN else -1
    place = min(max(place, 0), len(rest))
    return (*rest[:place], code, *rest[place:])


def _opened(lock_file: Path) -> int:
    with unwritable(lock_file):
        return opened_lock(lock_file)
