"""How are a number, a marker and a group written for a clinician?

Promises: what is not known is said in words, never "nan"; a hazard ratio has two or three digits and says nothing more
exact than it is. Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import math
import re

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
_LARGEST_EXPONENT = 300.0
_SMALLEST_PLAIN, _LARGEST_PLAIN, _FIRST_SEPARATED = 1e-6, 1e9, 1e4
_PART_OF_THE_NAME = frozenset({"", "grade", "level", "ratio", "score", "stage"})
"""No unit of a value."""
_SPELT = {"%": "percent", "‰": "per_mille", "°c": "celsius", "ml/min/1.73m2": "ml_per_min"}
"""Units as tables spell them at the end of a name, where it is not the unit with `_per_`."""
_RAISED = {"2": "\N{SUPERSCRIPT TWO}", "3": "\N{SUPERSCRIPT THREE}"}
_ACRONYMS = frozenset(
    {"afp", "alt", "ast", "bmi", "ca", "cea", "cnv", "crp", "ct", "dna", "ecog", "egfr", "gfr", "ggt", "hb", "hdl"}
    | {"her2", "inr", "ldh", "ldl", "mri", "n", "nrs", "parp", "psa", "rna", "t", "tnm", "tsh", "uicc", "vegf"}
)


def words(name: str) -> str:
    """A marker, endpoint or category as words."""
    return " ".join(name.replace("_", " ").split())


def marker_label(marker: Marker) -> str:
    """Its name in words, without scale and unit, which many tables write there: the value is shown with its unit."""
    unit = _inner_unit(marker).lower()
    spelt = _SPELT.get(unit, unit.replace("1/", "per_").replace("/", "_per_").replace("µ", "u"))
    name = marker.name if unit in _PART_OF_THE_NAME else marker.name.removesuffix(f"_{spelt}")
    if is_decimal_logarithm(marker):
        name = marker.name.removeprefix("log10_") if unit == "years" else name.removeprefix("log10_")  # pack years
    return " ".join(each.upper() if each.lower() in _ACRONYMS else each for each in words(name).split())


def is_decimal_logarithm(marker: Marker) -> bool:
    """Whether the table holds the decimal logarithm of what a laboratory reports: shown is the number itself."""
    return marker.kind is Kind.CONTINUOUS and marker.unit.lower().startswith("log10(")


def shown_unit(marker: Marker) -> str:
    """Of the value as it is shown; empty for a plain number, and where the label says it ("UICC stage")."""
    unit = _inner_unit(marker) if is_decimal_logarithm(marker) else marker.unit
    said = unit in _PART_OF_THE_NAME or unit.lower() in marker_label(marker).lower().split()
    return "" if said else re.sub(r"(?<=m)([23])\b", lambda found: _RAISED[found[1]], unit)


def shown_value(marker: Marker, value: float) -> float:
    """In `shown_unit`."""
    return 10.0 ** min(value, _LARGEST_EXPONENT) if is_decimal_logarithm(marker) else value


def shown_number(marker: Marker, value: float, digits: int = 4) -> str:
    """In `shown_unit`, with as many digits as mean anything after a logarithm was rounded."""
    return number(shown_value(marker, value), 3 if is_decimal_logarithm(marker) else digits)


def _inner_unit(marker: Marker) -> str:
    if marker.kind is not Kind.CONTINUOUS:
        return ""
    scale, bracket, inner = marker.unit.partition("(")
    return inner.removesuffix(")") if bracket and scale.lower() in ("log10", "log2") else marker.unit


def capital(text: str) -> str:
    """With its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float, digits: int = 4) -> str:
    """At most so many significant digits, a true minus sign, a power of ten only where zeros would fill the line."""
    short = f"{value:.{digits}g}"
    if "e" in short and _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        plain = f"{float(short):,.{digits + 3}f}".rstrip("0").rstrip(".")
        short = plain if abs(value) >= _FIRST_SEPARATED else plain.replace(",", "")
    return short.replace("-", MINUS)


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


def marker_value(marker: Marker, value: float) -> str:
    """A value as it stands in the table, without its unit."""
    if np.isnan(value):
        return NOT_MEASURED
    if marker.kind is Kind.CATEGORICAL:
        return words(marker.categories[int(value)])
    if marker.kind is Kind.BINARY:
        return "yes" if value > 0.5 else "no"
    return shown_number(marker, value)


def reference_range(marker: Marker) -> str:
    """As a laboratory states it; empty where the schema has none."""
    if marker.reference_range is None:
        return ""
    low, high = marker.reference_range
    return f"{shown_number(marker, low)} to {shown_number(marker, high)}"


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
    return shown_number(marker, marker.centre)


def source_label(schema: StudySchema, source: str) -> str:
    """A marker's name in words, or that of a modality that is missing as a whole."""
    for marker in schema.markers:
        if marker.name == source:
            return marker_label(marker)
    return f"{MODALITY_NAMES[Modality(source)]}: none measured"
