"""How far does one patient move a table of time at risk? Not further than is charged; further without its scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.doubles import drawn_patients, drawn_weights, model_spec, study_plan
from tests.summaries import at_risk_of

from oncofed.client.patients.summaries import KINDS, bounded_sum, refuse_unknown
from oncofed.errors import PrivacyRefusal
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.time_at_risk import AtRiskLayout

KIND = KINDS[SummaryKind.TIME_AT_RISK]
MODEL = model_spec(endpoints=2)
PLAN = study_plan(model=MODEL)
SPEC = at_risk_of(PLAN)
PLAN = replace(PLAN, summaries=(SPEC,))
WEIGHTS = drawn_weights(MODEL, seed=3)
GRID = MODEL.grid


def patients_with(entry: np.ndarray, exit_: np.ndarray, observed: np.ndarray) -> PatientTensors:
    """entry, exit_, observed: (patients, endpoints)."""
    x = drawn_patients(MODEL, len(entry), seed=1).x
    events = [GRID.events(exit_[:, e], observed[:, e]) for e in range(2)]
    at_risk = [GRID.at_risk(entry[:, e], exit_[:, e]) for e in range(2)]
    return PatientTensors.of(x, *(torch.as_tensor(np.stack(each, axis=1)) for each in (events, at_risk)))


def drawn(seed: int, patients: int = 300) -> PatientTensors:
    """Some enter at zero, some in the middle of intervals, some after the grid; and one is there throughout."""
    rng = np.random.default_rng(seed)
    end = GRID.bounds[-1]
    entry = np.where(rng.random((patients, 2)) < 0.4, 0.0, rng.uniform(0, 1.1 * end, (patients, 2)))
    exit_, observed = entry + rng.exponential(end / 2, (patients, 2)), rng.random((patients, 2)) < 0.6
    entry[0], exit_[0], observed[0] = 0.0, end, True
    return patients_with(entry, exit_, observed)


def moved_by_each(patients: PatientTensors) -> np.ndarray:
    """(patients,): how long the difference is of the table with all and that without one of them; nothing is cut."""
    rows = KIND.rows(PLAN, SPEC, WEIGHTS, patients)
    everybody = rows.sum(axis=0)
    found = []
    for left_out in range(len(rows)):
        others = torch.as_tensor(np.delete(np.arange(len(rows)), left_out))
        neighbour = KIND.rows(PLAN, SPEC, WEIGHTS, patients.rows(others)).sum(axis=0)
        found.append(np.linalg.norm(everybody - neighbour))
    return np.array(found)


def is_within_what_is_charged(lengths: np.ndarray) -> bool:
    return bool((lengths <= 1 + 1e-9).all())


def test_neighbouring_tables_differ_by_one_at_most_and_by_more_without_the_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patients = drawn(0)
    lengths = moved_by_each(patients)
    assert is_within_what_is_charged(lengths)
    assert lengths[0] == pytest.approx(1.0, abs=1e-9), "who is there throughout, with the event at the end"
    scale = AtRiskLayout(2, SPEC.edges, SPEC.time_bounds).weights
    for unscaled in (slice(0, 1), slice(1, 1 + GRID.intervals), slice(1 + GRID.intervals, None)):
        # Of being there, of times at risk, of events.
        wrong = scale.copy()
        wrong[unscaled] = 1.0
        monkeypatch.setattr(AtRiskLayout, "weights", wrong)
        assert not is_within_what_is_charged(moved_by_each(patients.rows(slice(0, 20))))


def test_the_length_is_that_of_the_proof_by_hand() -> None:
    """Two patients of two endpoints each, on the grid's first two intervals."""
    first, second = GRID.bounds[1], GRID.bounds[2]
    middle, times = (first + second) / 2, GRID.intervals
    entry = np.array([[first / 2, 0.0], [middle, first]])
    exit_ = np.array([[middle, first], [second, middle]])
    rows = KIND.rows(PLAN, SPEC, WEIGHTS, patients_with(entry, exit_, np.array([[True, False], [False, True]])))
    of_first = (0.1 + 0.4 / times * (0.25 + 0.25) + 0.5) + (0.1 + 0.4 / times)
    of_second = (0.1 + 0.4 / times * 0.25) + (0.1 + 0.4 / times * 0.25 + 0.5)
    np.testing.assert_allclose((rows**2).sum(axis=1), [of_first / 2, of_second / 2])


def test_the_sum_that_is_released_moves_by_one_at_most() -> None:
    patients = drawn(1, 60)
    everybody = bounded_sum(PLAN, SPEC, WEIGHTS, patients).vector
    for left_out in range(60):
        others = patients.rows(torch.as_tensor(np.delete(np.arange(60), left_out)))
        assert np.linalg.norm(everybody - bounded_sum(PLAN, SPEC, WEIGHTS, others).vector) <= 1 + 1e-7


def test_whatever_outcomes_are_handed_over_a_row_is_no_longer_than_one() -> None:
    """More than one event, and more of an interval than there is: nothing that a grid would give."""
    patients = drawn(2, 50)
    wild = PatientTensors(patients.x, torch.ones_like(patients.events), 5 + patients.at_risk, patients.usable)
    assert is_within_what_is_charged(np.linalg.norm(KIND.rows(PLAN, SPEC, WEIGHTS, wild), axis=1))


def test_who_is_never_under_observation_on_the_grid_adds_nothing_and_others_add_themselves() -> None:
    end = GRID.bounds[-1]
    rows = KIND.rows(
        PLAN, SPEC, WEIGHTS, patients_with(np.full((1, 2), end), np.full((1, 2), 2 * end), np.ones((1, 2), np.bool_))
    )
    assert not rows.any()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"cells": SPEC.cells + 1}, "cells"),
        ({"time_bounds": (0.0, 0.123, GRID.bounds[-1])}, "times"),
        ({"edges": (0.5, 0.5)}, "edges"),
        ({"horizon": 0.0}, "horizon"),
    ],
)
def test_numbers_that_make_no_table_are_refused_before_anybody_is_read(changes: dict[str, object], what: str) -> None:
    assert any(what in each for each in KIND.faults(PLAN, replace(SPEC, **changes)))  # type: ignore[arg-type]
    with pytest.raises(PrivacyRefusal):
        refuse_unknown(replace(PLAN, summaries=(replace(SPEC, **changes),)))  # type: ignore[arg-type]
