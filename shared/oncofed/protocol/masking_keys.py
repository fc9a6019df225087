"""Is this the key with which that hospital masks its sums in this plan, and in no other?

For each plan that shares its noise a hospital makes a fresh X25519 key pair. The public half leaves signed with the
guard's answer key (Ed25519), which stands in the plan and in the hospital's card, over the plan's hash, the hospital's
name and the key. The coordinator carries these signed keys from each hospital to all others: it can keep one back, and
it can make none for a hospital whose answer key it has not got. Once a plan is finished its private keys are gone, so
whoever steals a hospital's keys later opens nothing of it.

Refused, with SignatureInvalid: a key that the member of that name did not sign for this plan; a member without an
answer key; what is no usable point. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.errors import SignatureInvalid
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.signing import sign, verify

KEY_BYTES, SIGNATURE_BYTES = 32, 64
_CONTEXT = "masking key of a plan 1"


@dataclass(frozen=True)
class SignedMaskingKey:
    """site: whose. public_key: X25519, 32 bytes. signature: of the site's answer key, 64 bytes."""

    site: str
    public_key: bytes
    signature: bytes


def signed_masking_key(public_key: bytes, *, plan_hash: str, site: str, answer_key: bytes) -> SignedMaskingKey:
    """As it leaves the hospital. answer_key: private."""
    message = _signed(public_key, plan_hash=plan_hash, site=site)
    return SignedMaskingKey(site, public_key, sign(answer_key, context=_CONTEXT, message=message))


def verify_masking_key(key: SignedMaskingKey, *, plan: StudyPlan) -> None:
    """Raises SignatureInvalid unless the plan's member of that name signed it for this plan."""
    answer_key = plan.answer_keys.get(key.site)
    if answer_key is None or not _can_be_used(key.public_key):
        raise SignatureInvalid("a masking key is of no hospital of the plan, or of another form")
    message = _signed(key.public_key, plan_hash=plan.hash, site=key.site)
    verify(answer_key, context=_CONTEXT, message=message, signature=key.signature)


def _can_be_used(public_key: bytes) -> bool:
    """Whether it is one spelling of one point that has a secret with every key: 32 bytes, below 2^255 - 19.

    A point of small order would fail at every other hospital, and a second spelling would be a second key of one point.
    """
    # Not at the top: the relay, which carries keys and judges none, starts for each message.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: PLC0415

    if len(public_key) != KEY_BYTES or int.from_bytes(public_key, "little") >= 2**255 - 19:
        return False
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        return False
    return True


def _signed(public_key: bytes, *, plan_hash: str, site: str) -> bytes:
    """Each part with its length before it."""
    parts = (plan_hash.encode(), site.encode(), public_key)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
