"""Which rows does the text of a CSV file hold, if it says so without any doubt?

A reader that repairs loses patients: a quotation mark that opens a cell and is closed two rows further down swallows
the rows between, and gives one patient the end of another one's row. So nothing is repaired here. Promise: `shape_of`
either returns the one way to read the text, or raises InvalidInput with the lines that leave a doubt:

- a quotation mark that opens a cell stands behind a separator or a line end, one that closes it stands before one, and
  inside a quoted cell it is written twice;
- every row has as many cells as the header;
- a row whose quoted cells go over several lines and hold as many separators as a whole row is refused, since it may be
  several rows. If each line was meant as a row of its own (or was written by a program that quotes), then no reading
  that joins lines passes: the joined lines have at least (lines - 1) x (cells - 1) separators too many, and these could
  only lie inside of its quotes.

A file that was cut on its way ends inside a cell: 60.1 months are 6 then, Nordost is Nord. So where the last row has
no line end and others have one, its last cell is in doubt (`last_cell_in_doubt`) unless the others show a column of
nothing but 0 and 1, or nothing but true and false, and at least `_WITNESSES` of them say the very same: any other word
or number may have gone on, however often it stands elsewhere. Where the last column only says who belongs together
(`of_groups`), it is enough that `_WITNESSES` others say the very same and that none begins so and goes on. A file that
was cut exactly behind a row looks like any other: only the number of its rows tells, to whoever knows it.

Lines are told by number and cells never. Empty lines are no rows. Line ends are CR LF, LF or CR.

Each piece of the text is looked at with whole-array steps; pieces end where a row ends, so that a large table costs no
more memory than a piece. A quoted cell that is still open after `_LONGEST_OPEN_BYTES` is refused there and then.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import Fault, InvalidInput

_LF, _CR = b"\n\r"
QUOTE, NO_QUOTE = b'"', b"\0"
"""What opens and closes a quoted cell; the second, where nothing does: no text holds it."""
COMMA = ","
SEPARATORS = {COMMA: "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""That may stand between cells, with the words for it."""
_PIECE_BYTES = 1 << 20
_LONGEST_OPEN_BYTES = 1 << 22
"""Of rows that one quoted cell may join; a stray quotation mark would else make one piece of all that follows it."""
_LINES_SHOWN = 5
_WITNESSES = 10
_ONLY = (frozenset({b"0", b"1"}), frozenset({b"true", b"false"}))
"""What a column holds beside empty cells, if its cells are to be known as whole without a line end."""

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class CsvShape:
    """What a reader must find.

    header         the names in the first row, as written.
    body_begins    where the row behind the header begins, in bytes.
    rows           behind the header, empty lines not counted.
    lines          the same in lines that are not empty: more than `rows` where quoted cells hold line ends.
    longest_bytes  of a row or header, with its line end.
    quoted         whether there is any quotation mark behind the header.
    """

    header: tuple[str, ...]
    body_begins: int
    rows: int
    lines: int
    longest_bytes: int
    quoted: bool

    @property
    def over_several_lines(self) -> bool:
        return self.lines > self.rows


@dataclass
class _Doubts:
    """The first lines (from 1) of each kind of doubt, and how many rows there are of it."""

    lines: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, lines: Positions) -> None:
        if len(lines):
            self.counts[kind] = self.counts.get(kind, 0) + len(lines)
            self.lines.setdefault(kind, []).extend(int(line) for line in lines[:_LINES_SHOWN])

    def where(self, kind: str) -> str:
        shown = self.lines[kind][:_LINES_SHOWN]
        if self.counts[kind] == 1:
            return f"line {shown[0]}"
        more = self.counts[kind] - len(shown)
        listed = ", ".join(map(str, shown[:-1])) + (f", {shown[-1]}" if more else f" and {shown[-1]}")
        return f"lines {listed}" + (f" and {more} more" if more else "")


@dataclass(frozen=True, eq=False)
class _Piece:
    """The rows of one piece of the text.

    ends       (rows,), behind the last byte of the row and before its line end, empty lines left out.
    begins     (rows,)
    line       (rows,), the number of line ends before the row.
    cells      (rows,)
    joined     (rows,), line ends inside its quoted cells.
    swallowed  (rows,), separators inside its quoted cells.
    misplaced  (cells,), the number of line ends before each quoted cell that does not open or close as it must.
    unclosed   the same of a cell that is open at the end of the text, or None.
    line_ends  in the whole piece.
    longest    bytes from one row's end to the next.
    """

    ends: Positions
    begins: Positions
    line: Positions
    cells: Positions
    joined: Positions
    swallowed: Positions
    misplaced: Positions
    unclosed: int | None
    line_ends: int
    longest: int
    quoted: bool


def shape_of(content: bytes, *, name: str, separator: str = COMMA, quote: bytes = QUOTE) -> CsvShape:
    """The rows of UTF-8 text, with or without a byte order mark. Raises InvalidInput with every doubt.

    name       what faults call the file.
    separator  one of `SEPARATORS`. quote: `QUOTE` or `NO_QUOTE`.
    """
    begin = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    first_line = content[begin : begin + _PIECE_BYTES].partition(b"\n")[0]
    if QUOTE not in first_line:
        _refuse_other_separators(first_line.decode(errors="replace"), name, separator)
    header: tuple[str, ...] | None = None
    body_begins = len(content)
    rows = lines = lines_before = longest = 0
    quoted = False
    doubts = _Doubts()
    one_more = 0
    for start, stop, is_open in _pieces(content, begin, quote):
        piece = _looked_at(
            np.frombuffer(content, dtype=np.uint8, count=stop - start, offset=start), ord(separator), ord(quote)
        )
        doubts.note("misplaced", piece.misplaced + lines_before + 1)
        if is_open:
            first = min([*piece.misplaced.tolist(), *([] if piece.unclosed is None else [piece.unclosed])])
            doubts.note("open", np.array([first + lines_before + 1]))
            break
        if piece.unclosed is not None:
            doubts.note("unclosed", np.array([piece.unclosed + lines_before + 1]))
        first_row = 0
        if header is None and not doubts.counts and len(piece.ends):
            end = start + int(piece.ends[0])
            header = _header(content[start + int(piece.begins[0]) : end], name=name, separator=separator, quote=quote)
            body_begins = min(end + (2 if content[end : end + 2] == b"\r\n" else 1), len(content))
            first_row = 1
        if header is not None:
            line = piece.line + lines_before + 1
            wrong = piece.cells != len(header)
            one_more += int((piece.cells == len(header) + 1).sum())
            doubts.note("ragged", line[wrong])
            doubts.note("several", line[~wrong & (piece.joined > 0) & (piece.swallowed >= len(header) - 1)])
        rows += len(piece.ends) - first_row
        lines += int(piece.joined[first_row:].sum()) + len(piece.ends) - first_row
        quoted |= piece.quoted
        longest = max(longest, piece.longest)
        lines_before += piece.line_ends
    if rows and one_more == rows == doubts.counts.get("ragged"):
        doubts.note("one more", np.zeros(rows, dtype=np.int64))
    _refuse(doubts, name, SEPARATORS[separator])
    if header is None:
        raise InvalidInput([Fault(name, "the file is empty", "Export the table again, with its header line.")])
    return CsvShape(header, body_begins, rows, lines, longest, quoted)


def last_cell_in_doubt(content: bytes, shape: CsvShape, *, separator: str = COMMA, of_groups: bool = False) -> bool:
    """Whether the last cell of the table may be the beginning of a longer one.

    of_groups  the last column names groups of rows, and nothing is lost if a row that is the only one of "Nordost" is
               taken for one of "Nord".
    """
    between = separator.encode()
    if not shape.rows or content.endswith((b"\n", b"\r")):
        return False
    if shape.over_several_lines:  # what looks like the last cell of a row may stand inside of one
        return True
    begins = max(content.rfind(mark) for mark in (between, b"\n", b"\r")) + 1
    cell = content[begins:]
    if shape.quoted and cell.count(b'"') % 2:  # it begins before that separator, inside of quotes
        return True
    mine = _bare(cell)
    only = None if of_groups else next((words for words in _ONLY if mine in words), None)
    if only is None and not of_groups:
        return True
    before = rb"[\r\n]" if len(shape.header) == 1 else re.escape(between)
    last_of_row = re.compile(before + rb"([^" + re.escape(between) + rb"\r\n]*)(?=[\r\n])")
    witnesses = 0
    for found in last_of_row.finditer(content, shape.body_begins - 1, begins):
        bare = _bare(found[1])
        longer = bare != mine and bare.startswith(mine)
        if longer if only is None else bare and bare not in only:
            return True
        witnesses += found[1] == cell
    return witnesses < _WITNESSES


def _bare(cell: bytes) -> bytes:
    return cell.strip(b'"').lower()


def _refuse(doubts: _Doubts, name: str, separators: str) -> None:
    faults, separator = [], separators.removesuffix("s")
    remedy = "Close every quote; write a quote inside a quoted cell twice."
    if "open" in doubts.counts:
        what = (
            f"a quoted cell is not closed within {_LONGEST_OPEN_BYTES >> 20} MiB: a quotation mark is missing or stray"
        )
        raise InvalidInput([Fault(name, what, f"It opens in {doubts.where('open')}. {remedy}")])
    if "unclosed" in doubts.counts:
        what = "quotation marks do not come in pairs: a quoted cell is not closed"
        faults.append(Fault(name, what, f"See {doubts.where('unclosed')}. {remedy}"))
    if "misplaced" in doubts.counts:
        what = "a quotation mark stands inside a cell, or a quoted cell goes on behind its end"
        where = f"The cell begins in {doubts.where('misplaced')}."
        faults.append(
            Fault(name, what, f"{where} {remedy} Open quotes only behind a {separator}, close them before one.")
        )
    if not faults and "one more" in doubts.counts:
        what = "each row has one cell more than the header, as R writes them with row names"
        remedy = "Write it without: row.names = FALSE in R. Else name the first column in the header."
        faults.append(Fault(name, what, remedy, doubts.counts["one more"]))
    if not faults and "ragged" in doubts.counts:
        remedy = (
            f"See {doubts.where('ragged')}. Give every row as many cells as the header; "
            f"put cells that hold a {separator} in quotes."
        )
        what = "some rows have more or fewer cells than the header"
        faults.append(Fault(name, what, remedy, doubts.counts["ragged"]))
    if not faults and "several" in doubts.counts:
        what = f"a quoted cell goes over several lines and holds as many {separators} as a row: it may hold other rows"
        remedy = f"See {doubts.where('several')}. Close the quotes there, or leave line ends out of the cells."
        faults.append(Fault(name, what, remedy, doubts.counts["several"]))
    if faults:
        raise InvalidInput(faults)


def _header(written: bytes, *, name: str, separator: str, quote: bytes) -> tuple[str, ...]:
    text = written.decode()
    names: tuple[str, ...] | None = None
    try:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote == QUOTE else csv.QUOTE_NONE
        found = list(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator, quoting=quoting))
        names = tuple(found[0]) if len(found) == 1 else None
    except csv.Error:  # a single name of more than 128 KiB
        pass
    if names is None:
        raise InvalidInput([Fault(name, "the header line cannot be read", "Write one line of short column names.")])
    if len(names) == 1:
        _refuse_other_separators(names[0], name, separator)
    return names


def _refuse_other_separators(line: str, name: str, separator: str) -> None:
    """Told before its quotes: where cells end elsewhere, these seem to stand inside of cells."""
    if separator not in line and any(mark in line for mark in SEPARATORS):
        remedy = "Export it with commas between cells and a point in decimal numbers."
        if separator != COMMA:
            remedy = "Name the separator that stands there."
        raise InvalidInput([Fault(name, f"cells are not separated by {SEPARATORS[separator]}", remedy)])


def _pieces(content: bytes, begin: int, quote: bytes) -> Iterator[tuple[int, int, bool]]:
    """Stretches that end behind a line end outside of quotes, or at the end of the text.

    With it, whether it is the last that is looked at, since a quoted cell goes on in it beyond all measure.
    """
    while begin < len(content):
        end = min(begin + _PIECE_BYTES, len(content))
        quotes = content.count(quote, begin, end)
        looked = end
        while end < len(content):
            line_end = content.find(b"\n", end)
            after = len(content) if line_end < 0 else line_end + 1
            quotes += content.count(quote, end, after)
            end = after
            if quotes % 2 == 0:
                break
            if end - looked > _LONGEST_OPEN_BYTES:
                yield begin, end, True
                return
        yield begin, end, False
        begin = end


def _looked_at(text: NDArray[np.uint8], separator: int, quote: int) -> _Piece:
    """See `_Piece`. The text begins where a row begins."""
    quotes = np.flatnonzero(text == quote)
    marks = np.flatnonzero((text == separator) | (text == _LF) | (text == _CR))
    kind = text[marks]
    padded = np.append(text, np.uint8(0))
    kept = ~((kind == _CR) & (padded[marks + 1] == _LF))  # CR LF is one line end, and its LF stands for it
    marks, is_end = marks[kept], (kind != separator)[kept]
    inside = np.searchsorted(quotes, marks) % 2 == 1 if len(quotes) else np.zeros(len(marks), dtype=np.bool_)
    if len(text) and (len(marks) == 0 or marks[-1] != len(text) - 1 or not is_end[-1] or inside[-1]):
        # The last row has no line end of its own.
        marks, is_end, inside = np.append(marks, len(text)), np.append(is_end, True), np.append(inside, False)
    at = np.flatnonzero(is_end & ~inside)
    stops = marks[at]
    begins = np.concatenate(([0], stops[:-1] + 1)).astype(np.int64) if len(stops) else np.zeros(0, dtype=np.int64)
    ends = stops - ((stops > begins) & (padded[stops - 1] == _CR))

    def in_each(counted: NDArray[np.bool_]) -> Positions:
        return np.diff(np.cumsum(counted)[at], prepend=0)

    filled = ends > begins
    line_ends = np.cumsum(is_end)
    misplaced, unclosed = _quotes_in_doubt(text, quotes, separator)

    def line_of(places: Positions) -> Positions:
        return np.asarray(np.searchsorted(marks[is_end], places), dtype=np.int64)

    return _Piece(
        ends=ends[filled],
        begins=begins[filled],
        line=np.concatenate(([0], line_ends[at][:-1]))[filled] if len(at) else np.zeros(0, dtype=np.int64),
        cells=in_each(~is_end & ~inside)[filled] + 1,
        joined=in_each(is_end & inside)[filled],
        swallowed=in_each(~is_end & inside)[filled],
        misplaced=line_of(misplaced),
        unclosed=None if unclosed is None else int(line_of(np.array([unclosed]))[0]),
        line_ends=int((is_end & (marks < len(text))).sum()),
        longest=int(np.diff(stops, prepend=-1).max(initial=0)),
        quoted=bool(len(quotes)),
    )


def _quotes_in_doubt(text: NDArray[np.uint8], quotes: Positions, separator: int) -> tuple[Positions, int | None]:
    """Where quoted cells begin that do not open or close as they must; and one that is open at the end.

    Counted from the beginning of a row, every other quotation mark opens. Two that stand side by side, one that closes
    and one that opens, are a quotation mark inside of a cell.
    """
    if not len(quotes):
        return np.zeros(0, dtype=np.int64), None
    # As if a line end stood before and behind the text.
    around = np.concatenate(([np.uint8(_LF)], text, [np.uint8(_LF)]))

    def bounds(places: Positions) -> NDArray[np.bool_]:
        found = around[places]
        return np.isin(found, (separator, _LF, _CR))

    opening, closing = quotes[0::2], quotes[1::2]
    doubled = np.zeros(len(opening), dtype=np.bool_)
    doubled[1:] = opening[1:] == closing[: len(opening) - 1] + 1
    opens_well = doubled | bounds(opening)
    goes_on = np.append(doubled[1:], False)[: len(closing)]
    closes_well = goes_on | bounds(closing + 2)
    first_of_cell = np.maximum.accumulate(np.where(doubled, 0, np.arange(len(opening))))
    wrong = ~opens_well
    wrong[: len(closing)] |= ~closes_well
    cell_begins = opening[first_of_cell]
    unclosed = int(cell_begins[-1]) if len(quotes) % 2 else None
    return np.unique(cell_begins[wrong]), unclosed
