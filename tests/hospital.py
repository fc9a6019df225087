"""What does a small hospital hold? Seven patients, a schema, a plan, and one table in every form a source may have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from tests.doubles import GRID, local_privacy, model_spec, study_plan

from oncofed.client.guard.policy_file import NodePolicy, SourcePolicy
from oncofed.client.patients.sources import SourceKind, SourceSpec
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.plan import StudyPlan

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SITE = "Bonn"
SCHEMA = StudySchema(
    name="lung",
    patient_id="patient",
    markers=(
        Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker("crp", Modality.LABORATORY, Kind.CONTINUOUS, "mg/l", (0.0, 900.0), 5.0, 20.0),
        Marker("smoker", Modality.CLINICAL, Kind.BINARY, centre=0.0, scale=1.0),
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "skin"), reference_category="lung"),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=GRID,
    baseline_hazard=(0.02,),
)

TABLE = pd.DataFrame(
    [
        # identifiers keep their zeros; numbers that binary fractions cannot hold; empty cells of each kind
        ("0047", 61, 12.1, 1, "lung", 5.5, 1, "Köln"),
        ("MRN-0047-11", 70, 0.1, 0, "skin", 12.25, 0, "50 % : x"),
        ("0003", None, 1 / 3, None, "lung", 0.7, 1, ""),
        ("Ä1", 55, None, 0, None, 30.0, 0, "a"),
        ("0100", 44, 880.0, 1, "skin", 48.0, 0, "b"),
        ("0099", 83, 5e-05, 1, "lung", 2.125, 1, "c"),
        ("9", 38, 7.0, 0, "lung", 59.9, 0, "d"),
    ],
    columns=["patient", "age_years", "crp", "smoker", "entity", "months", "death", "note"],
)


def plan_of_hospital() -> StudyPlan:
    """Sixty rounds at epsilon 1 of a model that fits the schema."""
    model = model_spec(columns=len(columns(SCHEMA)))
    return replace(study_plan(model=model, privacy=local_privacy()), schema_hash=SCHEMA.hash, bundle_sha256="cd" * 32)


def written_csv(folder: Path, table: pd.DataFrame = TABLE) -> SourceSpec:
    path = folder / "patients.csv"
    table.astype({"age_years": "Int64", "smoker": "Int64"}).to_csv(path, index=False)
    return SourceSpec("registry", SourceKind.CSV, path=path)


def written_parquet(folder: Path, table: pd.DataFrame = TABLE) -> SourceSpec:
    path = folder / "patients.parquet"
    table.to_parquet(path)
    return SourceSpec("registry", SourceKind.PARQUET, path=path)


def policy_for(
    source: SourceSpec, *, smallest_cohort: int = 5, largest_epsilon: float = 1.0
) -> tuple[NodePolicy, SourcePolicy]:
    """A policy that admits `plan_of_hospital`, and its one source."""
    one = SourcePolicy(
        source,
        SitePolicy(source.name, largest_epsilon, 1e-5, smallest_noise_multiplier=5.0, largest_parameters=100_000),
    )
    return NodePolicy(smallest_cohort, 100_000, None, (one,)), one
