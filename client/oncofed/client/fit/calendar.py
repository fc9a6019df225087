"""How many events came by each day, and how many does the model expect by then?

A patient's hazard is constant in each interval of the grid and while under observation, so what is expected of all
patients together rises evenly between days on which somebody enters, leaves, or goes on to the next interval. It is
therefore exact on every day, whatever the censoring and however late a patient entered; observed minus expected is a
martingale. Follow-up beyond the grid's last bound is cut there, as everywhere.

Source: Andersen, Borgan, Gill and Keiding, Statistical Models Based on Counting Processes (1993), chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Month:
    """A calendar month, or what of it was watched. begin: its first day that counts."""

    begin: date
    observed: int
    expected: float


@dataclass(frozen=True, eq=False)
class Course:
    """Events of some patients after the day `start` and until the day `end`, both as ordinals.

    event_days  (events,), rising; a part of a day is one.
    days        (knots,), rising, from start to end. expected: (knots,), events since start, even between knots.
    """

    start: float
    end: float
    event_days: FloatArray
    days: FloatArray
    expected: FloatArray

    @property
    def observed(self) -> int:
        return len(self.event_days)

    @property
    def years(self) -> float:
        return (self.end - self.start) / 365.25

    def expected_by(self, days: FloatArray) -> FloatArray:
        """Since start."""
        return np.interp(days, self.days, self.expected)

    def day_of(self, expected: float) -> float:
        """The first day by which so many were expected."""
        after = int(np.searchsorted(self.expected, expected, side="left"))
        if after == 0:
            return self.start
        if after == len(self.expected):
            return self.end
        rise = float(self.expected[after] - self.expected[after - 1])
        share = (expected - float(self.expected[after - 1])) / rise
        return float(self.days[after - 1] + share * (self.days[after] - self.days[after - 1]))

    def months(self) -> tuple[Month, ...]:
        """By calendar month."""
        bounds = [
            self.start,
            *(day for day in _month_ends(self.start, self.end) if self.start < day < self.end),
            self.end,
        ]
        expected = self.expected_by(np.array(bounds))
        counts = np.searchsorted(self.event_days, bounds, side="right")
        return tuple(
            Month(date.fromordinal(int(low) + 1), int(after - before), float(rise))
            for (low, _), (before, after), rise in zip(
                pairwise(bounds), pairwise(counts.tolist()), np.diff(expected).tolist(), strict=True
            )
        )


def course_of(
    *,
    zero_days: FloatArray,
    entry: FloatArray,
    exit_: FloatArray,
    observed: NDArray[np.bool_],
    hazard: FloatArray,
    grid: TimeGrid,
    days_per_unit: float,
    start: float,
    end: float,
) -> Course:
    """
    zero_days            (patients,), the ordinal of each one's time zero.
    entry, exit_         (patients,), in the grid's unit. observed: whether follow-up ended with the event.
    hazard               (patients, intervals), events expected in a whole interval: exp(b_k + f).
    start, end           ordinals; what happened until the start, or after the end, does not count.
    """
    bounds = np.asarray(grid.bounds)
    low = np.maximum(entry[:, None], bounds[:-1])
    high = np.maximum(np.minimum(exit_[:, None], bounds[1:]), low)
    begin = np.clip(zero_days[:, None] + days_per_unit * low, start, end)
    stop = np.clip(zero_days[:, None] + days_per_unit * high, start, end)
    rate = hazard / (grid.widths * days_per_unit)
    watched = stop > begin
    steps = np.concatenate(([start, end], begin[watched], stop[watched]))
    changes = np.concatenate(([0.0, 0.0], rate[watched], -rate[watched]))
    order = np.argsort(steps, kind="stable")
    days = steps[order]
    rates = np.maximum(np.cumsum(changes[order])[:-1], 0.0)
    expected = np.concatenate(([0.0], np.cumsum(rates * np.diff(days))))
    event_days = zero_days + days_per_unit * exit_
    counts = observed & (exit_ <= bounds[-1]) & (event_days > start) & (event_days <= end)
    return Course(start, end, np.sort(event_days[counts]), days, expected)


def _month_ends(start: float, end: float) -> list[float]:
    """The last days of months, from before start to after end."""
    first, last = date.fromordinal(int(start)), date.fromordinal(int(end))
    months = range(first.year * 12 + first.month, last.year * 12 + last.month + 1)
    return [float(date(month // 12, month % 12 + 1, 1).toordinal() - 1) for month in months]
