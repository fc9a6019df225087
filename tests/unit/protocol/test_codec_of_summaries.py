"""Does exactly a summary's question and answer pass the codec, bit for bit, and nothing else?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.protocol.test_codec import REQUEST as OF_ROUND
from tests.unit.protocol.test_codec import over_the_wire

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import (
    decode_answer,
    decode_request,
    decode_summary_request,
    encode_contribution,
    encode_request,
    question_of,
)
from oncofed.protocol.messages import Contribution, SummariseRequest

REQUEST = SummariseRequest("ab12", "Köln/Süd", "evaluation", 1, ("Essen", "Köln/Süd"), np.arange(4.0), cells=7)


def test_a_request_arrives_as_it_was_sent() -> None:
    received = decode_summary_request(over_the_wire(encode_request(REQUEST)))
    assert received.identity == REQUEST.identity
    assert received.hash == REQUEST.hash
    assert received.cells == 7


def test_an_answer_is_as_long_as_the_cells_and_not_as_the_weights() -> None:
    question, received = decode_answer(encode_contribution(Contribution(np.ones(7)), to=REQUEST))
    assert question == question_of(REQUEST) != question_of(OF_ROUND)
    assert received.vector.size == 7
    with pytest.raises(TypeError):
        encode_contribution(Contribution(np.ones(4)), to=REQUEST)


def test_a_question_for_a_round_is_none_for_a_summary_and_the_other_way_round() -> None:
    for read, request in ((decode_summary_request, OF_ROUND), (decode_request, REQUEST)):
        with pytest.raises(RequestRefused) as refused:
            read(encode_request(request))
        assert refused.value.code is RefusalCode.MALFORMED_WEIGHTS


@pytest.mark.parametrize(
    "change",
    [
        {"cells": 0},
        {"cells": 10**9},
        {"cells": True},
        {"cells": 7.0},
        {"attempt": "1"},
        {"summary": 3},
        {"weights": np.array([np.nan])},
    ],
)
def test_other_questions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused) as refused:
        decode_summary_request(encode_request(replace(REQUEST, **change)))
    assert refused.value.code is RefusalCode.MALFORMED_WEIGHTS
