"""Who took part: what does each simulated hospital's table hold?

A simulation may count exactly. In a deployment these figures stay at the hospital or are released with noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oncofed.cohort.cohort import Cohort
from oncofed.survival.kaplan_meier import kaplan_meier
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import whole

LARGEST_TABLE = 60
"""Hospitals in the table; beyond, the smallest are added up in one row."""


@dataclass(frozen=True)
class CohortRow:
    """One hospital, or several together.

    events            of the main endpoint.
    median_follow_up  in the grid's unit, by the reverse Kaplan-Meier method; NaN when not reached.
    share_missing     of all cells of the markers, in [0, 1]; NaN when there are none.
    """

    name: str
    patients: int
    events: int
    median_follow_up: float
    share_missing: float

    @property
    def share_with_event(self) -> float:
        return self.events / self.patients if self.patients else float("nan")


def cohort_row(name: str, cohorts: list[Cohort]) -> CohortRow:
    """Patients of one or more hospitals, pooled."""
    time = np.concatenate([cohort.exit[:, 0] for cohort in cohorts])
    entry = np.concatenate([cohort.entry[:, 0] for cohort in cohorts])
    observed = np.concatenate([cohort.observed[:, 0] for cohort in cohorts])
    cells = sum(cohort.values.size for cohort in cohorts)
    missing = sum(int(np.isnan(cohort.values).sum()) for cohort in cohorts)
    return CohortRow(
        name=name,
        patients=len(time),
        events=int(observed.sum()),
        median_follow_up=_median_follow_up(time, observed, entry),
        share_missing=missing / cells if cells else float("nan"),
    )


def cohort_rows(hospitals: Mapping[str, Cohort]) -> tuple[CohortRow, ...]:
    """One row a hospital, in roster order."""
    return tuple(cohort_row(site, [cohort]) for site, cohort in hospitals.items())


def table_rows(hospitals: Mapping[str, Cohort], *, say: Language = ENGLISH) -> tuple[CohortRow, ...]:
    """All hospitals in roster order, or the largest and a row for all others together."""
    if len(hospitals) <= LARGEST_TABLE:
        return cohort_rows(hospitals)
    by_size = sorted(hospitals, key=lambda site: -len(hospitals[site]))
    kept, others = by_size[: LARGEST_TABLE - 1], by_size[LARGEST_TABLE - 1 :]
    together = say("%(count)s smaller hospitals together", count=whole(len(others), say=say))
    rest = cohort_row(together, [hospitals[site] for site in others])
    return (*cohort_rows({site: hospitals[site] for site in kept}), rest)


def _median_follow_up(
    time: np.ndarray[tuple[int], np.dtype[np.float64]],
    observed: np.ndarray[tuple[int], np.dtype[np.bool_]],
    entry: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    """Censoring counts as the event, so that a short life is not mistaken for a short follow-up (Schemper and Smith,
    Controlled Clinical Trials 17, 1996).
    """
    if not len(time):
        return float("nan")
    curve = kaplan_meier(time=time, observed=~observed, entry=entry)
    reached = np.flatnonzero(curve.survival <= 0.5)
    return float(curve.times[reached[0]]) if len(reached) else float("nan")
