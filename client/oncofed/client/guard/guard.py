"""May this request be answered, and what does the hospital then let out?

The guard owns a hospital's patients, its policy and its ledger. It holds its own copy of the plan that the hospital
approved and answers nothing else. Order of an answer, to a round or to a summary: check the request; look for the
answer it had before; ask plan and ledger whether it could pay (until here no patient is read); load the patients;
make room for the answer on the disk and announce the charge in the audit log, so that neither can fail after it; charge
the ledger, durably, before anything is computed from them; compute; keep the bytes, durably; answer. A crash
may waste a charge; it never releases without one. Patients that cannot be had cost nothing, nor does a ledger that
cannot be written (`NOT_READY`); the local log says why.

What is computed, charged and checked is one object, the release (`privacy.releases`). *Once a charge is made, an answer
of the release's form leaves, whatever fails*: a failure could depend on a patient, so it must look like any answer.
What cannot be computed, or is not of the release's form, is replaced by what a hospital without patients would send,
noise alone; the local log and the audit log say so, and nobody else is told. An answer that cannot be kept leaves all
the same: it is the one answer to its charge, and the ledger refuses to make another. (Without random numbers from the
operating system nothing leaves; that depends on no patient.)

Everything that leaves is a release or a code from `errors.RefusalCode`; no text about data, not even when something of
ours fails: of an unexpected exception the local log gets the type, and the text only at level DEBUG.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.sum_masks import Masks
from oncofed.client.patients.calibration_sums import calibration_sum
from oncofed.client.patients.entity_sums import entity_sum
from oncofed.client.patients.options_sums import options_kind, options_round_sum, refuse_unless_asked
from oncofed.client.patients.summaries import KINDS, Kinds, bounded_sum, refuse_unknown
from oncofed.client.patients.training import ascent_sum, seen_in_round, weights_after_local_steps
from oncofed.client.records.answers import Answers, MemoryAnswers
from oncofed.client.records.audit_entries import NOT_CHARGED, NOT_KEPT
from oncofed.errors import (
    BudgetExceeded,
    PrivacyRefusal,
    RecordFailure,
    RefusalCode,
    RequestRefused,
    UnaccountedEvent,
)
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import Charge, Ledger, refuse_unless_payable
from oncofed.privacy.masking import Attempt, content_hash_of
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.release import Mask, Release
from oncofed.privacy.releases import release_of_round, release_of_summary
from oncofed.protocol.calibration_layout import calibration_round_of
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    SummariseRequest,
    identity_text,
    in_words,
    numbers_asked_for,
    of_same_kind,
)
from oncofed.protocol.model_file import is_released
from oncofed.protocol.plan import StudyPlan, TrainingMode
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.protocol.weights import in_range
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count
from oncofed.treatment.question import Question

LoadPatients = Callable[[], PatientTensors]
"""Reads some of the hospital's patients; called only for a request that will be charged. May raise RequestRefused."""

Told = Callable[[str, AnyRequest], None]
"""Is told of a failure after a charge, or of a charge that was announced and not made, by a word. For the audit log."""

Announce = Callable[[AnyRequest], None]
"""Is told that the answer to this request is about to be charged. What it raises stops the charge."""

Begins = Callable[[AnyRequest], None]
"""Is told that what takes longer with more patients begins here; it ends when the answer has left."""

NOISE_ALONE = "noise_alone"
"""What was to leave could not be computed, or was of another form; noise left in its place."""

_log = logging.getLogger(__name__)


def _told_locally(error: Exception) -> str:
    """Our own words, or the type of another exception, whose text may quote data."""
    return str(error) if isinstance(error, RecordFailure) else type(error).__name__


def tell_nobody(word: str, request: AnyRequest) -> None:
    """The null listener."""


def announce_to_nobody(request: AnyRequest) -> None:
    """The null listener."""


@dataclass(frozen=True, eq=False)
class _Work:
    """How one request is answered.

    allowed     how many attempts at the like the plan lets a hospital be charged for.
    of          what leaves, from patients. of_nobody: the same from noise alone.
    """

    release: Release
    allowed: int
    load: LoadPatients
    of: Callable[[PatientTensors, NoiseSource], NDArray[Any]]
    of_nobody: Callable[[NoiseSource], NDArray[Any]]


class Guard:
    """The in-process guard of one hospital; implements `protocol.messages.GuardPort`.

    patients  who is trained on. held_out: who never is; needed where a summary of the plan is about them.
    masks     of this plan; mode `distributed` needs them.
    question  of a plan that compares two treatment options: its target trial, by the plan's schema.
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
        masks: Masks | None = None,
        held_out: LoadPatients | None = None,
        question: Question | None = None,
        kinds: Kinds = KINDS,
        told: Told = tell_nobody,
        announce: Announce = announce_to_nobody,
        begins: Begins = announce_to_nobody,
    ) -> None:
        policy.refuse_unless_allowed(plan, site=site)
        refuse_unless_asked(plan, question)
        if question is not None:
            kinds = {**kinds, SummaryKind.OPTIONS: options_kind(question)}
        refuse_unknown(plan, kinds)
        if held_out is None and any(kinds[spec.kind].held_out for spec in plan.summaries):
            raise PrivacyRefusal("the plan measures patients set aside, and this guard was given none")
        if ledger.budget != policy.budget:
            raise PrivacyRefusal(f"the ledger keeps another budget than the policy of {policy.data_source} gives")
        if plan.training.mode is TrainingMode.EPOCHS:
            # Opacus, which other guards need not load; here, because after a charge nothing may be missing.
            importlib.import_module("oncofed.privacy.private_optimizer")
        round_release = release_of_round(plan)
        if round_release.is_protected and isinstance(noise, NoNoise):
            raise PrivacyRefusal("the plan promises noise, and this guard was given a source that adds none")
        if round_release.needs_everybody:
            if masks is None:
                raise PrivacyRefusal("the plan shares its noise, and this guard has no masking key")
            masks.refuse_unless_fit(site=site)
        self.site = site
        self.plan = plan
        self.ledger = ledger
        self._round_release = round_release
        self._masks = masks
        self._patients = patients
        self._held_out = held_out
        self._question = question
        self._kinds = kinds
        self._noise = noise
        self._told = told
        self._announce = announce
        self._begins = begins
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
        plan, release = self.plan, self._round_release

        def seen(patients: PatientTensors) -> PatientTensors:
            return seen_in_round(plan, patients, plan_hash=self._plan_hash, round_=request.round)

        # An attempt is a charge to somebody, so there are no more of them than the plan may charge for.
        if not 1 <= request.round <= plan.training.rounds or not 0 <= request.attempt <= plan.charged_rounds:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
        if plan.training.mode is TrainingMode.FULL_BATCH:
            work = self._sum_work(
                request,
                release,
                self._patients,
                lambda patients: self._round_sum(request, seen(patients)),
                allowed=plan.charged_rounds,
            )
        else:

            def steps(patients: PatientTensors | None, noise: NoiseSource) -> NDArray[Any]:
                some = None if patients is None else seen(patients)
                return weights_after_local_steps(plan, request.weights, some, release=release, noise=noise)

            work = _Work(release, plan.charged_rounds, self._patients, steps, lambda noise: steps(None, noise))
        return Contribution(self._released(request, work))

    def _round_sum(self, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
        """Of the plan's network. Another network is a simulation's affair, which is why this is a method of its own."""
        if self._question is not None:
            return options_round_sum(self._question, request.weights, patients)
        calibrates = calibration_round_of(self.plan, request.round)
        if calibrates is None:
            return ascent_sum(self.plan, request.weights, patients)
        in_this_round = entity_sum if calibrates.of_entities else calibration_sum
        return in_this_round(self.plan, request.weights, patients)

    def _summary(self, request: SummariseRequest) -> Contribution:
        self._refuse_malformed(request)
        spec = self.plan.summary(request.summary)
        if spec is None or not 0 <= request.attempt < spec.attempts or request.cells != spec.cells:
            raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)
        release = release_of_summary(self.plan, spec)
        work = self._sum_work(
            request,
            release,
            self._patients_of(spec),
            lambda patients: bounded_sum(self.plan, spec, request.weights, patients, kinds=self._kinds),
            allowed=spec.attempts,
        )
        return Contribution(self._released(request, work), noised=release.is_protected)

    def _patients_of(self, spec: SummarySpec) -> LoadPatients:
        set_aside = self._kinds[spec.kind].held_out and not self.plan.measures_everybody
        of_held_out = self._held_out if set_aside else self._patients
        assert of_held_out is not None
        return of_held_out

    def _sum_work(
        self,
        request: AnyRequest,
        release: Release,
        load: LoadPatients,
        total: Callable[[PatientTensors], BoundedSum],
        *,
        allowed: int,
    ) -> _Work:
        mask = self._mask_for(request)
        return _Work(
            release,
            allowed,
            load,
            lambda patients, noise: release.sealed(total(patients), noise=noise, mask=mask),
            lambda noise: release.sealed_without_patients(noise=noise, mask=mask),
        )

    def _mask_for(self, request: AnyRequest) -> Mask | None:
        if self._masks is None:
            return None
        name = request.summary if isinstance(request, SummariseRequest) else request.round
        content = content_hash_of(request.weights)
        attempt = Attempt(request.plan_hash, name, request.attempt, request.roster, content)
        return self._masks.of(attempt, own=self.site)

    def _released(self, request: AnyRequest, work: _Work) -> NDArray[Any]:
        """The answer it had before; or charge, compute, keep."""
        identity, request_hash = identity_text(request), request.hash
        answered = self._answers.find(request_hash)
        if answered is not None:
            return answered.vector
        if self._answers.content_of(identity) not in (None, request_hash):
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
        if work.release.is_protected:
            patients = self._charged_patients(request, Charge(identity, request_hash, work.release.event), work)
            self._begins(request)
            vector = self._whatever_fails(request, work, patients)
            vector.setflags(write=False)
            try:
                self._answers.keep(Contribution(vector), identity=identity, request_hash=request_hash, charged=True)
            except Exception as error:  # whatever it is: the charge is made
                _log.error(
                    "site %s cannot keep its answer to %s: %s", self.site, in_words(request), _told_locally(error)
                )
                self._tell(NOT_KEPT, request)
        else:
            # Nothing is hidden here, so who joins a batch may follow from the request, and a run can be repeated.
            unhidden = NoNoise(seed=int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16))
            patients = work.load()
            self._begins(request)
            vector = work.of(patients, unhidden)
            vector.setflags(write=False)
            self._answers.keep(Contribution(vector), identity=identity, request_hash=request_hash, charged=False)
        return vector

    def _charged_patients(self, request: AnyRequest, charge: Charge, work: _Work) -> PatientTensors:
        """The patients, for one computation that the ledger has paid for."""
        # Patients were promised the plan's epsilon, whatever more the policy would allow the data source.
        made = {one.identity for one in self.ledger.charges() if of_same_kind(one.identity, request)}
        if len(made) >= work.allowed and charge.identity not in made:
            _log.warning("site %s refuses %s: the plan has had all that it promised", self.site, in_words(request))
            raise RequestRefused(RefusalCode.BUDGET_EXCEEDED)
        try:
            refuse_unless_payable(self.ledger, charge)
            patients = work.load()
            # What is written after the charge is to be certain before it.
            self._answers.make_room(numbers_asked_for(request))
            self._announce(request)
            try:
                self.ledger.charge(charge)
            except BaseException:
                self._tell(NOT_CHARGED, request)
                raise
        except (BudgetExceeded, UnaccountedEvent) as refusal:
            _log.warning("site %s refuses %s: %s", self.site, in_words(request), refusal)
            raise RequestRefused(RefusalCode.BUDGET_EXCEEDED) from None
        return patients

    def _whatever_fails(self, request: AnyRequest, work: _Work, patients: PatientTensors) -> NDArray[Any]:
        """What leaves for a charge that is made."""
        try:
            vector = work.of(patients, self._noise)
            fault = work.release.fault_of(vector)
        except Exception as error:  # its text may quote data
            _log.debug("the failure in full", exc_info=error)
            fault = type(error).__name__
        if not fault:
            return vector
        _log.error("site %s answers %s with noise alone: %s", self.site, in_words(request), fault)
        self._tell(NOISE_ALONE, request)
        return work.of_nobody(self._noise)

    def _tell(self, word: str, request: AnyRequest) -> None:
        try:
            self._told(word, request)
        except Exception as error:  # what left has left
            _log.error("%s cannot be noted: %s", word, _told_locally(error))

    def _refuse_malformed(self, request: AnyRequest) -> None:
        if request.plan_hash != self._plan_hash:
            raise RequestRefused(RefusalCode.WRONG_PLAN)
        if request.site != self.site or not self._is_our_roster(request.roster):
            raise RequestRefused(RefusalCode.WRONG_SITE)
        if self._masks is not None and not self._masks.know(request.roster):
            raise RequestRefused(RefusalCode.WRONG_KEYS)
        expected = (parameter_count(self.plan.model),)
        if request.weights.shape != expected or request.weights.dtype != np.float64:
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
        if not in_range(request.weights):
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
        self._refuse_another_model(request)

    def _refuse_another_model(self, request: AnyRequest) -> None:
        """A plan that validates a model is about that one alone. A trial of its times knows no model yet."""
        model = self.plan.validates
        if model is not None and not is_released(request.weights, model):
            _log.error(
                "site %s refuses %s: these are not the weights of the plan's model", self.site, in_words(request)
            )
            raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)

    def _is_our_roster(self, roster: tuple[str, ...]) -> bool:
        """Whether this hospital may answer an attempt among these. A masked sum of too few would open one of them."""
        try:
            self._round_release.refuse_roster(roster, plan_roster=self.plan.roster, own=self.site)
        except PrivacyRefusal:
            return False
        return True
