"""What may be said of a table's quality: a fault, a suspect, a note?

A finding names columns, categories and ranges of the schema, and counts of rows; never a cell and never an identifier,
like a fault of validation, so that a page with it shows nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oncofed.errors import Fault


class Level(StrEnum):
    FAULT = "fault"
    """The table would be refused."""
    SUSPECT = "suspect"
    """Accepted, and probably not what is meant: somebody should look."""
    NOTE = "note"
    """As it should be in some hospitals; good to know."""


@dataclass(frozen=True)
class Finding:
    """about: a marker, an endpoint or the table. count: of rows, where rows apply.

    told  `what` for who may not know exact counts of this hospital's patients, where there are figures in it; empty
          where nothing may be told. None: as it stands.
    """

    level: Level
    about: str
    what: str
    remedy: str = ""
    count: int | None = None
    told: str | None = None

    @staticmethod
    def of_fault(fault: Fault) -> Finding:
        return Finding(Level.FAULT, fault.place, fault.what, fault.remedy, fault.count)

    def __str__(self) -> str:
        rows = "" if self.count is None else f" ({self.count:,} row{'s' if self.count != 1 else ''})"
        return f"{self.about}: {self.what}{rows}.{f' {self.remedy}' if self.remedy else ''}"
