"""Plans, and replies as Flower would hand them over, for the tests of the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Error, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from numpy.typing import NDArray

from oncofed.errors import RefusalCode
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import answer_to
from oncofed.protocol.codec import encode_answer
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import (
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.protocol.wire_form import REFUSALS, question_of, serialised
from oncofed.server.rounds.admission import Question
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
        self.questions: dict[str, Question] = {}
        for index, site in enumerate(plan.roster):
            request = replace(template, site=site)
            content = question_of(request)
            sha256, key = hashlib.sha256(content).digest(), plan.answer_keys.get(site)
            self.questions[f"to {site}"] = Question(1000 + index, request, sha256, len(content), key)

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
        vector: NDArray[np.float64] | NDArray[np.uint64],
        *,
        question: Mapping[str, object] | None = None,
        src_node_id: int | None = None,
        reply_to: str | None = None,
        signing_key: bytes | None = None,
    ) -> Message:
        """A well-formed answer. question  changes to the request it answers."""
        numbers = vector.tobytes()
        masked = vector.dtype == np.uint64
        reply = serialised(pb.ContributeReply(masked=numbers) if masked else pb.ContributeReply(vector=numbers))
        answer = self.answer(site, reply, question=question, signing_key=signing_key)
        return make_message(self.metadata(site, src_node_id=src_node_id, reply_to=reply_to), encode_answer(answer))

    def answer(
        self,
        site: str,
        reply: bytes,
        *,
        question: Mapping[str, object] | None = None,
        signing_key: bytes | None = None,
    ) -> bytes:
        """The bytes of an answer with any reply in it."""
        request = replace(self.questions[f"to {site}"].request, **(question or {}))  # type: ignore[arg-type]
        return answer_to(question_of(request), reply, method="Contribute", signing_key=signing_key)

    def refusal(self, site: str, code: RefusalCode) -> Message:
        """By the guard."""
        reply = serialised(pb.PlanReply(refusal=REFUSALS[code]))
        return self.containing(site, encode_answer(self.answer(site, reply)))

    def containing(self, site: str, content: RecordDict) -> Message:
        """Any content."""
        return make_message(self.metadata(site), content)

    def failure(self, site: str, code: int, reason: str) -> Message:
        """As Flower reports a failed node: from the SuperLink's node id."""
        return make_message(self.metadata(site, src_node_id=1), error=Error(code, reason))

    def all_well(self, vectors: Mapping[str, NDArray[np.float64] | NDArray[np.uint64]]) -> list[Message]:
        return [self.reply(site, vector) for site, vector in vectors.items()]


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    return Exchange
