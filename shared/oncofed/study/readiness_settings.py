"""What does [readiness] of a study file ask for: who is there, counted privately before anybody trains?

The count is a plan of its own, with an epsilon of its own and without a round (`plan_settings.readiness_plan_from`). Of
which flags it tells follows from the schema: a marker's own, or that of its whole modality.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.cohort.encoding import Column, Role, columns
from oncofed.cohort.schema import StudySchema
from oncofed.protocol.readiness_layout import ReadinessLayout
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec

READINESS = "readiness"
"""The name of the summary, and the end of the plan's."""


@dataclass(frozen=True)
class ReadinessRequest:
    """How hospitals count who is there before the study (`oncofed study sign --readiness`)."""

    epsilon: float = 0.3
    """What the count may cost one patient at one hospital, all attempts together. It is charged like a study of its
    own, beside `[privacy] epsilon`; mode and delta are those of `[privacy]`, and in mode `none` it hides nothing."""
    smallest_shown: float = 50.0
    """No share of measured patients is shown where fewer patients are counted, with their noise."""
    attempts: int = 1
    """How often hospitals may be asked afresh when an answer was lost."""


def flags_of(schema: StudySchema) -> dict[int, Column]:
    """By its place among the encoded columns, each flag that shows whether something was measured.

    None of a modality without flags, nor of one whose flags weigh nothing: in their columns nobody differs.
    """
    return {
        place: column
        for place, column in enumerate(columns(schema))
        if column.role is Role.MISSING and column.weight != 0
    }


def readiness_summary(request: ReadinessRequest, schema: StudySchema) -> SummarySpec:
    """The one summary of the plan; its noise is still to be found."""
    flags = tuple(flags_of(schema))
    return SummarySpec(
        READINESS,
        SummaryKind.READINESS,
        ReadinessLayout(len(schema.endpoints), len(flags)).cells,
        0.0,
        attempts=request.attempts,
        smallest_shown=request.smallest_shown,
        group_columns=flags,
    )
