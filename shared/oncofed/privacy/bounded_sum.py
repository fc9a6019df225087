"""What may be noised? A sum over patients that knows by how much one of them moves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class BoundedSum:
    """A sum over patients to which each adds a vector of at most `l2_norm_bound` in the Euclidean norm.

    l2_norm_bound  infinity where nothing bounds it (privacy mode `none` only).

    `a + b` is the sum over the union of two disjoint groups of patients; both must have the same bound.
    """

    vector: NDArray[np.float64]
    l2_norm_bound: float

    def __add__(self, other: BoundedSum) -> BoundedSum:
        if other.l2_norm_bound != self.l2_norm_bound:
            raise ValueError("sums of different bounds cannot be added")
        return BoundedSum(self.vector + other.vector, self.l2_norm_bound)

    @staticmethod
    def of_nobody(numbers: int, *, l2_norm_bound: float) -> BoundedSum:
        """Zeros."""
        return BoundedSum(np.zeros(numbers), l2_norm_bound)
