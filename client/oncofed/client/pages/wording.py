"""How are a marker and its value written for a clinician? Numbers and names themselves are those of `oncofed.words`.

Promises: what is not known is said in words, never "nan". Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import numpy as np

from oncofed.cohort.schema import Kind, Marker
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.markers import range_number, shown_number, shown_unit
from oncofed.words.names import plain_name

NOT_MEASURED = "not measured"
TOO_FEW_MEASURED = "too few measured"


def time(value: float, unit: str) -> str:
    """A time, or that it is not reached."""
    if value == NOT_REACHED:
        return "not reached"
    return f"{value:.2g}\N{NO-BREAK SPACE}{unit}" if value < 10 else f"{value:.0f}\N{NO-BREAK SPACE}{unit}"


def marker_value(marker: Marker, value: float) -> str:
    """A value as it stands in the table, without its unit."""
    if np.isnan(value):
        return NOT_MEASURED
    if marker.kind is Kind.CATEGORICAL:
        return plain_name(marker.categories[int(value)])
    if marker.kind is Kind.BINARY:
        return "yes" if value > 0.5 else "no"
    return shown_number(marker, value)


def with_unit(marker: Marker, value: float) -> str:
    """A value with its unit; that it was not measured where it was not."""
    return (
        marker_value(marker, value)
        if np.isnan(value)
        else f"{marker_value(marker, value)} {shown_unit(marker)}".rstrip()
    )


def reference_range(marker: Marker) -> str:
    """As a laboratory states it; empty where the schema has none."""
    if marker.reference_range is None:
        return ""
    low, high = marker.reference_range
    return f"{range_number(marker, low)} to {range_number(marker, high)} {shown_unit(marker)}".rstrip()


def against_reference(marker: Marker, value: float) -> str:
    """Low or high, as a laboratory marks it; empty for what is inside the range, missing, or without one."""
    if marker.reference_range is None or np.isnan(value):
        return ""
    low, high = marker.reference_range
    return "low" if value < low else "high" if value > high else ""


def reference_value(marker: Marker) -> str:
    """What the reference patient has, against whom every contribution is counted."""
    if marker.kind is Kind.CATEGORICAL:
        return plain_name(marker.reference_category)
    if marker.kind is Kind.BINARY and marker.centre in (0.0, 1.0):
        return "yes" if marker.centre else "no"
    return shown_number(marker, marker.centre)
