"""Where does patients.csv come from? It was drawn once from the synthetic consortium: no patient in it is a person.

    python simulations/studies/own_table/make_table.py

Its lung cancer patients, some of its columns, written as a hospital might export them: words for categories, empty
cells for what was not measured, and one hospital that writes "n/a" instead. After a change to the consortium other
patients are drawn, and docs/own-data.md needs their first rows.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from oncofed.simulations.synthetic.consortium import generate

HOSPITALS = {"hospital_01": "east", "hospital_02": "west", "hospital_03": "north", "hospital_04": "south"}
COLUMNS = {
    "hospital": "hospital",
    "tumour_entity": "histology",
    "age_years": "age_years",
    "ecog_performance_status": "ecog",
    "uicc_stage": "uicc_stage",
    "albumin_g_per_l": "albumin_g_per_l",
    "log10_crp_mg_per_l": "log10_crp_mg_per_l",
    "TP53_mut": "TP53_mut",
    "KRAS_mut": "KRAS_mut",
    "KEAP1_mut": "KEAP1_mut",
    "entry_months": "entry_months",
    "survival_months": "survival_months",
    "death_observed": "death_observed",
}
HISTOLOGIES = {
    "lung_adenocarcinoma": "adenocarcinoma",
    "lung_squamous_cell_carcinoma": "squamous",
    "small_cell_lung_carcinoma": "small_cell",
}


def lung_patients() -> pd.DataFrame:
    """Every cell as the text that the CSV holds."""
    everybody = generate(patients=4000, hospitals=4, seed=11).table
    lung = everybody[everybody["tumour_entity"].isin(HISTOLOGIES)].rename(columns=COLUMNS)[list(COLUMNS.values())]
    lung = lung.assign(histology=lung["histology"].map(HISTOLOGIES), hospital=lung["hospital"].map(HOSPITALS))
    lung = lung.sample(frac=1, random_state=11)
    lung.insert(0, "patient_id", [f"L{number:04d}" for number in range(1, len(lung) + 1)])
    cells = lung.astype(object).where(lung.notna(), "").astype(str)
    south = cells["hospital"] == "south"
    cells.loc[south] = cells.loc[south].replace({"albumin_g_per_l": {"": "n/a"}, "log10_crp_mg_per_l": {"": "n/a"}})
    return cells


if __name__ == "__main__":
    lung_patients().to_csv(Path(__file__).with_name("patients.csv"), index=False, lineterminator="\n")
