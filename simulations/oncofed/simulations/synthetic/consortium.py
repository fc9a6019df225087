"""How is a synthetic consortium made: hospitals, patients, outcomes, and the truth behind them?

The shape is that of Keyl et al. (Nature Cancer 2025): 15,726 patients, 38 tumour entities, 350 markers of all
modalities, here over any number of hospitals. Invented from public constants alone; nothing is copied from or fitted to
patients. The same arguments give the same table, byte for byte (with the same versions of numpy, pandas and pyarrow).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.schema import Kind, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.synthetic.hazard import LogHazardRatio, death, next_treatment
from oncofed.simulations.synthetic.outcomes import FollowUp, draw_follow_up, first_event_log_hazard
from oncofed.simulations.synthetic.population import Hospitals, draw_hospitals, draw_values
from oncofed.simulations.synthetic.schema import OVERALL_SURVIVAL, TIME_TO_NEXT_TREATMENT, consortium_schema
from oncofed.survival.concordance import concordance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PUBLISHED_PATIENTS = 15_726

NEXT_TREATMENT_OR_DEATH = f"{TIME_TO_NEXT_TREATMENT}_or_death"


@dataclass(frozen=True, eq=False)
class SyntheticConsortium:
    """One table of all hospitals' patients, and the truth that drew their outcomes.

    seed, hospitals   the arguments it was made with.
    table             one row a patient, sorted by hospital: patient_id, hospital, the schema's markers (missing: null;
                      categories by name), entry_months, survival_months, death_observed, ttnt_months,
                      next_treatment_observed, ttnt_ended_with_death.
    values            (patients, markers), the same markers as numbers, as in `oncofed.cohort.cohort.Cohort`.
    truth             f by endpoint: overall survival, and the next treatment itself (deaths aside).
    true_log_hazard   patient_id, then f of overall_survival, of time_to_next_treatment (itself) and of
                      time_to_next_treatment_or_death (the composite that the schema's endpoint means).
    c_index           of the true log hazard on this very table (Harrell, respecting delayed entry), by endpoint; the
                      second is the composite. No model can be expected to do better on new patients.
    """

    seed: int
    hospitals: int
    schema: StudySchema
    table: pd.DataFrame
    values: FloatArray
    truth: dict[str, LogHazardRatio]
    true_log_hazard: pd.DataFrame
    c_index: dict[str, float]

    @property
    def missing_share(self) -> float:
        """Share of the markers' cells that are not measured."""
        return float(np.isnan(self.values).mean())


def generate(*, patients: int = PUBLISHED_PATIENTS, hospitals: int = 12, seed: int = 1) -> SyntheticConsortium:
    """A consortium of `hospitals` hospitals that together treat `patients` patients.

    Raises InvalidInput unless patients >= hospitals >= 1 and seed >= 0.
    """
    _refuse_impossible(patients=patients, hospitals=hospitals, seed=seed)
    schema = consortium_schema()
    of_death, of_next = death(), next_treatment(schema)
    rng = np.random.default_rng(seed)
    drawn_hospitals = draw_hospitals(patients=patients, hospitals=hospitals, rng=rng)
    hospital_of, values, follow_up = _draw_patients(schema, drawn_hospitals, of_death, of_next, rng)

    patient_ids = [f"P{number:0{max(5, len(str(patients)))}d}" for number in range(1, patients + 1)]
    f_death, f_next = of_death(schema, values), of_next(schema, values)
    f_first = first_event_log_hazard(f_death, f_next)
    return SyntheticConsortium(
        seed=seed,
        hospitals=hospitals,
        schema=schema,
        table=_table(schema, patient_ids, [drawn_hospitals.names[row] for row in hospital_of], values, follow_up),
        values=values,
        truth={OVERALL_SURVIVAL: of_death, TIME_TO_NEXT_TREATMENT: of_next},
        true_log_hazard=pd.DataFrame(
            {
                "patient_id": patient_ids,
                OVERALL_SURVIVAL: f_death,
                TIME_TO_NEXT_TREATMENT: f_next,
                NEXT_TREATMENT_OR_DEATH: f_first,
            }
        ),
        c_index={
            OVERALL_SURVIVAL: concordance(
                risk=f_death,
                time=follow_up.survival_months,
                observed=follow_up.death_observed,
                entry=follow_up.entry_months,
            ).index,
            NEXT_TREATMENT_OR_DEATH: concordance(
                risk=f_first,
                time=follow_up.ttnt_months,
                observed=follow_up.next_treatment_observed | follow_up.ttnt_ended_with_death,
                entry=follow_up.entry_months,
            ).index,
        },
    )


def _refuse_impossible(*, patients: int, hospitals: int, seed: int) -> None:
    faults = []
    if hospitals < 1:
        faults.append(Fault("hospitals", "is smaller than 1", "Ask for at least one hospital."))
    if patients < max(hospitals, 1):
        faults.append(Fault("patients", "are fewer than the hospitals", "Give every hospital at least one patient."))
    if seed < 0:
        faults.append(Fault("seed", "is negative", "Choose a whole number from 0."))
    if faults:
        raise InvalidInput(faults)


def _draw_patients(
    schema: StudySchema,
    hospitals: Hospitals,
    of_death: LogHazardRatio,
    of_next: LogHazardRatio,
    rng: np.random.Generator,
) -> tuple[IntArray, FloatArray, FollowUp]:
    """Hospital, values and follow-up of every patient, sorted by hospital.

    Left truncation is drawn as it happens: patients come until each hospital's table is full, and those whose
    follow-up ended before they came under observation leave no row.
    """
    wanted = hospitals.patients
    kept: list[tuple[IntArray, FloatArray, FollowUp]] = []
    while (wanted > 0).any():
        # Without delayed entry everybody is kept; with it some five in six are, so that a second pass is rare.
        arriving = np.where(hospitals.delayed_entry_share > 0, wanted + wanted // 3 + 5, wanted)
        hospital_of = np.repeat(np.arange(len(wanted)), np.where(wanted > 0, arriving, 0))
        values = draw_values(hospitals, hospital_of, rng)
        follow_up = draw_follow_up(
            death_log_hazard=of_death(schema, values),
            next_treatment_log_hazard=of_next(schema, values),
            delayed_entry_share=hospitals.delayed_entry_share[hospital_of],
            rng=rng,
        )
        rows = _first_of_each(hospital_of, follow_up.in_table, wanted)
        kept.append((hospital_of[rows], values[rows], follow_up.subset(rows)))
        wanted = wanted - np.bincount(hospital_of[rows], minlength=len(wanted))
    hospital_of = np.concatenate([part[0] for part in kept])
    order = np.argsort(hospital_of, kind="stable")
    values = np.concatenate([part[1] for part in kept])[order]
    return hospital_of[order], values, FollowUp.concatenate([part[2] for part in kept]).subset(order)


def _first_of_each(hospital_of: IntArray, in_table: NDArray[np.bool_], wanted: IntArray) -> IntArray:
    """Rows of the first `wanted[h]` patients of each hospital h that are in its table. hospital_of is sorted."""
    before: IntArray = np.cumsum(in_table) - in_table
    first_row = np.searchsorted(hospital_of, np.arange(len(wanted)))
    before_hospital = np.append(before, in_table.sum())[first_row]
    number = before - before_hospital[hospital_of]
    return np.flatnonzero(in_table & (number < wanted[hospital_of]))


def _table(
    schema: StudySchema, patient_ids: list[str], hospital_names: list[str], values: FloatArray, follow_up: FollowUp
) -> pd.DataFrame:
    columns: dict[str, object] = {"patient_id": patient_ids, "hospital": hospital_names}
    for column, marker in enumerate(schema.markers):
        cells = values[:, column]
        if marker.kind is Kind.CATEGORICAL:
            codes = np.where(np.isnan(cells), -1, cells).astype(np.intp)
            columns[marker.name] = np.array([*marker.categories, None], dtype=object)[codes]
        elif marker.kind is Kind.CONTINUOUS:
            columns[marker.name] = cells
        else:
            columns[marker.name] = pd.Series(cells).astype("Int8")
    for outcome in ("entry_months", "survival_months", "ttnt_months"):
        columns[outcome] = getattr(follow_up, outcome)
    for outcome in ("death_observed", "next_treatment_observed", "ttnt_ended_with_death"):
        columns[outcome] = getattr(follow_up, outcome).astype(np.int8)
    return pd.DataFrame(columns)
