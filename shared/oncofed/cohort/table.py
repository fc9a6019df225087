"""Which table does a file hold?

Promise: a cell of a CSV file is handed on as the text that stands there (identifiers keep their leading zeros, a
column is never half guessed), and a cell of a Parquet file with its own type. What a cell means is asked later, by
`oncofed.cohort.validation`, which knows the schema. Refused: another format, and files that are missing, empty,
ragged or have two columns of one name. No message repeats anything from the file, not even its first line, which in a
file without a header would be a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from oncofed.errors import Fault, InvalidInput

_UNREADABLE = (pa.ArrowException, OSError, UnicodeError)
"""What a damaged file raises. Its text may quote the file, so it is neither shown nor chained."""


def read_table(path: Path | str) -> pd.DataFrame:
    """The table in a .csv (UTF-8, comma, header line) or .parquet file. Raises InvalidInput.

    returns  one row a patient, a fresh range index; CSV cells are str, an empty cell is "".
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise InvalidInput([Fault(path.name, "is neither .csv nor .parquet", "Export the table in one of the two.")])
    if not path.is_file():
        raise InvalidInput([Fault(path.name, "the file does not exist", "Check the path.")])
    frame: pd.DataFrame | None = None
    with suppress(*_UNREADABLE):
        content = path.read_bytes()
        table = _read_csv(path, content) if suffix == ".csv" else _read_parquet(path, content)
        # Index columns that pandas may have written into a Parquet file are ordinary columns here.
        frame = table.to_pandas(ignore_metadata=True)
    if frame is None:
        remedy = {
            ".csv": "Save it as UTF-8 text with commas, one header line and quotes around commas.",
            ".parquet": "Write it again, for example with pandas.DataFrame.to_parquet.",
        }[suffix]
        raise InvalidInput([Fault(path.name, f"the file cannot be read as {suffix}", remedy)])
    return frame


def _read_csv(path: Path, content: bytes) -> pa.Table:
    if not content.strip():
        raise InvalidInput([Fault(path.name, "the file is empty", "Export the table again, with its header line.")])
    if content.count(b'"') % 2:  # Else the last quote swallows the patients after it.
        remedy = "Close every quote; write a quote inside a quoted cell twice."
        raise InvalidInput([Fault(path.name, "quotation marks do not come in pairs", remedy)])
    content += b"\n"  # so that a header line alone is a table without rows, with or without an end of line
    names = _csv_header(path, content)
    ragged_rows = 0

    def count_ragged(_: object) -> str:
        nonlocal ragged_rows
        ragged_rows += 1
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=count_ragged),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    if ragged_rows:
        remedy = "Give every row as many cells as the header; put cells that hold a comma in quotes."
        raise InvalidInput(
            [Fault(path.name, "some rows have more or fewer cells than the header", remedy, ragged_rows)]
        )
    return table


def _csv_header(path: Path, content: bytes) -> list[str]:
    options = pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip")
    with pyarrow.csv.open_csv(pa.BufferReader(content), parse_options=options) as reader:
        names = list(reader.schema.names)
    if len(names) == 1 and any(mark in names[0] for mark in (";", "\t", "|")):
        remedy = "Export it with commas between cells and a point in decimal numbers."
        raise InvalidInput([Fault(path.name, "cells are not separated by commas", remedy)])
    _refuse_repeated(path, names)
    return names


def _read_parquet(path: Path, content: bytes) -> pa.Table:
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
    _refuse_repeated(path, file.schema_arrow.names)
    return file.read()


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    """Columns are told by position: in a file without a header line, a column's "name" is a patient's value."""
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(names, start=1):
        positions.setdefault(name, []).append(position)
    faults = [
        Fault(
            f"{path.name}: columns {' and '.join(map(str, found))}",
            "have one and the same name",
            "Rename or remove all but one; check that the first line is the header.",
        )
        for found in positions.values()
        if len(found) > 1
    ]
    if faults:
        raise InvalidInput(faults)
