"""How is a consortium made of which the true effect of one treatment option over another is known?

Patients get a first or a second option, and who gets the second is fitter: younger, of better performance status, of
lower stage. So the second looks better than it is (confounding by indication). It does lower the hazard of dying of
cancer, more in patients with a biomarker and less in those with metastases of the liver (two modifiers). All that
decides is recorded, unless a twist says otherwise:

    no_effect            both options are the same; all else stays as it is.
    unrecorded_frailty   frail patients seldom get the second option and die sooner, and nothing in the table says so.
    no_overlap           patients with the biomarker get the second option, but for one in some hundreds.

Patients also die of other causes (competing), which no option changes but frailty does: the negative outcome. They are
lost to follow-up the sooner, the older and less well they are.

With z = (value - centre) / scale of the schema, hazards are Weibull with one shape, and so the survival of each patient
under each option has a closed form. Invented from public constants alone; same arguments, same table, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.synthetic.outcomes import WEIBULL_SHAPE
from oncofed.survival.grid import TimeGrid
from oncofed.treatment.target_trial import TargetTrial

FloatArray = NDArray[np.float64]

HORIZON_MONTHS = 24.0
_CANCER_MONTHS, _OTHER_MONTHS, _LOST_MONTHS = 55.0, 170.0, 160.0
"""Weibull scales of the reference patient's hazards; being lost is exponential."""
_DATA_CUT_MONTHS = (18.0, 120.0)


@dataclass(frozen=True)
class _Role:
    """A marker, and how much a z of 1 adds to the log odds of the second option and to the log hazards."""

    marker: Marker
    second: float = 0.0
    cancer: float = 0.0
    other: float = 0.0
    lost: float = 0.0


def _clinical(name: str, kind: Kind, unit: str, plausible: tuple[float, float], centre: float, scale: float) -> Marker:
    return Marker(name, Modality.CLINICAL, kind, unit, plausible, centre, scale)


_ROLES = (
    _Role(_clinical("age_years", Kind.CONTINUOUS, "years", (18.0, 100.0), 63.0, 12.0), -0.3, 0.15, 0.5, 0.15),
    _Role(Marker("sex_male", Modality.CLINICAL, Kind.BINARY, centre=0.5, scale=0.5), 0.0, 0.05, 0.1),
    _Role(_clinical("ecog_performance_status", Kind.ORDINAL, "", (0.0, 4.0), 1.0, 1.0), -0.7, 0.4, 0.25, 0.3),
    _Role(_clinical("uicc_stage", Kind.ORDINAL, "", (1.0, 4.0), 2.5, 1.0), -0.35, 0.5),
    _Role(_clinical("comorbidity_index", Kind.ORDINAL, "", (0.0, 10.0), 1.0, 1.0), -0.3, 0.1, 0.4),
    _Role(Marker("albumin", Modality.LABORATORY, Kind.CONTINUOUS, "g/l", (10.0, 70.0), 40.0, 5.0), 0.25, -0.2),
    _Role(Marker("log10_crp", Modality.LABORATORY, Kind.CONTINUOUS, "log10 mg/l", (-2.0, 4.0), 0.8, 0.5), -0.15, 0.25),
    _Role(Marker("biomarker_positive", Modality.DNA_MUTATION, Kind.BINARY, centre=0.4, scale=0.5), 0.1, 0.05),
    _Role(Marker("liver_metastases", Modality.CLINICAL, Kind.BINARY, centre=0.3, scale=0.5), -0.1, 0.1),
)
_BIOMARKER, _LIVER = 7, 8
_INTERCEPT = 0.1
_EFFECT, _WITH_BIOMARKER, _WITH_LIVER = -0.35, -0.6, 0.4
"""Of the second option on the log hazard of dying of cancer, and what the modifiers add to it."""
_FRAILTY_SECOND, _FRAILTY_CANCER, _FRAILTY_OTHER = -1.0, 0.5, 0.9
_ALWAYS_SECOND = 6.0


class Twist(StrEnum):
    """What may be wrong with it."""

    NO_EFFECT = "no_effect"
    UNRECORDED_FRAILTY = "unrecorded_frailty"
    NO_OVERLAP = "no_overlap"


TRIAL = TargetTrial(
    treatment="second_option",
    options=("first", "second"),
    outcomes=("death_of_cancer", "death_of_other_causes"),
    horizon=HORIZON_MONTHS,
    adjust_for=tuple(role.marker.name for role in _ROLES),
    required=("age_years", "ecog_performance_status", "uicc_stage"),
    modifiers=("biomarker_positive", "liver_metastases"),
    negative_outcome="death_of_other_causes",
    time_zero="first day of systemic treatment",
)
"""The question to which the truth belongs."""


def treated_schema() -> StudySchema:
    """Public constants only."""
    cancer, other = TRIAL.outcomes
    return StudySchema(
        name="treated_consortium",
        patient_id="patient_id",
        site_column="hospital",
        markers=(*(role.marker for role in _ROLES), Marker(TRIAL.treatment, Modality.TREATMENT, Kind.BINARY)),
        endpoints=(
            Endpoint(cancer, "followed_months", f"{cancer}_observed"),
            Endpoint(other, "followed_months", f"{other}_observed", competes_with=(cancer,)),
        ),
        grid=TimeGrid((0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0)),
        baseline_hazard=(0.015, 0.005),
        largest_encoded_value=6.0,
    )


@dataclass(frozen=True, eq=False)
class TreatedPatients:
    """Patients with all that is true of them. One row each.

    hospital  number. values, z: (patients, markers), as recorded and standardised. second: which option was given.
    log_odds  of the second option. cancer: (2, patients), log hazard of dying of cancer under each option; other: of
              other causes. frailty: 0 unless there is some.
    months, died_of_cancer, died_otherwise  what was seen.
    """

    hospital: NDArray[np.int64]
    values: FloatArray
    z: FloatArray
    frailty: FloatArray
    log_odds: FloatArray
    cancer: FloatArray
    other: FloatArray
    second: NDArray[np.bool_]
    months: FloatArray
    died_of_cancer: NDArray[np.bool_]
    died_otherwise: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.z)

    @property
    def modifiers(self) -> NDArray[np.bool_]:
        """(patients, 2), as `TRIAL.modifiers` has them."""
        return np.asarray(self.values[:, [_BIOMARKER, _LIVER]] > 0)

    def survival(self, months: float | FloatArray) -> FloatArray:
        """(2, patients): true, under each option; each one's own time where there are as many."""
        hazards = (months / _CANCER_MONTHS) ** WEIBULL_SHAPE * np.exp(self.cancer)
        found: FloatArray = np.exp(-hazards - (months / _OTHER_MONTHS) ** WEIBULL_SHAPE * np.exp(self.other))
        return found

    def mean_time(self, months: float) -> FloatArray:
        """(2, patients): true mean time lived up to then, in months. By Gauss and Legendre, to 1e-6."""
        nodes, weights = np.polynomial.legendre.leggauss(12)
        return sum(
            (
                months / 2 * weight * self.survival(months * (1 + node) / 2)
                for node, weight in zip(nodes, weights, strict=True)
            ),
            np.zeros((2, len(self))),
        )


@dataclass(frozen=True, eq=False)
class TreatedConsortium:
    """One table of all hospitals' patients, and the truth.

    table  one row a patient: patient_id, hospital, the schema's markers, follow-up and what ended it.
    """

    seed: int
    hospitals: int
    twists: frozenset[Twist]
    schema: StudySchema
    table: pd.DataFrame
    patients: TreatedPatients


def generate_treated(
    *, patients: int = 8_000, hospitals: int = 8, seed: int = 1, twists: Collection[Twist] = ()
) -> TreatedConsortium:
    """Raises InvalidInput unless patients >= hospitals >= 1 and seed >= 0."""
    faults = []
    if hospitals < 1 or patients < hospitals:
        faults.append(Fault("patients", "are fewer than the hospitals", "Give every hospital at least one patient."))
    if seed < 0:
        faults.append(Fault("seed", "is negative", "Choose a whole number from 0."))
    if faults:
        raise InvalidInput(faults)
    rng = np.random.default_rng([seed, 1])
    drawn = draw_treated(patients=patients, hospitals=hospitals, rng=rng, twists=twists)
    return TreatedConsortium(seed, hospitals, frozenset(twists), treated_schema(), _table(drawn, hospitals), drawn)


def draw_treated(
    *, patients: int, hospitals: int, rng: np.random.Generator, twists: Collection[Twist] = ()
) -> TreatedPatients:
    """All under observation from time zero. Sorted by hospital."""
    hospital = np.sort(rng.integers(hospitals, size=patients))
    fitness = rng.standard_normal((patients, 1))
    values = _recorded(fitness[:, 0], rng)
    z = (values - [role.marker.centre for role in _ROLES]) / [role.marker.scale for role in _ROLES]
    frail = Twist.UNRECORDED_FRAILTY in twists
    frailty = rng.standard_normal(patients) * frail
    log_odds = _INTERCEPT + 0.5 * ((hospital * 0.618) % 1.0 - 0.5) + _sum(z, "second") + _FRAILTY_SECOND * frailty
    if Twist.NO_OVERLAP in twists:
        log_odds = log_odds + _ALWAYS_SECOND * values[:, _BIOMARKER]
    second = rng.random(patients) < 1 / (1 + np.exp(-log_odds))
    effect = _EFFECT + _WITH_BIOMARKER * values[:, _BIOMARKER] + _WITH_LIVER * values[:, _LIVER]
    effect = effect * (Twist.NO_EFFECT not in twists)
    untreated = _sum(z, "cancer") + _FRAILTY_CANCER * frailty
    cancer, other = np.stack([untreated, untreated + effect]), _sum(z, "other") + _FRAILTY_OTHER * frailty
    until = {
        "cancer": _weibull(_CANCER_MONTHS, np.where(second, cancer[1], cancer[0]), rng),
        "other": _weibull(_OTHER_MONTHS, other, rng),
        "lost": np.minimum(
            rng.uniform(*_DATA_CUT_MONTHS, patients),
            _LOST_MONTHS * rng.standard_exponential(patients) * np.exp(-_sum(z, "lost")),
        ),
    }
    first = np.minimum.reduce(list(until.values()))
    return TreatedPatients(
        hospital=hospital,
        values=values,
        z=z,
        frailty=frailty,
        log_odds=log_odds,
        cancer=cancer,
        other=other,
        second=second,
        months=np.maximum(np.round(first, 3), 0.001),
        died_of_cancer=until["cancer"] == first,
        died_otherwise=until["other"] == first,
    )


def _recorded(fitness: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(patients, markers): of fitter patients, performance status, stage, comorbidity and laboratory are better."""
    patients = len(fitness)

    def beside(share: float) -> FloatArray:
        return np.asarray(share * fitness + np.sqrt(1 - share**2) * rng.standard_normal(patients))

    return np.stack(
        [
            np.clip(np.round(63 - 12 * beside(0.3)), 18, 100),
            rng.random(patients) < 0.5,
            np.searchsorted((-0.4, 0.6, 1.4, 2.2), -beside(0.8)),
            1 + np.searchsorted((-0.9, 0.0, 0.8), -beside(0.4)),
            np.searchsorted((0.0, 0.7, 1.3, 1.9), -beside(0.4)),
            np.clip(np.round(40 + 5 * beside(0.4), 1), 10, 70),
            np.clip(np.round(0.8 - 0.5 * beside(0.4), 3), -2, 4),
            rng.random(patients) < 0.4,
            rng.random(patients) < 0.3,
        ],
        axis=1,
    ).astype(np.float64)


def _sum(z: FloatArray, effect: str) -> FloatArray:
    found: FloatArray = z @ np.array([getattr(role, effect) for role in _ROLES])
    return found


def _weibull(scale_months: float, log_hazard: FloatArray, rng: np.random.Generator) -> FloatArray:
    drawn = rng.standard_exponential(len(log_hazard))
    months: FloatArray = scale_months * (drawn * np.exp(-log_hazard)) ** (1 / WEIBULL_SHAPE)
    return months


def _table(drawn: TreatedPatients, hospitals: int) -> pd.DataFrame:
    width = max(2, len(str(hospitals)))
    columns: dict[str, object] = {
        "patient_id": [f"P{number:06d}" for number in range(1, len(drawn) + 1)],
        "hospital": [f"hospital_{number + 1:0{width}d}" for number in drawn.hospital],
    }
    for role, values in zip(_ROLES, drawn.values.T, strict=True):
        columns[role.marker.name] = values if role.marker.kind is Kind.CONTINUOUS else values.astype(np.int64)
    cancer, other = TRIAL.outcomes
    columns |= {
        TRIAL.treatment: drawn.second.astype(np.int64),
        "followed_months": drawn.months,
        f"{cancer}_observed": drawn.died_of_cancer.astype(np.int64),
        f"{other}_observed": drawn.died_otherwise.astype(np.int64),
    }
    return pd.DataFrame(columns)
