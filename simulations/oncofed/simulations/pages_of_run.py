"""What would one hospital's clinicians see of a simulated run?

A run keeps the model and the study's settings, not the patients: their table is read (or, if synthetic, made) and cut
again, exactly as the run did. Refused: a run without a model, a table or schema that is not the run's any more.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Modality
from oncofed.errors import Fault, InvalidInput
from oncofed.explanation.training_noise import deviation
from oncofed.protocol.plan import PrivacyMode
from oncofed.protocol.plan_file import plan_from_json
from oncofed.simulations.model_file import SavedModel, read_model
from oncofed.simulations.partition import consortium
from oncofed.simulations.study import DataSpec, EvaluationSpec, Part, Partition, SitesSpec, Split
from oncofed.simulations.study_table import tables_of
from oncofed.study.assay_settings import AssaySection, assays_of
from oncofed.survival.network import network_with

_REMEDY = "Name the folder of a finished run: oncofed simulate STUDY.toml --out RUN"


def hospital_of_run(run_folder: Path, site: str | None) -> HospitalPrognosis:
    """site: None takes the first. Raises InvalidInput."""
    settings, saved = _read(run_folder)
    data = _data(settings["data"])
    table, schema, where = tables_of(data)
    patients = consortium(
        table,
        schema,
        where=where,
        sites=_sites(settings["sites"]),
        evaluation=_evaluation(settings["evaluation"]),
        seed=settings["seed"],
    )
    if schema.hash != saved.metadata["schema_hash"]:
        raise InvalidInput([Fault(str(run_folder), "was run with another schema than the study has now", _REMEDY)])
    names = list(patients.hospitals)
    chosen = names[0] if site is None else site
    if chosen not in patients.hospitals:
        raise InvalidInput([Fault("--site", "is not a hospital of this run", f"Possible: {', '.join(names)}.")])
    plan, model = saved.plan, saved.spec
    assert model.columns == len(columns(schema))
    return HospitalPrognosis(
        site=chosen,
        study=plan["study"],
        plan_hash=saved.metadata["plan_hash"],
        network=network_with(model, saved.vector),
        cohort=patients.hospitals[chosen],
        example=data.table is None,
        noise_in_model=plan["privacy"]["mode"] != PrivacyMode.NONE.value,
        weight_noise=deviation(plan_from_json(plan)),
        assays=assays_of(_assays(settings.get("assays", {})), schema)[0],
        options=_options(settings.get("target_trial")),
    )


def _read(run_folder: Path) -> tuple[dict[str, Any], SavedModel]:
    study, model = run_folder / "study.json", run_folder / "model.safetensors"
    if not study.is_file() or not model.is_file():
        raise InvalidInput([Fault(str(run_folder), "holds no finished run", _REMEDY)])
    return json.loads(study.read_text())["settings"], read_model(model)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _only(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    if not names <= set(found):
        raise InvalidInput([Fault("study.json", "is of another version of oncofed", "Run the study again.")])
    return {name: found[name] for name in names}


def _data(found: dict[str, Any]) -> DataSpec:
    modalities = found["modalities"]
    return DataSpec(
        **_only(DataSpec, found)
        | {
            "table": _path(found["table"]),
            "schema": _path(found["schema"]),
            "modality_weights": tuple((Modality(name), weight) for name, weight in found.get("modality_weights", ())),
            "modalities": None if modalities is None else tuple(Modality(each) for each in modalities),
        }
    )


def _assays(found: dict[str, Any]) -> dict[str, AssaySection]:
    return {
        name: AssaySection(
            **_only(AssaySection, each)
            | {
                "markers": tuple(each["markers"]),
                "modalities": tuple(Modality(modality) for modality in each["modalities"]),
            }
        )
        for name, each in found.items()
    }


def _options(found: dict[str, Any] | None) -> tuple[str, str] | None:
    return None if found is None else (found["first"], found["second"])


def _sites(found: dict[str, Any]) -> SitesSpec:
    read = {"partition": Partition(found["partition"]), "assignment_table": _path(found["assignment_table"])}
    return SitesSpec(**_only(SitesSpec, found) | read)


def _evaluation(found: dict[str, Any]) -> EvaluationSpec:
    read = {
        "split": Split(found["split"]),
        "part": Part(found["part"]),
        "reserved_seeds": tuple(found["reserved_seeds"]),
    }
    return EvaluationSpec(**_only(EvaluationSpec, found) | read)
