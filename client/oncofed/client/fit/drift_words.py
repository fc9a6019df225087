"""How is drift told: on a terminal, and to programs?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

from oncofed.client.fit.cusum import RATIO, YEARS, Cusum
from oncofed.client.fit.drift import ALLOWED, FEWEST_EXPECTED, FOUND, Drift, Watched
from oncofed.client.fit.input_drift import FEWEST_PATIENTS, LARGE, MarkerDrift
from oncofed.client.fit.judged_words import OWN_EYES
from oncofed.survival.expected_events import Expected
from oncofed.words.names import plain_name
from oncofed.words.numbers import counted, decimals, number, percent, whole

FORM = 1
_MOST_MARKERS = 15
_MONTHS_SHOWN = 12
_MOST_SIGNALS = 3
_LOOK = (
    "What to do: look first whether events or follow-up are missing or doubled since then (oncofed cohort quality), "
    "then what changed in care or in who comes. If the data are right: oncofed site recalibrate NODE."
)


def drift_lines(found: Drift) -> Iterator[str]:
    """Endpoints, then markers."""
    yield OWN_EYES
    if found.undated:
        yield f"{counted(found.undated, 'patient has', 'patients have')} no day of time zero and is in nothing here."
    for each in found.endpoints:
        yield from _endpoint(each)
    yield from _markers(found)
    if any(each.signals for each in found.endpoints):
        yield _LOOK
    if not found.found:
        yield "Nothing to look at."


def _endpoint(found: Watched) -> Iterator[str]:
    course = found.course
    begin, end = _day(course.start + 1), _day(course.end)
    total = Expected(course.observed, float(course.expected[-1]))
    low, high = total.interval()
    yield (
        f"\n{plain_name(found.endpoint)}, {begin} to {end}: {counted(course.observed, 'event', 'events')}, "
        f"{decimals(total.expected, 1)} expected; ratio {decimals(total.ratio, 2)} "
        f"({decimals(low, 2)} to {decimals(high, 2)})"
    )
    months = course.months()
    for month in months[-_MONTHS_SHOWN:]:
        yield f"  {month.begin:%Y-%m}  observed {month.observed:4d}  expected {decimals(month.expected, 1):>6}"
    if len(months) > _MONTHS_SHOWN:
        yield f"  (the last {_MONTHS_SHOWN} of {len(months)} months; --json has all)"
    if not found.sums:
        yield f"  Fewer than {FEWEST_EXPECTED:g} events are expected in all this time: too few to watch."
        return
    for each in found.sums:
        yield from _sum(each)
    within = (
        f"in four of five cases within {_months(found.found_months)}"
        if math.isfinite(found.found_months)
        else f"in fewer than four of five cases within {YEARS:g} years"
    )
    assert FOUND == 0.8
    yield (
        f"  With as many events as here, a hazard {RATIO:g} times as high is found {within}; a right model gives at "
        f"most {ALLOWED:g} false signal in {YEARS:g} years, over all endpoints."
    )


def _months(months: float) -> str:
    rounded = max(1, math.ceil(months))
    return counted(rounded, "month", "months")


def _sum(found: Cusum) -> Iterator[str]:
    which = "more" if found.ratio > 1 else "fewer"
    if not found.signals:
        now = float(found.values[-1])
        yield f"  No sign of {which} events than expected (sum {decimals(now, 2)} of {decimals(found.threshold, 2)})."
    for each in found.signals[:_MOST_SIGNALS]:
        yield (
            f"  SIGNAL on {_day(each.day)}: {which} events than expected, most likely since about {_day(each.since)}."
        )
    if len(found.signals) > _MOST_SIGNALS:
        more = len(found.signals) - _MOST_SIGNALS
        yield f"  and {more} more, the last on {_day(found.signals[-1].day)}"


def _markers(found: Drift) -> Iterator[str]:
    yield f"\nmarkers: {whole(found.patients_since)} patients of late against {whole(found.patients_before)} before"
    if not found.markers:
        yield f"  Too few patients on either side (at least {FEWEST_PATIENTS} are needed)."
        return
    drifted = [each for each in found.markers if each.drifted]
    for each in drifted[:_MOST_MARKERS]:
        yield f"  DRIFT {_marker(each)}"
    if len(drifted) > _MOST_MARKERS:
        yield f"  and {len(drifted) - _MOST_MARKERS} more; --json has all"
    if drifted:
        yield (
            "  What to do: a unit or a code that changed is put right in the import (docs/import.md). A test that is "
            "no longer done leaves a prediction with less to go by. Another mix of patients needs nothing by itself."
        )
    else:
        yield f"  None of {whole(len(found.markers))} has drifted."


def _marker(found: MarkerDrift) -> str:
    said = []
    if found.values_drifted:
        size = "far" if found.index >= LARGE else "somewhat"
        moved = (
            ""
            if math.isnan(found.middle_before)
            else f", middle {number(found.middle_before)} before and {number(found.middle_since)} now"
        )
        said.append(f"values are {size} from those before (index {decimals(found.index, 2)}{moved})")
    if found.missing_drifted:
        said.append(f"not measured in {percent(found.missing_since)} now, {percent(found.missing_before)} before")
    return f"{found.marker}: {'; '.join(said)}"


def drift_fields(found: Drift) -> dict[str, object]:
    """For programs. What is not known is null; days are YYYY-MM-DD."""
    return {
        "form": FORM,
        "own_eyes": OWN_EYES,
        "found": found.found,
        "patients": {"before": found.patients_before, "since": found.patients_since, "undated": found.undated},
        "endpoints": [_endpoint_fields(each) for each in found.endpoints],
        "markers": [
            {name: _known(value) for name, value in vars(each).items()} | {"drifted": each.drifted}
            for each in found.markers
        ],
    }


def _endpoint_fields(found: Watched) -> dict[str, object]:
    course = found.course
    return {
        "name": found.endpoint,
        "observed": course.observed,
        "expected": float(course.expected[-1]),
        "found_months": _known(found.found_months),
        "months": [
            {"begin": each.begin.isoformat(), "observed": each.observed, "expected": each.expected}
            for each in course.months()
        ],
        "sums": [
            {
                "ratio": each.ratio,
                "threshold": each.threshold,
                "now": float(each.values[-1]),
                "signals": [{"day": _day(one.day), "since": _day(one.since)} for one in each.signals],
            }
            for each in found.sums
        ],
    }


def _day(ordinal: float) -> str:
    return date.fromordinal(int(ordinal)).isoformat()


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
