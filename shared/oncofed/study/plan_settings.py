"""Which plan do [model], [training], [privacy], [held_out] and [explanations] of a study file ask for?

The same sections describe a simulation and a real consortium, so both read them here. Faults are added to the
sections' own list, so that a file is judged as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.policy import calibrated_together, without_privacy
from oncofed.protocol.plan import (
    Bounding,
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    SharedNoise,
    Strategy,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.ranges import count_of, range_of, told
from oncofed.study.explanation_settings import ExplanationRequest, read_explanations, wanted_explanations
from oncofed.study.held_out_settings import HeldOutRequest, read_held_out, wanted_summaries
from oncofed.toml_section import Section

SECTIONS = ("model", "training", "privacy", "held_out", "explanations")


@dataclass(frozen=True)
class PrivacyRequest:
    """What the study asks for; the noise is calibrated from it.

    reserve_rounds      repeated rounds that the noise is calibrated to beside the planned ones.
    clip_without_noise  in mode `none`, whether l2_norm_bound is used all the same (a control without noise).
    bounding, hazard_cap  as in `PrivacySpec`.
    dropouts, colluding  mode `distributed`: as in `protocol.plan.SharedNoise`. scale_bits: as in `PrivacySpec`.
    """

    mode: PrivacyMode
    epsilon: float | None
    delta: float
    l2_norm_bound: float | None
    reserve_rounds: int
    clip_without_noise: bool = False
    dropouts: int = 0
    colluding: int = 0
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


def read_plan_settings(
    *, model: Section, training: Section, privacy: Section, held_out: Section, explanations: Section
) -> PlanSettings:
    """The settings; faults go to the sections' list, and the caller raises InvalidInput when there are any."""
    mode = privacy.choice("mode", PrivacyMode, required=True) or PrivacyMode.LOCAL
    training_settings = _training(training)
    settings = PlanSettings(
        hidden_units=_hidden_units(model),
        linear_branch=model.flag("linear_branch", True),
        baseline_weight=model.number_or("baseline_weight", 1.0, within=range_of(PlanSettings, "baseline_weight")),
        training=training_settings,
        privacy=_privacy(privacy, mode, training_settings.mode),
        held_out=read_held_out(held_out),
        explanations=read_explanations(explanations),
    )
    if settings.held_out.budget_share < 1 <= settings.held_out.budget_share + settings.explanations.budget_share:
        explanations.fault(
            "budget_share", "leaves, with that of [held_out], nothing for training", "Lower one of the two."
        )
    _refuse_too_many_steps(training, settings)
    if not settings.hidden_units and not settings.linear_branch:
        model.fault("hidden_units", "leaves no network at all", "Give hidden units, or keep the linear branch.")
    return settings


def _refuse_too_many_steps(training: Section, settings: PlanSettings) -> None:
    """Each local step of each round is one release. A plan is judged by the same range when it is signed."""
    asked, span = settings.training, range_of(StudyPlan, "charged_local_steps")
    rounds = asked.rounds + settings.privacy.reserve_rounds
    if asked.mode is TrainingMode.EPOCHS and rounds * asked.local_steps not in span:
        what = (
            f"is {asked.local_steps:,}, which makes {rounds * asked.local_steps:,} local steps of {rounds:,} rounds "
            f"(reserve_rounds among them), above {told(span.most)}"
        )
        training.fault("local_steps", what, span.remedy)


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


def _hidden_units(section: Section) -> tuple[int, ...]:
    units = section.numbers(
        "hidden_units", within=range_of(PlanSettings, "hidden_units"), count=count_of(PlanSettings, "hidden_units")
    )
    return (16,) if units is None else tuple(int(unit) for unit in units)


def _training(section: Section) -> TrainingSpec:
    default = TrainingSpec()

    def number(key: str) -> float:
        fallback: float = getattr(default, key)
        return section.number_or(key, fallback, within=range_of(TrainingSpec, key))

    def whole(key: str) -> int:
        fallback: int = getattr(default, key)
        return section.whole_number_or(key, fallback, within=range_of(TrainingSpec, key))

    site_weights = section.numbers(
        "site_weights", within=range_of(TrainingSpec, "site_weights"), count=count_of(TrainingSpec, "site_weights")
    )
    return TrainingSpec(
        mode=section.choice("mode", TrainingMode) or default.mode,
        strategy=section.choice("strategy", Strategy) or default.strategy,
        rounds=whole("rounds"),
        server_learning_rate=number("server_learning_rate"),
        beta_1=number("beta_1"),
        beta_2=number("beta_2"),
        tau=number("tau"),
        weight_decay=number("weight_decay"),
        local_learning_rate=number("local_learning_rate"),
        local_steps=whole("local_steps"),
        sampling_rate=number("sampling_rate"),
        expected_batch_size=number("expected_batch_size"),
        proximal_mu=number("proximal_mu"),
        trim_fraction=number("trim_fraction"),
        malicious_sites=whole("malicious_sites"),
        site_weights=site_weights or (),
        calibration_rounds=whole("calibration_rounds"),
    )


def _bounding(section: Section, training: TrainingMode) -> Bounding:
    """Local steps know the clip alone, and have it where nothing is asked for."""
    asked = section.choice("bounding", Bounding)
    if training is not TrainingMode.FULL_BATCH:
        if asked not in (None, Bounding.CLIP):
            what = f"is {asked}, and [training], mode {training} knows no bounding but {Bounding.CLIP}"
            section.fault("bounding", what, f'Leave it out, or set the mode to "{TrainingMode.FULL_BATCH}".')
        return Bounding.CLIP
    return asked or PrivacyRequest.bounding


def _privacy(section: Section, mode: PrivacyMode, training: TrainingMode) -> PrivacyRequest:
    private, shared = mode is not PrivacyMode.NONE, mode is PrivacyMode.DISTRIBUTED

    def number(key: str, *, required: bool = False) -> float | None:
        return section.number(key, within=range_of(PrivacyRequest, key), required=required)

    def whole(key: str, *, required: bool = False) -> int | None:
        return section.whole_number(key, within=range_of(PrivacyRequest, key), required=required)

    return PrivacyRequest(
        mode=mode,
        epsilon=number("epsilon", required=private),
        delta=number("delta") or 1e-6,
        l2_norm_bound=number("l2_norm_bound", required=private),
        reserve_rounds=whole("reserve_rounds") or 0,
        clip_without_noise=section.flag("clip_without_noise", False),
        dropouts=whole("dropouts", required=shared) or 0,
        colluding=whole("colluding", required=shared) or 0,
        scale_bits=whole("scale_bits") or PrivacyRequest.scale_bits,
        bounding=_bounding(section, training),
        hazard_cap=number("hazard_cap") or PrivacyRequest.hazard_cap,
    )
