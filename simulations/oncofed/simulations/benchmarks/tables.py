"""What did a comparison give? A table with what was wanted of it, for the terminal and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass

import rich.console
import rich.table


@dataclass(frozen=True)
class Table:
    """title, what the columns are, one row a comparison; notes say how it was measured and what was wanted."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def show(self, console: rich.console.Console) -> None:
        """On a terminal."""
        columns = [rich.table.Column(name, no_wrap=True) for name in self.columns]
        shown = rich.table.Table(*columns, title=self.title, title_justify="left", box=None)
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)
        for note in self.notes:
            console.print(note, highlight=False, markup=False)
        console.print()

    def markdown(self) -> str:
        """For a page of the documentation."""
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, *self.rows)]
        lines.insert(1, "|" + "---|" * len(self.columns))
        return "\n".join([f"## {self.title}", "", *lines, "", *self.notes]) + "\n"


def verdict(what: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    """Whether a wanted ratio was reached, in words."""
    if at_least is not None:
        wanted, reached = f"at least {at_least:g}", value >= at_least
    else:
        assert at_most is not None
        wanted, reached = f"at most {at_most:g}", value <= at_most
    return f"{what}: {value:.2f}, wanted {wanted}: {'reached' if reached else 'MISSED'}."
