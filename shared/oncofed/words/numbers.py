"""How is a number written for a reader, on a hospital's pages and in every report?

Promises: a figure that is not known (None or NaN) reads "not computed", never "nan"; infinity is spelt out; a minus
sign is a true one, and nothing reads "-0"; a share that is neither none nor all never reads 0 or 100 per cent; a hazard
ratio has two or three digits and says nothing more exact than it is. Texts are plain: escaping is the template's, and
the picture's.
"""

from __future__ import annotations

import math

from oncofed.words.language import ENGLISH, Language, later

NOT_COMPUTED = later("not computed")
MINUS = "\N{MINUS SIGN}"

_LARGEST_LOG_RATIO = math.log(1000)
_ALMOST = 1e-9
"""Of a share: by so much a sum may miss all, or none."""
_SMALLEST_PLAIN, _LARGEST_PLAIN, _FIRST_SEPARATED = 1e-6, 1e9, 1e4
"""From 10,000 on: below, a comma may be another country's decimal point, and here it never stands for thousands."""


def number(value: float, digits: int = 4, *, say: Language = ENGLISH) -> str:
    """At most so many significant digits, a power of ten only where zeros would fill the line."""
    short = f"{value:.{digits}g}"
    if "e" in short and _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        plain = f"{float(short):,.{digits + 3}f}".rstrip("0").rstrip(".")
        short = plain if abs(value) >= _FIRST_SEPARATED else plain.replace(",", "")
    return say.figures(short).replace("-", MINUS)


def as_typed(written: str, *, say: Language = ENGLISH) -> str | None:
    """As a table's cell has it, with minus sign and decimal point; None where a sign stands that may be a decimal one.

    On an English page a comma may be, on a German one a point: nobody can tell whether 12.345 is twelve there.
    """
    other = "," if say.decimal == "." else "."
    return None if other in written else written.replace(MINUS, "-").replace(say.decimal, ".")


def decimals(value: float | None, digits: int = 3, *, say: Language = ENGLISH) -> str:
    """A fixed number of digits after the point."""
    if value is None or math.isnan(value):
        return say(NOT_COMPUTED)
    if math.isinf(value):
        return say("infinite") if value > 0 else say("minus infinite")
    text = f"{value:,.{digits}f}"
    return say.figures(text.removeprefix("-") if float(text.replace(",", "")) == 0 else text).replace("-", MINUS)


def signed(value: float, digits: int = 2, *, say: Language = ENGLISH) -> str:
    """As `decimals`, with a plus sign; none for what rounds to zero."""
    text = decimals(value, digits, say=say)
    return f"+{text}" if value > 0 and text != decimals(0.0, digits, say=say) else text


def hazard_ratio(log_hazard_ratio: float, *, say: Language = ENGLISH) -> str:
    """As a factor on the hazard: two decimals, two digits where that would be less, whole from ten on."""
    if math.isnan(log_hazard_ratio):
        return say(NOT_COMPUTED)
    if abs(log_hazard_ratio) > _LARGEST_LOG_RATIO + _ALMOST:
        return say("above 1000") if log_hazard_ratio > 0 else say("below 0.001")
    ratio = math.exp(log_hazard_ratio)
    if ratio < 0.0995:
        return say.figures(f"{ratio:.2g}")
    return say.figures(f"{ratio:.2f}") if ratio < 9.995 else f"{ratio:.0f}"


def percent(share: float | None, digits: int = 0, *, say: Language = ENGLISH) -> str:
    """A share in [0, 1] as per cent; what is neither none nor all is never written as 0 or 100."""
    text, step = decimals(None if share is None else 100 * share, digits, say=say), 10.0**-digits
    if share is None or not math.isfinite(share):
        return text
    if share > _ALMOST and text == decimals(0.0, digits, say=say):
        text = say("below %(number)s", number=decimals(step, digits, say=say))
    elif share < 1 - _ALMOST and text == decimals(100.0, digits, say=say):
        text = say("above %(number)s", number=decimals(100 - step, digits, say=say))
    return f"{text}\N{NO-BREAK SPACE}%"


def whole(count: float, *, say: Language = ENGLISH) -> str:
    """A count, thousands set apart."""
    return decimals(count, 0, say=say)


def counted(count: int, one: str, several: str) -> str:
    """A count with its noun: "1 patient", "2 patients"."""
    return f"{whole(count)} {one if count == 1 else several}"


def plainly(value: float, *, say: Language = ENGLISH) -> str:
    """As short as `%g` has it."""
    return say.figures(f"{value:g}")


def scientific(value: float, *, say: Language = ENGLISH) -> str:
    """A very small number as a reader would say it: "1e-5 (1 in 100,000)"."""
    if not 0 < value < 1:
        return plainly(value, say=say)
    mantissa, exponent = f"{value:.2g}".split("e") if "e" in f"{value:.2g}" else (f"{value:.2g}", "")
    short = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return say("%(number)s (1 in %(many)s)", number=say.figures(short), many=say.figures(f"{1 / value:,.0f}"))
