"""What is added up keeps its bound."""

from __future__ import annotations

import numpy as np
import pytest

from oncofed.privacy.bounded_sum import BoundedSum


def test_a_sum_over_two_groups_has_the_bound_of_both() -> None:
    total = BoundedSum(np.array([1.0, 2.0]), 0.5) + BoundedSum(np.array([3.0, -1.0]), 0.5)
    np.testing.assert_array_equal(total.vector, [4.0, 1.0])
    assert total.l2_norm_bound == 0.5


@pytest.mark.parametrize("other", [1.0, np.inf, np.nan])
def test_sums_of_different_bounds_cannot_be_added(other: float) -> None:
    with pytest.raises(ValueError, match="bounds"):
        BoundedSum(np.zeros(2), 0.5) + BoundedSum(np.zeros(2), other)


def test_nobody_adds_nothing() -> None:
    some = BoundedSum(np.array([1.0, -0.25]), 2.0)
    total = some + BoundedSum.of_nobody(2, l2_norm_bound=2.0)
    assert total.vector.tobytes() == some.vector.tobytes()
