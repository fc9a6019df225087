"""Is a delivered model still right here? What has come since a day, against what it expects.

Two questions, each with its own remedy. *Outcomes*: do more events come than expected, or fewer (`cusum`)? Then the
model is to be adjusted, or new treatments, another mix of patients or lost deaths are the reason. *Inputs*: do markers
come in another form than before (`input_drift`)? Then look at units and at the import first: a model cannot be right
about values that mean something else.

The allowance of one false signal in five years is for all sums together: of each endpoint there are two. Everything is
of this hospital, exact, for its own eyes, and nothing is charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.fit.calendar import Course, course_of
from oncofed.client.fit.cusum import RATIO, YEARS, Cusum, cusum, found_within, threshold_for
from oncofed.client.fit.input_drift import MarkerDrift, input_drift
from oncofed.cohort.cohort import Cohort

FloatArray = NDArray[np.float64]

ALLOWED = 1.0
"""False signals in YEARS years, of all sums together, on average."""
FOUND = 0.8
FEWEST_EXPECTED = 5.0
"""Events, in the whole time that was watched."""


@dataclass(frozen=True, eq=False)
class Watched:
    """One endpoint. sums: for more events, and for fewer; none where too few events are expected.

    found_months  in so many months FOUND of all changes to RATIO times the hazard are found; infinite if ever.
    """

    endpoint: str
    course: Course
    sums: tuple[Cusum, ...]
    found_months: float

    @property
    def signals(self) -> bool:
        return any(each.signals for each in self.sums)


@dataclass(frozen=True, eq=False)
class Drift:
    """patients_before, patients_since: by time zero, before the day and from then on, or of the last year if that is
    less. undated: whose time zero is not known, who are in nothing.
    """

    endpoints: tuple[Watched, ...]
    markers: tuple[MarkerDrift, ...]
    patients_before: int
    patients_since: int
    undated: int

    @property
    def found(self) -> bool:
        """Whether there is anything to look at."""
        return any(each.signals for each in self.endpoints) or any(each.drifted for each in self.markers)


def drift_of(
    cohort: Cohort,
    zero_days: FloatArray,
    log_hazard: FloatArray,
    *,
    deviations: Sequence[float],
    days_per_unit: float,
    start: float,
    end: float,
    rng: np.random.Generator,
) -> Drift:
    """
    zero_days   (patients,), ordinals; NaN where not known.
    log_hazard  (patients, endpoints, intervals), of whole intervals, as the pages show it.
    deviations  of the log of the level, one an endpoint: 0 where none was adopted.
    start, end  ordinals: what came after the one and until the other is watched.
    """
    known = np.flatnonzero(~np.isnan(zero_days))
    dated, zero = cohort.subset(known), zero_days[known]
    endpoints = range(len(cohort.schema.endpoints))
    courses = [
        course_of(
            zero_days=zero,
            entry=dated.entry[:, number],
            exit_=dated.exit[:, number],
            observed=dated.observed[:, number],
            hazard=np.exp(log_hazard[known, number]),
            grid=cohort.schema.grid,
            days_per_unit=days_per_unit,
            start=start,
            end=end,
        )
        for number in endpoints
    ]
    allowed = ALLOWED / (2 * len(courses))
    before, since = zero <= start, (zero > max(start, end - 365.25)) & (zero <= end)
    return Drift(
        endpoints=tuple(
            watched(cohort.schema.endpoints[number].name, course, allowed=allowed, deviation=deviation, rng=rng)
            for number, course, deviation in zip(endpoints, courses, deviations, strict=True)
        ),
        markers=input_drift(dated.values[before], dated.values[since], cohort.schema.markers),
        patients_before=int(before.sum()),
        patients_since=int(since.sum()),
        undated=len(cohort) - len(known),
    )


def watched(
    endpoint: str, course: Course, *, allowed: float, rng: np.random.Generator, deviation: float = 0.0
) -> Watched:
    """allowed: signals in YEARS years of each sum, where the model is right. deviation: as of `threshold_for`."""
    expected = float(course.expected[-1])
    if expected < FEWEST_EXPECTED:
        return Watched(endpoint, course, (), float("inf"))
    in_years = expected * YEARS / course.years
    thresholds = {
        ratio: threshold_for(in_years, ratio=ratio, allowed=allowed, rng=rng, deviation=deviation)
        for ratio in (RATIO, 1 / RATIO)
    }
    sums = tuple(cusum(course, ratio=ratio, threshold=threshold) for ratio, threshold in thresholds.items())
    within = found_within(FOUND, sums[0].threshold, ratio=RATIO, expected=in_years, rng=rng)
    return Watched(endpoint, course, sums, within / in_years * 12 * YEARS)
