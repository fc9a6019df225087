"""A relay whose guard has no patients: it approves every plan, and answers with the weights it was sent, plus one.

``python -m tests.end_to_end.fake_relay_app NODE`` is a hospital's SuperExec that runs this relay in place of the
installed one. Only tests may do so, and only in this way: nothing in a folder or in the environment can.
"""

from __future__ import annotations

import numpy as np
from flwr.app import Context

from oncofed.client.node.superexec import main
from oncofed.client.relay import build_node_app
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)


class EchoGuard:
    """Contributes a vector that depends on nothing but the request."""

    def contribute(self, request: ContributeRequest) -> Contribution:
        return Contribution(request.weights + 1.0)

    def summarise(self, request: SummariseRequest) -> Contribution:
        return Contribution(np.ones(request.cells))

    def offer_plan(self, document: bytes) -> PlanState:
        return PlanState.APPROVED

    def plan_status(self, plan_hash: str) -> PlanState:
        return PlanState.APPROVED

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        return DeliveryState.ACCEPTED

    def describe(self) -> NodeDescription:
        raise NotImplementedError


def connect(context: Context) -> EchoGuard:
    return EchoGuard()


app = build_node_app(connect)

if __name__ == "__main__":
    main(relay_app="tests.end_to_end.fake_relay_app:app")
