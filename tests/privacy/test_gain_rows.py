"""Is what a patient adds to a release of gains within its bound, whatever happened, and the patient's own affair?

The bound is proven in `protocol.gain_layout`: follow-up is stopped, and the network held, by covariates alone. Here it
is looked for: by patients as they come, with weights of any size. Without either, rows are longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, model_spec, study_plan, with_inputs, without
from tests.summaries import LAYERS, gains_of
from torch import Tensor

from oncofed.client.patients import gain_sums
from oncofed.client.patients.gain_sums import STEPS
from oncofed.client.patients.summaries import KINDS, bounded_sum, refuse_unknown
from oncofed.errors import PrivacyRefusal
from oncofed.protocol.gain_layout import COUNTS_WEIGHT, SQUARES_WEIGHT, gain_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.survival.comparators import Comparator
from oncofed.survival.layer_values import contrasts, gains_of_each
from oncofed.survival.likelihood import PatientTensors, cumulative_hazard
from oncofed.survival.likelihood_gain import gain_of_each
from oncofed.survival.network import network_with
from oncofed.survival.time_shapes import TimeShapes
from oncofed.survival.unmeasured import without as without_layers

FloatArray = NDArray[np.float64]
COMPARISON, VALUE = SummaryKind.COMPARISON, SummaryKind.VALUE
MOST = 1 + 1e-12
COMPARATORS = (Comparator("one", (0,), (), 0.5), Comparator("two", (1, 2), (2,), 2.0))
BOTH = pytest.mark.parametrize("kind", [COMPARISON, VALUE])


def asked(
    kind: SummaryKind,
    *,
    endpoints: int = 1,
    cap: float = 1.0,
    within: float = 1.0,
    count: int = 2,
    shapes: bool = False,
) -> tuple[StudyPlan, SummarySpec]:
    """count: of comparators or layers."""
    model = model_spec(
        columns=9,
        endpoints=endpoints,
        comparators=COMPARATORS[:count],
        layers=LAYERS[:count],
        time_shapes=TimeShapes(2, 18.0, 0.5, (0, 1)) if shapes else None,
    )
    plan = study_plan(model=model)
    plan = replace(plan, privacy=replace(plan.privacy, hazard_cap=cap))
    return plan, gains_of(plan, kind, within=within)


def patients_of(plan: StudyPlan, count: int, *, seed: int, scale: float = 1.0) -> PatientTensors:
    """Of two thirds everything is recorded."""
    drawn = drawn_patients(plan.model, count, seed=seed, scale=scale)
    x = drawn.x.clone()
    recorded = torch.arange(count) % 3 > 0
    for column in (2, 4, 6, 8):
        x[recorded, column] = 0.0
    return PatientTensors.of(x, drawn.events, drawn.at_risk)


def rows_of(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    return KINDS[spec.kind].rows(plan, spec, weights, patients)


def longest(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> float:
    return float(np.linalg.norm(rows_of(plan, spec, weights, patients), axis=1).max())


# The bound


@BOTH
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_row_is_no_longer_than_one_before_anybody_cuts_it(kind: SummaryKind, data: st.DataObject) -> None:
    plan, spec = asked(
        kind,
        endpoints=data.draw(st.integers(1, 3)),
        cap=data.draw(st.sampled_from([0.01, 0.3, 1.0, 1.5, 4.0, 100.0])),
        within=data.draw(st.sampled_from([0.1, 1.0, 5.0])),
        count=data.draw(st.integers(1, 2)),
        shapes=data.draw(st.booleans()),
    )
    if kind is VALUE:
        plan = replace(plan, model=replace(plan.model, time_shapes=None))
    seed = data.draw(st.integers(0, 999))
    patients = patients_of(plan, 20, seed=seed, scale=data.draw(st.sampled_from([1.0, 10.0])))
    weights = drawn_weights(plan.model, seed=seed, scale=data.draw(st.sampled_from([0.1, 0.3, 1.0, 3.0, 30.0])))
    assert longest(plan, spec, weights, patients) <= MOST


def strong(kind: SummaryKind, *, scale: float = 0.5) -> tuple[StudyPlan, SummarySpec, FloatArray, PatientTensors]:
    """Patients of whom many have gains that would be too long: half live to the end, the others die at once."""
    plan, spec = asked(kind, within=0.5)
    patients = patients_of(plan, 600, seed=4)
    at_risk = torch.ones_like(patients.at_risk)
    at_risk[::2] = 1e-3
    events = torch.zeros_like(patients.events)
    for row in range(0, 600, 2):
        events[row, :, row // 2 % events.shape[2]] = 1.0
    weights = drawn_weights(plan.model, seed=4, scale=scale)
    return plan, spec, weights, replace(patients, events=events, at_risk=at_risk)


@BOTH
def test_the_bound_is_reached_within_a_tenth(kind: SummaryKind) -> None:
    """One that is too large would waste noise: gains come as near to it as steps of 1/16 let them."""
    plan, spec, weights, patients = strong(kind)
    layout = gain_layout(plan, spec)
    gains = rows_of(plan, spec, weights, patients)[:, : layout.gains] / layout.weight
    assert 0.9 < float(np.linalg.norm(gains, axis=1).max()) <= 1 + 1e-12


def unstopped(log_hazard: Tensor, events: Tensor, at_risk: Tensor, *, cap: float) -> Tensor:
    """In place of `stopped_residuals`: all hazard and every event count."""
    return at_risk * cumulative_hazard(log_hazard) - events


def unheld(longest: Callable[[Tensor, float], Tensor], patients: int, *, within: float) -> Tensor:
    return torch.ones(patients, dtype=torch.float64)


@BOTH
@pytest.mark.parametrize(("name", "by"), [("stopped_residuals", unstopped), ("shares_held", unheld)])
def test_without_the_stop_and_without_holding_the_model_rows_are_too_long(
    kind: SummaryKind, name: str, by: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, spec, weights, patients = strong(kind)
    assert longest(plan, spec, weights, patients) <= MOST
    monkeypatch.setattr(gain_sums, name, by)
    assert longest(plan, spec, weights, patients) > 1.1


@BOTH
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_one_patient_moves_the_sum_by_one_at_most_and_nobody_elses_part(kind: SummaryKind, data: st.DataObject) -> None:
    plan, spec = asked(kind, endpoints=data.draw(st.integers(1, 3)))
    patients = patients_of(plan, data.draw(st.integers(1, 12)), seed=data.draw(st.integers(0, 99)))
    row = data.draw(st.integers(0, len(patients) - 1))
    patients = with_inputs(patients, row, data.draw(st.sampled_from([0.5, 0.0, 1e5, -1e30, 1e300, math.inf, math.nan])))
    weights = drawn_weights(plan.model, seed=data.draw(st.integers(0, 9)), scale=data.draw(st.sampled_from([0.3, 1e3])))
    with_all = bounded_sum(plan, spec, weights, patients).vector
    moved = with_all - bounded_sum(plan, spec, weights, without(patients, row)).vector
    alone = bounded_sum(plan, spec, weights, patients.rows(torch.tensor([row]))).vector
    assert np.isfinite(with_all).all()
    assert np.linalg.norm(moved) <= 1 + 1e-9
    np.testing.assert_allclose(moved, alone, atol=1e-12)


@BOTH
def test_how_far_a_patient_is_held_does_not_depend_on_what_happened(kind: SummaryKind) -> None:
    """Else it would be a cut, and biased."""
    plan, spec, weights, patients = strong(kind, scale=0.15 if kind is COMPARISON else 0.3)
    layout = gain_layout(plan, spec)
    place = 2 * layout.gains + (2 if kind is COMPARISON else 0)
    other = replace(patients, events=torch.zeros_like(patients.events), at_risk=patients.at_risk / 7)
    held, of_others = (rows_of(plan, spec, weights, each)[:, place] for each in (patients, other))
    assert (held == of_others).all()
    assert 0.1 < (held > 0).mean() < 0.9


# Slow twins


@pytest.mark.parametrize("endpoints", [1, 2])
def test_over_comparators_rows_are_differences_of_likelihoods_of_one_stopped_follow_up(endpoints: int) -> None:
    plan, spec = asked(COMPARISON, endpoints=endpoints, cap=0.7, within=40.0, shapes=True)
    patients, weights = patients_of(plan, 80, seed=3), drawn_weights(plan.model, seed=3)
    layout = gain_layout(plan, spec)
    found = rows_of(plan, spec, weights, patients).reshape(80, endpoints, layout.numbers) / layout.weights
    with torch.no_grad():
        network = network_with(plan.model, weights)
        own = network.log_hazard(patients.x).numpy()
        others = [head.log_hazard(patients.x).numpy() for head in network.heads]
    stopped = 0
    for one, endpoint, place in np.ndindex(80, endpoints, 2):
        recorded = place == 0 or float(patients.x[one, 2]) == 0
        mine, theirs = own[one, endpoint], others[place][one, endpoint]
        events, at_risk = (each[one, endpoint].numpy().copy() for each in (patients.events, patients.at_risk))
        left = 0.7
        for interval in range(len(mine)):
            larger = at_risk[interval] * math.exp(max(mine[interval], theirs[interval]))
            if larger > left:
                at_risk[interval] *= left / larger
                at_risk[interval + 1 :] = 0.0
                events[:] = 0.0
                stopped += 1
                break
            left -= larger
        gain = recorded * gain_of_each(mine[None], theirs[None], events[None], at_risk[None])[0]
        numbers = found[one, endpoint]
        assert numbers[[place, 2 + place, 4 + place]] == pytest.approx([gain, gain**2, float(recorded)], abs=1e-6)
        assert numbers[6:] == pytest.approx([0, 1])
    assert 20 < stopped < 140 * endpoints


@pytest.mark.parametrize("endpoints", [1, 2])
def test_values_are_those_that_are_computed_without_privacy(endpoints: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the level of each set, which takes all patients together. The other side has its own tests by hand."""
    monkeypatch.setattr("oncofed.survival.layer_values.level_of", lambda *_: 0.0)
    plan, spec = asked(VALUE, endpoints=endpoints, cap=0.7, within=40.0)
    patients, weights = patients_of(plan, 80, seed=3), drawn_weights(plan.model, seed=3)
    layout, network = gain_layout(plan, spec), network_with(plan.model, weights)
    found = rows_of(plan, spec, weights, patients).reshape(80, endpoints, layout.numbers) / layout.weights
    has_all = (patients.x[:, [4, 6]] == 0).all(dim=1).numpy()
    for endpoint in range(endpoints):

        def log_hazard_of(kept: tuple[int, ...], endpoint: int = endpoint) -> FloatArray:
            taken = [layer for number, layer in enumerate(plan.model.layers) if number not in kept]
            with torch.no_grad():
                return np.asarray(network.log_hazard(without_layers(patients.x, taken))[:, endpoint].numpy())

        events, at_risk = (each[:, endpoint].numpy() for each in (patients.events, patients.at_risk))
        gains = gains_of_each(log_hazard_of, events, at_risk, layers=2, hazard_cap=0.7, largest_gain=math.inf)
        numbers = found[:, endpoint]
        np.testing.assert_allclose(numbers[:, :7], has_all[:, None] * (gains @ contrasts(2)), atol=1e-6)
        np.testing.assert_allclose(numbers[:, 7:14], numbers[:, :7] ** 2, atol=1e-12)
        counts = numbers[:, 14:]
        assert (counts[:, 0] == 0).all()
        np.testing.assert_allclose(counts[:, 1], has_all)
        np.testing.assert_allclose(counts[:, 4], ~has_all)
        assert (counts[has_all, 4:] == 0).all()
        assert (counts[~has_all, 1:4] == 0).all()
        assert 0 < counts[:, [2, 5]].sum() < events.sum()


def test_who_is_held_adds_the_gain_of_a_network_that_is_drawn_towards_what_it_is_compared_with() -> None:
    """By hand for one comparator whose hazard runs over time as the network's: |gain| is at most t |r|."""
    plan, spec = asked(COMPARISON, count=1, within=0.5)
    patients, weights = patients_of(plan, 300, seed=6), drawn_weights(plan.model, seed=6, scale=0.6)
    weights[plan.model.comparator_parts[0][0]] = 0.0
    weights[: plan.model.baseline_parameters] = 0.0
    network = network_with(plan.model, weights)
    with torch.no_grad():
        ratio = (network(patients.x) - network.heads[0](patients.x))[:, 0].numpy()
        theirs = network.heads[0].log_hazard(patients.x)[:, 0].numpy()
    layout = gain_layout(plan, spec)
    numbers = rows_of(plan, spec, weights, patients) / layout.weights
    shares = np.minimum(1.0, np.floor(STEPS * 0.5 / np.abs(ratio)) / STEPS)
    assert 50 < (shares < 1).sum() < 280
    np.testing.assert_array_equal(numbers[:, 3] > 0.5, shares < 1)
    for one, share in enumerate(shares):
        larger = patients.at_risk[one, 0].numpy() * np.exp(theirs[one] + max(0.0, ratio[one]))
        if larger.sum() <= 1:  # not stopped
            held = theirs[one] + share * ratio[one]
            events, at_risk = (each[one].numpy() for each in (patients.events, patients.at_risk))
            gain = gain_of_each(held[None], theirs[one : one + 1], events, at_risk)[0]
            assert numbers[one, 0] == pytest.approx(gain, abs=1e-6)


def test_who_is_held_adds_the_values_of_a_layer_that_is_drawn_towards_what_is_always_known() -> None:
    """By hand for one layer: its four numbers are alike, so its length is the root of 1 + 3/4 times each."""
    plan, spec = asked(VALUE, count=1, within=0.4)
    patients, weights = patients_of(plan, 300, seed=8), drawn_weights(plan.model, seed=8, scale=0.4)
    network, layout = network_with(plan.model, weights), gain_layout(plan, spec)
    bare = without_layers(patients.x, plan.model.layers)
    with torch.no_grad():
        ratio = (network(patients.x) - network(bare))[:, 0].numpy()
        always = network.log_hazard(bare)[:, 0].numpy()
    numbers = rows_of(plan, spec, weights, patients) / layout.weights
    longest = []
    for share in np.arange(STEPS, -1, -1) / STEPS:
        lost = np.expm1(share * ratio)
        worst = np.maximum.reduce([np.abs(share * ratio), np.abs(lost), np.abs(share * ratio - lost)])
        longest.append(1.75**0.5 * worst <= 0.4)
    shares = 1 - np.argmax(longest, axis=0) / STEPS
    has_all = (patients.x[:, 4] == 0).numpy()
    assert 50 < (shares[has_all] < 1).sum() < has_all.sum() - 20
    np.testing.assert_array_equal(numbers[:, 8] > 0.5, has_all & (shares < 1))
    for one in np.flatnonzero(has_all & ((patients.at_risk[:, 0].numpy() * np.exp(always)).sum(axis=1) <= 1)):
        held = always[one] + shares[one] * ratio[one]
        events, at_risk = (each[one].numpy() for each in (patients.events, patients.at_risk))
        gain = gain_of_each(held[None], always[one : one + 1], events, at_risk)[0]
        assert numbers[one, :4] == pytest.approx([gain] * 4, abs=1e-6)


def test_of_whom_one_marker_of_a_comparator_is_missing_it_is_not_recorded() -> None:
    plan, spec = asked(COMPARISON, count=1)
    both = Comparator("both", (1, 2, 3, 4), (2, 4), 0.5)
    plan = replace(plan, model=replace(plan.model, comparators=(both,)))
    drawn = drawn_patients(plan.model, 8, seed=2)
    x = drawn.x.clone()
    x[:, 2] = torch.tensor([0.0, 0.0, 0.5, 0.5] * 2)
    x[:, 4] = torch.tensor([0.0, 0.5, 0.0, 0.5] * 2)
    patients, weights = PatientTensors.of(x, drawn.events, drawn.at_risk), drawn_weights(plan.model, seed=2)
    numbers = rows_of(plan, spec, weights, patients) / gain_layout(plan, spec).weights
    np.testing.assert_allclose(numbers[:, 2], [1, 0, 0, 0] * 2)
    assert (numbers[[1, 2, 3], :2] == 0).all()
    assert (numbers[[0, 4], 0] != 0).all()


def test_weights_of_the_parts_of_a_row_are_what_its_length_is_proven_of() -> None:
    plan, spec = asked(VALUE)
    layout = gain_layout(plan, spec)
    assert layout.gain_weights == (1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert layout.weight == pytest.approx((1 + SQUARES_WEIGHT**2 + 4 * COUNTS_WEIGHT**2) ** -0.5)
    assert gain_layout(*asked(COMPARISON)).gain_weights == pytest.approx((0.5**0.5, 0.5**0.5))


# What is refused


@BOTH
@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"edges": ()}, "its bound in nats"),
        ({"edges": (0.0,)}, "its bound in nats"),
        ({"edges": (1.0, 2.0)}, "its bound in nats"),
        ({"time_bounds": (0.0, 12.0)}, "windows or groups"),
        ({"group_columns": (1,)}, "windows or groups"),
        ({"cells": 7}, "it states 7 cells"),
    ],
    ids=str,
)
def test_a_plan_whose_numbers_do_not_fit_is_refused(kind: SummaryKind, changed: dict[str, object], what: str) -> None:
    plan, spec = asked(kind)
    refuse_unknown(replace(plan, summaries=(spec,)))
    with pytest.raises(PrivacyRefusal, match=what):
        refuse_unknown(replace(plan, summaries=(replace(spec, **changed),)))  # type: ignore[arg-type]  # a test's own


@BOTH
def test_a_model_without_what_is_compared_is_refused_and_a_layer_with_the_tumour_entity_is(kind: SummaryKind) -> None:
    plan, spec = asked(kind)
    bare = replace(plan, model=replace(plan.model, comparators=(), layers=()), summaries=(spec,))
    with pytest.raises(PrivacyRefusal, match="nothing to compare"):
        refuse_unknown(bare)
    shapes = TimeShapes(1, 18.0, 0.5, (3,))
    plan = replace(plan, model=replace(plan.model, time_shapes=shapes), summaries=(spec,))
    if kind is VALUE:
        with pytest.raises(PrivacyRefusal, match="layer laboratory holds the tumour entity"):
            refuse_unknown(plan)
    else:
        refuse_unknown(plan)
