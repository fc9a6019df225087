"""Which stream do two hospitals of an attempt share, and do they? From the description, not by the code under audit.

The description is docs/secure-aggregation.md and the docstrings of `oncofed.privacy.masking` and `mask_graph`.
Whoever has the keys of all but two hospitals that mask together can take every other stream off a masked vector of one
of them; what is left has to look uniform.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from oncofed.privacy.masking import Attempt

Words = NDArray[np.uint64]


def pair_secret(private_key: bytes, public_key: bytes) -> bytes:
    """32 bytes, the same at either end."""
    return X25519PrivateKey.from_private_bytes(private_key).exchange(X25519PublicKey.from_public_bytes(public_key))


def peers_of(own: str, *, attempt: Attempt, keys: Mapping[str, bytes], neighbours: int) -> set[str]:
    """With whom it masks. neighbours: of the plan; 0 for all. keys: public.

    Everybody has a place on a circle, and two mask together where one is among the nearest of the other.
    """
    others = set(attempt.roster) - {own}
    each_way = neighbours // 2 + neighbours % 2
    if not neighbours or 2 * each_way >= len(others):
        return others
    known = hashlib.sha256(b"".join(keys[site] for site in attempt.roster)).hexdigest()
    seed = hashlib.sha256(_with_lengths(["oncofed circle of masks 1", attempt.plan_hash, known])).digest()
    place = {
        site: number
        for number, (_, site) in enumerate(
            sorted((hashlib.sha256(seed + site.encode()).hexdigest(), site) for site in attempt.roster)
        )
    }
    apart = {site: abs(place[site] - place[own]) for site in others}
    return {site for site, steps in apart.items() if min(steps, len(place) - steps) <= each_way}


def pair_stream(size: int, *, own: str, peer: str, secret: bytes, attempt: Attempt, keys: Mapping[str, bytes]) -> Words:
    """(size,): of a round. ChaCha20 under HKDF-SHA256 of the pair's secret, salted with the plan. keys: public."""
    roster = hashlib.sha256(_with_lengths(attempt.roster)).hexdigest()
    known = hashlib.sha256(b"".join(keys[site] for site in attempt.roster)).hexdigest()
    what = ["oncofed masking 3", str(attempt.release), str(attempt.attempt), roster, known, attempt.content_hash]
    info = _with_lengths([*what, min(own, peer), max(own, peer)])
    key = HKDF(algorithm=SHA256(), length=32, salt=_with_lengths([attempt.plan_hash]), info=info).derive(secret)
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * size))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def without_pair(
    words: Words, *, own: str, peer: str, secret: bytes, attempt: Attempt, keys: Mapping[str, bytes]
) -> Words:
    """A masked vector of `own` with the stream that it shares with `peer` taken off."""
    stream = pair_stream(len(words), own=own, peer=peer, secret=secret, attempt=attempt, keys=keys)
    return words - stream if own < peer else words + stream


def _with_lengths(parts: Sequence[str]) -> bytes:
    return b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)
