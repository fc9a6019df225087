"""Where does the cBioPortal study folder of docs/import.md come from? It is invented here, with the truth beside it.

    python simulations/studies/study_folder/make_folder.py runs/study_folder

Clinical files with their four lines of remarks, mutations, the gene panel matrix and two panels, copy number and
expression. In it lies what makes such folders hard: one panel lacks a gene, some samples were never sequenced, some
patients have two samples, variants are silent, and cells say NA. `truth` is drawn first, and the files are written from
it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 17
PATIENTS = 420
CENTRES = ("MSK", "DFCI", "VICC")
GENES = ("TP53", "KRAS", "STK11", "EGFR")
FREQUENCY = {"TP53": 0.5, "KRAS": 0.3, "STK11": 0.15, "EGFR": 0.2}
PANELS = {"SMALL": ("TP53", "KRAS", "EGFR"), "LARGE": GENES}  # the small one lacks STK11
COUNTED, SILENT = ("Missense_Mutation", "Nonsense_Mutation", "Frame_Shift_Del"), ("Silent", "Intron")


@dataclass(frozen=True)
class StudyFolder:
    """truth: one row a patient, NaN where not measured. files: texts by path."""

    truth: pd.DataFrame
    files: dict[str, str]


def study_folder() -> StudyFolder:
    rng = np.random.default_rng(SEED)
    patients, samples, panels, variants, truth = [], [], [], [], []
    copies: dict[str, int] = {}
    expression: dict[str, float] = {}
    for number in range(PATIENTS):
        patient = f"P-{number + 1:04d}"
        age, stage = int(rng.integers(35, 88)), int(rng.choice([1, 2, 3, 4]))
        has = {gene: bool(rng.random() < FREQUENCY[gene]) for gene in GENES}
        covered: set[str] = set()
        found: set[str] = set()
        deletion, level = np.nan, np.nan
        for name in [f"{patient}-T{place + 1}" for place in range(2 if rng.random() < 0.12 else 1)]:
            panel = str(rng.choice(["SMALL", "LARGE", "WES", "NA"], p=[0.4, 0.3, 0.2, 0.1]))
            samples.append([patient, name, "Primary" if name.endswith("T1") else "Metastasis"])
            panels.append([name, panel])
            genes = GENES if panel == "WES" else PANELS.get(panel, ())
            covered |= set(genes)
            for gene in genes:
                if has[gene]:
                    variants.append([gene, "1", name, str(rng.choice(COUNTED))])
                    found.add(gene)
                if rng.random() < 0.05:
                    variants.append([gene, "1", name, str(rng.choice(SILENT))])
            if panel != "NA" and name.endswith("T1"):
                copies[name] = int(rng.choice([-2, -1, 0, 1, 2], p=[0.15, 0.2, 0.4, 0.15, 0.1]))
                deletion = float(copies[name] == -2)
            if rng.random() < 0.6 and name.endswith("T1"):
                expression[name] = round(float(rng.normal()), 4)
                level = expression[name]
        log_hazard = 0.4 * (stage - 2) + 0.5 * has["TP53"] + 0.6 * has["STK11"] - 0.5 * has["EGFR"] + 0.02 * (age - 62)
        death, followed = rng.exponential(40 / np.exp(log_hazard)), rng.uniform(3, 70)
        months, died = round(max(0.1, min(death, followed)), 2), bool(death <= followed)
        centre = str(rng.choice(CENTRES))
        word = "NA" if rng.random() < 0.05 else f"Stage {['I', 'II', 'III', 'IV'][stage - 1]}"
        status = "1:DECEASED" if died else "0:LIVING"
        patients.append(
            [patient, str(age), "Female" if rng.random() < 0.5 else "Male", word, centre, status, f"{months:g}"]
        )
        truth.append(
            {
                "patient_id": patient,
                "centre": centre,
                "age_years": float(age),
                "female": float(patients[-1][2] == "Female"),
                "stage": np.nan if word == "NA" else float(stage),
                **{f"{gene}_mut": float(gene in found) if gene in covered else np.nan for gene in GENES},
                "CDKN2A_deleted": deletion,
                "CD274_z": level,
                "os_months": months,
                "os_event": float(died),
            }
        )
    order = rng.permutation(len(patients))
    return StudyFolder(
        truth=pd.DataFrame(truth),
        files={
            "data_clinical_patient.txt": _clinical(
                ["PATIENT_ID", "AGE", "SEX", "STAGE", "CENTER", "OS_STATUS", "OS_MONTHS"],
                [patients[row] for row in order],
            ),
            "data_clinical_sample.txt": _clinical(["PATIENT_ID", "SAMPLE_ID", "SAMPLE_TYPE"], samples),
            "data_gene_panel_matrix.txt": _tabs(["SAMPLE_ID", "mutations"], panels),
            "data_mutations.txt": "#version 2.4\n"
            + _tabs(["Hugo_Symbol", "Entrez_Gene_Id", "Tumor_Sample_Barcode", "Variant_Classification"], variants),
            "data_cna.txt": _matrix("CDKN2A", copies, decoy="MYC"),
            "data_mrna_seq_v2_rsem_zscores.txt": _matrix("CD274", expression, decoy="ACTB"),
            **{
                f"data_gene_panel_{panel.lower()}.txt": f"stable_id: {panel}\ndescription: invented\ngene_list:\t"
                + "\t".join(genes)
                + "\n"
                for panel, genes in PANELS.items()
            },
        },
    )


def _clinical(header: list[str], rows: list[list[str]]) -> str:
    """Names, descriptions, types and priorities come first, each line behind a #."""
    remarks = [[f"#{header[0]}", *header[1:]] for _ in range(2)]
    remarks += [["#STRING", *["STRING"] * (len(header) - 1)], ["#1", *["1"] * (len(header) - 1)]]
    return "".join("\t".join(row) + "\n" for row in [*remarks, header, *rows])


def _tabs(header: list[str], rows: list[list[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def _matrix(gene: str, values: dict[str, int] | dict[str, float], *, decoy: str) -> str:
    header = ["Hugo_Symbol", "Entrez_Gene_Id", *values]
    other = [decoy, "2", *["NA" if place % 7 == 0 else "0" for place in range(len(values))]]
    return _tabs(header, [other, [gene, "1", *(f"{value:g}" for value in values.values())]])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in study_folder().files.items():
        (folder / name).write_text(text, encoding="utf-8")
