"""How are a number, a marker and a group written for a clinician?

Promises: what is not known is said in words, never "nan"; a hazard ratio has two or three digits and says nothing more
exact than it is; small counts are written as "fewer than" the floor. Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import math

import numpy as np

from oncofed.cohort.schema import Kind, Marker, Modality, StudySchema
from oncofed.survival.curves import NOT_REACHED

NOT_MEASURED = "not measured"
MINUS = "\N{MINUS SIGN}"

MODALITY_NAMES = {
    Modality.CLINICAL: "Clinical",
    Modality.LABORATORY: "Laboratory",
    Modality.BODY_COMPOSITION: "Body composition",
    Modality.DNA_MUTATION: "DNA mutations",
    Modality.DNA_COPY_NUMBER: "DNA copy numbers",
    Modality.RNA_EXPRESSION: "RNA expression",
    Modality.PROTEIN_EXPRESSION: "Protein expression",
    Modality.TREATMENT: "Treatment",
}

_LARGEST_LOG_RATIO = math.log(1000)


def words(name: str) -> str:
    """A marker, endpoint or category as words."""
    return " ".join(name.replace("_", " ").split())


def marker_label(marker: Marker) -> str:
    """Its name in words, without the unit at the end that many tables write there: the unit has a place of its own."""
    unit = marker.unit.lower() if marker.kind is Kind.CONTINUOUS else ""
    inner = unit.partition("(")[2].removesuffix(")") if unit.startswith(("log10(", "log2(")) else unit
    spelt = "percent" if inner == "%" else inner.replace("/", "_per_")
    name = marker.name.removesuffix(f"_{spelt}") if spelt else marker.name
    return words(name)


def capital(text: str) -> str:
    """With its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float, digits: int = 4) -> str:
    """So many significant digits at most, with a true minus sign."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def hazard_ratio(log_hazard_ratio: float) -> str:
    """As a factor on the hazard."""
    if abs(log_hazard_ratio) >= _LARGEST_LOG_RATIO:
        return "above 1000" if log_hazard_ratio > 0 else "below 0.001"
    ratio = math.exp(log_hazard_ratio)
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def percent(share: float) -> str:
    """A share in [0, 1]; what is neither none nor all is never written as 0 or 100."""
    if math.isnan(share):
        return "not known"
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "below 1\N{NO-BREAK SPACE}%"
    if whole == 100 and share < 1:
        return "above 99\N{NO-BREAK SPACE}%"
    return f"{whole}\N{NO-BREAK SPACE}%"


def time(value: float, unit: str) -> str:
    """A time, or that it is not reached."""
    if value == NOT_REACHED:
        return "not reached"
    return f"{value:.2g}\N{NO-BREAK SPACE}{unit}" if value < 10 else f"{value:.0f}\N{NO-BREAK SPACE}{unit}"


def floored(count: int, floor: int) -> str:
    """A count; what is neither none nor at least the floor is only said to be small."""
    return f"fewer than {floor}" if 0 < count < floor else f"{count:,}"


def marker_value(marker: Marker, value: float) -> str:
    """A value as it stands in the table, without its unit."""
    if np.isnan(value):
        return NOT_MEASURED
    if marker.kind is Kind.CATEGORICAL:
        return words(marker.categories[int(value)])
    if marker.kind is Kind.BINARY:
        return "yes" if value > 0.5 else "no"
    return number(value)


def reference_range(marker: Marker) -> str:
    """As a laboratory states it; empty where the schema has none."""
    if marker.reference_range is None:
        return ""
    low, high = marker.reference_range
    return f"{number(low)} to {number(high)}"


def against_reference(marker: Marker, value: float) -> str:
    """Low or high, as a laboratory marks it; empty for what is inside the range, missing, or without one."""
    if marker.reference_range is None or np.isnan(value):
        return ""
    low, high = marker.reference_range
    return "low" if value < low else "high" if value > high else ""


def reference_value(marker: Marker) -> str:
    """What the reference patient has, against whom every contribution is counted."""
    if marker.kind is Kind.CATEGORICAL:
        return words(marker.reference_category)
    if marker.kind is Kind.BINARY and marker.centre in (0.0, 1.0):
        return "yes" if marker.centre else "no"
    return number(marker.centre)


def source_label(schema: StudySchema, source: str) -> str:
    """A marker's name in words, or that of a modality that is missing as a whole."""
    for marker in schema.markers:
        if marker.name == source:
            return marker_label(marker)
    return f"{MODALITY_NAMES[Modality(source)]}: none measured"
