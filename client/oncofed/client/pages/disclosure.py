"""What may be told of a group of patients? Every figure of a group, on every page and in every export, is made here.

A reader must not learn anything of fewer than `floor` patients: not from a figure, not from the difference of two
(between tumours, markers, pages, two versions of the table), not from any system of them. The rules:

1. Patients belong to *units*: each tumour with at least `crowd` (twice the floor) patients, and one of all the rest,
   which is left out of every figure where it has fewer than the floor. A figure is about one unit or about all of
   them.
2. How many patients a unit has, or how many events all have, is told rounded down to a multiple of the floor.
3. Of any other group, such as the patients with one value of a marker in a unit, no count is told. A figure of it is
   told when it has at least `crowd` patients; a value is shown for all units when it is shown for one of them.
4. A share of a group of at least `crowd` is told as a range (low, high] that is as wide as the floor's patients are.
5. A mean absolute contribution is rounded down to a multiple of what the floor's patients can move it by, and a
   patient's part of it is capped at what the floor's largest of all are on average.
6. A middle or a quantile has at least `floor` patients on either side, and is rounded to a public step: it is no
   patient's value. It is no mean of neighbours, either: where values repeat, such a mean would count them.
7. A curve is told at times of a public axis, each after at least `floor` more events, and with at least `crowd` under
   observation. Between them it is drawn straight, so that no step is anybody's.

**What follows.** Take any set S of values of one marker in some units that in truth fewer than `floor` (f) patients
have (for instance "smokers with skin cancer", or a complement of it). The counts that agree with all that is told
take at least f values on S, so that "fewer than f" is all that a reader knows:

- *One unit*, n of it, told as r <= n < r + f. Its values are told as ranges (a share, rule 4), as "at least 2f" (rule
  3), or not; what is not told is below 2f. S holds none of the first two kinds, as each of those has at least 2f (a
  share's lowest range reaches from 0 to at least f, and then S may be anything in it). Its count is at most min(2f -
  1, what is left). If what is left may be 2f - 1 or more, it goes from at most f - 1 up to 2f - 1. Else every value
  that is told may be larger than its lower end by f - 1, so nothing need be left: S may be 0; and as r and lower ends
  are multiples of f, what is left reaches f - 1. Either way there are at least f counts. Of shares the same: each is
  strictly above its lower end, so the lower ends, multiples of a width of at least f patients, add up to one width
  less than 1 at most.
- *Several units*: of all together nothing more is told of a value than that some unit shows it (rule 3), and the sum
  of the units' counts. A sum of values below 2f that are not told, one in each of several units, is at most the sum
  of what each may be and at least the sum of what each must be, so it takes no fewer counts than the widest of them.
- *Differences of figures* are of units: all minus some leaves other units, of f or more (rule 1), because everybody
  is a union of units. A mean is a count of steps like rule 2: patients that fewer than f have make less than one step
  of it.
- *Two versions* of the table (`published`): a unit is the same in both or differs from each earlier one in at
  least f patients.

What is not claimed: that a reader who knows from elsewhere how all but one of a group are learns nothing of the last.
Only noise promises that; what leaves a hospital has it, and these pages leave nowhere.

Sources: Hundepool et al., Statistical Disclosure Control (Wiley 2012), chapters 4 and 5: complementary suppression,
rounding, microaggregation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_WIDTHS = (0.05, 0.1, 0.25, 0.5)
"""Of a share's range; the narrowest that holds the floor's patients."""
NINE_IN_TEN, EIGHT_IN_TEN, HALF = "nine in ten", "eight in ten", "half"
_TAILS = ((0.05, NINE_IN_TEN), (0.1, EIGHT_IN_TEN), (0.25, HALF))
_PER_SCALE = 10
LOG_RATIO_STEP = 0.02
"""Of a log hazard ratio of a group."""
_SHARE_DIGITS = 2


@dataclass(frozen=True)
class Share:
    """More than low and at most high, both in [0, 1]."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = (round(100 * each) for each in (self.low, self.high))
        percent = "\N{NO-BREAK SPACE}%"
        if low == 0:
            return f"at most {high}{percent}"
        return f"more than {low}{percent}" if high == 100 else f"{low} to {high}{percent}"


@dataclass(frozen=True)
class Spread:
    """Where most of a group lie. holds: how many of them, such as "eight in ten"."""

    low: float
    high: float
    holds: str


@dataclass(frozen=True)
class Disclosure:
    """The rules, for one floor. Counts are whole patients; arrays have one entry for each patient of a group."""

    floor: int

    @property
    def crowd(self) -> int:
        """The fewest patients of whom a figure is told."""
        return 2 * self.floor

    def told(self, patients: int) -> bool:
        """Whether anything is told of a group of so many."""
        return patients >= self.crowd

    def count(self, number: int) -> int:
        """At least so many: rounded down, so 0 stands for fewer than the floor."""
        return number // self.floor * self.floor

    def share(self, number: int, of: int) -> Share | None:
        """How many of a group; None where the group is too small for a range that is narrower than all of it."""
        width = next((width for width in _WIDTHS if width * of >= self.floor), None)
        if width is None:
            return None
        # Just above a bound it is the range above, at it the range below: no share is ever known exactly.
        above = max(math.ceil(round(number / of / width, 9)) - 1, 0)
        return Share(above * width, (above + 1) * width)

    def middle(self, values: FloatArray, *, step: float) -> float:
        """The median, on the step. Of a group that is told."""
        assert self.told(len(values))
        return on_step(float(np.sort(values)[(len(values) - 1) // 2]), step)

    def spread(self, values: FloatArray, *, widest: float, step: float) -> Spread | None:
        """The outermost limits, no further than `widest` from the ends, that have the floor outside; None if none."""
        for tail, holds in _TAILS:
            outside = math.ceil(round(tail * len(values), 9))
            if tail >= widest and outside >= self.floor:
                ordered = np.sort(values)
                low, high = (on_step(float(ordered[at]), step) for at in (outside - 1, -outside))
                return Spread(low, high, holds)
        return None

    @property
    def fewest_spread(self) -> int:
        """The fewest values of which any spread is told."""
        return math.ceil(self.floor / _TAILS[-1][0])

    def tops(self, absolute: FloatArray) -> FloatArray:
        """(patients, sources), of all units together, to (sources,): the mean of the floor's largest of each."""
        if len(absolute) < self.floor:
            return np.zeros(absolute.shape[1])
        largest = np.partition(absolute, len(absolute) - self.floor, axis=0)[len(absolute) - self.floor :]
        found: FloatArray = largest.mean(axis=0)
        return found

    def means(self, absolute: FloatArray, tops: FloatArray) -> FloatArray:
        """(patients, sources) to (sources,): capped means, rounded down; 0 for what fewer than the floor make."""
        if not self.told(len(absolute)):
            return np.zeros(absolute.shape[1])
        step = tops * self.floor / self.count(len(absolute))
        mean = np.minimum(absolute, tops).mean(axis=0)
        steps = np.floor(np.divide(mean, step, out=np.zeros_like(mean), where=step > 0) * (1 + 1e-12))
        return np.asarray(steps * step, dtype=np.float64)

    def moments(self, events: IntArray, at_risk: FloatArray) -> IntArray:
        """At which of a public axis' times a curve is told: see rule 7.

        events   (times,), how many have had one by then. at_risk: (times,), under observation just before.
        """
        enough = np.flatnonzero(at_risk >= self.crowd)
        found: list[int] = []
        told = 0
        for place in enough.tolist():
            if found and at_risk[found[-1] : place].min() < self.crowd:
                break  # what was interrupted is not taken up again
            if (not found and int(events[place]) == 0) or int(events[place]) - told >= self.floor:
                found.append(place)
                told = int(events[place])
        return np.array(found, dtype=np.intp)


def on_step(value: float, step: float) -> float:
    """The nearest multiple; 0 where there is no step."""
    return round(round(value / step) * step, 12) + 0.0 if step > 0 else 0.0


def step_of(scale: float) -> float:
    """A tenth of a public scale at most, and more than a twenty-fifth: 1, 2 or 5 of a power of ten; 0 of none."""
    if not scale > 0:
        return 0.0
    wanted = scale / _PER_SCALE
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= wanted * (1 + 1e-9))


def survival(values: FloatArray) -> FloatArray:
    """Shares of a curve, in whole per cent."""
    return np.round(values, _SHARE_DIGITS)
