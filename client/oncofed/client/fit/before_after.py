"""How well do risks fit this hospital as released, and how well would they after an adjustment?

*Before* is exact: events against those that the released model expects, in the same follow-up, and the slope by which
its log hazard ratios should be multiplied.

*After* is of patients whom neither the choice nor the adjustment has seen. The patients are dealt into parts; for each
part degree and adjustment are found from all others, anew, and this part's events are held against what that makes of
the model. So it judges the way in which an adjustment is found, and the one that is adopted is found in that way from
all of them. Its interval holds what the adopted adjustment will be off by in new patients of this hospital: that is
mostly how exactly so many events tell a level, which is as much as chance in as many events (measured:
docs/benchmarks.md).

Sources: Garwood, Biometrika 28 (1936), limits of events over expected; Stone, JRSS B 36 (1974), cross-validatory choice
and assessment; Varma and Simon, BMC Bioinformatics 7 (2006), why the choice is made anew in each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.client.fit.closed_testing import (
    ALPHA,
    AS_RELEASED,
    Choice,
    Degree,
    LevelAndSlope,
    Outcomes,
    best_level,
    choose,
    level_and_slope,
)
from oncofed.survival.expected_events import Expected

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

PARTS = 10
_MOST_WINDOWS = 3


@dataclass(frozen=True, eq=False)
class Predicted:
    """Patients of one endpoint, and the hazards that some model gives them.

    log_hazard_ratio     (patients,), f, or s f.
    log_baseline_hazard  (patients, intervals), of a whole interval, for f = 0.
    events, at_risk      (patients, intervals), as `TimeGrid` gives them.
    """

    log_hazard_ratio: FloatArray
    log_baseline_hazard: FloatArray
    events: FloatArray
    at_risk: FloatArray

    @property
    def expected(self) -> FloatArray:
        """(patients, intervals), events by this model."""
        return np.asarray(self.at_risk * np.exp(self.log_baseline_hazard + self.log_hazard_ratio[:, None]))

    @property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.log_hazard_ratio, self.events.sum(axis=1), self.expected.sum(axis=1))

    def adjusted(self, by: LevelAndSlope) -> Predicted:
        """The same patients, by the model with another level and slope."""
        return Predicted(
            by.slope * self.log_hazard_ratio, self.log_baseline_hazard + by.level, self.events, self.at_risk
        )

    def rows(self, rows: NDArray[np.bool_]) -> Predicted:
        return Predicted(
            self.log_hazard_ratio[rows], self.log_baseline_hazard[rows], self.events[rows], self.at_risk[rows]
        )


@dataclass(frozen=True)
class FitFigures:
    """whole: events and what was expected. slope: 1 is right; low, high its 95 % interval; NaN where not known.

    windows  the same by time since time zero, each over some intervals of the grid: first, and last one with its end.
    thirds   by predicted risk, lowest first.
    """

    patients: int
    whole: Expected
    slope: float
    slope_low: float
    slope_high: float
    windows: tuple[tuple[int, int, Expected], ...]
    thirds: tuple[Expected, ...]


def figures_of(found: Predicted, *, level: float = 0.95) -> FitFigures:
    """Of patients from whom nothing of this model was learned."""
    expected, events = found.expected, found.events
    best = level_and_slope(found.outcomes)
    slope, half = best.slope, float(ndtri((1 + level) / 2)) * best.slope_deviation
    cuts = np.array_split(np.arange(events.shape[1]), min(_MOST_WINDOWS, events.shape[1]))
    thirds = np.array_split(np.argsort(found.log_hazard_ratio, kind="stable"), 3)
    return FitFigures(
        patients=len(events),
        whole=Expected(int(events.sum()), float(expected.sum())),
        slope=slope,
        slope_low=slope - half,
        slope_high=slope + half,
        windows=tuple(
            (int(cut[0]), int(cut[-1]), Expected(int(events[:, cut].sum()), float(expected[:, cut].sum())))
            for cut in cuts
        ),
        thirds=tuple(Expected(int(events[rows].sum()), float(expected[rows].sum())) for rows in thirds),
    )


@dataclass(frozen=True)
class BeforeAfter:
    """Of endpoints that are adjusted together, in order. chosen_again: in how many of the parts the same degree was."""

    choice: Choice
    before: tuple[FitFigures, ...]
    after: tuple[FitFigures, ...]
    chosen_again: int
    parts: int


def before_and_after(
    causes: Sequence[Predicted], rng: np.random.Generator, *, parts: int = PARTS, alpha: float = ALPHA
) -> BeforeAfter:
    """causes: the same patients' endpoints, by the released model. rng: deals the patients into parts."""
    choice = choose([each.outcomes for each in causes], alpha=alpha)
    member = rng.permutation(np.arange(len(causes[0].events)) % parts)
    unseen, again = [], 0
    for part in range(parts):
        held = member == part
        others = [each.rows(~held) for each in causes]
        found = choose([each.outcomes for each in others], alpha=alpha)
        again += found.degree is choice.degree
        unseen.append(
            [
                here.rows(held).adjusted(adjustment(other.outcomes, found.degree))
                for here, other in zip(causes, others, strict=True)
            ]
        )
    after = tuple(figures_of(_together([part[place] for part in unseen])) for place in range(len(causes)))
    return BeforeAfter(choice, tuple(figures_of(each) for each in causes), after, again, parts)


def adjustment(found: Outcomes, degree: Degree) -> LevelAndSlope:
    """The one of this degree that suits these patients best."""
    if degree is Degree.NONE:
        return AS_RELEASED
    return best_level(found) if degree is Degree.LEVEL else level_and_slope(found)


def _together(parts: Sequence[Predicted]) -> Predicted:
    return Predicted(
        np.concatenate([each.log_hazard_ratio for each in parts]),
        np.concatenate([each.log_baseline_hazard for each in parts]),
        np.concatenate([each.events for each in parts]),
        np.concatenate([each.at_risk for each in parts]),
    )
