"""Do patients of late have other values than those before: of which markers, and by how much?

Each marker is held against the hospital's own earlier patients: the share of patients in whom it is not measured, and
where measured values lie, in tenths of the earlier ones or by category. How far is told by the population stability
index, sum (new - old) log(new / old), which is 0 for the same distribution; by custom 0.1 is worth a look and 0.25 is
large. Whether it may be chance is told by a test of homogeneity for each of the two, with the level divided by the
number of tests (Bonferroni). A marker has *drifted* where both say so: with many patients a shift that matters to
nobody is beyond chance, and with few a large index may be chance.

A change of unit (g/l to g/dl) moves all patients to an outer tenth and is the largest index that there is. Nothing is
told of a marker with too few patients on either side.

Sources: Pearson, Phil. Mag. 50 (1900); Siddiqi, Credit Risk Scorecards (2006), the index; Yurdakul and Naranjo, Journal
of Risk Model Validation 14 (2020), what it is by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from oncofed.cohort.schema import Kind, Marker

FloatArray = NDArray[np.float64]

ALPHA = 0.05
FEWEST_PATIENTS = 50
"""On either side."""
WORTH_A_LOOK, LARGE = 0.1, 0.25
MISSING_STEP = 0.1
"""By so much the share without a value must have changed."""
_TENTHS = 10
_FEWEST_EXPECTED = 5.0
_HALF = 0.5


@dataclass(frozen=True)
class MarkerDrift:
    """missing_before, missing_since  shares of patients. middle_before, middle_since: medians; NaN of categories.

    index         of measured values; NaN where too few have one. p_values: of both tests, as they are.
    missing_drifted, values_drifted   beyond chance, and far enough to matter.
    """

    marker: str
    missing_before: float
    missing_since: float
    middle_before: float
    middle_since: float
    index: float
    p_missing: float
    p_values: float
    missing_drifted: bool
    values_drifted: bool

    @property
    def drifted(self) -> bool:
        return self.missing_drifted or self.values_drifted


def input_drift(
    before: FloatArray, since: FloatArray, markers: Sequence[Marker], *, alpha: float = ALPHA
) -> tuple[MarkerDrift, ...]:
    """One of each marker, the farthest first; none with fewer than FEWEST_PATIENTS patients on either side.

    before, since  (patients, markers), NaN where not measured; a category as its number.
    """
    if min(len(before), len(since)) < FEWEST_PATIENTS:
        return ()
    level = alpha / (2 * len(markers))
    found = [_of_marker(marker, before[:, place], since[:, place], level=level) for place, marker in enumerate(markers)]
    return tuple(sorted(found, key=lambda each: (not each.drifted, -_distance(each))))


def _distance(found: MarkerDrift) -> float:
    index = 0.0 if math.isnan(found.index) else found.index
    return max(index, abs(found.missing_since - found.missing_before))


def _of_marker(marker: Marker, before: FloatArray, since: FloatArray, *, level: float) -> MarkerDrift:
    unknown = [np.isnan(each) for each in (before, since)]
    p_missing = _homogeneous(np.array([[each.sum(), (~each).sum()] for each in unknown], dtype=np.float64))
    old, new = before[~unknown[0]], since[~unknown[1]]
    index, p_values = math.nan, math.nan
    if min(len(old), len(new)) >= FEWEST_PATIENTS:
        counts = _binned(marker, old, new)
        index, p_values = _stability(counts), _homogeneous(counts)
    missing_before, missing_since = (float(each.mean()) for each in unknown)
    middle_before, middle_since = (
        float(np.median(each)) if len(each) and not marker.categories else math.nan for each in (old, new)
    )
    return MarkerDrift(
        marker=marker.name,
        missing_before=missing_before,
        missing_since=missing_since,
        middle_before=middle_before,
        middle_since=middle_since,
        index=index,
        p_missing=p_missing,
        p_values=p_values,
        missing_drifted=p_missing < level and abs(missing_since - missing_before) >= MISSING_STEP,
        values_drifted=p_values < level and index >= WORTH_A_LOOK,
    )


def _binned(marker: Marker, old: FloatArray, new: FloatArray) -> FloatArray:
    """(2, bins) counts."""
    if marker.kind in (Kind.CONTINUOUS, Kind.ORDINAL):
        edges = np.unique(np.quantile(old, np.arange(1, _TENTHS) / _TENTHS))
        places = [np.searchsorted(edges, each, side="left") for each in (old, new)]
    else:
        places = [each.astype(np.intp) for each in (old, new)]
    bins = int(max(each.max() for each in places)) + 1
    return np.stack([np.bincount(each, minlength=bins) for each in places]).astype(np.float64)


def _stability(counts: FloatArray) -> float:
    """The index; half a patient is added to each bin, so that an empty one is no infinite distance."""
    kept = counts[:, counts.sum(axis=0) > 0] + _HALF
    old, new = kept / kept.sum(axis=1, keepdims=True)
    return float(((new - old) * np.log(new / old)).sum())


def _homogeneous(counts: FloatArray) -> float:
    """Pearson's test; bins in which too few are expected are taken together. 1 where there is nothing to compare."""
    totals, sizes = counts.sum(axis=0), counts.sum(axis=1)
    rare = totals * sizes.min() / sizes.sum() < _FEWEST_EXPECTED
    kept = np.column_stack((counts[:, ~rare], counts[:, rare].sum(axis=1)))
    kept = kept[:, kept.sum(axis=0) > 0]
    if kept.shape[1] < 2:
        return 1.0
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / kept.sum()
    statistic = float(((kept - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, kept.shape[1] - 1))
