"""To which unit of the pages' figures does each patient belong: a tumour with enough patients, or the rest?

All patients together are the units together, so no difference between a tumour's page and everybody's is anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.cohort.cohort import Cohort

IntArray = NDArray[np.intp]

REST = -1


@dataclass(frozen=True, eq=False)
class Units:
    """Patients of whom figures are told, and the unit of each: the number of a tumour entity, or REST."""

    cohort: Cohort
    of: IntArray

    def __post_init__(self) -> None:
        assert len(self.of) == len(self.cohort)

    def numbers(self) -> tuple[int, ...]:
        """Of the tumours, by the schema's order."""
        return tuple(int(each) for each in np.unique(self.of) if each != REST)


def units_of(cohort: Cohort, disclosure: Disclosure) -> Units:
    """As the table is now. A rest of fewer than the floor is in no figure, and not here."""
    unit = unit_of_each(cohort, disclosure)
    few = int((unit == REST).sum()) < disclosure.floor
    kept = np.flatnonzero((unit != REST) | (not few))
    return Units(cohort.subset(kept), unit[kept])


def unit_of_each(cohort: Cohort, disclosure: Disclosure) -> IntArray:
    """(patients,)"""
    unit = np.full(len(cohort), REST, dtype=np.intp)
    name = cohort.schema.tumour_entity
    if name is None:
        return unit
    values = cohort.marker_values(name)
    for number in np.unique(values[~np.isnan(values)]):
        rows = values == number
        if disclosure.told(int(rows.sum())):
            unit[rows] = int(number)
    return unit
