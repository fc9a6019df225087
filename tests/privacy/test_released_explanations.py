"""Are released explanations bounded, charged, noised, silent below the floor, and otherwise what patients voted for?"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from tests.doubles import local_privacy, study_plan

from oncofed.client.guard.guard import Guard
from oncofed.client.patients.summaries import KINDS, bounded_sum, refuse_unknown
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.errors import PrivacyRefusal
from oncofed.explanation.interactions import model_interactions
from oncofed.explanation.relevance import marker_relevance
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.releases import release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.plan import ModelSpec, PrivacyMode, SharedNoise, StudyPlan, TrainingSpec
from oncofed.protocol.summary_spec import SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import VoteLayout
from oncofed.server.rounds.explanation_votes import read_markers, read_pairs
from oncofed.simulations.explanation_study.release import plan_with_votes, released
from oncofed.simulations.federation import Engine, federate
from oncofed.simulations.masking_keys import simulated_member
from oncofed.study.explanation_settings import INTERACTIONS, KEY_MARKERS, entity_names, voted_names
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors, patient_tensors
from oncofed.survival.network import network_with

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
GRID = TimeGrid((0.0, 12.0, 24.0))
NUMBERS = 14
SCHEMA = StudySchema(
    name="votes",
    patient_id="patient_id",
    markers=(
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "skin"), reference_category="lung"),
        *(Marker(f"lab_{n}", Modality.LABORATORY, Kind.CONTINUOUS) for n in range(NUMBERS)),
        *(Marker(f"gene_{n}", Modality.RNA_EXPRESSION, Kind.CONTINUOUS) for n in range(3)),
    ),
    endpoints=(Endpoint("death", "months", "dead"),),
    grid=GRID,
    baseline_hazard=(0.01,),
    modalities={
        Modality.LABORATORY: ModalityEncoding(missing_weight=0.5),
        Modality.RNA_EXPRESSION: ModalityEncoding(missing_weight=0.5, missing_flags=MissingFlags.MODALITY),
    },
    tumour_entity="entity",
)
NAMES = tuple(marker.name for marker in SCHEMA.markers)
MODEL = ModelSpec(len(columns(SCHEMA)), ("death",), GRID, (0.01,), (6,))
POLICY = SitePolicy("registry", 10.0, 1e-5)


def cohort_of(count: int, *, seed: int) -> Cohort:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, len(SCHEMA.markers)))
    values[:, 0] = rng.integers(0, 2, count)
    values[rng.random(values.shape) < 0.15] = np.nan
    values[: count // 4, -3:] = np.nan
    exit_ = rng.uniform(1, 24, (count, 1))
    return Cohort(SCHEMA, tuple(f"{seed}-{n}" for n in range(count)), values, 0 * exit_, exit_, exit_ > 8)


def base_plan(rounds: int = 2) -> StudyPlan:
    privacy = replace(local_privacy(), noise_multiplier=60.0, epsilon=9.0)
    return study_plan(model=MODEL, training=TrainingSpec(rounds=rounds), privacy=privacy)


PLAN = plan_with_votes(base_plan(), SCHEMA, epsilon=1.0, smallest_shown=50.0)
MARKERS, PAIRS = PLAN.summaries
VOTES = MARKERS.votes or VoteSpec((), 0)
WEIGHTS: FloatArray = np.random.default_rng(4).normal(size=MODEL.parameters)
SUMMARIES = pytest.mark.parametrize("spec", PLAN.summaries, ids=lambda spec: spec.name)


def rows_of(patients: PatientTensors, index: list[int]) -> PatientTensors:
    return patients.rows(torch.tensor(index, dtype=torch.int64))


@SUMMARIES
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_one_patient_moves_the_sum_by_one_at_most(spec: SummarySpec, data: st.DataObject) -> None:
    patients = patient_tensors(cohort_of(data.draw(st.integers(1, 9)), seed=data.draw(st.integers(0, 50))))
    row = data.draw(st.integers(0, len(patients) - 1))
    x = patients.x.clone()
    x[row] *= data.draw(st.sampled_from([1.0, 0.0, 1e6, -1e200, math.inf, math.nan]))
    patients = PatientTensors.of(x, patients.events, patients.at_risk)
    weights = WEIGHTS * data.draw(st.sampled_from([1.0, 1e-9, 1e3]))
    others = rows_of(patients, [index for index in range(len(patients)) if index != row])
    with_all = bounded_sum(PLAN, spec, weights, patients).vector
    moved = with_all - bounded_sum(PLAN, spec, weights, others).vector
    assert np.isfinite(with_all).all()
    assert np.linalg.norm(moved) <= 1 + 1e-9


@SUMMARIES
def test_the_rows_themselves_are_within_the_bound_so_that_no_vote_is_cut(spec: SummarySpec) -> None:
    patients = patient_tensors(cohort_of(60, seed=1))
    lengths = np.linalg.norm(KINDS[spec.kind].rows(PLAN, spec, WEIGHTS, patients), axis=1)
    assert lengths.max() <= 1 + 1e-12
    assert lengths.max() > 0.9, "the bound is used"


def test_votes_are_for_the_strongest_and_effects_point_where_higher_values_do() -> None:
    cohort = cohort_of(80, seed=2)
    patients = patient_tensors(cohort)
    names, relevance = marker_relevance(network_with(MODEL, WEIGHTS), patients.x, columns(SCHEMA), endpoint=0)
    order = [names.index(name) for name in voted_names(SCHEMA)]
    layout, share = VoteLayout.of(VOTES), 1 / math.sqrt(VOTES.most_votes)
    rows = KINDS[MARKERS.kind].rows(PLAN, MARKERS, WEIGHTS, patients)
    for patient in range(80):
        own = relevance[patient, order]
        strongest = set(np.argsort(-np.abs(own), kind="stable")[:10].tolist())
        assert set(np.flatnonzero(rows[patient, layout.votes]).tolist()) == strongest
        assert (rows[patient, layout.effects] != 0).sum() == 10
        for place in strongest - {0}:
            value = cohort.values[patient, place] if place < len(SCHEMA.markers) else np.nan
            sign = np.sign(own[place]) * (-1 if value < 0 else 1)  # unmeasured is no lower value
            expected = 0.4 * share * sign * min(abs(own[place]) / 0.5, 1)
            assert rows[patient, layout.effects][place] == pytest.approx(expected)
        entity = 1 if cohort.values[patient, 0] == 1 else 0
        blocks = rows[patient, layout.own].reshape(2, VOTES.markers)
        np.testing.assert_allclose(blocks[entity] / 0.42, rows[patient, layout.votes] / 0.7)
        assert not blocks[1 - entity].any()
        effects = rows[patient, layout.own_effects].reshape(2, VOTES.markers)
        np.testing.assert_allclose(effects[entity] / 0.3, rows[patient, layout.effects] / 0.4)
        assert not effects[1 - entity].any()
        assert np.flatnonzero(rows[patient, layout.count]).tolist() == [0, 1 + entity]
    assert entity_names(SCHEMA) == ("lung", "skin")


def test_pair_votes_are_for_the_strongest_interactions_with_the_sign_of_their_slope() -> None:
    cohort = cohort_of(1, seed=5)
    values = np.where(np.isnan(cohort.values), 0.3, cohort.values)
    patient = Cohort(SCHEMA, ("one",), values, cohort.entry.copy(), cohort.exit.copy(), cohort.observed.copy())
    tensors = patient_tensors(patient)
    row = KINDS[PAIRS.kind].rows(PLAN, PAIRS, WEIGHTS, tensors)[0]
    found = model_interactions(
        network_with(MODEL, WEIGHTS),
        tensors.x,
        columns(SCHEMA),
        names=tuple(marker.name for marker in SCHEMA.markers),
        values=values,
        endpoint=0,
    )
    first, second = np.triu_indices(len(SCHEMA.markers), k=1)
    strength = found.strength[first, second]
    assert set(np.flatnonzero(row).tolist()) == set(np.argsort(-strength)[:10].tolist())
    numeric = np.flatnonzero((row != 0) & (first > 0))  # an entity's number is its place in the list
    assert len(numeric) >= 5
    np.testing.assert_array_equal(np.sign(row[numeric]), np.sign(found.slope[first, second][numeric]))


def guard_of(plan: StudyPlan, ledger: MemoryLedger) -> Guard:
    tensors = patient_tensors(cohort_of(50, seed=3))
    return Guard(
        site="Bonn",
        plan=plan,
        policy=POLICY,
        patients=lambda: tensors,
        ledger=ledger,
        noise=OperatingSystemNoise(),
    )


def test_each_release_is_charged_and_both_together_cost_the_stated_epsilon() -> None:
    ledger = MemoryLedger(POLICY.budget)
    guard = guard_of(PLAN, ledger)
    for spec in PLAN.summaries:
        request = SummariseRequest(PLAN.hash, "Bonn", spec.name, 0, PLAN.roster, WEIGHTS, spec.cells)
        first, again = (guard.summarise(request).vector for _ in range(2))
        np.testing.assert_array_equal(first, again)
    events = [charge.event for charge in ledger.charges()]
    assert events == [
        SharedIntegerRelease(spec.noise_multiplier, spec.cells, 20, 1.0, sites=1, dropouts=0, colluding=0)
        for spec in (MARKERS, PAIRS)
    ]
    assert epsilon_of(events, delta=PLAN.privacy.delta) == pytest.approx(1.0, abs=2e-3)


def test_a_plan_whose_votes_do_not_fit_the_model_is_refused() -> None:
    for broken in (
        replace(MARKERS, votes=None),
        replace(MARKERS, cells=MARKERS.cells + 1),
        replace(MARKERS, votes=replace(VOTES, column_markers=VOTES.column_markers[1:])),
        replace(MARKERS, votes=replace(VOTES, column_markers=(-1, *VOTES.column_markers[1:]))),
        replace(MARKERS, votes=replace(VOTES, largest_effect=0.0)),
        replace(MARKERS, votes=replace(VOTES, entity_columns=(999,))),
        replace(MARKERS, votes=replace(VOTES, most_votes=0)),
    ):
        with pytest.raises(PrivacyRefusal, match=KEY_MARKERS):
            refuse_unknown(replace(PLAN, summaries=(broken,)))
    deep = replace(PLAN, model=replace(MODEL, hidden_units=(4, 3)))
    with pytest.raises(PrivacyRefusal, match="one hidden layer"):
        refuse_unknown(deep)
    refuse_unknown(PLAN)


QUIET = replace(PLAN, summaries=tuple(replace(spec, noise_multiplier=1e-3) for spec in PLAN.summaries))
"""So little noise that only the floor can hold anything back."""


def read(patients: int, *, only_lung: bool = False) -> Any:
    cohort = cohort_of(patients, seed=7)
    if only_lung:
        cohort = cohort.subset(np.flatnonzero(cohort.values[:, 0] == 0))
    tensors = patient_tensors(cohort)
    of_markers, of_pairs = QUIET.summaries
    sums = [bounded_sum(QUIET, spec, WEIGHTS, tensors).vector for spec in QUIET.summaries]
    markers = read_markers(sums[0], spec=of_markers, schema=SCHEMA, noise_sd=1e-3)
    return markers, read_pairs(sums[1], markers, spec=of_pairs, schema=SCHEMA, noise_sd=1e-3)


def test_below_the_floor_nothing_is_shown_of_everybody_or_of_an_entity() -> None:
    markers, pairs = read(900)
    assert markers.everybody.patients == pytest.approx(900)
    assert markers.everybody.markers
    assert all(part.markers for part in markers.by_entity.values())
    assert pairs
    few, few_pairs = read(45)
    assert not few.everybody.markers
    assert not few_pairs
    assert not any(part.markers for part in few.by_entity.values())
    one_kind, _ = read(900, only_lung=True)
    assert one_kind.by_entity["lung"].markers
    assert not one_kind.by_entity["skin"].markers


def test_what_is_shown_is_the_count_of_voters_and_their_mean_effect_of_all_and_by_entity() -> None:
    cohort = cohort_of(900, seed=7)
    names, relevance = marker_relevance(
        network_with(MODEL, WEIGHTS), patient_tensors(cohort).x, columns(SCHEMA), endpoint=0
    )
    markers, _ = read(900)
    chosen = np.zeros(relevance.shape, np.bool_)
    np.put_along_axis(chosen, np.argsort(-np.abs(relevance), axis=1, kind="stable")[:, :10], True, axis=1)
    signs = np.ones(relevance.shape)
    for place, name in enumerate(names):
        if name in NAMES:  # else the flag of a modality
            signs[cohort.marker_values(name) < 0, place] = -1
    effects = np.clip(relevance, -0.5, 0.5) * signs
    is_skin = cohort.values[:, 0] == 1
    for part, own in {
        "all": np.ones(900, np.bool_),
        "lung": ~is_skin,
        "skin": is_skin,
    }.items():
        found = markers.everybody if part == "all" else markers.by_entity[part]
        voters = {name: int(chosen[own, place].sum()) for place, name in enumerate(names)}
        most = sorted(voters.values(), reverse=True)[: len(found.markers)]
        np.testing.assert_allclose([marker.voters for marker in found.markers], most)
        for marker in found.markers:
            place = names.index(marker.name)
            of_voters = effects[own & chosen[:, place], place]
            assert marker.voters == pytest.approx(voters[marker.name])
            assert marker.effect == pytest.approx(of_voters.mean(), abs=1e-9)
            assert marker.direction == np.sign(of_voters.mean())
        held = np.cumsum(sorted(voters.values(), reverse=True)) / (10 * own.sum())
        assert found.carry_most == int(np.flatnonzero(held >= 0.9)[0]) + 1
        assert found.share_of_votes == pytest.approx(held[len(found.markers) - 1])
        assert found.patients == pytest.approx(own.sum())
        assert found.patients_sd == pytest.approx(1e-3 / 0.2)


def test_a_direction_that_the_noise_may_have_decided_is_not_told() -> None:
    votes, layout = VOTES, VoteLayout.of(VOTES)
    vector = np.zeros(MARKERS.cells)
    vector[layout.count] = 0.2 * 5000
    one_vote = 0.7 / math.sqrt(votes.most_votes)
    vector[layout.votes] = one_vote * 5000
    one_effect = 0.4 / math.sqrt(votes.most_votes) / votes.largest_effect
    sd = MARKERS.noise_multiplier
    vector[layout.effects][:4] = [2.1 * sd, 1.9 * sd, -1.9 * sd, -2.1 * sd]
    found = read_markers(vector, spec=MARKERS, schema=SCHEMA, noise_sd=sd)
    by_name = {marker.name: marker for marker in found.everybody.markers}
    first = [by_name[name] for name in voted_names(SCHEMA)[:4]]
    assert [marker.direction for marker in first] == [1, 0, 0, -1]
    assert first[0].effect == pytest.approx(2.1 * sd / one_effect / 5000)
    assert first[0].effect_sd == pytest.approx(sd / one_effect / 5000)
    assert first[0].voters_sd == pytest.approx(sd / one_vote)


def test_noise_alone_shows_next_to_nothing() -> None:
    shown = 0
    for seed in range(40):
        vector = PLAN.summaries[0].noise_multiplier * np.random.default_rng(seed).normal(size=MARKERS.cells)
        vector[VoteLayout.of(VOTES).count] += 0.2 * 300  # many patients, none of whom voted
        found = read_markers(vector, spec=MARKERS, schema=SCHEMA, noise_sd=MARKERS.noise_multiplier)
        shown += bool(found.everybody.markers)
    assert shown <= 8, "0.05 of 40 is 2; more than 8 has a probability below 1e-3"


def test_a_federation_releases_both_and_charges_every_hospital() -> None:
    plan = replace(base_plan(), roster=("Bonn", "Essen"), quorum=2)
    plan = plan_with_votes(plan, SCHEMA, epsilon=1.0, smallest_shown=50.0)
    found = released(plan, {"Bonn": cohort_of(300, seed=11), "Essen": cohort_of(200, seed=12)})
    assert found.charged == 2
    assert found.epsilon == pytest.approx(1.0, abs=2e-3)
    assert plan.summary(INTERACTIONS) is not None
    assert 0 <= found.recall <= 1


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_the_noise_that_is_told_is_the_noise_of_the_sum(mode: str) -> None:
    roster = ("Bonn", "Essen", "Kiel")
    plan = replace(base_plan(rounds=1), roster=roster, quorum=3)
    if mode == "distributed":
        shares = SharedNoise(3, 0, 2)
        privacy = replace(plan.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares)
        plan = replace(plan, privacy=privacy, members=tuple(simulated_member(site) for site in roster))
    plan = plan_with_votes(plan, SCHEMA, epsilon=1.0, smallest_shown=50.0)
    hospitals = {site: cohort_of(60, seed=number) for number, site in enumerate(roster)}
    with tempfile.TemporaryDirectory() as folder:
        state = federate(
            plan, hospitals, run_folder=Path(folder), engine=Engine.GRID, resume=False, figures=lambda *_: {}
        ).state
    for spec in plan.summaries:
        exact = sum(bounded_sum(plan, spec, state.weights, patient_tensors(each)).vector for each in hospitals.values())
        off = state.summaries[spec.name].vector - exact
        told = release_of_summary(plan, spec).noise_of_sum(hospitals=3)
        assert told == pytest.approx(
            spec.noise_multiplier * math.sqrt(3), rel=1e-6
        )  # of one share, and one alone is guaranteed
        squares = float((off**2).sum()) / told**2
        assert 1e-7 < chi2.cdf(squares, off.size) < 1 - 1e-7
