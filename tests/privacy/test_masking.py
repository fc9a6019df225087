"""Do masks cancel in the sum over an attempt's whole roster, bit for bit, and in nothing else?

Statistical tests fail by chance with probability below 1e-6; keys are fresh in each run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from oncofed.errors import PrivacyRefusal
from oncofed.privacy import masking
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.masking import (
    Attempt,
    MaskedVector,
    MaskingPairs,
    masked,
    new_masking_key,
    public_masking_key_of,
    refuse_roster,
    unmasked_sum,
)
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.releases import Masked
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.simulations.audit.pair_streams import without_pair

BY_CHANCE = 1e-6
PLAN_HASH = "ab" * 32
IntArray = NDArray[np.int64]
WordArray = NDArray[np.uint64]

LOW_ORDER_POINTS = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
]


@dataclass(frozen=True)
class Consortium:
    """Hospitals with fresh keys."""

    private_keys: Mapping[str, bytes]
    public_keys: Mapping[str, bytes]

    @property
    def roster(self) -> tuple[str, ...]:
        return tuple(self.private_keys)

    def pairs(self, site: str, *, key: bytes | None = None) -> MaskingPairs:
        private_key = self.private_keys[site] if key is None else key
        return MaskingPairs(own=site, private_key=private_key, public_keys=self.public_keys)

    def masked(
        self, vector: IntArray, site: str, attempt: Attempt, *, largest_entry: int = 2**40, key: bytes | None = None
    ) -> MaskedVector:
        return masked(
            vector,
            pairs=self.pairs(site, key=key),
            attempt=attempt,
            largest_entry=largest_entry,
        )

    def all_masked(
        self, vectors: Mapping[str, IntArray], attempt: Attempt, *, largest_entry: int = 2**40
    ) -> list[MaskedVector]:
        return [self.masked(vectors[site], site, attempt, largest_entry=largest_entry) for site in attempt.roster]


def consortium_of(sites: int) -> Consortium:
    private = {f"site {number:03d}": new_masking_key() for number in range(sites)}
    return Consortium(private, {site: public_masking_key_of(key) for site, key in private.items()})


FIVE = consortium_of(5)
CONTENT_HASH = "12" * 32
ATTEMPT = Attempt(PLAN_HASH, release=3, attempt=1, roster=FIVE.roster, content_hash=CONTENT_HASH)
VECTORS = {site: np.arange(-20_000, 20_000) * (number + 1) for number, site in enumerate(FIVE.roster)}


def words_of(total: Sequence[MaskedVector]) -> WordArray:
    return np.asarray(np.sum(np.stack([vector.words for vector in total]), axis=0, dtype=np.uint64))


def p_of_uniform(words: WordArray) -> float:
    """The smallest p-value over the eight bytes of a word, times eight."""
    columns = words.view(np.uint8).reshape(-1, 8).T
    return float(8 * min(stats.chisquare(np.bincount(column, minlength=256)).pvalue for column in columns))


def stream_of(consortium: Consortium, own: str, peer: str, *, size: int) -> WordArray:
    return masking._Streams(ATTEMPT, consortium.pairs(own), size).shared(peer)


# --- what is opened


def exact_sum(vectors: Mapping[str, IntArray]) -> list[int]:
    """In Python's integers, which do not wrap."""
    return [sum(entries) for entries in zip(*(vector.tolist() for vector in vectors.values()), strict=True)]


def extreme_vectors(sites: Sequence[str], *, limit: int, size: int, seed: int) -> dict[str, IntArray]:
    """Entries drawn, at the limits and next to them; the first column is at one limit everywhere."""
    rng = np.random.default_rng(seed)
    edges = np.array([-limit, -limit + 1, -1, 0, 1, limit - 1, limit])
    vectors = {}
    for site in sites:
        drawn = rng.integers(-limit, limit, size=size, endpoint=True)
        drawn = np.where(rng.random(size) < 0.5, rng.choice(edges, size), drawn)
        drawn[:2] = limit, -limit
        vectors[site] = drawn
    return vectors


@settings(deadline=None, max_examples=60)
@given(
    sites=st.integers(2, 9),
    absent=st.integers(0, 3),
    size=st.integers(2, 60),
    round_=st.integers(1, 10**9),
    attempt=st.integers(0, 10**9),
    seed=st.integers(0, 2**32),
)
def test_the_masked_sum_is_the_integer_sum_bit_for_bit(
    sites: int, absent: int, size: int, round_: int, attempt: int, seed: int
) -> None:
    consortium = consortium_of(sites + absent)
    roster = tuple(sorted(np.random.default_rng(seed).choice(consortium.roster, sites, replace=False).tolist()))
    limit = (2**63 - 1) // sites
    vectors = extreme_vectors(roster, limit=limit, size=size, seed=seed)
    opened = unmasked_sum(
        consortium.all_masked(vectors, Attempt(PLAN_HASH, round_, attempt, roster, CONTENT_HASH), largest_entry=limit),
        largest_entry=limit,
    )
    assert opened.dtype == np.int64
    assert opened.tolist() == exact_sum(vectors)


@pytest.mark.parametrize("sites", [2, 3, 50, pytest.param(200, marks=pytest.mark.slow)])
def test_the_masked_sum_of_many_sites_is_the_integer_sum(sites: int) -> None:
    consortium = consortium_of(sites)
    limit = (2**63 - 1) // sites
    vectors = extreme_vectors(consortium.roster, limit=limit, size=40, seed=sites)
    attempt = Attempt(PLAN_HASH, 1, 0, consortium.roster, CONTENT_HASH)
    answers = consortium.all_masked(vectors, attempt, largest_entry=limit)
    np.random.default_rng(sites).shuffle(answers)
    assert unmasked_sum(answers, largest_entry=limit).tolist() == exact_sum(vectors)


def test_a_round_from_clipped_sums_to_the_noised_sum_at_the_server() -> None:
    """Rounded, noised, masked, added: the server's numbers are the integer sum, and on the scale those of the sum."""
    release = Masked(SharedIntegerRelease(3.0, 300, 20, 1.0, sites=5, dropouts=1, colluding=1), 0.5, 5000)
    rng = np.random.default_rng(1)
    sums = {site: rng.normal(scale=30.0, size=300) for site in FIVE.roster}
    shares, parts = {}, []
    for site, total in sums.items():

        def mask(integers: IntArray, largest_entry: int, site: str = site) -> WordArray:
            assert largest_entry == release.largest_entry
            shares[site] = integers
            return FIVE.masked(integers, site, ATTEMPT, largest_entry=largest_entry).words

        parts.append((site, release.sealed(BoundedSum(total, 0.5), noise=OperatingSystemNoise(), mask=mask)))
    (opened,) = release.opened(parts, attempt=ATTEMPT)
    assert (opened * release.sum_event.scale).tolist() == exact_sum(shares)
    noise = 0.5 * opened - sum(sums.values())
    sigma = 0.5 * release.noise_of_sum(hospitals=5)
    assert sigma == pytest.approx(0.5 * 3.0 * np.sqrt(5 / 3), rel=1e-6)
    assert 0.7 * sigma < np.std(noise) < 1.3 * sigma  # 300 draws; sums of 30 would be far outside


# --- what is not


def test_a_masked_vector_looks_uniform_and_a_vector_does_not() -> None:
    """Power: one word in 200 left unmasked is noticed."""
    vector = VECTORS[FIVE.roster[2]]
    words = FIVE.masked(vector, FIVE.roster[2], ATTEMPT).words
    assert p_of_uniform(words) > BY_CHANCE
    assert p_of_uniform(vector.view(np.uint64)) < BY_CHANCE
    partly = np.concatenate([FIVE.masked(vector, site, ATTEMPT).words for site in FIVE.roster])
    assert p_of_uniform(partly) > BY_CHANCE
    partly[::200] = np.resize(vector.view(np.uint64), partly[::200].size)
    assert p_of_uniform(partly) < BY_CHANCE


def test_a_masked_vector_does_not_depend_on_its_vector() -> None:
    """The words of two vectors differ by the vectors, exactly: so a known vector gives the stream, and no other."""
    site = FIVE.roster[1]
    one, other = (FIVE.masked(vector, site, ATTEMPT).words for vector in (VECTORS[site], 0 * VECTORS[site]))
    np.testing.assert_array_equal((one - other).view(np.int64), VECTORS[site])
    ranks = stats.spearmanr(one.astype(float), VECTORS[site]).statistic
    assert abs(ranks) < 4.9 / np.sqrt(one.size)


def test_with_one_vector_known_and_one_key_stolen_the_rest_still_looks_uniform() -> None:
    """The stolen key opens its own pairs only."""
    stolen, *others = FIVE.roster
    answers = {vector.site: vector for vector in FIVE.all_masked(VECTORS, ATTEMPT)}
    for victim in others:
        theirs = stream_of(FIVE, stolen, victim, size=len(VECTORS[victim]))
        without = answers[victim].words + theirs  # the larger name subtracts, so this takes that pair's mask off
        assert p_of_uniform(without) > BY_CHANCE
    rest = words_of([answers[site] for site in others])
    known = VECTORS[stolen].view(np.uint64)
    # What does open is the sum over all, and from it the sum of the others': no more than the sum and what was known.
    np.testing.assert_array_equal(
        (rest + answers[stolen].words - known).view(np.int64), sum(VECTORS[site] for site in others)
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_any_subset_short_of_the_roster_looks_uniform_and_is_refused(size: int) -> None:
    answers = FIVE.all_masked(VECTORS, ATTEMPT)
    for subset in combinations(answers, size):
        assert p_of_uniform(words_of(subset)) > BY_CHANCE / 30
        with pytest.raises(PrivacyRefusal, match="whole roster"):
            unmasked_sum(subset, largest_entry=2**40)
    np.testing.assert_array_equal(words_of(answers).view(np.int64), sum(VECTORS.values()))
    assert p_of_uniform(words_of(answers)) < BY_CHANCE


def test_twice_the_same_member_is_refused() -> None:
    answers = FIVE.all_masked(VECTORS, ATTEMPT)
    for set_ in ([*answers, answers[0]], [*answers[:4], answers[0]], []):
        with pytest.raises(PrivacyRefusal):
            unmasked_sum(set_, largest_entry=2**40)


ANOTHER = {
    "round": replace(ATTEMPT, release=4),
    "a summary": replace(ATTEMPT, release="evaluation"),
    "a summary named as the round": replace(ATTEMPT, release="3"),
    "attempt": replace(ATTEMPT, attempt=2),
    "plan": replace(ATTEMPT, plan_hash="cd" * 32),
    "roster": replace(ATTEMPT, roster=FIVE.roster[:4]),
    "weights": replace(ATTEMPT, content_hash="34" * 32),
    "round and attempt exchanged": replace(ATTEMPT, release=1, attempt=3),
}


@pytest.mark.parametrize("another", ANOTHER.values(), ids=ANOTHER)
def test_a_vector_of_another_attempt_leaves_the_sum_uniform_and_is_refused(another: Attempt) -> None:
    site = FIVE.roster[0]
    answers = [FIVE.masked(VECTORS[site], site, another), *FIVE.all_masked(VECTORS, ATTEMPT)[1:]]
    assert p_of_uniform(words_of(answers)) > BY_CHANCE
    with pytest.raises(PrivacyRefusal, match="one attempt"):
        unmasked_sum(answers, largest_entry=2**40)
    # A server that relabels it is stopped by what comes out.
    relabelled = [replace(answers[0], attempt=ATTEMPT), *answers[1:]]
    with pytest.raises(PrivacyRefusal, match="did not cancel"):
        unmasked_sum(relabelled, largest_entry=2**40)


def test_the_masks_of_another_attempt_are_fresh() -> None:
    """Or the difference of two attempts would be that of the vectors."""
    site = FIVE.roster[0]
    one = FIVE.masked(VECTORS[site], site, ATTEMPT).words
    for another in ANOTHER.values():
        assert p_of_uniform(FIVE.masked(VECTORS[site], site, another).words - one) > BY_CHANCE


def test_another_key_leaves_the_sum_uniform_and_is_refused() -> None:
    """Somebody whose plan pins another key for one hospital: a replaced key gives nothing to whoever replaced it."""
    site, victim, key = FIVE.roster[0], FIVE.roster[1], new_masking_key()
    replaced = Consortium({**FIVE.private_keys, victim: key}, {**FIVE.public_keys, victim: public_masking_key_of(key)})
    answers = FIVE.all_masked(VECTORS, ATTEMPT)
    answers[0] = replaced.masked(VECTORS[site], site, ATTEMPT)
    assert p_of_uniform(words_of(answers)) > BY_CHANCE
    with pytest.raises(PrivacyRefusal, match="did not cancel"):
        unmasked_sum(answers, largest_entry=2**40)


def test_two_hospitals_that_were_told_different_keys_of_a_third_share_no_stream() -> None:
    """The third sides with the server and has two keys, so its own streams come off; the pair's must not cancel."""
    third, key = FIVE.roster[2], new_masking_key()
    others = Consortium({**FIVE.private_keys, third: key}, {**FIVE.public_keys, third: public_masking_key_of(key)})
    one, other = FIVE.roster[:2]
    attempt = replace(ATTEMPT, roster=(one, other, third))
    zeros = np.zeros(40_000, dtype=np.int64)

    def left(told: Consortium, site: str) -> NDArray[np.uint64]:
        words, secret = told.masked(zeros, site, attempt).words, told.pairs(third).secret(site)
        return without_pair(words, own=site, peer=third, secret=secret, attempt=attempt, keys=told.public_keys)

    assert not (left(FIVE, one) + left(FIVE, other)).any()
    assert p_of_uniform(left(FIVE, one) + left(others, other)) > BY_CHANCE


def test_changed_bytes_are_refused_when_they_matter() -> None:
    answers = FIVE.all_masked(VECTORS, ATTEMPT)
    words = answers[2].words.copy()
    words[7] ^= np.uint64(1 << 60)
    with pytest.raises(PrivacyRefusal, match="did not cancel"):
        unmasked_sum([*answers[:2], replace(answers[2], words=words), *answers[3:]], largest_entry=2**40)


# --- what a hospital refuses


def test_a_hospital_masks_only_for_a_roster_that_is_sorted_distinct_and_its_own() -> None:
    one, two, three = FIVE.roster[:3]
    for roster in ((), (one,), (two, one), (one, one), (two, three), (one, two, two)):
        with pytest.raises(PrivacyRefusal, match="sorted roster"):
            FIVE.masked(VECTORS[one], one, replace(ATTEMPT, roster=roster))
    with pytest.raises(PrivacyRefusal, match="no masking key"):
        FIVE.masked(VECTORS[one], one, replace(ATTEMPT, roster=(one, "unknown to the plan")))


def test_a_hospital_refuses_keys_that_are_not_its_own_or_shared_or_weak() -> None:
    one, two = FIVE.roster[:2]
    attempt = replace(ATTEMPT, roster=(one, two))
    with pytest.raises(PrivacyRefusal, match="another masking key"):
        FIVE.masked(VECTORS[one], one, attempt, key=FIVE.private_keys[two])
    twice = replace(FIVE, public_keys={**FIVE.public_keys, two: FIVE.public_keys[FIVE.roster[4]]})
    with pytest.raises(PrivacyRefusal, match="same masking key"):
        twice.masked(VECTORS[one], one, attempt)
    for weak in [*LOW_ORDER_POINTS, b"", bytes(31)]:
        with pytest.raises(PrivacyRefusal, match="no masking key"):
            replace(FIVE, public_keys={**FIVE.public_keys, two: weak}).masked(VECTORS[one], one, attempt)


def test_entries_beyond_the_public_range_are_refused_and_not_cut_off() -> None:
    one = FIVE.roster[0]
    for edge in (100, -100):
        FIVE.masked(np.array([0, edge]), one, ATTEMPT, largest_entry=100)
        for beyond in (edge + np.sign(edge), np.iinfo(np.int64).max, np.iinfo(np.int64).min):
            with pytest.raises(PrivacyRefusal, match="range"):
                FIVE.masked(np.array([0, beyond]), one, ATTEMPT, largest_entry=100)


def test_a_range_in_which_a_sum_could_wrap_is_refused() -> None:
    one = FIVE.roster[0]
    limit = (2**63 - 1) // 5
    at_limit = {site: np.full(3, limit) for site in FIVE.roster}
    answers = FIVE.all_masked(at_limit, ATTEMPT, largest_entry=limit)
    assert unmasked_sum(answers, largest_entry=limit).tolist() == [5 * limit] * 3
    for too_large in (limit + 1, 2**63, -1):
        with pytest.raises(PrivacyRefusal, match="64 bits"):
            FIVE.masked(at_limit[one], one, ATTEMPT, largest_entry=too_large)
        with pytest.raises(PrivacyRefusal, match="64 bits"):
            unmasked_sum(answers, largest_entry=too_large)


@pytest.mark.parametrize("vector", [np.zeros(3), np.zeros((2, 2), dtype=np.int64), np.zeros(3, dtype=np.int32)])
def test_only_vectors_of_64_bit_integers_are_masked(vector: IntArray) -> None:
    with pytest.raises(PrivacyRefusal, match="64-bit"):
        FIVE.masked(vector, FIVE.roster[0], ATTEMPT)


def test_vectors_of_different_lengths_are_not_added() -> None:
    answers = FIVE.all_masked(VECTORS, ATTEMPT)
    answers[1] = replace(answers[1], words=answers[1].words[:-1])
    with pytest.raises(PrivacyRefusal, match="one length"):
        unmasked_sum(answers, largest_entry=2**40)


def test_what_was_masked_cannot_be_changed_afterwards() -> None:
    answer = FIVE.masked(VECTORS[FIVE.roster[0]], FIVE.roster[0], ATTEMPT)
    with pytest.raises(ValueError, match="read-only"):
        answer.words[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.site = "another"  # type: ignore[misc]  # that is the point


@settings(deadline=None, max_examples=200)
@given(data=st.data(), sites=st.integers(1, 8), dropouts=st.integers(0, 9))
def test_a_hospital_answers_rosters_of_enough_of_the_plans_members_and_no_others(
    data: st.DataObject, sites: int, dropouts: int
) -> None:
    plan = tuple(f"site {number}" for number in range(sites))
    roster = data.draw(st.lists(st.sampled_from([*plan, "stranger"]), max_size=10).map(tuple))
    if data.draw(st.booleans()):
        roster = tuple(sorted(set(roster)))
    own = data.draw(st.sampled_from(plan))
    fine = (
        list(roster) == sorted(set(roster))
        and set(roster) <= set(plan)
        and max(2, sites - dropouts) <= len(roster)
        and own in roster
        and dropouts < sites
    )
    if fine:
        refuse_roster(roster, plan_roster=plan, own=own, dropouts=dropouts)
    else:
        with pytest.raises(PrivacyRefusal, match="refused"):
            refuse_roster(roster, plan_roster=plan, own=own, dropouts=dropouts)


def test_nobody_answers_a_roster_of_one_however_many_may_be_missing() -> None:
    with pytest.raises(PrivacyRefusal, match="by itself"):
        refuse_roster(("a",), plan_roster=("a", "b", "c"), own="a", dropouts=2)
    refuse_roster(("a", "b"), plan_roster=("a", "b", "c"), own="a", dropouts=2)


def test_a_refused_roster_is_told_with_every_reason() -> None:
    with pytest.raises(PrivacyRefusal) as refusal:
        refuse_roster(("z", "a"), plan_roster=("a", "b", "c", "d"), own="b", dropouts=1)
    for reason in ("not sorted", "the plan does not", "fewer than the 3", "does not hold this hospital"):
        assert reason in str(refusal.value)


def test_names_that_run_together_are_told_apart() -> None:
    """("ab", "c") and ("a", "bc") must not share a stream: parts are framed with their lengths."""
    assert masking._framed(("ab", "c")) != masking._framed(("a", "bc"))
    assert masking._framed(("a", "")) != masking._framed(("a",))


def test_the_stream_is_made_as_the_document_says() -> None:
    """Against the standard library's HMAC and a block of ChaCha20 written out."""
    one, two = FIVE.roster[:2]
    stream = stream_of(FIVE, one, two, size=20)
    their_public_key = X25519PublicKey.from_public_bytes(FIVE.public_keys[one])
    secret = X25519PrivateKey.from_private_bytes(FIVE.private_keys[two]).exchange(their_public_key)

    def framed(*parts: str) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)

    extracted = hmac.new(framed(PLAN_HASH), secret, "sha256").digest()
    roster = hashlib.sha256(framed(*ATTEMPT.roster)).hexdigest()
    keys = hashlib.sha256(b"".join(FIVE.public_keys[site] for site in ATTEMPT.roster)).hexdigest()
    info = framed("oncofed masking 3", "3", "1", roster, keys, CONTENT_HASH, one, two)
    key = hmac.new(extracted, info + b"\x01", "sha256").digest()
    blocks = b"".join(chacha20_block(key, counter) for counter in range(3))
    assert stream.tolist() == [int.from_bytes(blocks[8 * n : 8 * n + 8], "little") for n in range(20)]


def chacha20_block(key: bytes, counter: int) -> bytes:
    """RFC 8439, section 2.3, with a nonce of zeros."""
    words = [int.from_bytes(block, "little") for block in (b"expa", b"nd 3", b"2-by", b"te k")]
    start = [*words, *(int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)), counter, 0, 0, 0]
    state = list(start)

    def turn(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) % 2**32
            mixed = state[z] ^ state[x]
            state[z] = (mixed << bits | mixed >> (32 - bits)) % 2**32

    for _ in range(10):
        for column in range(4):
            turn(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            turn(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return b"".join(((a + b) % 2**32).to_bytes(4, "little") for a, b in zip(state, start, strict=True))
