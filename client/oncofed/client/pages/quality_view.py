"""What is told of the quality of a table to who may not know exact counts of this hospital's patients?

The report is the one that `oncofed cohort quality` makes (`client.quality`); here its figures go through `disclosure`:
numbers of rows, patients and events are rounded down to a multiple of the floor, so that 0 stands for fewer; how many
lack a marker is a range of shares, by tumour where at least a crowd have it, and of all by what is told of the tumours;
a sentence with a figure in it stands without. That something is absent altogether is not told: fewer than the floor
have it. Of fewer patients than a crowd nothing is told at all.

What is told all the same: that a fault or a sign is there, be it of one row. The table is refused for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oncofed.client.pages.disclosure import Disclosure, Share
from oncofed.client.quality.findings import Finding, Level
from oncofed.client.quality.missing import MissingRow
from oncofed.client.quality.report import QualityReport
from oncofed.words.language import later

_WIDEST = 0.9
FEW_HAVE_IT = later("hardly anybody has it, or nobody")
FEW_EVENTS = later("hardly any event, or none")
FEW_IN_GRID = later("hardly any event lies in the study's time grid, or none: look at the unit of the times")
OF_ENDPOINT, OF_MARKER = "endpoint", "marker"


@dataclass(frozen=True)
class ToldFinding:
    """rows: at least so many, 0 for fewer than the floor; None where rows do not apply.

    of     what `about` is the name of, where this page found it; else empty, and `about` and `what` are in English.
    """

    level: Level
    about: str
    what: str
    remedy: str = ""
    rows: int | None = None
    of: str = ""


@dataclass(frozen=True)
class ToldTimes:
    """Of one endpoint, each at least so many. by_interval: of the grid, and those beyond."""

    name: str
    followed: int
    events: int
    inside: int
    by_interval: tuple[int, ...]


@dataclass(frozen=True)
class ToldMissing:
    """Of how many a marker is not known: of all, and of each group. None where that says nothing."""

    marker: str
    of_all: Share | None
    by_group: tuple[Share, ...]


@dataclass(frozen=True)
class ToldQuality:
    """patients: at least so many, 0 where they are too few for anything to be told.

    groups  tumours of which there are enough, by their categories; group_patients: at least so many of each.
    """

    patients: int
    findings: tuple[ToldFinding, ...] = ()
    endpoints: tuple[ToldTimes, ...] = ()
    intervals: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    group_patients: tuple[int, ...] = ()
    missing: tuple[ToldMissing, ...] = ()

    def of(self, level: Level) -> tuple[ToldFinding, ...]:
        return tuple(each for each in self.findings if each.level is level)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.of(Level.FAULT) and not self.of(Level.SUSPECT)


def told_quality(report: QualityReport, rules: Disclosure) -> ToldQuality:
    """What may be told of an exact report."""
    if not rules.told(report.patients):
        return ToldQuality(0)
    places, strata = _strata(report, rules)
    endpoints = tuple(
        ToldTimes(
            each.name,
            rules.count(each.followed),
            rules.count(each.events),
            rules.count(each.inside),
            tuple(map(rules.count, each.by_interval)),
        )
        for each in report.endpoints
    )
    findings = [*_as_told(report, rules), *_few(report, endpoints, rules)]
    return ToldQuality(
        patients=sum(map(rules.count, strata)),
        findings=tuple(each for level in Level for each in findings if each.level is level),
        endpoints=endpoints,
        intervals=report.intervals,
        groups=tuple(report.missing.groups[place] for place in places),
        group_patients=tuple(map(rules.count, strata[: len(places)])),
        missing=tuple(_of_marker(row, report, places, strata, rules) for row in report.missing.rows),
    )


def _strata(report: QualityReport, rules: Disclosure) -> tuple[list[int], list[int]]:
    """Which groups are told, by their place; and how many are in each of them and in the rest, where it is enough."""
    groups = report.missing.patients
    places = [place for place, patients in enumerate(groups) if rules.told(patients)]
    told = [groups[place] for place in places]
    rest = report.patients - sum(told)
    return places, [*told, rest] if rest >= rules.floor else told


def _of_marker(
    row: MissingRow, report: QualityReport, places: list[int], strata: list[int], rules: Disclosure
) -> ToldMissing:
    """Of all it is made of what is told of the strata, so that nothing follows from what all minus some are."""
    lacking = [round(row.by_group[place] * report.missing.patients[place]) for place in places]
    if len(strata) > len(places):
        lacking.append(round(row.share * report.patients) - sum(lacking))
    shares = [rules.share(each, of) for each, of in zip(lacking, strata, strict=True)]
    weights = list(map(rules.count, strata))
    low, high = (
        sum(weight * limit for weight, limit in zip(weights, limits, strict=True)) / sum(weights)
        for limits in ([each.low for each in shares], [each.high for each in shares])
    )
    of_all = Share(round(low, 4), round(high, 4)) if high - low < _WIDEST else None
    return ToldMissing(row.marker, of_all, tuple(shares[: len(places)]))


def _as_told(report: QualityReport, rules: Disclosure) -> Iterator[ToldFinding]:
    for each in report.findings:
        what = each.what if each.told is None else each.told
        if what:
            yield ToldFinding(each.level, each.about, what, each.remedy, _rows(each, rules))


def _rows(finding: Finding, rules: Disclosure) -> int | None:
    return None if finding.count is None else rules.count(finding.count)


def _few(report: QualityReport, endpoints: tuple[ToldTimes, ...], rules: Disclosure) -> Iterator[ToldFinding]:
    """What is absent altogether, and what fewer than the floor have, are one and the same sentence."""
    for each in endpoints:
        if not each.events:
            yield ToldFinding(Level.SUSPECT, each.name, FEW_EVENTS, of=OF_ENDPOINT)
        elif not each.inside:
            yield ToldFinding(Level.SUSPECT, each.name, FEW_IN_GRID, of=OF_ENDPOINT)
    for row in report.missing.rows:
        if report.patients - round(row.share * report.patients) < rules.floor:
            yield ToldFinding(Level.SUSPECT, row.marker, FEW_HAVE_IT, of=OF_MARKER)
