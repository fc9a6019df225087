"""Whose node key may speak to the SuperLink at this moment?

Those of hospitals that are members, as sites/*.json say now: looked at anew at every request when the folder has
changed, and otherwise every few seconds, for files that somebody edits by hand.

Promises: from the moment that a command has taken a hospital off, its key is nobody's. A file that cannot be read takes
only its own hospital off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from oncofed.errors import InvalidInput
from oncofed.protocol.enrolment import flower_public_key
from oncofed.server.deployment.enrolment import Standing, read_site

_LOOK_SECONDS = 5.0
_SETTLED_SECONDS = 1.0
"""Two changes may bear the same time; so a folder that was changed just now is read again."""


def key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """One key has several encodings; this one does not depend on the one chosen."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class MemberKeys:
    """For one thread. monotonic, wall_clock: in seconds."""

    def __init__(
        self,
        sites: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sites, self._monotonic, self._wall_clock = sites, monotonic, wall_clock
        self._changed = -1
        self._read_at = float("-inf")
        self._holders: dict[bytes, str] = {}
        self._known: dict[bytes, tuple[bytes, str] | None] = {}

    def site_of(self, key: bytes) -> str | None:
        """The member whose key this is (`key_bytes`), or None."""
        try:
            changed = self._sites.stat().st_mtime_ns
        except OSError:
            return None
        now = self._monotonic()
        unsettled = self._wall_clock() - changed / 1e9 < _SETTLED_SECONDS
        if changed != self._changed or unsettled or now - self._read_at >= _LOOK_SECONDS:
            self._changed, self._read_at = changed, now
            self._read()
        return self._holders.get(key)

    def _read(self) -> None:
        known = {}
        for path in sorted(self._sites.glob("*.json")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            # A key takes a while to load, and few files change.
            known[content] = self._known[content] if content in self._known else _holder(path)
        self._known = known
        self._holders = dict(holder for holder in known.values() if holder is not None)


def _holder(path: Path) -> tuple[bytes, str] | None:
    try:
        site = read_site(path)
    except InvalidInput:
        return None
    if site.standing is not Standing.MEMBER or site.site != path.stem:
        return None
    key = load_pem_public_key(flower_public_key(site.node_public_key))
    return (key_bytes(key), site.site) if isinstance(key, ec.EllipticCurvePublicKey) else None
