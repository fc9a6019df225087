"""Do a marker's values look as if they were written in another unit than the schema declares?

Two signs, each against public knowledge alone (the table of analytes, the catalogue):

- The median of a group lies far outside of what is usual, and would lie inside, or much nearer, if the numbers were in
  another unit that laboratories use. Far is a factor of 2.5; above the usual range of a skewed value, such as CRP,
  which illness raises, it is a factor of 11. Looked at for the table as a whole, and else year by year: laboratories
  change.
- Single values lie outside of what can be in a living patient, and inside of what is usual in the other unit.

Not seen: two units that differ by less than 2.5 (haemoglobin in g/dl and mmol/l), and a unit that nobody uses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.importing.analytes import Analyte, factor_between
from oncofed.client.importing.catalogue import BY_MARKER
from oncofed.client.importing.column_names import suggested
from oncofed.client.quality.content import TableContent
from oncofed.client.quality.findings import Finding, Level
from oncofed.cohort.schema import Kind, Marker
from oncofed.words.filled import Filled
from oncofed.words.language import later
from oncofed.words.markers import is_decimal_logarithm

FloatArray = NDArray[np.float64]

_FAR, _FAR_ABOVE_IF_SKEWED = math.log10(2.5), math.log10(11.0)
_MEDIAN = later("its median looks like %(unit)s and not like %(declared)s")
_IN_YEARS = later("its median looks like %(unit)s and not like %(declared)s in the years %(years)s")
_SINGLE = later("single values look like %(unit)s and not like %(declared)s")
_WIDENED = 3.0
"""By how much a single value may miss the usual range."""
_LOWEST_OF_A_RANGE_FROM_ZERO = 0.1
"""Of its upper end: half of all patients below is another unit."""
_FEWEST_FOR_A_MEDIAN, _FEWEST_SINGLE = 20, 3


@dataclass(frozen=True)
class PublicRange:
    """What is known of a marker without any table. unit: of the ranges. usual: of women and men together.

    far_below, far_above  powers of ten by which a median may miss the usual range.
    """

    unit: str
    usual: tuple[float, float]
    plausible: tuple[float, float]
    elsewhere: tuple[str, ...]
    analyte: Analyte | None
    far_below: float
    far_above: float

    def missed(self, value: float) -> float:
        """Powers of ten between the value and the usual range; negative below it, 0 inside."""
        low, high = self.usual
        low = low or _LOWEST_OF_A_RANGE_FROM_ZERO * high
        if value > high:
            return math.log10(value / high)
        return -math.log10(low / value) if 0 < value < low else 0.0

    def far(self, missed: float) -> bool:
        return missed > self.far_above if missed > 0 else -missed > self.far_below


def public_range(marker: Marker) -> PublicRange | None:
    """By the marker's name; None where nothing is known, or units are not mixed up."""
    if marker.kind is not Kind.CONTINUOUS:
        return None
    listed = BY_MARKER.get(marker.name)
    if listed is not None and listed.usual is not None and listed.marker.plausible_range is not None:
        span = listed.marker.plausible_range
        return PublicRange(listed.marker.unit, listed.usual, span, listed.elsewhere, None, 0.0, 0.0)
    analyte = suggested(marker.name.removeprefix("log10_")).analyte if listed is None else listed.analyte
    if analyte is None or not analyte.elsewhere:
        return None
    spans = (analyte.usual, analyte.usual_men or analyte.usual)
    return PublicRange(
        unit=analyte.unit,
        usual=(min(low for low, _ in spans), max(high for _, high in spans)),
        plausible=analyte.plausible,
        elsewhere=analyte.elsewhere,
        analyte=analyte,
        far_below=_FAR,
        far_above=_FAR_ABOVE_IF_SKEWED if analyte.skewed else _FAR,
    )


def unit_suspects(content: TableContent) -> Iterator[Finding]:
    """Marker by marker, in the schema's order."""
    for number, marker in enumerate(content.schema.markers):
        known = public_range(marker)
        if known is not None:
            yield from _of_marker(marker, known, content.values[:, number], content.zero_years)


def _of_marker(marker: Marker, known: PublicRange, values: FloatArray, years: NDArray[np.int64]) -> Iterator[Finding]:
    logarithm = is_decimal_logarithm(marker)
    declared = marker.unit[len("log10(") : -1] if logarithm else marker.unit
    factor = factor_between(declared, known.unit, known.analyte)
    if factor is None:
        return
    measured = ~np.isnan(values)
    plain = np.full(len(values), np.nan)
    plain[measured] = 10.0 ** np.clip(values[measured], -30, 30) if logarithm else values[measured]
    told = plain * float(factor)
    others = [
        (unit, float(found) / float(factor))
        for unit in (known.unit, *known.elsewhere)
        if (found := factor_between(unit, known.unit, known.analyte)) is not None and found != factor
    ]
    about = Filled("marker %(name)s", name=f'"{marker.name}"')
    remedy = Filled("The schema expects %(unit)s: look at the unit of the source.", unit=declared)
    unit = _better_unit(told[measured], known, others)
    if unit is not None:
        yield Finding(Level.SUSPECT, about, Filled(_MEDIAN, unit=unit, declared=declared), remedy)
        return
    odd: dict[str, list[int]] = {}
    for year in np.unique(years[measured & (years > 0)]):
        unit = _better_unit(told[measured & (years == year)], known, others)
        if unit is not None:
            odd.setdefault(unit, []).append(int(year))
    for unit, listed in odd.items():
        when = ", ".join(map(str, listed))
        yield Finding(Level.SUSPECT, about, Filled(_IN_YEARS, unit=unit, declared=declared, years=when), remedy)
    low, high = known.plausible
    outside = measured & ((told < low) | (told > high))
    for unit, by in others:
        inside = (told * by >= known.usual[0] / _WIDENED) & (told * by <= known.usual[1] * _WIDENED)
        if (count := int((outside & inside).sum())) >= _FEWEST_SINGLE:
            yield Finding(Level.SUSPECT, about, Filled(_SINGLE, unit=unit, declared=declared), remedy, count)


def _better_unit(told: FloatArray, known: PublicRange, others: list[tuple[str, float]]) -> str | None:
    """Which other unit the median of these values, in the public unit, speaks for."""
    if len(told) < _FEWEST_FOR_A_MEDIAN or not (median := float(np.median(told))) > 0:
        return None
    missed = known.missed(median)
    if not known.far(missed):
        return None
    found = {unit: abs(known.missed(median * by)) for unit, by in others}
    best = min(found, key=lambda unit: found[unit], default=None)
    return best if best is not None and found[best] < abs(missed) / 2 else None
