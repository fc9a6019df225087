"""Are follow-up and its dates as they can be, and how much of it does the study's time grid see?

Each sign is about one endpoint: durations in another unit or beyond a life; who ended after dying; events after the
data cut; few early events where many were to be expected (left truncation that no column tells); and how many events
lie in each interval of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from scipy.stats import poisson

from oncofed.client.importing.column_names import Role, suggested
from oncofed.client.importing.outcomes import DAYS, LONGEST_YEARS
from oncofed.client.quality.content import TableContent
from oncofed.client.quality.findings import Finding, Level
from oncofed.cohort.schema import TimeUnit
from oncofed.survival.grid import TimeGrid
from oncofed.words.filled import Filled
from oncofed.words.language import later

_OLDEST_YEARS = 110.0
_FEWEST_PATIENTS, _FEWEST_EXPECTED = 20, 8.0
_UNLIKELY = 1e-4
_MANY_ALIKE = 0.2
"""Share of all events at one and the same time."""
_FALLS_SHORT = 5.0
"""A year is a gap that has less than one of so many of what other years have."""


@dataclass(frozen=True)
class EndpointTimes:
    """Of one endpoint, exact. Times in the grid's unit.

    events           all; inside: those not after the last bound. by_interval: of each interval, and those beyond.
    followed         how many have a follow-up that can be read; late: came under observation after time zero.
    median_entry     of those.
    """

    name: str
    followed: int
    events: int
    inside: int
    by_interval: tuple[int, ...]
    late: int
    median_entry: float
    longest: float


def endpoint_times(content: TableContent, number: int) -> EndpointTimes:
    grid = content.schema.grid
    exit_, observed, entry = content.exit[:, number], content.observed[:, number], content.entry[:, number]
    told = ~np.isnan(exit_) & (exit_ >= 0)
    late = told & (entry > 0)
    times = exit_[told & observed]
    within = np.searchsorted(grid.bounds[1:], times, side="left")  # (low, high]
    counts = np.bincount(within, minlength=grid.intervals + 1)
    return EndpointTimes(
        name=content.schema.endpoints[number].name,
        followed=int(told.sum()),
        events=len(times),
        inside=int((times <= grid.bounds[-1]).sum()),
        by_interval=tuple(int(count) for count in counts),
        late=int(late.sum()),
        median_entry=float(np.median(entry[late])) if late.any() else math.nan,
        longest=float(exit_[told].max()) if told.any() else math.nan,
    )


def interval_names(grid: TimeGrid) -> tuple[str, ...]:
    """Of each interval, and of what lies beyond."""
    bounds = [f"{bound:g}" for bound in grid.bounds]
    between = [
        Filled("%(begin)s to %(end)s %(unit)s", begin=low, end=high, unit=grid.unit) for low, high in pairwise(bounds)
    ]
    return (*between, Filled("after %(end)s %(unit)s", end=bounds[-1], unit=grid.unit))


def time_findings(content: TableContent, *, cut: date | None, today: date) -> Iterator[Finding]:
    """cut: the day after which nobody looked; None: not known, and then nothing may lie after `today`."""
    for number, endpoint in enumerate(content.schema.endpoints):
        about = Filled("endpoint %(name)s", name=f'"{endpoint.name}"')
        found = endpoint_times(content, number)
        yield from _durations(content, number, found, about)
        yield from _after_the_cut(content, number, about, cut=cut, today=today)
        yield from _truncation(content, number, found, about)
        yield from _in_grid(content, found, about)
    yield from _after_death(content)
    yield from _gaps(content)


def _durations(content: TableContent, number: int, found: EndpointTimes, about: str) -> Iterator[Finding]:
    grid, exit_ = content.schema.grid, content.exit[:, number]
    years = exit_ * DAYS[TimeUnit(grid.unit)] / DAYS[TimeUnit.YEARS]
    unit = Filled("The schema expects %(unit)s: look at the unit, and for swapped or made-up dates.", unit=grid.unit)
    if count := int((years > LONGEST_YEARS).sum()):
        what: str = Filled("followed for more than %(years)s years", years=f"{LONGEST_YEARS:g}")
        yield Finding(Level.SUSPECT, about, what, unit, count)
    if found.followed >= _FEWEST_PATIENTS and found.longest < grid.bounds[1]:
        what = Filled(
            "nobody is followed beyond the first interval, %(end)s %(unit)s",
            end=f"{grid.bounds[1]:g}",
            unit=grid.unit,
        )
        yield Finding(Level.SUSPECT, about, what, unit)
    if count := int((exit_ == 0).sum()):
        instead = content.schema.zero_time_becomes
        if instead is not None:
            what = Filled("follow-up is 0 and read as %(time)s %(unit)s", time=f"{instead:g}", unit=grid.unit)
            yield Finding(
                Level.NOTE, about, what, later("Is the day of the last contact that of time zero by default?"), count
            )
    times = exit_[content.observed[:, number] & ~np.isnan(exit_)]
    if len(times) >= _FEWEST_PATIENTS:
        counts = np.unique(times, return_counts=True)[1]
        most = int(counts.max())
        others = int(np.partition(counts, -2)[-2]) if len(counts) > 1 else 0
        if most > _MANY_ALIKE * len(times) and most > 3 * others:
            what = later("many events lie at one and the same time")
            yield Finding(
                Level.SUSPECT, about, what, later("Is that a date by default, such as the end of a study?"), most
            )
    for place, marker in enumerate(content.schema.markers):
        plain = marker.name.removesuffix("_years").replace("_", " ")
        if marker.unit == "years" and suggested(plain).role is Role.AGE:
            oldest = content.values[:, place] + years
            if count := int((oldest > _OLDEST_YEARS).sum()):
                what = Filled(
                    "was older than %(years)s years at the end of follow-up, by %(marker)s",
                    years=f"{_OLDEST_YEARS:g}",
                    marker=marker.name,
                )
                yield Finding(Level.SUSPECT, about, what, later("Look at the dates of birth and of follow-up."), count)


def _after_the_cut(
    content: TableContent, number: int, about: str, *, cut: date | None, today: date
) -> Iterator[Finding]:
    ends = content.zero_days + content.exit[:, number] * DAYS[TimeUnit(content.schema.grid.unit)]
    last = today if cut is None else cut
    late = ends > last.toordinal() + 1  # times are rounded
    observed = content.observed[:, number]
    remedy = "Look at these dates, or censor at the cut."
    if count := int((late & observed).sum()):
        yield Finding(Level.SUSPECT, about, _after(_EVENT_AFTER, cut), remedy, count)
    if count := int((late & ~observed).sum()):
        yield Finding(Level.SUSPECT, about, _after(_SEEN_AFTER, cut), remedy, count)


_EVENT_AFTER = (later("its event lies after today"), later("its event lies after the data cut, %(day)s"))
_SEEN_AFTER = (later("was seen after today"), later("was seen after the data cut, %(day)s"))


def _after(words: tuple[str, str], cut: date | None) -> str:
    return words[0] if cut is None else Filled(words[1], day=cut.isoformat())


def _truncation(content: TableContent, number: int, found: EndpointTimes, about: str) -> Iterator[Finding]:
    """Without a column that tells when observation began, patients who died before are not in the table."""
    endpoint, grid = content.schema.endpoints[number], content.schema.grid
    if endpoint.entry_column is not None:
        if found.late:
            share = found.late / max(found.followed, 1)
            what: str = Filled(
                "came under observation after time zero: %(share)s%% of all, in the middle after %(median)s %(unit)s, "
                "which the model takes into account",
                share=f"{100 * share:.0f}",
                median=f"{found.median_entry:.3g}",
                unit=grid.unit,
            )
            told = later("came under observation after time zero, which the model takes into account")
            yield Finding(Level.NOTE, about, what, count=found.late, told=told)
        else:
            what = later("nobody came under observation after time zero, by the column for it")
            yield Finding(Level.NOTE, about, what, told="")
        return
    yield from _early_events(content, number, about)


def _early_events(content: TableContent, number: int, about: str) -> Iterator[Finding]:
    """Fewer events in the first intervals than a constant hazard would have, beyond chance.

    Expected: events by person-time over the whole grid, times person-time in the interval. Most cancers kill faster at
    first, so falling short is a sign that patients had to survive until something: a sample, a referral.
    """
    grid, exit_, observed = content.schema.grid, content.exit[:, number], content.observed[:, number]
    told = ~np.isnan(exit_) & (exit_ >= 0)
    followed = np.minimum(exit_[told], grid.bounds[-1])
    inside = observed[told] & (exit_[told] <= grid.bounds[-1])
    whole = float(followed.sum())
    if not whole > 0:
        return
    for end in grid.bounds[1:-1]:
        expected = float(inside.sum()) * float(np.minimum(followed, end).sum()) / whole
        seen = int((inside & (exit_[told] <= end)).sum())
        if expected < _FEWEST_EXPECTED:
            continue
        if seen < expected / 2 and float(poisson.cdf(seen, expected)) < _UNLIKELY:
            first = {"end": f"{end:g}", "unit": grid.unit}
            what = Filled(
                "hardly any event in the first %(end)s %(unit)s: %(seen)s where a constant hazard has %(expected)s",
                seen=seen,
                expected=f"{expected:.0f}",
                **first,
            )
            remedy = later(
                "Did patients have to survive until a sample, a referral or a therapy? Then add when observation began "
                "(entry in the schema)."
            )
            uncounted = Filled(
                "hardly any event in the first %(end)s %(unit)s, where a constant hazard has many", **first
            )
            yield Finding(Level.SUSPECT, about, what, remedy, told=uncounted)
        return


def _in_grid(content: TableContent, found: EndpointTimes, about: str) -> Iterator[Finding]:
    grid = content.schema.grid
    end = {"end": f"{grid.bounds[-1]:g}", "unit": grid.unit}
    if not found.events:
        yield Finding(
            Level.SUSPECT, about, later("no event at all"), later("Look at the words or numbers for events."), told=""
        )
    elif not found.inside:
        what = Filled("no event lies in the time grid, which ends at %(end)s %(unit)s", **end)
        remedy = Filled("The schema expects %(unit)s: look at the unit.", unit=grid.unit)
        yield Finding(Level.FAULT, about, what, remedy, told="")
    elif found.inside < found.events:
        what = Filled("events after %(end)s %(unit)s, where the study cuts follow-up", **end)
        yield Finding(Level.NOTE, about, what, count=found.events - found.inside)


def _after_death(content: TableContent) -> Iterator[Finding]:
    """An endpoint's follow-up that goes on after the death that another endpoint tells."""
    schema = content.schema
    for place, endpoint in enumerate(schema.endpoints):
        deaths = [
            other
            for other, each in enumerate(schema.endpoints)
            if each.event_column == endpoint.death_event_column and each.time_column != endpoint.time_column
        ]
        for other in deaths:
            day = 1 / DAYS[TimeUnit(schema.grid.unit)]
            late = content.observed[:, other] & (content.exit[:, place] > content.exit[:, other] + day)
            if count := int(late.sum()):
                what = Filled("goes on after the death that %(name)s tells", name=f'"{schema.endpoints[other].name}"')
                yield Finding(
                    Level.SUSPECT,
                    Filled("endpoint %(name)s", name=f'"{endpoint.name}"'),
                    what,
                    later("One of the two dates is wrong."),
                    count,
                )


def years_with_patients(content: TableContent) -> dict[int, int]:
    """Patients by the year of time zero, from the first to the last, also years with none."""
    years = content.zero_years[content.zero_years > 0]
    if not len(years):
        return {}
    return {year: int((years == year).sum()) for year in range(int(years.min()), int(years.max()) + 1)}


def _gaps(content: TableContent) -> Iterator[Finding]:
    """Years with hardly a patient, between years with many."""
    counts = years_with_patients(content)
    usual = float(np.median([count for count in counts.values() if count])) if counts else 0.0
    full = [year for year, count in counts.items() if count >= usual / _FALLS_SHORT]
    if usual >= _FEWEST_PATIENTS / 2:
        for year in (year for year in counts if full[0] < year < full[-1] and year not in full):
            what = Filled(
                "time zero lies in %(year)s for %(patients)s patients, where other years have about %(usual)s",
                year=year,
                patients=f"{counts[year]:,}",
                usual=f"{usual:,.0f}",
            )
            told = Filled("time zero lies in %(year)s for fewer patients than in other years", year=year)
            yield Finding(Level.SUSPECT, later("table"), what, later("Is an export missing?"), told=told)
    if content.has_years and (count := int((content.zero_years == 0).sum())):
        yield Finding(Level.NOTE, later("table"), later("the year of time zero is not known"), count=count)
