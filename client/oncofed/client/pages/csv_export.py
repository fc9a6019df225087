"""How does a table of the cohort view become a CSV file that a spreadsheet reads as it is meant?

A text that a spreadsheet would take for a formula (a marker or category named "=...") is made harmless by
`texts.spreadsheet_cell`.
Numbers are written as numbers. Only what the cohort view shows is exported: groups, never a patient.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from oncofed.texts import spreadsheet_cell

Cell = str | float | int


def csv_text(heading: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Comma-separated, lines ended as RFC 4180 asks; a number that is not known is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([_cell(each) for each in heading])
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return spreadsheet_cell(cell)
    if isinstance(cell, int):
        return str(cell)
    return f"{cell:.6g}" if math.isfinite(cell) else ""
