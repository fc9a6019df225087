"""Should a delivered model be adjusted to this hospital's outcomes? What its patients say who were set aside.

Who they are, and as of which table, is what is *published* for the pages (`pages.published`), so adopting again tells
no more than publishing does. Pages apply what is adopted, so it is one level and one slope for all, each on a coarse
step (`told_adjustment`). The figures before and after are exact, for the eyes of those who may know exact counts: they
are shown to the guard's user and kept nowhere.

Refused: a study that set nobody aside, and too few events. On patients that a model has learned from its slope is right
whatever it learned by heart (`pages.recalibration`), so nothing can be chosen from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from oncofed.client.fit.adoption import AdoptedEndpoint
from oncofed.client.fit.before_after import BeforeAfter, Predicted, before_and_after
from oncofed.client.fit.closed_testing import Degree, LevelAndSlope
from oncofed.client.fit.told_adjustment import as_told
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.recalibration import FEWEST_EVENTS, Recalibration
from oncofed.errors import Fault, InvalidInput


@dataclass(frozen=True, eq=False)
class Judged:
    """Of endpoints that are adjusted together, by their numbers. patients: set aside, of whom all of this is.

    told  what pages would apply of it; None where their steps are too coarse for it.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    patients: int
    causes: tuple[Predicted, ...]
    found: BeforeAfter
    told: tuple[LevelAndSlope | None, ...]


def judged(hospital: HospitalPrognosis, rng: np.random.Generator) -> tuple[Judged, ...]:
    """Every endpoint once. rng: deals patients into parts. Raises InvalidInput."""
    rows = np.flatnonzero(hospital.set_aside)
    if not len(rows):
        what = "no patient here is known to have been set aside from its training, and published"
        remedy = (
            "Nothing can be chosen from patients that a model has learned from. Set patients aside in the next study "
            "([held_out] in the study file); a study that did publishes them once enough of a tumour's patients were."
        )
        raise InvalidInput([Fault("the model", what, remedy)])
    found = [_judged(hospital, rows, numbers, rng) for numbers in _together(hospital)]
    faults = [
        Fault(f'endpoint "{name}"', f"fewer than {FEWEST_EVENTS} events of patients who were set aside", _WAIT)
        for each in found
        for name, before in zip(each.names, each.found.before, strict=True)
        if before.whole.observed < FEWEST_EVENTS
    ]
    if faults:
        raise InvalidInput(faults)
    return tuple(found)


_WAIT = (
    "So few tell nothing apart: show the model as released, and look again when more are known (`oncofed site pages "
    "publish` takes the table as it is now)."
)


def _together(hospital: HospitalPrognosis) -> Iterator[tuple[int, ...]]:
    """Endpoints that rule each other out are adjusted together."""
    for number in range(len(hospital.endpoint_names)):
        group = tuple(sorted((number, *hospital.schema.competing(number))))
        if group[0] == number:
            yield group


def _judged(
    hospital: HospitalPrognosis, rows: np.ndarray, numbers: tuple[int, ...], rng: np.random.Generator
) -> Judged:
    cohort, grid = hospital.units.cohort.subset(rows), hospital.grid
    baseline = hospital.network.log_baseline_hazard(torch.as_tensor(hospital.published_encoded[rows]))
    causes = tuple(
        Predicted(
            hospital.endpoint(number).log_hazard_ratio[rows],
            np.asarray(baseline[:, number]),
            grid.events(cohort.exit[:, number], cohort.observed[:, number]),
            grid.at_risk(cohort.entry[:, number], cohort.exit[:, number]),
        )
        for number in numbers
    )
    names = tuple(hospital.endpoint_names[number] for number in numbers)
    found = before_and_after(causes, rng)
    degree, floor = found.choice.degree, hospital.disclosure.floor
    told = tuple(as_told(each.outcomes, degree, smallest_group=floor) for each in causes)
    return Judged(numbers, names, len(rows), causes, found, told)


def to_adopt(hospital: HospitalPrognosis, found: tuple[Judged, ...]) -> tuple[AdoptedEndpoint, ...]:
    """What the pages are to apply, in the endpoints' order. Raises InvalidInput where they can tell none of it."""
    faults = [
        Fault(
            f'endpoint "{name}"',
            "pages may tell an adjustment only in steps by which the smallest group's events move it (smallest_group = "
            f"{hospital.disclosure.floor}), and with so few events such a step spoils it",
            _WAIT,
        )
        for each in found
        for name, told in zip(each.names, each.told, strict=True)
        if told is None
    ]
    if faults:
        raise InvalidInput(faults)
    adopted = {
        number: AdoptedEndpoint(name, each.found.choice.degree, _fit(hospital, number, cause, told, each))
        for each in found
        for number, name, cause, told in zip(each.numbers, each.names, each.causes, each.told, strict=True)
        if told is not None
    }
    return tuple(adopted[number] for number in sorted(adopted))


def _fit(
    hospital: HospitalPrognosis, number: int, found: Predicted, by: LevelAndSlope, of: Judged
) -> Recalibration | None:
    degree, disclosure, intervals = of.found.choice.degree, hospital.disclosure, found.events.shape[1]
    if degree is Degree.NONE:
        return None
    to_intervals = np.zeros((intervals + 1, 2))
    to_intervals[:-1, 0] = to_intervals[-1, 1] = 1.0
    return Recalibration(
        corrections=np.full(intervals, by.level),
        slope=by.slope,
        covariance=to_intervals @ by.covariance @ to_intervals.T,
        patients=sum(part.patients for part in hospital.endpoint(number).parts if part.unseen),
        events=disclosure.count(int(found.outcomes.events.sum())),
        expected=float(disclosure.count(round(float(found.outcomes.expected.sum())))),
        with_slope=degree is Degree.LEVEL_AND_SLOPE,
        set_aside=True,
    )
