"""Joins the two TCGA tables in ../shared/data into the table of this study.

    python simulations/studies/tcga_clinical/prepare.py runs/tcga_clinical

Rows stand as in patients.parquet, so that a seed sets the same patients aside as in the study tcga_pancancer. Five
patients of whom progression is not told are followed for it for no time at all, so they say nothing about it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pandas as pd

SOURCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "tcga_pancancer"
MARKERS = ["stage", "t", "n", "m", "grade", "residual_tumour", "ecog", "karnofsky"]


def joined(source: Path) -> pd.DataFrame:
    """One row a patient: markers, overall survival and progression in months."""
    patients = pd.read_parquet(source / "patients.parquet")
    clinical = pd.read_parquet(source / "clinical.parquet").set_index("patient_id").loc[patients["patient_id"]]
    known = clinical["pfi"].notna() & clinical["pfi_months"].notna()
    return patients.assign(
        **{name: clinical[name].to_numpy() for name in MARKERS},
        pfi_months=clinical["pfi_months"].where(known, 0.0).to_numpy(),
        progressed=clinical["pfi"].where(known, 0.0).to_numpy(),
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    joined(SOURCE).to_parquet(folder / "patients.parquet", index=False)
    click.echo(f"Look at {folder / 'patients.parquet'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
