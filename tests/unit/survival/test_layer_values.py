"""Are values of layers what their definitions say? Truth: orders of layers one by one, and outcomes cut by hand."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.survival.grid import TimeGrid
from oncofed.survival.layer_values import (
    coalitions,
    contrasts,
    gains_of_each,
    layer_values,
    stopped,
)

GRID = TimeGrid((0.0, 3.0, 12.0, 30.0, 60.0))


def by_orders(worth: dict[frozenset[int], float], layer: int, layers: int) -> float:
    """Shapley's value by its first definition."""
    added = []
    for order in permutations(range(layers)):
        before = frozenset(order[: order.index(layer)])
        added.append(worth[before | {layer}] - worth[before])
    return float(np.mean(added))


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_shares_are_the_mean_over_all_orders_and_alone_and_last_what_they_say(layers: int) -> None:
    sets = coalitions(layers)
    assert sets[0] == ()
    assert sets[-1] == tuple(range(layers))
    assert len(set(sets)) == 2**layers
    drawn = np.random.default_rng(layers).normal(size=2**layers)
    worth = dict(zip(map(frozenset, sets), drawn, strict=True))
    numbers = drawn @ contrasts(layers)
    everything = frozenset(range(layers))
    for layer in range(layers):
        assert numbers[layer] == pytest.approx(by_orders(worth, layer, layers), abs=1e-12)
        assert numbers[layers + layer] == pytest.approx(worth[frozenset({layer})] - worth[frozenset()])
        assert numbers[2 * layers + layer] == pytest.approx(worth[everything] - worth[everything - {layer}])
    assert numbers[-1] == pytest.approx(worth[everything] - worth[frozenset()])
    assert numbers[:layers].sum() == pytest.approx(numbers[-1])


@given(st.integers(0, 10_000))
def test_a_layer_that_adds_nothing_to_any_set_is_worth_nothing_and_two_alike_have_the_same_share(seed: int) -> None:
    """Shapley's axioms, on a game of three layers: 0 adds nothing, 1 and 2 are alike."""
    rng = np.random.default_rng(seed)
    of = {frozenset(): 0.0, frozenset({1}): rng.normal(), frozenset({1, 2}): rng.normal()}
    of[frozenset({2})] = of[frozenset({1})]
    drawn = np.array([of[frozenset(each) - {0}] for each in coalitions(3)])
    numbers = drawn @ contrasts(3)
    assert numbers[[0, 3, 6]] == pytest.approx([0, 0, 0], abs=1e-12)
    assert numbers[1] == pytest.approx(numbers[2])
    assert numbers[1] == pytest.approx(of[frozenset({1, 2})] / 2)


def outcomes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entry, exit, whether died; and log hazards a month in each interval."""
    entry = np.where(rng.random(n) < 0.4, rng.uniform(0, 8, n), 0.0)
    exit_ = entry + rng.exponential(25, n) + 0.01
    return entry, np.minimum(exit_, 59.0), exit_ < 59.0, rng.normal(-3.0, 1.0, (n, GRID.intervals))


def hazard_until(log_hazard: np.ndarray, begin: float, end: float) -> float:
    """By small steps: no fraction at risk, no grid of the code under test."""
    bounds = GRID.bounds
    pieces = [
        math.exp(log_hazard[k]) * max(0.0, min(end, bounds[k + 1]) - max(begin, bounds[k]))
        for k in range(GRID.intervals)
    ]
    return sum(pieces)


def test_follow_up_ends_where_the_hazard_since_entry_reaches_the_cap() -> None:
    rng = np.random.default_rng(3)
    entry, exit_, died, rates = outcomes(200, rng)
    log_hazard = rates + np.log(GRID.widths)
    found = stopped(log_hazard, GRID.events(exit_, died), GRID.at_risk(entry, exit_), hazard_cap=0.7)
    ended = 0
    for n in range(200):
        low, high = entry[n], exit_[n]
        if hazard_until(rates[n], entry[n], exit_[n]) > 0.7:
            ended += 1
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (low, middle) if hazard_until(rates[n], entry[n], middle) > 0.7 else (middle, high)
        stop = high
        expected = GRID.at_risk(entry[n : n + 1], np.array([stop]))[0]
        np.testing.assert_allclose(found.at_risk[n], expected, atol=1e-9)
        assert found.events[n].sum() == (died[n] and stop == exit_[n])
    assert 30 < ended < 170


def test_a_gain_is_the_difference_of_two_likelihoods_of_the_same_follow_up_and_cut_at_the_limit() -> None:
    rng = np.random.default_rng(4)
    entry, exit_, died, nothing = outcomes(300, rng)
    known = nothing + rng.normal(0, 1.2, (300, 1))
    events, at_risk = GRID.events(exit_, died), GRID.at_risk(entry, exit_)
    by_set = {(): nothing + np.log(GRID.widths), (0,): known + np.log(GRID.widths)}
    gains = gains_of_each(lambda kept: by_set[kept], events, at_risk, layers=1, hazard_cap=1.0, largest_gain=1.5)
    assert not gains[:, 0].any()
    cut, seen = 0, []
    for n in range(300):
        low, high = entry[n], exit_[n]
        if hazard_until(nothing[n], low, high) > 1.0:
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (low, middle) if hazard_until(nothing[n], entry[n], middle) > 1.0 else (middle, high)
        interval = int(np.searchsorted(GRID.bounds, exit_[n])) - 1
        event = died[n] and high == exit_[n]
        expected = [hazard_until(of[n], entry[n], high) for of in (known, nothing)]
        seen.append((event, known[n, interval] - nothing[n, interval], *expected))
    deaths = sum(event for event, *_ in seen)
    of_known, of_nothing = (deaths / sum(each[place] for each in seen) for place in (2, 3))
    for n, (event, ratio, known_hazard, hazard) in enumerate(seen):
        plain = (ratio + np.log(of_known / of_nothing) if event else 0.0) - (
            of_known * known_hazard - of_nothing * hazard
        )
        cut += abs(plain) > 1.5
        assert gains[n, 1] == pytest.approx(min(max(plain, -1.5), 1.5), abs=1e-7)
    assert 5 < cut < 150


def test_that_a_layer_was_measured_is_not_what_it_says() -> None:
    """Noise, measured of those alone whom the doctor knows to be fit: of others the model knows what all have."""
    rng = np.random.default_rng(6)
    fit = rng.random(40_000) < 0.5
    died, exit_ = np.ones(40_000, dtype=bool), rng.exponential(np.where(fit, 60.0, 15.0)).clip(0.01, 59.9)
    died &= exit_ < 59.9
    rates = GRID.widths * 0.7 / 15
    events, at_risk = GRID.events(exit_, died)[fit], GRID.at_risk(np.zeros(40_000), exit_)[fit]
    noise = rng.normal(size=(int(fit.sum()), 1))
    of_all, of_fit = np.log(np.tile(rates, (len(noise), 1))), np.log(np.tile(GRID.widths / 60, (len(noise), 1)))
    gains = gains_of_each(lambda kept: of_fit + 0.01 * noise if kept else of_all, events, at_risk, layers=1)
    error = gains[:, 1].std() / math.sqrt(len(gains))
    assert abs(gains[:, 1].mean()) < 4 * error + 5e-4
    seen = stopped(of_all, events, at_risk, hazard_cap=1.0)
    untold = (seen.events * (of_fit - of_all) - seen.at_risk * (np.exp(of_fit) - np.exp(of_all))).sum(axis=1).mean()
    assert untold > 0.1, "and without its own level it would be worth as much as anything"


@pytest.mark.slow
def test_intervals_of_a_column_hold_all_at_once_and_are_wider_than_of_one() -> None:
    """Means known to be 0; five correlated columns, from a game in which each layer's gains are drawn."""
    rng = np.random.default_rng(5)
    layers, patients, repeats = 4, 150, 400
    held, held_plain = 0, 0
    mixing = np.linalg.cholesky(0.3 + 0.7 * np.eye(layers))
    for _ in range(repeats):
        each = rng.standard_t(8, (patients, layers)) @ mixing.T
        gains = np.stack([each[:, list(kept)].sum(axis=1) for kept in coalitions(layers)], axis=1)
        told = layer_values(gains, "abcd", rng=rng).layers
        held += all(each.share.low <= 0 <= each.share.high for each in told)
        means = gains @ contrasts(layers)[:, :layers]
        errors = means.std(axis=0, ddof=1) / math.sqrt(patients)
        held_plain += bool(np.all(np.abs(means.mean(axis=0)) <= 1.96 * errors))
    assert 0.915 < held / repeats < 0.98
    assert held_plain / repeats < 0.89  # intervals of one layer each would be noticed


def test_of_one_patient_nothing_is_known_and_a_layer_without_any_gain_has_no_width() -> None:
    one = layer_values(np.array([[0.0, 0.5]]), ["a"], rng=np.random.default_rng(7))
    assert one.together.mean == 0.5
    assert math.isnan(one.layers[0].share.low)
    gains = np.random.default_rng(8).normal(size=(40, 1)) * np.array([[0.0, 0.0, 1.0, 1.0]])
    told = layer_values(gains, ["none", "some"], rng=np.random.default_rng(9))
    assert (told.layers[0].share.low, told.layers[0].share.high) == (0.0, 0.0)
    assert told.layers[1].share.low < told.layers[1].share.mean < told.layers[1].share.high
    # One column that varies is an interval of one: t with 39 degrees of freedom, 2.02 standard errors.
    half = told.layers[1].share.high - told.layers[1].share.mean
    assert half / told.layers[1].share.standard_error == pytest.approx(2.023, abs=0.03)
