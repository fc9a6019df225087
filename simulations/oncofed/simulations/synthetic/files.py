"""Which files does a synthetic consortium leave in a folder?

    patients.parquet (or .csv)   one row a patient, as `oncofed.cohort.table` reads it
    schema.toml                  as `oncofed.cohort.schema_file` reads it
    ground_truth.json            effects, pairs, how strong each is among these patients, the true hazard's C-index
    true_log_hazard.parquet      f of every patient, by patient_id

Promise: the same consortium gives the same bytes (with the same versions of numpy, pandas and pyarrow). Refused: a
folder in which one of the files already stands; nothing is written then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.synthetic import outcomes
from oncofed.simulations.synthetic.consortium import NEXT_TREATMENT_OR_DEATH, SyntheticConsortium
from oncofed.simulations.synthetic.hazard import LogHazardRatio
from oncofed.simulations.synthetic.schema import OVERALL_SURVIVAL, TIME_TO_NEXT_TREATMENT


class TableFormat(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"


_SCHEMA_COMMENT = """The schema of an invented consortium in the shape of Keyl et al., Nature Cancer 2025.
Every constant is public: chosen from units and medical knowledge, never computed from the table."""

_ABOUT = (
    "Log hazard ratio f = sum of effect * z + sum of coefficient * z * z' + effects of categories and of unmeasured "
    "modalities, with z = (value - centre) / scale of schema.toml, cut at its largest_encoded_value, and z = 0 where "
    "a marker was not measured. Hazard = baseline * exp(f). Markers and pairs are sorted by strength: the standard "
    "deviation of what they add to f over these patients."
)


def write(
    consortium: SyntheticConsortium, folder: Path | str, *, table_format: TableFormat = TableFormat.PARQUET
) -> tuple[Path, ...]:
    """Write the four files, make the folder if needed, return their paths. Raises InvalidInput if one is there."""
    return write_all(
        folder,
        consortium.table,
        table_format,
        schema=schema_as_toml(consortium.schema, comment=_SCHEMA_COMMENT),
        truth=("ground_truth.json", lambda: ground_truth(consortium)),
        of_patients=("true_log_hazard.parquet", lambda: consortium.true_log_hazard),
    )


def write_all(
    folder: Path | str,
    table: pd.DataFrame,
    table_format: TableFormat,
    *,
    schema: str,
    truth: tuple[str, Callable[[], Mapping[str, object]]],
    of_patients: tuple[str, Callable[[], pd.DataFrame]],
) -> tuple[Path, ...]:
    """The files of an invented consortium: table, schema, the truth of all and that of each patient.

    Each truth with its file's name; it is worked out once nothing stands in the way. Raises InvalidInput if a file is
    there.
    """
    folder = Path(folder)
    names = (f"patients.{table_format.value}", "schema.toml", of_patients[0], truth[0])
    patients, schema_file, patients_truth, truth_file = paths = tuple(folder / name for name in names)
    _refuse_to_overwrite(folder, paths)
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(table, patients, table_format)
    schema_file.write_text(schema, encoding="utf-8")
    truth_file.write_text(json.dumps(truth[1](), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_parquet(of_patients[1](), patients_truth)
    return paths


def ground_truth(consortium: SyntheticConsortium) -> dict[str, object]:
    """What ground_truth.json says."""
    schema = consortium.schema
    modality_of = {marker.name: marker.modality.value for marker in schema.markers}
    endpoints: dict[str, object] = {}
    for name, truth in consortium.truth.items():
        endpoints[name] = {"true_log_hazard_column": name, **_truth_of(consortium, truth, modality_of)}
    return {
        "about": _ABOUT,
        "made_with": {
            "patients": len(consortium.table),
            "hospitals": consortium.hospitals,
            "seed": consortium.seed,
        },
        "baseline": {
            "family": "Weibull: cumulative hazard (t / scale) ** shape",
            "shape": outcomes.WEIBULL_SHAPE,
            "scale_months": {
                OVERALL_SURVIVAL: outcomes.DEATH_SCALE_MONTHS,
                TIME_TO_NEXT_TREATMENT: outcomes.NEXT_TREATMENT_SCALE_MONTHS,
            },
        },
        "c_index_of_true_log_hazard": {
            OVERALL_SURVIVAL: consortium.c_index[OVERALL_SURVIVAL],
            NEXT_TREATMENT_OR_DEATH: consortium.c_index[NEXT_TREATMENT_OR_DEATH],
        },
        "endpoints": endpoints,
    }


def _truth_of(consortium: SyntheticConsortium, truth: LogHazardRatio, modality_of: dict[str, str]) -> dict[str, object]:
    names = [marker.name for marker in consortium.schema.markers]
    alone = truth.contributions(consortium.schema, consortium.values)
    in_pairs = truth.interaction_contributions(consortium.schema, consortium.values)
    markers: list[dict[str, object]] = []
    for column in np.argsort(-alone.std(axis=0), kind="stable"):
        name = names[column]
        if name in truth.effects:
            effect: dict[str, object] = {"effect_per_scale": truth.effects[name]}
        elif name in truth.category_effects:
            effect = {"effect_by_category": dict(truth.category_effects[name])}
        else:
            continue
        sizes = {
            "sd_of_contribution": float(alone[:, column].std()),
            "mean_absolute_contribution": float(np.abs(alone[:, column]).mean()),
        }
        markers.append({"name": name, "modality": modality_of[name], **effect, **sizes})
    interactions = [
        {
            "first": truth.interactions[pair].first,
            "second": truth.interactions[pair].second,
            "coefficient": truth.interactions[pair].coefficient,
            "sd_of_contribution": float(in_pairs[:, pair].std()),
        }
        for pair in np.argsort(-in_pairs.std(axis=0), kind="stable")
    ]
    unmeasured = {modality.value: effect for modality, effect in truth.unmeasured_effects.items()}
    return {"markers": markers, "interactions": interactions, "unmeasured_modalities": unmeasured}


def _write_table(frame: pd.DataFrame, path: Path, table_format: TableFormat) -> None:
    """As `oncofed.cohort.table` reads it."""
    if table_format is TableFormat.CSV:
        pyarrow.csv.write_csv(_arrow(frame), path, pyarrow.csv.WriteOptions(quoting_style="needed"))
    else:
        _write_parquet(frame, path)


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """The same frame gives the same bytes."""
    pyarrow.parquet.write_table(_arrow(frame), path, compression="zstd")


def _arrow(frame: pd.DataFrame) -> pa.Table:
    # from_pandas: what pandas calls missing is null, so that a number's cell is empty and never "nan".
    return pa.Table.from_pandas(frame, preserve_index=False)


def _refuse_to_overwrite(folder: Path, paths: tuple[Path, ...]) -> None:
    """Raises InvalidInput where one of them is there."""
    remedy = "Choose another folder, or remove it."
    if folder.exists() and not folder.is_dir():
        raise InvalidInput([Fault(str(folder), "is a file", remedy)])
    faults = [Fault(str(path), "already exists", remedy) for path in paths if path.exists()]
    if faults:
        raise InvalidInput(faults)
