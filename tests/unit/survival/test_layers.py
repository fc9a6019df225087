"""Do rounds take layers away as if nobody had measured them, all hospitals alike, and as a Shapley value weighs them?

The truth of taking away is the encoding of a table in which these cells are empty; of the draw, the weights of Shapley.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare
from tests.doubles import (
    SeededNoise,
    drawn_patients,
    drawn_weights,
    local_privacy,
    model_spec,
    no_privacy,
    request_for,
    study_plan,
)
from tests.hospital import SCHEMA
from tests.installed_node import SITE, SOURCE, installed_node
from tests.privacy.test_policy import PLAN, POLICY

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.guard.trial import measured as tried
from oncofed.client.patients.approved_patients import ApprovedPatients
from oncofed.client.patients.training import ascent_sum, seen_in_round
from oncofed.client.records.frozen_patients import freeze, frozen_file
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.privacy.ledger import MemoryLedger
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words
from oncofed.simulations.federation import simulated_guard
from oncofed.simulations.site_policy import site_policy
from oncofed.study.value_settings import layers_of
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.layers import Layer, taken_away
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.unmeasured import measured, patients_without, without

FloatArray = NDArray[np.float64]

A, B, C = Layer("a", (1, 2), (2,), 0.25), Layer("b", (3,), (3,), 0.5), Layer("c", (4, 5), (4, 5), 0.125)
SPEC = model_spec(columns=6, endpoints=2, layers=(A, B, C))
TRAINING = TrainingSpec(rounds=40)


def layered_plan(**changes: object) -> StudyPlan:
    return replace(study_plan(model=SPEC, training=TRAINING, privacy=no_privacy()), **changes)  # type: ignore[arg-type]


def cohort_of(values: np.ndarray, schema: StudySchema) -> Cohort:
    n = len(values)
    times = np.full((n, 1), 10.0)
    return Cohort(schema, tuple(map(str, range(n))), values, np.zeros((n, 1)), times, times > 0)


# What it is to take away


@pytest.mark.parametrize("flags", [MissingFlags.MARKER, MissingFlags.MODALITY])
def test_what_is_taken_away_looks_like_cells_that_are_empty(flags: MissingFlags) -> None:
    markers = (
        Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker("r1", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z", (-9.0, 9.0), 0.5, 2.0),
        Marker("lab", Modality.LABORATORY, Kind.CONTINUOUS, "u", (-9.0, 9.0), 1.0, 1.0),
        Marker("r2", Modality.RNA_EXPRESSION, Kind.CATEGORICAL, categories=("x", "y", "z"), reference_category="y"),
        Marker("l2", Modality.LABORATORY, Kind.BINARY, centre=0.3),
    )
    encoding = ModalityEncoding(weight=0.7, missing_weight=0.03, missing_flags=flags)
    schema = replace(
        read_small(), markers=markers, modalities={Modality.RNA_EXPRESSION: encoding, Modality.LABORATORY: encoding}
    )
    rng = np.random.default_rng(1)
    values = np.column_stack(
        [
            rng.normal(60, 9, 40),
            rng.normal(size=40),
            rng.normal(size=40),
            rng.integers(0, 3, 40),
            rng.integers(0, 2, 40),
        ]
    ).astype(np.float64)
    values[rng.random(values.shape) < 0.1] = np.nan
    layers = layers_of((Modality.LABORATORY, Modality.RNA_EXPRESSION), schema)
    x = torch.as_tensor(encode(cohort_of(values, schema)))
    for taken, empty in (((0,), (2, 4)), ((1,), (1, 3)), ((0, 1), (1, 2, 3, 4)), ((), ())):
        blank = values.copy()
        blank[:, list(empty)] = np.nan
        found = without(x, [layers[each] for each in taken])
        np.testing.assert_array_equal(found.numpy(), encode(cohort_of(blank, schema)))
    whole = ~np.isnan(values[:, [1, 3]]).all(axis=1)
    np.testing.assert_array_equal(measured(x, [layers[1]]).numpy(), whole)
    both = whole & ~np.isnan(values[:, [2, 4]]).all(axis=1)
    np.testing.assert_array_equal(measured(x, layers).numpy(), both)


def read_small() -> StudySchema:
    from oncofed.simulations.synthetic.layered import layered_schema  # noqa: PLC0415

    return layered_schema()


def test_who_is_not_usable_stays_so_and_who_is_there_does_not_change_what_another_adds() -> None:
    patients = drawn_patients(SPEC, 30, seed=1)
    spoilt = PatientTensors.of(patients.x.index_fill(0, torch.tensor([4]), math.nan), patients.events, patients.at_risk)
    taken = patients_without(spoilt, (A, C))
    assert not taken.usable[4]
    assert taken.usable.sum() == 29
    weights, plan = drawn_weights(SPEC, seed=1), layered_plan()
    alone = [
        ascent_sum(plan, weights, patients_without(spoilt.rows(slice(n, n + 1)), (A, C))).vector for n in range(30)
    ]
    assert not alone[4].any()
    for n in range(30):
        single = ascent_sum(plan, weights, taken.rows(slice(n, n + 1))).vector
        assert single.tobytes() == alone[n].tobytes()


# Which layers a round takes away


def test_each_block_of_rounds_has_each_number_of_layers_once() -> None:
    for plan_hash in ("0" * 64, "a" * 64):
        for block in range(50):
            taken = [taken_away((A, B, C), plan_hash=plan_hash, round_=4 * block + place) for place in (1, 2, 3, 4)]
            assert sorted(map(len, taken)) == [0, 1, 2, 3]
            longest_first = sorted(taken, key=len, reverse=True)
            for more, less in pairwise(longest_first):
                assert set(less) < set(more)  # one order of the layers in a block
            assert all(list(each) == sorted(each, key=(A, B, C).index) for each in taken)


def test_over_plans_the_sets_come_as_often_as_shapley_weighs_them() -> None:
    layers = tuple(Layer(name, (n,), (n,), 1.0) for n, name in enumerate("abcd"))
    seen = Counter(
        frozenset(each.name for each in taken_away(layers, plan_hash=f"{plan:064x}", round_=7))
        for plan in range(20_000)
    )
    expected = {
        frozenset(names): 20_000 / 5 / math.comb(4, size) for size in range(5) for names in combinations("abcd", size)
    }
    counts = [seen[names] for names in expected]
    assert chisquare(counts, list(expected.values())).pvalue > 1e-4
    assert chisquare(counts, np.full(16, 20_000 / 16)).pvalue < 1e-12  # that each set is as likely, is noticed


def test_it_follows_from_plan_and_round_alone_and_a_calibration_round_takes_nothing() -> None:
    patients = drawn_patients(SPEC, 5, seed=2)
    draws = {
        plan_hash: [taken_away((A, B, C), plan_hash=plan_hash, round_=round_) for round_ in range(1, 41)]
        for plan_hash in ("0" * 64, "1" * 64)
    }
    assert draws["0" * 64] != draws["1" * 64]
    assert draws["0" * 64] == [taken_away((A, B, C), plan_hash="0" * 64, round_=round_) for round_ in range(1, 41)]
    plan = layered_plan(training=replace(TRAINING, calibration_rounds=8))
    for round_ in range(33, 41):
        assert seen_in_round(plan, patients, plan_hash=plan.hash, round_=round_) is patients
    assert any(
        seen_in_round(plan, patients, plan_hash=plan.hash, round_=round_) is not patients for round_ in range(1, 33)
    )
    assert taken_away((), plan_hash="0" * 64, round_=3) == ()


# A guard


def guard_of(plan: StudyPlan, patients: PatientTensors) -> Guard:
    return simulated_guard(plan, "Bonn", patients, MemoryLedger(site_policy(plan, "Bonn").budget))


@pytest.mark.parametrize("bounding", Bounding)
def test_a_guard_answers_each_round_as_if_the_layers_had_not_been_measured(bounding: Bounding) -> None:
    privacy = replace(no_privacy(l2_norm_bound=1.0), bounding=bounding)
    plan, patients = layered_plan(privacy=privacy), drawn_patients(SPEC, 40, seed=3)
    plain = replace(plan, model=replace(SPEC, layers=()))
    guard, different = guard_of(plan, patients), 0
    for round_ in range(1, 9):
        taken = taken_away(SPEC.layers, plan_hash=plan.hash, round_=round_)
        x = patients.x.clone()
        for layer in taken:
            x[:, list(layer.columns)] = 0.0
            x[:, list(layer.missing_columns)] = layer.missing_value
        blank = PatientTensors.of(x, patients.events, patients.at_risk)
        found = guard.contribute(request_for(plan, round_=round_)).vector
        same = guard_of(plain, blank).contribute(request_for(plain, round_=round_)).vector
        assert found.tobytes() == same.tobytes()
        whole = guard_of(plain, patients).contribute(request_for(plain, round_=round_)).vector
        different += found.tobytes() != whole.tobytes()
    assert different == 6  # in two of eight rounds of three layers nothing is taken away


def test_local_steps_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = layered_plan(training=replace(TRAINING, mode=TrainingMode.EPOCHS, local_steps=2, sampling_rate=0.5))
    patients = drawn_patients(SPEC, 40, seed=4)
    seen: list[PatientTensors] = []

    def steps(plan: StudyPlan, weights: FloatArray, some: PatientTensors, **_: object) -> FloatArray:
        seen.append(some)
        return weights

    monkeypatch.setattr("oncofed.client.guard.guard.weights_after_local_steps", steps)
    guard = guard_of(plan, patients)
    for round_ in (1, 2, 3, 4):
        guard.contribute(request_for(plan, round_=round_))
        expected = patients_without(patients, taken_away(SPEC.layers, plan_hash=plan.hash, round_=round_))
        assert torch.equal(seen[-1].x, expected.x)
    assert len({each.x.numpy().tobytes() for each in seen}) == 4


def test_patients_that_a_node_has_frozen_give_the_bits_of_a_simulation(tmp_path: Path) -> None:
    rng, plan = np.random.default_rng(5), layered_plan()
    drawn = drawn_patients(SPEC, 60, seed=5)
    encoded = EncodedPatients(rng.normal(size=(60, 6)), drawn.events.numpy(), drawn.at_risk.numpy())
    sha256 = freeze(tmp_path, plan_hash=plan.hash, trained_on=encoded, held_out=encoded)
    frozen = ApprovedPatients(frozen_file(tmp_path, plan_hash=plan.hash, sha256=sha256), sha256).trained_on()
    simulated = PatientTensors.of(*map(torch.as_tensor, (encoded.x, encoded.events, encoded.at_risk)))
    for round_ in range(1, 9):
        request = request_for(plan, round_=round_)
        at_node, here = (guard_of(plan, some).contribute(request).vector for some in (frozen, simulated))
        assert at_node.tobytes() == here.tobytes()


def test_the_charge_comes_before_anything_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = layered_plan(privacy=local_privacy())
    charged: list[int] = []
    ledger = MemoryLedger(site_policy(plan, "Bonn").budget)
    guard = Guard(
        site="Bonn",
        plan=plan,
        policy=site_policy(plan, "Bonn"),
        patients=lambda: drawn_patients(SPEC, 10, seed=6),
        ledger=ledger,
        noise=SeededNoise(1),
    )

    def noted(patients: PatientTensors, layers: Sequence[Layer]) -> PatientTensors:
        charged.append(len(ledger.charges()))
        return patients_without(patients, layers)

    monkeypatch.setattr("oncofed.client.patients.training.patients_without", noted)
    for round_ in (1, 2, 3):
        guard.contribute(request_for(plan, round_=round_))
    assert charged == [1, 2, 3]


def test_a_round_that_takes_most_away_is_tried_before_an_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    with installed_node() as node:
        plan = node.plan()
        columns = plan.model.columns
        layers = (Layer("one", (columns - 1,), (columns - 1,), 0.1), Layer("two", (columns - 2,), (columns - 2,), 0.1))
        layered = replace(plan, model=replace(plan.model, layers=layers))
        approval = node.approve(plan)
        taken: list[int] = []

        def noted(patients: PatientTensors, gone: Sequence[Layer]) -> PatientTensors:
            taken.append(len(gone))
            return patients_without(patients, gone)

        monkeypatch.setattr("oncofed.client.patients.training.patients_without", noted)
        tried(
            layered,
            site=SITE,
            policy=read_policy(node.folder.policy).source(SOURCE).site_policy,
            file=node.approvals.patients_file(approval),
            sha256=approval.patients_sha256,
        )
    assert max(taken) == 2


# The plan


def test_plans_without_layers_keep_the_hash_that_they_had_before_there_were_any() -> None:
    plan = study_plan()
    assert "layers" not in plan.canonical
    assert plan.hash == "92e5565f4874fed3503582116f4b63ba5b29dbf26023a20e2593539d234011ae"  # of the version before
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_a_plan_with_layers_is_read_back_as_it_was_and_an_empty_list_is_refused() -> None:
    plan = layered_plan()
    assert plan_from_json(json.loads(plan.canonical)) == plan
    content = json.loads(study_plan().canonical)
    content["model"]["layers"] = []
    with pytest.raises(InvalidInput, match=r"plan\.model\.layers: is there, and empty"):
        plan_from_json(content)


WRONG = {
    "columns that are not there": (Layer("a", (0, 4), (0,), 0.5),),
    "columns that are not there, below": (Layer("a", (-1,), (-1,), 0.5),),
    "not each named once": (Layer("a", (0, 0), (0,), 0.5),),
    "not each named once, missing": (Layer("a", (0,), (1,), 0.5),),
    "their own name": (Layer("a", (0,), (0,), 0.5), Layer("a", (1,), (1,), 0.5)),
    "share columns": (Layer("a", (0, 1), (0,), 0.5), Layer("b", (1,), (1,), 0.5)),
    "nothing says of its layer a that it was not measured": (Layer("a", (0,), (), 0.5),),
}


@pytest.mark.parametrize(("words", "layers"), WRONG.items(), ids=WRONG)
def test_layers_that_do_not_fit_the_model_are_refused_by_reader_and_policy(
    words: str, layers: tuple[Layer, ...]
) -> None:
    plan = replace(PLAN, model=model_spec(columns=4, layers=layers))
    words = words.partition(", ")[0]
    with pytest.raises(PrivacyRefusal, match=words):
        POLICY.refuse_unless_allowed(plan)
    if all(each.missing_columns for each in layers):
        with pytest.raises(InvalidInput, match=words):
            plan_from_json(json.loads(plan.canonical))


def test_who_reads_a_plan_is_told_what_is_taken_away() -> None:
    words = " ".join(plan_in_words(layered_plan(), SCHEMA, parameters=SPEC.parameters).split())
    assert "TAKEN AWAY: each round looks at your patients as if some of these had not been measured: a, b, c." in words
    assert "TAKEN AWAY" not in plan_in_words(study_plan(), SCHEMA, parameters=9)
