"""How much of a plan's hash is needed, so that no other plan is meant than the one that somebody read?

A shell variable that is not set is an empty word, and begins every hash: it must not mean the only plan there is. And
whoever draws up plans can make two whose hashes begin alike: what is shown of one must be enough to name it.
"""

from __future__ import annotations

from collections.abc import Iterable

from oncofed.errors import Fault, InvalidInput

FEWEST_DIGITS = 4
SHOWN_DIGITS = 12
_ALL_DIGITS = 64


def refuse_short(beginning: str, *, where: str, fewest: int = FEWEST_DIGITS) -> None:
    """Raises InvalidInput for less than so many digits of a hash. where: what it was given as."""
    if len(beginning) < fewest:
        what = "is empty" if not beginning else f"has fewer than {fewest} digits"
        remedy = f"Give the first {fewest} digits of the plan's hash or more, as they are listed."
        raise InvalidInput([Fault(where, f"the beginning of the hash {what}", remedy)])


def digits_apart(hashes: Iterable[str]) -> int:
    """As many of their first digits as tell them apart, at least `SHOWN_DIGITS`."""
    known = set(hashes)
    enough = (most for most in range(SHOWN_DIGITS, _ALL_DIGITS) if len({each[:most] for each in known}) == len(known))
    return next(enough, _ALL_DIGITS)


def shown_of(plan_hash: str, *, among: Iterable[str]) -> str:
    """The beginning of a hash, as commands show it and take it: no other of those that are known here begins so."""
    return plan_hash[: digits_apart([*among, plan_hash])]
