"""Is what a patient adds to a summary the same, to the last bit, whoever else is there? And is it never too long?

For every kind that a hospital computes. A case is a plan, weights and a table, drawn so that last bits matter: many
patients alike, weights that tie markers or put units at their kink, edges at patients' own log hazard ratios, numbers
that are huge, next to nothing or not finite. Each patient's row is then compared with the same patient's alone, among
others, in another order and at another place in memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import erfcx
from tests.doubles import drawn_patients, drawn_weights, joined, model_spec, study_plan
from tests.summaries import at_risk_of, calibration_of, evaluation_of, gains_of, readiness_of

from oncofed.client.patients import explanation_votes, gain_sums, held_out_counts, held_out_sums, summaries
from oncofed.client.patients.summaries import KINDS, PatientRows, bounded_sum, cut
from oncofed.explanation.marker_columns import MarkerColumns
from oncofed.explanation.relevance import captum_relevance
from oncofed.explanation.rules import PLAIN, hidden_layer_of
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.protocol.summary_spec import COUNTING_KINDS, SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import VoteLayout, cells_of
from oncofed.survival.comparators import Comparator
from oncofed.survival.layers import Layer
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_count
from oncofed.survival.time_shapes import TimeShapes

FloatArray = NDArray[np.float64]
EVALUATION, CALIBRATION = SummaryKind.EVALUATION, SummaryKind.CALIBRATION
KEY_MARKERS, INTERACTIONS = SummaryKind.KEY_MARKERS, SummaryKind.INTERACTIONS
READINESS = SummaryKind.READINESS
COMPARISON, VALUE = SummaryKind.COMPARISON, SummaryKind.VALUE
TOO_LONG = 1 + 1e-7

CASES = pytest.mark.parametrize(
    "cases", [pytest.param(range(100), id="100"), pytest.param(range(100, 3600), id="3500", marks=pytest.mark.slow)]
)


@dataclass(frozen=True)
class Case:
    plan: StudyPlan
    spec: SummarySpec
    weights: FloatArray
    patients: PatientTensors
    rng: np.random.Generator


# --- drawing


def case_of(kind: SummaryKind, seed: int) -> Case:
    rng = np.random.default_rng([seed, list(SummaryKind).index(kind)])
    model = drawn_model(kind, rng)
    if kind in (COMPARISON, VALUE):
        model = with_something_to_compare(model, rng)
    patients = patients_of(model, rng)
    weights = weights_of(model, patients, rng)
    plan = study_plan(model=model)
    if kind in COUNTING_KINDS:
        counts = counts_of(plan, weights, patients, rng)
        asked = counts if kind is EVALUATION else at_risk_of(plan, edges=counts.edges)
        return Case(plan, asked, weights, patients, rng)
    if kind in (CALIBRATION, COMPARISON, VALUE):
        plan = replace(plan, privacy=replace(plan.privacy, hazard_cap=float(rng.choice([0.3, 0.9, 1.0, 2.0, 30.0]))))
        if kind is not CALIBRATION:
            return Case(plan, gains_of(plan, kind, within=float(rng.choice([0.1, 1.5, 30.0]))), weights, patients, rng)
        return Case(plan, sums_asked_for(plan, rng), weights, patients, rng)
    if kind is READINESS:
        flags = tuple(int(column) for column in rng.integers(0, model.columns, int(rng.integers(0, 9))))
        return Case(plan, readiness_of(plan, flags=flags), weights, patients, rng)
    return Case(plan, votes_of(kind, model, rng), weights, patients, rng)


def drawn_model(kind: SummaryKind, rng: np.random.Generator) -> ModelSpec:
    layers = int(rng.choice([0, 1, 1, 1] if kind is INTERACTIONS else [0, 1, 2]))
    return model_spec(
        columns=int(rng.choice([2, 3, 9, 17, 33, 61])),
        endpoints=int(rng.integers(1, 4)),
        hidden_units=tuple(int(units) for units in rng.integers(1, 18, layers)),
        linear_branch=layers == 0 or bool(rng.random() < 0.7),
        time_shapes=TimeShapes(int(rng.integers(1, 3)), 18.0, 0.5, (0, 1)) if rng.random() < 0.4 else None,
        comparators=(Comparator("one", (0,), (), 0.5), Comparator("two", (1, 0), (1,), 2.0))[: rng.integers(3)],
    )


def with_something_to_compare(model: ModelSpec, rng: np.random.Generator) -> ModelSpec:
    layers = (Layer("one", (1,), (1,), 0.5), Layer("two", (2, 3), (2,), 2.0), Layer("three", (4, 5, 6), (6,), 0.1))
    return replace(
        model,
        comparators=model.comparators or (Comparator("age", (0,), (), 1.0),),
        layers=layers[: 1 + int(rng.integers(3))] if model.columns > 6 else layers[:1],
        time_shapes=None if model.time_shapes is None else replace(model.time_shapes, entity_columns=(0,)),
    )


def patients_of(model: ModelSpec, rng: np.random.Generator) -> PatientTensors:
    drawn = drawn_patients(model, int(rng.choice([2, 3, 5, 8, 17, 40, 70])), seed=int(rng.integers(2**31)))
    x, n = drawn.x.numpy().copy(), len(drawn)
    match rng.integers(6):
        case 0:
            x[1::2] = 1.0
        case 1:
            x[:] = x[:1]  # all alike
        case 2:
            x = np.round(x)
        case 3:
            x *= 10.0 ** rng.integers(-160, 160, (n, 1))
        case 4:
            x[rng.integers(n)] = rng.choice([np.nan, np.inf, 1e200, -1e140, 0.0, 5e-324])
    return PatientTensors.of(torch.as_tensor(x), drawn.events, drawn.at_risk)


def weights_of(model: ModelSpec, patients: PatientTensors, rng: np.random.Generator) -> FloatArray:
    size = parameter_count(model)
    honest = rng.normal(scale=0.3, size=size)
    match rng.integers(7):
        case 0:
            return rng.integers(-2, 3, size).astype(np.float64)  # ties, and units of which nothing is left
        case 1:
            return np.asarray(honest * 10.0 ** rng.integers(-6, 7, size))
        case 2:
            return honest * float(rng.choice([1e-300, 1e-160, 1e100, 1e155, 1e300]))
        case 3:
            return np.where(rng.random(size) < 0.5, 0.0, honest)
        case 4 | 5:
            return at_the_kink(model, honest, patients, rng)
    return honest


def at_the_kink(
    model: ModelSpec, weights: FloatArray, patients: PatientTensors, rng: np.random.Generator
) -> FloatArray:
    """Of the first layer, so that for one patient's profile every unit's sum is 0 but for its last bits."""
    rows = model.hidden_units[0] if model.hidden_units else len(model.endpoints)
    after = parameter_count(model) - model.ratio_ends
    after += 0 if not model.hidden_units else model.ratio_ends - _before_first_layer(model) - rows * model.columns
    end = weights.size - after
    first = weights[end - rows * model.columns : end].reshape(rows, model.columns).copy()
    profile = patients.x[int(rng.integers(len(patients)))].numpy()
    if profile[-1] != 0 and np.isfinite(1 / profile[-1]):
        first[:, -1] = -(first[:, :-1] * profile[:-1]).sum(axis=1) / profile[-1]
        first[:, -1] += rng.integers(-4, 5, rows) * np.spacing(np.abs(first[:, -1])) / 2
    found = weights.copy()
    found[end - rows * model.columns : end] = np.nan_to_num(first).ravel()
    return found


def _before_first_layer(model: ModelSpec) -> int:
    return model.ratio_begins + (len(model.endpoints) * model.columns if model.linear_branch else 0)


def counts_of(plan: StudyPlan, weights: FloatArray, patients: PatientTensors, rng: np.random.Generator) -> SummarySpec:
    """Its edges are log hazard ratios of the patients themselves, as a plain product has them."""
    network, horizon = network_with(plan.model, weights), evaluation_of(plan).horizon
    with torch.no_grad(), np.errstate(all="ignore"):
        ratios = held_out_counts.gathered_ratio(network, patients.x, until=horizon).numpy()[:, 0]
    edges = np.unique(rng.choice(ratios[np.isfinite(ratios)], 3)) if np.isfinite(ratios).any() else np.zeros(1)
    return evaluation_of(plan, edges=tuple(float(edge) for edge in edges))


def sums_asked_for(plan: StudyPlan, rng: np.random.Generator) -> SummarySpec:
    bounds, columns = plan.model.grid.bounds, plan.model.columns
    inner = sorted(set(rng.choice(bounds[1:-1], int(rng.integers(0, len(bounds)))).tolist()))
    groups = tuple(int(column) for column in rng.integers(0, columns, int(rng.integers(0, 4))))
    low, high = np.sort(rng.normal(size=2) * 10.0 ** rng.integers(-3, 2)).tolist()
    return calibration_of(plan, risks=(low, high), windows=(bounds[0], *inner, bounds[-1]), group_columns=groups)


def votes_of(kind: SummaryKind, model: ModelSpec, rng: np.random.Generator) -> SummarySpec:
    markers = int(rng.integers(2, model.columns + 2))
    with_entities = kind is KEY_MARKERS and rng.random() < 0.6
    votes = VoteSpec(
        column_markers=tuple(int(place) for place in rng.integers(0, markers + 2, model.columns)),
        markers=markers,
        most_votes=int(rng.integers(1, min(markers, 10) + 1)),
        largest_effect=float(10.0 ** rng.integers(-3, 3)),
        entity_columns=tuple(int(column) for column in rng.integers(0, model.columns, 3)) if with_entities else (),
    )
    return SummarySpec("votes", kind, cells_of(kind, votes), 1.0, attempts=1, votes=votes)


# --- comparing


def tried(kind: SummaryKind, cases: range) -> range:
    """A fourth of them where a row takes long."""
    return cases[: len(cases) // 4] if kind in (COMPARISON, VALUE) else cases


def groups_of(case: Case) -> Iterator[NDArray[np.int64]]:
    n = len(case.patients)
    yield np.array([case.rng.integers(n)])
    yield case.rng.permutation(n)
    yield np.arange(1, n)
    yield case.rng.integers(0, n, int(case.rng.integers(1, 2 * n)))


def rows_of(kind: PatientRows, case: Case, patients: PatientTensors) -> FloatArray:
    rows = kind.rows(case.plan, case.spec, case.weights, patients)
    assert rows.shape == (len(patients), case.spec.cells)
    return rows


def what_counts(kind: PatientRows, case: Case, patients: PatientTensors) -> FloatArray:
    """Rows, of which one that is not finite is that and no more: it adds nothing, whatever bits its NaN have."""
    rows = rows_of(kind, case, patients)
    return np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.nan)


def is_the_same_in_any_company(kind: PatientRows, case: Case) -> bool:
    patients = case.patients
    together = what_counts(kind, case, patients)
    for group in groups_of(case):
        some = what_counts(kind, case, patients.rows(torch.as_tensor(group)))
        if some.tobytes() != together[group].tobytes():
            return False
    others = drawn_patients(case.plan.model, int(case.rng.integers(1, 20)), seed=1)
    return what_counts(kind, case, joined(others, patients))[len(others) :].tobytes() == together.tobytes()


@CASES
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_the_same_bits_whoever_else_is_there(kind: SummaryKind, cases: range) -> None:
    some, cases = 0, tried(kind, cases)
    for seed in cases:
        case = case_of(kind, seed)
        assert not KINDS[kind].faults(case.plan, case.spec)
        assert is_the_same_in_any_company(KINDS[kind], case), f"{kind}, case {seed}"
        some += bool(rows_of(KINDS[kind], case, case.patients).any())
    assert some > len(cases) / 3, "most of the cases compare rows of zeros"


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_is_in_a_large_table_that_threads_share(kind: SummaryKind) -> None:
    for seed in range(3):
        case = case_of(kind, seed)
        many = case.patients.rows(torch.as_tensor(case.rng.integers(0, len(case.patients), 600)))
        rows = rows_of(KINDS[kind], case, many)
        with threads(2):
            assert rows_of(KINDS[kind], case, many).tobytes() == rows.tobytes()
        assert rows_of(KINDS[kind], case, many.rows(slice(400, 403))).tobytes() == rows[400:403].tobytes()


@CASES
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_is_finite_and_no_longer_than_one(kind: SummaryKind, cases: range) -> None:
    for seed in tried(kind, cases):
        case = case_of(kind, seed)
        added = cut(torch.as_tensor(rows_of(KINDS[kind], case, case.patients)), usable=case.patients.usable)
        for row in added.tolist():
            assert all(math.isfinite(number) for number in row)
            assert math.hypot(*row) <= TOO_LONG
        assert not added[~case.patients.usable].any()
        total = bounded_sum(case.plan, case.spec, case.weights, case.patients).vector
        np.testing.assert_allclose(total, added.sum(dim=0).numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1e200, 1e160, 1e153, 50.0, 1 + 1e-6, math.inf, math.nan])
def test_a_row_that_is_too_long_is_cut_or_left_out(length: float) -> None:
    rows = torch.zeros(4, 7, dtype=torch.float64)
    rows[:3, 2] = torch.tensor([0.5, length, -length], dtype=torch.float64)
    rows[1, 3] = length
    rows[3] = 5e-324
    added = cut(rows, usable=torch.tensor([True, True, True, True]))
    assert torch.equal(added[[0, 3]], rows[[0, 3]])
    for row in added[1:3].tolist():
        long = math.hypot(*row)
        assert long == (pytest.approx(1, abs=1e-15) if length < 1e154 else 0.0)


def test_the_length_of_what_was_cut_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a row's factor wrong for whatever reason, the row would add nothing."""
    measured = iter([torch.tensor([2.0, 0.5]), torch.tensor([1.0 + 1e-6])])
    monkeypatch.setattr(summaries, "_lengths", lambda rows: next(measured).double())
    added = cut(torch.ones(2, 1, dtype=torch.float64), usable=torch.tensor([True, True]))
    assert added.tolist() == [[0.0], [1.0]]


# --- what the comparison notices


def differing(kind: PatientRows, cases: range, *, of: SummaryKind) -> Iterator[int]:
    return (seed for seed in cases if not is_the_same_in_any_company(kind, case_of(of, seed)))


def test_a_kind_that_looks_at_the_others_is_noticed() -> None:
    """Of one that gave other rows to an even number of patients than to an odd one, everybody's would change."""

    def rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
        found: FloatArray = np.zeros((len(patients), spec.cells))
        found[:, len(patients) % 2] = 1.0
        return found

    kind = PatientRows(held_out=True, faults=lambda plan, spec: [], rows=rows)
    assert len(list(differing(kind, range(20), of=EVALUATION))) > 15


def by_matrix(columns: MarkerColumns, of_columns: FloatArray) -> FloatArray:
    """What `MarkerColumns.sums` would be by a library's product."""
    gather = np.zeros((of_columns.shape[-1], columns.markers))
    gather[columns.first, columns.with_first] = 1.0
    gather[columns.second, columns.with_second] = 1.0
    for place, column in columns.rest:
        gather[column, place] = 1.0
    with np.errstate(invalid="ignore"):  # relevances may be infinite, and infinite times 0 is no number
        return np.asarray(of_columns @ gather)


Broken = tuple[SummaryKind, object, str, object]
BROKEN: dict[str, Broken] = {
    "plain products, counts": (EVALUATION, held_out_counts, "one_by_one", lambda *_: nullcontext()),
    "plain products, sums": (CALIBRATION, held_out_sums, "one_by_one", lambda *_: nullcontext()),
    "plain products, comparators": (COMPARISON, gain_sums, "one_by_one", lambda *_: nullcontext()),
    "plain products, layers": (VALUE, gain_sums, "one_by_one", lambda *_: nullcontext()),
    "plain products, markers": (KEY_MARKERS, explanation_votes, "EXACT", PLAIN),
    "columns gathered by a product, markers": (KEY_MARKERS, MarkerColumns, "sums", by_matrix),
}


@pytest.mark.parametrize(("kind", "where", "name", "by"), BROKEN.values(), ids=BROKEN)
def test_with_a_library_in_its_place_rows_differ(
    kind: SummaryKind, where: object, name: str, by: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, the library has become kinder, and the comparison above shows less than it did."""
    monkeypatch.setattr(where, name, by)
    assert any(True for _ in differing(KINDS[kind], tried(kind, range(160)), of=kind))


def votes_at_a_tie(seed: int) -> int:
    """How many different rows of pairs do 40 patients of one profile have, alone and together, where two pairs are
    equally strong but for last bits? The weight by which they are is sought by halving.
    """
    rng = np.random.default_rng(seed)
    columns, units = 61, 2
    votes = VoteSpec(column_markers=(0, 1, 2, *(3,) * (columns - 3)), markers=3, most_votes=1)
    spec = SummarySpec("votes", INTERACTIONS, 3, 1.0, attempts=1, votes=votes)
    model = model_spec(columns=columns, hidden_units=(units,), linear_branch=False)
    plan = study_plan(model=model)
    patients = drawn_patients(model, 1, seed=seed).rows(torch.zeros(40, dtype=torch.int64))
    first, last = rng.uniform(0.5, 1.5, (units, columns)), np.ones(units)
    first *= np.sign(patients.x[0].numpy())  # so that all contributions are positive, and the search has one answer
    first[:, 0] *= 9.0
    first[0, 2] *= 0.5

    def weights(factor: float) -> FloatArray:
        changed = first.copy()
        changed[1, 2] *= factor
        return np.concatenate([np.zeros(model.grid.intervals), changed.ravel(), last])

    def row_of(some: PatientTensors, factor: float) -> FloatArray:
        return KINDS[INTERACTIONS].rows(plan, spec, weights(factor), some)

    low, high = 1e-3, 1e3
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (low, middle) if row_of(patients.rows(slice(0, 1)), middle)[0, 1] else (middle, high)
    one, together = (row_of(some, high) for some in (patients.rows(slice(0, 1)), patients))
    return len(np.unique(np.concatenate([one, together]), axis=0))


def test_patients_who_are_alike_vote_alike_also_at_a_tie_and_with_plain_products_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [votes_at_a_tie(seed) for seed in range(10)] == [1] * 10
    monkeypatch.setattr(explanation_votes, "EXACT", PLAIN)
    assert any(votes_at_a_tie(seed) > 1 for seed in range(10))


# --- a slow twin


def unit_parts(units: FloatArray, outputs: FloatArray, x: FloatArray) -> list[tuple[FloatArray, float, float]]:
    """Of one patient and each unit: what columns contribute, the unit's curvature, and its weight in the output."""
    parts = []
    for unit, output in zip(units, outputs, strict=True):
        contributions = unit * x
        spread = math.sqrt(math.fsum(contributions**2))
        scaled = abs(math.fsum(contributions)) / spread / math.sqrt(2)
        parts.append((contributions, math.sqrt(math.pi / 2) * float(erfcx(scaled)) / spread, float(output)))
    return parts


def by_hand(model: ModelSpec, weights: FloatArray, x: FloatArray) -> FloatArray:
    """(columns,): one patient's relevances by the formula of `relevance_rules`; of a deep network by Captum."""
    network = network_with(model, weights)
    assert network.linear_branch is not None
    if len(model.hidden_units) > 1:
        return np.asarray(captum_relevance(network, torch.as_tensor(x[None]), endpoint=0)[0].numpy())
    relevance: FloatArray = x * network.linear_branch.weight[0].detach().numpy()
    for c, kappa, output in unit_parts(*layer_of(network), x):
        a, spread = c.sum(), (c**2).sum()
        relevance += output * (c * (1 + a * kappa) / 2 + c**2 * (abs(a) - a**2 * kappa) / (2 * spread))
    return relevance


def layer_of(network: PrognosisNetwork) -> tuple[FloatArray, FloatArray]:
    layer = hidden_layer_of(network)
    assert layer is not None
    return layer[0].numpy(), layer[1][0].numpy()


@pytest.mark.parametrize("hidden_units", [(5,), (4, 3)], ids=str)
def test_votes_for_markers_are_those_of_one_patient_at_a_time_by_hand(hidden_units: tuple[int, ...]) -> None:
    model = model_spec(columns=12, endpoints=2, hidden_units=hidden_units)
    places = (0, 0, 1, 2, 3, 3, 3, 3, 4, 6, 5, 7)
    votes = VoteSpec(places, markers=6, most_votes=3, largest_effect=0.2)
    spec = SummarySpec("votes", KEY_MARKERS, cells_of(KEY_MARKERS, votes), 1.0, attempts=1, votes=votes)
    weights, patients = drawn_weights(model, seed=1), drawn_patients(model, 60, seed=1)
    rows = KINDS[KEY_MARKERS].rows(study_plan(model=model), spec, weights, patients)
    layout, share = VoteLayout.of(votes), 1 / math.sqrt(3)
    for x, row in zip(patients.x.numpy(), rows, strict=True):
        relevance, values = (np.bincount(places, each) for each in (by_hand(model, weights, x), x))
        expected = np.zeros(spec.cells)
        expected[0] = 0.2
        for place in sorted(range(6), key=lambda place: -abs(relevance[place]))[:3]:
            expected[layout.votes][place] = 0.7 * share
            effect = min(max(relevance[place] / 0.2, -1), 1) * (-1 if values[place] < 0 else 1)
            expected[layout.effects][place] = 0.4 * share * effect
        np.testing.assert_allclose(row, expected, atol=1e-5 if len(hidden_units) > 1 else 1e-7)


def test_votes_for_pairs_are_those_of_one_patient_at_a_time_by_hand() -> None:
    model = model_spec(columns=12, hidden_units=(5,))
    places = (0, 0, 1, 2, 3, 3, 3, 3, 4, 6, 5, 7)
    votes = VoteSpec(places, markers=6, most_votes=4)
    spec = SummarySpec("votes", INTERACTIONS, 15, 1.0, attempts=1, votes=votes)
    weights, patients = drawn_weights(model, seed=2), drawn_patients(model, 60, seed=2)
    rows = KINDS[INTERACTIONS].rows(study_plan(model=model), spec, weights, patients)
    pairs = list(itertools.combinations(range(6), 2))
    for x, row in zip(patients.x.numpy(), rows, strict=True):
        found, values = np.zeros((6, 6)), np.bincount(places, x)
        for contributions, kappa, output in unit_parts(*layer_of(network_with(model, weights)), x):
            of_markers = np.bincount(places, contributions)[:6]
            found += output * kappa * np.outer(of_markers, of_markers)
        expected = np.zeros(15)
        for cell in sorted(range(15), key=lambda cell: -abs(found[pairs[cell]]))[:4]:
            i, j = pairs[cell]
            expected[cell] = 0.5 * np.sign(found[i, j]) * np.prod([-1 if values[k] < 0 else 1 for k in (i, j)])
        np.testing.assert_allclose(row, expected, atol=1e-15)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_of_equally_strong_markers_the_first_get_the_votes(strength: float) -> None:
    model = model_spec(columns=20, hidden_units=())
    votes = VoteSpec(tuple(range(20)), markers=20, most_votes=3)
    spec = SummarySpec("votes", KEY_MARKERS, cells_of(KEY_MARKERS, votes), 1.0, attempts=1, votes=votes)
    weights = np.zeros(parameter_count(model))
    weights[-19:] = strength
    weights[-5] *= -2.0
    patients = drawn_patients(model, 7, seed=0)
    alike = PatientTensors.of(torch.ones(7, 20, dtype=torch.float64), patients.events, patients.at_risk)
    rows = KINDS[KEY_MARKERS].rows(study_plan(model=model), spec, weights, alike)
    for row in rows:
        assert np.flatnonzero(row[VoteLayout.of(votes).votes]).tolist() == ([1, 2, 15] if strength else [])
