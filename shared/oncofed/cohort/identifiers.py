"""Whom does a column of identifiers name?

One check for every table that names patients: the first, the one that assigns them to hospitals, and a hospital's own
files. A reader with a check of its own once gave a patient another one's hospital: as floating-point numbers long
identifiers are rounded to their neighbours'. Whether a patient may stand in several rows is the table's own matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oncofed.cohort.cells import lost_digits, quoted, words
from oncofed.errors import Fault


@dataclass(frozen=True, eq=False)
class Identifiers:
    """names: (rows,) texts, null where there is none. faults: each with the number of its rows."""

    names: pa.Array
    faults: tuple[Fault, ...]

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.asarray(pc.is_null(self.names).to_numpy(zero_copy_only=False), dtype=np.bool_)


def identifiers_in(column: pd.Series, *, where: str) -> Identifiers:
    """The identifiers in a column, and why it does not name patients. where: what faults call it."""
    found = Identifiers(words(column), ())
    wrong = (
        (found.missing, "the identifier is missing", "Give every patient an identifier, or drop the row."),
        (
            lost_digits(column),
            "the identifier is a number with a fraction, or too large to be kept exactly",
            "Store identifiers as text or as whole numbers.",
        ),
        (  # two quoted cells whose comma was lost are one cell with a quotation mark inside
            quoted(found.names),
            "the identifier holds a quotation mark",
            "Look for a lost comma or a stray quotation mark there; write identifiers without.",
        ),
    )
    faults = tuple(Fault(where, what, remedy, int(rows.sum())) for rows, what, remedy in wrong if rows.any())
    return Identifiers(found.names, faults)
