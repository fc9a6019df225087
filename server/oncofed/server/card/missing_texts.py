"""Which texts does a study file lack for its checklist and its card?"""

from __future__ import annotations

from collections.abc import Iterator

from oncofed.server.card.items import ITEMS
from oncofed.study.reporting import Reporting


def missing_texts_in_words(reporting: Reporting) -> str:
    """Lines for a terminal; one where nothing is missing."""
    return "\n".join(_lines(reporting))


def _lines(reporting: Reporting) -> Iterator[str]:
    missing = reporting.missing
    if not missing:
        yield "[reporting]: every text of the model card is there."
        return
    yield f"[reporting]: {len(missing)} texts are not there; the TRIPOD+AI checklist and the model card will say so:"
    width = max(map(len, missing))
    for key in missing:
        items = ", ".join(item.number for item in ITEMS if key in item.texts)
        yield f"  {key:<{width}}  {f'TRIPOD+AI {items}' if items else 'model card'}"
