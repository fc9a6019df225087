"""Whose node key may speak to the SuperLink at this moment?

Those of hospitals that are members, as `member_files` says: looked at anew at every request when sites/ has changed,
and otherwise every few seconds, for files that somebody edits by hand.

Promises: from the moment that a command has taken a hospital off, its key is nobody's. A file that cannot be read, or
is not what was decided, takes only its own hospital off.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from oncofed.errors import RecordFailure
from oncofed.protocol.enrolment import flower_public_key
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.member_files import contents, settled

_LOOK_SECONDS = 5.0
_SETTLED_SECONDS = 1.0
"""Two changes may bear the same time; so a folder that was changed just now is read again."""

_Files = tuple[str, bytes | None, bytes | None]
"""A hospital's name, and the contents of its two files."""


def key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """One key has several encodings; this one does not depend on the one chosen."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class MemberKeys:
    """For one thread. monotonic, wall_clock: in seconds."""

    def __init__(
        self,
        folder: CoordinatorFolder,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._monotonic, self._wall_clock = folder, monotonic, wall_clock
        self._changed = -1
        self._read_at = float("-inf")
        self._holders: dict[bytes, str] = {}
        self._known: dict[_Files, tuple[bytes, str] | None] = {}

    def site_of(self, key: bytes) -> str | None:
        """The member whose key this is (`key_bytes`), or None."""
        try:
            changed = self._folder.sites.stat().st_mtime_ns
        except OSError:
            return None
        now = self._monotonic()
        unsettled = self._wall_clock() - changed / 1e9 < _SETTLED_SECONDS
        if changed != self._changed or unsettled or now - self._read_at >= _LOOK_SECONDS:
            self._changed, self._read_at = changed, now
            self._read()
        return self._holders.get(key)

    def _read(self) -> None:
        try:
            found = contents(self._folder)
        except RecordFailure:
            found = {}
        # A key takes a while to load, and few files change.
        self._known = {
            files: self._known[files] if files in self._known else _holder(files)
            for files in ((name, *both) for name, both in found.items())
        }
        self._holders = dict(holder for holder in self._known.values() if holder is not None)


def _holder(files: _Files) -> tuple[bytes, str] | None:
    site = settled(*files)
    if site is None or not site.is_member:
        return None
    key = load_pem_public_key(flower_public_key(site.node_public_key))
    return (key_bytes(key), site.site) if isinstance(key, ec.EllipticCurvePublicKey) else None
