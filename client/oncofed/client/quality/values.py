"""Do values look like codes, defaults or copies, and which categories does nobody have?

Nothing here knows what is usual: a sign is only what a column, or two rows, say of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.quality.content import TableContent
from oncofed.client.quality.findings import Finding, Level
from oncofed.client.quality.missing import shares_by_year
from oncofed.cohort.schema import Kind
from oncofed.words.filled import Filled
from oncofed.words.language import later

FloatArray = NDArray[np.float64]

_LIKE_A_CODE = (0.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 9.0, 99.0, 999.0, 9999.0, 8888.0, 88.0, 888.0)
_FEWEST, _FEWEST_CODES = 20, 3
_ALL_ALIKE = later("all who have it have one and the same value")
_CHANCE = 1e-3
"""Of a pair of rows that are alike by chance; below, such pairs are told."""
_JUMP = 0.5
"""Between the years of a marker, in the share that is measured."""


def value_findings(content: TableContent) -> Iterator[Finding]:
    """Marker by marker, and then of rows."""
    for number, marker in enumerate(content.schema.markers):
        about, values = Filled("marker %(name)s", name=f'"{marker.name}"'), content.values[:, number]
        measured = values[~np.isnan(values)]
        if len(content) and not len(measured):
            remedy = later("Say so to the coordinator, or look at its source.")
            yield Finding(Level.SUSPECT, about, later("nobody has it"), remedy, told="")
            continue
        if marker.kind is Kind.CONTINUOUS:
            yield from _codes(measured, about)
        if marker.kind is Kind.CATEGORICAL and len(measured) >= _FEWEST:
            nobody = [each for place, each in enumerate(marker.categories) if not (measured == place).any()]
            if nobody:
                listed = ", ".join(f'"{each}"' for each in nobody[:8])
                what = Filled("categories that nobody has: %(names)s", names=listed)
                if len(nobody) > 8:
                    what = Filled(
                        "categories that nobody has: %(names)s and %(more)s more", names=listed, more=len(nobody) - 8
                    )
                yield Finding(Level.NOTE, about, what, told="")
    yield from _jumps(content)
    yield from _copies(content)


def _codes(measured: FloatArray, about: str) -> Iterator[Finding]:
    """One value for all; or a number such as 999, as far from all others as a quarter of what these span."""
    distinct, counts = np.unique(measured, return_counts=True)
    if len(distinct) < 2:
        if len(measured) >= _FEWEST:
            yield Finding(Level.SUSPECT, about, _ALL_ALIKE, later("Is it a default?"))
        return
    for end, next_ in ((0, 1), (-1, -2)):
        rest = distinct[1:] if end == 0 else distinct[:-1]
        spread = float(rest.max() - rest.min())
        gap = abs(float(distinct[end] - distinct[next_]))
        if distinct[end] in _LIKE_A_CODE and len(rest) > 2 and gap > spread / 4 and counts[end] >= _FEWEST_CODES:
            remedy = later("If it is a code for missing, list it under missing_codes.")
            what = later("one number lies far from all others and looks like a code")
            yield Finding(Level.SUSPECT, about, what, remedy, int(counts[end]))


def _jumps(content: TableContent) -> Iterator[Finding]:
    """A marker that is measured in some years and hardly in others."""
    years, shares = shares_by_year(content, fewest=_FEWEST)
    if len(years) < 2:
        return
    for number, marker in enumerate(content.schema.markers):
        measured = 1 - shares[number]
        if float(measured.max() - measured.min()) > _JUMP:
            most, least = years[int(measured.argmax())], years[int(measured.argmin())]
            what = Filled(
                "measured in %(high)s%% of the patients of %(most)s, and in %(low)s%% of %(least)s",
                high=f"{100 * measured.max():.0f}",
                most=most,
                low=f"{100 * measured.min():.0f}",
                least=least,
            )
            told = Filled("measured far more often in patients of %(most)s than of %(least)s", most=most, least=least)
            remedy = later("Is an export of some years missing?")
            about = Filled("marker %(name)s", name=f'"{marker.name}"')
            yield Finding(Level.NOTE, about, what, remedy, told=told)


def _copies(content: TableContent) -> Iterator[Finding]:
    """Rows that are alike in every marker and every time, where chance would hardly make one pair.

    By chance: pairs of rows, times the product over columns of how often two rows agree in it, as if columns were
    independent. They are not, so the limit is low; and where columns are few and coarse, nothing can be said.
    """
    columns = np.column_stack([content.values, content.exit, content.observed.astype(np.float64)])
    rows = len(columns)
    if rows < 2:
        return
    log_expected = math.log(rows * (rows - 1) / 2)
    for column in columns.T:
        counts = np.unique(column, return_counts=True)[1]
        log_expected += math.log(float(((counts / rows) ** 2).sum()))
    if log_expected > math.log(_CHANCE):
        return
    if count := int(pd.DataFrame(columns).duplicated(keep=False).sum()):
        what = later("alike in every marker and every time, with identifiers of their own")
        yield Finding(Level.SUSPECT, later("table"), what, later("Is that one patient under two identifiers?"), count)
