"""Kaplan-Meier: what scikit-survival does not show, above all delayed entry and what is not known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncofed.survival.kaplan_meier import censoring_distribution, kaplan_meier


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5), st.booleans()), min_size=1, max_size=30),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_equals_counting_patient_by_patient(patients: list[tuple[int, int, bool]], late: bool) -> None:
    entry = np.array([begin if late else 0 for begin, _, _ in patients], dtype=float)
    time = entry + [length for _, length, _ in patients]
    observed = np.array([seen for _, _, seen in patients])
    curve = kaplan_meier(time=time, observed=observed, entry=entry)
    survival = 1.0
    for step, t in enumerate(sorted(set(time))):
        at_risk = sum((b < t or b == 0) and e >= t for b, e in zip(entry, time, strict=True))
        died = sum(e == t and seen for e, seen in zip(time, observed, strict=True))
        survival *= 1 - died / at_risk
        assert (curve.at_risk[step], curve.events[step]) == (at_risk, died)
        assert curve.survival[step] == pytest.approx(survival, abs=1e-12)


def test_delayed_entry_removes_the_bias_of_being_alive_to_enter() -> None:
    rng = np.random.default_rng(4)
    death = rng.exponential(10.0, 20_000)
    entry = np.maximum(rng.uniform(-1, 15, 20_000), 0)  # some from the origin, so that early risk sets are not tiny
    seen = death > entry
    time, entry, observed = death[seen], entry[seen], np.ones(seen.sum(), dtype=bool)
    truth, at = np.exp(-1.0), np.array([10.0])
    assert kaplan_meier(time=time, observed=observed, entry=entry).at(at)[0] == pytest.approx(truth, abs=0.02)
    assert kaplan_meier(time=time, observed=observed).at(at)[0] > truth + 0.1


def test_interval_covers_as_promised() -> None:
    rng = np.random.default_rng(8)
    covered = {0.95: 0, 0.5: 0}
    for _ in range(400):
        death, censored = rng.exponential(10.0, 100), rng.exponential(15.0, 100)
        for level in covered:
            curve = kaplan_meier(time=np.minimum(death, censored), observed=death <= censored, level=level)
            low, high = curve.interval_at(np.array([8.0]))
            covered[level] += bool(low[0] <= np.exp(-0.8) <= high[0])
    assert 0.92 < covered[0.95] / 400 < 0.98
    assert 0.42 < covered[0.5] / 400 < 0.58


def test_what_is_not_known_is_nan() -> None:
    open_ended = kaplan_meier(time=np.array([1.0, 2.0]), observed=np.array([True, False]))
    np.testing.assert_array_equal(open_ended.at(np.array([0.5, 1.0, 2.0, 2.1])), [1.0, 0.5, 0.5, np.nan])
    extinct = kaplan_meier(time=np.array([1.0, 2.0]), observed=np.array([True, True]))
    np.testing.assert_array_equal(extinct.at(np.array([2.0, 99.0])), [0.0, 0.0])
    assert np.isnan(extinct.interval_at(np.array([0.5, 2.0]))).all()
    nobody = kaplan_meier(time=np.array([]), observed=np.array([], dtype=bool))
    assert np.isnan(nobody.at(np.array([0.0, 1.0]))).all()


def test_censoring_at_the_time_of_an_event_comes_after_it() -> None:
    censoring = censoring_distribution(time=np.array([1.0, 1.0, 2.0]), observed=np.array([True, False, True]))
    np.testing.assert_allclose(censoring.survival, [0.5, 0.5])  # one of two, not one of three


def test_entry_at_zero_is_no_delayed_entry() -> None:
    """Also for who dies at once: scikit-survival accepts a time of 0, and so do we."""
    time, observed = np.array([0.0, 1.0, 2.0]), np.array([True, True, False])
    curve = kaplan_meier(time=time, observed=observed, entry=np.zeros(3))
    np.testing.assert_array_equal(curve.at_risk, [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(curve.survival, kaplan_meier(time=time, observed=observed).survival)


def test_level_is_checked() -> None:
    with pytest.raises(ValueError, match="level"):
        kaplan_meier(time=np.array([1.0]), observed=np.array([True]), level=95)
