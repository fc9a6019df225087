"""Does one patient move a round's sum by 1 at most, whatever weights a server sends?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from oncofed.protocol.weights import in_range
from oncofed.simulations.options.fitting import bounded_sum
from oncofed.treatment.heads import Heads, as_vector, gradient_rows
from oncofed.treatment.question import Observed

CAUSES, INTERVALS, MARKERS = 2, 4, 3
STARTS = np.full((2, CAUSES, INTERVALS), -50.0)
FLAT = np.zeros((2, CAUSES, MARKERS))


def nearly_at_the_cap_and_then_far_beyond() -> Heads:
    """Sums of these hazards, less the last of them, are 0 in floating point."""
    baseline = STARTS.copy()
    baseline[:, 0, :3] = np.log([0.999, 1e17, 1e34])
    return Heads(np.zeros(1 + MARKERS), baseline, FLAT)


def overflowing_for_one_alone() -> Heads:
    """exp(900) is not finite, and exp(0) is."""
    slopes = FLAT.copy()
    slopes[:, 0, 0] = 900.0
    return Heads(np.zeros(1 + MARKERS), STARTS + 45, slopes)


@pytest.mark.parametrize("hostile", [nearly_at_the_cap_and_then_far_beyond, overflowing_for_one_alone])
def test_one_patient_moves_a_sum_by_its_bound_whatever_the_weights(hostile: Callable[[], Heads]) -> None:
    heads = hostile()
    assert in_range(as_vector(heads))
    z = np.zeros((51, MARKERS))
    z[0, 0] = 1.0
    second = np.ones(51, dtype=np.bool_)
    everybody = Observed(z, second, np.zeros((CAUSES, 51, INTERVALS)), np.ones((51, INTERVALS)))
    events = everybody.events[:, 1:]
    without = replace(everybody, z=z[1:], second=second[1:], events=events, at_risk=everybody.at_risk[1:])
    found, others = bounded_sum(heads, everybody), bounded_sum(heads, without)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - others) <= 1 + 1e-9
    assert np.linalg.norm(others) > 1


def test_the_sum_that_is_run_thousands_of_times_is_that_of_the_rows_of_a_hospital() -> None:
    rng = np.random.default_rng(3)
    heads = Heads(rng.normal(size=1 + MARKERS), rng.normal(size=STARTS.shape) - 2, 0.3 * rng.normal(size=FLAT.shape))
    at_risk = np.sort(rng.random((40, INTERVALS)))[:, ::-1]
    events = np.zeros((CAUSES, 40, INTERVALS))  # one a patient at most
    events[rng.integers(0, CAUSES, 30), np.arange(30), rng.integers(0, INTERVALS, 30)] = 1
    patients = Observed(rng.normal(size=(40, MARKERS)), rng.random(40) < 0.5, events, at_risk)
    expected = gradient_rows(heads, patients).sum(axis=0)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(bounded_sum(heads, patients), expected, atol=1e-12)
