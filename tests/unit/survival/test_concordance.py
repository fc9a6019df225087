"""Harrell's C against counting the pairs one by one, with groups and delayed entry, which scikit-survival lacks."""

from __future__ import annotations

import time as clock
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oncofed.survival.concordance import Concordance, concordance, concordance_index, uno_concordance_index
from oncofed.survival.kaplan_meier import censoring_distribution

Array = NDArray[Any]


def pair_by_pair(risk: Array, time: Array, observed: Array, entry: Array, group: Array) -> Concordance:
    concordant = discordant = tied = 0
    for i in range(len(time)):
        for j in range(len(time)):
            event_free = time[j] > time[i] or (time[j] == time[i] and not observed[j])
            if i == j or not observed[i] or not event_free or not entry[j] < time[i] or group[i] != group[j]:
                continue
            concordant += risk[i] > risk[j]
            discordant += risk[i] < risk[j]
            tied += risk[i] == risk[j]
    return Concordance(concordant, discordant, tied)


patient = st.tuples(
    st.integers(-3, 3),  # risk
    st.integers(0, 6),  # entry
    st.integers(1, 5),  # follow-up
    st.booleans(),  # observed
    st.integers(0, 2),  # group
)


@given(st.lists(patient, max_size=40))
@settings(max_examples=300, deadline=None)
def test_equals_counting_pair_by_pair(patients: list[tuple[int, int, int, bool, int]]) -> None:
    risk, entry, length, observed, group = (
        np.array(column) for column in (zip(*patients, strict=True) if patients else ([], [], [], [], []))
    )
    risk, entry, observed = risk.astype(float), entry.astype(float), observed.astype(bool)
    time = entry + length
    expected = pair_by_pair(risk, time, observed, entry, group)
    assert concordance(risk=risk, time=time, observed=observed, entry=entry, group=group) == expected
    alone = [
        concordance(
            risk=risk[group == label],
            time=time[group == label],
            observed=observed[group == label],
            entry=entry[group == label],
        )
        for label in range(3)
    ]
    assert alone[0] + alone[1] + alone[2] == expected
    everybody = pair_by_pair(risk, time, observed, np.zeros(len(time)) - 1, np.zeros(len(time)))
    assert concordance(risk=risk, time=time, observed=observed) == everybody


def test_each_condition_is_seen_by_the_twin() -> None:
    """Power: on one data set, groups and entry each change the counts, and the sign of the risk mirrors them."""
    rng = np.random.default_rng(0)
    n = 200
    risk, observed, group = rng.normal(size=n), rng.random(n) < 0.6, rng.choice(["lung", "breast"], n)
    entry = rng.random(n)
    time = entry + rng.exponential(size=n)
    whole = concordance(risk=risk, time=time, observed=observed, entry=entry, group=group)
    assert whole != concordance(risk=risk, time=time, observed=observed, entry=entry)
    assert whole != concordance(risk=risk, time=time, observed=observed, group=group)
    flipped = concordance(risk=-risk, time=time, observed=observed, entry=entry, group=group)
    assert (flipped.concordant, flipped.discordant) == (whole.discordant, whole.concordant)


def test_right_order_is_one_and_constant_risk_is_half() -> None:
    time, observed = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    assert concordance_index(risk=np.array([3.0, 2.0, 1.0]), time=time, observed=observed) == 1.0
    assert concordance_index(risk=np.array([1.0, 2.0, 3.0]), time=time, observed=observed) == 0.0
    assert concordance_index(risk=np.zeros(3), time=time, observed=observed) == 0.5


@pytest.mark.parametrize(
    ("time", "observed"),
    [([], []), ([1.0], [True]), ([1.0, 2.0], [False, False]), ([2.0, 2.0], [True, True]), ([1.0, 2.0], [False, True])],
)
def test_no_comparable_pair_is_undefined(time: list[float], observed: list[bool]) -> None:
    risk = np.arange(len(time), dtype=float)
    index = concordance_index(risk=risk, time=np.array(time), observed=np.array(observed, dtype=bool))
    assert np.isnan(index)


def test_late_entrant_is_not_compared_with_who_died_before() -> None:
    risk, time, observed = np.array([2.0, 1.0]), np.array([5.0, 9.0]), np.array([True, False])
    assert concordance(risk=risk, time=time, observed=observed, entry=np.array([0.0, 5.0])).comparable == 0
    assert concordance(risk=risk, time=time, observed=observed, entry=np.array([0.0, 4.9])).comparable == 1


@pytest.mark.parametrize(
    "change",
    [
        {"risk": np.array([1.0, np.nan])},
        {"risk": np.array([1.0])},
        {"risk": np.zeros((2, 1))},
        {"time": np.array([1.0, np.inf])},
        {"time": np.array([1.0, -2.0])},
        {"observed": np.array([1, 0])},
        {"observed": np.array([True])},
        {"entry": np.array([0.0, 2.0])},
        {"entry": np.array([0.0, np.nan])},
        {"entry": np.array([-1.0, 0.0])},
        {"group": np.array(["a"])},
    ],
)
def test_malformed_arrays_are_refused(change: dict[str, Array]) -> None:
    good = {"risk": np.array([1.0, 2.0]), "time": np.array([1.0, 2.0]), "observed": np.array([True, False])}
    concordance(**good)
    with pytest.raises(ValueError):
        concordance(**{**good, **change})


def test_sixteen_thousand_patients_take_less_than_a_second() -> None:
    rng = np.random.default_rng(1)
    n = 16_000
    entry = rng.random(n)
    time = entry + rng.exponential(size=n)
    started = clock.process_time()
    concordance(risk=rng.normal(size=n), time=time, observed=rng.random(n) < 0.5, entry=entry)
    assert clock.process_time() - started < 1.0


def test_uno_refuses_events_that_training_follow_up_never_reached() -> None:
    time, observed = np.array([1.0, 2.0, 8.0, 9.0]), np.array([True, True, True, False])
    censoring = censoring_distribution(time=np.array([1.0, 2.0, 5.0]), observed=np.array([True, False, True]))
    with pytest.raises(ValueError, match="smaller tau"):
        uno_concordance_index(risk=-time, time=time, observed=observed, censoring=censoring)
    assert uno_concordance_index(risk=-time, time=time, observed=observed, censoring=censoring, tau=5.0) == 1.0
