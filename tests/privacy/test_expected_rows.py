"""Is what a patient adds to a calibration release within its bound, stopped and not cut, and the patient's own affair?

The bound is proven in `protocol.expected_layout`. Here it is looked for: by patients as they come, and by a search for
the worst one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import GRID, drawn_patients, drawn_weights, model_spec, study_plan, with_inputs, without
from tests.summaries import calibration_of

from oncofed.client.patients import held_out_sums
from oncofed.client.patients.held_out_sums import expected_rows
from oncofed.client.patients.summaries import KINDS, bounded_sum, refuse_unknown
from oncofed.errors import PrivacyRefusal
from oncofed.protocol.expected_layout import BLOCK_WEIGHTS, OVERALL, OVERALL_WEIGHTS, ExpectedLayout, expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import HELD_OUT_KINDS, SummaryKind, SummarySpec
from oncofed.survival.categories import category_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]
KIND = KINDS[SummaryKind.CALIBRATION]
MOST = (1 + Fraction(1, 10**12)) ** 2


def asked(
    *, endpoints: int = 1, cap: float = 1.0, groups: int = 0, windows: tuple[float, ...] | None = None, columns: int = 4
) -> tuple[StudyPlan, SummarySpec]:
    plan = study_plan(model=model_spec(columns=columns, endpoints=endpoints))
    plan = replace(plan, privacy=replace(plan.privacy, hazard_cap=cap))
    return plan, calibration_of(plan, windows=windows, group_columns=tuple(range(groups)))


def squared_length(row: FloatArray) -> Fraction:
    return sum((Fraction(number) ** 2 for number in row.tolist()), Fraction(0))


# The bound


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_row_is_no_longer_than_one_before_anybody_cuts_it(data: st.DataObject) -> None:
    windows = data.draw(st.sampled_from([None, (GRID.bounds[0], GRID.bounds[-1])]))
    plan, spec = asked(
        endpoints=data.draw(st.integers(1, 3)),
        cap=data.draw(st.sampled_from([0.01, 0.3, 0.86, 1.0, 1.5, 4.0, 100.0])),
        groups=data.draw(st.integers(0, 3)),
        windows=windows,
    )
    seed = data.draw(st.integers(0, 999))
    patients = drawn_patients(plan.model, 12, seed=seed, scale=data.draw(st.sampled_from([1.0, 10.0])))
    weights = drawn_weights(plan.model, seed=seed, scale=data.draw(st.sampled_from([0.3, 3.0, 1e3])))
    for row in KIND.rows(plan, spec, weights, patients):
        assert squared_length(row) <= MOST


def worst_length(layout: ExpectedLayout, *, seed: int, steps: int = 100, tries: int = 40) -> float:
    """Of one endpoint, sought by random steps uphill over the hazards of the windows, the event and the risk.

    Each step is the best of as many tries.
    """
    rng = np.random.default_rng(seed)

    def lengths(hazards: FloatArray, event: int, ratios: FloatArray) -> FloatArray:
        residuals = hazards.copy()
        residuals[:, event:][:, :1] -= 1.0  # `windows` is no event
        rows = expected_rows(
            layout,
            torch.as_tensor(ratios[:, None]),
            torch.as_tensor(residuals[:, None]),
            torch.as_tensor(hazards[:, None]),
            torch.zeros(len(ratios), dtype=torch.int64),
        )
        return np.asarray(np.linalg.norm(rows.numpy(), axis=1))

    best = 0.0
    for event in range(layout.windows + 1):
        hazard, ratio, at = rng.dirichlet(np.ones(layout.windows + 1))[:-1] * layout.cap, 0.0, 0.0
        for _ in range(steps):
            moved = np.abs(hazard + rng.normal(scale=0.2 * layout.cap, size=(tries, layout.windows)))
            moved *= rng.random(moved.shape) < 0.8
            total = moved.sum(axis=1, keepdims=True)
            to_the_cap = (total > layout.cap) | (rng.random(total.shape) < 0.3)
            moved *= np.where(to_the_cap & (total > 0), layout.cap / np.where(total > 0, total, 1.0), 1.0)
            tried = ratio + rng.normal(size=tries)
            found = lengths(moved, event, tried)
            if found.max() > at:
                hazard, ratio, at = moved[found.argmax()], float(tried[found.argmax()]), float(found.max())
        best = max(best, at)
    return best


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("cap", [0.2, 0.8, 1.0, 1.6, 5.0])
def test_the_worst_patient_that_a_search_finds_is_as_long_as_the_bound_and_no_longer(
    windows: int, groups: int, cap: float
) -> None:
    """A bound that is too small is passed; one that is too large would waste noise, and is not reached."""
    layout = ExpectedLayout(1, tuple(map(float, range(windows + 1))), groups, (-1.0, 1.0), cap)
    found = worst_length(layout, seed=windows)
    assert 0.98 <= found <= 1 + 1e-12


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_one_patient_moves_the_sum_by_one_at_most_and_nobody_elses_part(data: st.DataObject) -> None:
    plan, spec = asked(endpoints=data.draw(st.integers(1, 3)), groups=data.draw(st.integers(0, 3)))
    patients = drawn_patients(plan.model, data.draw(st.integers(1, 12)), seed=data.draw(st.integers(0, 99)))
    row = data.draw(st.integers(0, len(patients) - 1))
    value = data.draw(st.sampled_from([0.5, 0.0, 1e5, -1e30, 1e300, math.inf, math.nan]))
    patients = with_inputs(patients, row, value)
    weights = drawn_weights(plan.model, seed=data.draw(st.integers(0, 9)), scale=data.draw(st.sampled_from([0.3, 1e3])))
    with_all = bounded_sum(plan, spec, weights, patients).vector
    moved = with_all - bounded_sum(plan, spec, weights, without(patients, row)).vector
    alone = bounded_sum(plan, spec, weights, patients.rows(torch.tensor([row]))).vector
    assert np.isfinite(with_all).all()
    assert np.linalg.norm(moved) <= 1 + 1e-9
    np.testing.assert_allclose(moved, alone, atol=1e-12)


# A slow twin


def by_hand(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors, one: int) -> FloatArray:
    """A patient's row, interval by interval."""
    layout, grid, cap = expected_layout(plan, spec), plan.model.grid, plan.privacy.hazard_cap
    with torch.no_grad():
        network = network_with(plan.model, weights)
        ratios = network(patients.x[one : one + 1])[0].tolist()
        baseline = network.baseline.log_hazard().tolist()
    (group,) = category_of(spec.group_columns, patients.x[one : one + 1]).tolist()
    parts = []
    for endpoint, ratio in enumerate(ratios):
        observed, expected = ([0.0] * layout.windows for _ in range(2))
        gone = 0.0
        for place, (begin, _) in enumerate(pairwise(grid.bounds)):
            window = max(w for w, bound in enumerate(spec.time_bounds[:-1]) if bound <= begin)
            hazard = float(patients.at_risk[one, endpoint, place]) * math.exp(baseline[endpoint][place] + ratio)
            expected[window] += min(gone + hazard, cap) - min(gone, cap)
            gone += hazard
            if float(patients.events[one, endpoint, place]) and gone <= cap:
                observed[window] += 1.0
        z = min(max((ratio - layout.centre) / layout.spread, -1.0), 1.0)
        less, all_expected = sum(observed) - sum(expected), sum(expected)
        overall = [less, less * z, all_expected, all_expected * z, all_expected * z * z]
        block = np.zeros(layout.block)
        for window in range(layout.windows):
            for row in (0, 1 + group):  # everybody's and the own
                block[row, window] = observed[window] - expected[window], expected[window]
        parts += [np.array(overall) * OVERALL_WEIGHTS, (block * BLOCK_WEIGHTS).ravel()]
    return np.concatenate(parts) / layout.bound


@pytest.mark.parametrize("endpoints", [1, 3])
def test_rows_are_those_of_one_patient_at_a_time_by_hand(endpoints: int) -> None:
    plan, spec = asked(endpoints=endpoints, cap=0.7, groups=2, windows=(GRID.bounds[0], *GRID.bounds[2:]))
    patients, weights = drawn_patients(plan.model, 60, seed=3), drawn_weights(plan.model, seed=3)
    patients.x[::3, :2] = 0.0  # of the reference group
    patients = PatientTensors.of(patients.x, patients.events, patients.at_risk)
    rows = KIND.rows(plan, spec, weights, patients)
    assert len({int(group) for group in category_of(spec.group_columns, patients.x)}) > 1
    for one, row in enumerate(rows):
        np.testing.assert_allclose(row, by_hand(plan, spec, weights, patients, one), atol=1e-7)


def test_a_patient_adds_to_the_own_group_alone_and_one_window_of_everybody_stands_once() -> None:
    plan, spec = asked(groups=2)
    layout = expected_layout(plan, spec)
    patients = drawn_patients(plan.model, 30, seed=5)
    block = KIND.rows(plan, spec, drawn_weights(plan.model, seed=5), patients)[:, OVERALL:].reshape(30, *layout.block)
    group = category_of(spec.group_columns, patients.x).numpy()
    for one in range(30):
        assert not np.delete(block[one], [0, 1 + group[one]], axis=0).any()
        assert (block[one][0] == block[one][1 + group[one]]).all()
    whole = (GRID.bounds[0], GRID.bounds[-1])
    assert asked(windows=whole)[1].cells == OVERALL
    assert asked(windows=whole, groups=2)[1].cells == OVERALL + 3 * 2


# What is refused


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"edges": (0.0,)}, "log hazard ratios are not two"),
        ({"edges": (1.0, -1.0)}, "log hazard ratios are not two"),
        ({"edges": (1.0, 1.0)}, "log hazard ratios are not two"),
        ({"time_bounds": (0.0, 1.0)}, "its times"),
        ({"time_bounds": ()}, "its times"),
        ({"group_columns": (4,)}, "columns that are not there"),
        ({"group_columns": (-1,)}, "columns that are not there"),
        ({"cells": 7}, "it states 7 cells"),
    ],
    ids=str,
)
def test_a_plan_whose_numbers_do_not_fit_is_refused(changed: dict[str, object], what: str) -> None:
    plan, spec = asked()
    refuse_unknown(replace(plan, summaries=(spec,)))
    with pytest.raises(PrivacyRefusal, match=what):
        refuse_unknown(replace(plan, summaries=(replace(spec, **changed),)))  # type: ignore[arg-type]  # a test's own


def test_kinds_about_patients_set_aside_are_what_a_plan_takes_them_for() -> None:
    assert frozenset(kind for kind, rows in KINDS.items() if rows.held_out) == HELD_OUT_KINDS


def test_a_plan_that_asks_for_calibration_alone_sets_patients_aside() -> None:
    plan, spec = asked()
    assert not plan.measures
    assert replace(plan, summaries=(spec,)).measures
    assert held_out_sums.rows is KIND.rows
