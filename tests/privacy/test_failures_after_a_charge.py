"""Does a failure after a charge look, from outside, like any answer, whatever failed and for whomever?

A failure could depend on a patient, so it must tell nothing: one answer of the release's own form leaves for the one
charge, and the same question gets the same bytes or a refusal, never other bytes. Failures are put in at every step
between the charge and the reply, of rounds, of summaries and of local steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.doubles import (
    RecordedNoise,
    SeededNoise,
    SilentNoise,
    cards_of,
    drawn_patients,
    drawn_weights,
    local_privacy,
    masks_of,
    members_of,
    model_spec,
    study_plan,
)
from tests.summaries import evaluation_of, summary_request

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard import sum_masks
from oncofed.client.guard.guard import NOISE_ALONE, Guard, Told
from oncofed.client.patients import training
from oncofed.client.patients.summaries import bounded_sum
from oncofed.client.patients.training import ascent_sum, weights_after_local_steps
from oncofed.client.records import answers as answers_module
from oncofed.client.records.answers import Answers, FolderAnswers
from oncofed.client.records.audit_entries import NOT_KEPT
from oncofed.durable import replace_durably
from oncofed.errors import PrivacyRefusal, RecordUnwritable, RefusalCode, RequestRefused
from oncofed.privacy import releases
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import Charge, MemoryLedger
from oncofed.privacy.masking import Attempt, content_hash_of, new_masking_key
from oncofed.privacy.noise import NoiseSource
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.private_optimizer import PrivateOptimizer
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, Masked, release_of_round, release_of_summary
from oncofed.protocol.messages import AnyRequest, ContributeRequest, SummariseRequest, identity_text
from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan, TrainingMode, TrainingSpec
from oncofed.survival.likelihood import PatientTensors

PLANTED = "MRN-0047-11"
SITES = ("Bonn", "Celle", "Essen")
KEYS = {site: new_masking_key() for site in SITES}
POLICY = SitePolicy("registry", 50.0, 1e-5, fewest_colluding_tolerated=0, verified_cards=cards_of(KEYS))
MODEL = model_spec()
WEIGHTS = drawn_weights(MODEL, seed=0)
STEPS = 4
PATIENTS = {site: drawn_patients(MODEL, 30, seed=number) for number, site in enumerate(SITES)}


class Broken(Exception):
    """Of a dependency, say; its text stands for data."""

    def __init__(self) -> None:
        super().__init__(PLANTED)


# What is asked


def plan_of(mode: PrivacyMode, training_mode: TrainingMode = TrainingMode.FULL_BATCH) -> StudyPlan:
    shares = SharedNoise(sites=3, dropouts=0, colluding=0) if mode is PrivacyMode.DISTRIBUTED else None
    privacy = replace(local_privacy(noise_multiplier=60.0), mode=mode, shares=shares, epsilon=50.0)
    in_two = TrainingSpec(mode=training_mode, rounds=2, local_steps=STEPS, sampling_rate=0.5)
    plan = study_plan(model=MODEL, training=in_two, privacy=privacy)
    members = members_of(SITES)
    plan = replace(plan, roster=SITES, quorum=3, members=members)
    return replace(plan, summaries=(evaluation_of(plan, noise_multiplier=60.0),))


@dataclass(frozen=True)
class Case:
    """One kind of question. of_sum: where the sum over patients is made, a module and a name."""

    plan: StudyPlan
    is_summary: bool
    of_sum: tuple[Any, str]

    @property
    def release(self) -> Release:
        return release_of_summary(self.plan, self.plan.summaries[0]) if self.is_summary else release_of_round(self.plan)

    def request(self, site: str = "Bonn", *, weights: NDArray[np.float64] = WEIGHTS) -> AnyRequest:
        if self.is_summary:
            return summary_request(self.plan, site=site, weights=weights)
        return ContributeRequest(self.plan.hash, site, 1, 0, SITES, weights)

    def exact_sum(self, site: str) -> NDArray[np.float64]:
        """In units of the bound; of local steps there is none."""
        if self.is_summary:
            return bounded_sum(self.plan, self.plan.summaries[0], WEIGHTS, PATIENTS[site]).vector
        return ascent_sum(self.plan, WEIGHTS, PATIENTS[site]).vector

    @property
    def attempt(self) -> Attempt:
        name = self.plan.summaries[0].name if self.is_summary else 1
        return Attempt(self.plan.hash, name, 0, SITES, content_hash_of(WEIGHTS))


OF_ROUND, OF_SUMMARY = (guard_module, "ascent_sum"), (guard_module, "bounded_sum")
BY_EPOCHS = Case(plan_of(PrivacyMode.LOCAL, TrainingMode.EPOCHS), False, (training, "clipped_gradient_sum"))
CASES = {
    "round, local": Case(plan_of(PrivacyMode.LOCAL), False, OF_ROUND),
    "round, distributed": Case(plan_of(PrivacyMode.DISTRIBUTED), False, OF_ROUND),
    "summary, local": Case(plan_of(PrivacyMode.LOCAL), True, OF_SUMMARY),
    "summary, distributed": Case(plan_of(PrivacyMode.DISTRIBUTED), True, OF_SUMMARY),
    "round, by epochs": BY_EPOCHS,
    "summary, by epochs": Case(BY_EPOCHS.plan, True, OF_SUMMARY),
}
EACH_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@dataclass
class Asked:
    """A guard, and what became of it."""

    case: Case
    site: str = "Bonn"
    source: NoiseSource = field(default_factory=lambda: SeededNoise(1))
    answers: Answers | None = None
    patients: PatientTensors | None = None
    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger(POLICY.budget))
    told: list[tuple[str, str]] = field(default_factory=list)
    tell: Told | None = None

    def __post_init__(self) -> None:
        patients = PATIENTS[self.site] if self.patients is None else self.patients
        self.noise = RecordedNoise(self.source)
        self.guard = Guard(
            site=self.site,
            plan=self.case.plan,
            policy=POLICY,
            patients=lambda: patients,
            held_out=lambda: patients,
            ledger=self.ledger,
            noise=self.noise,
            answers=self.answers,
            masks=masks_of(self.site, KEYS),
            told=self.tell or (lambda word, request: self.told.append((word, request.hash))),
        )

    def asked(self, request: AnyRequest | None = None) -> NDArray[Any]:
        request = request or self.case.request(self.site)
        if isinstance(request, SummariseRequest):
            return self.guard.summarise(request).vector
        return self.guard.contribute(request).vector

    def refusal(self, request: AnyRequest | None = None) -> RefusalCode:
        with pytest.raises(RequestRefused) as refused:
            self.asked(request)
        assert refused.value.args == (refused.value.code.value,)
        assert refused.value.__context__ is None
        return refused.value.code

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.told]


def refuse_unless_like_any_answer(asked: Asked, answer: NDArray[Any], *, words: list[str]) -> None:
    """What a server, a ledger and the hospital's own log may see of it."""
    request, release = asked.case.request(asked.site), asked.case.release
    assert answer.dtype == (np.uint64 if release.needs_everybody else np.float64)
    assert release.fault_of(answer) == ""
    assert list(asked.ledger.charges()) == [Charge(identity_text(request), request.hash, release.event)]
    assert asked.told == [(word, request.hash) for word in words]


def refuse_unless_repeatable(asked: Asked, answer: NDArray[Any]) -> None:
    """The same question gets the same bytes, another under its name nothing, and neither a charge."""
    assert asked.asked().tobytes() == answer.tobytes()
    other = WEIGHTS.copy()
    other[-1] = np.nextafter(other[-1], 1)
    assert asked.refusal(asked.case.request(asked.site, weights=other)) is RefusalCode.REQUEST_CONFLICT
    assert len(asked.ledger.charges()) == 1


# What fails


Failure = Callable[[pytest.MonkeyPatch, Case], None]


def once(place: tuple[Any, str], *, call: int = 1, gives: Callable[[Any], Any] | None = None) -> Failure:
    """The so-many-th call fails, or gives something else made of what it should give; the others are as they are."""

    def arm(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
        home, name = case.of_sum if place == SUM else place
        inner, calls = getattr(home, name), 0

        def now_and_then(*positional: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != call:
                return inner(*positional, **named)
            if gives is None:
                raise Broken
            return gives(inner(*positional, **named))

        monkeypatch.setattr(home, name, now_and_then)

    return arm


SUM = (None, "the sum over patients")
ROUNDING = (releases, "rounded")
DRAWING = (SeededNoise, "discrete_gaussian")
CHECKS = ((Local, "fault_of"), (Masked, "fault_of"))


def not_a_number(total: BoundedSum) -> BoundedSum:
    return replace(total, vector=np.where(np.arange(total.vector.size) == 0, np.nan, total.vector))


def of_the_check(gives: Callable[[Any], Any] | None) -> Failure:
    """Of whichever release it is."""

    def arm(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
        for check in CHECKS:
            once(check, gives=gives)(monkeypatch, case)

    return arm


FAILURES: dict[str, Failure] = {
    "the sum over patients": once(SUM),
    "a sum that is no number": once(SUM, gives=not_a_number),
    "a sum of another bound": once(SUM, gives=lambda total: replace(total, l2_norm_bound=2.0)),
    "a sum of another length": once(SUM, gives=lambda total: replace(total, vector=total.vector[1:])),
    "no sum at all": once(SUM, gives=lambda total: None),
    "rounding": once(ROUNDING),
    "drawing the noise": once(DRAWING),
    "the release's check refuses": of_the_check(lambda fault: "sent something odd"),
    "the release's check fails": of_the_check(None),
}
OF_MASKS: dict[str, Failure] = {
    "masking": once((sum_masks, "masked")),
    "what is masked is of another form": once(
        (sum_masks, "masked"), gives=lambda part: replace(part, words=part.words[1:])
    ),
    "what is masked is no words": once(
        (sum_masks, "masked"), gives=lambda part: replace(part, words=part.words.astype(np.float64))
    ),
}
OF_STEPS: dict[str, Failure] = {
    "the sum of a later step": once(SUM, call=STEPS),
    "rounding in a later step": once(ROUNDING, call=2),
    "drawing the noise of a later step": once(DRAWING, call=STEPS),
    "choosing a batch": once((SeededNoise, "chosen")),
    "choosing a later batch": once((SeededNoise, "chosen"), call=3),
    "a step of the optimiser": once((PrivateOptimizer, "take_gradients"), call=2),
    "weights that are no numbers": once((training, "parameter_vector"), gives=lambda weights: weights * np.nan),
    "too few weights": once((training, "parameter_vector"), gives=lambda weights: weights[1:]),
}


def all_failures() -> list[Any]:
    """Each failure of each case that has the step."""
    found = []
    for name, case in CASES.items():
        steps = FAILURES | (OF_MASKS if case.release.needs_everybody else {})
        steps |= OF_STEPS if case == BY_EPOCHS else {}
        found += [pytest.param(case, failure, id=f"{name}-{step}") for step, failure in steps.items()]
    return found


EACH_FAILURE = pytest.mark.parametrize(("case", "failure"), all_failures())


# What leaves


@EACH_FAILURE
def test_after_a_charge_an_answer_of_the_releases_form_leaves_whatever_fails(
    case: Case, failure: Failure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failure(monkeypatch, case)
    asked = Asked(case)
    with caplog.at_level(logging.INFO):
        answer = asked.asked()
    refuse_unless_like_any_answer(asked, answer, words=[NOISE_ALONE])
    refuse_unless_repeatable(asked, answer)
    assert "noise alone" in caplog.text
    assert PLANTED not in caplog.text


@EACH_FAILURE
def test_what_leaves_then_is_noise_alone(case: Case, failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit what the drawn noise makes, so that no patient is in it; of a masked part, when it is opened."""
    exact = {site: case.exact_sum(site) for site in SITES}
    others = [
        (site, Asked(case, site, source=SilentNoise()).asked()) for site in SITES[1:] if case.release.needs_everybody
    ]
    failure(monkeypatch, case)
    asked = Asked(case)
    answer = asked.asked()
    drawn = asked.noise.drawn
    if case == BY_EPOCHS:
        left = {"draws": drawn[-STEPS:]}
        again = weights_after_local_steps(case.plan, WEIGHTS, None, release=case.release, noise=Replayed(left["draws"]))
        np.testing.assert_array_equal(answer, again)
        return
    (opened,) = case.release.opened([("Bonn", answer), *others], attempt=case.attempt)
    whole = sum((np.rint(exact[site] * 2**20) for site, _ in others), start=np.zeros(answer.size))
    np.testing.assert_array_equal(opened * 2**20, drawn[-1] + whole)


@dataclass
class Replayed:
    """A NoiseSource that gives what was drawn before."""

    draws: list[NDArray[np.int64]]

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return self.draws.pop(0)

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        raise AssertionError("of nobody there is nobody to choose")


@EACH_CASE
def test_without_a_failure_patients_are_in_it_and_nothing_is_told(case: Case) -> None:
    """Or else the tests above would be passed by a guard that sends noise always."""
    asked, nobody = Asked(case), Asked(case, patients=PATIENTS["Bonn"].rows(slice(0, 0)))
    answer = asked.asked()
    refuse_unless_like_any_answer(asked, answer, words=[])
    refuse_unless_repeatable(asked, answer)
    assert (answer != nobody.asked()).any()
    assert nobody.words == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.release.needs_everybody])
def test_a_masked_sum_opens_though_one_part_of_it_is_noise_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' patients are in it, with this hospital's share of the noise."""
    case = CASES[name]
    parts = [(site, Asked(case, site, source=SilentNoise()).asked()) for site in SITES[1:]]
    FAILURES["the sum over patients"](monkeypatch, case)
    bonn = Asked(case)
    parts.insert(0, ("Bonn", bonn.asked()))
    assert bonn.words == [NOISE_ALONE]
    (opened,) = case.release.opened(parts, attempt=case.attempt)
    (share,) = bonn.noise.drawn
    assert np.abs(share).max() > 2**20
    rest = opened - share / 2**20
    np.testing.assert_allclose(rest, case.exact_sum("Celle") + case.exact_sum("Essen"), rtol=0, atol=2.0**-20)
    assert np.linalg.norm(rest) > 1


# Keeping it


EACH_ERROR = pytest.mark.parametrize("error", [RecordUnwritable("the disk is full"), Broken()], ids=["ours", "another"])


@dataclass
class FullDisk:
    """Answers that find nothing and keep nothing, though there was room."""

    error: Exception = field(default_factory=lambda: RecordUnwritable("the disk is full"))

    def find(self, request_hash: str) -> None:
        return None

    def content_of(self, identity: str) -> None:
        return None

    def make_room(self, numbers: int) -> None:
        pass

    def keep(self, contribution: Any, *, identity: str, request_hash: str, charged: bool) -> None:
        raise self.error


def refuse_unless_gone(asked: Asked) -> None:
    """Asked again nothing leaves, whether the content is the same or another."""
    for weights in (WEIGHTS, WEIGHTS + 1):
        request = asked.case.request(asked.site, weights=weights)
        assert asked.refusal(request) is RefusalCode.REQUEST_CONFLICT
    assert len(asked.ledger.charges()) == 1


@EACH_ERROR
@EACH_CASE
def test_an_answer_that_cannot_be_kept_leaves_and_is_the_only_one(
    case: Case, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is charged already. A refusal instead would cost another charge and tell of the disk."""
    asked, kept = Asked(case, answers=FullDisk(error)), Asked(case)
    answer = asked.asked()
    refuse_unless_like_any_answer(asked, answer, words=[NOT_KEPT])
    assert answer.tobytes() == kept.asked().tobytes()
    refuse_unless_gone(asked)
    assert PLANTED not in caplog.text


@EACH_CASE
def test_that_holds_of_noise_alone_as_well(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    FAILURES["the sum over patients"](monkeypatch, case)
    asked = Asked(case, answers=FullDisk())
    refuse_unless_like_any_answer(asked, asked.asked(), words=[NOISE_ALONE, NOT_KEPT])
    refuse_unless_gone(asked)


@pytest.mark.parametrize("call", [1, 2], ids=["its identity", "its bytes"])
def test_what_a_full_disk_cut_short_is_refused_after_a_restart_as_well(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On real files: of which the first names the content, and the second holds the answer."""
    case = CASES["round, local"]
    unwritable = RecordUnwritable("an answer cannot be written (No space left on device)")
    inner, calls = replace_durably, 0

    def full(*positional: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise unwritable
        inner(*positional, **named)

    monkeypatch.setattr(answers_module, "replace_durably", full)
    asked = Asked(case, answers=FolderAnswers(tmp_path))
    refuse_unless_like_any_answer(asked, asked.asked(), words=[NOT_KEPT])
    refuse_unless_gone(asked)
    refuse_unless_gone(Asked(case, answers=FolderAnswers(tmp_path), ledger=asked.ledger))


@EACH_ERROR
@EACH_CASE
def test_an_audit_log_that_cannot_be_written_holds_no_answer_back(
    case: Case, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unwritable(word: str, request: AnyRequest) -> None:
        raise error

    FAILURES["the sum over patients"](monkeypatch, case)
    asked = Asked(case, answers=FullDisk(), tell=unwritable)
    refuse_unless_like_any_answer(asked, asked.asked(), words=[])
    assert all(f"{word} cannot be noted" in caplog.text for word in (NOISE_ALONE, NOT_KEPT))
    assert PLANTED not in caplog.text


# Where nothing can leave


@EACH_CASE
def test_without_random_numbers_nothing_leaves_whoever_the_patients_are(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one failure that is told: the operating system's, of which no patient is the cause."""

    def broken(*_positional: Any, **_named: Any) -> NDArray[np.int64]:
        raise Broken

    monkeypatch.setattr(SeededNoise, "discrete_gaussian", broken)
    for patients in (PATIENTS["Bonn"], PATIENTS["Bonn"].rows(slice(0, 0))):
        asked = Asked(case, patients=patients)
        assert asked.refusal() is RefusalCode.INTERNAL
        assert len(asked.ledger.charges()) == 1
        assert asked.words == [NOISE_ALONE]
        refuse_unless_gone(asked)


# The tests themselves


def refusing(guard: Guard, request: AnyRequest, work: Any, patients: PatientTensors) -> NDArray[Any]:
    """As a guard would without the rule."""
    vector: NDArray[Any] = work.of(patients, guard._noise)
    fault = work.release.fault_of(vector)
    if fault:
        raise PrivacyRefusal(fault)
    return vector


@EACH_FAILURE
def test_a_guard_that_refuses_instead_would_be_noticed(
    case: Case, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure is one for the guard: none of them is so harmless that anything leaves without the rule."""
    monkeypatch.setattr(Guard, "_whatever_fails", refusing)
    failure(monkeypatch, case)
    asked = Asked(case)
    assert asked.refusal() is RefusalCode.INTERNAL
    assert len(asked.ledger.charges()) == 1


def test_a_guard_that_keeps_back_what_it_cannot_keep_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kept_back(guard: Guard, word: str, request: AnyRequest) -> None:
        raise RequestRefused(RefusalCode.NOT_READY)

    monkeypatch.setattr(Guard, "_tell", kept_back)
    with pytest.raises(RequestRefused):
        test_an_answer_that_cannot_be_kept_leaves_and_is_the_only_one(CASES["round, local"], Broken(), caplog)


def test_a_guard_that_sends_something_made_of_patients_instead_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its best guess, say: of the very form, with the word in the log."""
    case = CASES["round, local"]

    def best_guess(guard: Guard, request: AnyRequest, work: Any, patients: PatientTensors) -> NDArray[Any]:
        guard._tell(NOISE_ALONE, request)
        return np.asarray(np.rint(case.exact_sum("Bonn") * 2**20) / 2**20 + work.of_nobody(guard._noise))

    monkeypatch.setattr(Guard, "_whatever_fails", best_guess)
    with pytest.raises(AssertionError):
        test_what_leaves_then_is_noise_alone(case, FAILURES["the sum over patients"], monkeypatch)
