"""What does a table of an OMOP common data model say, in columns that a mapping can use?

Promises: a concept of 0 ("no matching concept") is an empty cell. A result is its number, behind `<`, `<=`, `>` or `>=`
where its operator says so; where there is no number it is its concept, written `concept:9191`, so that no concept id is
ever read as a number; and else the hospital's own text. A unit is its concept's code of UCUM, or where it has none the
hospital's own text. A code that nobody has mapped is the hospital's own, written `source:CRP-HS`. Of persons whose
birth is known by the year alone, or by month and year, it is taken in the middle, and that is told.

Source: OMOP CDM 5.4, the public documentation of OHDSI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.importing.asked import Asked
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.omop_hierarchy import Hierarchy
from oncofed.client.importing.omop_persons import Persons
from oncofed.client.importing.omop_rows import CdmRows, DatabaseRows, FolderRows, Only, ids_in
from oncofed.client.importing.omop_tables import (
    ANCESTORS,
    CODE,
    CONCEPTS,
    EQUAL,
    OF_CONCEPT,
    OF_SOURCE,
    OMOP,
    OPERATORS,
    PERSON_ID,
    UNIT,
    UNITS,
    VALUE,
    CdmTable,
)
from oncofed.client.importing.readings import Column, Mask, Places, coded
from oncofed.client.importing.units import contradict
from oncofed.cohort.table import Tell
from oncofed.errors import Fault, InvalidInput

_NUMBER, _CONCEPT, _OPERATOR = "value_as_number", "value_as_concept_id", "operator_concept_id"
_TEXTS = ("value_as_string", "value_source_value")
_UNIT, _OWN_UNIT = "unit_concept_id", "unit_source_value"
_NUMERIC = re.compile(r"[+-]?[.,]?\d[\d.,' ]*([eE][+-]?\d+)?", re.ASCII)
_ANNOTATION = re.compile(r"\.?\{[^}]*\}")


def read_omop(
    source: Source,
    folder: Path,
    asked: Asked,
    wanted: Sequence[str],
    *,
    missing: tuple[str, ...],
    databases: OpenDatabases,
    tell: Tell,
) -> tuple[pd.DataFrame, str, str, Hierarchy]:
    """The rows of the source's table, its column of identifiers, what faults call it, and what stands below which
    concept. Raises InvalidInput.

    wanted  columns of the table, and derived ones.
    """
    assert source.table is not None
    rows: CdmRows = DatabaseRows(source, databases, tell) if source.in_database else FolderRows(source, folder, tell)
    patient = source.patient or PERSON_ID
    where = rows.where(source.table)
    if source.table.value == "person":
        frame = Persons(source, rows, missing, tell).frame(list(dict.fromkeys([*wanted, patient])))
        return frame, patient, where, Hierarchy()
    events = _Events(source, rows, OMOP[source.table], asked, tell)
    below = events.below()
    return events.frame(list(dict.fromkeys([*wanted, patient])), below), patient, where, below


@dataclass
class _Events:
    source: Source
    rows: CdmRows
    public: CdmTable
    asked: Asked
    tell: Tell
    faults: list[Fault] = field(default_factory=list)

    @property
    def _name(self) -> str:
        assert self.source.table is not None
        return self.source.table.value

    def frame(self, wanted: Sequence[str], below: Hierarchy) -> pd.DataFrame:
        derived = [name for name in (CODE, VALUE, UNIT) if name in wanted and self.public.concept is not None]
        needed = [column.casefold() for column in wanted if column not in derived]
        optional: list[str] = []
        if CODE in derived:
            needed += [self.public.concept or ""]
            optional += [self.public.own or ""]
        if VALUE in derived and self.public.valued:
            needed += [_NUMBER]
            optional += [_CONCEPT, _OPERATOR, *_TEXTS]
        if UNIT in derived:
            optional += [_UNIT, _OWN_UNIT]
        only = list(self._only(below))
        frame = self.rows.read(self._name, needed, optional, only=only)
        concepts = {name: self._concepts(frame, name) for name in frame.columns if name.endswith("_concept_id")}
        if self.faults:
            raise InvalidInput(self.faults)
        columns = {name: frame[name.casefold()] for name in wanted if name not in derived}
        columns |= {
            name: texts_of_concepts(concepts[name.casefold()]) for name in columns if name.casefold() in concepts
        }
        if CODE in derived:
            assert self.public.concept is not None
            columns[CODE] = _codes(concepts[self.public.concept], frame.get(self.public.own))
        if VALUE in derived:
            columns[VALUE] = self._values(frame, concepts) if self.public.valued else pd.Series(np.ones(len(frame)))
        if UNIT in derived:
            columns[UNIT] = self._units(frame, concepts)
        return pd.DataFrame(columns, index=range(len(frame)))

    # --- which rows

    def _listed(self) -> set[int]:
        """Concepts that the mapping names for what a row is about."""
        columns = (self.public.concept or "", CODE)
        words = [*self.asked.named]
        for listed in (self.source.keep, self.asked.words):
            words += [word for column in listed if column.casefold() in columns for word in listed[column]]
        return {int(word) for word in words if word.isdecimal()}

    def below(self) -> Hierarchy:
        if not self.source.descendants:
            return Hierarchy()
        listed = self._listed()
        columns = ["ancestor_concept_id", "descendant_concept_id", "min_levels_of_separation"]
        frame = self.rows.read(ANCESTORS, columns, only=[Only(columns[0], frozenset(listed))])
        levels: dict[str, dict[str, int]] = {}
        for above, concept, level in zip(
            *(ids_in(Column(frame[column]))[0].tolist() for column in columns), strict=True
        ):
            below = levels.setdefault(str(above), {})
            below[str(concept)] = min(level, below.get(str(concept), level))
        return Hierarchy(frozenset({CODE, self.public.concept or CODE}), levels)

    def _only(self, below: Hierarchy) -> Iterator[Only]:
        """What the mapping keeps anyway, so that nothing else need be read."""
        concept = self.public.concept
        for column, listed in self.source.keep.items():
            if column.casefold().endswith("_concept_id") and all(word.isdecimal() for word in listed):
                listed_ids = frozenset(map(int, below.with_below(column, listed)))
                yield Only(column.casefold(), listed_ids, missing=self.source.missing or ())
        codes = self.asked.codes
        if codes is None or concept is None or self.source.code != CODE:
            return
        ids = below.with_below(CODE, [code for code in codes if code.isdecimal()])
        own = frozenset(code.removeprefix(OF_SOURCE) for code in codes if code.startswith(OF_SOURCE))
        if all(code.isdecimal() or code.startswith(OF_SOURCE) for code in codes):
            missing = self.source.missing or ()
            yield Only(concept, frozenset(map(int, ids)), self.public.own, own, self.asked.uncoded, missing)

    # --- columns

    def _concepts(self, frame: pd.DataFrame, name: str) -> Places:
        ids, malformed = ids_in(Column(frame[name]), self.source.missing or ())
        if count := int(malformed.sum()):
            where = f'{self.rows.where(self._name)}: column "{name}"'
            self.faults.append(
                Fault(
                    where,
                    "is no concept id",
                    "Correct the cell, list its word under missing, or export the table again.",
                    count,
                )
            )
        return ids

    def _values(self, frame: pd.DataFrame, concepts: Mapping[str, Places]) -> pd.Series:
        """(rows,) the number as it is stored, or texts where some rows say more or something else than a number."""
        number = Column(frame[_NUMBER])
        numbered = ~number.empty(())
        operators = concepts.get(_OPERATOR)
        behind = np.zeros(len(frame), dtype=np.int64)
        if operators is not None:
            for place, operator in enumerate(OPERATORS, start=1):
                behind[operators == operator] = place
            if count := int((~np.isin(operators, [0, EQUAL, *OPERATORS])).sum()):
                self.tell(
                    f"{self.rows.where(self._name)}: {count} rows have an operator that is not known, and no limit"
                )
        concept = np.where(numbered, 0, concepts.get(_CONCEPT, np.zeros(len(frame), dtype=np.int64)))
        texts = [Column(frame[name]) for name in _TEXTS if name in frame.columns]
        told = [~numbered & (concept == 0) & ~text.empty(()) for text in texts]
        if not (behind.any() and numbered.any()) and not concept.any() and not any(each.any() for each in told):
            return frame[_NUMBER]
        decimal = self.source.decimal.letter if number.typed is not None else "."
        pieces = _Texts(len(frame))
        signs = ["", *OPERATORS.values()]
        pieces.put(concept != 0, Column(pd.Series(concept)), lambda text: OF_CONCEPT + text)
        for place, sign in enumerate(signs):
            pieces.put(numbered & (behind == place), number, partial(_behind, sign, decimal))
            for rows, text in zip(told, texts, strict=True):
                pieces.put(rows & (behind == place), text, partial(_limit, sign))
        return pieces.series()

    def _units(self, frame: pd.DataFrame, concepts: Mapping[str, Places]) -> pd.Series:
        pieces = _Texts(len(frame))
        if _OWN_UNIT in frame.columns:
            own = Column(frame[_OWN_UNIT])
            pieces.put(~own.empty(()), own, str)
        if (units := concepts.get(_UNIT)) is not None:
            known = self._known_units({*np.unique(units).tolist()} - {0})
            self._tell_contradicting(frame, units, known)
            pieces.put(units != 0, Column(pd.Series(units)), lambda text: known.get(int(text), text))
        return pieces.series()

    def _tell_contradicting(self, frame: pd.DataFrame, units: Places, known: Mapping[int, str]) -> None:
        """A program that fills a model may have converted the number, and kept the text."""
        if _OWN_UNIT not in frame.columns:
            return
        own = Column(frame[_OWN_UNIT])
        pairs, rows = np.unique(np.stack([units, own.place]), axis=1, return_counts=True)
        count = 0
        for (unit, place), times in zip(pairs.T.tolist(), rows.tolist(), strict=True):
            text = own.distinct[place] if place >= 0 else ""
            if unit in known and text and contradict(known[unit], text):
                count += times
        if count:
            what = f"rows have a {_UNIT} and a {_OWN_UNIT} of different units, and the concept counts"
            self.tell(f"{self.rows.where(self._name)}: {count:,} {what}. Were these numbers converted?")

    def _known_units(self, ids: set[int]) -> Mapping[int, str]:
        """Of those that the public table lacks, the code that the model's own table of concepts has."""
        unknown = frozenset(each for each in ids if each not in UNITS and str(each) not in self.source.unit_words)
        known = {each: unit for each, unit in UNITS.items() if str(each) not in self.source.unit_words}
        if unknown and self.rows.has(CONCEPTS):
            only = [Only("concept_id", unknown)]
            frame = self.rows.read(CONCEPTS, ["concept_id", "concept_code"], only=only)
            codes = Column(frame["concept_code"]).words(())
            for concept, code in zip(ids_in(Column(frame["concept_id"]))[0].tolist(), codes, strict=True):
                if code is not None:
                    known[concept] = _ANNOTATION.sub("", code) or "1"
        return known


def _behind(sign: str, decimal: str, number: str) -> str:
    return sign + number.replace(".", decimal)


def _limit(sign: str, text: str) -> str:
    """A number that stands where the hospital's own text does; of another text an operator says nothing."""
    return sign + text if _NUMERIC.fullmatch(text) else text


class _Texts:
    """A column of texts that comes about by parts. Each distinct text is made once."""

    def __init__(self, rows: int) -> None:
        self._place: Places = np.full(rows, -1, dtype=np.int64)
        self._known: dict[str, int] = {}

    def put(self, rows: Mask, column: Column, told: Callable[[str], str]) -> None:
        """In these rows, what `told` makes of the column's text."""
        where = np.flatnonzero(rows)
        places, used = np.unique(column.place[where], return_inverse=True)
        texts = [told(column.distinct[place]) for place in places.tolist()]
        codes = np.array([self._known.setdefault(text, len(self._known)) for text in texts], dtype=np.int64)
        if len(where):
            self._place[where] = codes[used]

    def series(self) -> pd.Series:
        return coded(self._place, [*self._known])


def texts_of_concepts(ids: Places) -> pd.Series:
    """(rows,) as texts, none for 0."""
    distinct, place = np.unique(ids, return_inverse=True)
    return coded(np.where(ids == 0, -1, place), [str(each) for each in distinct.tolist()])


def _codes(concepts: Places, own: pd.Series | None) -> pd.Series:
    pieces = _Texts(len(concepts))
    if own is not None:
        column = Column(own)
        pieces.put((concepts == 0) & ~column.empty(()), column, lambda text: OF_SOURCE + text)
    pieces.put(concepts != 0, Column(pd.Series(concepts)), str)
    return pieces.series()
