"""How much is not measured, marker by marker, and in which years or tumours?

By the year of time zero where it is known, else by the schema's tumour entity, else as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.quality.content import TableContent
from oncofed.cohort.schema import Modality
from oncofed.words.filled import Filled
from oncofed.words.language import later

FloatArray = NDArray[np.float64]

_MOST_GROUPS = 12


@dataclass(frozen=True)
class MissingRow:
    """share: of all patients, not measured. by_group: of each group's; NaN for a group without patients."""

    marker: str
    modality: Modality
    share: float
    by_group: tuple[float, ...]


@dataclass(frozen=True)
class MissingTable:
    """by: "year of time zero", "tumour" or "". groups: their names, and patients: how many each has."""

    by: str
    groups: tuple[str, ...]
    patients: tuple[int, ...]
    rows: tuple[MissingRow, ...]


def missing_table(content: TableContent) -> MissingTable:
    """Markers in the schema's order."""
    by, groups = _groups(content)
    gone = np.isnan(content.values)
    rows = tuple(
        MissingRow(
            marker=marker.name,
            modality=marker.modality,
            share=_share(gone[:, number]),
            by_group=tuple(_share(gone[members, number]) for members in groups.values()),
        )
        for number, marker in enumerate(content.schema.markers)
    )
    return MissingTable(by, tuple(groups), tuple(int(members.sum()) for members in groups.values()), rows)


def shares_by_year(content: TableContent, *, fewest: int) -> tuple[list[int], FloatArray]:
    """Years with so many patients, and (markers, years) the share that is not measured."""
    counted = {int(year): content.zero_years == year for year in np.unique(content.zero_years) if year}
    years = {year: members for year, members in counted.items() if int(members.sum()) >= fewest}
    gone = np.isnan(content.values)
    if not years:
        return [], np.zeros((gone.shape[1], 0))
    return list(years), np.column_stack([gone[members].mean(axis=0) for members in years.values()])


def _share(gone: NDArray[np.bool_]) -> float:
    return float(gone.mean()) if len(gone) else float("nan")


def _groups(content: TableContent) -> tuple[str, dict[str, NDArray[np.bool_]]]:
    if content.has_years:
        years = [int(year) for year in np.unique(content.zero_years) if year]
        shown = years[-_MOST_GROUPS:] if len(years) <= _MOST_GROUPS else years[-(_MOST_GROUPS - 1) :]
        groups = {str(year): content.zero_years == year for year in shown}
        earlier = (content.zero_years > 0) & (content.zero_years < shown[0])
        return "year of time zero", {
            Filled("before %(year)s", year=shown[0]): earlier,
            **groups,
        } if earlier.any() else groups
    place = next(
        (number for number, each in enumerate(content.schema.markers) if each.name == content.schema.tumour_entity),
        None,
    )
    if place is None:
        return "", {}
    entity, names = content.values[:, place], content.schema.markers[place].categories
    sizes = {number: int((entity == number).sum()) for number in range(len(names))}
    largest = sorted((number for number in sizes if sizes[number]), key=lambda number: -sizes[number])
    shown = largest if len(largest) <= _MOST_GROUPS else largest[: _MOST_GROUPS - 1]
    groups = {names[number]: entity == number for number in shown}
    rest = ~np.isnan(entity) & ~np.isin(entity, shown)
    return "tumour", {**groups, later("all others"): rest} if rest.any() else groups
