"""Is a plan refused whose public constants lie outside of their ranges, each of them and at both ends?

A public constant multiplies or divides what is made of patients. One that is finite and absurd can make a bound no
bound, so every one has a range (`oncofed.ranges`). Here each number of the plan is put outside of its range in turn,
and a guard is asked for, under a policy that allows whatever the plan promises.
"""

from __future__ import annotations

import math
import re
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np

from oncofed.errors import OncofedError
from oncofed.protocol.plan import StudyPlan
from oncofed.ranges import PlacedNumber, numbers_in
from oncofed.simulations.audit.target import Target, nobody
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict

CONSTANTS = "constants"

_MOST_IN_A_LIST = 2
_STEP = re.compile(r"([a-z_0-9]+)(?:\[(\d+)\])?")


def constants(target: Target, _: np.random.Generator) -> Verdict:
    """Fails when a guard answers for a plan with a number outside of its range."""
    tried, taken = 0, []
    for placed in _fields(target.plan):
        for number in _outside(placed):
            try:
                plan = _with(target.plan, placed.where, number)
            except ValueError:  # a value that refuses itself, as a time grid does
                continue
            tried += 1
            try:
                replace(target, plan=plan).hospital(nobody(target))
            except OncofedError:
                continue
            except (ValueError, ArithmeticError, MemoryError):  # a guard that falls over has refused nothing
                pass
            taken.append(f"{placed.where} = {number:g}")
    few = ", ".join(taken[:5]) + (f" and {len(taken) - 5} more" if len(taken) > 5 else "")
    return Verdict(
        CONSTANTS,
        Outcome.FAILED if taken else Outcome.PASSED,
        f"{tried} plans with one number outside of its range: {f'taken: {few}' if taken else 'all are refused'}",
        "every one is refused",
        Power("a number of the plan without a range, or a range that is not looked at", 1.0),
        {"tried": tried, "taken": len(taken)},
    )


def _fields(plan: StudyPlan) -> list[PlacedNumber]:
    """The plan's numbers, of long lists the first few; lengths and what follows from other numbers are left out."""
    found = []
    for placed in numbers_in(plan):
        place = re.search(r"\[(\d+)\]", placed.where)
        if (
            not placed.where.endswith(")")
            and _has(plan, placed.where)
            and int(place[1] if place else 0) < _MOST_IN_A_LIST
        ):
            found.append(placed)
    return found


def _outside(placed: PlacedNumber) -> tuple[float, ...]:
    """One on each side, further off, and what is no number."""
    least, most = placed.range.least, placed.range.most
    if placed.range.whole:
        return int(least) - 1, int(most) + 1, 2**62
    return least - max(1.0, abs(least)), most * (1 + 1e-9) + 1e-300, 1e300, math.nan, math.inf


def _steps(where: str) -> list[tuple[str, int | None]]:
    return [(name, int(place) if place else None) for name, place in _STEP.findall(where)]


def _has(record: object, where: str) -> bool:
    """Whether this is a field, and not what follows from fields."""
    for name, place in _steps(where):
        if not (is_dataclass(record) and name in record.__dataclass_fields__):
            return False
        record = getattr(record, name)
        if place is not None:
            record = record[place]  # type: ignore[index]  # a tuple, by the path
    return True


def _with(record: Any, where: str, number: float) -> Any:
    """The same with another number at this place."""
    first, _, rest = where.partition(".")
    ((name, place),) = _steps(first)
    inner = getattr(record, name)
    old = inner if place is None else inner[place]
    new = _with(old, rest, number) if rest else number
    if place is not None:
        new = (*inner[:place], new, *inner[place + 1 :])
    return replace(record, **{name: new})
