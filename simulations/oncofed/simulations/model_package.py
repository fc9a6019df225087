"""What does a simulated run hand on? Its model package: `oncofed.server.card.package`, with what a simulation knows.

Nobody signs it, and its figures are exact: it is as private as the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.protocol.onnx_model import onnx_metadata, onnx_model
from oncofed.server.card.known import Known, Origin, described
from oncofed.server.card.package import write_package
from oncofed.simulations.report.cohorts import cohort_row
from oncofed.simulations.results import RunResult
from oncofed.words.names import plain_name

PACKAGE = "package"
"""The folder in a run's own."""


def described_run(result: RunResult) -> dict[str, Any]:
    """What its figures say of plan, schema and patients."""
    asked, main = result.study.evaluation, cohort_row("all", list(result.hospitals.values()))
    return described(
        result.plan,
        result.test.schema,
        origin=Origin.INVENTED if result.study.data.table is None else Origin.TABLE,
        study_hash=result.study.hash,
        horizon=asked.horizon,
        division={
            "split": asked.split.value,
            "test_fraction": asked.test_fraction,
            "folds": asked.folds,
            "fold": asked.fold,
        },
        training={
            "patients": main.patients,
            "events": main.events,
            "events_per_parameter": main.events / result.plan.model.parameters,
            "share_missing": main.share_missing,
        },
        **_of_all_trainings(result),
    )


def _of_all_trainings(result: RunResult) -> dict[str, Any]:
    """Where a second one has part of the budget, the plan's epsilon is not what patients are promised."""
    privacy, whole = result.plan.privacy, result.study.privacy.epsilon
    return {"epsilon_of_study": whole} if privacy.mode.private and whole != privacy.epsilon else {}


def known_of(result: RunResult, figures: Mapping[str, Any]) -> Known:
    """figures: as metrics.json holds them."""
    return Known(
        title=result.study.title or plain_name(result.study.name),
        plan=result.plan,
        schema=result.test.schema,
        metrics=figures,
        reporting=result.study.reporting,
    )


def write_package_of(result: RunResult, figures: Mapping[str, Any], run_folder: Path) -> None:
    """Into the run's folder, which holds the model. figures: as metrics.json holds them."""
    plan, weights = result.plan, result.weights
    assert weights is not None, "a run that ended has a model"
    contents = {
        "model.safetensors": (run_folder / "model.safetensors").read_bytes(),
        "model.onnx": onnx_model(plan.model, result.test.schema, weights, metadata=onnx_metadata(plan)),
        "schema.toml": schema_as_toml(result.test.schema).encode(),
        "plan.json": plan.canonical.encode(),
    }
    write_package(run_folder / PACKAGE, known_of(result, figures), contents)
