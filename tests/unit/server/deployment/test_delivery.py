"""Is the released model the same after a crash, and is it remembered who has it?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from flwr.serverapp import Grid
from tests.hardship import no_file_longer_than

from oncofed.errors import RecordUnwritable
from oncofed.protocol.messages import DeliveryState
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.server.deployment import delivery
from oncofed.server.deployment.delivery import MODEL, RELEASE, deliver_model, release_model
from oncofed.server.rounds.state import FederationState

KEY = new_signing_key()
PLAN = "ab" * 32
STATE = FederationState(round=3, weights=np.linspace(-1, 1, 6))
NODES = {"Bonn": 1, "Essen": 2}


def release(folder: Path, state: FederationState = STATE) -> SignedModel:
    return release_model(folder, state, plan_hash=PLAN, signing_key=KEY)


def deliver(
    folder: Path, model: SignedModel, patch: pytest.MonkeyPatch, states: Mapping[str, DeliveryState]
) -> dict[str, str]:
    """To hospitals of which those without a state are away."""

    def ask_all(*_: Any, nodes: Mapping[str, int], **__: Any) -> tuple[Mapping[str, DeliveryState], dict[str, str]]:
        return states, {site: "no answer within 120 s" for site in nodes if site not in states}

    patch.setattr(delivery, "ask_all", ask_all)
    return deliver_model(cast(Grid, None), folder, model, NODES, plan_hash=PLAN, answer_keys={}, rounds=3)


def noted(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / RELEASE).read_bytes())
    assert isinstance(found, dict)
    return found


def test_what_is_released_is_on_the_disk_and_verifies(tmp_path: Path) -> None:
    model = release(tmp_path)
    fields = noted(tmp_path)
    kept = SignedModel((tmp_path / MODEL).read_bytes(), bytes.fromhex(fields["signature"]))
    weights = verified_weights(kept, public_key=public_key_of(KEY), plan_hash=PLAN, parameters=6)
    np.testing.assert_array_equal(weights, STATE.weights)
    assert fields["model_sha256"] == model.hash
    assert sorted(path.name for path in tmp_path.iterdir()) == [MODEL, RELEASE]


def test_after_a_crash_it_is_the_same_model_byte_for_byte(tmp_path: Path) -> None:
    first = release(tmp_path)
    (tmp_path / RELEASE).unlink()
    (tmp_path / f"{MODEL}.unfinished").write_bytes(b"half")
    again = release(tmp_path)
    assert (again.content, again.signature) == (first.content, first.signature)
    assert noted(tmp_path)["model_sha256"] == first.hash


def test_a_torn_release_note_is_written_anew(tmp_path: Path) -> None:
    release(tmp_path)
    (tmp_path / RELEASE).write_bytes(b'{"model_sh')
    assert noted_after(tmp_path)["delivered"] == {}


def noted_after(folder: Path) -> dict[str, Any]:
    release(folder)
    return noted(folder)


def test_a_hospital_that_has_the_model_still_has_it_when_it_is_away_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = release(tmp_path)
    first = deliver(tmp_path, model, monkeypatch, {"Bonn": DeliveryState.ACCEPTED})
    assert first == {"Bonn": "accepted", "Essen": "no answer within 120 s"}
    again = release(tmp_path)  # what `resume` does first
    assert deliver(tmp_path, again, monkeypatch, {"Essen": DeliveryState.ACCEPTED}) == {
        "Bonn": "accepted",
        "Essen": "accepted",
    }
    assert noted(tmp_path)["delivered"] == {"Bonn": "accepted", "Essen": "accepted"}


def test_what_it_says_now_counts_and_another_model_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = release(tmp_path)
    deliver(tmp_path, model, monkeypatch, {"Bonn": DeliveryState.ACCEPTED, "Essen": DeliveryState.ACCEPTED})
    deliver(tmp_path, model, monkeypatch, {"Bonn": DeliveryState.REFUSED})
    assert noted(tmp_path)["delivered"] == {"Bonn": "refused", "Essen": "accepted"}
    release(tmp_path, FederationState(round=3, weights=np.zeros(6)))
    assert noted(tmp_path)["delivered"] == {}


def test_a_full_disk_releases_nothing(tmp_path: Path) -> None:
    with no_file_longer_than(20), pytest.raises(RecordUnwritable):
        release(tmp_path)
    assert not (tmp_path / MODEL).exists()
    assert not (tmp_path / RELEASE).exists()
