"""Which columns of the input are of one marker, and what do their numbers add up to?

Columns of a marker are added one after the other, in their order: what comes out for a patient is the same bits whoever
else is there, which a product with a matrix of zeros and ones would not be (`survival.one_by_one`). It is the quicker
way, too, since few markers have more than two columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MarkerColumns:
    """Places of markers and of columns of theirs, pair by pair. rest: all beyond a marker's second, one by one."""

    markers: int
    with_first: IndexArray
    first: IndexArray
    with_second: IndexArray
    second: IndexArray
    rest: tuple[tuple[int, int], ...]

    @staticmethod
    def of(places: Sequence[int], *, markers: int) -> MarkerColumns:
        """places  for each column, the place of its marker; columns of a place from `markers` on are of none."""
        own: list[list[int]] = [[] for _ in range(markers)]
        for column, place in enumerate(places):
            if place < markers:
                own[place].append(column)
        with_first, with_second = ([place for place in range(markers) if len(own[place]) > n] for n in (0, 1))
        return MarkerColumns(
            markers,
            _indices(with_first),
            _indices([own[place][0] for place in with_first]),
            _indices(with_second),
            _indices([own[place][1] for place in with_second]),
            tuple((place, column) for place in with_second for column in own[place][2:]),
        )

    def sums(self, of_columns: FloatArray) -> FloatArray:
        """(..., columns) -> (..., markers); 0 for a marker without a column."""
        found = np.empty((*of_columns.shape[:-1], self.markers))
        self.into(found, of_columns)
        return found

    def into(self, found: FloatArray, of_columns: FloatArray) -> None:
        """A few long sums, rather than one a column: this is half the work of explaining everybody."""
        if len(self.first) == self.markers:
            np.take(of_columns, self.first, axis=-1, out=found, mode="clip")  # or else numpy would go by a copy
        else:
            found[...] = 0.0
            found[..., self.with_first] = of_columns[..., self.first]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite stays so, and nobody is told
            found[..., self.with_second] += of_columns[..., self.second]
            for place, column in self.rest:
                found[..., place] += of_columns[..., column]


def _indices(places: list[int]) -> IndexArray:
    return np.array(places, dtype=np.intp)
