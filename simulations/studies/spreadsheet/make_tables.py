"""Where do the spreadsheets of docs/import.md come from? They are invented here, with the truth beside them.

    python simulations/studies/spreadsheet/make_tables.py runs/clinic

Three files as German hospitals export them: semicolons, decimal commas, days as DD.MM.YYYY, umlauts in Windows-1252.
In them lies what happens in all of them: a patient with two diagnoses, laboratory values from long before and after the
diagnosis, two units for one analyte, `<0,5`, words for "unknown", a death without a date. `truth` is what an import
must find: it is drawn first, and the files are written from it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 13
PATIENTS = 480
CLINICS = ("Köln", "Münster", "Essen")
HISTOLOGY = {
    "adenocarcinoma": "Adenokarzinom",
    "squamous": "Plattenepithelkarzinom",
    "small_cell": "kleinzelliges Karzinom",
}
STAGES = {1: ("IA", "IB"), 2: ("IIA", "IIB"), 3: ("IIIA", "IIIB"), 4: ("IV",)}
CREATININE_UMOL_PER_MG_DL = 1e4 / (4 * 12.011 + 7 * 1.008 + 3 * 14.007 + 15.999)  # C4H7N3O
DATA_CUT = date(2024, 12, 31)
LOINC = {"albumin": "1751-7", "crp": "1988-5", "creatinine": "2160-0", "ldh": "14804-9"}
NAMES = {"albumin": "Albumin", "crp": "CRP", "creatinine": "Kreatinin", "ldh": "LDH"}
LDH_LIMIT = 250.0


@dataclass(frozen=True)
class Drawn:
    """A patient, rounded as it will be written, so that what is written is the truth and not nearly so."""

    female: bool
    age_years: float
    histology: str
    stage: int
    stage_unknown: bool
    ecog: int
    ecog_unknown: bool
    measured: bool
    albumin_g_per_l: float
    crp_mg_per_l: float
    creatinine_mg_per_dl: float
    ldh_u_per_l: float


@dataclass(frozen=True)
class Clinic:
    """truth: one row a patient. files: bytes by name. undated: who died nobody knows when, and is not in truth."""

    truth: pd.DataFrame
    files: dict[str, bytes]
    undated: str


def clinic() -> Clinic:
    rng = np.random.default_rng(SEED)
    patients, diagnoses, results, truth = [], [], [], []
    undated = ""
    for number in range(PATIENTS):
        patient = f"{number + 1:05d}"
        diagnosed = date(2018, 1, 1) + timedelta(days=int(rng.integers(0, 2000)))
        who = _drawn(rng)
        log_hazard = (
            0.5 * (who.stage - 3)
            + 0.35 * who.ecog
            + 0.02 * (who.age_years - 65)
            - 0.05 * (who.albumin_g_per_l - 38)
            + 0.5 * (np.log10(who.crp_mg_per_l) - 1)
            + (0.4 if who.histology == "small_cell" else 0.0)
        )
        death_days = max(1, round(rng.exponential(30.4375 * 26 / np.exp(log_hazard))))
        followed_days = int(rng.integers(60, 2200))
        last = min(diagnosed + timedelta(days=followed_days), DATA_CUT)
        died = diagnosed + timedelta(days=death_days) <= last
        end = diagnosed + timedelta(days=death_days) if died else last
        lost_date = died and not undated and number > 100
        if lost_date:
            undated = patient
        vital = "verstorben" if died else "lebt"
        dead_on = _day(end) if died and not lost_date else ""
        contact = _day(end - timedelta(days=int(rng.integers(1, 30)))) if died and death_days > 40 else _day(end)
        sex = "weiblich" if who.female else "männlich"
        clinic_name = str(rng.choice(CLINICS, p=[0.45, 0.35, 0.2]))
        patients.append([patient, clinic_name, sex, _comma(who.age_years, 1), vital, dead_on, contact])
        diagnoses += _diagnoses(rng, patient, diagnosed, who)
        results += _results(rng, patient, diagnosed, who)
        if not lost_date:
            truth.append(
                {
                    "patient_id": patient,
                    "hospital": clinic_name,
                    "female": float(who.female),
                    "age_years": who.age_years,
                    "histology": who.histology,
                    "uicc_stage": np.nan if who.stage_unknown else float(who.stage),
                    "ecog": np.nan if who.ecog_unknown else float(who.ecog),
                    "albumin_g_per_l": who.albumin_g_per_l if who.measured else np.nan,
                    "log10_crp": np.log10(who.crp_mg_per_l) if who.measured else np.nan,
                    "creatinine_umol_per_l": who.creatinine_mg_per_dl * CREATININE_UMOL_PER_MG_DL
                    if who.measured
                    else np.nan,
                    "ldh_over_limit": who.ldh_u_per_l / LDH_LIMIT if who.measured else np.nan,
                    "survival_months": (end - diagnosed).days / 30.4375,
                    "death_observed": float(died),
                }
            )
    for rows in (patients, diagnoses, results):
        rng.shuffle(rows)
    files = {
        "patienten.csv": _csv(
            ["PatNr", "Klinik", "Geschlecht", "Alter bei Diagnose", "Vitalstatus", "Sterbedatum", "Letzter Kontakt"],
            patients,
        ).encode("windows-1252"),
        "diagnosen.csv": (
            "sep=;\r\n" + _csv(["PatNr", "ICD-10", "Datum", "Histologie", "UICC", "ECOG"], diagnoses)
        ).encode("windows-1252"),
        "labor.csv": _csv(["PatNr", "Entnahme", "Analyt", "LOINC", "Wert", "Einheit"], results).encode("utf-8-sig"),
    }
    return Clinic(pd.DataFrame(truth).sort_values("patient_id", ignore_index=True), files, undated)


def _drawn(rng: np.random.Generator) -> Drawn:
    stage = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.15, 0.3, 0.4]))
    crp = round(float(10 ** rng.normal(0.9, 0.6)), 1)
    return Drawn(
        female=bool(rng.random() < 0.4),
        age_years=round(float(np.clip(rng.normal(66, 10), 30, 92)), 1),
        histology=str(rng.choice(list(HISTOLOGY), p=[0.55, 0.3, 0.15])),
        stage=stage,
        stage_unknown=bool(rng.random() < 0.05),
        ecog=int(rng.choice([0, 1, 2, 3], p=[0.35, 0.4, 0.18, 0.07])),
        ecog_unknown=bool(rng.random() < 0.1),
        measured=bool(rng.random() < 0.93),
        albumin_g_per_l=round(float(np.clip(rng.normal(39, 5), 18, 55)), 1),
        crp_mg_per_l=0.5 if crp < 0.5 else min(crp, 350.0),
        creatinine_mg_per_dl=round(float(np.clip(rng.lognormal(-0.1, 0.3), 0.3, 8)), 2),
        ldh_u_per_l=float(int(np.clip(rng.lognormal(5.5, 0.4), 90, 4000))),
    )


def _diagnoses(rng: np.random.Generator, patient: str, diagnosed: date, who: Drawn) -> list[list[str]]:
    stage = "unbekannt" if who.stage_unknown else str(rng.choice(STAGES[who.stage]))
    ecog = "k.A." if who.ecog_unknown else f"ECOG {who.ecog}"
    code = f"C34.{rng.integers(1, 4)}"
    rows = [[patient, code, _day(diagnosed), HISTOLOGY[who.histology], stage, ecog]]
    if rng.random() < 0.08:  # told once more, at a relapse: the first one counts
        later = diagnosed + timedelta(days=int(rng.integers(100, 600)))
        rows.append([patient, code, _day(later), HISTOLOGY["small_cell"], "IV", "ECOG 3"])
    if rng.random() < 0.06:  # another tumour, long before
        before = diagnosed - timedelta(days=int(rng.integers(400, 3000)))
        rows.append([patient, "C50.9", _day(before), "duktales Karzinom", "IA", "ECOG 0"])
    return rows


def _results(rng: np.random.Generator, patient: str, diagnosed: date, who: Drawn) -> list[list[str]]:
    """The last value in the 30 days before the diagnosis is the truth; all others are there to be told from it."""
    rows = []
    for analyte in LOINC:
        if who.measured:
            taken = diagnosed - timedelta(days=int(rng.integers(0, 10)))
            rows.append(_result(rng, patient, taken, analyte, _value(who, analyte), truth=True))
            if rng.random() < 0.3:
                earlier = taken - timedelta(days=int(rng.integers(1, 20)))
                rows.append(_result(rng, patient, earlier, analyte, _value(who, analyte) * 1.5))
        if rng.random() < 0.25:
            long_before = diagnosed - timedelta(days=int(rng.integers(40, 900)))
            rows.append(_result(rng, patient, long_before, analyte, _value(who, analyte) * 0.7))
        if rng.random() < 0.5:
            after = diagnosed + timedelta(days=int(rng.integers(1, 400)))
            rows.append(_result(rng, patient, after, analyte, _value(who, analyte) * 1.3))
    return rows


def _value(who: Drawn, analyte: str) -> float:
    return {
        "albumin": who.albumin_g_per_l,
        "crp": who.crp_mg_per_l,
        "creatinine": who.creatinine_mg_per_dl,
        "ldh": who.ldh_u_per_l,
    }[analyte]


def _result(
    rng: np.random.Generator, patient: str, taken: date, analyte: str, value: float, *, truth: bool = False
) -> list[str]:
    """Two laboratories, two units: albumin and CRP are written in g/l or g/dl, in mg/l or mg/dl."""
    other = rng.random() < 0.35
    if analyte == "albumin":
        text, unit = (_comma(value / 10, 2), "g/dl") if other else (_comma(value, 1), "g/l")
    elif analyte == "crp":
        if truth and value == 0.5:  # below what the laboratory can tell
            text, unit = ("<0,05", "mg/dl") if other else ("<0,5", "mg/l")
        else:
            text, unit = (_comma(value / 10, 2), "mg/dl") if other else (_comma(value, 1), "mg/l")
    elif analyte == "creatinine":
        text, unit = _comma(value, 2), "mg/dl"
    else:
        text, unit = f"{value:.0f}", "U/l"
    return [patient, _day(taken), NAMES[analyte], LOINC[analyte], text, unit]


def _comma(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace(".", ",")


def _day(day: date) -> str:
    return day.strftime("%d.%m.%Y")


def _csv(header: list[str], rows: list[list[str]]) -> str:
    return "".join(";".join(row) + "\r\n" for row in [header, *rows])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in clinic().files.items():
        (folder / name).write_bytes(content)
