"""A relay whose guard has no patients: it approves every plan, and answers with the weights it was sent, plus one.

``python -m tests.end_to_end.fake_relay_app NODE`` is a hospital's SuperExec that runs this relay in place of the
installed one. Only tests may do so, and only in this way: nothing in a folder or in the environment can.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from flwr.app import Context

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.relay.guard_channel import SOCKET_VARIABLE
from oncofed.client.relay.relay import build_client_app
from oncofed.client.relay.superexec import main
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.secret_files import read_secret


class EchoGuard:
    """Contributes a vector that depends on nothing but the request."""

    def contribute(self, request: ContributeRequest) -> Contribution:
        return Contribution(request.weights + 1.0)

    def summarise(self, request: SummariseRequest) -> Contribution:
        return Contribution(np.full(request.cells, 0.5))

    def offer_plan(self, document: bytes) -> PlanState:
        return PlanState.APPROVED

    def plan_status(self, plan_hash: str) -> PlanState:
        return PlanState.APPROVED

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        return DeliveryState.ACCEPTED

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        raise NotImplementedError

    def describe(self) -> NodeDescription:
        raise NotImplementedError


def connect(context: Context) -> Desk:
    # The guard's socket would lie in NODE/run.
    folder = NodeFolder(Path(os.environ[SOCKET_VARIABLE]).parents[1])
    accepted = read_site(folder).enrolled
    key, coordinator = read_secret(folder.answer_key), bytes.fromhex(accepted.public_key)
    return Desk(questions_to_node(EchoGuard(), site=""), audit=None, answer_key=key, asker_key=coordinator)


app = build_client_app(connect)

if __name__ == "__main__":
    main(relay_app="tests.end_to_end.fake_relay_app:app")
