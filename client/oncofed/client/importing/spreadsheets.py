"""Which table does a sheet of an Excel workbook (.xlsx) hold?

Cells keep their types: a day is a day however the sheet shows it, and a number has no decimal mark. The header is the
first row that holds anything and is no remark. Refused, by name: a sheet that is not there, a workbook of several
sheets of which none is named, a workbook that cannot be read (an encrypted one, say), two columns of one name that are
asked for, cells beyond the header's columns, and **formulas whose value the workbook does not hold**: a program that is
not Excel may write such, and their cells would be taken for empty ones.

openpyxl reads the file (MIT), an extra: pip install 'oncofed[excel]'.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.typed_cells import TypedColumns
from oncofed.cohort.letters import plain
from oncofed.cohort.table import Tell
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

_PIECE_ROWS = 5_000
_LARGEST_BYTES = 2 << 30
_ENCRYPTED = b"\xd0\xcf\x11\xe0"
Row = tuple[Any, ...]

_LITERAL = re.compile(r'"[^"]*"|\\.')
"""What a number format shows as it stands: a sign of per cent in it multiplies nothing."""


def read_sheet(path: Path, source: Source, *, columns: Iterable[str] | None, tell: Tell) -> pd.DataFrame:
    """These columns of the sheet that the source names; None: all. Raises InvalidInput."""
    try:
        return _read(path, source, columns, tell)
    except (InvalidInput, MemoryError):
        raise
    except Exception:  # whatever a damaged part makes the reader say, which may quote it
        raise _unreadable(path.name) from None


def sheet_names(path: Path) -> tuple[str, ...]:
    """In the workbook's order. Raises InvalidInput."""
    try:
        return tuple(sheet.title for sheet in _sheets(_workbook(path), path.name, computed=True))
    except (InvalidInput, MemoryError):
        raise
    except Exception:  # as in `read_sheet`
        raise _unreadable(path.name) from None


def _read(path: Path, source: Source, columns: Iterable[str] | None, tell: Tell) -> pd.DataFrame:
    content = _workbook(path)
    values = _sheet(content, path.name, source, computed=True)
    rows = _rows(values, source)
    header = next(rows, None)
    if header is None:
        raise InvalidInput([Fault(path.name, "the sheet is empty", "Name another sheet, or export it again.")])
    names = ["" if cell is None else plain(str(cell)) for cell in header]
    wanted = None if columns is None else {_nearly(column) for column in columns}
    kept = [place for place, name in enumerate(names) if name and (wanted is None or _nearly(name) in wanted)]
    if twice := [name for name, times in Counter(names[place] for place in kept).items() if times > 1]:
        places = [str(place + 1) for place in kept if names[place] in twice]
        remedy = "Rename or remove all but one; check that the first row is the header."
        raise InvalidInput(
            [Fault(f"{path.name}: columns {' and '.join(places)}", "have one and the same name", remedy)]
        )
    _refuse_uncomputed(content, path.name, source, kept, shares=columns is not None)
    typed = TypedColumns([names[place] for place in kept], source)
    shifted = 0
    piece: list[list[object]] = []
    for row in rows:
        shifted += any(cell is not None for place, cell in enumerate(row) if place >= len(names) or not names[place])
        piece.append([_cell(row[place]) if place < len(row) else None for place in kept])
        if len(piece) == _PIECE_ROWS:
            typed.add(piece)
            piece = []
    if piece:
        typed.add(piece)
    if shifted:
        what = "some rows hold something in columns without a name: their cells may be shifted"
        raise InvalidInput([Fault(path.name, what, "Give these columns a name, or empty them.", shifted)])
    for note in _of_what_is_shown(_sheet(content, path.name, source, computed=True), kept):
        tell(f"{path.name}: {note}")
    if not typed.rows:
        tell(f"{path.name}: the sheet has a header and no rows")
    return typed.frame()


_UNSEEN = rb"""(?:\bhidden=["'](?:1|true)["']|\b(?:ht|width)=["']0+(?:\.0*)?["'])"""
_HIDDEN = re.compile(rb"<(?:\w+:)?row\b[^<>]*\s" + _UNSEEN)
_COLUMNS = re.compile(rb"<(?:\w+:)?col\b(?=[^<>]*\s" + _UNSEEN + rb")[^<>]*>")
_REACH = re.compile(rb"""\b(min|max)=["'](\d+)["']""")
_MERGED = re.compile(rb"""<(?:\w+:)?mergeCell\b[^<>]*\bref=["'][A-Z]+(\d+):[A-Z]+(\d+)["']""")
_PIECE_BYTES = 1 << 20


def _of_what_is_shown(sheet: Any, kept: Sequence[int]) -> Iterator[str]:
    """What people see of a sheet and its cells do not say: rows that a filter hides, cells that are one.

    kept  the columns that are read; others may be hidden.
    """
    hidden, merged, rest = 0, 0, b""
    unseen: set[int] = set()
    with sheet._get_source() as part:  # its XML, in which a sign < begins an element and nothing else
        while piece := part.read(_PIECE_BYTES):
            whole, begun, rest = (rest + piece).rpartition(b"<")
            hidden += len(_HIDDEN.findall(whole))
            for column in _COLUMNS.findall(whole):
                reach = {name: int(number) for name, number in _REACH.findall(column)}
                unseen |= {place for place in kept if reach.get(b"min", 1) <= place + 1 <= reach.get(b"max", 0)}
            merged += sum(first != last for first, last in _MERGED.findall(whole))
            rest = begun + rest
    if hidden:
        yield f"{hidden:,} rows are hidden in the sheet, by a filter perhaps, and count like the others"
    if unseen:
        yield f"{len(unseen)} columns that are read are hidden in the sheet"
    if merged:
        yield f"{merged:,} merged cells reach over several rows: only the first of these rows has what they hold"


def _workbook(path: Path) -> bytes:
    content = file_content(path)
    if content.startswith(_ENCRYPTED):
        what = "is protected by a password, or an older Excel file (.xls)"
        raise InvalidInput([Fault(path.name, what, "Save it as .xlsx without a password.")])
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > _LARGEST_BYTES:
        what = f"it unpacks to more than {_LARGEST_BYTES >> 30} GiB"
        raise InvalidInput([Fault(path.name, what, "Export the sheet as a CSV file.")])
    return content


def _unreadable(name: str) -> InvalidInput:
    return InvalidInput([Fault(name, "cannot be read as an Excel workbook", "Save it once more as .xlsx.")])


def _sheets(content: bytes, name: str, *, computed: bool) -> list[Any]:
    """computed: the values that formulas had when the workbook was saved, and not the formulas."""
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        remedy = "Install it: pip install 'oncofed[excel]'. Or save the sheet as a CSV file."
        raise InvalidInput([Fault(name, "the reader of Excel files is not installed", remedy)]) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that it does not know
        return list(load_workbook(io.BytesIO(content), read_only=True, data_only=computed).worksheets)


def _sheet(content: bytes, name: str, source: Source, *, computed: bool) -> Any:
    """The one that the source means. Raises InvalidInput."""
    sheets = {sheet.title: sheet for sheet in _sheets(content, name, computed=computed)}
    if source.sheet is not None and source.sheet not in sheets:
        raise InvalidInput([Fault(name, "has no sheet of the name that the mapping says", "Correct sheet.")])
    if source.sheet is None and len(sheets) != 1:
        raise InvalidInput([Fault(name, f"has {len(sheets)} sheets", "Name one of them under sheet.")])
    return sheets[source.sheet] if source.sheet is not None else next(iter(sheets.values()))


def _rows(sheet: Any, source: Source, *, values: bool = True) -> Iterator[Row]:
    """From the header on; rows without anything are none."""
    begun = False
    sheet.reset_dimensions()  # what a workbook says of its own size may be wrong
    for row in sheet.iter_rows(values_only=values):
        cells = row if values else tuple(cell.value for cell in row)
        filled = [cell for cell in cells if cell is not None and cell != ""]
        remark = source.comment is not None and filled and str(filled[0]).startswith(source.comment)
        if not filled or (not begun and remark):
            continue
        begun = True
        yield row


def _refuse_uncomputed(content: bytes, name: str, source: Source, kept: Sequence[int], *, shares: bool) -> None:
    """Formulas in the columns that are read, of which the workbook holds no value.

    shares  also refused, then: numbers that the sheet shows as per cent, and holds as a hundredth of what it shows.
    """
    formulas = _sheet(content, name, source, computed=False)
    computed = _sheet(content, name, source, computed=True)
    formulas.reset_dimensions()
    computed.reset_dimensions()
    count = hundredths = 0
    for told, row in zip(formulas.iter_rows(), computed.iter_rows(values_only=True), strict=False):
        for place in kept:
            if place < len(told) and told[place].data_type == "f":
                count += place >= len(row) or row[place] is None
            if shares and place < min(len(told), len(row)) and isinstance(row[place], float | int):
                hundredths += "%" in _LITERAL.sub("", told[place].number_format or "")
    if hundredths:
        what = "shows numbers as per cent, and holds a hundredth of what it shows"
        remedy = "Show these columns as plain numbers, in the unit that the mapping names, or save the sheet as CSV."
        raise InvalidInput([Fault(name, what, remedy, hundredths)])
    if count:
        what = "holds formulas without their values"
        remedy = "Open it in Excel, save it, and name it again; or paste the cells as values."
        raise InvalidInput([Fault(name, what, remedy, count)])


def _cell(cell: object) -> object:
    return None if cell == "" else cell


def _nearly(name: str) -> str:
    return plain(name).strip().casefold()
