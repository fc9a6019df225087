"""Which plan do [model], [training], [privacy], [held_out], [explanations] and [[comparator]] of a study file ask for?

And which plans without a round do [readiness], which counts who is there, and [validation], which measures a released
model in hospitals that did not train it, ask for? `PlanSections` declares them for simulations and real consortia.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from oncofed.cohort.encoding import columns
from oncofed.cohort.expected_effects import expected_weights
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import As, Known, Rule, Wrong, needed_where
from oncofed.privacy.policy import WantedSummary, calibrated_alone, calibrated_together, without_privacy
from oncofed.protocol.plan import (
    Bounding,
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    SharedNoise,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.protocol.released_model import ReleasedModel
from oncofed.ranges import range_of, told
from oncofed.study.chosen_settings import settled
from oncofed.study.comparator_settings import ComparatorSection, comparators_of, named_once
from oncofed.study.explanation_settings import ExplanationRequest, entity_columns, wanted_explanations
from oncofed.study.held_out_settings import HeldOutRequest, wanted_summaries
from oncofed.study.readiness_settings import READINESS, ReadinessRequest, readiness_summary
from oncofed.study.reporting import Reporting
from oncofed.study.validation_settings import VALIDATION, ValidationRequest
from oncofed.study.value_settings import ValueRequest, layers_of
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.time_shapes import TimeShapes, shape_centre

_PRIVATE = needed_where("mode", PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED)
_SHARED = needed_where("mode", PrivacyMode.DISTRIBUTED)


def _more_than_collude(neighbours: int | None, known: Known) -> int | None:
    colluding = known.before.get("colluding") or 0
    if 0 < (neighbours or 0) <= colluding:
        what = f"must be more than the {colluding} that may collude, who could open a hospital's part together"
        raise Wrong(what, f"Write {colluding + 1} or more, or leave it out: then each masks with all.")
    return neighbours


@dataclass(frozen=True)
class PrivacyRequest:
    """What the study asks for; the noise is calibrated from it."""

    mode: PrivacyMode
    """`local`: every hospital adds the full noise itself, and trusts nobody. `distributed`: hospitals share the noise
    of a masked sum, and trust that enough of them are honest; needs `full_batch`. `none`: nothing is protected; for
    synthetic or public data, and as a yardstick."""
    epsilon: Annotated[float | None, _PRIVATE] = None
    """Required but for `none`: what all planned rounds and the reserve may cost one patient at one hospital. The noise
    follows from it."""
    delta: float = 1e-6
    """Choose at most 1 / (10 × patients of the largest hospital you expect), by a public guess and not by counting."""
    l2_norm_bound: float | None = None
    """The clip norm, the most that one patient can move a sum; 0.5 to 2 is usual. In mode `none` nothing is clipped
    without it; else it is one of the [settings that a study may leave open](study.md#settings-left-open)."""
    reserve_rounds: int = 0
    """The noise is sized for so many repeated rounds beside the planned ones. Without a reserve, a round that must be
    repeated exceeds the budget."""
    clip_without_noise: bool = False
    """In mode `none`: clip at `l2_norm_bound` all the same. Shows what clipping alone costs; protects nobody."""
    dropouts: Annotated[int, _SHARED] = 0
    """Required for `distributed`: how many hospitals may be missing from a sum."""
    colluding: Annotated[int, _SHARED] = 0
    """Required for `distributed`: how many hospitals may tell the server their share of the noise without harm."""
    mask_neighbours: Annotated[int, Rule(_more_than_collude)] = 0
    """`distributed`: with how many others a hospital masks its part, at least; 0 for all. It has to be more than
    `colluding`, and hides as much then ([why](secure-aggregation.md#masks-with-neighbours)), with fewer masks to make
    where there are many hospitals."""
    scale_bits: int = 20
    """Sums leave in whole steps: a clip norm is 2^`scale_bits` of them. Not used in mode `none`."""
    bounding: Bounding = Bounding.CLIP
    """How a patient is kept within it, in `full_batch`. `clip`: the gradient is cut to that length. `stopped`:
    follow-up ends at `hazard_cap`, and a weight that looks at the covariates alone keeps the rest within the bound,
    so that risks do not become too extreme ([how](privacy.md#two-ways-to-bound-a-patient)); any bound below the
    usual length of a patient's gradient at residual 1, such as 0.5, is the same then. `epochs` has `clip` alone."""
    hazard_cap: float = PrivacySpec.hazard_cap
    """`stopped`, and calibration rounds: a patient's follow-up counts up to where the current model expects so many
    events of that patient."""


@dataclass(frozen=True)
class PlanSettings:
    """The sections, read and checked.

    left_open          which of `chosen_settings.OPEN` the file does not name: a plan chooses them. Their values here
                       mean nothing until then.
    expected_patients  of all hospitals together, a public guess; None where nobody has said it.
    """

    hidden_units: tuple[int, ...]
    linear_branch: bool
    baseline_weight: float
    training: TrainingSpec
    privacy: PrivacyRequest
    held_out: HeldOutRequest
    explanations: ExplanationRequest = field(default_factory=ExplanationRequest)
    entity_time_shapes: int = 0
    shape_weight: float = 1.0
    readiness: ReadinessRequest = field(default_factory=ReadinessRequest)
    comparators: tuple[ComparatorSection, ...] = ()
    comparator_weight: float = 0.5
    value: ValueRequest = field(default_factory=ValueRequest)
    left_open: tuple[str, ...] = ()
    expected_patients: int | None = None
    calibration_by_entity: bool = False


def _some_network(linear_branch: bool | None, known: Known) -> bool | None:
    if linear_branch is False and not known.before.get("hidden_units", True):
        raise Wrong("leaves no network at all", "Give hidden units, or keep the linear branch.", key="hidden_units")
    return linear_branch


@dataclass(frozen=True)
class ModelSection:
    """The section [model]."""

    hidden_units: Annotated[tuple[int, ...], As("PlanSettings.hidden_units")] = (16,)
    """The widths of the ReLU layers; `[]` for none."""
    linear_branch: Annotated[bool, Rule(_some_network)] = True
    """Whether the linear part is there. Without it and without units there would be no model."""
    baseline_weight: Annotated[float, As("PlanSettings.baseline_weight")] = 1.0
    """Public multiplier of the learned correction to `baseline_hazard`. Smaller leaves more of a patient's clip norm to
    the markers."""
    entity_time_shapes: Annotated[int, As("PlanSettings.entity_time_shapes")] = 0
    """How freely the hazard of each tumour entity may run over time ([why](study.md#time-shapes)): `0` all alike; `1`
    early or late (the logarithm of time); `2` also both or neither (its square). Needs the schema's `tumour_entity`."""
    shape_weight: Annotated[float, As("PlanSettings.shape_weight")] = 1.0
    """Public multiplier of what is learned of these courses."""
    calibration_by_entity: Annotated[bool, Rule(_has_a_place)] = False
    """Whether calibration rounds also set right the level of each tumour entity, and the course over time of all
    ([how](study.md#calibration-rounds)). Needs the schema's `tumour_entity`, the linear branch, and
    `calibration_rounds` of a tenth of the rounds or so."""
    comparator_weight: Annotated[float, As("PlanSettings.comparator_weight")] = 0.5
    """Public multiplier of the part of each `[[comparator]]` in a patient's gradient. Smaller leaves more of the clip
    norm to the network, and more noise in the comparators."""


def _has_a_place(by_entity: bool | None, known: Known) -> bool | None:
    if by_entity and known.before.get("linear_branch") is False:
        raise Wrong("needs the linear branch, in which the levels stand", "Keep it, or leave this out.", key="")
    return by_entity


def _some_round(training: TrainingSpec | None, known: Known) -> TrainingSpec | None:
    if training is not None and not training.rounds:
        what = "is 0, which trains nothing"
        remedy = "Write 1 or more. To count who is there first, write [readiness]; to measure a model, [validation]."
        raise Wrong(what, remedy, key="rounds")
    return training


def _suits_training(privacy: PrivacyRequest | None, known: Known) -> PrivacyRequest | None:
    """Local steps know the clip alone."""
    training = known.before.get("training", TrainingSpec()).mode
    if privacy is not None and training is not TrainingMode.FULL_BATCH and privacy.bounding is not Bounding.CLIP:
        what = f"is {privacy.bounding}, and [training], mode {training} knows no bounding but {Bounding.CLIP}"
        raise Wrong(what, f'Leave it out, or set the mode to "{TrainingMode.FULL_BATCH}".', key="bounding")
    return privacy


def _steps_that_are_counted(privacy: PrivacyRequest | None, known: Known) -> PrivacyRequest | None:
    """Each local step of each round is one release. A plan is judged by the same range when it is signed."""
    asked, span = known.before.get("training", TrainingSpec()), range_of(StudyPlan, "charged_local_steps")
    rounds = asked.rounds + (0 if privacy is None else privacy.reserve_rounds)
    if asked.mode is TrainingMode.EPOCHS and rounds * asked.local_steps not in span:
        what = (
            f"is {asked.local_steps:,}, which makes {rounds * asked.local_steps:,} local steps of {rounds:,} rounds "
            f"(reserve_rounds among them), above {told(span.most)}"
        )
        raise Wrong(what, span.remedy, section="training", key="local_steps")
    return privacy


def _leaves_training(asked: ExplanationRequest | None, known: Known) -> ExplanationRequest | None:
    held_out = known.before.get("held_out", HeldOutRequest()).share
    if asked is not None and held_out < 1 <= held_out + asked.budget_share:
        what = "leaves, with what [held_out] takes, nothing for training"
        raise Wrong(what, "Lower one of them.", key="budget_share")
    return asked


@dataclass(frozen=True)
class StudyHead:
    """The section [study]."""

    name: str
    """A short name; stands in the plan and in `metrics.json`."""
    title: str = ""
    """The heading of the report; without it, the name."""
    explain_site: str | None = None
    """The hospital whose explanations the report shows; without it, the first by name."""
    seed: int = 1
    """Picks split and initialisation, never the privacy noise. `--seed` replaces it."""
    expected_patients: int | None = None
    """How many patients all hospitals have together, by a public guess and not by counting: the
    [settings that the file leaves open](study.md#settings-left-open) follow from it. Without it, 250 of each hospital;
    in a simulation its own number, of which one digit is looked at."""


@dataclass(frozen=True, kw_only=True)
class PlanSections:
    """The sections of a study file that a simulation and a real consortium share."""

    study: StudyHead
    model: ModelSection = field(default_factory=ModelSection)
    training: Annotated[TrainingSpec, Rule(_some_round)] = field(default_factory=TrainingSpec)
    privacy: Annotated[PrivacyRequest, Rule(_suits_training), Rule(_steps_that_are_counted)]
    held_out: HeldOutRequest = field(default_factory=HeldOutRequest)
    explanations: Annotated[ExplanationRequest, Rule(_leaves_training)] = field(default_factory=ExplanationRequest)
    readiness: ReadinessRequest = field(default_factory=ReadinessRequest)
    validation: ValidationRequest = field(default_factory=ValidationRequest)
    reporting: Reporting = field(default_factory=Reporting)
    comparator: Annotated[tuple[ComparatorSection, ...], As("PlanSettings.comparators"), Rule(named_once)] = ()
    value: ValueRequest = field(default_factory=ValueRequest)

    @property
    def settings(self) -> PlanSettings:
        return PlanSettings(
            self.model.hidden_units,
            self.model.linear_branch,
            self.model.baseline_weight,
            self.training,
            self.privacy,
            self.held_out,
            self.explanations,
            self.model.entity_time_shapes,
            self.model.shape_weight,
            self.readiness,
            self.comparator,
            self.model.comparator_weight,
            self.value,
            expected_patients=self.study.expected_patients,
            calibration_by_entity=self.model.calibration_by_entity,
        )


def plan_from(
    settings: PlanSettings,
    schema: StudySchema,
    *,
    study: str,
    roster: Sequence[str],
    quorum: int | None,
    initialisation_seed: int,
    model: ModelSpec | None = None,
    beside: Sequence[WantedSummary] = (),
) -> StudyPlan:
    """The plan the hospitals approve: the settings, the schema's public constants, and the noise.

    quorum  None means all, and in mode `distributed` as many as a sum is made of at least; more than the roster holds
            is cut to all.
    model   None: the network that the settings describe. beside: summaries that are asked for beside the settings'.

    What the settings leave open is chosen here (`study.chosen_settings`).
    """
    settings = settled(settings, schema, hospitals=len(roster))
    model = model_of(settings, schema) if model is None else model
    asked = _privacy_asked(settings.privacy, sites=len(roster))
    wanted = (
        *wanted_summaries(settings.held_out, schema, model),
        *wanted_explanations(settings.explanations, schema, model),
        *beside,
    )
    privacy, summaries = calibrated_together(settings.training, asked, wanted, parameters=model.parameters)
    if quorum is None:
        quorum = len(roster) - privacy.dropouts
    return StudyPlan(
        study=study,
        schema_hash=schema.hash,
        model=model,
        training=settings.training,
        privacy=privacy,
        roster=tuple(roster),
        quorum=min(quorum, len(roster)),
        initialisation_seed=initialisation_seed,
        summaries=summaries,
    )


def readiness_plan_from(
    settings: PlanSettings, schema: StudySchema, *, study: str, roster: Sequence[str], quorum: int | None
) -> StudyPlan:
    """The plan by which the hospitals count who is there, before the study: one summary, and no round.

    Mode, delta and shares are the study's, epsilon is [readiness]'s. Its model is the linear one of the study's
    columns, which nobody trains: a question holds some weights, and a count does not look at them.
    """
    settings = settled(settings, schema, hospitals=len(roster))
    request = replace(settings.privacy, epsilon=settings.readiness.epsilon, reserve_rounds=0, bounding=Bounding.CLIP)
    asked = _privacy_asked(request, sites=len(roster))
    wanted = WantedSummary(readiness_summary(settings.readiness, schema), budget_share=1.0)
    privacy, summaries = calibrated_alone(asked, (wanted,))
    linear = replace(
        settings,
        hidden_units=(),
        linear_branch=True,
        entity_time_shapes=0,
        calibration_by_entity=False,
        value=ValueRequest(),
    )
    if quorum is None:
        quorum = len(roster) - privacy.dropouts
    return StudyPlan(
        study=f"{study}_{READINESS}",
        schema_hash=schema.hash,
        model=model_of(linear, schema),
        training=TrainingSpec(rounds=0),
        privacy=privacy,
        roster=tuple(roster),
        quorum=min(quorum, len(roster)),
        summaries=summaries,
    )


def validation_plan_from(
    settings: PlanSettings,
    request: ValidationRequest,
    schema: StudySchema,
    *,
    study: str,
    roster: Sequence[str],
    quorum: int | None,
    model: ModelSpec,
    validates: ReleasedModel,
) -> StudyPlan:
    """The plan by which hospitals that did not train a model measure it: the figures of [held_out], and no round.

    model, validates  of the plan that trained it, and its file. Mode, delta and shares of the noise are the study's,
                      epsilon is [validation]'s. Raises InvalidInput where [held_out] asks for no figure.
    """
    settings = settled(settings, schema, hospitals=len(roster))
    wanted = wanted_summaries(settings.held_out, schema, model)
    if not wanted:
        what = "asks for no figure, and a validation has no others"
        remedy = (
            "Write budget_share for C-index and risks by group, calibration_share for calibration, or another share."
        )
        raise InvalidInput([Fault("[held_out]", what, remedy)])
    asked = _privacy_asked(
        replace(settings.privacy, epsilon=request.epsilon, reserve_rounds=0, bounding=Bounding.CLIP), sites=len(roster)
    )
    privacy, summaries = calibrated_alone(asked, wanted)
    if quorum is None:
        quorum = len(roster) - privacy.dropouts
    return StudyPlan(
        study=f"{study}_{VALIDATION}",
        schema_hash=schema.hash,
        model=model,
        training=TrainingSpec(rounds=0),
        privacy=privacy,
        roster=tuple(roster),
        quorum=min(quorum, len(roster)),
        summaries=summaries,
        held_out_fraction=0.0 if request.share == 1 else request.share,
        validates=validates,
    )


def model_of(settings: PlanSettings, schema: StudySchema) -> ModelSpec:
    """The network that the settings describe, for tables of this schema."""
    return ModelSpec(
        columns=len(columns(schema)),
        endpoints=tuple(endpoint.name for endpoint in schema.endpoints),
        grid=schema.grid,
        baseline_hazard=schema.baseline_hazard,
        hidden_units=settings.hidden_units,
        baseline_weight=settings.baseline_weight,
        linear_branch=settings.linear_branch,
        time_shapes=_time_shapes(settings, schema),
        comparators=comparators_of(settings.comparators, schema, weight=settings.comparator_weight),
        layers=layers_of(settings.value.layers, schema) if settings.value.dropout else (),
        expected_weights=expected_weights(schema),
        entity_levels=_entity_levels(schema) if settings.calibration_by_entity else None,
    )


def _entity_levels(schema: StudySchema) -> EntityLevels:
    entities = entity_columns(schema)
    if not entities:
        remedy = "Name the marker under [schema], tumour_entity, or leave this out."
        raise InvalidInput([Fault("[model], calibration_by_entity", "needs a schema with a tumour entity", remedy)])
    return EntityLevels(entities, columns(schema)[entities[0]].weight)


def _time_shapes(settings: PlanSettings, schema: StudySchema) -> TimeShapes | None:
    if not settings.entity_time_shapes:
        return None
    entities = entity_columns(schema)
    if not entities:
        remedy = "Name the marker under [schema], tumour_entity, or leave this out."
        raise InvalidInput([Fault("[model], entity_time_shapes", "needs a schema with a tumour entity", remedy)])
    return TimeShapes(settings.entity_time_shapes, shape_centre(schema.grid), settings.shape_weight, entities)


def _privacy_asked(request: PrivacyRequest, *, sites: int) -> PrivacySpec:
    """All but the noise, which is to be found."""
    if not request.mode.private:
        return without_privacy(
            l2_norm_bound=request.l2_norm_bound if request.clip_without_noise else None,
            bounding=request.bounding,
            hazard_cap=request.hazard_cap,
        )
    assert request.epsilon is not None
    assert request.l2_norm_bound is not None
    shares = None
    if request.mode is PrivacyMode.DISTRIBUTED:
        shares = SharedNoise(sites, request.dropouts, request.colluding, mask_neighbours=request.mask_neighbours)
        if shares.guaranteed_shares < 1:
            what = f"{sites} hospitals less {request.dropouts} dropouts and {request.colluding} colluding leave nobody"
            raise InvalidInput([Fault("[privacy], dropouts", what, "Lower dropouts or colluding, or enrol more.")])
    return PrivacySpec(
        mode=request.mode,
        epsilon=request.epsilon,
        delta=request.delta,
        noise_multiplier=0.0,
        l2_norm_bound=request.l2_norm_bound,
        reserve_rounds=request.reserve_rounds,
        shares=shares,
        scale_bits=request.scale_bits,
        bounding=request.bounding,
        hazard_cap=request.hazard_cap,
    )
