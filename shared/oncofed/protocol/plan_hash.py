"""How much of a plan's hash must somebody give, so that no other plan is meant than the one they read?

A shell variable that is not set is an empty word, and begins every hash: it must not mean the only plan there is.
"""

from __future__ import annotations

from oncofed.errors import Fault, InvalidInput

FEWEST_DIGITS = 4


def refuse_short(beginning: str, *, where: str) -> None:
    """Raises InvalidInput for less than `FEWEST_DIGITS` of a hash. where: what it was given as."""
    if len(beginning) < FEWEST_DIGITS:
        what = "is empty" if not beginning else f"has fewer than {FEWEST_DIGITS} digits"
        remedy = f"Give the first {FEWEST_DIGITS} digits of the plan's hash or more, as they are listed."
        raise InvalidInput([Fault(where, f"the beginning of the hash {what}", remedy)])
