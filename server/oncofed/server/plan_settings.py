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
from oncofed.privacy.policy import SMALLEST_L2_NORM_BOUND, calibrated_together, without_privacy
from oncofed.protocol.plan import (
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    SharedNoise,
    Strategy,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.server.explanation_settings import ExplanationRequest, read_explanations, wanted_explanations
from oncofed.server.held_out_settings import HeldOutRequest, read_held_out, wanted_summaries
from oncofed.toml_section import Section

SECTIONS = ("model", "training", "privacy", "held_out", "explanations")


@dataclass(frozen=True)
class PrivacyRequest:
    """What the study asks for; the noise is calibrated from it.

    reserve_rounds      repeated rounds that the noise is calibrated to beside the planned ones.
    clip_without_noise  in mode `none`, whether l2_norm_bound is used all the same (a control without noise).
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
    settings = PlanSettings(
        hidden_units=_hidden_units(model),
        linear_branch=model.flag("linear_branch", True),
        baseline_weight=model.number_or("baseline_weight", 1.0, above=0),
        training=_training(training),
        privacy=_privacy(privacy),
        held_out=read_held_out(held_out),
        explanations=read_explanations(explanations),
    )
    if settings.held_out.budget_share < 1 <= settings.held_out.budget_share + settings.explanations.budget_share:
        explanations.fault(
            "budget_share", "leaves, with that of [held_out], nothing for training", "Lower one of the two."
        )
    if not settings.hidden_units and not settings.linear_branch:
        model.fault("hidden_units", "leaves no network at all", "Give hidden units, or keep the linear branch.")
    return settings


def plan_from(
    settings: PlanSettings,
    schema: StudySchema,
    *,
    study: str,
    roster: Sequence[str],
    quorum: int | None,
    initialisation_seed: int,
) -> StudyPlan:
    """The plan the hospitals approve: the settings, the schema's public constants, and the noise.

    quorum  None means all, and in mode `distributed` as many as a sum is made of at least; more than the roster holds
            is cut to all.
    """
    model = ModelSpec(
        columns=len(columns(schema)),
        endpoints=tuple(endpoint.name for endpoint in schema.endpoints),
        grid=schema.grid,
        baseline_hazard=schema.baseline_hazard,
        hidden_units=settings.hidden_units,
        baseline_weight=settings.baseline_weight,
        linear_branch=settings.linear_branch,
    )
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


def _privacy_asked(request: PrivacyRequest, *, sites: int) -> PrivacySpec:
    """All but the noise, which is to be found."""
    if request.mode is PrivacyMode.NONE:
        return without_privacy(l2_norm_bound=request.l2_norm_bound if request.clip_without_noise else None)
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
    )


def _hidden_units(section: Section) -> tuple[int, ...]:
    units = section.numbers("hidden_units")
    if units is None:
        return (16,)
    if any(unit < 1 or unit != int(unit) for unit in units):
        section.fault("hidden_units", "are not positive whole numbers", "Write for instance [16], or [] for none.")
    return tuple(int(unit) for unit in units)


def _training(section: Section) -> TrainingSpec:
    default = TrainingSpec()
    site_weights = section.numbers("site_weights")
    spec = TrainingSpec(
        mode=section.choice("mode", TrainingMode) or default.mode,
        strategy=section.choice("strategy", Strategy) or default.strategy,
        rounds=section.whole_number_or("rounds", default.rounds, at_least=1),
        server_learning_rate=section.number_or("server_learning_rate", default.server_learning_rate, above=0),
        beta_1=section.number_or("beta_1", default.beta_1, at_least=0),
        beta_2=section.number_or("beta_2", default.beta_2, at_least=0),
        tau=section.number_or("tau", default.tau, above=0),
        weight_decay=section.number_or("weight_decay", default.weight_decay, at_least=0),
        local_learning_rate=section.number_or("local_learning_rate", default.local_learning_rate, above=0),
        local_steps=section.whole_number_or("local_steps", default.local_steps, at_least=1),
        sampling_rate=section.number_or("sampling_rate", default.sampling_rate, above=0),
        expected_batch_size=section.number_or("expected_batch_size", default.expected_batch_size, above=0),
        proximal_mu=section.number_or("proximal_mu", default.proximal_mu, at_least=0),
        trim_fraction=section.number_or("trim_fraction", default.trim_fraction, at_least=0),
        malicious_sites=section.whole_number_or("malicious_sites", default.malicious_sites, at_least=0),
        site_weights=site_weights or (),
    )
    for key, value in (("beta_1", spec.beta_1), ("beta_2", spec.beta_2)):
        if value >= 1:
            section.fault(key, "is not below 1", "Choose a number in [0, 1).")
    if spec.sampling_rate > 1:
        section.fault("sampling_rate", "is above 1", "Choose a probability in (0, 1].")
    if spec.trim_fraction >= 0.5:
        section.fault("trim_fraction", "trims everything", "Choose a fraction below 0.5.")
    if any(weight <= 0 for weight in spec.site_weights):
        section.fault("site_weights", "are not all positive", "Give one positive public number a site.")
    return spec


def _privacy(section: Section) -> PrivacyRequest:
    mode = section.choice("mode", PrivacyMode, required=True) or PrivacyMode.LOCAL
    private, shared = mode is not PrivacyMode.NONE, mode is PrivacyMode.DISTRIBUTED
    dropouts = section.whole_number("dropouts", required=shared, at_least=0)
    colluding = section.whole_number("colluding", required=shared, at_least=0)
    request = PrivacyRequest(
        mode=mode,
        epsilon=section.number("epsilon", required=private, above=0),
        delta=section.number_or("delta", 1e-6, above=0),
        l2_norm_bound=section.number("l2_norm_bound", required=private, at_least=SMALLEST_L2_NORM_BOUND),
        reserve_rounds=section.whole_number_or("reserve_rounds", 0, at_least=0),
        clip_without_noise=section.flag("clip_without_noise", False),
        dropouts=dropouts or 0,
        colluding=colluding or 0,
        scale_bits=section.whole_number_or("scale_bits", PrivacyRequest.scale_bits, at_least=8),
    )
    if request.delta > 1e-5:
        section.fault("delta", "is above 1e-5", "Choose at most 1e-5: policy is min(1e-5, 1/(10 n_max)).")
    return request
