"""How are a marker and its value written for a clinician? Numbers and names themselves are those of `oncofed.words`.

Promises: what is not known is said in words, never "nan". Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import numpy as np

from oncofed.cohort.schema import Kind, Marker
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import category_label, range_number, shown_number, shown_unit

NOT_MEASURED = later("not measured")
TOO_FEW_MEASURED = later("too few measured")
DATIVE = "dative"
_TIMES = (later("days", "dative"), later("weeks", "dative"), later("months", "dative"), later("years", "dative"))
_ONE = {
    "days": later("day", "dative"),
    "weeks": later("week", "dative"),
    "months": later("month", "dative"),
    "years": later("year", "dative"),
}


def time(value: float, unit: str, *, say: Language = ENGLISH, case: str = "") -> str:
    """A time, or that it is not reached. case: DATIVE after a preposition, which English does not tell apart."""
    if value == NOT_REACHED:
        return say("not reached")
    written = moment_number(value, say=say)
    return f"{written}\N{NO-BREAK SPACE}{say(_ONE.get(unit, unit) if written == '1' else unit, context=case)}"


def moment_number(value: float, *, say: Language = ENGLISH) -> str:
    """As many digits as a time is known to."""
    return say.figures(f"{value:.2g}" if value < 10 else f"{value:.0f}")


def range_words(low: str, high: str, *, say: Language = ENGLISH) -> str:
    """Of two numbers, or two numbers with their units."""
    return say("%(low)s to %(high)s", low=low, high=high)


def marker_value(marker: Marker, value: float, *, say: Language = ENGLISH) -> str:
    """A value as it stands in the table, without its unit."""
    if np.isnan(value):
        return say(NOT_MEASURED)
    if marker.kind is Kind.CATEGORICAL:
        return category_label(marker, marker.categories[int(value)], say=say)
    if marker.kind is Kind.BINARY:
        return say("yes") if value > 0.5 else say("no")
    return shown_number(marker, value, say=say)


def with_unit(marker: Marker, value: float, *, say: Language = ENGLISH) -> str:
    """A value with its unit; that it was not measured where it was not."""
    said = marker_value(marker, value, say=say)
    return said if np.isnan(value) else f"{said} {shown_unit(marker, say=say)}".rstrip()


def span_with_unit(marker: Marker, low: float, high: float, *, say: Language = ENGLISH) -> str:
    """The ends of a range, in the unit that is shown."""
    ends = (range_number(marker, end, say=say) for end in (low, high))
    return f"{range_words(*ends, say=say)} {shown_unit(marker, say=say)}".rstrip()


def reference_range(marker: Marker, *, say: Language = ENGLISH) -> str:
    """As a laboratory states it; empty where the schema has none."""
    if marker.reference_range is None:
        return ""
    return span_with_unit(marker, *marker.reference_range, say=say)


def against_reference(marker: Marker, value: float, *, say: Language = ENGLISH) -> str:
    """Low or high, as a laboratory marks it; empty for what is inside the range, missing, or without one."""
    if marker.reference_range is None or np.isnan(value):
        return ""
    low, high = marker.reference_range
    return say("low") if value < low else say("high") if value > high else ""


def reference_value(marker: Marker, *, say: Language = ENGLISH) -> str:
    """What the reference patient has, against whom every contribution is counted."""
    if marker.kind is Kind.CATEGORICAL:
        return category_label(marker, marker.reference_category, say=say)
    if marker.kind is Kind.BINARY and marker.centre in (0.0, 1.0):
        return say("yes") if marker.centre else say("no")
    return shown_number(marker, marker.centre, say=say)
