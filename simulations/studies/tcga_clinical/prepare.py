"""Joins the two TCGA tables in ../shared/data into the table of this study.

    python simulations/studies/tcga_clinical/prepare.py runs/tcga_clinical

Rows stand as in patients.parquet, so that a seed sets the same patients aside as in the study tcga_pancancer. Who is
not known to have had an endpoint or not (progression of 5 patients, the cause of death of 204) is followed for it for
no time at all, and so says nothing about it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pandas as pd

SOURCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "tcga_pancancer"
MARKERS = ["stage", "t", "n", "m", "grade", "residual_tumour", "ecog", "karnofsky"]


def joined(source: Path) -> pd.DataFrame:
    """One row a patient: markers, overall survival, progression and causes of death, in months."""
    patients = pd.read_parquet(source / "patients.parquet")
    clinical = pd.read_parquet(source / "clinical.parquet").set_index("patient_id").loc[patients["patient_id"]]
    clinical = clinical.set_index(patients.index)
    progression = clinical["pfi"].notna() & clinical["pfi_months"].notna()
    cause = clinical["dss"].notna()
    otherwise = (patients["death_observed"] == 1) & (clinical["dss"] == 0)
    return patients.assign(
        **{name: clinical[name] for name in MARKERS},
        pfi_months=clinical["pfi_months"].where(progression, 0.0),
        progressed=clinical["pfi"].where(progression, 0.0),
        months_to_death=patients["survival_months"].where(cause, 0.0),
        died_of_disease=clinical["dss"].where(cause, 0.0),
        died_otherwise=otherwise.where(cause, other=False).astype(float),
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    joined(SOURCE).to_parquet(folder / "patients.parquet", index=False)
    click.echo(f"Look at {folder / 'patients.parquet'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
