"""Does a request's hash cover all of it, and only it?"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oncofed.protocol.messages import ContributeRequest

REQUEST = ContributeRequest(
    plan_hash="ab", site="Köln", round=1, attempt=0, roster=("Essen", "Köln"), weights=np.array([1.0, -0.0])
)


def test_the_hash_is_sha_256_of_the_parts_with_their_lengths_and_of_the_weights() -> None:
    written_out = "2:ab4:Köln1:11:05:Essen4:Köln"
    expected = hashlib.sha256(written_out.encode() + np.array([1.0, -0.0]).tobytes()).hexdigest()
    assert REQUEST.hash == expected
    assert replace(REQUEST, weights=np.array([1.0, 9.0, -0.0])[::2]).hash == expected


@pytest.mark.parametrize(
    "change",
    [
        {"plan_hash": "ac"},
        {"site": "Essen"},
        {"round": 2},
        {"attempt": 1},
        {"roster": ("Essen",)},
        {"roster": ("Köln", "Essen")},
        {"roster": ("Essen4:Köln",)},
        {"weights": np.array([1.0, 0.0])},
        {"weights": np.array([1.0])},
        {"round": 11, "attempt": 0, "plan_hash": "ab"},
    ],
)
def test_any_change_gives_another_hash(change: dict[str, Any]) -> None:
    assert replace(REQUEST, **change).hash != REQUEST.hash
