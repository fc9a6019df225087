"""May this request be answered, and what does the hospital then let out?

The guard owns a hospital's patients, its policy and its ledger. It holds its own copy of the plan that the hospital
approved and answers nothing else. Order of an answer, to a round or to a summary: check the request; look for the
answer it had before; ask the ledger whether it could pay (until here no patient is read); load the patients; charge the
ledger, durably, before anything is computed from them; compute; keep the bytes, durably; answer. A crash may waste a
charge; it never releases without one. Patients that cannot be had (`NOT_READY`) cost nothing, nor does a ledger that
cannot be written: the same code, and the local log says why.

Everything that leaves is a noised sum or a code from `errors.RefusalCode`; no text about data, not even when something
of ours fails: of an unexpected exception the local log gets the type, and the text only at level DEBUG.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from oncofed.client.noise_sharing import NoiseSharing
from oncofed.client.records.answers import Answers, MemoryAnswers
from oncofed.client.summaries import KINDS, Kinds, bounded_sum, noised, refuse_unknown
from oncofed.client.training import clipped_direction, local_contribution
from oncofed.errors import BudgetExceeded, PrivacyRefusal, RecordFailure, RefusalCode, RequestRefused
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.ledger import Charge, Ledger, refuse_unless_payable
from oncofed.privacy.masking import Attempt, content_hash_of, refuse_roster
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.privacy.policy import SitePolicy, release_of_one_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    SummariseRequest,
    identity_text,
    in_words,
)
from oncofed.protocol.plan import PrivacyMode, StudyPlan, SummarySpec
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count

LoadPatients = Callable[[], PatientTensors]
"""Reads some of the hospital's patients; called only for a request that will be charged. May raise RequestRefused."""

Compute = Callable[[PatientTensors, NoiseSource], NDArray[np.float64] | NDArray[np.uint64]]
"""What leaves, computed from patients that the ledger has paid for."""

_log = logging.getLogger(__name__)


class Guard:
    """The in-process guard of one hospital; implements `protocol.messages.GuardPort`.

    patients  who is trained on. held_out: who never is; needed where a summary of the plan is about them.
    kinds     what may be asked in a summary; others than `client.summaries.KINDS` in tests only.
    """

    def __init__(
        self,
        *,
        site: str,
        plan: StudyPlan,
        policy: SitePolicy,
        patients: LoadPatients,
        ledger: Ledger,
        noise: NoiseSource,
        answers: Answers | None = None,
        sharing: NoiseSharing | None = None,  # mode `distributed` needs it
        held_out: LoadPatients | None = None,
        kinds: Kinds = KINDS,
    ) -> None:
        policy.refuse_unless_allowed(plan)
        refuse_unknown(plan, kinds)
        if held_out is None and any(kinds[spec.kind].held_out for spec in plan.summaries):
            raise PrivacyRefusal("the plan measures patients set aside, and this guard was given none")
        if ledger.budget != policy.budget:
            raise PrivacyRefusal(f"the ledger keeps another budget than the policy of {policy.data_source} gives")
        if plan.privacy.mode is not PrivacyMode.NONE and isinstance(noise, NoNoise):
            raise PrivacyRefusal("the plan promises noise, and this guard was given a source that adds none")
        if plan.privacy.mode is PrivacyMode.DISTRIBUTED:
            if sharing is None:
                raise PrivacyRefusal("the plan shares its noise, and this guard has no masking key")
            sharing.refuse_unless_fit(plan, site=site)
        self.site = site
        self.plan = plan
        self._sharing = sharing
        self.ledger = ledger
        self._patients = patients
        self._held_out = held_out
        self._kinds = kinds
        self._noise = noise
        self._plan_hash = plan.hash
        self._answers: Answers = MemoryAnswers() if answers is None else answers

    def contribute(self, request: ContributeRequest) -> Contribution:
        """One round's contribution. A request that was answered lately gets the same bytes without a charge."""
        return self._answered(lambda: self._contribution(request))

    def summarise(self, request: SummariseRequest) -> Contribution:
        """One of the plan's summaries, for the model in the request; answered and charged as a round is."""
        return self._answered(lambda: self._summary(request))

    def _answered(self, answer: Callable[[], Contribution]) -> Contribution:
        try:
            return answer()
        except RequestRefused as refusal:
            code = refusal.code
        except RecordFailure as failure:  # our own words, and the remedy
            _log.error("site %s cannot answer, and releases nothing: %s", self.site, failure)
            code = RefusalCode.NOT_READY
        except Exception as error:  # its text may quote data
            _log.error("site %s fails with %s; the server is told `internal`", self.site, type(error).__name__)
            _log.debug("the failure in full", exc_info=error)
            code = RefusalCode.INTERNAL
        # Outside the handlers, so that no exception that saw data travels along as this one's context.
        raise RequestRefused(code)

    def _contribution(self, request: ContributeRequest) -> Contribution:
        self._refuse_malformed(request)
        if not 1 <= request.round <= self.plan.training.rounds or request.attempt < 0:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
        plan, event = self.plan, release_of_one_round(self.plan.training, self.plan.privacy)

        def compute(patients: PatientTensors, noise: NoiseSource) -> NDArray[np.float64] | NDArray[np.uint64]:
            if isinstance(event, SharedIntegerRelease):
                return self._masked(clipped_direction(plan, request.weights, patients), request.round, request, event)
            return local_contribution(plan, request.weights, patients, noise=noise)

        return Contribution(self._released(request, event, self._patients, compute))

    def _summary(self, request: SummariseRequest) -> Contribution:
        self._refuse_malformed(request)
        spec = self.plan.summary(request.summary)
        if spec is None or not 0 <= request.attempt < spec.attempts or request.cells != spec.cells:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
        vector = self._released(
            request, release_of_summary(spec), self._patients_of(spec), self._computing(spec, request)
        )
        return Contribution(vector, noised=self.plan.privacy.mode is not PrivacyMode.NONE)

    def _patients_of(self, spec: SummarySpec) -> LoadPatients:
        of_held_out = self._held_out if self._kinds[spec.kind].held_out else self._patients
        assert of_held_out is not None
        return of_held_out

    def _computing(self, spec: SummarySpec, request: SummariseRequest) -> Compute:
        event = release_of_summary(spec)

        def compute(patients: PatientTensors, noise: NoiseSource) -> NDArray[np.float64] | NDArray[np.uint64]:
            total = bounded_sum(self.plan, spec, request.weights, patients, kinds=self._kinds)
            if isinstance(event, SharedIntegerRelease):
                return self._masked(total.vector, spec.name, request, event)
            return noised(total, noise, noise_multiplier=spec.noise_multiplier)

        return compute

    def _masked(
        self,
        bounded: NDArray[np.float64],
        release: int | str,
        request: AnyRequest,
        event: SharedIntegerRelease,
    ) -> NDArray[np.uint64]:
        assert self._sharing is not None
        content = content_hash_of(request.weights)
        attempt = Attempt(request.plan_hash, release, request.attempt, request.roster, content)
        return self._sharing.masked_part(bounded, own=self.site, plan=self.plan, release=event, attempt=attempt)

    def _released(
        self, request: AnyRequest, event: PrivacyEvent, load: LoadPatients, compute: Compute
    ) -> NDArray[np.float64] | NDArray[np.uint64]:
        """The answer it had before; or charge, compute, keep."""
        identity, request_hash = identity_text(request), request.hash
        answered = self._answers.find(request_hash)
        if answered is not None:
            return answered.vector
        if self._answers.content_of(identity) not in (None, request_hash):
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
        if self.plan.privacy.mode is PrivacyMode.NONE:
            patients = load()
            # Nothing is hidden here, so who joins a batch may follow from the request, and a run can be repeated.
            noise: NoiseSource = NoNoise(seed=int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16))
        else:
            patients = self._charged_patients(Charge(identity, request_hash, event), load, what=in_words(request))
            noise = self._noise
        vector = compute(patients, noise)
        vector.setflags(write=False)
        self._answers.keep(Contribution(vector), identity=identity, request_hash=request_hash)
        return vector

    def _charged_patients(self, charge: Charge, load: LoadPatients, *, what: str) -> PatientTensors:
        """The patients, for one computation that the ledger has paid for."""
        try:
            refuse_unless_payable(self.ledger, charge)
            patients = load()
            self.ledger.charge(charge)
        except BudgetExceeded as refusal:
            _log.warning("site %s refuses %s: %s", self.site, what, refusal)
            raise RequestRefused(RefusalCode.BUDGET_EXCEEDED) from None
        return patients

    def _refuse_malformed(self, request: AnyRequest) -> None:
        if request.plan_hash != self._plan_hash:
            raise RequestRefused(RefusalCode.WRONG_PLAN)
        if request.site != self.site or not self._is_our_roster(request.roster):
            raise RequestRefused(RefusalCode.WRONG_SITE)
        expected = (parameter_count(self.plan.model),)
        if request.weights.shape != expected or request.weights.dtype != np.float64:
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
        if not np.isfinite(request.weights).all():
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)

    def _is_our_roster(self, roster: tuple[str, ...]) -> bool:
        """Whether this hospital may answer an attempt among these. A masked sum of too few would open one of them."""
        shares = self.plan.privacy.shares
        if shares is None:
            return self.site in roster
        try:
            refuse_roster(roster, plan_roster=self.plan.roster, own=self.site, dropouts=shares.dropouts)
        except PrivacyRefusal:
            return False
        return True
