"""Which numbers does a page hold that are not the run's own, as metrics.json has them?

Not looked at are what people are quoted with, names between backticks, hashes, and whatever text stands in the figures
as it is (names of hospitals, tumour types, the program's version).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
_OUR_WORDS = re.compile(r"SHA-256|95 %|[0-9a-f]{64}|model_card\.xml")


def numbers_of(figures: Any) -> Iterator[float]:
    if isinstance(figures, Mapping):
        for each in figures.values():
            yield from numbers_of(each)
    elif isinstance(figures, list):
        for each in figures:
            yield from numbers_of(each)
    elif isinstance(figures, int | float) and not isinstance(figures, bool):
        yield float(figures)


def texts_of(figures: Any) -> Iterator[str]:
    if isinstance(figures, Mapping):
        for key, each in figures.items():
            yield str(key)
            yield from texts_of(each)
    elif isinstance(figures, list):
        for each in figures:
            yield from texts_of(each)
    elif isinstance(figures, str):
        yield figures


def shown_numbers(page: str, figures: Mapping[str, Any]) -> list[str]:
    """As they are written, of the run's own words."""
    page = re.sub(r"(?m)^>.*$|`[^`]*`", " ", page.replace("\N{MINUS SIGN}", "-"))
    page = _OUR_WORDS.sub(" ", page)
    for text in sorted({*texts_of(figures)}, key=len, reverse=True):
        if re.search(r"\d", text):
            page = page.replace(text, " ").replace(" ".join(text.replace("_", " ").split()), " ")
    return _NUMBER.findall(page)


def strange_numbers(page: str, figures: Mapping[str, Any]) -> list[str]:
    """Those that are no number of the figures, rounded as they are written."""
    known = [*numbers_of(figures)]
    return [shown for shown in shown_numbers(page, figures) if not any(_rounds_to(each, shown) for each in known)]


def _rounds_to(number: float, shown: str) -> bool:
    written = Decimal(shown.replace(",", ""))
    exponent = written.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(number - float(written)) <= 0.5000001 * 10.0**exponent
