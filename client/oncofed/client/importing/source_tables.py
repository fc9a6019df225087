"""Which rows does a source of a mapping hold, and whose are they?

Promise: a file is read through the one reader of tables (`oncofed.cohort.table`), which repairs nothing, and only the
columns that the mapping names are read. Rows that the mapping does not keep are counted. Read-only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.importing.asked import Asked
from oncofed.client.importing.cbioportal import read_part
from oncofed.client.importing.database_rows import OpenDatabases, called
from oncofed.client.importing.fhir.folders import FhirFolders
from oncofed.client.importing.fhir.source import MODIFIED, NO_ROW, UNCODED
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near, Part
from oncofed.client.importing.omop import read_omop
from oncofed.client.importing.omop_hierarchy import Hierarchy
from oncofed.client.importing.omop_tables import OF_SOURCE
from oncofed.client.importing.places import SPREADSHEET
from oncofed.client.importing.readings import Column, Mask, identifiers
from oncofed.client.importing.spellings import BUT_FOR, remedy_of
from oncofed.client.importing.spreadsheets import read_sheet
from oncofed.client.importing.text_forms import form_of
from oncofed.cohort.letters import plain
from oncofed.cohort.table import Tell, read_table
from oncofed.errors import Fault, InvalidInput


@dataclass(frozen=True, eq=False)
class SourceTable:
    """The rows of a source that the mapping keeps.

    where        what faults call it. patient: its column of identifiers.
    identifiers  (rows,) None where there is none.
    columns      by the mapping's name.
    rows_read    before `keep`.
    below        which concepts stand below those that the mapping names, where they stand for these.
    notes        what a person should know of it, without any cell.
    contested    identifiers that several people have.
    named        the codes of all markers.
    uncoded      (any,) of rows that do not say what they are of, whose they are.
    modified     rows whose meaning a modifier may turn, and which are none of these.
    """

    source: Source
    where: str
    patient: str
    identifiers: pd.Series
    columns: Mapping[str, Column]
    rows_read: int
    notes: tuple[str, ...] = ()
    below: Hierarchy = field(default_factory=Hierarchy)
    contested: frozenset[str] = frozenset()
    named: tuple[str, ...] = ()
    uncoded: pd.Series = field(default_factory=lambda: pd.Series([], dtype=object))
    modified: SourceTable | None = None

    def __len__(self) -> int:
        return len(self.identifiers)

    def of_codes(self, codes: Iterable[str]) -> tuple[Mask, Mask]:
        """(rows,) of these codes, or those below; and those in doubt, as of `rows_of_words`."""
        code = self.source.code or ""
        words = self.below.with_below(code, codes)
        return rows_of_words(self.columns[code], words, self.source.near_words, named=self.named)


def rows_of_words(
    column: Column, words: Sequence[str], near: Near | None, *, named: Sequence[str] = ()
) -> tuple[Mask, Mask]:
    """(rows,) whose cell is one of these words; and those of which nobody says whether they are: nearly written so.

    near   what the mapping says of them. named: words that it means apart.
    """
    exact = column.among(words)
    if near is Near.DIFFER:
        return exact, np.zeros(len(column), dtype=np.bool_)
    alike = column.near(words, named)
    return (exact | alike, np.zeros(len(column), dtype=np.bool_)) if near is Near.ALIKE else (exact, alike)


def read_source_table(
    source: Source,
    folder: Path,
    asked: Asked,
    *,
    missing: tuple[str, ...],
    databases: OpenDatabases,
    fhir: FhirFolders,
) -> SourceTable:
    """The kept rows of a source. Raises InvalidInput with all faults of its file.

    asked  by the mapping. missing: the source's words for "not known".
    fhir   what is read of folders of FHIR resources, by any source.
    """
    notes: list[str] = []
    contested: frozenset[str] = frozenset()
    wanted = list(dict.fromkeys([*asked.columns, *_own_columns(source)]))
    if source.part.is_fhir:
        table = fhir.table(source, wanted)
        frame, patient, where, below = table.frame, source.patient or "", table.where, Hierarchy()
        notes += table.notes
        contested = frozenset(identifiers(Column(pd.Series([*table.contested], dtype=object)), missing).dropna())
    else:
        frame, patient, where, below = _frame(source, folder, asked, wanted, missing, databases, notes.append)
    if patient:
        wanted = list(dict.fromkeys([*wanted, patient]))
    found = _found(frame, wanted if source.part in _WITH_COLUMNS else [*frame.columns], where, source, missing)
    rows_read = len(frame)
    if source.numbered:
        numbers = pd.Series([str(number) for number in range(1, rows_read + 1)], dtype=object)
        found, patient = {**found, NUMBER: Column(numbers)}, NUMBER
    kept = np.ones(rows_read, dtype=np.bool_)
    faults: list[Fault] = []
    for column, listed in source.keep.items():
        chosen, doubted = rows_of_words(found[column], below.with_below(column, listed), source.near_words)
        kept &= chosen
        if count := int(found[column].empty(missing).sum()):
            notes.append(f'keep: {count:,} rows have nothing in "{column}", and are not kept')
        if count := int(doubted.sum()):
            what = f"would be a word of keep {BUT_FOR}"
            faults.append(Fault(f'{where}: column "{column}"', what, remedy_of("near_words"), count))
    if faults:
        raise InvalidInput(faults)
    modified = frame[MODIFIED].to_numpy() if MODIFIED in frame.columns else np.zeros_like(kept)
    uncoded = kept & ~modified & _without_code(frame, found, source, asked)
    no_row = (frame[UNCODED] == NO_ROW).to_numpy() if UNCODED in frame.columns else np.zeros_like(kept)
    without_rows = SourceTable(
        source=source,
        where=where,
        patient=patient,
        identifiers=pd.Series([], dtype=object),
        columns={},
        rows_read=rows_read - int((no_row | modified).sum()),
        notes=tuple(notes),
        below=below,
        contested=contested,
        named=asked.named,
        uncoded=identifiers(found[patient].only(np.flatnonzero(uncoded)), missing),
    )

    def with_rows(rows: Mask) -> SourceTable:
        columns = found if rows.all() else {name: each.only(np.flatnonzero(rows)) for name, each in found.items()}
        return replace(without_rows, columns=columns, identifiers=identifiers(columns[patient], missing))

    turned = kept & modified & ~no_row
    return replace(with_rows(kept & ~modified & ~no_row), modified=with_rows(turned) if turned.any() else None)


def _without_code(frame: pd.DataFrame, found: Mapping[str, Column], source: Source, asked: Asked) -> Mask:
    """(rows,) of a long table, that have no code, or none of the system in which the mapping names codes."""
    if source.code is None or source.code not in found or not asked.named:
        return np.zeros(len(frame), dtype=np.bool_)
    code = found[source.code]
    told = UNCODED in frame.columns
    without = code.empty(source.missing or ())
    if told:
        without = without | (frame[UNCODED] > 0).to_numpy()
    if source.part is Part.OMOP and any(word.isdecimal() for word in asked.named):
        without = without | code.among([f"{OF_SOURCE}*"])
    chosen, doubted = rows_of_words(code, asked.named, source.near_words)
    return np.asarray(without & ~chosen & ~doubted, dtype=np.bool_)


def _frame(
    source: Source,
    folder: Path,
    asked: Asked,
    wanted: list[str],
    missing: tuple[str, ...],
    databases: OpenDatabases,
    tell: Tell,
) -> tuple[pd.DataFrame, str, str, Hierarchy]:
    """The table, its column of identifiers, what faults call it, and which concepts stand below which."""
    if source.part is Part.OMOP:
        return read_omop(source, folder, asked, wanted, missing=missing, databases=databases, tell=tell)
    if source.part is Part.SQL:
        frame = databases.answer(source, columns=wanted, tell=tell)
        return frame, source.patient or "", called(source), Hierarchy()
    path = folder / source.lies_at
    if source.part is not Part.TABLE:
        found = read_part(
            source,
            folder,
            wanted,
            missing=missing,
            tell=tell,
            may_be_absent=asked.may_be_absent,
            missing_of=asked.missing,
        )
        return (*found, Hierarchy())
    if path.suffix.lower() == SPREADSHEET:
        frame = read_sheet(path, source, columns=wanted, tell=tell)
    else:
        refuse_spreadsheets(path)
        frame = read_table(path, columns=wanted, tell=tell, form=form_of(source))
    return frame, source.patient or "", path.name, Hierarchy()


NUMBER = "the number of the row"
"""A column of identifiers, for a table that has none."""

_WITH_COLUMNS = {part for part in Part if part not in (Part.MUTATIONS, Part.MATRIX, Part.FHIR_VARIANTS)}
"""Of the others, a gene that nothing is told of has no column, and is not measured."""


def refuse_spreadsheets(path: Path) -> None:
    if path.suffix.lower() in (".xls", ".xlsm", ".xlsb", ".ods"):
        remedy = "Save it as .xlsx, or each sheet that is needed as a CSV file (in Excel: Save As, CSV UTF-8)."
        raise InvalidInput([Fault(path.name, "is a spreadsheet, which is not read", remedy)])


def _own_columns(source: Source) -> list[str]:
    own = (source.patient, source.date, source.code, source.value, source.unit, *source.keep)
    return [column for column in own if column is not None]


def _found(
    frame: pd.DataFrame, wanted: Iterable[str], where: str, source: Source, missing: tuple[str, ...]
) -> dict[str, Column]:
    """Each wanted column under the mapping's name for it. Raises InvalidInput for those that are absent."""
    names = [str(name) for name in frame.columns]
    places = {plain(name): place for place, name in enumerate(names)}
    seen = Counter(name.strip() for name in map(plain, names))
    found, faults = {}, []
    for column in wanted:
        place = places.get(plain(column))
        if seen[plain(column).strip()] > 1:
            what = "has another of its name in the file, but for blanks about it, which nobody sees"
            faults.append(Fault(f'{where}: column "{column}"', what, "Rename or remove all but one."))
        elif place is not None:
            found[column] = Column(frame.iloc[:, place], source.decimal.letter, missing)
        if place is not None:
            continue
        near = any(plain(name).strip().casefold() == plain(column).strip().casefold() for name in names)
        remedy = "Correct its name in the mapping."
        if near:
            remedy = "There is one that differs only in capitals or blanks: correct its name in the mapping."
        faults.append(Fault(f'{where}: column "{column}"', "is not in the file", remedy))
    if faults:
        raise InvalidInput(faults)
    return found
