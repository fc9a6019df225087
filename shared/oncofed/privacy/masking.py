"""How do hospitals add up integer vectors so that the server sees the sum and nothing else?

Each pair of hospitals of an attempt shares a stream of pseudo-random numbers modulo 2^64; the one with the smaller name
adds it to its vector, the other subtracts it. (Each pair, or where the plan says so each pair of neighbours on a
circle, which hides as much: `mask_graph`.) In the sum over the attempt's whole roster all of them cancel, and the
sum modulo 2^64 is that of the vectors. Anything short of that holds at least one stream that the server does not know.

Keys. For each plan each hospital makes one X25519 key pair; whose a public key is, others know by a signature
(`protocol.masking_keys`), so a server cannot replace it. A pair's stream is ChaCha20 under HKDF-SHA256(X25519 secret,
salt = plan hash, info = domain, round, attempt, hash of the roster, hash of the roster's public keys, hash of the
weights that were sent, both names in order). For a summary the domain is another and its name stands in the round's
place, so that no stream is ever used twice. A server that tells two hospitals different rosters, keys, rounds, attempts
or weights gets streams that do not cancel. That the weights are in it also holds where a guard forgets what it answered
(a ledger restored from a backup): two answers to one attempt with other weights have other masks, so their difference
opens nothing; with the same weights it tells the difference of two draws of noise.

Dropouts. If somebody is missing, nothing is revealed: the server starts a new attempt among those who are there, with
fresh masks, fresh noise and a new charge at each hospital. There is no second secret to ask for, so there is nothing
for a lying server to collect. A hospital answers only rosters of the plan's names with at least K - d of them
(`refuse_roster`), so each sum that can be opened holds at least K - d shares of the noise, and is charged as that.

No sum wraps. Let each entry of each masked vector be at most L in size, which `masked` refuses to exceed, and let K be
the number of vectors with K L < 2^63, which `masked` and `unmasked_sum` refuse otherwise. Then the integer sum lies
strictly between -2^63 and 2^63, where residues modulo 2^64 and integers are in one-to-one correspondence (two's
complement), and so the residue that the server computes is the integer sum, bit for bit. L comes from public numbers:
`integer_noise.largest_entry` = n_max x C x scale + 40 standard deviations of a share. The first part is enforced by
clamping before the noise. The second is exceeded with probability below 1e-346 in each entry (9e-344 in any of 12,000),
whatever the patients, and is then refused rather than cut off; that adds as much to delta, which is nothing that a
float64 could tell. (A sum that did wrap would be wrong, and as private: reduction modulo 2^64 is post-processing of the
integer sum.)

Promises, if X25519, HKDF-SHA256 and ChaCha20 are what they are taken for: to whoever has no key, the masked vectors of
an attempt tell their sum if its whole roster answered it, and otherwise nothing. No key is needed for that sum: whoever
sees all the vectors can add them up. Whoever has the private key of one hospital takes off every mask of that hospital:
each of its vectors that was ever recorded is open, also a lone answer to an attempt that failed, and of the others'
vectors their sum. So with the keys of t hospitals one knows their vectors and the sum of the others'. A key is of one
plan: whoever has it opens nothing of another. Not promised: that the sum is right (a hospital can add what it likes).

Sources: Bonawitz et al., CCS 2017 (pairwise masks; their secret sharing is replaced by attempts:
docs/secure-aggregation.md); RFC 7748, 5869, 8439, through the package cryptography. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.mask_graph import EVERYBODY, MaskGraph

_DOMAIN = "oncofed masking 3"
_CIRCLE_DOMAIN = "oncofed circle of masks 1"
_SUMMARY_DOMAIN = "oncofed masking of summaries 3"
_KEY_BYTES = 32


@dataclass(frozen=True)
class Attempt:
    """What the masks belong to.

    plan_hash     hexadecimal.
    release       the number of a round, or the name of a summary.
    roster        the hospitals asked, sorted and distinct.
    content_hash  of what they were asked about: `content_hash_of` the weights that came with the question.
    """

    plan_hash: str
    release: int | str
    attempt: int
    roster: tuple[str, ...]
    content_hash: str

    @property
    def domain(self) -> tuple[str, str, str]:
        """What sets the streams of this attempt apart from those of all others of the plan with this roster."""
        domain = _DOMAIN if isinstance(self.release, int) else _SUMMARY_DOMAIN
        return domain, str(self.release), str(self.attempt)


@dataclass(frozen=True, eq=False)
class MaskedVector:
    """What leaves one hospital. words: (parameters,) uint64; uniform to anybody who lacks the keys."""

    site: str
    attempt: Attempt
    words: NDArray[np.uint64]


def content_hash_of(weights: NDArray[np.float64]) -> str:
    """SHA-256 of the weights, bit for bit: the same at the server and at every hospital that was sent the same."""
    return hashlib.sha256(np.ascontiguousarray(weights, dtype="<f8").tobytes()).hexdigest()


def new_masking_key() -> bytes:
    """32 bytes from the operating system: a private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_masking_key_of(private_key: bytes) -> bytes:
    """32 bytes."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def refuse_roster(roster: Sequence[str], *, plan_roster: Sequence[str], own: str, dropouts: int) -> None:
    """Raises PrivacyRefusal unless the hospital `own` may answer an attempt among `roster`.

    It may when the roster is sorted and distinct, within the plan's, has at least K - dropouts members and two, and
    holds `own`.
    """
    reasons = _faults_of_roster(tuple(roster), tuple(plan_roster), dropouts)
    if own not in roster:
        reasons = (*reasons, "its roster does not hold this hospital")
    if reasons:
        raise PrivacyRefusal("this attempt is refused: " + "; ".join(reasons))


@lru_cache(maxsize=8)  # a thousand simulated hospitals are asked among the same thousand names
def _faults_of_roster(roster: tuple[str, ...], plan_roster: tuple[str, ...], dropouts: int) -> tuple[str, ...]:
    """Whichever hospital asks."""
    reasons = []
    if not _is_sorted(roster):
        reasons.append("its roster is not sorted and distinct")
    if not set(roster) <= set(plan_roster):
        reasons.append("its roster names somebody whom the plan does not")
    if not 0 <= dropouts < len(plan_roster):
        reasons.append("the dropouts allowed are not between 0 and the plan's sites")
    if len(set(roster)) < len(plan_roster) - dropouts:
        reasons.append(
            f"its roster has fewer than the {len(plan_roster) - dropouts} members that the noise is sized for"
        )
    if len(set(roster)) < 2:
        reasons.append("a hospital by itself has nobody to hide its part among")
    return tuple(reasons)


class MaskingPairs:
    """One hospital's end of what it shares with each other hospital of a plan, for all rounds and attempts.

    own, private_key  the hospital and its key, which stays in here.
    public_keys       of the hospitals of the plan whose key is known, this one's among them; 32 bytes each, distinct.
    graph             with whom it masks, of an attempt's roster.

    The exchange with another hospital is made at the first need of it and kept: it costs as much as a stream of 100
    kB. Raises PrivacyRefusal when two hospitals have one key, or another is named for this one.
    """

    def __init__(
        self, *, own: str, private_key: bytes, public_keys: Mapping[str, bytes], graph: MaskGraph = EVERYBODY
    ) -> None:
        if len(set(public_keys.values())) != len(public_keys):
            raise PrivacyRefusal("two hospitals of the plan have the same masking key")
        if public_keys.get(own) != public_masking_key_of(private_key):
            raise PrivacyRefusal("another masking key is named for this hospital than it holds")
        self.own = own
        self.graph = graph
        self._private_key = X25519PrivateKey.from_private_bytes(private_key)
        self.public_keys = dict(public_keys)
        self._secrets: dict[str, bytes] = {}
        self._hashed: tuple[tuple[str, ...], str] = ((), "")

    def secret(self, peer: str) -> bytes:
        """32 bytes, the same at the peer. Raises PrivacyRefusal for a key that is none, or weak."""
        if peer not in self._secrets:
            try:
                public_key = X25519PublicKey.from_public_bytes(self.public_keys[peer])
                self._secrets[peer] = self._private_key.exchange(public_key)
            except ValueError:  # of another length, or a point of small order, with which everybody shares the secret 0
                raise PrivacyRefusal("something is named that is no masking key") from None
        return self._secrets[peer]

    def peers(self, attempt: Attempt) -> tuple[str, ...]:
        """With whom this hospital masks in this attempt. Of all of these, and of the whole roster, keys are known."""
        keys = self.hash_of_keys(attempt.roster)
        seed = hashlib.sha256(_framed((_CIRCLE_DOMAIN, attempt.plan_hash, keys))).digest()
        return self.graph.peers(self.own, attempt.roster, seed=seed)

    def hash_of_keys(self, roster: tuple[str, ...]) -> str:
        """SHA-256 of the roster's public keys, in its order: the same at whoever was told the same."""
        if self._hashed[0] != roster:  # of a thousand keys it takes as long as some streams
            joined = b"".join(self.public_keys[site] for site in roster)
            self._hashed = (roster, hashlib.sha256(joined).hexdigest())
        return self._hashed[1]


def masked(vector: NDArray[np.int64], *, pairs: MaskingPairs, attempt: Attempt, largest_entry: int) -> MaskedVector:
    """The vector (which must hold its noise already) plus and minus the streams shared with its peers of the roster.

    largest_entry  the L of the proof that no sum wraps; from public numbers.

    Raises PrivacyRefusal when the attempt's roster is not one to be masked for, a key is missing or weak, or an entry
    is larger than `largest_entry`. Whether the roster is large enough is `refuse_roster`'s question.
    """
    own = pairs.own
    _refuse_unmaskable(pairs, attempt)
    words = residues(vector, sites=len(attempt.roster), largest_entry=largest_entry)
    streams = _Streams(attempt, pairs, len(vector))
    for peer in pairs.peers(attempt):
        combine = np.add if own < peer else np.subtract
        combine(words, streams.shared(peer), out=words)
    words.setflags(write=False)
    return MaskedVector(own, attempt, words)


def residues(vector: NDArray[np.int64], *, sites: int, largest_entry: int) -> NDArray[np.uint64]:
    """The integers modulo 2^64, without any mask: nothing is hidden yet. Refuses what `masked` refuses of a vector."""
    _refuse_wrapping(sites, largest_entry)
    if vector.dtype != np.int64 or vector.ndim != 1:
        raise PrivacyRefusal("only a vector of 64-bit integers can be masked")
    if ((vector > largest_entry) | (vector < -largest_entry)).any():
        raise PrivacyRefusal("an entry is larger than the range that the plan's public numbers allow")
    return vector.astype(np.uint64)  # two's complement: a negative integer is its residue modulo 2^64


def unmasked_sum(vectors: Sequence[MaskedVector], *, largest_entry: int) -> NDArray[np.int64]:
    """(parameters,): the sum of the vectors that were masked.

    Raises PrivacyRefusal unless these are one vector from each member of one and the same attempt's roster, and when
    the sum lies outside of what such vectors can add up to. Masks that did not cancel (another key, a changed byte)
    give uniform numbers, each of which stays inside by chance with probability K L / 2^63 only.
    """
    if not vectors or any(vector.attempt != vectors[0].attempt for vector in vectors):
        raise PrivacyRefusal("masks cancel only within one attempt of one round of one plan, with one roster")
    roster = vectors[0].attempt.roster
    if tuple(sorted(vector.site for vector in vectors)) != roster:
        raise PrivacyRefusal("masks cancel only in the sum over the attempt's whole roster, each member once")
    if len({vector.words.shape for vector in vectors}) != 1 or any(v.words.dtype != np.uint64 for v in vectors):
        raise PrivacyRefusal("masked vectors are 64-bit words of one length")
    _refuse_wrapping(len(roster), largest_entry)
    total = np.zeros_like(vectors[0].words)
    for vector in vectors:
        total = total + vector.words
    integers = total.view(np.int64)
    largest_sum = len(roster) * largest_entry
    if ((integers > largest_sum) | (integers < -largest_sum)).any():
        raise PrivacyRefusal("the masks did not cancel: somebody used another key, or the bytes were changed")
    return integers


def _refuse_wrapping(sites: int, largest_entry: int) -> None:
    if largest_entry < 0 or sites * largest_entry >= 2**63:
        raise PrivacyRefusal("the sum of all sites may not fit into 64 bits: fewer scale bits, please")


def _refuse_unmaskable(pairs: MaskingPairs, attempt: Attempt) -> None:
    roster = attempt.roster
    if not _is_sorted(roster) or pairs.own not in roster or len(roster) < 2:
        raise PrivacyRefusal("masks need a sorted roster of at least two distinct hospitals, one's own among them")
    if not set(roster) <= pairs.public_keys.keys():
        raise PrivacyRefusal("no masking key is known of a hospital of the roster")


@lru_cache(maxsize=8)
def _is_sorted(names: tuple[str, ...]) -> bool:
    return all(one < other for one, other in pairwise(names))


class _Streams:
    """The streams of one hospital in one attempt, each the same at both ends of a pair."""

    def __init__(self, attempt: Attempt, pairs: MaskingPairs, size: int) -> None:
        self._pairs = pairs
        self._salt = _framed((attempt.plan_hash,))
        self._info = _framed(
            (*attempt.domain, _hash_of_roster(attempt.roster), pairs.hash_of_keys(attempt.roster), attempt.content_hash)
        )
        self._zeros = bytes(8 * size)
        self._stream = bytearray(8 * size)
        self._words = np.frombuffer(self._stream, dtype="<u8")

    def shared(self, peer: str) -> NDArray[np.uint64]:
        """(size,) uint64, valid until the next call."""
        info = self._info + _framed(sorted((self._pairs.own, peer)))
        key = HKDF(SHA256(), length=_KEY_BYTES, salt=self._salt, info=info).derive(self._pairs.secret(peer))
        # One key for one stream, so a nonce of zeros; 16 bytes are ChaCha20's block counter and nonce.
        written = (
            Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update_into(self._zeros, self._stream)
        )
        assert written == len(self._stream), "a stream cipher writes as much as it reads"
        return self._words.astype(np.uint64, copy=False)


@lru_cache(maxsize=8)  # that of a hospital's rounds is the same in nearly all
def _hash_of_roster(roster: tuple[str, ...]) -> str:
    return hashlib.sha256(_framed(roster)).hexdigest()


def _framed(parts: Sequence[str]) -> bytes:
    """Each part with its length before it, so that no two lists of parts give the same bytes.

    _framed(a) + _framed(b) is _framed of both lists together.
    """
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
