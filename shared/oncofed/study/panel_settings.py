"""What does the section [panel] of a study file ask for: a second, smaller model from a part of the budget?

Both trainings are of the same patients, so what they cost is added up: the first may spend 1 - share of what epsilon
lets through, and the panel's the rest (`study.budget_part`).

Does a panel pay? A patient's part of a sum is at most as long as the bound, so what is spent on other markers is lost
to these. Let v be the length of a patient's row (`chosen_settings`), or the bound where that is longer, and v' the
panel's. What noise leaves to be learned of one of its markers goes with 1 / v^2: the whole budget for all markers gives
1, both trainings together give 1 - share + share v^2 / v'^2, the *gain*. The panel is taken to be of the markers with
the largest public scales, which have the longest rows, so the gain is told too low rather than too high. Against it
stands what the other markers would have told. WORTH was chosen on validation patients of the demonstration (gain 1.9:
the panel was better in seven of eight looks) and of TCGA (1.0 to 1.4: it was not). All of it is of public numbers, and
known before anybody trains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault
from oncofed.file_model import Known, Rule, Wrong
from oncofed.protocol.plan import TrainingMode
from oncofed.study.budget_part import the_rest, with_part
from oncofed.study.chosen_settings import BY_ENTITY, OPEN, calibration_error, column_variances, expectation, settled
from oncofed.study.explanation_settings import ExplanationRequest
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings
from oncofed.study.value_settings import ValueRequest

PANEL = "panel"
"""The end of the plan's name, and the folder in a run's own."""
MARKERS = 40
"""Of a panel whose size nobody says: they carry nearly all, on TCGA and on synthetic consortia (docs/benchmarks.md)."""
WORTH = 1.5
"""The gain from which on a panel is taken for the better model."""
CALIBRATED_TO = 0.15
"""Standard error of the spread of risks above which calibration rounds do more harm than good: the panel starts from
weights whose spread is about right, and noise would change it by more than they mend."""
LITTLE_NOISE = 0.9
"""Where noise leaves more than that of what all markers teach, there is nothing to gain."""
WHAT_A_PANEL_IS = (
    "Under noise a model of few markers may be the better one: what a patient may add to a sum is spent on these. A",
    "panel ([panel]) is trained after all markers, on the same patients and within the same epsilon:",
)


def _without_a_size(auto: bool | None, known: Known) -> bool | None:
    if auto and known.before.get("markers"):
        raise Wrong("stands beside markers, which say how many", "Keep one of the two.")
    return auto


@dataclass(frozen=True)
class PanelRequest:
    """A panel: the markers with the largest released weights, and a model of them alone, trained anew. Nothing is asked
    unless `markers` is above 0, or `auto` is set.
    """

    markers: int = 0
    """How many. Choose it, and `share`, on validation patients (`[evaluation] part`) or from other studies, never on
    the patients that you report. `0`: no panel."""
    share: float = 0.5
    """Of the budget, for the panel's training: of what `[privacy] epsilon` lets through, the sum of 1 / (noise
    multiplier)^2. The first training, with all that is released of its model, has the rest."""
    rounds: int | None = None
    """Of the panel's training. Without it as many as are usual; they cost time alone."""
    auto: Annotated[bool, Rule(_without_a_size)] = False
    """In place of `markers`: 40 markers where the study's public numbers say, before anything is trained, that such a
    panel is maybe the better model ([how](study.md#panel)); else no panel, and all of the budget for all markers."""

    @property
    def is_asked(self) -> bool:
        """Of a decided request (`decided`): whether there will be a panel."""
        return self.markers > 0

    @property
    def part(self) -> float:
        """Of the budget, of a decided request."""
        return self.share if self.is_asked else 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether there is or may be one."""
        return self.is_asked or self.auto


@dataclass(frozen=True)
class PanelOffer:
    """What a panel would have of a study's budget, by public numbers.

    epsilon  of each of both trainings by itself, the first one first.
    left     part of what events teach of all markers that noise leaves, with the whole budget for them.
    gain     of the module's argument.
    """

    markers: int
    epsilon: tuple[float, float]
    left: float
    gain: float

    @property
    def pays(self) -> bool:
        return self.left <= LITTLE_NOISE and self.gain >= WORTH

    @property
    def words(self) -> str:
        first, second = (f"{each:.3g}" for each in self.epsilon)
        return (
            f"a panel of {self.markers} has {self.gain:.1f} times the budget a marker, and noise leaves "
            f"{self.left:.0%} of what all markers teach: {'maybe the better model' if self.pays else 'does not pay'} "
            f"(epsilon {first} for all markers, then {second} for the panel)"
        )


def panel_offer(
    settings: PlanSettings, schema: StudySchema, *, hospitals: int, request: PanelRequest
) -> PanelOffer | None:
    """Of the panel that the request asks for, of MARKERS where it says no size.

    None where no panel can gain anything: in mode `none`, with local steps, and where the schema has no more markers.
    """
    markers = request.markers or MARKERS
    if not settings.privacy.mode.private or settings.training.mode is not TrainingMode.FULL_BATCH:
        return None
    if markers >= len(schema.markers):
        return None
    few = schema.of_markers(_heaviest(schema, markers))
    panel = of_panel(settings, request, few, hospitals=hospitals)
    first, second = before_panel(settings, replace(request, markers=markers)).privacy.epsilon, panel.privacy.epsilon
    assert first is not None
    assert second is not None
    left, row = _left_and_row(settings, schema, hospitals=hospitals)
    gain = 1 - request.share + request.share * (row / _left_and_row(panel, few, hospitals=hospitals)[1]) ** 2
    return PanelOffer(markers, (first, second), left, gain)


def _left_and_row(settings: PlanSettings, schema: StudySchema, *, hospitals: int) -> tuple[float, float]:
    """Of a training; the row is at least as long as the bound."""
    fixed = settled(settings, schema, hospitals=hospitals)
    expected = expectation(fixed, schema, hospitals=hospitals, baseline_weight=fixed.baseline_weight)
    return expected.left, max(expected.length, fixed.privacy.l2_norm_bound or 0.0)


def _heaviest(schema: StudySchema, count: int) -> list[str]:
    """The markers with the largest public scales."""
    squares = {marker.name: 0.0 for marker in schema.markers}
    for column, variance in zip(columns(schema), column_variances(schema), strict=True):
        if column.source in squares:
            squares[column.source] += variance
    return sorted(squares, key=lambda name: -squares[name])[:count]


def decided(
    settings: PlanSettings, schema: StudySchema, *, hospitals: int, request: PanelRequest
) -> tuple[PanelRequest, str]:
    """The request with its size, 0 for no panel, and why in words; as it is, without words, where it is not `auto`."""
    if not request.auto:
        return request, ""
    offer = panel_offer(settings, schema, hospitals=hospitals, request=replace(request, markers=0))
    if offer is None:
        return replace(request, markers=0), "No panel: without noise, or with so few markers, there is nothing to gain."
    return replace(request, markers=offer.markers if offer.pays else 0), f"Panel: {offer.words}."


def size_faults(request: PanelRequest, schema: StudySchema) -> list[Fault]:
    """Of a decided request."""
    if request.markers < len(schema.markers):
        return []
    what = f"is {request.markers}, and the study has {len(schema.markers)} markers"
    return [Fault("[panel], markers", what, "Choose fewer, or leave [panel] out.")]


def before_panel(settings: PlanSettings, request: PanelRequest) -> PlanSettings:
    """The settings of the first training: those of the file, with its part of epsilon."""
    return the_rest(settings, request.part)


def of_panel(settings: PlanSettings, request: PanelRequest, schema: StudySchema, *, hospitals: int) -> PlanSettings:
    """The settings of the panel's training. schema: of its markers alone.

    What a study may leave open (`chosen_settings.OPEN`) is chosen for the panel, whatever the file says: its numbers
    were meant for all markers. There are no calibration rounds that noise would make harmful. Nothing but weights is
    released of the panel's model.
    """
    named: tuple[str, ...] = ()
    training = settings.training
    if request.rounds is not None:
        named, training = ("training.rounds",), replace(training, rounds=request.rounds)
    panel = replace(
        with_part(settings, request.share),
        training=training,
        left_open=tuple(key for key in OPEN if key not in named),
        entity_time_shapes=settings.entity_time_shapes if schema.tumour_entity is not None else 0,
        held_out=HeldOutRequest(),
        explanations=ExplanationRequest(),
        comparators=(),
        value=ValueRequest(),
    )
    fixed = settled(panel, schema, hospitals=hospitals)
    if not fixed.training.calibration_rounds or (
        calibration_error(fixed, schema, hospitals=hospitals) <= CALIBRATED_TO
    ):
        return panel
    return replace(
        panel,
        training=replace(training, calibration_rounds=0),
        calibration_by_entity=False,
        left_open=tuple(key for key in panel.left_open if key not in (BY_ENTITY, "training.calibration_rounds")),
    )
