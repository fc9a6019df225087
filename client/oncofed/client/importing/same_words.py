"""When is a cell the word that a mapping names?

Blanks about it and what cannot be seen mean nothing (`oncofed.cohort.letters`), and a whole number is its digits: 10.0
is 10, and 10,0 where the source writes a decimal comma.
Promise: true and false have no capitals, however they are stored: a spreadsheet shows TRUE, holds a truth, and writes
`true` beside words.
"""

from __future__ import annotations

import re

from oncofed.client.importing.omop_tables import OF_SOURCE
from oncofed.cohort.letters import plain

TRUTHS = {"true": 1.0, "false": 0.0}
AS_STORED = ' What a spreadsheet shows as TRUE or WAHR it stores as a truth: write "true" and "false".'
"""Of cells that are truths, for a remedy."""
_WHOLE = {
    ".": re.compile(rf"((?:{OF_SOURCE})?[+-]?\d+)\.0+"),
    ",": re.compile(rf"((?:{OF_SOURCE})?[+-]?\d+)(?:,0+|\.0)"),  # programs write 10.0 all the same; 1.000 are thousands
}


def as_compared(text: str) -> str:
    """A cell or a word of a mapping, as the two are compared."""
    word = plain(text).strip()
    folded = word.casefold()
    return folded if folded in TRUTHS else word


def digits(text: str, decimal: str = ".") -> str:
    """A whole number without the zeros that only its storage has."""
    found = _WHOLE[decimal].fullmatch(text)
    return text if found is None else found.group(1)
