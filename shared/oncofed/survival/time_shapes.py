"""By which public functions of time may a tumour entity's hazard run otherwise than the others'?

log(t / centre), at the middle of each interval, and its square, each over its largest size on the grid: an entity's
patients may die earlier or later than others, and both or neither. Few functions, since each costs a number an entity.
Both are 0 at the centre, which is the middle of an interval: there log hazard ratios are what they are without time
shapes. None is above 1 anywhere, so that of a patient's clip norm an early death takes no more for the shapes than the
public weight asks for. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from oncofed.cohort.schema import TimeUnit
from oncofed.survival.grid import FloatArray, TimeGrid

CENTRE_MONTHS = 24.0
"""Two years, about: what most studies of cancer ask about."""
_IN_A_MONTH = {TimeUnit.DAYS: 30.4375, TimeUnit.WEEKS: 4.348, TimeUnit.MONTHS: 1.0, TimeUnit.YEARS: 1 / 12}


@dataclass(frozen=True)
class TimeShapes:
    """What a plan says of them. Every number is public.

    functions       1: log(t / centre). 2: its square, too.
    centre          the time, in the grid's unit, at which both are 0.
    weight          public multiplier of what is learned of them.
    entity_columns  the model's columns of the tumour entity's categories after the reference one.
    """

    functions: int
    centre: float
    weight: float
    entity_columns: tuple[int, ...]

    @property
    def entities(self) -> int:
        """The reference one and unknown ones together are the first."""
        return len(self.entity_columns) + 1

    def on(self, grid: TimeGrid) -> FloatArray:
        """(functions, intervals): at the middle of each interval."""
        logarithm = np.log((np.asarray(grid.bounds[:-1]) + np.asarray(grid.bounds[1:])) / 2 / self.centre)
        functions: FloatArray = np.stack([logarithm**power for power in range(1, self.functions + 1)])
        largest = np.abs(functions).max(axis=1, keepdims=True)
        return np.asarray(np.divide(functions, largest, out=np.zeros_like(functions), where=largest > 0))

    def faults(self, columns: int) -> tuple[str, ...]:
        """Why a model of so many columns cannot have them, in words."""
        if any(not 0 <= column < columns for column in self.entity_columns):
            return ("its time shapes look for tumour entities in columns that are not there",)
        return ()


def shape_centre(grid: TimeGrid) -> float:
    """The middle of the interval that holds two years, or half of the grid's time where that is sooner."""
    wanted = min(CENTRE_MONTHS * _IN_A_MONTH[TimeUnit(grid.unit)], grid.bounds[-1] / 2)
    begin, end = next((begin, end) for begin, end in pairwise(grid.bounds) if wanted <= end)
    return (begin + end) / 2
