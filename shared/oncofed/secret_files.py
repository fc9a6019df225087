"""How does a secret get onto the disk so that no other user of the machine can read it, and back?

Promises: a secret is complete on the disk before it takes its name, and its file was never readable by others, not
even for an instant. An existing file is never overwritten: a second `init` must not throw away a key.

Refuses: to read a secret that the group or others may read, and says who mends it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from oncofed.durable import create_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import OtherKind, opened

LARGEST_SECRET = 64 * 1024
"""Bytes: keys, tokens, an address of a database, a request."""

_SIGNING_KEY_BYTES = 32
_FOR_THE_OWNER = "Its owner is to give it mode 600: for the owner alone."
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def write_secret(path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Create `path`. Raises InvalidInput when it exists, RecordUnwritable when the disk refuses.

    owner  user and group whose secret it is; None: one's own.
    """
    if not create_durably(path, content, mode=mode, owner=owner):
        remedy = "It is kept. Remove it yourself if you mean to replace it."
        raise InvalidInput([Fault(str(path), "the file exists already", remedy)])


def read_secret(path: Path, *, follow: bool = True, most: int | None = LARGEST_SECRET) -> bytes:
    """The content of `path`. Raises InvalidInput when it is missing, empty, no file, or open to others than its owner.

    most    bytes that it may have (None: any number); of a larger file no more are read, whoever laid it there.
    follow  False where another user may have laid a link there for root to read: then that is no file.
    """
    try:
        with opened(path, follow=follow) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read() if most is None else file.read(most + 1)
    except OtherKind as other:
        fault = Fault(str(path), other.fault.what, other.fault.remedy)
    except FileNotFoundError:
        fault = Fault(str(path), "the file does not exist", "Run the command that creates it, or check the folder.")
    except OSError:
        fault = Fault(str(path), "the file cannot be read", "Run the command as the file's owner.")
    else:
        if mode & _OPEN_TO_OTHERS:
            fault = Fault(str(path), "others than its owner may read this secret", _FOR_THE_OWNER)
        elif most is not None and len(content) > most:
            what = f"is larger than {most:,} bytes, which no secret is"
            fault = Fault(str(path), what, "Restore it from a backup, or remove it and give the command again.")
        elif not content:
            fault = Fault(str(path), "the file is empty", "Restore it from a backup, or create it anew.")
        else:
            return content
    raise InvalidInput([fault])


def read_signing_key(path: Path) -> bytes:
    """An Ed25519 key's 32 bytes (`protocol.signing`). Raises InvalidInput for any other number of them, too."""
    content = read_secret(path)
    if len(content) != _SIGNING_KEY_BYTES:
        what = f"is no signing key: it does not have {_SIGNING_KEY_BYTES} bytes"
        raise InvalidInput([Fault(str(path), what, "Restore it from a backup; documents name the key that it was.")])
    return content


def private_folder(path: Path) -> Path:
    """Create a folder only its owner can enter; an existing one is left as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
