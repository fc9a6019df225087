"""Who is compared, as a text such as "age_years >= 18" says it? Whoever has that marker recorded, and so."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_COMPARED: dict[str, Callable[[FloatArray, float], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(?P<marker>.*\S)\s+(?P<sign>>=|<=|=)\s+(?P<number>-?[0-9]+(\.[0-9]+)?)")
REMEDY = 'Write a marker, >=, <= or =, and a number, with blanks between: "age_years >= 18".'


@dataclass(frozen=True)
class Condition:
    """Of one marker."""

    marker: str
    sign: str
    number: float

    @staticmethod
    def of(text: str) -> Condition | None:
        """None for another text."""
        found = _CONDITION.fullmatch(text)
        return None if found is None else Condition(found["marker"], found["sign"], float(found["number"]))

    def holds(self, values: FloatArray) -> NDArray[np.bool_]:
        """values: (patients,), NaN where not recorded; of these it does not hold."""
        return np.asarray(_COMPARED[self.sign](values, self.number), dtype=np.bool_)
