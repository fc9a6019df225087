"""What does a table hold, whatever the schema is that it is read by?

Digests, to find a copy under a second name: of the bytes of its file, and of the cells of a column, sorted, a number as
the number that it is, so that a format, the order of the rows, missing codes and what a schema makes of a column mean
nothing.

Why another table does not have the same column by chance: let n patients be drawn, one after the other, from whatever
distribution. A multiset in which k different cells stand c_1, ..., c_k times has a probability of at most
n!/n^n times the product of c_j^c_j/c_j!, the multinomial one at the frequencies c_j/n. One more of a cell that stands
there makes that smaller, by (1 + 1/c)^c / (1 + 1/n)^n, and so does a cell more that
differs from all, by (n/(n+1))^n. With k >= 20 it is largest for
twenty patients who all differ, 20!/20^20 = 2.3e-8; and so likely at most is it that a second table has the multiset of
a first one. Not drawn are numbers that are counted up, 1 to n: a column of those has no digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cells import numbers, words
from oncofed.cohort.letters import plain
from oncofed.plain_file import opened

FILE = "the bytes of its file"
_AT_ONCE = 1 << 20
FEWEST_DISTINCT = 20
"""Columns of fewer different cells tell nothing: many hospitals could have the same."""


def file_digest(path: Path | None) -> dict[str, str]:
    """By what people call it; nothing for a database."""
    if path is None:
        return {}
    digest = hashlib.sha256(b"file")
    try:
        with opened(path) as file:
            while piece := file.read(_AT_ONCE):
                digest.update(piece)
    except OSError:
        return {}  # whoever reads the table says why
    return {FILE: digest.hexdigest()}


def column_digests(table: pd.DataFrame, columns: Iterable[str]) -> dict[str, str]:
    """Of those of the columns whose cells tell people apart, by what people call them."""
    wanted = {plain(column) for column in columns}
    found = {}
    for place, name in enumerate(table.columns):
        if plain(str(name)) in wanted and (digest := _digest(table.iloc[:, place])):
            found[f'the column "{name}"'] = digest
    return found


def _digest(column: pd.Series) -> str:
    """Empty where it tells nothing."""
    values = numbers(column).values
    is_number = ~np.isnan(values)
    found = np.sort(values[is_number] + 0.0).astype("<f8")  # 0 and -0 are one number
    others = [] if is_number.all() else words(column[~is_number]).to_pylist()
    if len(np.unique(found)) + len({*others} - {"", None}) < FEWEST_DISTINCT or _is_counted_up(found):
        return ""
    digest = hashlib.sha256(b"column" + found.tobytes())
    for cell in sorted(cell or "" for cell in others):
        written = cell.encode()
        digest.update(len(written).to_bytes(8, "big") + written)
    return digest.hexdigest()


def _is_counted_up(found: NDArray[np.float64]) -> bool:
    """Whether sorted numbers are."""
    return bool(len(found) and np.all(np.diff(found) == 1))
