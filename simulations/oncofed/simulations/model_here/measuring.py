"""How often is the degree of an adjustment right, how often do the figures hold the truth, how soon is a change found?

Truth comes from `true_hospital`; what is judged is `oncofed.client.fit` as a node uses it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.fit.before_after import Predicted, adjustment, before_and_after
from oncofed.client.fit.calendar import Course, course_of
from oncofed.client.fit.closed_testing import AS_RELEASED, Degree, LevelAndSlope, Outcomes, choose
from oncofed.client.fit.cusum import RATIO, YEARS, cusum, threshold_for
from oncofed.client.fit.told_adjustment import as_told
from oncofed.simulations.model_here.true_hospital import DAYS_A_MONTH, DAYS_A_YEAR, GRID, Patients, TrueHospital

FloatArray = NDArray[np.float64]

_BEGIN = 730_000.0
"""An ordinal: where the calendar of a simulation begins."""
_FILLING_YEARS = 6.0
"""Before anything is watched, so that as many leave follow-up as come."""
_FRESH = 20_000
SMALLEST_GROUP = 10
"""Of the policy that a new node begins with."""


def predicted(hospital: TrueHospital, found: Patients) -> Predicted:
    """By the model as released, which knows nothing of level and slope here."""
    return Predicted(
        found.log_hazard_ratio,
        np.tile(hospital.log_baseline_hazard, (len(found.exit), 1)),
        GRID.events(found.exit, found.observed),
        GRID.at_risk(found.entry, found.exit),
    )


def set_aside(hospital: TrueHospital, patients: int, rng: np.random.Generator) -> Patients:
    """So many patients of the last five years."""
    cut = _BEGIN + 5 * DAYS_A_YEAR
    found = hospital.patients(rng, patients, first_day=_BEGIN, cut=cut)
    return found.rows(rng.permutation(len(found.exit))[:patients])


def degrees(hospital: TrueHospital, *, patients: int, repeats: int, rng: np.random.Generator) -> Counter[Degree]:
    """How often the closed test chooses what."""
    return Counter(
        choose([predicted(hospital, set_aside(hospital, patients, rng)).outcomes]).degree for _ in range(repeats)
    )


@dataclass(frozen=True)
class Coverage:
    """Of repeats: in how many the 95 % limits of observed over expected, and of the slope, held the truth."""

    repeats: int
    events: float
    ratio_before: int
    slope_before: int
    ratio_after: int
    slope_after: int
    left_over: float
    """Middle distance of the model's true log ratio from 0, as pages show it: adopted on its steps, or as released."""


def coverage(hospital: TrueHospital, *, patients: int, repeats: int, rng: np.random.Generator) -> Coverage:
    """Before: of the model as released. After: of what is adopted, in new patients of this hospital."""
    fresh = hospital.patients(rng, _FRESH / 5, first_day=_BEGIN, cut=_BEGIN + 5 * DAYS_A_YEAR)
    of_fresh = predicted(hospital, fresh)
    true_events = float((of_fresh.at_risk * hospital.true_hazard(fresh)).sum())
    held, events, off = np.zeros(4, dtype=int), 0, []
    for _ in range(repeats):
        here = predicted(hospital, set_aside(hospital, patients, rng))
        found = before_and_after([here], rng)
        events += int(here.events.sum())
        by = adjustment(here.outcomes, found.choice.degree)
        truths = (
            true_events / float(of_fresh.expected.sum()),
            hospital.slope,
            true_events / float(of_fresh.adjusted(by).expected.sum()),
            hospital.slope / by.slope,
        )
        limits = (
            found.before[0].whole.interval(),
            (found.before[0].slope_low, found.before[0].slope_high),
            found.after[0].whole.interval(),
            (found.after[0].slope_low, found.after[0].slope_high),
        )
        held += [low <= truth <= high for truth, (low, high) in zip(truths, limits, strict=True)]
        shown = _as_pages_show(here.outcomes, found.choice.degree)
        off.append(abs(np.log(true_events / float(of_fresh.adjusted(shown).expected.sum()))))
    ratio_before, slope_before, ratio_after, slope_after = held.tolist()
    return Coverage(
        repeats=repeats,
        events=events / repeats,
        ratio_before=ratio_before,
        slope_before=slope_before,
        ratio_after=ratio_after,
        slope_after=slope_after,
        left_over=float(np.median(off)),
    )


def _as_pages_show(found: Outcomes, degree: Degree) -> LevelAndSlope:
    return as_told(found, degree, smallest_group=SMALLEST_GROUP) or AS_RELEASED


def course(
    hospital: TrueHospital, found: Patients, *, start: float, end: float, level: float = 1.0, slope: float = 1.0
) -> Course:
    """Against a model of which log hazard ratios are multiplied by slope, and hazards by level."""
    log_hazard = hospital.log_baseline_hazard + np.log(level) + slope * found.log_hazard_ratio[:, None]
    return course_of(
        zero_days=found.zero_days,
        entry=found.entry,
        exit_=found.exit,
        observed=found.observed,
        hazard=np.exp(log_hazard),
        grid=GRID,
        days_per_unit=DAYS_A_MONTH,
        start=start,
        end=end,
    )


@dataclass(frozen=True)
class Watching:
    """false_signals: of both sums in five years, on average. found: share of changes within six months.

    expected_a_year  events. thresholds  of the sum for more events, and for fewer.
    """

    repeats: int
    expected_a_year: float
    thresholds: tuple[float, float]
    false_signals: float
    found: float
    middle_months: float


def watching(
    hospital: TrueHospital,
    *,
    a_year: float,
    change: float,
    repeats: int,
    rng: np.random.Generator,
    allowed: float = 0.5,
) -> Watching:
    """Of a model that is right until, after two years, the hazard changes; and of one that stays right for five.

    a_year  patients who are diagnosed. allowed: signals of each sum in five years.
    """
    start = _BEGIN + _FILLING_YEARS * DAYS_A_YEAR
    five_years = start + YEARS * DAYS_A_YEAR
    right = [
        course(hospital, hospital.patients(rng, a_year, first_day=_BEGIN, cut=five_years), start=start, end=five_years)
        for _ in range(repeats)
    ]
    expected = float(right[0].expected[-1])
    higher, lower = (threshold_for(expected, ratio=each, allowed=allowed, rng=rng) for each in (RATIO, 1 / RATIO))
    false = [
        len(cusum(each, ratio=ratio, threshold=threshold).signals)
        for each in right
        for ratio, threshold in ((RATIO, higher), (1 / RATIO, lower))
    ]
    day = start + 2 * DAYS_A_YEAR
    ratio, threshold = (RATIO, higher) if change > 1 else (1 / RATIO, lower)
    delays = []
    for _ in range(repeats):
        end = day + DAYS_A_YEAR
        found = hospital.changed(day, change).patients(rng, a_year, first_day=_BEGIN, cut=end)
        signals = cusum(course(hospital, found, start=start, end=end), ratio=ratio, threshold=threshold).signals
        delays.append(min((each.day - day for each in signals if each.day > day), default=np.inf))
    return Watching(
        repeats=repeats,
        expected_a_year=expected / YEARS,
        thresholds=(higher, lower),
        false_signals=2 * float(np.mean(false)),
        found=float(np.mean(np.array(delays) <= DAYS_A_YEAR / 2)),
        middle_months=float(np.median(delays)) / DAYS_A_MONTH,
    )


@dataclass(frozen=True)
class AfterAdoption:
    """events: of those set aside, on average. false_signals: as in `Watching`, of the model as it was adopted.

    found, middle_months  as in `Watching`.
    as_if_known  the false signals of thresholds that take the adopted level for the true one.
    """

    events: float
    false_signals: float
    as_if_known: float
    found: float
    middle_months: float


def after_adoption(
    hospital: TrueHospital,
    *,
    patients: int,
    a_year: float,
    repeats: int,
    rng: np.random.Generator,
    allowed: float = 0.5,
) -> AfterAdoption:
    """Of a model whose level is adopted from so many patients set aside, and is watched for five years.

    Nothing changes in that time; all that is wrong is what so few patients could not tell. And of one whose patients'
    hazard becomes RATIO times as high after two years.
    """
    start = _BEGIN + _FILLING_YEARS * DAYS_A_YEAR
    end, day = start + YEARS * DAYS_A_YEAR, start + 2 * DAYS_A_YEAR
    known, told = list[float](), list[float]()
    events, false, delays = 0, [0, 0], []
    for _ in range(repeats):
        here = predicted(hospital, set_aside(hospital, patients, rng)).outcomes
        events += int(here.events.sum())
        by = adjustment(here, Degree.LEVEL)

        def watched(of: TrueHospital, end: float, level: float = float(np.exp(by.level))) -> Course:
            found = of.patients(rng, a_year, first_day=_BEGIN, cut=end)
            return course(of, found, start=start, end=end, level=level)

        right = watched(hospital, end)
        if not told:  # of one hospital for all, as they take seconds
            expected, deviation = float(right.expected[-1]), float(np.sqrt(by.covariance[0, 0]))
            for thresholds, off in ((known, 0.0), (told, deviation)):
                thresholds += [
                    threshold_for(expected, ratio=ratio, allowed=allowed, rng=rng, deviation=off)
                    for ratio in (RATIO, 1 / RATIO)
                ]
        for place, thresholds in enumerate((told, known)):
            for ratio, threshold in zip((RATIO, 1 / RATIO), thresholds, strict=True):
                false[place] += len(cusum(right, ratio=ratio, threshold=threshold).signals)
        later = watched(hospital.changed(day, RATIO), day + DAYS_A_YEAR)
        signals = cusum(later, ratio=RATIO, threshold=told[0]).signals
        delays.append(min((each.day - day for each in signals if each.day > day), default=np.inf))
    return AfterAdoption(
        events=events / repeats,
        false_signals=false[0] / repeats,
        as_if_known=false[1] / repeats,
        found=float(np.mean(np.array(delays) <= DAYS_A_YEAR / 2)),
        middle_months=float(np.median(delays)) / DAYS_A_MONTH,
    )
