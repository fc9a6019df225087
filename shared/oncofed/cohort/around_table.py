"""What have programs written around the rows of a CSV file that is no row?

Excel writes rows of separators below the data and `sep=,` above them, old programs end a file with Ctrl-Z, and psql
says below how many rows there are. Each of these is left out and told, since nothing stands in it; what psql says is
held against the rows. Promise: no line that holds a cell is left out, and the numbers of lines stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from oncofed.cohort.csv_rows import COMMA, SEPARATORS
from oncofed.errors import Fault, InvalidInput

_MARK = b"\xef\xbb\xbf"
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?\r?\n', re.IGNORECASE)
_COUNT_LINE = re.compile(rb"\((\d{1,18}) rows?\)")
_CTRL_Z = b"\x1a"
_LINE_ENDS, _BLANKS = b"\r\n", b" \t"
_STEP_BYTES = 1 << 16


@dataclass(frozen=True)
class Table:
    """content: the file without what is around its rows. said_rows: how many there are, where the file says so."""

    content: bytes
    said_rows: int | None = None

    def refuse_other_count(self, rows: int, *, name: str) -> None:
        """Raises InvalidInput where the file says of itself that it holds more or fewer rows than these."""
        if self.said_rows is not None and self.said_rows != rows:
            what = f"the last line says that there are {self.said_rows} rows, and there are {rows}"
            raise InvalidInput([Fault(name, what, "Export the table again.")])


def table_in(content: bytes, *, name: str, separator: str, tell: Callable[[str], None]) -> Table:
    """The table itself. Raises InvalidInput for a first line that names another separator. name: for what is told."""
    content = _without_separator_line(content, name=name, separator=separator, tell=tell)
    end = _end_of(content, _LINE_ENDS + _BLANKS + _CTRL_Z)
    if (mark := content.find(_CTRL_Z, end)) >= 0:
        content = content[:mark]
        tell(f"{name}: the mark of a file's end (Ctrl-Z) is left out.")
    content = _without_empty_rows(content, name=name, separator=separator, tell=tell)
    end = _end_of(content, _LINE_ENDS + _BLANKS)
    begin = max(content.rfind(mark, max(0, end - 64), end) for mark in (b"\r", b"\n")) + 1
    said = _COUNT_LINE.fullmatch(content, begin, end) if begin else None
    if said is None:
        return Table(content)
    tell(f"{name}: the last line, which says how many rows there are, is left out.")
    return Table(content[:begin], int(said[1]))


def _without_separator_line(content: bytes, *, name: str, separator: str, tell: Callable[[str], None]) -> bytes:
    begin = len(_MARK) if content.startswith(_MARK) else 0
    found = _SEPARATOR_LINE.match(content, begin)
    if found is None:
        return content
    if (said := found[1].decode("latin-1")) != separator:
        words = SEPARATORS.get(said, "another mark")
        remedy = f"Export it with {SEPARATORS[separator]} between cells, and without that line."
        if separator == COMMA:
            remedy = "Export it with commas between cells and a point in decimal numbers, and without that line."
        raise InvalidInput([Fault(name, f"its first line says that cells are separated by {words}", remedy)])
    tell(f"{name}: the first line, sep={separator}, is left out.")
    return content[:begin] + b"\n" + content[found.end() :]  # a line all the same, so that others keep their numbers


def _without_empty_rows(content: bytes, *, name: str, separator: str, tell: Callable[[str], None]) -> bytes:
    """Without the rows at the end in which nothing stands but separators and blanks.

    Only where the last one has its line end: else it may be the beginning of a row that was cut.
    """
    end = _end_of(content, _LINE_ENDS + _BLANKS + separator.encode())
    if not end:
        return content
    last = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)").match(content, end)  # the rest of the last row that holds a cell
    assert last is not None
    empty = [line for line in content[last.end() :].splitlines() if line]
    if not empty or not content.endswith((b"\r", b"\n")):
        return content
    rows, are = ("row", "is") if len(empty) == 1 else ("rows", "are")
    tell(f"{name}: {len(empty)} empty {rows} below the table {are} left out.")
    return content[: last.end()]


def _end_of(content: bytes, marks: bytes) -> int:
    """Behind the last byte that is none of these."""
    end = len(content)
    while end:
        begin = max(0, end - _STEP_BYTES)
        if kept := content[begin:end].rstrip(marks):
            return begin + len(kept)
        end = begin
    return 0
