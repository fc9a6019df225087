"""Which table does a file hold?

The one reader of every table: the patients, the second table of a study that assigns them, and (names and repeated
columns, `named_frame`) what a database answers. Promise: nothing is repaired. Either each row is read as it was meant,
or the file is refused with the lines that leave a doubt (`oncofed.cohort.csv_rows`). A cell of a CSV file is handed on
as the text that stands there (identifiers keep their leading zeros, a column is never half guessed), and a cell of a
Parquet file with its own type. What a cell means is asked later, by `oncofed.cohort.validation`, which knows the
schema. Refused: another format or encoding (`oncofed.cohort.file_kind`), and files that are missing, empty, ragged,
damaged as their own checksums say, or have two columns of one name that are asked for. No message repeats anything from
the file, not even its first line, which in a file without a header would be a patient.

Only the columns that are asked for are read: what else a file holds costs nothing and can break nothing. Spreadsheets
write empty columns without a name at the right of a CSV file; these are left out, and told. A row that holds something
there is refused: one cell too many has shifted the others. What else programs write around a table is left out, and
told, by `oncofed.cohort.around_table`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from oncofed.cohort.around_table import Table, table_in
from oncofed.cohort.csv_rows import NO_QUOTE, QUOTE, CsvShape, last_cell_in_doubt, shape_of
from oncofed.cohort.file_kind import refuse_if_not
from oncofed.cohort.instants import days_there, is_instant
from oncofed.cohort.letters import plain
from oncofed.cohort.text_form import TextForm, plain_text
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

Tell = Callable[[str], None]
"""Told what a person should know of a table that is read all the same: counts and columns, never a cell."""

_UNREADABLE = (pa.ArrowException, OSError, UnicodeError)
"""What a damaged file raises. Its text may quote the file, so it is neither shown nor chained."""

_SMALLEST_BLOCK = 1 << 20
_LARGEST_BLOCK = (1 << 31) - 1


def keep_to_oneself(_: str) -> None:
    """The null `Tell`."""


def read_table(
    path: Path | str,
    *,
    columns: Iterable[str] | None = None,
    tell: Tell = keep_to_oneself,
    form: TextForm | None = None,
    of_groups: bool = False,
) -> pd.DataFrame:
    """The table in a .csv (UTF-8, comma, header line) or .parquet file. Raises InvalidInput.

    columns  read these alone, and those whose names differ only in capitals or blanks, so that this can be told;
             None: all. One that the file lacks is left out.
    form     how a text is written that is to be imported. Then any file that is not .parquet is such a text, days in a
             Parquet file are texts, YYYY-MM-DD, and columns of texts are categorical: long tables have few words. A
             moment in UTC is refused where the form tells no zone.
    of_groups  the last column says who belongs together, no more: `csv_rows.last_cell_in_doubt` then asks less.
    returns  one row a patient, a fresh range index; column names without what cannot be seen (`letters.plain`); CSV
             cells are str, an empty cell is "".
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if form is not None and suffix != ".parquet":
        suffix = ".csv"
    if suffix not in (".csv", ".parquet"):
        raise InvalidInput([Fault(path.name, "is neither .csv nor .parquet", "Export the table in one of the two.")])
    content = file_content(path)
    if form is not None and suffix == ".csv":
        content = plain_text(content, form, name=path.name)
    text = form or TextForm()
    if suffix == ".csv" and not content.strip():
        raise InvalidInput([Fault(path.name, "the file is empty", "Export the table again, with its header line.")])
    around = Table(content)
    if suffix == ".csv":
        around = table_in(content, name=path.name, separator=text.separator, tell=tell)
        content = around.content
    refuse_if_not(suffix, content, name=path.name)
    wanted = None if columns is None else {_nearly(column) for column in columns}
    frame: pd.DataFrame | None = None
    with suppress(*_UNREADABLE):
        if suffix == ".csv":
            shape = shape_of(
                content, name=path.name, separator=text.separator, quote=QUOTE if text.quoted else NO_QUOTE
            )
            around.refuse_other_count(shape.rows, name=path.name)
            _refuse_cut(
                content,
                shape,
                name=path.name,
                wanted=wanted,
                separator=text.separator,
                of_groups=of_groups,
                tell=tell,
            )
            frame = _read_csv(
                content,
                shape,
                name=path.name,
                wanted=wanted,
                separator=text.separator,
                coded=form is not None,
                tell=tell,
            )
            if shape.over_several_lines:
                tell(
                    f"{path.name}: {shape.lines} lines hold {shape.rows} rows, since some quoted cells go over several "
                    "lines. If each line was meant as a row, look for stray quotation marks."
                )
        else:
            frame = _read_parquet(content, name=path.name, wanted=wanted, form=form, tell=tell)
    if frame is None:
        remedy = {
            ".csv": "Save it as UTF-8 text with commas, one header line and quotes around commas.",
            ".parquet": "Write it again, for example with pandas.DataFrame.to_parquet.",
        }[suffix]
        raise InvalidInput([Fault(path.name, f"the file cannot be read as {suffix}", remedy)])
    return frame


def named_frame(
    rows: Sequence[tuple[object, ...]], names: Sequence[str], *, name: str, columns: Iterable[str] | None = None
) -> pd.DataFrame:
    """What a database answered, as `read_table` gives it. Raises InvalidInput for two columns of one name."""
    wanted = None if columns is None else {_nearly(column) for column in columns}
    plain_names = _distinct_names(names, name=name, wanted=wanted)
    # As objects: a column of whole numbers with an empty cell would else become floating-point numbers.
    frame = pd.DataFrame(list(rows), columns=plain_names, dtype=object)
    return frame.iloc[:, _positions(plain_names, wanted)]


def _positions(names: Sequence[str], wanted: set[str] | None) -> list[int]:
    return [position for position, name in enumerate(names) if wanted is None or _nearly(name) in wanted]


def _nearly(name: str) -> str:
    """Columns of one such name may be taken for one another; `oncofed.cohort.validation` says so."""
    return plain(name).strip().casefold()


def _refuse_cut(
    content: bytes,
    shape: CsvShape,
    *,
    name: str,
    wanted: set[str] | None,
    separator: str,
    of_groups: bool,
    tell: Tell,
) -> None:
    """Nobody is harmed by what is missing of a column that nobody asks for."""
    asked = wanted is None or _nearly(shape.header[-1]) in wanted
    if not asked or not shape.rows or content.endswith((b"\n", b"\r")):
        return
    if last_cell_in_doubt(content, shape, separator=separator, of_groups=of_groups):
        what = "the last line has no line end, so its last cell may have been cut off"
        remedy = (
            "Compare the last row with the source. If it is whole, add a line end behind it; else copy or export the "
            "table again."
        )
        raise InvalidInput([Fault(name, what, remedy)])
    tell(f"{name}: the last line has no line end. If the file was cut there, compare its last row with the source.")


def _read_csv(
    content: bytes,
    shape: CsvShape,
    *,
    name: str,
    wanted: set[str] | None,
    separator: str,
    coded: bool,
    tell: Tell,
) -> pd.DataFrame:
    named = _named_columns(shape.header)
    names = _distinct_names(shape.header[:named], name=name, wanted=wanted)
    kept = _positions(names, wanted)
    nameless = range(named, len(shape.header))
    if not kept or not shape.rows:
        return pd.DataFrame({names[position]: [] for position in kept}, index=range(shape.rows), dtype=object)
    places = [str(position) for position in range(len(shape.header))]
    read = [places[position] for position in (*kept, *nameless)]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(pa.py_buffer(content).slice(shape.body_begins)),
        read_options=pyarrow.csv.ReadOptions(
            column_names=places,  # a row must fit into a block
            block_size=min(max(_SMALLEST_BLOCK, 2 * shape.longest_bytes + 2), _LARGEST_BLOCK),
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator,
            quote_char='"' if shape.quoted else False,
            newlines_in_values=shape.over_several_lines,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=read,
            column_types=dict.fromkeys(read, pa.string()),
            strings_can_be_null=False,
        ),
    )
    if table.num_rows != shape.rows:
        what = "its rows can be counted in two ways"
        raise InvalidInput([Fault(name, what, "Write it again, with one kind of line end and no stray quotes.")])
    if nameless:
        _refuse_filled(table.select(read[len(kept) :]), name=name)
        columns, are = ("column", "is") if len(nameless) == 1 else ("columns", "are")
        tell(f"{name}: {len(nameless)} empty {columns} without a name at the right {are} left out.")
        table = table.select(read[: len(kept)])
    if wanted is not None and shape.over_several_lines:
        _refuse_line_ends(table, [position + 1 for position in kept], name=name)
    table = table.rename_columns([names[position] for position in kept])
    if coded:
        table = pa.table(
            {column: cells.dictionary_encode() for column, cells in zip(table.column_names, table, strict=True)}
        )
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def _named_columns(header: Sequence[str]) -> int:
    """How many columns there are, those at the right without a name left out. A table of such columns alone has all."""
    named = [position for position, column in enumerate(header, start=1) if plain(column).strip()]
    return named[-1] if named else len(header)


def _refuse_filled(nameless: pa.Table, *, name: str) -> None:
    """Beside a decimal comma, or a comma too many, the last cells of a row stand there."""
    filled = np.zeros(nameless.num_rows, dtype=np.bool_)
    for cells in nameless.itercolumns():
        filled |= pc.not_equal(pc.utf8_trim_whitespace(cells), "").to_numpy().astype(np.bool_)
    if count := int(filled.sum()):
        what = "some rows hold something in the columns at the right without a name: their cells may be shifted"
        remedy = "Put cells that hold a separator in quotes; give these columns a name, or empty them."
        raise InvalidInput([Fault(name, what, remedy, count)])


def _refuse_line_ends(table: pa.Table, numbers: Sequence[int], *, name: str) -> None:
    """They belong into a note, and a column that a schema names is no note: perhaps a stray quote joined two rows."""
    faults = []
    for number, cells in zip(numbers, table.itercolumns(), strict=True):
        if broken := pc.sum(pc.match_substring_regex(cells, pattern=r"[\r\n]")).as_py():
            remedy = "Look for stray quotation marks there, and leave line ends out."
            faults.append(Fault(f"{name}: column number {number}", "has cells that hold a line end", remedy, broken))
    if faults:
        raise InvalidInput(faults)


def _read_parquet(
    content: bytes, *, name: str, wanted: set[str] | None, form: TextForm | None, tell: Tell
) -> pd.DataFrame:
    file = pyarrow.parquet.ParquetFile(
        pa.BufferReader(content), page_checksum_verification=True, coerce_int96_timestamp_unit="us"
    )
    old = _old_moments(file)
    names = _distinct_names(file.schema_arrow.names, name=name, wanted=wanted)
    kept = _positions(names, wanted)
    read = None
    try:
        read = file.read(columns=[file.schema_arrow.names[position] for position in kept])
    except OSError as error:
        if "checksum" not in str(error):
            raise
    if read is None:
        what = "the file is damaged: it holds something else than its own checksums say"
        raise InvalidInput([Fault(name, what, "Copy it again from where it was made, or write it again.")])
    by_name = dict(zip(read.column_names, read.itercolumns(), strict=True))
    columns: dict[str, pd.Series] = {}
    faults = []
    for position in kept:
        cells = by_name.get(file.schema_arrow.names[position])
        if form is not None and cells is not None and (zone := old.get(file.schema_arrow.names[position])):
            cells = cells.cast(pa.timestamp("us", zone))
        if form is not None and cells is not None and is_instant(cells.type):
            there = days_there(cells, form.zone, stand_ins=form.stand_ins)
            cells = None if there is None else there.days
            if there is not None and there.moved:
                tell(
                    f"{name}: column number {position + 1}: {there.moved:,} moments are midnight by their own clock, "
                    "where others are not, and became another day by the hospital's. If they were written for days, "
                    "export them as days"
                )
            if cells is None:
                what = "holds moments in UTC, which are days only in a time zone"
                remedy = 'Name the hospital\'s in the mapping, such as time_zone = "Europe/Berlin".'
                faults.append(Fault(f"{name}: column number {position + 1}", what, remedy))
                continue
        if form is not None and cells is not None and (count := _nans(cells)):
            tell(
                f"{name}: column number {position + 1}: {count:,} cells are NaN, which is no number, and count as empty"
            )
        column = None if cells is None else _typed_cells(cells, coded=form is not None)
        if column is None:
            what = "holds neither text nor numbers, such as dates or lists, or text that is not UTF-8"
            faults.append(Fault(f"{name}: column number {position + 1}", what, "Write it as text or as numbers."))
        else:
            columns[names[position]] = column
    if faults:
        raise InvalidInput(faults)
    return pd.DataFrame(columns, index=range(file.metadata.num_rows))


def _nans(cells: pa.ChunkedArray) -> int:
    known = pa.types.is_float32(cells.type) or pa.types.is_float64(cells.type)
    return int(pc.sum(pc.is_nan(cells), min_count=0).as_py()) if known else 0


def _old_moments(file: pyarrow.parquet.ParquetFile) -> dict[str, str]:
    """The zone of each column of moments as Spark and Hive write them (INT96): UTC, which they do not say.

    Where Arrow has written them, its own schema beside tells the zone, or that there is none.
    """
    beside = (file.metadata.metadata or {}).get(b"ARROW:schema")
    told = None if beside is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(beside)))
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    names = [leaf.path for leaf in leaves if leaf.physical_type == "INT96" and leaf.path in file.schema_arrow.names]
    places = {name: -1 if told is None else told.get_field_index(name) for name in names}
    zones = {
        name: "UTC" if told is None or place < 0 else getattr(told.field(place).type, "tz", None)
        for name, place in places.items()  # below 0: of two columns of one name
    }
    return {name: zone for name, zone in zones.items() if zone is not None}


def _typed_cells(cells: pa.ChunkedArray, *, coded: bool) -> pd.Series | None:
    """The cells with their own type, or None where that is no kind of text, number or truth.

    coded  whether a day is the text YYYY-MM-DD, and nothing that is refused; and texts are categorical.
    """
    kind = cells.type
    try:
        if coded and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            days = cells.combine_chunks().dictionary_encode()
            texts = pc.strftime(days.dictionary, format="%Y-%m-%d").cast(pa.string())
            cells, kind = pa.chunked_array([texts.take(days.indices)]), pa.string()
        if pa.types.is_dictionary(kind):
            cells, kind = cells.cast(kind.value_type), kind.value_type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):  # how some programs write text
            cells, kind = cells.cast(pa.large_string()), pa.large_string()
        cells.validate(full=True)  # text that is not UTF-8
    except _UNREADABLE:
        return None
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (text or number or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        return None
    column: pd.Series = (cells.dictionary_encode() if coded and text else cells).to_pandas()
    return column


def _distinct_names(written: Sequence[str], *, name: str, wanted: set[str] | None) -> list[str]:
    """Without what cannot be seen. Raises InvalidInput for two of one name that are asked for.

    Where none is there that is asked for, the first line may be no header, and all of them are looked at. Columns are
    told by position: in a file without a header line, a column's "name" is a patient's value.
    """
    names = [plain(column) for column in written]
    positions: dict[str, list[int]] = {}
    for position, column in enumerate(names, start=1):
        positions.setdefault(column, []).append(position)
    asked = None if wanted is None else {column for column in positions if _nearly(column) in wanted}
    faults = [
        Fault(
            f"{name}: columns {' and '.join(map(str, found))}",
            "have one and the same name",
            "Rename or remove all but one; check that the first line is the header.",
        )
        for column, found in positions.items()
        if len(found) > 1 and (not asked or column in asked)
    ]
    if faults:
        raise InvalidInput(faults)
    return names
