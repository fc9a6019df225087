"""What does a hostile coordinator ask a hospital that has approved one plan of two rounds? One list for two tests.

It has the consortium's signing key and may send any message; the plan, its approval and the policy are the hospital's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from oncofed.errors import RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, decode_question, encode_question
from oncofed.protocol.messages import ContributeRequest, Delivery
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import Member, PrivacyMode, StudyPlan
from oncofed.protocol.question import signed_question
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import StudyDocument, document_bytes, signed_document
from oncofed.protocol.wire_form import (
    Method,
    contribution_in,
    delivery_question,
    delivery_state_in,
    offer_question,
    parsed,
    plan_state_in,
    question_of,
)

TRAIN, OFFER, DELIVER = Method.CONTRIBUTE, Method.OFFER_PLAN, Method.DELIVER_MODEL
VECTOR = "a vector"
NO_SUCH_QUESTION = "no such question"
"""Flower itself finds no function for the message, and answers with an error."""


@dataclass(frozen=True)
class Asked:
    """kind: a method, or another type of Flower's. answer: what must come back.

    in_audit_log  what the guard notes of it; empty when the relay refuses it.
    """

    name: str
    kind: str
    content: RecordDict
    answer: str
    in_audit_log: str = ""


def phases(document: StudyDocument, site: str, *, signing_key: bytes) -> tuple[tuple[Asked, ...], ...]:
    """Each to be asked when the one before is answered. The second is the plan's own: all that may ever leave."""
    plan = document.plan
    phases = (
        tuple(_before(plan, site)),
        tuple(
            Asked(f"round {round_}", TRAIN, question(request_of(plan, site, round_=round_)), VECTOR, VECTOR)
            for round_ in (1, 2)
        ),
        (
            *_after(plan, site),
            *_of_other_plans(document, site, signing_key=signing_key),
            *_of_other_kinds(plan, site),
        ),
    )
    signed = [[replace(one, content=signed_by(signing_key, one.content)) for one in phase] for phase in phases]
    return (tuple(signed[0]), tuple(signed[1]), (*signed[2], *_of_strangers(plan, site)))


def signed_by(signing_key: bytes, content: RecordDict) -> RecordDict:
    """As a coordinator signs it; what is no question stays as it is."""
    try:
        method, request = decode_question(content)
    except RequestRefused:
        return content
    return encode_question(method, signed_question(request, method=method, signing_key=signing_key))


def answer_in(kind: str, content: RecordDict) -> str:
    """What a hospital's answer is, in a word."""
    try:
        reply = reply_in(content)
        if kind == TRAIN:
            contribution_in(reply)
            return VECTOR
        return (plan_state_in if kind == OFFER else delivery_state_in)(reply).value
    except RequestRefused as refusal:
        return refusal.code.value


def reply_in(content: RecordDict) -> bytes:
    """What a guard said, whatever it was asked."""
    reply: bytes = parsed(pb.Answer, decode_answer(content)).content
    return reply


def question(request: ContributeRequest) -> RecordDict:
    return encode_question(Method.CONTRIBUTE, question_of(request))


def offer(document: StudyDocument) -> RecordDict:
    return encode_question(Method.OFFER_PLAN, offer_question(document_bytes(document), nonce=b""))


def message_type_of(kind: str) -> str:
    """Flower's, of a question of this kind."""
    return MESSAGE_TYPE if kind in set(Method) else kind


def request_of(plan: StudyPlan, site: str, *, round_: int, attempt: int = 0) -> ContributeRequest:
    return ContributeRequest(plan.hash, site, round_, attempt, plan.roster, _weights(plan))


def other_plans(plan: StudyPlan) -> dict[str, StudyPlan]:
    """Plans the coordinator would like better than the approved one."""
    privacy, training = plan.privacy, plan.training
    bare = replace(privacy, mode=PrivacyMode.NONE, epsilon=None, noise_multiplier=0.0, l2_norm_bound=None)
    return {
        "more rounds": replace(plan, training=replace(training, rounds=200)),
        "less noise": replace(plan, privacy=replace(privacy, noise_multiplier=0.5)),
        "no noise": replace(plan, privacy=bare),
        "a larger clip": replace(plan, privacy=replace(privacy, l2_norm_bound=1e6)),
        "another model": replace(plan, model=replace(plan.model, hidden_units=(7,))),
        "another plan": replace(plan, study="another"),
        "other code": replace(plan, bundle_sha256="f" * 64),
    }


def _before(plan: StudyPlan, site: str) -> Iterator[Asked]:
    own = request_of(plan, site, round_=1)
    crafted = {
        "a third round": (replace(own, round=3), "round_out_of_range"),
        "round 0": (replace(own, round=0), "round_out_of_range"),
        "another hospital's share": (replace(own, site="Essen"), "wrong_site"),
        "weights of a larger model": (replace(own, weights=np.append(own.weights, 0.0)), "malformed_weights"),
        "an unknown plan": (replace(own, plan_hash="0" * 64), "not_approved"),
    }
    yield from _crafted(crafted)


def _after(plan: StudyPlan, site: str) -> Iterator[Asked]:
    own = request_of(plan, site, round_=1)
    crafted = {
        "the second round once more": (replace(own, round=2, attempt=1), "budget_exceeded"),
        "the first round at other weights": (replace(own, weights=own.weights * 2), "request_conflict"),
        "the first round for a smaller roster": (replace(own, roster=(site, "nobody")), "request_conflict"),
    }
    yield from _crafted(crafted)


def _crafted(requests: Mapping[str, tuple[ContributeRequest, str]]) -> Iterator[Asked]:
    for name, (request, code) in requests.items():
        yield Asked(name, TRAIN, question(request), code, code)


def _of_other_plans(document: StudyDocument, site: str, *, signing_key: bytes) -> Iterator[Asked]:
    for name, plan in other_plans(document.plan).items():
        yield Asked(f"{name}: offered", OFFER, offer(_signed(plan, document, signing_key)), "offered", "offered")
        request = request_of(plan, site, round_=1)
        yield Asked(name, TRAIN, question(request), "not_approved", "not_approved")
    key = new_signing_key()
    theirs = _signed(replace(document.plan, coordinator_public_key=public_key_of(key).hex()), document, key)
    yield Asked("a plan of somebody else", OFFER, offer(theirs), "refused", "refused")
    forged = replace(document, plan=replace(document.plan, study="forged"))
    yield Asked("a plan with another's signature", OFFER, offer(forged), "refused", "refused")
    without = replace(document.plan, members=tuple(_with_another_key(document.plan.members, site)))
    unmeant = offer(_signed(without, document, signing_key))
    yield Asked("a plan for another key", OFFER, unmeant, "refused", "refused")


def _of_other_kinds(plan: StudyPlan, site: str) -> Iterator[Asked]:
    for key, value in (("noise-multiplier", 0.0), ("l2-norm-bound", 1e9), ("files", "/etc/passwd")):
        content = question(request_of(plan, site, round_=2, attempt=2))
        content.config_records["question"][key] = value
        yield Asked(f"a question with {key}", TRAIN, content, "internal")
    beside = question(request_of(plan, site, round_=2, attempt=2))
    beside["data"] = ArrayRecord([np.zeros(2)])
    yield Asked("a question with arrays beside it", TRAIN, beside, "internal")
    more = encode_question(Method.CONTRIBUTE, question_of(request_of(plan, site, round_=2, attempt=2)) + b"\x7a\x03abc")
    yield Asked("a question with a field that nobody knows", TRAIN, more, "malformed_weights", "malformed_weights")
    described = encode_question(Method.DESCRIBE, b"")
    yield Asked("a question that is the hospital's own", TRAIN, described, "internal")
    files = RecordDict({"files": ConfigRecord({"path": "/"})})
    yield Asked("a list of files as an offer", OFFER, files, "internal")
    for kind in ("query.files", "query", "train", "evaluate"):
        yield Asked(f"a list of files by {kind}", kind, files, NO_SUCH_QUESTION)
    forged = signed_model(_weights(plan), plan_hash=plan.hash, signing_key=new_signing_key())
    delivery = encode_question(
        Method.DELIVER_MODEL, delivery_question(Delivery(plan.hash, forged.content, forged.signature))
    )
    yield Asked("a model signed by somebody else", DELIVER, delivery, "refused", "refused")


def _of_strangers(plan: StudyPlan, site: str) -> Iterator[Asked]:
    """Whoever carries questions, and has no key of the coordinator's. The guard notes all of them together, once."""
    own = question(replace(request_of(plan, site, round_=2), attempt=3))
    forged = signed_by(new_signing_key(), own)
    for name, content in {"a round that nobody signed": own, "a round that somebody else signed": forged}.items():
        yield Asked(name, TRAIN, content, "not_signed")


def _weights(plan: StudyPlan) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(scale=0.1, size=plan.model.parameters)


def _signed(plan: StudyPlan, document: StudyDocument, signing_key: bytes) -> StudyDocument:
    return signed_document(plan, schema_toml=document.schema_toml, signing_key=signing_key)


def _with_another_key(members: tuple[Member, ...], site: str) -> Iterator[Member]:
    for member in members:
        yield replace(member, node_public_key=member.node_public_key[:-4] + "AAAA") if member.site == site else member
