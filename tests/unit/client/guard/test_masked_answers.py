"""What may leave as masked: words that look as masks make them, of the right number, and kept bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oncofed.client.guard.egress import (
    MASKING_KEY,
    EgressViolation,
    Rule,
    contribution_of,
    masking_key_of,
    only_a_vector,
)
from oncofed.client.records.answers import FolderAnswers
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.wire_form import contribution_in, serialised

WORDS = np.random.default_rng(5).integers(0, 2**64, 500, dtype=np.uint64)
REQUEST = ContributeRequest("ab" * 32, "Bonn", 1, 0, ("Bonn", "Essen"), np.zeros(500))


def test_masked_words_leave_and_are_called_so() -> None:
    leaving = contribution_of(500)(serialised(only_a_vector(Contribution(WORDS))))
    assert (leaving.what, leaving.numbers) == ("masked", 500)


@pytest.mark.parametrize(
    "words",
    [
        np.arange(500),
        np.arange(-250, 250),
        np.arange(-600, -100),
        np.random.default_rng(1).integers(-(2**40), 2**40, 500),
    ],
    ids=["counts", "either sign", "all below zero", "a sum with its noise"],
)
def test_a_sum_whose_mask_was_forgotten_is_held_back(words: np.ndarray) -> None:
    with pytest.raises(EgressViolation) as held:
        contribution_of(500)(serialised(only_a_vector(Contribution(words.astype(np.int64).view(np.uint64)))))
    assert held.value.rule is Rule.NOT_MASKED


def test_another_number_of_words_is_held_back() -> None:
    with pytest.raises(EgressViolation) as held:
        contribution_of(499)(serialised(only_a_vector(Contribution(WORDS))))
    assert held.value.rule is Rule.ANOTHER_LENGTH


@pytest.mark.parametrize(("of_key", "of_signature"), [(31, 65), (33, 63), (64, 32), (0, 96)])
def test_a_masking_key_has_its_own_length_and_its_signature_too(of_key: int, of_signature: int) -> None:
    """Together they are as long as they should be, so that a byte of something else would not show by that."""
    reply = pb.MaskingKeysReply()
    reply.key.site, reply.key.public_key, reply.key.signature = "Bonn", bytes(32), bytes(64)
    assert masking_key_of("Bonn")(serialised(reply)).what == MASKING_KEY
    reply.key.public_key, reply.key.signature = bytes(of_key), bytes(of_signature)
    with pytest.raises(EgressViolation) as held:
        masking_key_of("Bonn")(serialised(reply))
    assert held.value.rule is Rule.ANOTHER_KEY


def test_replies_carry_the_words_bit_for_bit() -> None:
    contribution = contribution_in(serialised(only_a_vector(Contribution(WORDS))))
    assert contribution.vector.dtype == np.uint64
    assert contribution.vector.tolist() == WORDS.tolist()


def test_a_kept_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    FolderAnswers(tmp_path).keep(Contribution(WORDS), identity="one", request_hash=REQUEST.hash, charged=True)
    found = FolderAnswers(tmp_path).find(REQUEST.hash)
    assert found is not None
    assert found.vector.dtype == np.uint64
    assert found.vector.tolist() == WORDS.tolist()
