"""``python -m tests.end_to_end.hostile_relay_app NODE``: the relay of a hospital that lies when a test asks it to.

While there is a file NODE/lie, the guard's answer is replaced by what the file names: ``nan``, ``huge`` or ``shape``.
Importing it loosens the relay's codec in this process, so no test imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flwr.app import Context, RecordDict
from tests.end_to_end.failing_site import lie_file

from oncofed.client import relay
from oncofed.client.node.folder import NodeFolder
from oncofed.client.node.superexec import main
from oncofed.client.relay import build_node_app
from oncofed.client.service.guard_channel import SOCKET_VARIABLE, GuardChannel, channel_from_environment
from oncofed.protocol.codec import encode_contribution
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)

LIES = {
    "nan": lambda vector: np.full_like(vector, np.nan),
    "huge": lambda vector: np.full_like(vector, 1e300),
    "shape": lambda vector: vector[:-1],
}


@dataclass(frozen=True)
class LyingGuard:
    """The hospital's guard, except for its contributions."""

    honest: GuardChannel
    lie: Path

    def contribute(self, request: ContributeRequest) -> Contribution:
        answer = self.honest.contribute(request)
        return Contribution(LIES[self.lie.read_text()](answer.vector)) if self.lie.exists() else answer

    def summarise(self, request: SummariseRequest) -> Contribution:
        return self.honest.summarise(request)

    def offer_plan(self, document: bytes) -> PlanState:
        return self.honest.offer_plan(document)

    def plan_status(self, plan_hash: str) -> PlanState:
        return self.honest.plan_status(plan_hash)

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        return self.honest.deliver_model(model, signature, plan_hash)

    def describe(self) -> NodeDescription:
        return self.honest.describe()


def encode_whatever(answer: Contribution, *, to: ContributeRequest) -> RecordDict:
    """The relay's codec would not send another shape."""
    return encode_contribution(answer, to=replace(to, weights=answer.vector))


setattr(relay, "encode_contribution", encode_whatever)  # noqa: B010 - a name that the relay imports, and does not offer


def connect(_: Context) -> LyingGuard:
    # The guard's socket lies in NODE/run.
    node = NodeFolder(Path(os.environ[SOCKET_VARIABLE]).parents[1])
    return LyingGuard(channel_from_environment(), lie_file(node))


app = build_node_app(connect)

if __name__ == "__main__":
    main(relay_app="tests.end_to_end.hostile_relay_app:app")
