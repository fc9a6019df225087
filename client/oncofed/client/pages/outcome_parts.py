"""Into which parts are patients put for figures of what became of them, and what is told of a part?

Every figure of outcomes, of all, of a tumour, of a third of the risk, of similar patients, and how the model fits, is
made of what is told of parts, and of nothing else. A part tells how many patients it has, how many of them had an event
by each time of a public axis, how many another one that competes with it, where the schema has any, and how many were
under observation then: rounded down to a multiple of the floor, each.
So with one version or two nothing is told of outcomes but such numbers, and each agrees with as many counts as the
floor has patients.

Parts do not overlap. A unit's patients are put in the order of their risk and cut into thirds, and a third into groups
of about equal risk (microaggregation along one value: Domingo-Ferrer and Mateo-Sanz, IEEE TKDE 14 (2002)). Where
enough of a unit were set aside from training, they and the others are cut apart, so that how the model fits can be
told of those whom it has not seen. Units too small for thirds are put together. How large each part is follows from
the told number of patients, and of those set aside: were it cut from the exact one, sizes of three parts would give
that away. Of the others so many are told as there are at least by these two numbers; were they counted and rounded
too, the three would say more of each than one does. Whoever is left over when numbers are rounded is in the last; what
is told of a part is never more than its told number of patients, or it would tell of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import LOG_RATIO_STEP, Disclosure
from oncofed.client.pages.units import Units
from oncofed.survival.grid import TimeGrid
from oncofed.words.language import later

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

TOGETHER = -2
"""Whose part it is, where that is several units'."""
THIRDS = (later("low risk"), later("middle risk"), later("high risk"))
MOST = 50
_MOST_TICKS = 12


@dataclass(frozen=True, eq=False)
class Part:
    """unit, third, patients, log_hazard_ratio (the middle one), events, at_risk and competing are told; rows are not.

    unit     its number, or TOGETHER. third: place in THIRDS, of the unit's risk.
    unseen   whether all of them were set aside from training.
    events   (times,), how many have had one by then. at_risk: (times,), under observation just before.
    competing  (times,), how many have had another event by then, which rules this one out.
    rows     of the published patients.
    """

    unit: int
    third: int
    unseen: bool
    patients: int
    log_hazard_ratio: float
    events: IntArray
    at_risk: IntArray
    competing: IntArray
    rows: IntArray


def told_times(grid: TimeGrid) -> tuple[float, ...]:
    """What a time axis says: from 0 to the last bound, in steps that people use."""
    last = grid.bounds[-1]
    step = next((each for each in (1, 2, 3, 6, 12, 24, 60, 120) if last / each <= _MOST_TICKS), last / 10)
    return tuple(np.arange(0, last * (1 + 1e-9), step).tolist())


def public_axis(grid: TimeGrid) -> FloatArray:
    """Times at which parts are counted: what an axis says, and the model's intervals."""
    return np.unique(np.round([*told_times(grid), *grid.bounds], 9))


def parts_of(
    units: Units,
    ratio: FloatArray,
    *,
    set_aside: BoolArray,
    endpoint: int,
    grid: TimeGrid,
    disclosure: Disclosure,
) -> tuple[Part, ...]:
    """Of one endpoint. ratio: (published patients,), its log hazard ratios. set_aside: from training."""
    found: list[Part] = []
    axis, floor = public_axis(grid), disclosure.floor
    for unit, unseen, members, tens in _large_enough(units, set_aside, disclosure):
        order = members[np.argsort(ratio[members], kind="stable")]
        fewest = max(2, min(MOST // floor, tens // 4))
        for third, (rows, tens_in_third) in enumerate(_cut(order, _equal(tens, len(THIRDS)), floor)):
            for group, size in _of_equal_risk(rows, tens_in_third, fewest=fewest, floor=floor):
                events, at_risk, competing = _counted(units, group, endpoint=endpoint, grid=grid, axis=axis)
                found.append(
                    Part(
                        unit=unit,
                        third=third,
                        unseen=unseen,
                        patients=size * floor,
                        log_hazard_ratio=disclosure.middle(ratio[group], step=LOG_RATIO_STEP),
                        events=np.minimum(events // floor, size) * floor,
                        at_risk=np.minimum(at_risk // floor, size) * floor,
                        competing=np.minimum(competing // floor, size) * floor,
                        rows=group,
                    )
                )
    return tuple(found)


def fewest_for_parts(disclosure: Disclosure) -> int:
    """Patients, as told, below which a unit has no thirds of its own."""
    return len(THIRDS) * disclosure.crowd


def _large_enough(units: Units, set_aside: BoolArray, disclosure: Disclosure) -> list[tuple[int, bool, IntArray, int]]:
    """Unit, whether set aside, its patients, and how many multiples of the floor are told of them."""
    needed = fewest_for_parts(disclosure)

    def told(rows: BoolArray) -> int:
        return disclosure.count_of_strata(units.strata[rows])

    found, small = [], np.zeros(len(units.of), dtype=np.bool_)
    for unit in np.unique(units.of).tolist():
        rows = units.of == unit
        # As many fewer than the rest of what is told as the rounding of those set aside may hide, in each stratum.
        aside, strata = told(rows & set_aside), len(np.unique(units.strata[rows & set_aside]))
        others = told(rows) - aside - strata * disclosure.floor
        if told(rows) < needed:
            small |= rows
        elif min(aside, others) < needed:
            found.append((unit, False, rows, told(rows)))
        else:
            found += [(unit, True, rows & set_aside, aside), (unit, False, rows & ~set_aside, others)]
    if told(small) >= needed:
        found.append((TOGETHER, False, small, told(small)))
    return [(unit, unseen, np.flatnonzero(rows), number // disclosure.floor) for unit, unseen, rows, number in found]


def _equal(tens: int, pieces: int) -> list[int]:
    return [tens // pieces + (place < tens % pieces) for place in range(pieces)]


def _cut(order: IntArray, sizes: list[int], floor: int) -> list[tuple[IntArray, int]]:
    """So many multiples of the floor each; the last has whoever is left over, too."""
    ends = [0, *(np.cumsum(sizes)[:-1] * floor).tolist(), len(order)]
    return [(order[ends[place] : ends[place + 1]], size) for place, size in enumerate(sizes)]


def _of_equal_risk(rows: IntArray, tens: int, *, fewest: int, floor: int) -> list[tuple[IntArray, int]]:
    """Groups of at least `fewest` multiples of the floor. rows: in the order of their risk."""
    if tens < 2 * fewest:
        return [(rows, tens)]
    halves = _cut(rows, _equal(tens, 2), floor)
    return [group for half, size in halves for group in _of_equal_risk(half, size, fewest=fewest, floor=floor)]


def _counted(
    units: Units, rows: IntArray, *, endpoint: int, grid: TimeGrid, axis: FloatArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Events, patients under observation, and competing events."""
    cohort = units.cohort
    entry, exit_ = cohort.entry[rows, endpoint], cohort.exit[rows, endpoint]
    inside = exit_ <= grid.bounds[-1]
    observed = cohort.observed[rows, endpoint] & inside
    rivals = list(cohort.schema.competing(endpoint))
    rival = cohort.observed[rows][:, rivals].any(axis=1) & inside
    entered = (entry[None, :] < axis[:, None]) | (entry[None, :] == 0)
    at_risk = (entered & (exit_[None, :] >= axis[:, None])).sum(axis=1)
    by_then = exit_[None, :] <= axis[:, None]
    events, competing = ((each[None, :] & by_then).sum(axis=1) for each in (observed, rival))
    return events.astype(np.intp), at_risk.astype(np.intp), competing.astype(np.intp)
