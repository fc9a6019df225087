"""Does the guard answer only what it may, charge before it looks, and let nothing else out?

privacy.md, tests 5 (in one process), 6 and 10: over budget no patient is read; no request, plan or server weakens the
hospital's policy.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles import (
    FULL_BATCH_SIGMA,
    SeededNoise,
    SilentNoise,
    drawn_patients,
    drawn_weights,
    local_privacy,
    model_spec,
    no_privacy,
    request_for,
    study_plan,
)

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.guard import Begins, Guard, LoadPatients, announce_to_nobody
from oncofed.client.patients.calibration_sums import calibration_sum
from oncofed.client.patients.entity_sums import entity_sum
from oncofed.client.patients.training import ascent_sum
from oncofed.client.records.answers import Answers, FolderAnswers
from oncofed.errors import PrivacyRefusal, RecordUnwritable, RefusalCode, RequestRefused
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import Budget, Charge, Ledger, MemoryLedger
from oncofed.privacy.noise import NoiseSource, NoNoise, OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy, without_privacy
from oncofed.privacy.releases import release_of_round
from oncofed.privacy.shared_noise import SampledIntegerRelease
from oncofed.protocol.messages import ContributeRequest, GuardPort
from oncofed.protocol.plan import StudyPlan, TrainingMode, TrainingSpec
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.likelihood import PatientTensors

PLANTED = "MRN-0047-11"
PLAN = study_plan()
POLICY = SitePolicy("registry", largest_epsilon=1.0, delta=1e-5)
SIXTY_ROUNDS = release_of_round(PLAN).event


class PatientsTouched(Exception):
    """Somebody read the patients; the text stands for data."""

    def __init__(self) -> None:
        super().__init__(PLANTED)


class UncomputablePatients:
    """Patients that were read, and raise when anything is computed from them."""

    def __getattr__(self, name: str) -> NoReturn:
        raise PatientsTouched


class UnreadablePatients:
    """A hospital's table that nobody may so much as open; `reads` says how often somebody tried."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> NoReturn:
        self.reads += 1
        raise PatientsTouched


def uncomputable() -> PatientTensors:
    return cast(PatientTensors, UncomputablePatients())


def guard_with(
    *,
    plan: StudyPlan = PLAN,
    policy: SitePolicy = POLICY,
    patients: LoadPatients | None = None,
    ledger: Ledger | None = None,
    noise: NoiseSource | None = None,
    answers: Answers | None = None,
    begins: Begins = announce_to_nobody,
) -> Guard:
    drawn = drawn_patients(plan.model, 20, seed=0)
    return Guard(
        site="Bonn",
        plan=plan,
        policy=policy,
        patients=(lambda: drawn) if patients is None else patients,
        ledger=MemoryLedger(policy.budget) if ledger is None else ledger,
        noise=OperatingSystemNoise() if noise is None else noise,
        answers=answers,
        begins=begins,
    )


def refusal_of(guard: GuardPort, request: ContributeRequest) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        guard.contribute(request)
    assert str(refusal.value) == refusal.value.code.value
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None  # nor does an exception that saw data hang on behind
    return refusal.value.code


@pytest.mark.parametrize("protected", [True, False])
def test_work_that_takes_longer_with_more_patients_begins_once_an_answer_and_before_any_of_it(
    protected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def counted(*given: Any) -> BoundedSum:
        order.append("computed")
        return ascent_sum(*given)

    monkeypatch.setattr("oncofed.client.guard.guard.ascent_sum", counted)
    plan = PLAN if protected else replace(PLAN, privacy=without_privacy(l2_norm_bound=None))
    policy = POLICY if protected else replace(POLICY, allow_no_privacy=True)
    guard = guard_with(plan=plan, policy=policy, begins=lambda _: order.append("begins"))
    for _ in range(2):  # a repetition looks at nobody
        guard.contribute(request_for(plan))
        assert order == ["begins", "computed"]


# More patients than the plan's promise holds for


def test_a_hospital_of_more_patients_than_the_promise_holds_for_answers_as_any_other() -> None:
    """A refusal would say how many there are. Each number is that of so many patients at most, before the noise."""
    one = drawn_patients(PLAN.model, 1, seed=0)

    def largest_number(count: int) -> float:
        patients = one.rows(torch.zeros(count, dtype=torch.int64))
        guard = guard_with(patients=lambda: patients, noise=SilentNoise())
        vector = guard.contribute(request_for(PLAN)).vector
        assert [charge.event for charge in guard.ledger.charges()] == [SIXTY_ROUNDS]
        return float(np.abs(vector).max())

    of_one = largest_number(1)
    assert 0.5 < of_one < 1
    assert largest_number(10_000) == pytest.approx(10_000 * of_one)
    assert largest_number(30_000) == 10_000


# Calibration rounds


def test_the_last_rounds_are_calibration_sums_and_cost_what_a_round_costs() -> None:
    training = TrainingSpec(rounds=5, calibration_rounds=2)
    plan = study_plan(training=training)
    drawn, guard = drawn_patients(plan.model, 20, seed=0), guard_with(plan=plan, noise=SilentNoise())
    for round_ in range(1, 6):
        request = request_for(plan, round_=round_)
        total = (calibration_sum if round_ > 3 else ascent_sum)(plan, request.weights, drawn)
        vector = guard.contribute(request).vector
        np.testing.assert_allclose(vector, total.vector / total.l2_norm_bound, atol=1e-5)
    assert {charge.event for charge in guard.ledger.charges()} == {release_of_round(plan).event}
    stepwise = replace(plan, training=replace(training, mode=TrainingMode.EPOCHS))
    assert not any(stepwise.training.calibration_round(round_) for round_ in range(1, 6))


def test_the_middle_ones_are_sums_of_entities_where_the_plan_has_their_levels() -> None:
    spec = replace(model_spec(columns=16), entity_levels=EntityLevels((0, 2), 0.7))
    plan = study_plan(model=spec, training=TrainingSpec(rounds=6, calibration_rounds=4))
    drawn = drawn_patients(spec, 20, seed=0)
    guard = guard_with(plan=plan, patients=lambda: drawn, noise=SilentNoise())
    kinds = (ascent_sum, ascent_sum, calibration_sum, entity_sum, entity_sum, calibration_sum)
    for round_, kind in enumerate(kinds, start=1):
        request = request_for(plan, round_=round_)
        total = kind(plan, request.weights, drawn)
        vector = guard.contribute(request).vector
        np.testing.assert_allclose(vector, total.vector / total.l2_norm_bound, atol=1e-5)
    assert {charge.event for charge in guard.ledger.charges()} == {release_of_round(plan).event}


# Repetition


def test_the_identical_request_gets_the_same_bytes_and_no_charge() -> None:
    guard = guard_with()
    first = guard.contribute(request_for(PLAN)).vector.tobytes()
    assert len(guard.ledger.charges()) == 1
    for _ in range(3):
        assert guard.contribute(request_for(PLAN)).vector.tobytes() == first
    assert len(guard.ledger.charges()) == 1


def test_what_was_answered_cannot_be_changed_afterwards() -> None:
    guard = guard_with()
    vector = guard.contribute(request_for(PLAN)).vector
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 0.0


@pytest.mark.parametrize(
    "other", [{"weights": drawn_weights(PLAN.model, seed=1)}, {"roster": ("Bonn",)}, {"roster": ("Bonn", "Essen", "X")}]
)
def test_the_same_identity_with_other_content_is_refused(other: dict[str, Any]) -> None:
    """The difference of two answers to one round, with the same noise, would be a patient's gradient."""
    guard = guard_with()
    answered = guard.contribute(request_for(PLAN)).vector.tobytes()
    assert refusal_of(guard, replace(request_for(PLAN), **other)) is RefusalCode.REQUEST_CONFLICT
    assert len(guard.ledger.charges()) == 1
    assert guard.contribute(request_for(PLAN)).vector.tobytes() == answered


def test_the_smallest_change_of_a_weight_is_other_content() -> None:
    guard = guard_with()
    guard.contribute(request_for(PLAN))
    weights = drawn_weights(PLAN.model, seed=0)
    weights[-1] = np.nextafter(weights[-1], 1)
    assert refusal_of(guard, request_for(PLAN, weights=weights)) is RefusalCode.REQUEST_CONFLICT


def test_a_new_attempt_is_charged_and_has_fresh_noise() -> None:
    guard = guard_with(noise=SeededNoise(0))
    first = guard.contribute(request_for(PLAN, attempt=0)).vector
    second = guard.contribute(request_for(PLAN, attempt=1)).vector
    assert [one.event for one in guard.ledger.charges()] == [SIXTY_ROUNDS, SIXTY_ROUNDS]
    assert not np.intersect1d(first, second).size
    difference = (first - second) / np.sqrt(2)  # the sums cancel, so this is noise of the whole sigma
    assert 0.5 < difference.std() / FULL_BATCH_SIGMA < 1.5


def test_an_older_request_is_refused_rather_than_computed_again() -> None:
    guard = guard_with()
    for round_ in (1, 2):
        guard.contribute(request_for(PLAN, round_=round_))
    assert refusal_of(guard, request_for(PLAN, round_=1)) is RefusalCode.REQUEST_CONFLICT
    assert len(guard.ledger.charges()) == 2


def test_after_a_restart_the_ledger_still_knows_what_was_asked() -> None:
    first = guard_with()
    first.contribute(request_for(PLAN))
    table = UnreadablePatients()
    again = guard_with(ledger=first.ledger, patients=table)
    assert refusal_of(again, request_for(PLAN)) is RefusalCode.REQUEST_CONFLICT
    assert len(first.ledger.charges()) == 1
    assert table.reads == 0


def test_each_charge_names_its_request() -> None:
    guard = guard_with()
    guard.contribute(request_for(PLAN, round_=7, attempt=2))
    (charge,) = guard.ledger.charges()
    assert charge == Charge(f"{PLAN.hash}/Bonn/7/2", request_for(PLAN, round_=7, attempt=2).hash, SIXTY_ROUNDS)


def test_local_epochs_are_charged_as_what_they_are() -> None:
    training = TrainingSpec(mode=TrainingMode.EPOCHS, rounds=2, local_steps=3, sampling_rate=0.2)
    plan = study_plan(training=training, privacy=local_privacy(noise_multiplier=5.0))
    guard = guard_with(plan=plan)
    guard.contribute(request_for(plan))
    assert [one.event for one in guard.ledger.charges()] == [
        SampledIntegerRelease(5.0, plan.model.parameters, 20, 1.0, sampling_rate=0.2, steps=3)
    ]


# Refusals


WEIGHTS = drawn_weights(PLAN.model, seed=0)
MALFORMED: dict[str, tuple[dict[str, Any], RefusalCode]] = {
    "another plan": ({"plan_hash": "0" * 64}, RefusalCode.WRONG_PLAN),
    "no plan": ({"plan_hash": ""}, RefusalCode.WRONG_PLAN),
    "another site": ({"site": "Essen"}, RefusalCode.WRONG_SITE),
    "no site": ({"site": ""}, RefusalCode.WRONG_SITE),
    "not in the roster": ({"roster": ("Essen",)}, RefusalCode.WRONG_SITE),
    "empty roster": ({"roster": ()}, RefusalCode.WRONG_SITE),
    "round 0": ({"round": 0}, RefusalCode.ROUND_OUT_OF_RANGE),
    "round -1": ({"round": -1}, RefusalCode.ROUND_OUT_OF_RANGE),
    "round 61": ({"round": 61}, RefusalCode.ROUND_OUT_OF_RANGE),
    "attempt -1": ({"attempt": -1}, RefusalCode.ROUND_OUT_OF_RANGE),
    "short": ({"weights": WEIGHTS[:-1]}, RefusalCode.MALFORMED_WEIGHTS),
    "long": ({"weights": np.append(WEIGHTS, 0.0)}, RefusalCode.MALFORMED_WEIGHTS),
    "a column": ({"weights": WEIGHTS[:, None]}, RefusalCode.MALFORMED_WEIGHTS),
    "empty": ({"weights": np.zeros(0)}, RefusalCode.MALFORMED_WEIGHTS),
    "float32": ({"weights": WEIGHTS.astype(np.float32)}, RefusalCode.MALFORMED_WEIGHTS),
    "integers": ({"weights": WEIGHTS.astype(np.int64)}, RefusalCode.MALFORMED_WEIGHTS),
    "NaN": ({"weights": np.where(np.arange(len(WEIGHTS)) == 3, np.nan, WEIGHTS)}, RefusalCode.MALFORMED_WEIGHTS),
    "infinite": ({"weights": np.full_like(WEIGHTS, -np.inf)}, RefusalCode.MALFORMED_WEIGHTS),
    "beyond their range": (
        {"weights": np.full_like(WEIGHTS, np.nextafter(1e9, np.inf))},
        RefusalCode.MALFORMED_WEIGHTS,
    ),
    "below it": ({"weights": np.full_like(WEIGHTS, -1.7e308)}, RefusalCode.MALFORMED_WEIGHTS),
    "no array": ({"weights": None}, RefusalCode.INTERNAL),
    "a round in words": ({"round": "one"}, RefusalCode.INTERNAL),
}


@pytest.mark.parametrize(("change", "code"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_unread_and_uncharged(change: dict[str, Any], code: RefusalCode) -> None:
    table = UnreadablePatients()
    guard = guard_with(patients=table)
    assert refusal_of(guard, replace(request_for(PLAN), **change)) is code
    assert list(guard.ledger.charges()) == []
    assert table.reads == 0


def test_the_first_and_the_last_round_are_answered() -> None:
    guard = guard_with()
    for round_ in (1, 60):
        assert guard.contribute(request_for(PLAN, round_=round_)).vector.shape == WEIGHTS.shape


def test_a_plan_changed_in_any_field_is_another_plan() -> None:
    guard = guard_with(patients=UnreadablePatients())
    weaker = (
        replace(PLAN, privacy=replace(PLAN.privacy, noise_multiplier=0.01)),
        replace(PLAN, privacy=no_privacy()),
        replace(PLAN, training=replace(PLAN.training, rounds=61)),
        replace(PLAN, model=replace(PLAN.model, baseline_weight=2.0)),
        replace(PLAN, version=2),
    )
    for plan in weaker:
        assert refusal_of(guard, request_for(plan)) is RefusalCode.WRONG_PLAN


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_nothing_in_a_request_weakens_the_noise(data: st.DataObject) -> None:
    """Whatever a server sends, the answer is a refusal by code, or one charge of the plan's own release."""
    number = st.one_of(st.integers(-2, 70), st.floats(), st.text(max_size=3), st.none())
    changes: dict[str, Any] = {
        "plan_hash": data.draw(st.sampled_from([PLAN.hash, PLAN.hash.upper(), "", PLANTED])),
        "site": data.draw(st.sampled_from(["Bonn", "bonn", "Essen", "", "Bonn/1"])),
        "round": data.draw(number),
        "attempt": data.draw(number),
        "roster": data.draw(st.sampled_from([("Bonn",), PLAN.roster, (), ("Bonn", "Bonn"), None])),
        "weights": data.draw(st.sampled_from([WEIGHTS, WEIGHTS * 1e300, WEIGHTS[:2], WEIGHTS.astype(np.float32)])),
    }
    keep = data.draw(st.sets(st.sampled_from(sorted(changes)), max_size=6))
    request = replace(request_for(PLAN), **{name: value for name, value in changes.items() if name not in keep})
    guard = guard_with()
    try:
        vector = guard.contribute(request).vector
    except RequestRefused as error:
        refusal = error
    else:
        assert vector.shape == WEIGHTS.shape
        assert np.isfinite(vector).all()
        assert [one.event for one in guard.ledger.charges()] == [SIXTY_ROUNDS]
        return
    assert isinstance(refusal.code, RefusalCode)
    assert refusal.args == (refusal.code.value,)


# The budget


def full_ledger() -> MemoryLedger:
    return MemoryLedger(POLICY.budget, [Charge(f"study/Bonn/{round_}/0", "hash", SIXTY_ROUNDS) for round_ in range(60)])


def test_over_budget_no_patient_is_read() -> None:
    table = UnreadablePatients()
    guard = guard_with(patients=table, ledger=full_ledger())
    for _ in range(2):  # and it stays so
        assert refusal_of(guard, request_for(PLAN)) is RefusalCode.BUDGET_EXCEEDED
    assert len(guard.ledger.charges()) == 60
    assert table.reads == 0


@pytest.mark.parametrize("mode", TrainingMode)
def test_what_has_no_bound_beside_another_study_is_refused_unread(mode: TrainingMode) -> None:
    """Sums over patients drawn by lot, of this plan or of the one before it. The budget would allow both."""
    epochs, full_batch = (TrainingSpec(mode=mode, rounds=2, local_steps=2) for mode in reversed(TrainingMode))
    private, table = local_privacy(noise_multiplier=60.0), UnreadablePatients()
    first, second = (study_plan(training=training, privacy=private) for training in (epochs, full_batch))
    plan, before = (first, second) if mode is TrainingMode.EPOCHS else (second, first)
    made = Charge(f"{before.hash}/Bonn/1/0", "hash", release_of_round(before).event)
    guard = guard_with(plan=plan, patients=table, ledger=MemoryLedger(POLICY.budget, [made]))
    assert refusal_of(guard, request_for(plan)) is RefusalCode.BUDGET_EXCEEDED
    assert table.reads == 0
    assert list(guard.ledger.charges()) == [made]


def test_below_the_budget_the_table_is_read() -> None:
    """Or else the test above would pass with a table that nobody ever reads."""
    table = UnreadablePatients()
    assert refusal_of(guard_with(patients=table), request_for(PLAN)) is RefusalCode.INTERNAL
    assert table.reads == 1


def test_the_charge_is_recorded_before_anything_is_computed_from_patients() -> None:
    charged: list[int] = []

    class Watched(UncomputablePatients):
        def __getattr__(self, name: str) -> NoReturn:
            charged.append(len(ledger.charges()))
            super().__getattr__(name)

        def __len__(self) -> int:  # which Python looks for without asking `__getattr__`
            return len(self.rows)

    ledger = MemoryLedger(POLICY.budget)
    guard = guard_with(patients=lambda: cast(PatientTensors, Watched()), ledger=ledger)
    guard.contribute(request_for(PLAN))
    assert charged
    assert set(charged) == {1}
    assert [one.identity for one in ledger.charges()] == [f"{PLAN.hash}/Bonn/1/0"]


def test_patients_that_are_not_ready_cost_nothing() -> None:
    """The table changed since approval: the server learns a code, and the same request may be asked again later."""
    ready = False

    def table() -> PatientTensors:
        if not ready:
            raise RequestRefused(RefusalCode.NOT_READY)
        return drawn_patients(PLAN.model, 20, seed=0)

    guard = guard_with(patients=table)
    assert refusal_of(guard, request_for(PLAN)) is RefusalCode.NOT_READY
    assert list(guard.ledger.charges()) == []
    ready = True
    assert guard.contribute(request_for(PLAN)).vector.shape == WEIGHTS.shape


def test_a_ledger_that_cannot_record_lets_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    class DiskFull(MemoryLedger):
        def charge(self, charge: Charge) -> None:
            raise OSError(f"cannot write {PLANTED}")

    guard = guard_with(patients=uncomputable, ledger=DiskFull(POLICY.budget))
    with caplog.at_level(logging.INFO):
        assert refusal_of(guard, request_for(PLAN)) is RefusalCode.INTERNAL
    assert "OSError" in caplog.text  # so it failed there, and not at the patients
    assert PLANTED not in caplog.text


# Answers that outlive the guard


def test_after_a_restart_the_identical_request_gets_the_same_bytes(tmp_path: Path) -> None:
    first = guard_with(answers=FolderAnswers(tmp_path))
    sent = first.contribute(request_for(PLAN)).vector.tobytes()
    table = UnreadablePatients()
    again = guard_with(ledger=first.ledger, patients=table, answers=FolderAnswers(tmp_path))
    assert again.contribute(request_for(PLAN)).vector.tobytes() == sent
    assert len(again.ledger.charges()) == 1
    assert table.reads == 0


def test_a_ledger_that_cannot_be_written_costs_nothing_and_the_local_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = guard_with()
    refused = RecordUnwritable("ledger.sqlite cannot be written (No space left on device)")

    def full(charge: Charge) -> NoReturn:
        raise refused

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard.ledger, "charge", full)
        assert refusal_of(guard, request_for(PLAN)) is RefusalCode.NOT_READY
    assert str(refused) in caplog.text
    assert len(guard.ledger.charges()) == 0
    guard.contribute(request_for(PLAN))  # the same question, once there is space
    assert len(guard.ledger.charges()) == 1


def test_a_whole_study_spends_its_epsilon_and_then_ends() -> None:
    guard = guard_with()
    for round_ in range(1, 61):
        guard.contribute(request_for(PLAN, round_=round_))
    assert refusal_of(guard, request_for(PLAN, round_=60, attempt=1)) is RefusalCode.BUDGET_EXCEEDED


# Texts


@pytest.mark.parametrize("error", [ValueError, RuntimeError, PrivacyRefusal, MemoryError, AssertionError, KeyError])
def test_no_text_of_an_exception_leaves(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_args: object, **_named: object) -> NoReturn:
        raise error(f"patient {PLANTED}")

    monkeypatch.setattr(guard_module, "ascent_sum", fails)
    with caplog.at_level(logging.INFO):
        guard_with().contribute(request_for(PLAN))
    assert PLANTED not in caplog.text
    assert error.__name__ in caplog.text  # the hospital's own staff learn what kind of failure it was


def test_an_interruption_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_args: object, **_named: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(guard_module, "ascent_sum", stops)
    with pytest.raises(KeyboardInterrupt):
        guard_with().contribute(request_for(PLAN))


def test_refusals_do_not_log_weights_or_hashes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        refusal_of(guard_with(ledger=full_ledger()), request_for(PLAN))
        refusal_of(guard_with(), replace(request_for(PLAN), plan_hash=PLANTED))
    assert PLANTED not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# What the plan promised its patients, whatever the policy would allow


def small_study() -> tuple[StudyPlan, SitePolicy]:
    """Two rounds and one for a repetition, on a source whose policy allows a thousand."""
    privacy = replace(local_privacy(noise_multiplier=60.0), reserve_rounds=1)
    return study_plan(training=TrainingSpec(rounds=2), privacy=privacy), replace(POLICY, largest_epsilon=50.0)


@pytest.mark.parametrize("mode", TrainingMode)
def test_a_plan_is_answered_as_often_as_it_said_and_then_no_patient_is_read(mode: TrainingMode) -> None:
    plan, policy = small_study()
    plan = replace(plan, training=replace(plan.training, mode=mode, local_steps=2))
    guard = guard_with(plan=plan, policy=policy)
    for attempt in range(3):
        answered = guard.contribute(request_for(plan, round_=1, attempt=attempt)).vector.tobytes()
    table = UnreadablePatients()
    again = guard_with(plan=plan, policy=policy, ledger=guard.ledger, patients=table)
    for fresh in (request_for(plan, round_=1, attempt=3), request_for(plan, round_=2)):
        for each in (guard, again):
            assert refusal_of(each, fresh) is RefusalCode.BUDGET_EXCEEDED
    assert table.reads == 0
    assert len(guard.ledger.charges()) == 3
    assert guard.contribute(request_for(plan, round_=1, attempt=2)).vector.tobytes() == answered
    assert refusal_of(again, request_for(plan, round_=1, attempt=2)) is RefusalCode.REQUEST_CONFLICT


def test_other_plans_other_hospitals_and_summaries_do_not_count_against_it() -> None:
    plan, policy = small_study()
    own = [f"{plan.hash}/Bonn/1/{attempt}" for attempt in range(2)]
    others = [f"{'0' * 64}/Bonn/1/0", f"{plan.hash}/Essen/1/0", f"{plan.hash}/Bonn/summary/evaluation/0"]
    event = release_of_round(plan).event
    ledger = MemoryLedger(policy.budget, [Charge(identity, "hash", event) for identity in (*own, *others)])
    guard = guard_with(plan=plan, policy=policy, ledger=ledger)
    guard.contribute(request_for(plan, round_=2))
    assert refusal_of(guard, request_for(plan, round_=2, attempt=1)) is RefusalCode.BUDGET_EXCEEDED


# No privacy, where the hospital allows it by name


def test_without_privacy_nothing_is_charged_and_a_run_repeats() -> None:
    plan = study_plan(
        training=TrainingSpec(mode=TrainingMode.EPOCHS, sampling_rate=0.3, local_steps=4), privacy=no_privacy()
    )
    policy = replace(POLICY, allow_no_privacy=True)
    guards = [guard_with(plan=plan, policy=policy) for _ in range(2)]
    first, again = (guard.contribute(request_for(plan)).vector for guard in guards)
    np.testing.assert_array_equal(first, again)
    assert list(guards[0].ledger.charges()) == []
    other_batches = guards[0].contribute(request_for(plan, attempt=1)).vector
    assert not np.array_equal(first, other_batches)


@pytest.mark.parametrize("restarted", [False, True])
def test_without_privacy_too_an_identity_has_one_content(tmp_path: Path, restarted: bool) -> None:
    """No ledger is asked here; the difference of two answers to one round would still be a patient's gradient."""
    plan = study_plan(privacy=no_privacy())
    policy = replace(POLICY, allow_no_privacy=True)
    table = UnreadablePatients()
    guard = guard_with(plan=plan, policy=policy, answers=FolderAnswers(tmp_path))
    answered = guard.contribute(request_for(plan)).vector.tobytes()
    if restarted:
        guard = guard_with(plan=plan, policy=policy, patients=table, answers=FolderAnswers(tmp_path))
    other = request_for(plan, weights=drawn_weights(plan.model, seed=1))
    assert refusal_of(guard, other) is RefusalCode.REQUEST_CONFLICT
    assert guard.contribute(request_for(plan)).vector.tobytes() == answered
    assert table.reads == 0


@pytest.mark.parametrize("budget", [Budget(10.0, 1e-5), Budget(1.0, 1e-4), Budget(float("nan"), 1e-5)])
def test_a_ledger_of_another_budget_than_the_policys_is_refused(budget: Budget) -> None:
    """Or else the hospital's largest epsilon would be whatever the ledger was opened with."""
    with pytest.raises(PrivacyRefusal, match="another budget"):
        guard_with(ledger=MemoryLedger(budget))


def test_a_source_that_adds_no_noise_is_refused_where_noise_is_promised() -> None:
    with pytest.raises(PrivacyRefusal, match="adds none"):
        guard_with(noise=NoNoise(seed=0))
