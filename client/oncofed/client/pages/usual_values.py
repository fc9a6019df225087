"""What is usual in a group of published patients?

The same for everybody who is compared with the group: nobody is left out of it, or two patients' pages would differ by
one patient. Computed once for a group and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure, Share, Spread, step_of
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.cohort.schema import Kind, Marker

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_TAIL = 0.05


@dataclass(frozen=True, eq=False)
class Usual:
    """Of one marker.

    spread  of numbers, None where too few have it measured.
    shares  of each category, answer or level. nobody: of a level that none of the group has.
    """

    spread: Spread | None
    shares: Mapping[float, Share | None]
    nobody: Share | None

    def share_of(self, level: float) -> Share | None:
        return self.shares.get(level, self.nobody)


def usual_values(hospital: HospitalPrognosis, peers: Peers) -> tuple[Usual, ...]:
    """Of all markers of the schema, kept for the next patient of the same group."""

    def found() -> tuple[Usual, ...]:
        values, strata = hospital.units.cohort.values[peers.rows], hospital.units.strata[peers.rows]
        markers = hospital.schema.markers
        return tuple(
            usual(marker, column, strata, hospital.disclosure) for marker, column in zip(markers, values.T, strict=True)
        )

    return cast("tuple[Usual, ...]", hospital.kept(("usual values", peers.unit), found))


def usual(marker: Marker, values: FloatArray, strata: IntArray, disclosure: Disclosure) -> Usual:
    """values, strata  (patients,) of the group; NaN where it was not measured."""
    if marker.kind is Kind.CONTINUOUS:
        measured = values[~np.isnan(values)]
        return Usual(disclosure.spread(measured, widest=_TAIL, step=step_of(marker.scale)), {}, None)
    if marker.kind is Kind.ORDINAL:
        levels = np.unique(values[~np.isnan(values)]).tolist()
    else:
        levels = [float(level) for level in range(2 if marker.kind is Kind.BINARY else len(marker.categories))]
    shares = {level: disclosure.share_of_strata(values == level, strata) for level in levels}
    return Usual(None, shares, disclosure.share_of_strata(np.zeros(len(values), dtype=np.bool_), strata))
