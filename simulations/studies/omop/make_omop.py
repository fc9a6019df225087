"""Where does the OMOP model of docs/import-omop.md come from? It is invented here, with the truth beside it.

    python simulations/studies/omop/make_omop.py runs/omop/cdm

A folder of CSV files with the tables' names, of version 5.4, with the columns that an import may ask for. In them lies
what happens in such models: two diagnoses of one patient, diagnoses below the concept that a study names, a death
without a date, persons whose birth is known by the year alone, laboratory values from before the diagnosis, in two
units, beyond a limit of detection or with a code that nobody mapped, results that are concepts, a gene that one panel
lacks, a last contact that any table may tell. `truth` is what an import must find: it is drawn first, and the tables
are written from it. `TYPES` are the columns' types in a database.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 54
PATIENTS = 480
CLINICS = (11, 12, 13)
DATA_CUT = date(2024, 12, 31)
LUNG, ADENOCARCINOMA, COLON, BREAST, DIABETES = 443388, 2000000101, 4180790, 4112853, 201826
STAGES = {1: 2000000201, 2: 2000000202, 3: 2000000203, 4: 2000000204}
ECOG, TP53, STK11 = 2000000301, 2000000302, 2000000303
ECOG_WORDS = {0: 2000000310, 1: 2000000311, 2: 2000000312, 3: 2000000313}
POSITIVE, NEGATIVE = 9191, 9189
ALBUMIN, CRP, CREATININE = 3024561, 3020460, 3016723
G_L, G_DL, MG_L, MG_DL, LOCAL_UNIT = 8636, 8713, 8751, 8840, 2000000401
BELOW, EQUAL = 4171756, 4172703
PEMBROLIZUMAB, REGIMEN = 45775965, 32531
CREATININE_UMOL_PER_MG_DL = 1e4 / (4 * 12.011 + 7 * 1.008 + 3 * 14.007 + 15.999)  # C4H7N3O

COLUMNS = {
    "person": "person_id gender_concept_id year_of_birth month_of_birth day_of_birth care_site_id",
    "death": "person_id death_date cause_concept_id cause_source_value",
    "observation_period": "observation_period_id person_id observation_period_start_date observation_period_end_date",
    "visit_occurrence": "visit_occurrence_id person_id visit_concept_id visit_start_date visit_end_date",
    "condition_occurrence": (
        "condition_occurrence_id person_id condition_concept_id condition_start_date condition_source_value"
    ),
    "drug_exposure": "drug_exposure_id person_id drug_concept_id drug_exposure_start_date drug_source_value",
    "measurement": (
        "measurement_id person_id measurement_concept_id measurement_date operator_concept_id value_as_number "
        "value_as_concept_id unit_concept_id measurement_source_value unit_source_value value_source_value"
    ),
    "episode": "episode_id person_id episode_concept_id episode_start_date episode_source_value",
    "concept": "concept_id concept_code vocabulary_id",
    "concept_ancestor": "ancestor_concept_id descendant_concept_id min_levels_of_separation",
}
_TEXTS = ("_source_value", "_code", "vocabulary_id")


def type_of(column: str) -> str:
    """In PostgreSQL, as the model's own script has it."""
    if column.endswith("_date"):
        return "date"
    if column == "value_as_number":
        return "numeric"
    return "varchar(50)" if column.endswith(_TEXTS) else "integer"


@dataclass(frozen=True)
class Drawn:
    """A patient, rounded as it will be written, so that what is written is the truth and not nearly so."""

    entity: str
    female: bool
    born: date
    by_year: bool
    stage: int
    stage_unknown: bool
    ecog: int
    ecog_unknown: bool
    measured: bool
    albumin_g_per_l: float
    crp_mg_per_l: float
    creatinine_mg_per_dl: float
    ldh_u_per_l: float
    tp53: bool
    stk11: bool
    large_panel: bool
    sequenced: bool
    diabetes: bool
    immunotherapy: bool
    regimen: bool


@dataclass(frozen=True)
class Model:
    """truth: one row a patient. tables: by name. undated: who died nobody knows when, and is not in truth."""

    truth: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    undated: str


class _Rows:
    """The rows of all tables so far."""

    def __init__(self) -> None:
        self.of: dict[str, list[dict[str, object]]] = {name: [] for name in COLUMNS}

    def add(self, table: str, **cells: object) -> None:
        rows = self.of[table]
        if f"{table}_id" in COLUMNS[table].split():
            cells.setdefault(f"{table}_id", len(rows) + 1)
        rows.append(cells)


def model() -> Model:
    rng = np.random.default_rng(SEED)
    rows = _Rows()
    truth = []
    undated = ""
    for number in range(PATIENTS):
        person = 70_001 + 3 * number
        diagnosed = date(2017, 6, 1) + timedelta(days=int(rng.integers(0, 2100)))
        who = _drawn(rng, diagnosed)
        born = date(who.born.year, 7, 1) if who.by_year else who.born
        age = (diagnosed - born).days / 365.25
        log_hazard = (
            0.5 * (who.stage - 3)
            + 0.35 * who.ecog
            + 0.02 * (age - 65)
            - 0.05 * (who.albumin_g_per_l - 38)
            + 0.5 * (np.log10(who.crp_mg_per_l) - 1)
            + (0.3 if who.entity == "lung" else 0.0)
            + (0.3 if who.tp53 else 0.0)
        )
        death_days = max(1, round(rng.exponential(30.4375 * 24 / np.exp(log_hazard))))
        last = min(diagnosed + timedelta(days=int(rng.integers(120, 2200))), DATA_CUT)
        died = diagnosed + timedelta(days=death_days) <= last
        end = diagnosed + timedelta(days=death_days) if died else last
        lost_date = died and not undated and number > 100
        clinic = int(rng.choice(CLINICS, p=[0.45, 0.35, 0.2]))
        birth: dict[str, object] = {"year_of_birth": who.born.year}
        if not who.by_year:
            birth |= {"month_of_birth": who.born.month, "day_of_birth": who.born.day}
        sex = 8532 if who.female else 8507
        rows.add("person", person_id=person, gender_concept_id=sex, care_site_id=clinic, **birth)
        if died:
            rows.add("death", person_id=person, death_date=None if lost_date else end, cause_concept_id=0)
        _diagnoses(rng, rows, person, diagnosed, who)
        _results(rng, rows, person, diagnosed, who, end)
        _treatments(rng, rows, person, diagnosed, who, end)
        _contacts(rng, rows, person, diagnosed, end, died=died)
        if lost_date:
            undated = str(person)
        else:
            truth.append(_truth(person, clinic, who, age, (end - diagnosed).days, died=died))
    for code, concept in (("mg/L", MG_L), ("mg/dL", MG_DL), ("g{total}/L", LOCAL_UNIT)):
        rows.add("concept", concept_id=concept, concept_code=code, vocabulary_id="UCUM")
    for above, below, levels in ((LUNG, LUNG, 0), (LUNG, ADENOCARCINOMA, 1), (COLON, COLON, 0), (BREAST, BREAST, 0)):
        rows.add(
            "concept_ancestor",
            ancestor_concept_id=above,
            descendant_concept_id=below,
            min_levels_of_separation=levels,
        )
    tables = {name: _table(name, of).sample(frac=1, random_state=SEED) for name, of in rows.of.items()}
    return Model(pd.DataFrame(truth).sort_values("patient_id", ignore_index=True), tables, undated)


def _truth(person: int, clinic: int, who: Drawn, age: float, days: int, *, died: bool) -> dict[str, object]:
    measured = 1.0 if who.measured else np.nan
    sequenced = 1.0 if who.sequenced else np.nan
    return {
        "patient_id": str(person),
        "hospital": str(clinic),
        "entity": who.entity,
        "female": float(who.female),
        "age_years": age,
        "stage": np.nan if who.stage_unknown else float(who.stage),
        "ecog": np.nan if who.ecog_unknown else float(who.ecog),
        "albumin_g_per_l": who.albumin_g_per_l * measured,
        "log10_crp": np.log10(who.crp_mg_per_l) * measured,
        "creatinine_umol_per_l": who.creatinine_mg_per_dl * CREATININE_UMOL_PER_MG_DL * measured,
        "ldh_over_limit": who.ldh_u_per_l / 250 * measured,
        "tp53_mutated": who.tp53 * sequenced,
        "stk11_mutated": who.stk11 * sequenced if who.large_panel else np.nan,
        "diabetes": float(who.diabetes),
        "immunotherapy": float(who.immunotherapy),
        "regimen_started": float(who.regimen),
        "survival_months": days / 30.4375,
        "death_observed": float(died),
    }


def _table(name: str, rows: list[dict[str, object]]) -> pd.DataFrame:
    """In the types that a file of types has."""
    columns = {}
    for column in COLUMNS[name].split():
        cells = [row.get(column) for row in rows]
        kind = type_of(column)
        if kind == "integer":
            columns[column] = pd.Series(cells, dtype="Int64")
        elif kind == "numeric":
            columns[column] = pd.Series([np.nan if cell is None else cell for cell in cells], dtype=float)
        else:
            columns[column] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns)


def _drawn(rng: np.random.Generator, diagnosed: date) -> Drawn:
    stage = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.15, 0.3, 0.4]))
    crp = round(float(10 ** rng.normal(0.9, 0.6)), 1)
    sequenced = bool(rng.random() < 0.85)
    return Drawn(
        entity=str(rng.choice(["lung", "colon"], p=[0.65, 0.35])),
        female=bool(rng.random() < 0.45),
        born=diagnosed - timedelta(days=int(np.clip(rng.normal(66, 10), 30, 92) * 365.25)),
        by_year=bool(rng.random() < 0.1),
        stage=stage,
        stage_unknown=bool(rng.random() < 0.05),
        ecog=int(rng.choice([0, 1, 2, 3], p=[0.35, 0.4, 0.18, 0.07])),
        ecog_unknown=bool(rng.random() < 0.1),
        measured=bool(rng.random() < 0.93),
        albumin_g_per_l=round(float(np.clip(rng.normal(39, 5), 18, 55)), 1),
        crp_mg_per_l=0.5 if crp < 0.5 else min(crp, 350.0),
        creatinine_mg_per_dl=round(float(np.clip(rng.lognormal(-0.1, 0.3), 0.3, 8)), 2),
        ldh_u_per_l=float(int(np.clip(rng.lognormal(5.5, 0.4), 90, 4000))),
        tp53=bool(rng.random() < 0.5),
        stk11=bool(rng.random() < 0.2),
        large_panel=bool(rng.random() < 0.5),
        sequenced=sequenced,
        diabetes=bool(rng.random() < 0.15),
        immunotherapy=bool(rng.random() < 0.3),
        regimen=bool(rng.random() < 0.6),
    )


def _diagnoses(rng: np.random.Generator, rows: _Rows, person: int, diagnosed: date, who: Drawn) -> None:
    def add(concept: int, day: date) -> None:
        rows.add("condition_occurrence", person_id=person, condition_concept_id=concept, condition_start_date=day)

    own = int(rng.choice([LUNG, ADENOCARCINOMA])) if who.entity == "lung" else COLON
    add(own, diagnosed)
    if rng.random() < 0.1:  # told once more
        add(own, diagnosed + timedelta(days=int(rng.integers(20, 90))))
    if rng.random() < 0.05:  # a second tumour that the study is about as well: the first counts
        add(COLON if who.entity == "lung" else LUNG, diagnosed + timedelta(days=int(rng.integers(100, 110))))
    if rng.random() < 0.06:  # another one, long before
        add(BREAST, diagnosed - timedelta(days=int(rng.integers(400, 3000))))
    if who.diabetes:
        add(DIABETES, diagnosed - timedelta(days=int(rng.integers(10, 2000))))
    elif rng.random() < 0.1:  # only later
        add(DIABETES, diagnosed + timedelta(days=int(rng.integers(5, 100))))


def _results(rng: np.random.Generator, rows: _Rows, person: int, diagnosed: date, who: Drawn, end: date) -> None:
    """The last value in the 30 days before the diagnosis is the truth; all others are there to be told from it."""

    def add(day: date, concept: int, **cells: object) -> None:
        rows.add("measurement", person_id=person, measurement_date=day, measurement_concept_id=concept, **cells)

    if not who.stage_unknown:
        add(diagnosed, STAGES[who.stage])
    if not who.ecog_unknown:
        told = rng.random() < 0.5
        number = {"value_as_number": float(who.ecog)} if told else {"value_as_concept_id": ECOG_WORDS[who.ecog]}
        add(diagnosed, ECOG, **number)
    if who.sequenced:
        add(diagnosed, TP53, value_as_concept_id=POSITIVE if who.tp53 else NEGATIVE)
        if who.large_panel:
            add(diagnosed, STK11, value_as_concept_id=POSITIVE if who.stk11 else NEGATIVE)
    values = {
        ALBUMIN: who.albumin_g_per_l,
        CRP: who.crp_mg_per_l,
        CREATININE: who.creatinine_mg_per_dl,
        0: who.ldh_u_per_l,
    }
    for concept, value in values.items():
        if who.measured:
            taken = diagnosed - timedelta(days=int(rng.integers(0, 10)))
            add(taken, concept, **_cells(rng, concept, value, truth=True))
            if rng.random() < 0.3:
                add(taken - timedelta(days=int(rng.integers(1, 20))), concept, **_cells(rng, concept, value * 1.5))
        if rng.random() < 0.25:  # before the diagnosis, and of no use
            day = diagnosed - timedelta(days=int(rng.integers(40, 900)))
            add(day, concept, **_cells(rng, concept, value * 0.7))
        after = diagnosed + timedelta(days=int(rng.integers(1, 400)))
        if rng.random() < 0.5 and after <= end:
            add(after, concept, **_cells(rng, concept, value * 1.3))


def _cells(rng: np.random.Generator, concept: int, value: float, *, truth: bool = False) -> dict[str, object]:
    """Two laboratories: albumin in g/l or g/dl, CRP in mg/l or mg/dl; LDH has a code that nobody mapped."""
    other = rng.random() < 0.35
    if concept == ALBUMIN:
        unit = G_DL if other else LOCAL_UNIT if rng.random() < 0.3 else G_L
        return {"value_as_number": round(value / 10, 2) if other else round(value, 1), "unit_concept_id": unit}
    if concept == CRP:
        below = truth and value == 0.5  # what the laboratory can tell
        number = round(value / 10 if other else value, 2)
        operator = BELOW if below else EQUAL
        unit = MG_DL if other else MG_L
        return {"value_as_number": number, "operator_concept_id": operator, "unit_concept_id": unit}
    if concept == CREATININE:
        return {"value_as_number": round(value, 2), "unit_concept_id": 0, "unit_source_value": "mg/dl"}
    told: dict[str, object] = {"value_as_number": float(round(value))}
    if other:
        told = {"value_source_value": str(round(value))}
    return {"measurement_source_value": "LDH-37", "unit_source_value": "U/l", "unit_concept_id": 0, **told}


def _treatments(rng: np.random.Generator, rows: _Rows, person: int, diagnosed: date, who: Drawn, end: date) -> None:
    def add(day: date) -> None:
        if day <= end:
            rows.add("drug_exposure", person_id=person, drug_concept_id=PEMBROLIZUMAB, drug_exposure_start_date=day)

    # What is known at time zero: treatments that were begun before.
    if who.immunotherapy:
        add(diagnosed - timedelta(days=int(rng.integers(0, 60))))
    elif rng.random() < 0.2:
        add(diagnosed + timedelta(days=int(rng.integers(30, 300))))
    if who.regimen:
        start = diagnosed - timedelta(days=int(rng.integers(0, 30)))
        rows.add("episode", person_id=person, episode_concept_id=REGIMEN, episode_start_date=start)


def _contacts(rng: np.random.Generator, rows: _Rows, person: int, diagnosed: date, end: date, *, died: bool) -> None:
    """The last contact is in one of four tables; the others end before."""
    before = max(diagnosed, end - timedelta(days=int(rng.integers(1, 60))))
    kind = "visit" if died else str(rng.choice(["visit", "period", "measurement", "drug"]))
    seen = before if died else end
    start = diagnosed - timedelta(days=int(rng.integers(0, 400)))
    rows.add(
        "observation_period",
        person_id=person,
        observation_period_start_date=start,
        observation_period_end_date=seen if kind == "period" else before,
    )
    rows.add(
        "visit_occurrence",
        person_id=person,
        visit_concept_id=9202,
        visit_start_date=max(diagnosed, before - timedelta(days=3)),
        visit_end_date=seen if kind == "visit" else before,
    )
    if kind == "measurement":
        rows.add(
            "measurement",
            person_id=person,
            measurement_date=seen,
            measurement_concept_id=3000963,
            value_as_number=12.5,
            unit_concept_id=G_DL,
        )
    if kind == "drug":
        rows.add("drug_exposure", person_id=person, drug_concept_id=1125315, drug_exposure_start_date=seen)


def written(folder: Path, found: Model) -> None:
    """The model as a folder of CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


if __name__ == "__main__":
    written(Path(sys.argv[1]), model())
