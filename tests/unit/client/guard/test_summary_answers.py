"""What may leave as the answer to a summary: noised, masked, or said to hide nothing; and what is noted of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.node_guards import REQUEST, SUMMARY, HonestGuard, HostileGuard, served

from oncofed.client.guard.egress import EgressViolation, Rule, contribution_of, only_a_vector, summary_of
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import Contribution
from oncofed.protocol.wire_form import WrongForm, parsed, question_of, serialised, summarise_request

COUNTS = np.array([12.0, 0.0, 47.0, 3.0, 0.0])


def checked(contribution: Contribution, *, cells: int = 5) -> tuple[str, int]:
    leaving = summary_of(cells)(serialised(only_a_vector(contribution)))
    return leaving.what, leaving.numbers


def test_noised_and_masked_sums_and_declared_counts_leave() -> None:
    words = np.random.default_rng(5).integers(0, 2**64, 500, dtype=np.uint64)
    assert checked(Contribution(COUNTS + 0.3)) == ("vector", 5)
    assert checked(Contribution(words), cells=500) == ("masked", 500)
    assert checked(Contribution(COUNTS, noised=False)) == ("counts", 5)


HELD_BACK: dict[str, tuple[Contribution, int, Rule]] = {
    "counts whose noise was forgotten": (Contribution(COUNTS), 5, Rule.WHOLE_NUMBERS),
    "another length": (Contribution(COUNTS + 0.3), 6, Rule.ANOTHER_LENGTH),
    "another length of counts": (Contribution(COUNTS, noised=False), 6, Rule.ANOTHER_LENGTH),
    "counts that are not finite": (Contribution(np.full(5, np.inf), noised=False), 5, Rule.NOT_FINITE),
    "a sum whose mask was forgotten": (
        Contribution(np.arange(500, dtype=np.int64).view(np.uint64), noised=False),
        500,
        Rule.NOT_MASKED,
    ),
}


@pytest.mark.parametrize(("contribution", "cells", "rule"), HELD_BACK.values(), ids=HELD_BACK)
def test_other_answers_are_held_back(contribution: Contribution, cells: int, rule: Rule) -> None:
    with pytest.raises(EgressViolation) as held:
        checked(contribution, cells=cells)
    assert held.value.rule is rule


def test_a_round_has_no_answer_that_hides_nothing() -> None:
    with pytest.raises(EgressViolation) as held:
        contribution_of(5)(serialised(only_a_vector(Contribution(COUNTS, noised=False))))
    assert held.value.rule is Rule.NOT_NOISED
    with served(HostileGuard(lambda: Contribution(COUNTS, noised=False))) as here:
        with pytest.raises(RequestRefused) as refused:
            here.asker().contribute(REQUEST)
        assert refused.value.code is RefusalCode.INTERNAL
        answer = here.asker().summarise(SUMMARY)
        assert (answer.vector.tolist(), answer.noised) == (COUNTS.tolist(), False)
        first, second = here.audit()
    assert first.code == "not_noised"
    assert [left.name for left in second.left] == ["evaluation.counts"]


def test_the_audit_log_names_the_summary_that_left_and_its_size() -> None:
    with served(HonestGuard()) as here:
        here.asker().summarise(SUMMARY)
        (entry,) = here.audit()
    assert (entry.event, entry.plan_hash, entry.round, entry.attempt) == ("summarise", SUMMARY.plan_hash, None, 1)
    assert [(left.name, left.shape, left.size_bytes) for left in entry.left] == [("evaluation.vector", (5,), 40)]


def test_a_request_is_the_same_on_both_sides_of_the_socket() -> None:
    assert summarise_request(question_of(SUMMARY)).hash == SUMMARY.hash


@pytest.mark.parametrize("change", [{"cells": 0}, {"cells": -1}, {"cells": 2**62}, {"weights": b"1234567"}])
def test_what_no_answer_could_fit_is_no_question(change: dict[str, Any]) -> None:
    message = parsed(pb.SummariseRequest, question_of(SUMMARY))
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(WrongForm):
        summarise_request(serialised(message))
