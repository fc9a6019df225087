"""Which of the replies of a round may be combined, and which hospital's fault is each other one?

A reply is admitted when it answers a message of this attempt, comes from the node it was sent to, is the only one to
do so, holds what the hospital's guard answered to the very bytes it was sent (`protocol.answer`: hash of the question,
and the guard's signature where the plan names its key), and is a vector that an honest hospital could have sent
(`privacy.releases` says what that is).

Promises: the result does not depend on the order of arrival (admitted: roster order). Every hospital of the roster is
either admitted or rejected with a cause in words. Replies are matched by `reply_to_message_id` alone: a failure
that Flower reports for a node carries the SuperLink's node id, not the node's. The text inside a Flower error is never
repeated: it may quote the exception of a program that saw data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message
from numpy.typing import NDArray

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.privacy.release import Release
from oncofed.protocol.answer import AnswerRejected, content_of
from oncofed.protocol.codec import decode_answer
from oncofed.protocol.messages import AnyRequest
from oncofed.protocol.wire_form import WrongForm, contribution_in, method_of
from oncofed.words.language import later

# flwr 1.42 numbers its errors and has no public names for them: tests/contracts/test_flwr_names.py.
_ERROR_WORDS = {
    1: "the relay could not be loaded",
    2: "the relay raised an exception",
    3: "no answer in time: it is slow or away, or a restart lost the question",
    4: "the answer was lost",
    5: "the node is unavailable",
    7: "the node refused the program bundle",
    8: "the relay crashed",
}


REFUSAL_WORDS = {
    RefusalCode.WRONG_PLAN: later("it does not know this plan"),
    RefusalCode.WRONG_SITE: later("the question was meant for another hospital"),
    RefusalCode.ROUND_OUT_OF_RANGE: later("the plan has no such round or summary, or no such attempt at it"),
    RefusalCode.REQUEST_CONFLICT: later("it was charged for this round before and its answer is lost"),
    RefusalCode.NOT_APPROVED: later("nobody there has approved the plan, or its policy no longer allows it"),
    RefusalCode.NOT_READY: later(
        "its guard is down, a file of its own is lost, its disk is full, or its records are older "
        "than answers that are here; see its log"
    ),
    RefusalCode.MALFORMED_WEIGHTS: later("the weights it was sent were not of the plan's form"),
    RefusalCode.BUDGET_EXCEEDED: later("its privacy budget is used up"),
    RefusalCode.INTERNAL: later("an error there; its own log says more"),
    RefusalCode.NOT_SIGNED: later(
        "the question that arrived there is not signed by the coordinator whom it has accepted"
    ),
    RefusalCode.WRONG_KEYS: later(
        "it was not given the masking key of each hospital asked, or was given two of one hospital"
    ),
}
"""What a hospital's code means to a reader."""


@dataclass(frozen=True, eq=False)
class SiteVector:
    """An admitted contribution: float64, or masked uint64. reply is the Flower message it came in."""

    site: str
    vector: NDArray[Any]
    reply: Message


@dataclass(frozen=True)
class Question:
    """A message that was sent. node_id is where to; request.site says whom.

    sha256, size_bytes  of the request's bytes as they were sent.
    answer_key          of the hospital's guard, as the plan names it; None where the plan names none.
    """

    node_id: int
    request: AnyRequest
    sha256: bytes
    size_bytes: int
    answer_key: bytes | None = None


@dataclass(frozen=True, order=True)
class Rejection:
    """site is a name of the roster, or ``node 123`` for one that is not in it. code: the hospital's, if it refused."""

    site: str
    reason: str
    code: RefusalCode | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.site}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Admission:
    """admitted  in roster order. rejected  roster first, in its order, then replies that answer no question."""

    admitted: tuple[SiteVector, ...]
    rejected: tuple[Rejection, ...]


class _NotAdmitted(Exception):
    """The text is the reason, in our words."""

    def __init__(self, reason: str, code: RefusalCode | None = None) -> None:
        self.code = code
        super().__init__(reason)


def admit(
    replies: Iterable[Message],
    *,
    questions: Mapping[str, Question],
    patience_seconds: float,
    release: Release,
) -> Admission:
    """questions by message id, in roster order. patience_seconds is only for the words about silent hospitals.

    release  what was asked for; it knows what an honest hospital sends.
    """
    answers: dict[str, list[Message]] = {message_id: [] for message_id in questions}
    strays: list[Message] = []
    for reply in replies:
        answers.get(reply.metadata.reply_to_message_id, strays).append(reply)

    admitted: list[SiteVector] = []
    rejected: list[Rejection] = []
    for message_id, question in questions.items():
        try:
            admitted.append(
                _admit_one(question, answers[message_id], patience_seconds=patience_seconds, release=release)
            )
        except _NotAdmitted as reason:
            rejected.append(Rejection(question.request.site, str(reason), reason.code))
    site_at = {question.node_id: question.request.site for question in questions.values()}
    nodes = sorted(stray.metadata.src_node_id for stray in strays)
    rejected += [Rejection(site_at.get(node, f"node {node}"), "answered no question of this round") for node in nodes]
    return Admission(tuple(admitted), tuple(rejected))


def _admit_one(
    question: Question, replies: Sequence[Message], *, patience_seconds: float, release: Release
) -> SiteVector:
    request = question.request
    if not replies:
        raise _NotAdmitted(f"no answer within {patience_seconds:g} s")
    if len(replies) > 1:
        raise _NotAdmitted(f"answered {len(replies)} times")
    (reply,) = replies
    if reply.has_error():
        raise _NotAdmitted(error_words(reply.error.code))
    if reply.metadata.src_node_id != question.node_id:
        raise _NotAdmitted(f"node {reply.metadata.src_node_id} answered in its place")
    try:
        content = content_of(
            decode_answer(reply.content),
            question_sha256=question.sha256,
            method=method_of(request),
            public_key=question.answer_key,
        )
        contribution = contribution_in(content)
    except RequestRefused as refusal:
        raise _NotAdmitted(f"refused: {refusal.code}", refusal.code) from None
    except AnswerRejected as fault:
        raise _NotAdmitted(str(fault)) from None
    except WrongForm as fault:
        raise _NotAdmitted(f"malformed answer: {fault}") from None
    reason = release.fault_of(contribution.vector) or release.implausibility_of(contribution.vector)
    if reason:
        raise _NotAdmitted(reason)
    return SiteVector(request.site, contribution.vector, reply)


def error_words(code: int) -> str:
    """What Flower's error means for a hospital."""
    return _ERROR_WORDS.get(code, f"Flower reports error {code:d}")
