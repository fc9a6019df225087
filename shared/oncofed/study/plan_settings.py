"""Which plan do [model], [training], [privacy], [held_out] and [explanations] of a study file ask for?

The same sections describe a simulation and a real consortium, and `PlanSections` declares them for both files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import As, Known, Rule, Wrong, needed_where
from oncofed.privacy.policy import calibrated_together, without_privacy
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
from oncofed.ranges import range_of, told
from oncofed.study.explanation_settings import ExplanationRequest, wanted_explanations
from oncofed.study.held_out_settings import HeldOutRequest, wanted_summaries

_PRIVATE = needed_where("mode", PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED)
_SHARED = needed_where("mode", PrivacyMode.DISTRIBUTED)


@dataclass(frozen=True)
class PrivacyRequest:
    """What the study asks for; the noise is calibrated from it.

    reserve_rounds      repeated rounds that the noise is calibrated to beside the planned ones.
    clip_without_noise  in mode `none`, whether l2_norm_bound is used all the same (a control without noise).
    bounding, hazard_cap  as in `PrivacySpec`.
    dropouts, colluding  mode `distributed`: as in `protocol.plan.SharedNoise`. scale_bits: as in `PrivacySpec`.
    """

    mode: PrivacyMode
    epsilon: Annotated[float | None, _PRIVATE] = None
    delta: float = 1e-6
    l2_norm_bound: Annotated[float | None, _PRIVATE] = None
    reserve_rounds: int = 0
    clip_without_noise: bool = False
    dropouts: Annotated[int, _SHARED] = 0
    colluding: Annotated[int, _SHARED] = 0
    scale_bits: int = 20
    bounding: Bounding = Bounding.CLIP
    hazard_cap: float = PrivacySpec.hazard_cap


@dataclass(frozen=True)
class PlanSettings:
    """The five sections, read and checked."""

    hidden_units: tuple[int, ...]
    linear_branch: bool
    baseline_weight: float
    training: TrainingSpec
    privacy: PrivacyRequest
    held_out: HeldOutRequest
    explanations: ExplanationRequest = field(default_factory=ExplanationRequest)


def _some_network(linear_branch: bool | None, known: Known) -> bool | None:
    if linear_branch is False and not known.before.get("hidden_units", True):
        raise Wrong("leaves no network at all", "Give hidden units, or keep the linear branch.", key="hidden_units")
    return linear_branch


@dataclass(frozen=True)
class ModelSection:
    """The section [model]."""

    hidden_units: Annotated[tuple[int, ...], As("PlanSettings.hidden_units")] = (16,)
    linear_branch: Annotated[bool, Rule(_some_network)] = True
    baseline_weight: Annotated[float, As("PlanSettings.baseline_weight")] = 1.0


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
    held_out = known.before.get("held_out", HeldOutRequest()).budget_share
    if asked is not None and held_out < 1 <= held_out + asked.budget_share:
        what = "leaves, with that of [held_out], nothing for training"
        raise Wrong(what, "Lower one of the two.", key="budget_share")
    return asked


@dataclass(frozen=True)
class StudyHead:
    """The section [study]."""

    name: str
    title: str = ""
    explain_site: str | None = None
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class PlanSections:
    """The sections of a study file that a simulation and a real consortium share."""

    study: StudyHead
    model: ModelSection = field(default_factory=ModelSection)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    privacy: Annotated[PrivacyRequest, Rule(_suits_training), Rule(_steps_that_are_counted)]
    held_out: HeldOutRequest = field(default_factory=HeldOutRequest)
    explanations: Annotated[ExplanationRequest, Rule(_leaves_training)] = field(default_factory=ExplanationRequest)

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
) -> StudyPlan:
    """The plan the hospitals approve: the settings, the schema's public constants, and the noise.

    quorum  None means all, and in mode `distributed` as many as a sum is made of at least; more than the roster holds
            is cut to all.
    model   None: the network that the settings describe.
    """
    model = model_of(settings, schema) if model is None else model
    asked = _privacy_asked(settings.privacy, sites=len(roster))
    wanted = (
        *wanted_summaries(settings.held_out, model),
        *wanted_explanations(settings.explanations, schema, model),
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
    )


def _privacy_asked(request: PrivacyRequest, *, sites: int) -> PrivacySpec:
    """All but the noise, which is to be found."""
    if request.mode is PrivacyMode.NONE:
        return without_privacy(
            l2_norm_bound=request.l2_norm_bound if request.clip_without_noise else None,
            bounding=request.bounding,
            hazard_cap=request.hazard_cap,
        )
    assert request.epsilon is not None
    assert request.l2_norm_bound is not None
    shares = None
    if request.mode is PrivacyMode.DISTRIBUTED:
        shares = SharedNoise(sites, request.dropouts, request.colluding)
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
