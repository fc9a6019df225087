"""May this request be answered, and what does the hospital then let out?

The guard owns a hospital's patients, its policy and its ledger. It holds its own copy of the plan that the hospital
approved and answers nothing else. Order of a contribution: check the request; look for the answer it had before; ask
the ledger whether it could pay (until here no patient is read); load the patients; charge the ledger, durably, before
anything is computed from them; compute; keep the bytes, durably; answer. A crash may waste a charge; it never releases
without one. Patients that cannot be had (`NOT_READY`) cost nothing, nor does a ledger that cannot be written: the same
code, and the local log says which file.

Everything that leaves is a noised sum or a code from `errors.RefusalCode`; no text about data, not even when something
of ours fails: of an unexpected exception the local log gets the type, and the text only at level DEBUG.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import numpy as np

from oncofed.client.noise_sharing import NoiseSharing
from oncofed.client.records.answers import Answers, MemoryAnswers
from oncofed.client.training import local_contribution
from oncofed.errors import BudgetExceeded, PrivacyRefusal, RecordFailure, RefusalCode, RequestRefused
from oncofed.privacy.ledger import Charge, Ledger, refuse_unless_payable
from oncofed.privacy.masking import refuse_roster
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.privacy.policy import SitePolicy, release_of_one_round
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count

LoadPatients = Callable[[], PatientTensors]
"""Reads the hospital's patients; called only for a request that will be charged. May raise RequestRefused."""

_log = logging.getLogger(__name__)


class Guard:
    """The in-process guard of one hospital; implements `protocol.messages.GuardPort`."""

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
    ) -> None:
        policy.refuse_unless_allowed(plan)
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
        self._noise = noise
        self._plan_hash = plan.hash
        self._answers: Answers = MemoryAnswers() if answers is None else answers

    def contribute(self, request: ContributeRequest) -> Contribution:
        """One round's contribution. A request that was answered lately gets the same bytes without a charge."""
        try:
            return self._contribution(request)
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
        identity, request_hash = "/".join(map(str, request.identity)), request.hash
        answered = self._answers.find(request_hash)
        if answered is not None:
            return answered
        if self._answers.content_of(identity) not in (None, request_hash):
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
        charge = self._charge(identity, request_hash)
        if charge is None:
            patients = self._patients()
            # Nothing is hidden here, so who joins a batch may follow from the request, and a run can be repeated.
            noise: NoiseSource = NoNoise(seed=int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16))
        else:
            patients = self._charged_patients(charge, round_=request.round)
            noise = self._noise
        if self._sharing is not None and self.plan.privacy.mode is PrivacyMode.DISTRIBUTED:
            contribution = Contribution(self._sharing.masked_contribution(request, self.plan, patients))
        else:
            contribution = Contribution(local_contribution(self.plan, request.weights, patients, noise=noise))
        contribution.vector.setflags(write=False)
        self._answers.keep(contribution, identity=identity, request_hash=request_hash)
        return contribution

    def _charge(self, identity: str, request_hash: str) -> Charge | None:
        """What the answer costs; None where the plan hides nothing."""
        if self.plan.privacy.mode is PrivacyMode.NONE:
            return None
        event = release_of_one_round(self.plan.training, self.plan.privacy)
        return Charge(identity, request_hash, event)

    def _charged_patients(self, charge: Charge, *, round_: int) -> PatientTensors:
        """The patients, for one computation that the ledger has paid for."""
        try:
            refuse_unless_payable(self.ledger, charge)
            patients = self._patients()
            self.ledger.charge(charge)
        except BudgetExceeded as refusal:
            _log.warning("site %s refuses round %d: %s", self.site, round_, refusal)
            raise RequestRefused(RefusalCode.BUDGET_EXCEEDED) from None
        return patients

    def _refuse_malformed(self, request: ContributeRequest) -> None:
        if request.plan_hash != self._plan_hash:
            raise RequestRefused(RefusalCode.WRONG_PLAN)
        if request.site != self.site or not self._is_our_roster(request.roster):
            raise RequestRefused(RefusalCode.WRONG_SITE)
        if not 1 <= request.round <= self.plan.training.rounds or request.attempt < 0:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
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
