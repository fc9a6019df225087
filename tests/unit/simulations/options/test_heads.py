"""Does one patient move a round's sum by 1 at most, whatever weights a server sends?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from oncofed.protocol.weights import in_range
from oncofed.simulations.options.heads import Heads, Observed, as_vector, bounded_sum

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
