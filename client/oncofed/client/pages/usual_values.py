"""What is usual in a group of published patients?

The same for everybody who is compared with the group: nobody is left out of it, or two patients' pages would differ by
one patient. Computed once for a group and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure, Share, Spread, step_of
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.cohort.schema import Kind, Marker

FloatArray = NDArray[np.float64]

_TAIL = 0.05


@dataclass(frozen=True, eq=False)
class Usual:
    """Of one marker. spread: of numbers, None where too few have it measured. shares: of each category or answer."""

    spread: Spread | None
    shares: tuple[Share | None, ...]


def usual_values(hospital: HospitalPrognosis, peers: Peers) -> tuple[Usual, ...]:
    """Of all markers of the schema, kept for the next patient of the same group."""

    def found() -> tuple[Usual, ...]:
        values = hospital.units.cohort.values[peers.rows]
        markers = hospital.schema.markers
        return tuple(
            usual(marker, column[~np.isnan(column)], hospital.disclosure, of_one_unit=peers.unit is not None)
            for marker, column in zip(markers, values.T, strict=True)
        )

    return cast("tuple[Usual, ...]", hospital.kept(("usual values", peers.unit), found))


def usual(marker: Marker, measured: FloatArray, disclosure: Disclosure, *, of_one_unit: bool) -> Usual:
    """Shares are told of one unit alone: of all units together they would tell those of a unit that tells none."""
    if marker.kind is Kind.CONTINUOUS:
        return Usual(disclosure.spread(measured, widest=_TAIL, step=step_of(marker.scale)), ())
    levels = 2 if marker.kind is Kind.BINARY else len(marker.categories)
    counts = [int((measured == level).sum()) for level in range(levels)]
    return Usual(None, tuple(disclosure.share(count, len(measured)) if of_one_unit else None for count in counts))
