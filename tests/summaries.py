"""Which summary does a small plan of a test ask for?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oncofed.protocol.expected_layout import ExpectedLayout
from oncofed.protocol.gain_layout import layout_of
from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.protocol.readiness_layout import ReadinessLayout
from oncofed.protocol.released_model import ReleasedModel
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.survival.held_out import CountLayout
from oncofed.survival.layers import Layer
from oncofed.survival.time_at_risk import AtRiskLayout

EDGES = (-0.5, 0.0, 0.7)


def evaluation_of(
    plan: StudyPlan, *, noise_multiplier: float = 2.0, attempts: int = 2, edges: tuple[float, ...] = EDGES
) -> SummarySpec:
    """Held-out counts on the plan's own grid."""
    bounds = plan.model.grid.bounds
    cells = CountLayout(len(plan.model.endpoints), edges, bounds).cells
    return SummarySpec(
        "evaluation", SummaryKind.EVALUATION, cells, noise_multiplier, attempts, 0.0, edges, bounds, bounds[-1]
    )


def at_risk_of(
    plan: StudyPlan, *, noise_multiplier: float = 2.0, attempts: int = 2, edges: tuple[float, ...] = EDGES
) -> SummarySpec:
    """The same where patients may come late: time at risk."""
    counts = evaluation_of(plan, noise_multiplier=noise_multiplier, attempts=attempts, edges=edges)
    cells = AtRiskLayout(len(plan.model.endpoints), edges, counts.time_bounds).cells
    return replace(counts, kind=SummaryKind.TIME_AT_RISK, cells=cells)


def calibration_of(
    plan: StudyPlan,
    *,
    noise_multiplier: float = 2.0,
    attempts: int = 2,
    risks: tuple[float, float] = (-1.5, 1.5),
    windows: tuple[float, ...] | None = None,
    group_columns: tuple[int, ...] = (),
) -> SummarySpec:
    """Held-out sums; without windows, in each interval of the plan's grid."""
    bounds = plan.model.grid.bounds if windows is None else windows
    layout = ExpectedLayout(len(plan.model.endpoints), bounds, 1 + len(group_columns), risks, plan.privacy.hazard_cap)
    return SummarySpec(
        "calibration",
        SummaryKind.CALIBRATION,
        layout.cells,
        noise_multiplier,
        attempts,
        edges=risks,
        time_bounds=bounds,
        group_columns=group_columns,
    )


LAYERS = (Layer("laboratory", (3, 4), (4,), 0.5), Layer("rna", (5, 6), (6,), 0.5), Layer("protein", (7, 8), (8,), 0.5))
"""Of a model with nine columns."""


def gains_of(
    plan: StudyPlan, kind: SummaryKind, *, noise_multiplier: float = 2.0, attempts: int = 1, within: float = 1.5
) -> SummarySpec:
    """Of the model's comparators or layers, as the kind says."""
    count = len(plan.model.comparators if kind is SummaryKind.COMPARISON else plan.model.layers)
    cells = layout_of(kind, count, endpoints=len(plan.model.endpoints), within=within).cells
    return SummarySpec(kind.value, kind, cells, noise_multiplier, attempts, edges=(within,))


def readiness_of(
    plan: StudyPlan, *, flags: tuple[int, ...] = (0, 1), noise_multiplier: float = 2.0, attempts: int = 1
) -> SummarySpec:
    """Who is there; flags: columns of the plan's model."""
    cells = ReadinessLayout(len(plan.model.endpoints), len(flags)).cells
    return SummarySpec(
        "readiness", SummaryKind.READINESS, cells, noise_multiplier, attempts=attempts, group_columns=flags
    )


def counting(
    plan: StudyPlan, *, flags: tuple[int, ...] = (0, 1), noise_multiplier: float = 2.0, attempts: int = 1
) -> StudyPlan:
    """The plan with this noise, and without a round: it only counts."""
    spec = readiness_of(plan, flags=flags, noise_multiplier=noise_multiplier, attempts=attempts)
    privacy = replace(plan.privacy, noise_multiplier=noise_multiplier, reserve_rounds=0)
    return replace(plan, training=TrainingSpec(rounds=0), privacy=privacy, summaries=(spec,))


def summary_request(plan: StudyPlan, *, site: str = "Bonn", attempt: int = 0, **changes: object) -> SummariseRequest:
    """For the plan's first summary, with weights of zero but for the changes."""
    request = SummariseRequest(
        plan_hash=plan.hash,
        site=site,
        summary=plan.summaries[0].name,
        attempt=attempt,
        roster=plan.roster,
        weights=np.full(plan.model.parameters, 0.25),
        cells=plan.summaries[0].cells,
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # a test's own changes


VALIDATED_KEY = bytes(range(32))
"""Of the coordinator whose model a test validates."""


def released_model(weights: np.ndarray, *, plan_hash: str = "cd" * 32) -> ReleasedModel:
    """These weights as that coordinator signed them."""
    model = signed_model(weights, plan_hash=plan_hash, signing_key=VALIDATED_KEY)
    return ReleasedModel(plan_hash, model.hash, public_key_of(VALIDATED_KEY).hex(), model.signature.hex())


def validating(
    plan: StudyPlan, weights: np.ndarray, *, noise_multiplier: float = 2.0, fraction: float = 0.0
) -> StudyPlan:
    """The plan without a round: hospitals measure the model of these weights, with twice the noise on its counts.

    fraction  of the patients whom each sets aside; 0: on all.
    """
    summaries = (
        evaluation_of(plan, noise_multiplier=2 * noise_multiplier, attempts=1),
        calibration_of(plan, noise_multiplier=noise_multiplier, attempts=1),
    )
    privacy = replace(plan.privacy, noise_multiplier=noise_multiplier, reserve_rounds=0)
    return replace(
        plan,
        training=TrainingSpec(rounds=0),
        privacy=privacy,
        summaries=summaries,
        held_out_fraction=fraction,
        validates=released_model(weights),
    )
