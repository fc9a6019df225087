"""How is a marker of a study written for a reader, on a hospital's pages and in every report?

Its name without the scale and the unit that tables write there, and its value in the unit that a laboratory reports.
Promises: a name that holds neither is left as it is but for underscores. Texts are plain: escaping is the template's.
"""

from __future__ import annotations

import re

from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import modality_name, plain_name
from oncofed.words.numbers import number

_LARGEST_EXPONENT = 300.0
_OF_A_RANGE = 0.01
_PART_OF_THE_NAME = frozenset({"", "grade", "level", "ratio", "score", "stage"})
"""No unit of a value."""
_WORDS = (later("years"), later("months"), later("weeks"), later("days"), later("hours"), later("pack years"))
"""Units that are words: others are the same in every language."""
_ENDPOINTS = (
    later("overall survival"),
    later("progression"),
    later("progression free survival"),
    later("time to next treatment"),
    later("disease specific survival"),
    later("disease free survival"),
    later("disease free interval"),
    later("progression free interval"),
    later("relapse"),
    later("death"),
    later("death of disease"),
    later("death of other causes"),
)
_SPELT = {"%": "percent", "‰": "per_mille", "°c": "celsius", "ml/min/1.73m2": "ml_per_min"}
"""Units as tables spell them at the end of a name, where it is not the unit with `_per_`."""
_RAISED = {"2": "\N{SUPERSCRIPT TWO}", "3": "\N{SUPERSCRIPT THREE}"}
_ACRONYMS = frozenset(
    {"afp", "alt", "ast", "bmi", "ca", "cea", "cnv", "crp", "ct", "dna", "ecog", "egfr", "gfr", "ggt", "hb", "hdl"}
    | {"her2", "inr", "ldh", "ldl", "mri", "n", "nrs", "parp", "psa", "rna", "t", "tnm", "tsh", "uicc", "vegf"}
)


def marker_label(marker: Marker, *, say: Language = ENGLISH) -> str:
    """As the schema calls it in this language; else its name in words.

    Without scale and unit, which many tables write there: the value is shown with its unit.
    """
    if own := marker.label_in(say.code):
        return own
    unit = _inner_unit(marker).lower()
    spelt = _SPELT.get(unit, unit.replace("1/", "per_").replace("/", "_per_").replace("µ", "u"))
    name = marker.name if unit in _PART_OF_THE_NAME else marker.name.removesuffix(f"_{spelt}")
    if is_decimal_logarithm(marker):
        name = marker.name.removeprefix("log10_") if unit == "years" else name.removeprefix("log10_")  # pack years
    return " ".join(each.upper() if each.lower() in _ACRONYMS else each for each in plain_name(name).split())


def category_label(marker: Marker, category: str, *, say: Language = ENGLISH) -> str:
    """As the schema calls it in this language; else as the table does, in words."""
    return marker.category_label_in(say.code, category) or plain_name(category)


def endpoint_label(endpoint: Endpoint, *, say: Language = ENGLISH) -> str:
    """As the schema calls it in this language; else its name in words, of usual ones in this language."""
    return endpoint.label_in(say.code) or say(plain_name(endpoint.name))


def endpoint_called(schema: StudySchema, name: str, *, say: Language = ENGLISH) -> str:
    """The endpoint of this name, or the name in words where the schema has none."""
    found = next((each for each in schema.endpoints if each.name == name), None)
    return say(plain_name(name)) if found is None else endpoint_label(found, say=say)


def is_decimal_logarithm(marker: Marker) -> bool:
    """Whether the table holds the decimal logarithm of what a laboratory reports: shown is the number itself."""
    return marker.kind is Kind.CONTINUOUS and marker.unit.lower().startswith("log10(")


def shown_unit(marker: Marker, *, say: Language = ENGLISH) -> str:
    """Of the value as it is shown; empty for a plain number, and where the label says it ("UICC stage")."""
    unit = _inner_unit(marker) if is_decimal_logarithm(marker) else marker.unit
    said = unit in _PART_OF_THE_NAME or unit.lower() in marker_label(marker).lower().split()
    return "" if said else re.sub(r"(?<=m)([23])\b", lambda found: _RAISED[found[1]], say(unit))


def shown_value(marker: Marker, value: float) -> float:
    """In `shown_unit`."""
    return 10.0 ** min(value, _LARGEST_EXPONENT) if is_decimal_logarithm(marker) else value


def shown_number(marker: Marker, value: float, digits: int = 4, *, say: Language = ENGLISH) -> str:
    """In `shown_unit`, with as many digits as mean anything after a logarithm was rounded."""
    return number(shown_value(marker, value), 3 if is_decimal_logarithm(marker) else digits, say=say)


def range_number(marker: Marker, value: float, *, say: Language = ENGLISH) -> str:
    """The end of a range, in `shown_unit`: of a logarithm with as few digits as are right to 1 %, 5 and not 5.01."""
    if not is_decimal_logarithm(marker):
        return number(value, say=say)
    end = shown_value(marker, value)
    digits = next((each for each in (1, 2) if abs(float(f"{end:.{each}g}") - end) <= _OF_A_RANGE * abs(end)), 3)
    return number(end, digits, say=say)


def _inner_unit(marker: Marker) -> str:
    if marker.kind is not Kind.CONTINUOUS:
        return ""
    scale, bracket, inner = marker.unit.partition("(")
    return inner.removesuffix(")") if bracket and scale.lower() in ("log10", "log2") else marker.unit


def source_label(schema: StudySchema, source: str, *, say: Language = ENGLISH) -> str:
    """A marker's name in words, or that of a modality that is missing as a whole."""
    for marker in schema.markers:
        if marker.name == source:
            return marker_label(marker, say=say)
    return say("%(kind)s: none measured", kind=modality_name(Modality(source), say=say))
