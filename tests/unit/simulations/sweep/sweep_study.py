"""A study small enough to be run dozens of times: 240 patients of three hospitals, three markers that matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

STUDY = """
[study]
name = "small"
[data]
table = "patients.csv"
schema = "schema.toml"
[sites]
partition = "column"
[evaluation]
horizon = 24
bootstrap_resamples = 20
[model]
hidden_units = []
[training]
rounds = 2
[privacy]
mode = "none"
l2_norm_bound = 1
"""

SCHEMA = """
[schema]
name = "small"
patient_id = "patient"
site_column = "hospital"
tumour_entity = "entity"
[time]
unit = "months"
interval_bounds = [0, 12, 24, 60]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "died"
baseline_hazard = 0.02
[[marker]]
names = ["first", "second"]
modality = "laboratory"
kind = "continuous"
unit = "mg/dl"
plausible_range = [-9, 9]
centre = 0
scale = 1
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["lung", "liver"]
reference_category = "lung"
"""


def write_study(folder: Path) -> Path:
    """Write table, schema and study file. Returns the study file."""
    rng = np.random.default_rng(5)
    patients = 240
    first, second, liver = rng.normal(size=patients), rng.normal(size=patients), rng.random(patients) < 0.4
    months = rng.exponential(1 / (0.03 * np.exp(0.8 * first - 0.5 * second + 0.6 * liver)))
    censored = rng.uniform(6, 60, size=patients)
    table = pd.DataFrame(
        {
            "patient": [f"p{row}" for row in range(patients)],
            "hospital": rng.choice(["H1", "H2", "H3"], size=patients),
            "first": first.round(3),
            "second": second.round(3),
            "entity": np.where(liver, "liver", "lung"),
            "months": np.minimum(months, censored).clip(0.1).round(2),
            "died": (months <= censored).astype(int),
        }
    )
    table.to_csv(folder / "patients.csv", index=False)
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"
