"""Which markers of a patient have this name, or are of this kind of data?

A part of the name is enough, as the page or the table writes it, whatever the capitals. What is not measured is found,
too: whoever looks for a marker wants to know that. A filter says nothing of a patient and so may stand in an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.marker_rows import MarkerRow
from oncofed.cohort.schema import Marker, Modality, StudySchema
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import marker_label
from oncofed.words.names import capital, modality_name

LONGEST_NAME = 100


@dataclass(frozen=True)
class Filter:
    """kind: None for all of them. name: a part of it; empty for all."""

    kind: Modality | None = None
    name: str = ""

    def __bool__(self) -> bool:
        return self.kind is not None or bool(self.name)

    def lets_through(self, marker: Marker, *, say: Language = ENGLISH) -> bool:
        asked = self.name.casefold()
        names = (marker_label(marker, say=say), marker_label(marker), marker.name)
        return self.kind in (None, marker.modality) and any(asked in each.casefold() for each in names)

    def words(self, say: Language = ENGLISH) -> str:
        """What is asked for."""
        kind = "" if self.kind is None else modality_name(self.kind, say=say)
        called = say("\N{LEFT DOUBLE QUOTATION MARK}%(name)s\N{RIGHT DOUBLE QUOTATION MARK}", name=self.name)
        called = called if self.name else ""
        return ", ".join(each for each in (kind, called) if each)


@dataclass(frozen=True)
class FoundMarkers:
    """rows: of those that contribute, strongest first; treatments: theirs, apart. others: names of those not measured,
    without a row. markers: all of them.
    """

    rows: tuple[MarkerRow, ...]
    treatments: tuple[MarkerRow, ...]
    others: tuple[str, ...]
    markers: int

    def words(self, say: Language = ENGLISH) -> str:
        """How many they are."""
        return say.several("%(count)s marker", "%(count)s markers", self.markers)


def kinds(schema: StudySchema, *, say: Language = ENGLISH) -> list[tuple[Modality, str]]:
    """Of data that the study has."""
    present = {marker.modality for marker in schema.markers}
    return [(each, modality_name(each, say=say)) for each in Modality if each in present]


def found_markers(
    schema: StudySchema,
    asked: Filter,
    rows: Sequence[MarkerRow],
    values: NDArray[np.float64],
    *,
    say: Language = ENGLISH,
) -> FoundMarkers:
    """rows, values (markers,): of the patient."""
    through = [place for place, marker in enumerate(schema.markers) if asked.lets_through(marker, say=say)]
    named = {(marker_label(schema.markers[at], say=say), schema.markers[at].modality) for at in through}
    kind = None if asked.name else asked.kind
    found = tuple(row for row in rows if (row.label, row.kind) in named or (row.is_whole_modality and row.kind is kind))
    told = {row.label for row in found}
    others = [
        capital(label)
        for at in through
        if np.isnan(values[at]) and (label := marker_label(schema.markers[at], say=say)) not in told
    ]
    rows, treatments = (tuple(row for row in found if row.is_treatment is given) for given in (False, True))
    return FoundMarkers(rows, treatments, tuple(sorted(others)), len(through))
