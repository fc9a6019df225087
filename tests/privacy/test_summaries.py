"""Is a summary bounded, charged, noised and refused as a round is?

privacy.md, tests 1, 5, 6 and 10, for sums that are released after the last round.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import (
    GRID,
    SilentNoise,
    calibrated_privacy,
    cards_of,
    drawn_patients,
    drawn_weights,
    joined,
    local_privacy,
    masks_of,
    members_of,
    model_spec,
    no_privacy,
    study_plan,
    with_inputs,
    without,
)
from tests.kernels import product_by_place
from tests.privacy.test_guard import UnreadablePatients, uncomputable
from tests.summaries import evaluation_of, summary_request

from oncofed.client.guard.guard import Guard, LoadPatients
from oncofed.client.patients.summaries import KINDS, PatientRows, bounded_sum, refuse_unknown
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import Charge, MemoryLedger, charge_from_json, charge_to_json
from oncofed.privacy.masking import Attempt, content_hash_of, new_masking_key
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.policy import (
    SitePolicy,
    WantedSummary,
    calibrated_together,
    of_two_hospitals,
    planned_releases_of,
    releases_of,
)
from oncofed.privacy.releases import release_of_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.messages import ContributeRequest, SummariseRequest
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise, StudyPlan, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.survival import one_by_one
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

TRAINING = TrainingSpec(rounds=12)
MODEL = model_spec(endpoints=2)


def rounds_alone(shares: SharedNoise | None = None) -> PrivacySpec:
    return calibrated_privacy(
        TRAINING,
        epsilon=3.0,
        delta=1e-5,
        l2_norm_bound=1.0,
        reserve_rounds=1,
        shares=shares,
        parameters=MODEL.parameters,
    )


def plan_with_summary(privacy_mode: PrivacyMode = PrivacyMode.LOCAL, **changes: Any) -> StudyPlan:
    """Twelve rounds and one evaluation, which takes a fifth of epsilon 3."""
    shared = privacy_mode is PrivacyMode.DISTRIBUTED
    shares = SHARES if shared else None
    privacy = no_privacy() if privacy_mode is PrivacyMode.NONE else rounds_alone(shares)
    plan = study_plan(model=MODEL, training=TRAINING, privacy=privacy)
    if shared:
        plan = replace(plan, roster=SITES, members=MEMBERS, quorum=3)
    wanted = [WantedSummary(evaluation_of(plan), 0.2)]
    privacy, summaries = calibrated_together(TRAINING, privacy, wanted, parameters=MODEL.parameters)
    return replace(plan, privacy=privacy, summaries=summaries, **changes)


SITES = ("Bonn", "Celle", "Essen", "Hof")
KEYS = {site: new_masking_key() for site in SITES}
SHARES = SharedNoise(sites=4, dropouts=1, colluding=1)
MEMBERS = members_of(SITES)
POLICY = SitePolicy(
    "registry", 3.0, 1e-5, allow_no_privacy=True, fewest_colluding_tolerated=1, verified_cards=cards_of(KEYS)
)
PLAN = plan_with_summary()
SPEC = PLAN.summaries[0]
SHARED = plan_with_summary(PrivacyMode.DISTRIBUTED)
HELD_OUT = drawn_patients(MODEL, 40, seed=9)


def guard_of(
    plan: StudyPlan = PLAN,
    *,
    site: str = "Bonn",
    held_out: LoadPatients = lambda: HELD_OUT,
    ledger: MemoryLedger | None = None,
    noise: NoiseSource | None = None,
    patients: LoadPatients | None = None,
) -> Guard:
    return Guard(
        site=site,
        plan=plan,
        policy=POLICY,
        patients=patients or UnreadablePatients(),  # nobody who is trained on is ever read for an evaluation
        ledger=ledger or MemoryLedger(POLICY.budget),
        noise=noise or OperatingSystemNoise(),
        masks=masks_of(site, KEYS),
        held_out=held_out,
    )


def refusal_of(guard: Guard, request: SummariseRequest) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        guard.summarise(request)
    assert refusal.value.__context__ is None
    return refusal.value.code


# The bound


def counts_at_an_edge(seed: int) -> FloatArray:
    """The evaluation's rows of many patients of one profile, whose log hazard ratio is an edge to the last bit."""
    model = model_spec(columns=61, hidden_units=())
    plan = replace(PLAN, model=model)
    patients = drawn_patients(model, 1, seed=seed).rows(torch.zeros(251, dtype=torch.int64))
    weights = drawn_weights(model, seed=seed)
    edge = float((patients.x @ torch.as_tensor(weights[-61:]))[0])
    spec = evaluation_of(plan, edges=(edge,))
    return KINDS[SummaryKind.EVALUATION].rows(plan, spec, weights, patients)


@pytest.mark.parametrize("seed", range(5))
def test_patients_who_are_alike_are_counted_in_one_cell_also_at_an_edge(seed: int) -> None:
    assert len(np.unique(counts_at_an_edge(seed), axis=0)) == 1


def test_with_a_plain_product_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_by_one, "exact_product", lambda fed, weight: product_by_place(fed.values, weight))
    assert any(len(np.unique(counts_at_an_edge(seed), axis=0)) > 1 for seed in range(20))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_one_patient_moves_the_sum_by_one_at_most(data: st.DataObject) -> None:
    endpoints = data.draw(st.integers(1, 3))
    plan = replace(PLAN, model=model_spec(endpoints=endpoints))
    spec = evaluation_of(plan)
    patients = drawn_patients(plan.model, data.draw(st.integers(1, 12)), seed=data.draw(st.integers(0, 99)))
    row = data.draw(st.integers(0, len(patients) - 1))
    value = data.draw(st.sampled_from([0.5, 0.0, 1e5, -1e30, 1e300, math.inf, math.nan]))
    patients = with_inputs(patients, row, value)
    weights = drawn_weights(plan.model, seed=data.draw(st.integers(0, 9)), scale=data.draw(st.sampled_from([0.3, 1e3])))
    with_all = bounded_sum(plan, spec, weights, patients).vector
    moved = with_all - bounded_sum(plan, spec, weights, without(patients, row)).vector
    assert np.isfinite(with_all).all()
    assert np.linalg.norm(moved) <= 1 + 1e-9


def test_the_bound_is_reached_and_is_one_for_all_endpoints_together() -> None:
    one = drawn_patients(MODEL, 30, seed=1)
    weights = np.zeros(MODEL.parameters)
    lengths = [
        np.linalg.norm(bounded_sum(PLAN, SPEC, weights, one.rows(torch.tensor([row]))).vector) for row in range(30)
    ]
    assert max(lengths) == pytest.approx(1.0, abs=1e-12)


def test_a_kind_that_forgets_its_bound_is_cut_and_one_whose_row_is_not_finite_adds_nothing() -> None:
    def too_long(plan: StudyPlan, spec: Any, weights: Any, patients: PatientTensors) -> np.ndarray[Any, Any]:
        length = np.where(patients.x[:, 0] == HELD_OUT.x[0, 0], np.nan, 50.0)
        length = np.where(patients.x[:, 0] == HELD_OUT.x[1, 0], 1e200, length)
        return np.repeat(length[:, None], spec.cells, axis=1)

    kinds = {SummaryKind.EVALUATION: PatientRows(held_out=True, faults=lambda plan, spec: [], rows=too_long)}
    total = bounded_sum(PLAN, SPEC, np.zeros(MODEL.parameters), HELD_OUT, kinds=kinds).vector
    assert total == pytest.approx(np.full(SPEC.cells, 38 / math.sqrt(SPEC.cells)))


def test_sums_of_two_groups_add_up() -> None:
    weights = drawn_weights(MODEL, seed=3)
    one, other = drawn_patients(MODEL, 9, seed=1), drawn_patients(MODEL, 7, seed=2)
    together = bounded_sum(PLAN, SPEC, weights, joined(one, other)).vector
    parts = [bounded_sum(PLAN, SPEC, weights, each).vector for each in (one, other)]
    np.testing.assert_allclose(together, parts[0] + parts[1], atol=1e-12)


# The charge


def test_an_evaluation_is_charged_as_what_it_is_and_reads_only_held_out_patients() -> None:
    guard = guard_of()
    answer = guard.summarise(summary_request(PLAN))
    assert answer.vector.shape == (SPEC.cells,)
    assert answer.noised
    (charge,) = guard.ledger.charges()
    assert charge.event == SharedIntegerRelease(SPEC.noise_multiplier, SPEC.cells, 20, 1.0, 1, 0, 0)
    assert charge.identity == f"{PLAN.hash}/Bonn/summary/evaluation/0"
    assert charge_from_json(charge_to_json(charge)) == charge


def test_the_charge_is_recorded_before_anything_is_computed() -> None:
    """From patients from whom nothing can be: noise of the very form leaves, for one charge."""
    guard = guard_of(held_out=uncomputable)
    answer = guard.summarise(summary_request(PLAN))
    assert release_of_summary(PLAN, SPEC).fault_of(answer.vector) == ""
    assert [charge.event for charge in guard.ledger.charges()] == [release_of_summary(PLAN, SPEC).event]
    assert guard.summarise(summary_request(PLAN)).vector.tobytes() == answer.vector.tobytes()
    assert len(guard.ledger.charges()) == 1


def test_over_budget_no_patient_is_read() -> None:
    full = MemoryLedger(POLICY.budget, [Charge(f"s/{n}", "h", event) for n, event in enumerate(releases_of(PLAN))])
    assert not any(charge.plan_hash == PLAN.hash for charge in full.charges()), "another study's, so it is the ledger"
    table = UnreadablePatients()
    assert refusal_of(guard_of(held_out=table, ledger=full), summary_request(PLAN)) is RefusalCode.BUDGET_EXCEEDED
    assert table.reads == 0
    assert refusal_of(guard_of(held_out=table), summary_request(PLAN)) is RefusalCode.INTERNAL
    assert table.reads == 1  # or the line above would prove nothing


def test_the_identical_request_gets_the_same_bytes_and_a_new_attempt_fresh_noise_and_a_charge() -> None:
    guard = guard_of()
    first = guard.summarise(summary_request(PLAN)).vector
    assert guard.summarise(summary_request(PLAN)).vector.tobytes() == first.tobytes()
    assert len(guard.ledger.charges()) == 1
    second = guard.summarise(summary_request(PLAN, attempt=1)).vector
    assert not np.isclose(first, second).any()
    assert len(guard.ledger.charges()) == 2


WEIGHTS = np.full(MODEL.parameters, 0.25)
REFUSED: dict[str, tuple[dict[str, Any], RefusalCode]] = {
    "a third attempt": ({"attempt": 2}, RefusalCode.ROUND_OUT_OF_RANGE),
    "a negative attempt": ({"attempt": -1}, RefusalCode.ROUND_OUT_OF_RANGE),
    "another name": ({"summary": "votes"}, RefusalCode.ROUND_OUT_OF_RANGE),
    "fewer cells": ({"cells": 1}, RefusalCode.ROUND_OUT_OF_RANGE),
    "another site": ({"site": "Essen"}, RefusalCode.WRONG_SITE),
    "another plan": ({"plan_hash": "ab"}, RefusalCode.WRONG_PLAN),
    "no weights": ({"weights": np.zeros(0)}, RefusalCode.MALFORMED_WEIGHTS),
    "weights that are not finite": ({"weights": WEIGHTS * math.nan}, RefusalCode.MALFORMED_WEIGHTS),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_what_the_plan_does_not_ask_for_is_refused_and_free(changes: dict[str, Any], code: RefusalCode) -> None:
    guard = guard_of()
    assert refusal_of(guard, summary_request(PLAN, **changes)) is code
    assert guard.ledger.charges() == ()


@pytest.mark.parametrize("changes", [{"weights": WEIGHTS + 1}, {"roster": ("Bonn",)}])
def test_the_same_attempt_with_other_content_is_refused(changes: dict[str, Any]) -> None:
    guard = guard_of()
    guard.summarise(summary_request(PLAN))
    assert refusal_of(guard, summary_request(PLAN, **changes)) is RefusalCode.REQUEST_CONFLICT
    assert len(guard.ledger.charges()) == 1


def test_a_summary_and_a_round_are_never_the_same_request() -> None:
    summary = summary_request(PLAN)
    of_round = ContributeRequest(PLAN.hash, "Bonn", 1, 0, PLAN.roster, summary.weights)
    assert summary.hash != of_round.hash
    hashes = {
        replace(summary, **change).hash
        for change in ({}, {"summary": "other"}, {"cells": 9}, {"attempt": 1}, {"site": "Essen"}, {"roster": ("Bonn",)})
    }
    assert len(hashes) == 6


# What a hospital computes at all


def test_an_unknown_kind_and_numbers_that_do_not_fit_are_refused_before_anything_is_asked() -> None:
    refuse_unknown(PLAN)
    with pytest.raises(PrivacyRefusal, match="not computed here"):
        refuse_unknown(PLAN, {})
    for broken in (
        replace(SPEC, cells=SPEC.cells + 1),
        replace(SPEC, edges=(0.0, 0.0)),
        replace(SPEC, edges=(math.nan,)),
        replace(SPEC, time_bounds=GRID.bounds[:-1]),
        replace(SPEC, time_bounds=(0.0, 0.123, GRID.bounds[-1])),
        replace(SPEC, time_bounds=()),
    ):
        with pytest.raises(PrivacyRefusal):
            guard_of(replace(PLAN, summaries=(broken,)))


def test_a_plan_that_measures_nobody_set_aside_does_not_start() -> None:
    with pytest.raises(PrivacyRefusal, match="set aside"):
        Guard(
            site="Bonn",
            plan=PLAN,
            policy=POLICY,
            patients=lambda: HELD_OUT,
            ledger=MemoryLedger(POLICY.budget),
            noise=OperatingSystemNoise(),
        )
    assert KINDS[SummaryKind.EVALUATION].held_out


# The plan's budget


def test_rounds_and_summaries_together_spend_epsilon_and_no_more() -> None:
    for plan in (PLAN, SHARED):
        assert len(releases_of(plan)) == 12 + 1 + 2
        assert len(planned_releases_of(plan)) == 12 + 1
        assert 2.98 <= epsilon_of(releases_of(plan), delta=1e-5) <= 3.0
    of_rounds = 13 / PLAN.privacy.noise_multiplier**2
    of_summary = 2 / SPEC.noise_multiplier**2
    assert of_summary / (of_rounds + of_summary) == pytest.approx(0.2)


def test_without_summaries_the_noise_is_what_it_was() -> None:
    before = rounds_alone()
    assert calibrated_together(TRAINING, before, [], parameters=MODEL.parameters) == (before, ())


BROKEN: dict[str, Any] = {
    "less noise in the summary": {"noise_multiplier": SPEC.noise_multiplier * 0.9},
    "no noise": {"noise_multiplier": 0.0},
    "noise that is no number": {"noise_multiplier": math.nan},
    "more attempts": {"attempts": 4},
    "no attempt": {"attempts": 0},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_plan_whose_summary_breaks_its_promise_is_refused(change: dict[str, Any]) -> None:
    POLICY.refuse_unless_allowed(PLAN)
    with pytest.raises(PrivacyRefusal):
        POLICY.refuse_unless_allowed(replace(PLAN, summaries=(replace(SPEC, **change),)))


def test_the_policys_smallest_noise_and_largest_size_hold_for_summaries_too() -> None:
    with pytest.raises(PrivacyRefusal, match="evaluation"):
        replace(POLICY, smallest_noise_multiplier=SPEC.noise_multiplier + 0.1).refuse_unless_allowed(PLAN)
    with pytest.raises(PrivacyRefusal, match="evaluation"):
        replace(POLICY, largest_parameters=SPEC.cells - 1).refuse_unless_allowed(PLAN)


def test_a_summarys_noise_is_shared_as_that_of_its_rounds_and_in_the_same_steps() -> None:
    """There is one statement of both in a plan. Its clip norm is the rounds' alone."""
    for made, others in ((SHARED, (4, 1, 1)), (PLAN, (1, 0, 0))):
        plan = replace(made, privacy=replace(made.privacy, scale_bits=17, l2_norm_bound=0.3))
        spec = plan.summaries[0]
        expected = SharedIntegerRelease(spec.noise_multiplier, spec.cells, 17, 1.0, *others)
        assert release_of_summary(plan, spec).event == expected
        of_round = release_of_round(plan).event
        assert of_round == replace(
            expected, noise_multiplier=plan.privacy.noise_multiplier, parameters=MODEL.parameters
        )
        assert release_of_summary(plan, spec).needs_everybody == release_of_round(plan).needs_everybody


def test_a_patient_of_two_hospitals_pays_for_a_summary_in_both() -> None:
    """With rounds of unequal numbers, each release is matched with its own kind."""
    of_round = release_of_round(SHARED).event
    of_summary = release_of_summary(SHARED, SHARED.summaries[0]).event
    both = of_two_hospitals([of_round] * 3 + [of_summary], [of_round] * 2 + [of_summary])
    assert sorted(map(repr, both)) == sorted(map(repr, [of_round] * (4 * 2 + 1) + [of_summary] * 4))
    local = [release_of_summary(PLAN, SPEC).event]
    assert of_two_hospitals(local, local) == (*local, *local)


# Noise and masks


def test_the_noise_is_the_plans() -> None:
    plan = replace(PLAN, privacy=local_privacy(noise_multiplier=20.0))
    spec = evaluation_of(plan, noise_multiplier=30.0, attempts=12)
    plan = replace(plan, training=TrainingSpec(rounds=1), summaries=(spec,))
    policy = replace(POLICY, largest_epsilon=100.0)
    plan = replace(plan, privacy=replace(plan.privacy, epsilon=100.0))
    guard = Guard(
        site="Bonn",
        plan=plan,
        policy=policy,
        patients=UnreadablePatients(),
        ledger=MemoryLedger(policy.budget),
        noise=OperatingSystemNoise(),
        held_out=lambda: HELD_OUT,
    )
    exact = bounded_sum(plan, spec, WEIGHTS, HELD_OUT).vector
    noise = np.concatenate([guard.summarise(summary_request(plan, attempt=n)).vector - exact for n in range(12)])
    # A normal sample's spread is within 6 / sqrt(2 n) of its sigma with p < 1e-8.
    assert abs(noise.std() / 30.0 - 1) < 6 / math.sqrt(2 * noise.size)
    assert abs(noise.mean()) < 6 * 30.0 / math.sqrt(noise.size)


def test_without_privacy_the_sum_is_exact_free_and_says_that_it_hides_nothing() -> None:
    plan = plan_with_summary(PrivacyMode.NONE)
    guard = guard_of(plan)
    answer = guard.summarise(summary_request(plan))
    np.testing.assert_array_equal(answer.vector, bounded_sum(plan, plan.summaries[0], WEIGHTS, HELD_OUT).vector)
    assert not answer.noised
    assert (answer.vector != np.rint(answer.vector * 2**20) / 2**20).any(), "nor rounded"
    assert not guard.summarise(summary_request(plan)).noised
    assert guard.ledger.charges() == ()


def opened(vectors: dict[str, Any], *, attempt: int = 0) -> FloatArray:
    belongs = Attempt(SHARED.hash, "evaluation", attempt, tuple(sorted(vectors)), content_hash_of(WEIGHTS))
    (total,) = release_of_summary(SHARED, SHARED.summaries[0]).opened(list(vectors.items()), attempt=belongs)
    return total


def test_masked_summaries_add_up_to_the_plain_sum_and_one_tells_nothing() -> None:
    patients = {site: drawn_patients(MODEL, 20, seed=n) for n, site in enumerate(SITES)}

    def vector_of(site: str) -> Any:
        guard = guard_of(SHARED, site=site, held_out=lambda: patients[site], noise=SilentNoise())
        return guard.summarise(summary_request(SHARED, site=site)).vector

    vectors = {site: vector_of(site) for site in SITES}
    plain = sum(bounded_sum(SHARED, SHARED.summaries[0], WEIGHTS, each).vector for each in patients.values())
    assert np.abs(opened(vectors) - plain).max() <= 4 * 0.5 / 2**20
    upper = vectors["Bonn"] >> np.uint64(48)
    assert np.count_nonzero((upper == 0) | (upper == 0xFFFF)) <= 2


def test_the_noise_of_a_masked_summary_is_what_the_guaranteed_shares_promise_and_more() -> None:
    patients = drawn_patients(MODEL, 20, seed=0)
    spec = SHARED.summaries[0]
    noise = []
    for attempt in range(2):
        vectors = {
            site: guard_of(SHARED, site=site, held_out=lambda: patients)
            .summarise(summary_request(SHARED, site=site, attempt=attempt))
            .vector
            for site in SITES
        }
        noise.append(opened(vectors, attempt=attempt) - 4 * bounded_sum(SHARED, spec, WEIGHTS, patients).vector)
    spread = np.concatenate(noise)
    assert abs(spread.std() / (spec.noise_multiplier * math.sqrt(4 / 2)) - 1) < 6 / math.sqrt(2 * spread.size)


def test_a_roster_that_would_isolate_a_hospital_is_refused_and_free() -> None:
    guard = guard_of(SHARED)
    assert refusal_of(guard, summary_request(SHARED, roster=("Bonn", "Celle"))) is RefusalCode.WRONG_SITE
    assert guard.ledger.charges() == ()
