"""May this request be answered, and what does the hospital then let out?

The guard owns a hospital's patients, its policy and its ledger. It holds its own copy of the plan that the hospital
approved and answers nothing else. Order of a contribution: check the request, charge the ledger (durably, before any
patient is read), compute, keep the bytes, answer. A crash may waste a charge; it never releases without one.

Everything that leaves is a noised sum or a code from `errors.RefusalCode`; no text about data, not even when something
of ours fails: of an unexpected exception the local log gets the type, and the text only at level DEBUG.
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np

from oncofed.client.training import local_contribution
from oncofed.errors import BudgetExceeded, PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.ledger import Charge, Ledger
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.privacy.policy import SitePolicy, release_of_one_round
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count

_log = logging.getLogger(__name__)


class Guard:
    """The in-process guard of one hospital; implements `protocol.messages.GuardPort`."""

    def __init__(
        self,
        *,
        site: str,
        plan: StudyPlan,
        policy: SitePolicy,
        patients: PatientTensors,
        ledger: Ledger,
        noise: NoiseSource,
    ) -> None:
        policy.refuse_unless_allowed(plan)
        if ledger.budget != policy.budget:
            raise PrivacyRefusal(f"the ledger keeps another budget than the policy of {policy.data_source} gives")
        if plan.privacy.mode is not PrivacyMode.NONE and isinstance(noise, NoNoise):
            raise PrivacyRefusal("the plan promises noise, and this guard was given a source that adds none")
        self.site = site
        self.plan = plan
        self.ledger = ledger
        self._patients = patients
        self._noise = noise
        self._plan_hash = plan.hash
        self._answered: tuple[str, Contribution] | None = None

    def contribute(self, request: ContributeRequest) -> Contribution:
        """One round's contribution. The latest request, if asked again, gets the same bytes without a charge."""
        try:
            return self._contribution(request)
        except RequestRefused as refusal:
            code = refusal.code
        except Exception as error:  # its text may quote data
            _log.error("site %s fails with %s; the server is told `internal`", self.site, type(error).__name__)
            _log.debug("the failure in full", exc_info=error)
            code = RefusalCode.INTERNAL
        # Outside the handlers, so that no exception that saw data travels along as this one's context.
        raise RequestRefused(code)

    def _contribution(self, request: ContributeRequest) -> Contribution:
        self._refuse_malformed(request)
        request_hash = request.hash
        if self._answered is not None and self._answered[0] == request_hash:
            return self._answered[1]
        noise = self._charged_noise(request, request_hash)
        vector = local_contribution(self.plan, request.weights, self._patients, noise=noise)
        vector.setflags(write=False)
        self._answered = (request_hash, Contribution(vector))
        return self._answered[1]

    def _charged_noise(self, request: ContributeRequest, request_hash: str) -> NoiseSource:
        identity = "/".join(map(str, request.identity))
        if self.plan.privacy.mode is PrivacyMode.NONE:
            # Nothing is hidden here, so who joins a batch may follow from the request, and a run can be repeated.
            return NoNoise(seed=int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16))
        event = release_of_one_round(self.plan.training, noise_multiplier=self.plan.privacy.noise_multiplier)
        try:
            self.ledger.charge(Charge(identity, request_hash, event))
        except BudgetExceeded as refusal:
            _log.warning("site %s refuses round %d: %s", self.site, request.round, refusal)
            raise RequestRefused(RefusalCode.BUDGET_EXCEEDED) from None
        return self._noise

    def _refuse_malformed(self, request: ContributeRequest) -> None:
        if request.plan_hash != self._plan_hash:
            raise RequestRefused(RefusalCode.WRONG_PLAN)
        if request.site != self.site or self.site not in request.roster:
            raise RequestRefused(RefusalCode.WRONG_SITE)
        if not 1 <= request.round <= self.plan.training.rounds or request.attempt < 0:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
        expected = (parameter_count(self.plan.model),)
        if request.weights.shape != expected or request.weights.dtype != np.float64:
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
        if not np.isfinite(request.weights).all():
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
