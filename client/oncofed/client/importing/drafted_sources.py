"""How are a hospital's files written, and what may their columns be?

Of a draft's sources: a text, a Parquet file, each sheet of a workbook, a statement on a database. Promise: of the cells
nothing but their type is kept, so that no part of a patient can be in a draft.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.importing.column_names import Role, Suggestion, rank, suggested
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Decimal, Part, Separator
from oncofed.client.importing.places import SPREADSHEET
from oncofed.client.importing.proposed_schema import CONFIRM, quoted
from oncofed.client.importing.readings import Column, numbers
from oncofed.client.importing.source_tables import refuse_spreadsheets
from oncofed.client.importing.spreadsheets import read_sheet, sheet_names
from oncofed.client.importing.text_forms import form_of
from oncofed.client.importing.variant_rows import SAMPLES_FILE
from oncofed.cohort.csv_rows import COMMA
from oncofed.cohort.table import keep_to_oneself, read_table
from oncofed.cohort.text_form import Encoding, TextForm, plain_text
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

_DAY_FORMS = ("YYYY-MM-DD", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "DD-MM-YYYY", "YYYY/MM/DD", "YYYYMMDD")
_OF_DAYS = (Role.EVENT_DATE, Role.LAST_CONTACT, Role.TIME_ZERO, Role.ENTRY_DATE, Role.DATE)
"""Columns in which 20240131 is a day and no number."""


_SOME_ZONE = "UTC"
"""Whether a column holds days is the same in each."""


class CellType(StrEnum):
    NUMBERS = "numbers"
    DAYS = "days"
    WORDS = "words"
    NOTHING = "nothing"


@dataclass(frozen=True)
class DraftedColumn:
    """day_form: of a column of days. in_utc: whether they are moments that are days only in a time zone."""

    name: str
    type: CellType
    suggestion: Suggestion
    day_form: str | None = None
    in_utc: bool = False


@dataclass(frozen=True)
class DraftedSource:
    """A source, how its text is written, whether it begins with remarks, and what its columns may be.

    path       of the file, or of the file with a database's address, as seen from the mapping.
    sheet      of a workbook of several. statement: of a database.
    remark     what people should know of it.
    moments    whether it stores moments that are days only in a time zone.
    """

    name: str
    path: Path
    separator: Separator | None = None
    encoding: Encoding = Encoding.UTF_8
    decimal: Decimal = Decimal.POINT
    remarks: bool = False
    columns: tuple[DraftedColumn, ...] = ()
    sheet: str | None = None
    statement: str | None = None
    remark: str | None = None
    moments: bool = False

    @property
    def needs_zone(self) -> bool:
        return self.moments or any(column.in_utc for column in self.columns)

    def first(self, role: Role) -> DraftedColumn | None:
        """The column whose name is the most telling one for it."""
        found = [each for each in self.columns if each.suggestion.role is role]
        return min(found, key=lambda column: rank(column.name, role), default=None)

    @property
    def long(self) -> bool:
        """Whether it has one value a row."""
        return self.first(Role.CODE) is not None and self.first(Role.VALUE) is not None

    @property
    def day(self) -> DraftedColumn | None:
        """The column with the day of a row."""
        found = self.first(Role.DATE) or (self.first(Role.TIME_ZERO) if not self.long else None)
        return found if found is not None and found.type is CellType.DAYS else None

    def place(self) -> Iterator[str]:
        """The lines of a mapping that say where it is."""
        if self.remark is not None:
            yield f"# {self.remark}."
        path = quoted(self.path.as_posix())
        if self.statement is None:
            yield f"path = {path}"
        else:
            yield f'part = "sql"\nurl_file = {path}\nstatement = {quoted(self.statement)}'
        if self.sheet is not None:
            yield f"sheet = {quoted(self.sheet)}"

    def form(self) -> Iterator[str]:
        """Those that say how it is written, where that is not the usual way."""
        if self.separator is not None:
            yield f'separator = "{self.separator.value}"  {CONFIRM}'
        if self.encoding is not Encoding.UTF_8:
            yield f'encoding = "{self.encoding.value}"  {CONFIRM}'
        if self.remarks:
            yield f'comment = "#"  {CONFIRM}'
        if self.decimal is not Decimal.POINT:
            yield f'decimal = "{self.decimal.value}"  {CONFIRM}'


def refuse_study_folders(paths: Sequence[Path]) -> None:
    """Raises InvalidInput: which of a study's hundreds of genes are markers, no file of it can suggest."""
    remedy = "Write the mapping by hand, after the example of docs/import.md, A cBioPortal study folder."
    faults = [
        Fault(each.name, "is a study folder of cBioPortal, which is not drafted", remedy)
        for each in paths
        if (each / SAMPLES_FILE).exists()
    ]
    if faults:
        raise InvalidInput(faults)


def sources_in(path: Path, beside: Path) -> list[DraftedSource]:
    """A file's one source, or one for each sheet of a workbook. Raises InvalidInput."""
    refuse_spreadsheets(path)
    if path.suffix.lower() == SPREADSHEET:
        return _sheets(path, beside)
    encoding, separator, remarks = Encoding.UTF_8, None, False
    form = form_of(Source(name="draft", path=path))
    if path.suffix.lower() != ".parquet":
        encoding, separator, remarks = _written(path, form)
        form = TextForm((separator or _by_letter(form.separator)).letter, encoding, "#")
    frame, moments = _with_some_zone(
        lambda: read_table(path, form=form), lambda: read_table(path, form=replace(form, zone=UTC))
    )
    found = _columns(frame)
    decimal = Decimal.POINT
    if form.separator != COMMA and any(
        _all_numbers(column, Decimal.COMMA) and not _all_numbers(column, Decimal.POINT) for column in found.values()
    ):
        decimal = Decimal.COMMA
    return [
        DraftedSource(
            name=path.name.partition(".")[0],
            path=seen_from(beside, path),
            separator=separator,
            encoding=encoding,
            decimal=decimal,
            remarks=remarks,
            columns=_typed(found, decimal),
            moments=moments,
        )
    ]


def _with_some_zone(
    without: Callable[[], pd.DataFrame], within: Callable[[], pd.DataFrame]
) -> tuple[pd.DataFrame, bool]:
    """A table, and whether it is one only where a time zone is told. Raises InvalidInput where it is none even then."""
    try:
        return without(), False
    except InvalidInput:
        return within(), True


def _sheets(path: Path, beside: Path) -> list[DraftedSource]:
    """Of several sheets those that are tables. How many are none is remarked at the first; all of them are a fault."""
    titles = sheet_names(path)
    found: list[DraftedSource] = []
    faults: list[Fault] = []
    for title in titles:
        sheet = title if len(titles) > 1 else None
        try:
            frame = read_sheet(path, Source(name="draft", path=path, sheet=sheet), columns=None, tell=keep_to_oneself)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        name = path.name.partition(".")[0] if sheet is None else title
        columns = _typed(_columns(frame), Decimal.POINT)
        found.append(DraftedSource(name, seen_from(beside, path), columns=columns, sheet=sheet))
    if not found:
        raise InvalidInput(tuple(dict.fromkeys(faults)))
    if len(found) < len(titles):
        left_out = len(titles) - len(found)
        found[0] = replace(found[0], remark=f"{left_out} of {len(titles)} sheets of this workbook are no tables")
    return found


def source_of(statement: str, databases: OpenDatabases, *, url_file: Path, beside: Path) -> DraftedSource:
    """What a statement on a database answers. Raises InvalidInput."""
    name = _TABLE.search(statement)
    called = "statement" if name is None else name.group(1)
    place = url_file.absolute()
    source = Source(name=called, part=Part.SQL, url_file=place, statement=statement)
    zoned = replace(source, time_zone=_SOME_ZONE)
    frame, moments = _with_some_zone(
        lambda: databases.answer(source, columns=None), lambda: databases.answer(zoned, columns=None)
    )
    columns = _typed(_columns(frame), Decimal.POINT)
    return DraftedSource(called, seen_from(beside, url_file), columns=columns, statement=statement, moments=moments)


_TABLE = re.compile(r"""\bfrom\s+(?:"?\w+"?\.)?"?(\w+)""", re.IGNORECASE)


def seen_from(folder: Path, path: Path) -> Path:
    """How a mapping in that folder names a path."""
    return Path(os.path.relpath(path.resolve(), folder.resolve()))


def _columns(frame: pd.DataFrame) -> dict[str, Column]:
    return {str(name): Column(frame.iloc[:, place]) for place, name in enumerate(frame.columns)}


def _by_letter(letter: str) -> Separator:
    return next(each for each in Separator if each.letter == letter)


def _written(path: Path, form: TextForm) -> tuple[Encoding, Separator | None, bool]:
    """By the bytes and the header line; the separator only where it is not what the name of the file says."""
    content = file_content(path)
    text = plain_text(content, TextForm(), name=path.name) if content.startswith(b"\x1f\x8b") else content
    encoding = Encoding.UTF_8
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = Encoding.UTF_16
    else:
        try:
            text.decode()
        except UnicodeDecodeError:
            encoding = Encoding.WINDOWS_1252
    lines = text.decode(encoding.value, "replace").splitlines()
    header = next((line for line in lines if not line.startswith(("#", "sep="))), "")
    likely = max(Separator, key=lambda each: header.count(each.letter))
    told = likely if header.count(likely.letter) and likely.letter != form.separator else None
    return encoding, told, any(line.startswith("#") for line in lines[:1])


def _typed(columns: dict[str, Column], decimal: Decimal) -> tuple[DraftedColumn, ...]:
    return tuple(_of_type(name, column, decimal) for name, column in columns.items())


def _of_type(name: str, column: Column, decimal: Decimal) -> DraftedColumn:
    suggestion = suggested(name)
    if column.empty([]).all():
        return DraftedColumn(name, CellType.NOTHING, suggestion)
    may_be_days = suggestion.role in _OF_DAYS or not _all_numbers(column, decimal)
    day_form = next((form for form in _DAY_FORMS if may_be_days and not column.days(form, [], UTC)[1].any()), None)
    if day_form is not None:
        in_utc = bool(column.told_days(day_form, []).in_utc.any())
        return DraftedColumn(name, CellType.DAYS, suggestion, day_form, in_utc)
    kind = CellType.NUMBERS if _all_numbers(column, decimal) else CellType.WORDS
    return DraftedColumn(name, kind, suggestion)


def _all_numbers(column: Column, decimal: Decimal) -> bool:
    read = numbers(column, Source(name="draft", path=Path(), decimal=decimal), [])
    return not read.malformed.any() and not np.isnan(read.values).all()
