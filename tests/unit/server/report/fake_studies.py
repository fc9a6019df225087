"""Deployed studies for the tests of their report; no hospital and no network behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.protocol.plan import ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.server.report.study import DeployedStudy, RoundRow
from oncofed.survival.grid import TimeGrid

BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
GRID = TimeGrid((0.0, 12.0, 24.0))


def fake_schema(*, extra_markers: Sequence[Marker] = ()) -> StudySchema:
    """Age (continuous), sex (binary), smoking (categorical), albumin (its own missing flag), and more if asked."""
    return StudySchema(
        name="fake",
        patient_id="id",
        markers=(
            Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, unit="years", centre=60, scale=15),
            Marker("female_sex", Modality.CLINICAL, Kind.BINARY, centre=0.5, scale=0.25),
            Marker(
                "smoking",
                Modality.CLINICAL,
                Kind.CATEGORICAL,
                categories=("never", "former", "current"),
                reference_category="never",
            ),
            Marker("albumin", Modality.LABORATORY, Kind.CONTINUOUS, unit="g/l", centre=40, scale=5),
            *extra_markers,
        ),
        endpoints=(Endpoint("os", "os_months", "os_event"),),
        grid=GRID,
        baseline_hazard=(0.02,),
        modalities={
            Modality.CLINICAL: ModalityEncoding(weight=2.0, missing_flags=MissingFlags.NONE),
            Modality.LABORATORY: ModalityEncoding(weight=0.5, missing_weight=0.1),
        },
    )


def fake_plan(
    schema: StudySchema,
    *,
    sites: Sequence[str] = ("Aachen", "Bonn", "Coburg", "Dessau"),
    rounds: int = 10,
    private: bool = True,
    hidden_units: tuple[int, ...] = (3,),
    linear_branch: bool = True,
    endpoints: tuple[str, ...] = ("os",),
    coordinator_public_key: str = "",
) -> StudyPlan:
    """Half of the hospitals must answer; two rounds of reserve."""
    return StudyPlan(
        study="lung_survival",
        schema_hash=schema.hash,
        model=ModelSpec(
            columns=len(columns(schema)),
            endpoints=endpoints,
            grid=GRID,
            baseline_hazard=(0.02,) * len(endpoints),
            hidden_units=hidden_units,
            linear_branch=linear_branch,
        ),
        training=TrainingSpec(rounds=rounds),
        privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, 12.0, 1.0, reserve_rounds=2)
        if private
        else PrivacySpec(PrivacyMode.NONE, None, 1e-5, 0.0, None),
        roster=tuple(sites),
        quorum=max(1, len(sites) // 2),
        coordinator_public_key=coordinator_public_key,
        released=("the final model",),
    )


def row(
    number: int,
    answered: Sequence[str],
    rejected: Mapping[str, str] | None = None,
    *,
    attempt: int = 0,
    seconds: float = 2.5,
) -> RoundRow:
    """Ends a minute after the round before."""
    return RoundRow(
        round=number,
        attempt=attempt,
        answered=tuple(answered),
        rejected=tuple((rejected or {}).items()),
        update_l2_norm=1 / number,
        bytes_down=32_000,
        bytes_up=31_000,
        seconds=seconds,
        finished_at=BEGAN + timedelta(minutes=number),
    )


def fake_study(
    *, done: int = 10, rows: Sequence[RoundRow] | None = None, released: bool = True, plan: StudyPlan | None = None
) -> DeployedStudy:
    """Everybody answers in `done` rounds, unless `rows` says otherwise; the model is released if it is finished."""
    schema = fake_schema()
    plan = plan or fake_plan(schema)
    finished = released and done >= plan.training.rounds
    return DeployedStudy(
        plan=plan,
        schema=schema,
        rounds=tuple(row(number, plan.roster) for number in range(1, done + 1)) if rows is None else tuple(rows),
        weights=np.random.default_rng(1).normal(size=plan.model.parameters) if finished else None,
        model_sha256="ab" * 32 if finished else None,
        signature="cd" * 64 if finished else None,
        delivered=dict.fromkeys(plan.roster, "accepted") if finished else {},
        rounds_done=done,
    )
