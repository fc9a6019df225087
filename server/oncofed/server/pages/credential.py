"""Who may look at the coordinator's pages? Whoever knows the content of keys/pages.token.

It is no other key's: it shows the pages and lets nobody do anything. Its 256 random bits need no slow hash and no
waiting after a wrong try. A new one, or a file that was taken away, ends every session.

Promises: compared in constant time, by hashes, so that not even the length is told. Refuses a file that others than its
owner may read (`secret_files`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from oncofed.durable import replace_durably
from oncofed.errors import InvalidInput
from oncofed.secret_files import read_secret, write_secret

_BYTES = 32
_FEWEST_CHARACTERS = 32
"""Of a file that somebody wrote by hand: fewer could be guessed, and none would be the empty field's."""


@dataclass(frozen=True)
class Credential:
    """In a file, which is read anew each time."""

    path: Path

    def make(self, *, anew: bool = False) -> bool:
        """Write one where there is none, or in place of the present one; whether that was done."""
        content = secrets.token_urlsafe(_BYTES).encode() + b"\n"
        if self.path.exists():
            if anew:
                replace_durably(self.path, content, mode=0o600)
            return anew
        write_secret(self.path, content)
        return True

    def mark(self) -> str:
        """A hash of it, empty where it cannot be read or is none: what a session began with, and must still be."""
        try:
            content = read_secret(self.path).decode("ascii", "replace").strip()
        except InvalidInput:
            return ""
        return _hash(content) if len(content) >= _FEWEST_CHARACTERS else ""

    def is_right(self, typed: str) -> bool:
        """Whether somebody knows it."""
        return hmac.compare_digest(_hash(typed.strip()), self.mark())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
