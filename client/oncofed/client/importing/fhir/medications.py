"""Which drugs do the references of a folder's resources to medications mean?

A medication that is a resource of its own is found by its address: relative, absolute, with `_history`, the `urn:uuid:`
of a bundle, or an identifier. All of its codes count, and of a preparation those of its ingredients. Promise: what
leads to no medication, or to one without a code, is counted and told, since no row is a drug that was not given.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from oncofed.client.importing.fhir.drug_codes import REFERRED, medication_codes
from oncofed.client.importing.fhir.elements import identifier_key, objects_of, text_of
from oncofed.client.importing.fhir.files import Entry
from oncofed.client.importing.fhir.register import Mask
from oncofed.client.importing.fhir.resources import Wanted
from oncofed.client.importing.fhir.servers import Home
from oncofed.client.importing.fhir.text_columns import Place, TextColumns, coded
from oncofed.client.importing.mapping_choices import Part

_VERSION = re.compile(r"/_history/[^/]*$")
_DEEPEST = 3
"""Ingredients of ingredients; of those that contain one another there is no end."""
_Codes = tuple[str, ...]


def codes_of_medication(entry: Entry, wanted: Sequence[Wanted]) -> tuple[_Codes, ...] | None:
    """For each wanted table, if it is one of medications; None where none is. Raises OtherForm."""
    of_drugs = [each.part is Part.FHIR_MEDICATIONS for each in wanted]
    if not any(of_drugs):
        return None
    systems, inside = (each.system for each in wanted), objects_of(entry.resource, "contained")
    return tuple(
        tuple(medication_codes(entry.resource, system, inside)) if each else ()
        for each, system in zip(of_drugs, systems, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Drugs:
    """Rows, those of a medication with several codes once for each; and their codes, none for what nobody can name.

    notes: for people.
    """

    rows: Place
    codes: pd.Series
    notes: tuple[str, ...]


@dataclass
class Medications:
    """The resources Medication of a folder, older versions too, as they come."""

    _names: list[tuple[str, ...]] = field(default_factory=list)  # the first is that of which it is a copy
    _number: list[int] = field(default_factory=list)
    _codes: list[tuple[_Codes, ...]] = field(default_factory=list)

    def add(self, entry: Entry, name: str | None, number: int, codes: tuple[_Codes, ...]) -> None:
        """name: of which it is a copy. number: of the resource."""
        by_identifier = (
            identifier_key(text_of(each, "system") or "", value)
            for each in objects_of(entry.resource, "identifier")
            if (value := text_of(each, "value")) is not None
        )
        own = f"#{number}" if name is None else name
        self._names.append((own, *(each for each in (entry.full_url, *by_identifier) if each is not None)))
        self._number.append(number)
        self._codes.append(codes)

    def _current(self, current: Mask) -> dict[str, tuple[_Codes, ...]]:
        listed = zip(self._names, self._number, self._codes, strict=True)
        return {names[0]: codes for names, number, codes in listed if current[number]}

    def shared(self, current: Mask) -> int:
        """How many addresses of bundles lead to medications of different codes."""
        return sum(name.startswith("urn:") for name in self._several(current))

    def _several(self, current: Mask) -> set[str]:
        codes = self._current(current)
        told = {(name, codes[names[0]]) for names in self._names for name in names if names[0] in codes}
        return {name for name, times in Counter(name for name, _ in told).items() if times > 1}

    def of(self, place: int, table: TextColumns, rows: Place, current: Mask, home: Home) -> Drugs:
        """Of the table at that place among those wanted."""
        texts = table.texts("code")
        known = self._meant(place, current)
        told = [self._found(known, text, home) if text.startswith(REFERRED) else (text,) for text in texts]
        whole = [self._whole(known, codes or (), home) for codes in told]
        meant = [
            None if codes is None else with_ingredients + ((None,) if gone else ())
            for codes, (with_ingredients, gone) in zip(told, whole, strict=True)
        ]
        places = table.places("code", rows)
        flat: list[str | None] = [code for codes in meant for code in codes or (None,)]
        many = np.array([*(len(codes or (None,)) for codes in meant), 1], dtype=np.int64)
        begin = np.concatenate([[0], np.cumsum(many)])[:-1]
        times = many[places]
        ends = np.cumsum(times)
        within = np.arange(int(times.sum())) - np.repeat(ends - times, times)
        chosen = np.repeat(np.where(places < 0, -1, begin[places]), times)
        lost = np.array([*(codes is None for codes in meant), False], dtype=np.bool_)[places]
        bare = np.array([*(codes == () for codes in meant), False], dtype=np.bool_)[places]
        partly = np.array([*(gone for _, gone in whole), False], dtype=np.bool_)[places]
        return Drugs(
            rows=np.repeat(rows, times),
            codes=coded(np.where(chosen < 0, -1, chosen + within), flat),
            notes=tuple(_told(int(lost.sum()), int(bare.sum()), int(partly.sum()))),
        )

    def _meant(self, place: int, current: Mask) -> Mapping[str, _Codes]:
        codes, several = self._current(current), self._several(current)
        return {
            name: codes[names[0]][place]
            for names in self._names
            if names[0] in codes
            for name in names
            if name not in several
        }

    @staticmethod
    def _found(known: Mapping[str, _Codes], reference: str, home: Home) -> _Codes | None:
        reference = reference.removeprefix(REFERRED)
        reference = reference if reference.startswith("?") else _VERSION.sub("", reference)
        tail = "/".join(reference.split("/")[-2:])
        return known.get(reference, known.get(tail) if home.has(reference) else None)

    def _whole(
        self, known: Mapping[str, _Codes], codes: _Codes, home: Home, *, deep: int = _DEEPEST
    ) -> tuple[_Codes, bool]:
        """With the codes of ingredients that are resources of their own; and whether one of these is not there."""
        told, gone = list[str](), False
        for code in codes:
            if not code.startswith(REFERRED):
                told.append(code)
            elif not deep or (found := self._found(known, code, home)) is None:
                gone = True
            else:
                more, lacks = self._whole(known, found, home, deep=deep - 1)
                told, gone = [*told, *more], gone or lacks
        return tuple(dict.fromkeys(told)), gone


def _told(lost: int, bare: int, partly: int) -> Iterator[str]:
    if lost:
        yield f"{lost:,} rows name a medication that is not among the resources, and have no code"
    if bare:
        yield f"{bare:,} rows name a medication without a code, and have none"
    if partly:
        yield f"{partly:,} rows name a medication with an ingredient that is not among the resources"
