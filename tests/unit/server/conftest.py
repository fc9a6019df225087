"""Plans, and replies as Flower would hand them over, for the tests of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Error, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from numpy.typing import NDArray

from oncofed.protocol.codec import encode_contribution
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import (
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.server.admission import Question
from oncofed.survival.grid import TimeGrid

SITES = ("Aachen", "Bonn", "Coburg", "Dessau", "Essen")
PARAMETERS = 6


@pytest.fixture
def plan() -> StudyPlan:
    """Five hospitals, four must answer; averaging of weights."""
    return StudyPlan(
        study="test",
        schema_hash="0" * 64,
        model=ModelSpec(
            columns=PARAMETERS - 1,
            endpoints=("os",),
            grid=TimeGrid((0.0, 12.0)),
            baseline_hazard=(0.1,),
            hidden_units=(),
        ),
        training=TrainingSpec(mode=TrainingMode.EPOCHS, rounds=4),
        privacy=PrivacySpec(PrivacyMode.NONE, None, 1e-5, 0.0, 1.0),
        roster=SITES,
        quorum=4,
        round_timeout_seconds=30.0,
    )


class Exchange:
    """One open round: the questions by message id, and makers of replies to them. Site i is node 1000 + i."""

    def __init__(self, plan: StudyPlan, *, round_: int = 1, weights: NDArray[np.float64] | None = None) -> None:
        template = ContributeRequest(
            plan_hash=plan.hash,
            site="",
            round=round_,
            attempt=0,
            roster=plan.roster,
            weights=np.zeros(PARAMETERS) if weights is None else weights,
        )
        self.questions: dict[str, Question] = {
            f"to {site}": Question(1000 + index, replace(template, site=site)) for index, site in enumerate(plan.roster)
        }

    def metadata(self, site: str, *, src_node_id: int | None = None, reply_to: str | None = None) -> Metadata:
        return Metadata(
            run_id=1,
            message_id=f"from {site}",
            src_node_id=self.questions[f"to {site}"].node_id if src_node_id is None else src_node_id,
            dst_node_id=1,
            reply_to_message_id=f"to {site}" if reply_to is None else reply_to,
            group_id="1",
            created_at=0.0,
            ttl=60.0,
            message_type="train",
        )

    def reply(
        self,
        site: str,
        vector: NDArray[np.float64],
        *,
        question: Mapping[str, object] | None = None,
        src_node_id: int | None = None,
        reply_to: str | None = None,
    ) -> Message:
        """A well-formed answer. question  changes to the request it claims to answer."""
        request = replace(self.questions[f"to {site}"].request, weights=vector, **(question or {}))  # type: ignore[arg-type]
        content = encode_contribution(Contribution(vector), to=request)
        return make_message(self.metadata(site, src_node_id=src_node_id, reply_to=reply_to), content)

    def containing(self, site: str, content: RecordDict) -> Message:
        """Any content."""
        return make_message(self.metadata(site), content)

    def failure(self, site: str, code: int, reason: str) -> Message:
        """As Flower reports a failed node: from the SuperLink's node id."""
        return make_message(self.metadata(site, src_node_id=1), error=Error(code, reason))

    def all_well(self, vectors: Mapping[str, NDArray[np.float64]]) -> list[Message]:
        return [self.reply(site, vector) for site, vector in vectors.items()]


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    return Exchange
