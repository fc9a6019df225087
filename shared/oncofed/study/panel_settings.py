"""What does the section [panel] of a study file ask for: a second, smaller model from a part of the budget?

Both trainings are of the same patients, so what they cost is added up: the first may spend 1 - share of what epsilon
lets through, and the panel's the rest (`study.budget_part`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from oncofed.cohort.schema import StudySchema
from oncofed.study.budget_part import with_part
from oncofed.study.chosen_settings import OPEN
from oncofed.study.explanation_settings import ExplanationRequest
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings
from oncofed.study.value_settings import ValueRequest

PANEL = "panel"
"""The end of the plan's name, and the folder in a run's own."""


@dataclass(frozen=True)
class PanelRequest:
    """A panel: the markers with the largest released weights, and a model of them alone, trained anew. Nothing is asked
    unless `markers` is above 0.
    """

    markers: int = 0
    """How many. Choose it, and `share`, on validation patients (`[evaluation] part`) or from other studies, never on
    the patients that you report. `0`: no panel."""
    share: float = 0.5
    """Of the budget, for the panel's training: of what `[privacy] epsilon` lets through, the sum of 1 / (noise
    multiplier)^2. The first training, with all that is released of its model, has the rest."""
    rounds: int | None = None
    """Of the panel's training. Without it as many as are usual; they cost time alone."""

    @property
    def is_asked(self) -> bool:
        return self.markers > 0


def before_panel(settings: PlanSettings, request: PanelRequest) -> PlanSettings:
    """The settings of the first training: those of the file, with its part of epsilon."""
    return with_part(settings, 1 - request.share) if request.is_asked else settings


def of_panel(settings: PlanSettings, request: PanelRequest, schema: StudySchema) -> PlanSettings:
    """The settings of the panel's training. schema: of its markers alone.

    What a study may leave open (`chosen_settings.OPEN`) is chosen for the panel, whatever the file says: its numbers
    were meant for all markers. Nothing but weights is released of the panel's model.
    """
    named: tuple[str, ...] = ()
    training = settings.training
    if request.rounds is not None:
        named, training = ("training.rounds",), replace(training, rounds=request.rounds)
    return replace(
        with_part(settings, request.share),
        training=training,
        left_open=tuple(key for key in OPEN if key not in named),
        entity_time_shapes=settings.entity_time_shapes if schema.tumour_entity is not None else 0,
        held_out=HeldOutRequest(),
        explanations=ExplanationRequest(),
        comparators=(),
        value=ValueRequest(),
    )
