"""A study of one marker, and a hospital's two tables that a test changes, writes and imports."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.mapping_file import read_mapping

PATIENTS = (
    "id,state,died,seen,diagnosed\n"
    "1,dead,2021-06-01,2021-05-01,2021-01-01\n2,alive,,2021-07-01,2021-01-01\n3,alive,,2021-07-01,2021-01-01\n"
)
SCHEMA = """
[schema]
name = "rows"
patient_id = "id"
[time]
unit = "days"
interval_bounds = [0, 100, 1000, 5000]
[[endpoint]]
name = "os"
time = "days"
event = "dead"
baseline_hazard = 0.001
[[marker]]
name = "value"
modality = "laboratory"
kind = "continuous"
unit = "{unit}"
plausible_range = [0, 1000]
centre = 1
scale = 1
"""
MAPPING = """
[mapping]
schema = "schema.toml"
patients = "patients"
[time_zero]
column = "diagnosed"
[[source]]
name = "patients"
path = "patients.csv"
patient = "id"
[[outcome]]
name = "os"
event = "state"
yes = ["dead"]
no = ["alive"]
event_date = "died"
last_contact = ["seen"]
[[source]]
name = "laboratory"
path = "laboratory.csv"
patient = "id"
date = "day"
code = "code"
value = "number"
unit = "unit"
{source}
[[marker]]
name = "value"
source = "laboratory"
{marker}
"""


def imported(
    folder: Path,
    laboratory: str,
    *,
    unit: str,
    marker: str,
    source: str = "",
    patients: str = PATIENTS,
    today: date | None = None,
    mapping: str = MAPPING,
    schema: str = SCHEMA,
) -> ImportedCohort:
    (folder / "patients.csv").write_text(patients)
    (folder / "laboratory.csv").write_text(laboratory)
    (folder / "schema.toml").write_text(schema.format(unit=unit))
    (folder / "mapping.toml").write_text(mapping.format(source=source, marker=marker))
    return import_cohort(read_mapping(folder / "mapping.toml"), today=today)
