"""To which unit of the pages' figures does each patient belong: a tumour with enough patients, or the rest?

All patients together are the units together, so no difference between a tumour's page and everybody's is anybody else.
A unit is made of the *batches* in which its patients were published: its numbers are the sums of theirs, so no
difference between two versions is anything but a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure
from oncofed.cohort.cohort import Cohort

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

REST = -1


@dataclass(frozen=True, eq=False)
class Units:
    """Patients of whom figures are told.

    of     (patients,), the number of a tumour entity, or REST.
    batch  (patients,), the version in which each was published first.
    """

    cohort: Cohort
    of: IntArray
    batch: IntArray

    def __post_init__(self) -> None:
        assert len(self.of) == len(self.batch) == len(self.cohort)

    def numbers(self) -> tuple[int, ...]:
        """Of the tumours, by the schema's order."""
        return tuple(int(each) for each in np.unique(self.of) if each != REST)

    @cached_property
    def strata(self) -> IntArray:
        """(patients,): equal for patients of one unit and one batch."""
        _, found = np.unique(np.stack([self.of, self.batch]), axis=1, return_inverse=True)
        return np.asarray(found, dtype=np.intp).reshape(-1)


def units_of(cohort: Cohort, disclosure: Disclosure) -> Units:
    """As the table is now. A rest of fewer than the floor is in no figure, and not here."""
    unit = unit_of_each(cohort, disclosure)
    few = int((unit == REST).sum()) < disclosure.floor
    kept = np.flatnonzero((unit != REST) | (not few))
    return Units(cohort.subset(kept), unit[kept], np.zeros(len(kept), dtype=np.intp))


def unit_of_each(cohort: Cohort, disclosure: Disclosure) -> IntArray:
    """(patients,)"""
    unit = np.full(len(cohort), REST, dtype=np.intp)
    values = entity_of_each(cohort)
    for number in np.unique(values[~np.isnan(values)]):
        rows = values == number
        if disclosure.told(int(rows.sum())):
            unit[rows] = int(number)
    return unit


def entity_of_each(cohort: Cohort) -> FloatArray:
    """(patients,), NaN where it is not known or the schema names none."""
    name = cohort.schema.tumour_entity
    return np.full(len(cohort), np.nan) if name is None else cohort.marker_values(name)
