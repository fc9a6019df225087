"""How well do risks fit this hospital as released, and how well would they after an adjustment?

*Before* is exact: events against those that the released model expects, in the same follow-up, and the slope by which
its log hazard ratios should be multiplied.

*After* is of patients from whom the adjustment was not learned. They are dealt into parts; for each part the adjustment
of the proposed degree is found from all others, and this part's events are held against what that makes of the model.
In how many of the parts the same degree would have been proposed is told.

**Limits that hold whatever was chosen.** A degree is proposed because these patients look as they do, and an adjusted
slope is rather too far from 1 where it barely was proposed. So limits around the slope after are not those of a fit to
the parts, which forget that (they held the truth in two of three hospitals that had barely adopted a slope), but those
before, over the adopted slope: the true slope after is the true one before over that same number, and those before are
told whatever is chosen.

Sources: Garwood, Biometrika 28 (1936), limits of events over expected; Stone, JRSS B 36 (1974), cross-validatory choice
and assessment; Efron, JASA 109 (2014), limits that forget that something was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        again += choose([each.outcomes for each in others], alpha=alpha).degree is choice.degree
        unseen.append(
            [
                here.rows(held).adjusted(adjustment(other.outcomes, choice.degree))
                for here, other in zip(causes, others, strict=True)
            ]
        )
    before = tuple(figures_of(each) for each in causes)
    after = []
    for place, (cause, was) in enumerate(zip(causes, before, strict=True)):
        adopted = adjustment(cause.outcomes, choice.degree).slope
        low, high = sorted((was.slope_low / adopted, was.slope_high / adopted))
        found = figures_of(_together([part[place] for part in unseen]))
        after.append(replace(found, slope_low=low, slope_high=high))
    return BeforeAfter(choice, before, tuple(after), again, parts)


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
