"""Who vouches for an audit log that was closed? The guard, with the key that signs its answers.

A closed log lies beside the open one, ``audit.<entries>.jsonl``, and never changes; `audit_log` reads them as one.
Beside it lies ``audit.<entries>.closing``: the hospital, the head, the guard's public key and its signature. On the
same disk that proves nothing; sent elsewhere it lets anybody tell whether a log that is shown later is that one, and
the key is the one that plans name for the hospital.

Nothing is decided here by a closing, so a lost one holds no answer back: whether a closed log is whole is told by the
chain, which the open one goes on with, and who could forge both could sign, for the key lies beside them. The doctor
tells of it.

Refused, with RecordDamaged: a closing that is missing, of another head or hospital, or that its key did not sign.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from oncofed.client.records.audit_files import closing_of
from oncofed.client.records.chain import Anchor
from oncofed.durable import unwritable
from oncofed.errors import RecordDamaged, SignatureInvalid
from oncofed.plain_file import OtherKind, plain_bytes
from oncofed.protocol.signing import public_key_of, sign, verify
from oncofed.secret_files import LARGEST_SECRET

_CONTEXT = "closed audit log"


def signed_closing(*, site: str, answer_key: bytes) -> Callable[[Anchor], bytes]:
    """Writes the closing of a log with this head. answer_key: Ed25519, the guard's."""

    def closing(head: Anchor) -> bytes:
        signature = sign(answer_key, context=_CONTEXT, message=_message(site, str(head)))
        fields = {
            "site": site,
            "head": str(head),
            "public_key": public_key_of(answer_key).hex(),
            "signature": signature.hex(),
        }
        return json.dumps(fields, indent=1).encode() + b"\n"

    return closing


def verify_closing(archive: Path, head: Anchor, *, site: str) -> str:
    """The public key, hexadecimal, that vouches for this closed log with this head. Raises RecordDamaged."""
    path = closing_of(archive)
    content = b""
    with unwritable(path), suppress(FileNotFoundError, OtherKind):
        content = plain_bytes(path, most=LARGEST_SECRET)
    try:
        fields = json.loads(content)
        key, signature = str(fields["public_key"]), bytes.fromhex(fields["signature"])
        verify(bytes.fromhex(key), context=_CONTEXT, message=_message(site, str(head)), signature=signature)
    except (ValueError, RecursionError, KeyError, TypeError, SignatureInvalid):
        raise RecordDamaged(
            f"{path.name} is missing, or does not vouch for {archive.name}. Put it back from any backup: it never "
            "changes."
        ) from None
    return key


def _message(site: str, head: str) -> bytes:
    return json.dumps([site, head]).encode()
