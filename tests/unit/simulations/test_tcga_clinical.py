"""Are the two TCGA tables joined by patient, and does nobody without a known endpoint say anything about it?"""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd

STUDY = Path(__file__).resolve().parents[3] / "simulations" / "studies" / "tcga_clinical"
MARKERS = ("stage", "t", "n", "m", "grade", "residual_tumour", "ecog", "karnofsky")


def test_rows_keep_the_order_of_the_patients_and_what_is_not_known_is_not_followed(tmp_path: Path) -> None:
    patients = pd.DataFrame(
        {"patient_id": ["b", "a", "c"], "survival_months": [5.0, 7.0, 9.0], "death_observed": [1, 1, 0]}
    )
    clinical = pd.DataFrame({"patient_id": ["a", "b", "c"], **{key: [1.0, 2.0, np.nan] for key in MARKERS}})
    clinical = clinical.assign(pfi=[1.0, 0.0, np.nan], pfi_months=[3.0, 4.0, 8.0], dss=[0.0, np.nan, 0.0])
    patients.to_parquet(tmp_path / "patients.parquet")
    clinical.to_parquet(tmp_path / "clinical.parquet")
    table = runpy.run_path(str(STUDY / "prepare.py"))["joined"](tmp_path)
    assert table["patient_id"].tolist() == ["b", "a", "c"]
    assert table["stage"].tolist()[:2] == [2.0, 1.0]
    assert np.isnan(table["stage"].iloc[2])
    assert table[["pfi_months", "progressed"]].to_numpy().tolist() == [[4, 0], [3, 1], [0, 0]]
    assert table["months_to_death"].tolist() == [0, 7, 9]
    assert table[["died_of_disease", "died_otherwise"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 0]]
