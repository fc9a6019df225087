"""How are a number and a name written for a reader?

Promises: a figure that is not known (None or NaN) reads "not computed", never "nan"; infinity is spelt out; names lose
their underscores and line breaks and nothing else. Texts are plain: escaping is the template's, and matplotlib's.
"""

from __future__ import annotations

import math

NOT_COMPUTED = "not computed"


def decimals(value: float | None, digits: int = 3) -> str:
    """A fixed number of digits after the point."""
    if value is None or math.isnan(value):
        return NOT_COMPUTED
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int = 2) -> str:
    """As `decimals`, with a plus sign; none for what rounds to zero."""
    if round(value, digits) == 0:
        return decimals(0.0, digits)
    return f"+{decimals(value, digits)}" if value >= 0 else decimals(value, digits)


def hazard_ratio(log_hazard_ratio: float) -> str:
    """Three digits, whatever the size."""
    if not abs(log_hazard_ratio) < 13.8:  # a ratio of a million
        return "above 1,000,000" if log_hazard_ratio > 0 else "below 0.000001"
    return f"{math.exp(log_hazard_ratio):.3g}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share in [0, 1] as per cent."""
    text = decimals(None if share is None else 100 * share, digits)
    return text if text == NOT_COMPUTED else f"{text}\N{NO-BREAK SPACE}%"


def whole(count: float) -> str:
    """A count, thousands set apart."""
    return f"{count:,.0f}"


def counted(count: int, one: str, several: str) -> str:
    """A count with its noun: "1 patient", "2 patients"."""
    return f"{whole(count)} {one if count == 1 else several}"


def scientific(value: float) -> str:
    """A very small number as a reader would say it: "1e-5 (1 in 100,000)"."""
    if not 0 < value < 1:
        return f"{value:g}"
    mantissa, exponent = f"{value:.2g}".split("e") if "e" in f"{value:.2g}" else (f"{value:.2g}", "")
    short = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return f"{short} (1 in {1 / value:,.0f})"


def plain_name(name: str) -> str:
    """A marker, endpoint or site as words."""
    return " ".join(name.replace("_", " ").split())


def shortened(name: str, limit: int) -> str:
    """At most `limit` characters; what is cut shows as an ellipsis."""
    return name if len(name) <= limit else f"{name[: limit - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str, *, keep_indent: bool = False) -> str:
    """On one line, with a replacement character for what is not printable: control characters, direction overrides."""
    indent = len(text) - len(text.lstrip(" ")) if keep_indent else 0
    printable = "".join(
        each if each.isprintable() else " " if each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in text
    )
    return " " * indent + (printable.strip(" ") if keep_indent else " ".join(printable.split()))
