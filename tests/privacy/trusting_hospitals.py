"""Hospitals in memory, behind their real desks, for an adversary that may send any bytes: `guard.trust` without files.

Four of a plan that shares its noise, with one dropout and one that sides with the coordinator. The shell around the
state machine is as thin as `guard.node_guard`, with dictionaries in place of files. Guards are the real ones, without
noise, so that whatever an adversary sees more of than it should is plain to see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from tests.doubles import SilentNoise, calibrated_privacy, drawn_patients, drawn_weights
from tests.installed_node import SCHEMA

from oncofed.client.guard import trust
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.guard import Guard
from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.guard.trust import Pinned, Reason, Standing, Untrusted
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.masking import new_masking_key, public_masking_key_of
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol import study_document
from oncofed.protocol.answer import content_of
from oncofed.protocol.cards import card_of
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    Delivery,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.model_file import SignedModel, signed_model
from oncofed.protocol.plan import Member, ModelSpec, SharedNoise, StudyPlan, TrainingSpec
from oncofed.protocol.question import signed_question
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.protocol.wire_form import (
    Method,
    contribution_in,
    delivery_question,
    delivery_state_in,
    masking_key_in,
    masking_keys_question,
    offer_question,
    plan_state_in,
    question_of,
)

SITES = ("Bonn", "Essen", "Hof", "Ulm")
HONEST = SITES[:3]
COLLUDING = SITES[3]
COORDINATOR = new_signing_key()
STRANGER = new_signing_key()
ANSWER_KEYS = {site: new_signing_key() for site in SITES}
MEMBERS = tuple(Member(site, f"node key of {site}", public_key_of(ANSWER_KEYS[site]).hex()) for site in SITES)
POLICY = SitePolicy(
    "registry", 3.0, 1e-5, fewest_colluding_tolerated=1, verified_cards=frozenset(map(card_of, MEMBERS))
)


def plan_with(*, seed: int = 0, members: tuple[Member, ...] = MEMBERS, coordinator: bytes = COORDINATOR) -> StudyPlan:
    """seed: another one is another plan."""
    schema, training = parse_schema(SCHEMA, where="schema"), TrainingSpec(rounds=3)
    model = ModelSpec(len(columns(schema)), ("overall_survival",), schema.grid, schema.baseline_hazard, (3,))
    privacy = calibrated_privacy(
        training,
        epsilon=3.0,
        delta=1e-5,
        l2_norm_bound=1.0,
        reserve_rounds=3,
        shares=SharedNoise(len(members), 1, 1),
        parameters=model.parameters,
    )
    return StudyPlan(
        study="tiny",
        schema_hash=schema.hash,
        model=model,
        training=training,
        privacy=privacy,
        roster=tuple(member.site for member in members),
        quorum=len(members) - 1,
        members=members,
        coordinator_public_key=public_key_of(coordinator).hex(),
        initialisation_seed=seed,
    )


PLAN, OTHER = plan_with(), plan_with(seed=1)


def weights_of(plan: StudyPlan, *, seed: int = 0) -> NDArray[np.float64]:
    return drawn_weights(plan.model, seed=seed)


def offer_of(plan: StudyPlan, *, key: bytes = COORDINATOR) -> bytes:
    """The document, signed by whoever has this key."""
    with patch.object(study_document, "range_faults", return_value=[]):
        return document_bytes(signed_document(plan, schema_toml=SCHEMA, signing_key=key))


@dataclass
class Hospital:
    """A shell of dictionaries around `guard.trust`; implements `protocol.messages.NodeGuardPort`."""

    site: str
    policy: SitePolicy = POLICY
    standings: dict[str, Standing] = field(default_factory=dict)
    private_keys: dict[str, bytes] = field(default_factory=dict)
    signed: dict[str, set[bytes]] = field(default_factory=dict)
    """Every masking key that ever left, by plan."""

    def __post_init__(self) -> None:
        member = next(each for each in MEMBERS if each.site == self.site)
        self.pinned = Pinned(public_key_of(COORDINATOR), member)
        self.patients = drawn_patients(PLAN.model, 30, seed=SITES.index(self.site))
        self.ledger = MemoryLedger(self.policy.budget)
        self.guards: dict[str, tuple[Standing, Guard]] = {}
        self.desk = Desk(
            questions_to_node(self, site=self.site),
            audit=None,
            answer_key=ANSWER_KEYS[self.site],
            asker_key=self.pinned.coordinator,
        )

    # What a person does.

    def approve(self, plan_hash: str) -> None:
        """Raises Untrusted."""
        standing = self.standings[plan_hash]
        fresh = not standing.masking_key and plan_hash not in self.private_keys
        key = new_masking_key() if fresh else self.private_keys.get(plan_hash)
        self.standings[plan_hash] = trust.approved(
            standing, plan_hash=plan_hash, policy=self.policy, site=self.site, key_held=public(key)
        )
        assert key is not None
        self.private_keys[plan_hash] = key

    def decline(self, plan_hash: str) -> None:
        before = self.standings[plan_hash]
        self.standings[plan_hash] = trust.decided(
            before, plan_hash=plan_hash, state=PlanState.DECLINED, masking_key=before.masking_key
        )
        self.private_keys.pop(plan_hash, None)
        self.guards.pop(plan_hash, None)

    # What arrives.

    def ask(self, method: str, question: bytes) -> bytes:
        return self.desk.ask(method, question)

    def offer_plan(self, document: bytes) -> PlanState:
        try:
            standing = trust.offered(document, pinned=self.pinned)
        except Untrusted:
            return PlanState.REFUSED
        return self.standings.setdefault(standing.plan.hash, standing).state

    def plan_status(self, plan_hash: str) -> PlanState:
        return self.standings[plan_hash].state if plan_hash in self.standings else PlanState.REFUSED

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        standing = self._standing(plan_hash)
        try:
            trust.refuse_unanswerable(standing, key_held=public(self.private_keys.get(plan_hash)))
            standing = trust.exchanged(standing, keys, own=self.site)
        except Untrusted as refusal:
            raise RequestRefused(code_for(refusal)) from None
        self.standings[plan_hash] = standing
        key = bytes.fromhex(standing.masking_key)
        self.signed.setdefault(plan_hash, set()).add(key)
        return signed_masking_key(key, plan_hash=plan_hash, site=self.site, answer_key=ANSWER_KEYS[self.site])

    def contribute(self, request: ContributeRequest) -> Contribution:
        standing = self._standing(request.plan_hash)
        kept = self.guards.get(request.plan_hash)
        if kept is None or kept[0] is not standing:
            self.guards[request.plan_hash] = (standing, self._guard(standing))
        return self.guards[request.plan_hash][1].contribute(request)

    def summarise(self, request: SummariseRequest) -> Contribution:
        raise AssertionError("the plan has none")

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        try:
            standing = trust.delivered(self._standing(plan_hash), SignedModel(model, signature), pinned=self.pinned)
        except (Untrusted, RequestRefused):
            return DeliveryState.REFUSED
        self.standings[plan_hash] = standing
        self.private_keys.pop(plan_hash, None)
        self.guards.pop(plan_hash, None)
        return DeliveryState.ACCEPTED

    def describe(self) -> NodeDescription:
        return NodeDescription(self.site)

    def _standing(self, plan_hash: str) -> Standing:
        if plan_hash not in self.standings:
            raise RequestRefused(RefusalCode.NOT_APPROVED)
        return self.standings[plan_hash]

    def _guard(self, standing: Standing) -> Guard:
        key = self.private_keys.get(standing.plan.hash)
        try:
            trust.refuse_unanswerable(standing, key_held=public(key))
        except Untrusted as refusal:
            raise RequestRefused(code_for(refusal)) from None
        assert key is not None
        return Guard(
            site=self.site,
            plan=standing.plan,
            policy=self.policy,
            patients=lambda: self.patients,
            ledger=self.ledger,
            noise=SilentNoise(),
            masks=SumMasks(key, standing.public_keys(own=self.site)),
        )


def code_for(refusal: Untrusted) -> RefusalCode:
    """As `guard.node_guard` tells it."""
    if refusal.reason is Reason.NOT_APPROVED:
        return RefusalCode.NOT_APPROVED
    own = refusal.reason in (Reason.NO_MASKING_KEY, Reason.ANOTHER_OWN_KEY)
    return RefusalCode.NOT_READY if own else RefusalCode.WRONG_KEYS


def public(key: bytes | None) -> str:
    return "" if key is None else public_masking_key_of(key).hex()


@dataclass
class Adversary:
    """Has the coordinator's key, carries every byte, and one hospital of the plan is its own.

    said: every question it ever put together, so that it can be sent again, to anybody.
    """

    hospitals: dict[str, Hospital] = field(default_factory=lambda: {site: Hospital(site) for site in HONEST})
    said: list[tuple[str, bytes]] = field(default_factory=list)
    keys: dict[str, SignedMaskingKey] = field(default_factory=dict)
    own_key: bytes = field(default_factory=new_masking_key)

    def ask(self, site: str, method: str, request: bytes, *, key: bytes = COORDINATOR, as_method: str = "") -> bytes:
        """The reply, verified as the hospital's. Raises RequestRefused only where the reply is read."""
        question = signed_question(request, method=as_method or method, signing_key=key)
        self.said.append((method, question))
        answer = self.hospitals[site].ask(method, question)
        return content_of(
            answer,
            question_sha256=hashlib.sha256(request).digest(),
            method=method,
            public_key=public_key_of(ANSWER_KEYS[site]),
        )

    def offer(self, site: str, document: bytes) -> PlanState:
        return plan_state_in(self.ask(site, Method.OFFER_PLAN, offer_question(document, nonce=b"")))

    def give_keys(self, site: str, keys: Iterable[SignedMaskingKey], *, plan: StudyPlan = PLAN) -> SignedMaskingKey:
        question = masking_keys_question(plan.hash, keys, nonce=b"")
        return masking_key_in(self.ask(site, Method.MASKING_KEYS, question))

    def vector(self, site: str, request: ContributeRequest, *, key: bytes = COORDINATOR) -> NDArray[np.uint64]:
        reply = self.ask(site, Method.CONTRIBUTE, question_of(request), key=key)
        return np.asarray(contribution_in(reply).vector, dtype=np.uint64)

    def deliver(self, site: str, model: SignedModel, *, plan: StudyPlan = PLAN) -> DeliveryState:
        question = delivery_question(Delivery(plan.hash, model.content, model.signature))
        return delivery_state_in(self.ask(site, Method.DELIVER_MODEL, question))

    def signed_as_own(self, public_key: bytes, *, plan: StudyPlan = PLAN) -> SignedMaskingKey:
        """As the key of the hospital that is the adversary's."""
        return signed_masking_key(public_key, plan_hash=plan.hash, site=COLLUDING, answer_key=ANSWER_KEYS[COLLUDING])

    def own_keys(self, private_key: bytes | None = None, *, plan: StudyPlan = PLAN) -> SignedMaskingKey:
        return self.signed_as_own(public_masking_key_of(private_key or self.own_key), plan=plan)

    def approved_by_all(self, *plans: StudyPlan) -> None:
        """Offered to everybody, and approved by a person there."""
        for plan in plans:
            for site, hospital in self.hospitals.items():
                self.offer(site, offer_of(plan))
                hospital.approve(plan.hash)

    def begin(self, plan: StudyPlan = PLAN) -> dict[str, SignedMaskingKey]:
        """As an honest study begins, up to the first question: everybody's keys."""
        self.approved_by_all(plan)
        self.keys = {site: self.give_keys(site, (), plan=plan) for site in self.hospitals}
        self.keys[COLLUDING] = self.own_keys(plan=plan)
        for site in self.hospitals:
            self.give_keys(site, self.keys.values(), plan=plan)
        return self.keys


def request_to(
    site: str,
    *,
    plan: StudyPlan = PLAN,
    round_: int = 1,
    attempt: int = 0,
    roster: tuple[str, ...] = SITES,
    seed: int = 0,
) -> ContributeRequest:
    return ContributeRequest(plan.hash, site, round_, attempt, roster, weights_of(plan, seed=seed))


def model_of(plan: StudyPlan = PLAN, *, seed: int = 0, key: bytes = COORDINATOR) -> SignedModel:
    return signed_model(weights_of(plan, seed=seed), plan_hash=plan.hash, signing_key=key)


def code_of_keys(adversary: Adversary, site: str, *keys: SignedMaskingKey) -> str:
    """What the hospital says to these keys."""
    try:
        adversary.give_keys(site, keys)
    except RequestRefused as refusal:
        return refusal.code.value
    return "kept"


def forged(key: SignedMaskingKey, **changes: object) -> SignedMaskingKey:
    return replace(key, **changes)  # type: ignore[arg-type]  # any field, by name
