"""Who says so? Ed25519 signatures over a context and a message.

The context keeps a signature for one purpose from passing for another: what is signed is the context's length, the
context, and the message. Keys are 32 raw bytes, as `cryptography` gives them. Imports no torch.

Source: RFC 8032, through the package cryptography.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oncofed.errors import SignatureInvalid


def new_signing_key() -> bytes:
    """32 bytes from the operating system: a private key."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key_of(signing_key: bytes) -> bytes:
    """32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw()


def sign(signing_key: bytes, *, context: str, message: bytes) -> bytes:
    """64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).sign(_framed(context, message))


def verify(public_key: bytes, *, context: str, message: bytes, signature: bytes) -> None:
    """Raises SignatureInvalid for anything but `sign`'s answer with this key, context and message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _framed(context, message))
    except (InvalidSignature, ValueError):
        pass
    else:
        return
    raise SignatureInvalid(f"the signature of the {context} does not fit: it was changed, or signed by another key")


def _framed(context: str, message: bytes) -> bytes:
    name = context.encode()
    return len(name).to_bytes(2, "big") + name + message
