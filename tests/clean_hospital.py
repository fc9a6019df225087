"""A table as a hospital would have it if nothing were wrong with it, for tests that then spoil one thing.

Laboratory values lie where laboratories print them as usual in patients who are ill, written down here and not taken
from the program; follow-up is exponential, about a third censored.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema

PATIENTS = 600
LABORATORY = {
    # name: unit, plausible range, centre, scale, and the middle and spread of this hospital's patients
    "albumin": ("g/l", (8, 65), 42, 8, 37.0, 5.0),
    "haemoglobin": ("g/dl", (2, 25), 14, 2, 12.2, 1.7),
    "creatinine": ("mg/dl", (0.05, 40), 1, 0.3, 0.95, 0.25),
    "calcium": ("mmol/l", (0.8, 6), 2.35, 0.2, 2.28, 0.12),
    "sodium": ("mmol/l", (90, 200), 140, 5, 138.0, 3.5),
    "platelets": ("10^9/l", (0, 5000), 275, 125, 270.0, 90.0),
    "body_weight_kg": ("kg", (20, 300), 75, 15, 76.0, 14.0),
}
SKEWED = {
    "log10_crp": ("log10(mg/l)", (-2.3, 2.9), 0.7, 0.5, 1.1, 0.6),
    "log10_ldh": ("log10(U/l)", (0, 4.5), 2.35, 0.5, 2.4, 0.2),
}
ENTITIES = ("lung", "colon", "breast")
_HEAD = """
[schema]
name = "clean"
patient_id = "patient_id"
tumour_entity = "entity"
[time]
unit = "months"
interval_bounds = [0, 3, 6, 12, 24, 60]
zero_time_becomes = 0.02
[[endpoint]]
name = "survival"
time = "months"
event = "dead"
baseline_hazard = 0.02
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["lung", "colon", "breast"]
reference_category = "lung"
[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 65
scale = 12
[[marker]]
name = "ecog"
modality = "clinical"
kind = "ordinal"
plausible_range = [0, 4]
centre = 1
scale = 1
[[marker]]
name = "TP53_mut"
modality = "dna_mutation"
kind = "binary"
"""


def schema_text(**ranges: tuple[float, float]) -> str:
    """ranges: instead of a laboratory marker's own plausible range."""
    sections = [_HEAD]
    for name, (unit, span, centre, scale, _, _) in (LABORATORY | SKEWED).items():
        low, high = ranges.get(name, span)
        sections.append(
            f'[[marker]]\nname = "{name}"\nmodality = "laboratory"\nkind = "continuous"\nunit = "{unit}"\n'
            f"plausible_range = [{low}, {high}]\ncentre = {centre}\nscale = {scale}\n"
        )
    return "".join(sections)


def schema(**ranges: tuple[float, float]) -> StudySchema:
    return parse_schema(schema_text(**ranges), where="schema.toml")


def table(seed: int = 1, patients: int = PATIENTS) -> pd.DataFrame:
    """With a column `diagnosed` that the schema does not name: days of the years 2014 to 2017."""
    draw = np.random.default_rng(seed)
    time, censored = draw.exponential(28.0, patients) + 0.05, draw.uniform(4.0, 75.0, patients)
    days = draw.integers(date(2014, 1, 1).toordinal(), date(2017, 12, 31).toordinal(), patients)
    columns: dict[str, object] = {
        "patient_id": [f"p{number:05}" for number in range(patients)],
        "months": np.minimum(time, censored).round(2),
        "dead": (time <= censored).astype(int),
        "diagnosed": [date.fromordinal(int(day)).isoformat() for day in days],
        "entity": draw.choice(ENTITIES, patients),
        "age_years": np.clip(draw.normal(64, 11, patients), 20, 92).round(1),
        "ecog": draw.choice([0, 1, 2, 3], patients, p=[0.4, 0.4, 0.15, 0.05]),
        "TP53_mut": (draw.random(patients) < 0.4).astype(int),
    }
    for name, (_, span, _, _, middle, spread) in (LABORATORY | SKEWED).items():
        columns[name] = np.clip(draw.normal(middle, spread, patients), *span).round(3)
    found = pd.DataFrame(columns)
    for name in (*LABORATORY, *SKEWED, "ecog", "TP53_mut"):
        found[name] = found[name].astype(object).where(draw.random(patients) > 0.12, None)
    return found


def files(folder: Path, spoilt: pd.DataFrame) -> tuple[Path, Path]:
    """The table and its schema."""
    spoilt.to_csv(folder / "table.csv", index=False)
    (folder / "schema.toml").write_text(schema_text())
    return folder / "table.csv", folder / "schema.toml"
