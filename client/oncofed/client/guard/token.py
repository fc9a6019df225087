"""Who may ask the guard? Whoever holds the token; the guard itself keeps only its SHA-256.

The token is 256 random bits in hexadecimal, so its plain hash cannot be guessed back. It lies in a file that only the
relay's user can read; the guard could not give it away. Comparisons take the same time whatever is compared.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import OtherKind, opened

_DIGITS = 64
_LONGEST = 1_000
"""Bytes that are read of its file; whatever fills more is no token."""


def new_token() -> str:
    """64 hexadecimal digits from the operating system."""
    return secrets.token_hex(_DIGITS // 2)


def token_sha256(token: str) -> str:
    """What the guard keeps of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def fits(token: str | bytes, *, sha256: str) -> bool:
    """Whether this token, whatever somebody sent as one, has this hash."""
    content = token if isinstance(token, bytes) else token.encode(errors="surrogatepass")
    return hmac.compare_digest(hashlib.sha256(content).digest(), bytes.fromhex(sha256))


def read_digits(path: Path) -> str:
    """The token, or its hash, in this file. Raises InvalidInput for anything else than one line of 64 digits."""
    try:
        with opened(path) as file:
            text = file.read(_LONGEST).decode("ascii").strip()
    except OtherKind as other:
        raise InvalidInput([other.fault]) from None
    except (OSError, UnicodeDecodeError):
        text = ""
    if len(text) != _DIGITS or set(text) - set("0123456789abcdef"):
        raise InvalidInput(
            [Fault(path.name, "is missing, unreadable or no token", "Check its rights, or make a new one.")]
        )
    return text
