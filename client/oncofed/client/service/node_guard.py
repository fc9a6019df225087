"""Which plans may this hospital take part in, and which guard answers for each?

`NodeGuard` is what stands behind the socket. For a plan's hash it looks up, in this order: the approval, the signed
document, the policy, the ledger; from them it builds a `client.guard.Guard`, and keeps it as long as approval and
policy are the same. Both are looked at for every request, so that a plan which is declined, or a policy that is
tightened, counts at once. The process looks at approvals every few seconds too (`forget_unapproved`), so that patients
whose approval is withdrawn do not stay in memory until somebody asks. The table is not looked at: its patients were
frozen when somebody approved.

Patients are read once for each approval, at the first question about its plan, and stay in memory until somebody
declines or approves anew. How many plans' patients there are is so decided by persons: were some let go for others, a
coordinator could have them read again and again, and reading takes longer with more patients. Who wants the memory back
declines plans that are finished.

Promises: only documents and models that the pinned coordinator signed are kept; a plan must name this hospital with its
own keys; a plan is charged no oftener than its rounds and its reserve, however many attempts are asked for; nothing
a server sends chooses policy, source, noise or ledger; no code follows from the patients. Refused: `NOT_APPROVED` for a
plan without approval, or that the policy no longer allows; `NOT_READY` for a policy, or frozen patients, that cannot be
read. Every answer is noted by the server in front (`guard_server`); this module notes beside it what was kept, and why
not.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.client.approved_patients import ApprovedPatients
from oncofed.client.guard import Guard
from oncofed.client.node.folder import NodeFolder
from oncofed.client.policy_file import SourcePolicy, read_policy
from oncofed.client.records.agreement import Release, WitnessedLedger, forgotten, refuse_disagreement
from oncofed.client.records.answers import FolderAnswers
from oncofed.client.records.approvals import Approval, Approvals, Decision
from oncofed.client.records.audit_log import FORGOTTEN, AuditLog
from oncofed.client.records.repeats import Repeats
from oncofed.client.records.sqlite_ledger import SqliteLedger
from oncofed.client.sum_masks import SumMasks
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import (
    InvalidInput,
    PrivacyRefusal,
    RecordFailure,
    RefusalCode,
    RequestRefused,
    SignatureInvalid,
)
from oncofed.privacy.masking import public_masking_key_of
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.protocol.answer_times import AnswerTimes, answer_times_of
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import Member
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.study_document import StudyDocument, read_document, verify_document
from oncofed.protocol.wire_form import is_hash
from oncofed.survival.network import parameter_count

MOST_OFFERS = 100
"""Documents kept; each is at most 4 MB, and a coordinator shall not fill a hospital's disk."""
_LARGEST_HEADER_BYTES = 10_008

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PinnedKeys:
    """coordinator  Ed25519, 32 raw bytes, as pinned at `site accept`. node  this hospital's own, OpenSSH, one line.

    masking, answer  the guard's own private keys, X25519 and Ed25519, 32 raw bytes each.
    """

    coordinator: bytes
    node: str
    masking: bytes = field(repr=False)
    answer: bytes = field(repr=False)

    @property
    def masking_public(self) -> str:
        """As plans name it."""
        return public_masking_key_of(self.masking).hex()

    @property
    def answer_public(self) -> str:
        """As plans name it."""
        return public_key_of(self.answer).hex()


@dataclass(frozen=True)
class _Basis:
    """What a guard was built on; another basis needs another guard."""

    approval: Approval
    policy_sha256: str


@dataclass(frozen=True, eq=False)
class _Kept:
    """For one approved plan. patients: of the approval, whatever the policy says. guard: None where it allows none."""

    basis: _Basis
    patients: ApprovedPatients
    guard: Guard | None


class NodeGuard:
    """Implements `protocol.messages.NodeGuardPort` for one installed hospital.

    For one thread at a time, but for `forget_unapproved`.
    """

    def __init__(self, folder: NodeFolder, *, site: str, keys: PinnedKeys, noise: NoiseSource | None = None) -> None:
        self._folder = folder
        self._site = site
        self._keys = keys
        self._noise = OperatingSystemNoise() if noise is None else noise
        self._audit = AuditLog(folder.audit_log)
        self._approvals = Approvals(
            folder.approvals, folder.bundles, self._audit, folder.held_out_secret, folder.patients
        )
        self._answers = FolderAnswers(folder.answers)
        self._guards: dict[str, _Kept] = {}
        self._guards_lock = threading.Lock()
        self._repeats = Repeats()
        self._readings = 0
        self._seen: dict[frozenset[str], set[Release]] = {}
        try:
            self._approvals.tidy()
        except RecordFailure as failure:  # they are nobody's answer, and the next decision removes them
            _log.error("patients that no decision names cannot be removed: %s", failure)

    @property
    def audit(self) -> AuditLog:
        """Who notes what left must note it here, where the charge was announced."""
        return self._audit

    @property
    def readings(self) -> int:
        """How often approved patients have been read from the disk."""
        return self._readings

    def times_of(self, plan_hash: str) -> AnswerTimes:
        """When answers for this plan leave; if nobody approved it, as plans that do not say. Never raises."""
        kept = self._guards.get(plan_hash)
        if kept is not None and kept.guard is not None:
            return answer_times_of(kept.guard.plan)
        try:
            return answer_times_of(self._document(self._approval_of(plan_hash)).plan)
        except (RequestRefused, RecordFailure):
            return AnswerTimes()

    def forget_unapproved(self) -> None:
        """Let go of patients in memory whose approval was withdrawn or given anew. From any thread; never raises."""
        with self._guards_lock:
            for plan_hash, kept in list(self._guards.items()):
                try:
                    decided = self._approvals.find(plan_hash)
                except RecordFailure:  # a request would be refused
                    decided = None
                if decided != kept.basis.approval:
                    del self._guards[plan_hash]
                    _log.info("the patients of plan %s are in memory no longer", plan_hash[:12])

    def contribute(self, request: ContributeRequest) -> Contribution:
        """As the port says."""
        return self._guard_with_its_past(request).contribute(request)

    def summarise(self, request: SummariseRequest) -> Contribution:
        """As the port says."""
        return self._guard_with_its_past(request).summarise(request)

    def offer_plan(self, document: bytes) -> PlanState:
        """As the port says; REFUSED for a document that is not kept."""
        try:
            offered = read_document(document)
            verify_document(offered, public_key=self._keys.coordinator)
        except InvalidInput:
            return self._refused_offer("another_form", document)
        except SignatureInvalid:
            return self._refused_offer("another_signature", document)
        plan = offered.plan
        own = Member(self._site, self._keys.node, self._keys.masking_public, self._keys.answer_public)
        if own not in plan.members:
            return self._refused_offer("not_a_member", document, plan.hash)
        path = self._document_path(plan.hash)
        if not path.exists():
            if len(list(self._folder.plans.glob("*.json"))) >= MOST_OFFERS:
                return self._refused_offer("too_many_offers", document, plan.hash)
            replace_durably(path, document)
            self._audit.append("plan_kept", plan_hash=plan.hash)
        return self.plan_status(plan.hash)

    def plan_status(self, plan_hash: str) -> PlanState:
        """As the port says; REFUSED for a plan that is not kept."""
        if not is_hash(plan_hash) or not self._document_path(plan_hash).exists():
            return PlanState.REFUSED
        decided = self._approvals.find(plan_hash)
        if decided is None:
            return PlanState.OFFERED
        return PlanState.APPROVED if decided.decision is Decision.APPROVED else PlanState.DECLINED

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        """As the port says. One model a plan: another one later is refused, even if it is signed."""
        try:
            plan = self._document(self._approval_of(plan_hash)).plan
        except RequestRefused:
            return self._refused_model("not_approved", plan_hash)
        parameters = parameter_count(plan.model)
        if len(model) > parameters * 8 + _LARGEST_HEADER_BYTES:
            return self._refused_model("too_large", plan_hash)

        def weights_in(sent: SignedModel) -> NDArray[np.float64]:
            return verified_weights(sent, public_key=self._keys.coordinator, plan_hash=plan_hash, parameters=parameters)

        try:
            weights = weights_in(SignedModel(model, signature))
        except SignatureInvalid:
            return self._refused_model("another_signature", plan_hash)
        except InvalidInput:
            return self._refused_model("another_form", plan_hash)
        path = self._folder.models / f"{plan_hash}.safetensors"
        with unwritable(path):
            if path.exists():
                # By its numbers: safetensors writes the same model's header in one order or another.
                kept = weights_in(SignedModel(path.read_bytes(), path.with_suffix(".signature").read_bytes()))
                same = np.array_equal(kept, weights)
                return DeliveryState.ACCEPTED if same else self._refused_model("another_model", plan_hash)
        # The signature first: a model is never there without it.
        replace_durably(path.with_suffix(".signature"), signature)
        replace_durably(path, model)
        self._audit.append("model_kept", plan_hash=plan_hash)
        return DeliveryState.ACCEPTED

    def describe(self) -> NodeDescription:
        """As the port says."""
        return NodeDescription(self._site)

    def _approval_of(self, plan_hash: str) -> Approval:
        decided = self._approvals.find(plan_hash)
        if decided is None or decided.decision is not Decision.APPROVED:
            with self._guards_lock:
                self._guards.pop(plan_hash, None)
            raise RequestRefused(RefusalCode.NOT_APPROVED)
        return decided

    def _guard_with_its_past(self, request: AnyRequest) -> Guard:
        """The guard of the plan, once the ledger is known to hold whatever the coordinator says it has had."""
        guard = self._guard_for(self._approval_of(request.plan_hash))
        older = forgotten(self._folder, request.answered, plan_hash=request.plan_hash)
        if older:
            self._note_forgotten(older, request.plan_hash)
            raise RequestRefused(RefusalCode.NOT_READY)
        return guard

    def _note_forgotten(self, older: str, plan_hash: str) -> None:
        def note() -> None:
            _log.error("a question is not answered: %s", older)
            self._audit.append(FORGOTTEN, plan_hash=plan_hash)

        self._repeats.note(FORGOTTEN, note)

    def _guard_for(self, approval: Approval) -> Guard:
        basis = _Basis(approval, hashlib.sha256(self._policy_bytes()).hexdigest())
        kept = self._guards.get(approval.plan_hash)
        if kept is None or kept.basis.approval != approval:
            file = self._approvals.patients_file(approval)
            kept = _Kept(basis, ApprovedPatients(file, approval.patients_sha256, self._count_reading), None)
        guard = kept.guard if kept.basis == basis else None
        try:
            guard = guard or self._built(approval, kept.patients)
        finally:
            with self._guards_lock:
                self._guards[approval.plan_hash] = _Kept(basis, kept.patients, guard)
        return guard

    def _built(self, approval: Approval, approved: ApprovedPatients) -> Guard:
        document = self._document(approval)
        try:
            policy = read_policy(self._folder.policy)
        except InvalidInput as fault:
            _log.error("the policy is at fault; every request is refused: %s", fault)
            raise RequestRefused(RefusalCode.NOT_READY) from None
        try:
            source = policy.source(approval.data_source)
            return Guard(
                site=self._site,
                plan=document.plan,
                policy=source.site_policy,
                patients=approved.trained_on,
                held_out=approved.held_out,
                ledger=self._ledger(source),
                noise=self._noise,
                answers=self._answers,
                masks=SumMasks(self._keys.masking),
                told=self._note_failure,
                announce=self._announce,
            )
        except (InvalidInput, PrivacyRefusal) as refusal:
            _log.warning(
                "plan %s was approved, and the policy no longer allows it: %s", approval.plan_hash[:12], refusal
            )
            raise RequestRefused(RefusalCode.NOT_APPROVED) from None

    def _ledger(self, source: SourcePolicy) -> WitnessedLedger:
        """Raises RecordFailure when it, or what tells of the same releases, is not sound."""
        refuse_disagreement(self._folder)
        kept = SqliteLedger(
            self._folder.ledger,
            data_source=source.name,
            budget=source.site_policy.budget,
            counted_with=source.counted_with,
        )
        return WitnessedLedger(kept, self._seen.setdefault(frozenset([source.name, *source.counted_with]), set()))

    def _count_reading(self) -> None:
        self._readings += 1

    def _document(self, approval: Approval) -> StudyDocument:
        """The approved document, verified again: its file may have been changed since."""
        path = self._document_path(approval.plan_hash)
        try:
            document = read_document(path.read_bytes())
            verify_document(document, public_key=self._keys.coordinator)
        except (OSError, InvalidInput, SignatureInvalid) as fault:
            _log.error("the document of plan %s is lost or damaged (%s)", approval.plan_hash[:12], type(fault).__name__)
            raise RequestRefused(RefusalCode.NOT_APPROVED) from None
        if document.plan.hash != approval.plan_hash:
            _log.error("the document of plan %s is another plan's", approval.plan_hash[:12])
            raise RequestRefused(RefusalCode.NOT_APPROVED)
        return document

    def _policy_bytes(self) -> bytes:
        try:
            return self._folder.policy.read_bytes()
        except OSError as error:
            _log.error("the policy cannot be read (%s); every request is refused", type(error).__name__)
            raise RequestRefused(RefusalCode.NOT_READY) from None

    def _announce(self, request: AnyRequest) -> None:
        """Of a round or a summary. No number of it is told: a summary has a name in its place."""
        round_, event = (request.round, "contribute") if isinstance(request, ContributeRequest) else (None, "summarise")
        self._audit.announce(event, plan_hash=request.plan_hash, round_=round_, attempt=request.attempt)

    def _note_failure(self, word: str, request: AnyRequest) -> None:
        """Of an answer that left all the same, or of a charge that was announced and not made."""
        round_ = request.round if isinstance(request, ContributeRequest) else None
        self._audit.append(word, plan_hash=request.plan_hash, round_=round_, attempt=request.attempt)

    def _document_path(self, plan_hash: str) -> Path:
        return self._folder.plans / f"{plan_hash}.json"

    def _refused_offer(self, reason: str, document: bytes, plan_hash: str = "") -> PlanState:
        def note() -> None:
            _log.warning("a plan that was offered is not kept: %s", reason)
            self._audit.append("plan_not_kept", plan_hash=plan_hash, code=reason)

        self._repeats.note((reason, hashlib.sha256(document).digest()), note)
        return PlanState.REFUSED

    def _refused_model(self, reason: str, plan_hash: str) -> DeliveryState:
        def note() -> None:
            _log.warning("a model that was sent is not kept: %s", reason)
            self._audit.append("model_not_kept", plan_hash=plan_hash, code=reason)

        self._repeats.note(("model_not_kept", reason, plan_hash), note)
        return DeliveryState.REFUSED
