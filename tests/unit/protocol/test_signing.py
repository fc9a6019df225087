"""A signature holds for one key, one purpose and one message, and for nothing else."""

from __future__ import annotations

import pytest

from oncofed.errors import SignatureInvalid
from oncofed.protocol.signing import new_signing_key, public_key_of, sign, verify

# RFC 8032, section 7.1, test 1: an independent source for the key pair.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_the_public_key_is_the_standards() -> None:
    assert public_key_of(SECRET) == PUBLIC


def test_what_was_signed_is_verified() -> None:
    verify(PUBLIC, context="plan", message=b"text", signature=sign(SECRET, context="plan", message=b"text"))


@pytest.mark.parametrize(
    ("context", "message"),
    [("plan", b"texT"), ("plan", b"text "), ("model", b"text"), ("pla", b"ntext"), ("plant", b"ext")],
)
def test_another_purpose_or_message_is_refused(context: str, message: bytes) -> None:
    signature = sign(SECRET, context="plan", message=b"text")
    with pytest.raises(SignatureInvalid):
        verify(PUBLIC, context=context, message=message, signature=signature)


def test_another_key_is_refused() -> None:
    signature = sign(new_signing_key(), context="plan", message=b"text")
    with pytest.raises(SignatureInvalid):
        verify(PUBLIC, context="plan", message=b"text", signature=signature)


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"short"])
def test_no_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(PUBLIC, context="plan", message=b"text", signature=signature)


def test_keys_are_new_each_time() -> None:
    assert len({new_signing_key() for _ in range(10)}) == 10
