"""How are a marker and its value written for a clinician? Numbers and names themselves are those of `oncofed.words`.

Promises: what is not known is said in words, never "nan". Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import re

import numpy as np

from oncofed.cohort.schema import Kind, Marker, Modality, StudySchema
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.names import MODALITY_NAMES, capital, plain_name
from oncofed.words.numbers import number

NOT_MEASURED = "not measured"
_LARGEST_EXPONENT = 300.0
_PART_OF_THE_NAME = frozenset({"", "grade", "level", "ratio", "score", "stage"})
"""No unit of a value."""
_SPELT = {"%": "percent", "‰": "per_mille", "°c": "celsius", "ml/min/1.73m2": "ml_per_min"}
"""Units as tables spell them at the end of a name, where it is not the unit with `_per_`."""
_RAISED = {"2": "\N{SUPERSCRIPT TWO}", "3": "\N{SUPERSCRIPT THREE}"}
_ACRONYMS = frozenset(
    {"afp", "alt", "ast", "bmi", "ca", "cea", "cnv", "crp", "ct", "dna", "ecog", "egfr", "gfr", "ggt", "hb", "hdl"}
    | {"her2", "inr", "ldh", "ldl", "mri", "n", "nrs", "parp", "psa", "rna", "t", "tnm", "tsh", "uicc", "vegf"}
)


def marker_label(marker: Marker) -> str:
    """Its name in words, without scale and unit, which many tables write there: the value is shown with its unit."""
    unit = _inner_unit(marker).lower()
    spelt = _SPELT.get(unit, unit.replace("1/", "per_").replace("/", "_per_").replace("µ", "u"))
    name = marker.name if unit in _PART_OF_THE_NAME else marker.name.removesuffix(f"_{spelt}")
    if is_decimal_logarithm(marker):
        name = marker.name.removeprefix("log10_") if unit == "years" else name.removeprefix("log10_")  # pack years
    return " ".join(each.upper() if each.lower() in _ACRONYMS else each for each in plain_name(name).split())


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
        return plain_name(marker.reference_category)
    if marker.kind is Kind.BINARY and marker.centre in (0.0, 1.0):
        return "yes" if marker.centre else "no"
    return shown_number(marker, marker.centre)


def source_label(schema: StudySchema, source: str) -> str:
    """A marker's name in words, or that of a modality that is missing as a whole."""
    for marker in schema.markers:
        if marker.name == source:
            return marker_label(marker)
    return f"{capital(MODALITY_NAMES[Modality(source)])}: none measured"
