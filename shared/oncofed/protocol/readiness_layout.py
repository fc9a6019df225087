"""Which number of a summary of kind `readiness` means what, and how long is a patient's part of it at most?

It says who is there, before anybody trains: with E endpoints and F flags (columns of the encoded patients that are set
where a marker, or a whole modality, was not measured),

    PATIENTS  1 number, weighted with PATIENTS_WEIGHT: that there is a patient.
    EVENTS    E numbers, each EVENTS_WEIGHT / sqrt(E): that the endpoint's event was seen on the study's grid.
    MEASURED  F numbers, each MEASURED_WEIGHT / sqrt(F), positive where the flag is not set and negative where it is.

The squared length of a patient's numbers is at most PATIENTS_WEIGHT^2 + EVENTS_WEIGHT^2 + MEASURED_WEIGHT^2 < 1, and is
the same for everybody with as many events. Plus and minus in place of 1 and 0: a sum S over n patients then holds
measured less unmeasured, so that (1 + S / n) / 2 of them are measured, and the noise counts half.

Nothing here looks at a model: weights that travel with the question are passed over. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec

PATIENTS_WEIGHT, EVENTS_WEIGHT, MEASURED_WEIGHT = 0.3, 0.45, 0.84
"""Markers get most: there are many of them, and each has the noise of all."""


@dataclass(frozen=True)
class ReadinessLayout:
    """endpoints: at least one. flags: any number."""

    endpoints: int
    flags: int

    @property
    def cells(self) -> int:
        return 1 + self.endpoints + self.flags

    @property
    def events(self) -> slice:
        return slice(1, 1 + self.endpoints)

    @property
    def measured(self) -> slice:
        return slice(1 + self.endpoints, self.cells)

    @property
    def event(self) -> float:
        """What an event adds to its number."""
        return EVENTS_WEIGHT / math.sqrt(self.endpoints)

    @property
    def flag(self) -> float:
        """What a flag adds to its number, or takes from it."""
        return MEASURED_WEIGHT / math.sqrt(max(self.flags, 1))


def readiness_layout(plan: StudyPlan, spec: SummarySpec) -> ReadinessLayout:
    """The numbers that the plan asks for."""
    return ReadinessLayout(len(plan.model.endpoints), len(spec.group_columns))


def readiness_faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
    """Why it cannot be counted so, in words; empty when it can."""
    found = []
    if any(not 0 <= column < plan.model.columns for column in spec.group_columns):
        found.append("it looks for flags in columns that are not there")
    if (cells := readiness_layout(plan, spec).cells) != spec.cells:
        found.append(f"it states {spec.cells} cells where its endpoints and flags make {cells}")
    return found
