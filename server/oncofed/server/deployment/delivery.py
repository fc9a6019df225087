"""What becomes of the final weights? A signed model, kept beside the study and given to every hospital.

``model.safetensors`` (see `protocol.model_file`) and ``release.json`` (hash, signature, who took it) are on the disk
before anything is sent. For a hospital that could not be reached, `oncofed coordinator resume` it: of a finished study
only the delivery is left to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from flwr.serverapp import Grid

from oncofed.durable import replace_durably
from oncofed.protocol.messages import Delivery, DeliveryState
from oncofed.protocol.model_file import SignedModel, signed_model
from oncofed.protocol.wire_form import Method, delivery_question, delivery_state_in
from oncofed.server.deployment.asking import ask_all
from oncofed.server.rounds.state import FederationState

MODEL = "model.safetensors"
RELEASE = "release.json"
_ANSWER_SECONDS = 120.0


def release_model(study: Path, state: FederationState, *, plan_hash: str, signing_key: bytes) -> SignedModel:
    """Sign the model and keep it. Signed again after a crash, it is the same bytes: Ed25519 has no randomness."""
    model = signed_model(state.weights, plan_hash=plan_hash, signing_key=signing_key)
    replace_durably(study / MODEL, model.content)
    _write_release(study, model, plan_hash=plan_hash, rounds=state.round, delivered=_accepted(study, model))
    return model


def deliver_model(
    grid: Grid,
    study: Path,
    model: SignedModel,
    nodes: Mapping[str, int],
    *,
    plan_hash: str,
    answer_keys: Mapping[str, bytes],
    rounds: int,
) -> dict[str, str]:
    """What each hospital said of the model, in words; noted in release.json. answer_keys: of the plan.

    A hospital that accepted this very model earlier, and is away now, has it still.
    """
    before = _accepted(study, model)
    states, silent = ask_all(
        grid,
        delivery_question(Delivery(plan_hash, model.content, model.signature)),
        method=Method.DELIVER_MODEL,
        nodes=nodes,
        answer_keys=answer_keys,
        decode=delivery_state_in,
        timeout_seconds=_ANSWER_SECONDS,
    )
    delivered = {
        site: states[site].value if site in states else before.get(site, silent.get(site, "")) for site in nodes
    }
    _write_release(study, model, plan_hash=plan_hash, rounds=rounds, delivered=delivered)
    return delivered


def _accepted(study: Path, model: SignedModel) -> dict[str, str]:
    """Who accepted this model, as an earlier delivery noted."""
    try:
        release = json.loads((study / RELEASE).read_bytes())
        if release["model_sha256"] != model.hash:
            return {}
        return {site: word for site, word in release["delivered"].items() if word == DeliveryState.ACCEPTED.value}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}


def _write_release(
    study: Path, model: SignedModel, *, plan_hash: str, rounds: int, delivered: Mapping[str, str]
) -> None:
    fields = {
        "plan_hash": plan_hash,
        "rounds": rounds,
        "model_sha256": model.hash,
        "signature": model.signature.hex(),
        "delivered": dict(delivered),
    }
    replace_durably(study / RELEASE, json.dumps(fields, indent=2, sort_keys=True).encode() + b"\n")
