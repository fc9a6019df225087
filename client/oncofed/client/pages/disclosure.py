"""What may be told of a group of patients? Every figure of a group, on every page and in every export, is made here.

A reader must not learn anything of fewer than `floor` patients: not from a figure, not from the difference of two
(between tumours, markers, pages, two versions of the table), not from any system of them. The rules:

1. Patients belong to *units*: each tumour with at least `crowd` (twice the floor) patients, and one of all the rest,
   which is left out of every figure where it has fewer than the floor. A figure is about one unit or about all. What
   a unit has been published in (`published`) are its *strata*, each with at least the crowd, the first rest the
   floor.
2. How many patients a stratum has, or how many events all have, is told rounded down to a multiple of the floor; of a
   unit and of all as the sum of the strata.
3. How many of a stratum have a value of a marker is told as a share at most: a range whose ends are multiples of what
   the floor's patients are of it, from 0 where few have it, else from at least one such multiple below the truth. Of
   a unit and of all it is made of these.
4. A figure of patients with one value, or in a bin of values, is told of at least `crowd` patients; of a value where
   one stratum has as many.
5. How strong a marker is, is made for a marker of few values from shares (3) and figures (4). For one of many values
   it is a mean absolute contribution, told as a multiple of what the floor's patients can move it by, strictly below
   what it is unless it is 0, each patient's part capped at what the floor's largest of all are on average.
6. A middle or a quantile has at least `floor` patients on either side, and is rounded to a public step: it is no
   patient's value. It is no mean of neighbours, either: where values repeat, such a mean would count them.
7. Whatever is said of outcomes (curves, medians, limits, how the model fits) follows from parts that do not overlap
   (`outcome_parts`): of how many patients a part has, how many had an event by a time of a public axis and how many
   were under observation then, each rounded down to a multiple of the floor; and of the part's middle predicted risk
   (6). So each of those numbers, and by how much another version's differs, agrees with `floor` counts or more.
8. Words about a direction are made from middles that are told.
9. An adjustment that the hospital adopts (`client.fit.judging`) is one level and one slope of those set aside. The
   level follows from the told number of events (2) and, on a step as coarse, from how many were expected; the slope is
   on a step by which the floor's events, of patients at the usual distance from the middle risk, move it.

10. What a regression over patients says of one who is none of them (`next_measurement`) is a weighted sum of theirs
   in which half a crowd or more have a part (the squares of the weights add up to 1 / floor at most), with one
   coefficient for each crowd of patients at most. Of what comes of it, ranges and means are told by rules 5 and 6.

**What follows.** Let n be the patients of a stratum, told as r <= n < r + f, f the floor, and S be those of them who
have a value of a marker, or one of several, or none that is known; in truth fewer than f. Then at least f counts of S
agree with everything that is told of the stratum:

- S may be 0. All others together are more than n - f, so the upper ends of their shares, multiples of f n / r, add up
  to more than n - f n / r, and to n at least.
- S may be f - 1 or more. The share of its values reaches to f n / r at least, and none of them is told by rule 4. Any
  other value may be as few as its lower end, which lies below the truth by f n / r or more, if it is not 0; or as 2f,
  where rule 4 tells it. If one of them can be fewer by f, those can be in S. If none can, they are 2f or nothing
  each, so that their sum is a multiple of f and at most r, and n may be r + f - 1.
- Of a unit and of all nothing is told of a value but what follows from the strata (2 to 5). So what several strata
  have of it is known as the sum of what is known of each, and takes no fewer counts than in the widest of them.
- Differences of figures of many values are of units or batches: all minus some leaves others, of f or more (1),
  because everybody is a union of them. What fewer than f make of a mean is less than a step of it.

`tests/privacy/test_disclosure.py` asks an integer solver for those counts, over random tables and their next
versions.

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

from oncofed.words.language import ENGLISH, Language, later

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

_NARROWEST, _WIDEST = 0.05, 0.9
"""Of a share's range."""
NINE_IN_TEN, EIGHT_IN_TEN, HALF = later("nine in ten"), later("eight in ten"), later("half")
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
        return self.words()

    def words(self, say: Language = ENGLISH) -> str:
        """In whole per cent."""
        low, high = (round(100 * each) for each in (self.low, self.high))
        percent = "\N{NO-BREAK SPACE}%"
        if low == 0:
            return say("at most %(share)s", share=f"{high}{percent}")
        if high == 100:
            return say("more than %(share)s", share=f"{low}{percent}")
        return say("%(low)s to %(high)s", low=low, high=f"{high}{percent}")


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

    def count_of_strata(self, strata: IntArray) -> int:
        """Of one stratum or several: what is told of each alone."""
        return sum(self.count(int(number)) for number in np.unique(strata, return_counts=True)[1])

    def share(self, number: int, of: int) -> Share:
        """How many of a stratum, measured or not: between multiples of what the floor's patients are of it."""
        told = self.count(of)
        each = max(1, math.ceil(_NARROWEST * told / self.floor)) * self.floor
        # Just above a multiple it is the range above, at it the one below: that all have it is never told.
        above = max(math.ceil(round(number / of * told / each, 9)) - 1, 0)
        return Share(max(above - 1, 0) * each / told, min((above + 1) * each / told, 1.0))

    def share_of_strata(self, having: BoolArray, strata: IntArray) -> Share | None:
        """Of one stratum or several, from what is told of each alone; None where that says nothing.

        having, strata  (patients,)
        """
        sizes = np.bincount(strata)
        present = np.flatnonzero(sizes)
        among = np.bincount(strata[having], minlength=len(sizes))[present].tolist()
        patients = sizes[present].tolist()
        weights = [self.count(each) for each in patients]
        if not sum(weights):
            return None
        shares = [self.share(number, of) for number, of in zip(among, patients, strict=True)]
        low, high = (
            sum(weight * limit for weight, limit in zip(weights, limits, strict=True)) / sum(weights)
            for limits in ([share.low for share in shares], [share.high for share in shares])
        )
        return Share(low, high) if high - low < _WIDEST else None

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
        # Of exactly so many steps, one fewer: as for a share, that all have it is not told from that nearly all do.
        steps = np.ceil(np.divide(mean, step, out=np.zeros_like(mean), where=step > 0) * (1 - 1e-12)) - 1
        steps = np.maximum(steps, 0)
        return np.asarray(steps * step, dtype=np.float64)


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
