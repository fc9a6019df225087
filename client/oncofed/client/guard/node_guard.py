"""Which plans may this hospital take part in, and which guard answers for each?

`NodeGuard` is what stands behind the socket: what it believes of a plan is `guard.trust`, to which it adds files. For
a plan's hash it looks up, in this order: the approval, the signed document, the policy, the ledger; from them it builds
a `client.guard.Guard`, and keeps it as long as approval and policy are the same. Both are looked at for every request,
so that a plan which is declined, or a policy that is tightened, counts at once. The process looks at approvals every
few seconds too (`forget_unapproved`), so that patients whose approval is withdrawn do not stay in memory until somebody
asks. The table is not looked at: its patients were frozen when somebody approved.

Patients are read once for each approval, at the first question about its plan, and stay in memory until somebody
declines or approves anew. How many plans' patients there are is so decided by persons: were some let go for others, a
coordinator could have them read again and again, and reading takes longer with more patients. Who wants the memory back
declines plans that are finished.

Promises: only documents and models that the pinned coordinator signed are kept; a plan must name this hospital with its
own keys (`guard.plan_offers`); a plan is charged no oftener than its rounds and its reserve, however many attempts are
asked for; nothing a server sends chooses policy, source, noise or ledger; no code follows from the patients. Refused:
`NOT_APPROVED` for a plan without approval, or that the policy does not allow; `NOT_READY` for a policy, or frozen
patients, that cannot be read, and for a masking key that is gone; `WRONG_KEYS` for other hospitals' keys that they did
not sign. Every answer is noted by the server in front (`guard_server`); this module
notes beside it what was kept, and why not.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass
from functools import partial

from oncofed.client.guard import trust
from oncofed.client.guard.guard import Guard
from oncofed.client.guard.pinned_keys import PinnedKeys
from oncofed.client.guard.plan_offers import PlanOffers
from oncofed.client.guard.policy_file import NodePolicy, SourcePolicy, read_policy
from oncofed.client.guard.public_times import NoPace, Pace
from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.guard.trust import Reason, Standing, Untrusted
from oncofed.client.install.folder import NodeFolder
from oncofed.client.patients.approved_patients import ApprovedPatients
from oncofed.client.records.agreement import Release, WitnessedLedger, forgotten, refuse_disagreement
from oncofed.client.records.answers import FolderAnswers
from oncofed.client.records.approvals import STATES, Approvals
from oncofed.client.records.audit_entries import FORGOTTEN
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.offers import Offers
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.client.records.repeats import Repeats
from oncofed.client.records.source_memory import remember_sources
from oncofed.client.records.sqlite_ledger import SqliteLedger, read_ledger
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import InvalidInput, PrivacyRefusal, RecordFailure, RefusalCode, RequestRefused
from oncofed.plain_file import file_content, plain_bytes
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.masking import public_masking_key_of
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.protocol.answer_times import AnswerTimes, answer_times_of
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.model_file import SignedModel
from oncofed.protocol.study_document import LARGEST_BYTES
from oncofed.protocol.wire_form import LARGEST_MESSAGE, is_hash
from oncofed.secret_files import LARGEST_SECRET

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Basis:
    """What a guard was built on; another basis needs another guard.

    charged  the data sources that have spent: once another one has, this one's patients may be its.
    """

    approval: Approval
    policy_sha256: str
    masking_keys: tuple[SignedMaskingKey, ...]
    charged: frozenset[str]


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

    def __init__(
        self,
        folder: NodeFolder,
        *,
        site: str,
        keys: PinnedKeys,
        noise: NoiseSource | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._folder = folder
        self._site = site
        self._keys = keys
        self._pinned = keys.pinned(site)
        self._masking = PlanKeys(folder.masking)
        self._noise = OperatingSystemNoise() if noise is None else noise
        self._audit = AuditLog(folder.audit_log)
        self._approvals = Approvals(
            folder.approvals, folder.bundles, self._audit, folder.held_out_secret, folder.patients, self._masking
        )
        self._offers = Offers(folder.plans, self._approvals.find)
        self._answers = FolderAnswers(folder.answers)
        self._guards: dict[str, _Kept] = {}
        self._guards_lock = threading.Lock()
        self._repeats = Repeats(self._audit.count)
        self._plan_offers = PlanOffers(self._pinned, self._offers, self._approvals.find, self._audit, self._repeats)
        self._pace = NoPace() if pace is None else pace
        self._seen: dict[frozenset[str], set[Release]] = {}
        try:
            self._approvals.tidy()
            for model in sorted(folder.models.glob("*.safetensors")):
                self._close(model.stem)  # a kill came in between
            for words in self._approvals.disagreements():
                _log.error("a decision is not what the audit log tells: %s", words)
        except RecordFailure as failure:  # they are nobody's answer, and the next decision removes them
            _log.error("patients or keys that no decision names cannot be removed: %s", failure)

    @property
    def audit(self) -> AuditLog:
        """Who notes what left must note it here, where the charge was announced."""
        return self._audit

    @property
    def decisions(self) -> Approvals:
        """For any thread."""
        return self._approvals

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
                    _log.info("the patients of plan %s are in memory no longer", plan_hash)

    def contribute(self, request: ContributeRequest) -> Contribution:
        """As the port says."""
        return self._guard_with_its_past(request).contribute(request)

    def summarise(self, request: SummariseRequest) -> Contribution:
        """As the port says."""
        return self._guard_with_its_past(request).summarise(request)

    def offer_plan(self, document: bytes) -> PlanState:
        """As the port says; REFUSED for a document that is not kept."""
        return self._plan_offers.offered(document)

    def plan_status(self, plan_hash: str) -> PlanState:
        """As the port says; REFUSED for a plan that is not kept."""
        return self._plan_offers.state_of(plan_hash)

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        """As the port says. One model a plan: another one later is refused, even if it is signed."""
        if not is_hash(plan_hash):  # it may be of any length, and becomes the name of a file
            return self._refused_model(Reason.NOT_APPROVED, "malformed")
        path = self._folder.models / f"{plan_hash}.safetensors"
        try:
            standing = self._standing(self._approval_of(plan_hash))
            with unwritable(path):
                if path.exists():
                    kept = SignedModel(
                        plain_bytes(path, most=LARGEST_MESSAGE),
                        plain_bytes(path.with_suffix(".signature"), most=LARGEST_SECRET),
                    )
                    standing = trust.delivered(standing, kept, pinned=self._pinned)
            trust.delivered(standing, SignedModel(model, signature), pinned=self._pinned)
        except RequestRefused:
            return self._refused_model(Reason.NOT_APPROVED, plan_hash)
        except Untrusted as refusal:
            return self._refused_model(refusal.reason, plan_hash)
        if standing.model is None:
            # The signature first: a model is never there without it.
            replace_durably(path.with_suffix(".signature"), signature)
            replace_durably(path, model)
            self._audit.append("model_kept", plan_hash=plan_hash)
        self._close(plan_hash)
        return DeliveryState.ACCEPTED

    def _close(self, plan_hash: str) -> None:
        """Of a plan whose model has come: without its masking key what was recorded of it stays closed for good."""
        if self._masking.forget(plan_hash):
            with self._guards_lock:
                self._guards.pop(plan_hash, None)

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        """As the port says. Raises RequestRefused: NOT_READY where this hospital's own key is gone."""
        approval = self._approval_of(plan_hash)
        try:
            standing = self._standing(approval)
            trust.refuse_unanswerable(standing, key_held=self._masking.held(plan_hash))
            before = trust.exchanged(standing, self._masking.others(plan_hash), own=self._site)
            after = trust.exchanged(before, keys, own=self._site)
        except Untrusted as refusal:
            self._refused_keys(refusal, plan_hash)
            own = refusal.reason in (Reason.NO_MASKING_KEY, Reason.ANOTHER_OWN_KEY)
            raise RequestRefused(RefusalCode.NOT_READY if own else RefusalCode.WRONG_KEYS) from None
        if after.keys != before.keys:
            self._masking.keep(plan_hash, after.keys.values())
        return signed_masking_key(
            bytes.fromhex(after.masking_key), plan_hash=plan_hash, site=self._site, answer_key=self._keys.answer
        )

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

        self._repeats.note(FORGOTTEN, note, first_of=FORGOTTEN)

    def _guard_for(self, approval: Approval) -> Guard:
        masking_keys = self._masking.others(approval.plan_hash) if approval.masking_key else ()
        charged = frozenset(entry.data_source for entry in read_ledger(self._folder.ledger))
        basis = _Basis(approval, hashlib.sha256(self._policy_bytes()).hexdigest(), masking_keys, charged)
        kept = self._guards.get(approval.plan_hash)
        if kept is None or kept.basis.approval != approval:
            file = self._approvals.patients_file(approval)
            seconds = answer_times_of(self._standing(approval).plan).reading_seconds
            reading = partial(self._pace.reading, seconds)
            kept = _Kept(basis, ApprovedPatients(file, approval.patients_sha256, reading), None)
        guard = kept.guard if kept.basis == basis else None
        try:
            guard = guard or self._built(basis, kept.patients)
        finally:
            with self._guards_lock:
                self._guards[approval.plan_hash] = _Kept(basis, kept.patients, guard)
        return guard

    def _built(self, basis: _Basis, approved: ApprovedPatients) -> Guard:
        approval = basis.approval
        standing = self._standing(approval)
        masks = self._masks(standing, basis.masking_keys)
        try:
            policy = read_policy(self._folder.policy)
        except InvalidInput as fault:
            _log.error("the policy is at fault; every request is refused: %s", fault)
            raise RequestRefused(RefusalCode.NOT_READY) from None
        if approval.plan_hash in policy.plans_with_lost_answers:  # whatever a coordinator says, or keeps silent about
            _log.error("plan %s is never answered again: the policy says that its answers are lost", approval.plan_hash)
            raise RequestRefused(RefusalCode.NOT_READY)
        try:
            source = policy.source(approval.data_source)
            self._remember(policy)
            return Guard(
                site=self._site,
                plan=standing.plan,
                policy=source.site_policy,
                patients=approved.trained_on,
                held_out=approved.held_out,
                question=trust.question_in(self._document(approval), pinned=self._pinned),
                ledger=self._ledger(source),
                noise=self._noise,
                answers=self._answers,
                masks=masks,
                told=self._note_failure,
                announce=self._announce,
                begins=partial(self._begins, answer_times_of(standing.plan)),
            )
        except (InvalidInput, PrivacyRefusal, Untrusted) as refusal:
            _log.warning("plan %s was approved, and the policy no longer allows it: %s", approval.plan_hash, refusal)
            raise RequestRefused(RefusalCode.NOT_APPROVED) from None

    def _remember(self, policy: NodePolicy) -> None:
        """Raises RequestRefused where patients would have a second budget under this policy."""
        try:
            remember_sources(self._folder, policy, self._audit)
        except InvalidInput as fault:
            _log.error("the policy is at fault; every request is refused: %s", fault)
            raise RequestRefused(RefusalCode.NOT_READY) from None

    def _masks(self, standing: Standing, others: tuple[SignedMaskingKey, ...]) -> SumMasks | None:
        """None where the plan shares no noise. Raises RequestRefused(NOT_READY) for keys that are gone or changed."""
        plan_hash = standing.plan.hash
        try:
            key = self._masking.own(plan_hash)
            held = "" if key is None else public_masking_key_of(key).hex()
            trust.refuse_unanswerable(standing, key_held=held)
            if not standing.plan.needs_masking_keys:
                return None
            assert key is not None
            known = trust.exchanged(standing, others, own=self._site).public_keys(own=self._site)
            masks = SumMasks(key, known, graph_of(standing.plan))
            masks.refuse_unless_fit(site=self._site)
        except (Untrusted, InvalidInput, PrivacyRefusal) as refusal:
            said = refusal.told or refusal.reason if isinstance(refusal, Untrusted) else refusal
            _log.error("plan %s cannot be answered: %s", plan_hash, said)
            raise RequestRefused(RefusalCode.NOT_READY) from None
        return masks

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

    def _standing(self, approval: Approval) -> Standing:
        """Of the approved document, verified again: its file may have been changed since."""
        try:
            standing = trust.from_coordinator(self._document(approval), pinned=self._pinned)
            return trust.decided(
                standing,
                plan_hash=approval.plan_hash,
                state=STATES[approval.decision],
                masking_key=approval.masking_key,
            )
        except (InvalidInput, Untrusted) as fault:
            said = fault.reason if isinstance(fault, Untrusted) else type(fault).__name__
            _log.error("the document of plan %s is lost or damaged (%s)", approval.plan_hash, said)
            raise RequestRefused(RefusalCode.NOT_APPROVED) from None

    def _document(self, approval: Approval) -> bytes:
        return file_content(self._offers.path(approval.plan_hash), most=LARGEST_BYTES)

    def _policy_bytes(self) -> bytes:
        try:
            return file_content(self._folder.policy)
        except InvalidInput as fault:
            _log.error("the policy cannot be read; every request is refused: %s", fault)
            raise RequestRefused(RefusalCode.NOT_READY) from None

    def _announce(self, request: AnyRequest) -> None:
        """Of a round or a summary. No number of it is told: a summary has a name in its place."""
        round_, event = (request.round, "contribute") if isinstance(request, ContributeRequest) else (None, "summarise")
        self._audit.announce(event, plan_hash=request.plan_hash, round_=round_, attempt=request.attempt)

    def _begins(self, times: AnswerTimes, request: AnyRequest) -> None:
        of_round = isinstance(request, ContributeRequest)
        self._pace.begins(times.round_seconds if of_round else times.summary_seconds)

    def _note_failure(self, word: str, request: AnyRequest) -> None:
        """Of an answer that left all the same, or of a charge that was announced and not made."""
        round_ = request.round if isinstance(request, ContributeRequest) else None
        self._audit.append(word, plan_hash=request.plan_hash, round_=round_, attempt=request.attempt)

    def _refused_keys(self, refusal: Untrusted, plan_hash: str) -> None:
        def note() -> None:
            _log.error("masking keys of plan %s are not kept: %s", plan_hash, refusal.told or refusal.reason)
            self._audit.append("masking_keys_not_kept", plan_hash=plan_hash, code=refusal.reason)

        self._repeats.note(("masking_keys_not_kept", refusal.reason, plan_hash), note)

    def _refused_model(self, reason: str, plan_hash: str) -> DeliveryState:
        def note() -> None:
            _log.warning("a model that was sent is not kept: %s", reason)
            self._audit.append("model_not_kept", plan_hash=plan_hash, code=reason)

        self._repeats.note(("model_not_kept", reason, plan_hash), note)
        return DeliveryState.REFUSED
