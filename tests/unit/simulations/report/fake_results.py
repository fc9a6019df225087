"""A result as a finished run leaves it, without a run: patients with a known linear hazard, drawn in milliseconds.

Only the model is made up (the true coefficients, shrunk and disturbed); every measure is computed by the real code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import (
    Endpoint,
    Kind,
    Marker,
    MissingFlags,
    Modality,
    ModalityEncoding,
    StudySchema,
)
from oncofed.explanation.relevance import fold_to_markers
from oncofed.privacy.accounting import GaussianRelease
from oncofed.protocol.plan import ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.simulations.results import Baselines, EndpointResult, Relevance, RunResult
from oncofed.simulations.study import (
    DataSpec,
    EvaluationSpec,
    Partition,
    SitesSpec,
    Split,
    Study,
)
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, PrivacyRequest
from oncofed.survival.auc_over_time import AucOverTime
from oncofed.survival.bootstrap import bootstrap_interval
from oncofed.survival.calibration import calibration_at
from oncofed.survival.concordance import concordance_index
from oncofed.survival.curves import risk_at, survival_curves
from oncofed.survival.decision_curve import Outcomes, decision_curve
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

HORIZON_MONTHS = 36.0
ROUNDS = 60
NOISE_MULTIPLIER = 10.0
AUC_AT = np.array([6.0, 12.0, 24.0, 36.0])
ENTITIES = ("breast", "colorectal", "lung", "pancreas", "prostate")


def fake_schema(names: Sequence[str] = ()) -> StudySchema:
    """22 markers of every modality. names: replaces the first of them."""
    continuous, binary = Kind.CONTINUOUS, Kind.BINARY
    markers = [
        Marker("age_years", Modality.CLINICAL, continuous, "years", (18.0, 110.0), 65.0, 12.0),
        Marker("ecog_performance_status", Modality.CLINICAL, Kind.ORDINAL, "level", (0.0, 4.0), 1.0, 1.0),
        Marker(
            "tumour_entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=ENTITIES, reference_category="colorectal"
        ),
        Marker("metastasis_liver", Modality.CLINICAL, binary),
        Marker("albumin_g_per_l", Modality.LABORATORY, continuous, "g/L", (10.0, 60.0), 42.0, 5.0),
        Marker("log10_c_reactive_protein", Modality.LABORATORY, continuous, "log10(mg/L)", (-1.0, 3.0), 0.7, 0.6),
        Marker("haemoglobin_g_per_dl", Modality.LABORATORY, continuous, "g/dL", (4.0, 20.0), 13.0, 2.0),
        Marker("log10_lactate_dehydrogenase", Modality.LABORATORY, continuous, "log10(U/L)", (1.0, 4.0), 2.3, 0.2),
        Marker("neutrophil_lymphocyte_ratio", Modality.LABORATORY, continuous, "", (0.0, 90.0), 3.0, 2.0),
        Marker("sarcopenia_index", Modality.BODY_COMPOSITION, continuous, "cm2/m2", (10.0, 90.0), 48.0, 9.0),
        Marker("visceral_fat_volume", Modality.BODY_COMPOSITION, continuous, "L", (0.0, 12.0), 3.0, 1.5),
        Marker("TP53_mutation", Modality.DNA_MUTATION, binary),
        Marker("KRAS_mutation", Modality.DNA_MUTATION, binary),
        Marker("STK11_mutation", Modality.DNA_MUTATION, binary),
        Marker("CDKN2A_copy_number", Modality.DNA_COPY_NUMBER, continuous, "log2 ratio", (-3.0, 5.0), 0.0, 0.5),
        Marker("MYC_copy_number", Modality.DNA_COPY_NUMBER, continuous, "log2 ratio", (-3.0, 5.0), 0.0, 0.5),
        Marker("MKI67_expression", Modality.RNA_EXPRESSION, continuous, "z-score"),
        Marker("CD8A_expression", Modality.RNA_EXPRESSION, continuous, "z-score"),
        Marker("VEGFA_expression", Modality.RNA_EXPRESSION, continuous, "z-score"),
        Marker("HER2_protein", Modality.PROTEIN_EXPRESSION, continuous, "z-score"),
        Marker("systemic_therapy", Modality.TREATMENT, binary),
        Marker("radiotherapy", Modality.TREATMENT, binary),
    ]
    for place, name in enumerate(names):
        first = markers[place]
        markers[place] = Marker(
            name, first.modality, first.kind, first.unit, first.plausible_range, first.centre, first.scale
        )
    return StudySchema(
        name="fake",
        patient_id="patient_id",
        markers=tuple(markers),
        endpoints=(
            Endpoint("overall_survival", "months", "death", entry_column="entry"),
            Endpoint("time_to_next_treatment", "ttnt", "next_treatment", entry_column="entry"),
        ),
        grid=TimeGrid((0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0)),
        baseline_hazard=(0.012, 0.04),
        modalities={
            Modality.RNA_EXPRESSION: ModalityEncoding(0.5, 0.2, MissingFlags.MODALITY),
            Modality.DNA_COPY_NUMBER: ModalityEncoding(0.5, 0.05, MissingFlags.MODALITY),
        },
        tumour_entity="tumour_entity",
    )


def fake_cohort(schema: StudySchema, *, patients: int, prefix: str, rng: np.random.Generator) -> Cohort:
    """Patients whose two outcomes follow `coefficients`; some enter late, some markers are missing."""
    values = np.column_stack([_drawn(marker, patients, rng) for marker in schema.markers])
    values[rng.random(values.shape) < rng.uniform(0.03, 0.2)] = np.nan
    rna = np.array([marker.modality is Modality.RNA_EXPRESSION for marker in schema.markers])
    values[np.outer(rng.random(patients) < 0.4, rna)] = np.nan
    values[:, 2] = rng.integers(0, len(ENTITIES), patients)
    blank = np.zeros((patients, 2))
    ids = tuple(f"{prefix}{number:06d}" for number in range(patients))
    cohort = Cohort(schema, ids, values, blank, blank + 1, blank > 0)
    f = encode(cohort) @ coefficients(schema)
    entry = np.where(rng.random(patients) < 0.3, rng.uniform(0, 4, patients), 0.0)
    death = entry + rng.exponential(1 / (schema.baseline_hazard[0] * np.exp(f)))
    treated = np.minimum(entry + rng.exponential(1 / (schema.baseline_hazard[1] * np.exp(0.5 * f))), death)
    left = entry + rng.uniform(2, 110, patients)
    return Cohort(
        schema=schema,
        patient_ids=ids,
        values=values,
        entry=np.column_stack([entry, entry]),
        exit=np.column_stack([np.minimum(death, left), np.minimum(treated, left)]) + 1e-3,
        observed=np.column_stack([death <= left, treated <= left]),
    )


def _drawn(marker: Marker, patients: int, rng: np.random.Generator) -> FloatArray:
    if marker.kind is Kind.CATEGORICAL:
        return rng.integers(0, len(marker.categories), patients).astype(np.float64)
    if marker.kind is Kind.BINARY:
        return (rng.random(patients) < 0.35).astype(np.float64)
    if marker.kind is Kind.ORDINAL:
        return rng.integers(0, 4, patients).astype(np.float64)
    return rng.normal(marker.centre, marker.scale, patients)


def coefficients(schema: StudySchema) -> FloatArray:
    """(columns,), the true effect of each input on the first endpoint: fixed, of both signs."""
    found = columns(schema)
    return np.random.default_rng(11).normal(0, 0.28, len(found))


def fake_result(
    *,
    sites: int = 12,
    patients: int = 2400,
    seed: int = 1,
    names: Sequence[str] = (),
    site_names: Sequence[str] = (),
    mode: PrivacyMode = PrivacyMode.LOCAL,
    title: str = "Twelve hospitals, simulated",
) -> RunResult:
    """names: of the first markers. site_names: of the first hospitals."""
    rng = np.random.default_rng(seed)
    schema = fake_schema(names)
    weights = rng.pareto(3.0, sites) + 0.4
    sizes = np.maximum(5, (patients * weights / weights.sum()).astype(int))
    roster = [*site_names, *(f"hospital_{number:02d}" for number in range(1, sites + 1))][:sites]
    hospitals = {
        site: fake_cohort(schema, patients=int(size), prefix=f"RECORD-{number:03d}-", rng=rng)
        for number, (site, size) in enumerate(zip(roster, sizes, strict=True))
    }
    test = fake_cohort(schema, patients=max(30, patients // 4), prefix="RECORD-TEST-", rng=rng)
    learned = 0.85 * coefficients(schema) + rng.normal(0, 0.05, len(columns(schema)))
    endpoints = {
        endpoint.name: _endpoint(endpoint.name, index, (1.0, 0.5)[index] * (encode(test) @ learned), test, rng)
        for index, endpoint in enumerate(schema.endpoints)
    }
    plan = _plan(schema, tuple(roster), mode)
    explained = roster[int(np.argmax(sizes))]
    return RunResult(
        study=_study(title, mode, sites),
        plan=plan,
        hospitals=hospitals,
        test=test,
        endpoints=endpoints,
        baselines=Baselines(0.731, 0.655, tuple(float(value) for value in rng.uniform(0.58, 0.70, sites))),
        relevance=_relevance(explained, hospitals[explained], learned),
        rounds=_rounds(sites, endpoints["overall_survival"].c_index, rng),
        releases={}
        if mode is PrivacyMode.NONE
        else dict.fromkeys(roster, (GaussianRelease(NOISE_MULTIPLIER),) * ROUNDS),
        left_out=17,
        seconds_total=93.4,
    )


def _endpoint(name: str, index: int, ratio: FloatArray, test: Cohort, rng: np.random.Generator) -> EndpointResult:
    grid = test.schema.grid
    log_baseline = np.log(test.schema.baseline_hazard[index] * grid.widths)
    time, observed, entry = test.exit[:, index], test.observed[:, index], test.entry[:, index]
    times = np.linspace(0, float(time.max()), 62)[1:-1]
    risk = risk_at(HORIZON_MONTHS, ratio, log_baseline_hazard=log_baseline, grid=grid)
    codes = test.marker_values("tumour_entity")

    def c_index(rows: NDArray[np.int64]) -> float:
        return concordance_index(risk=ratio[rows], time=time[rows], observed=observed[rows], entry=entry[rows])

    return EndpointResult(
        name=name,
        log_hazard_ratio=ratio,
        risk_at_horizon=risk,
        survival_times=times,
        survival=survival_curves(ratio, log_baseline_hazard=log_baseline, grid=grid, times=times),
        c_index=concordance_index(risk=ratio, time=time, observed=observed, entry=entry),
        c_index_ci95=bootstrap_interval(c_index, len(ratio), rng, resamples=30),
        c_index_within_type=concordance_index(risk=ratio, time=time, observed=observed, entry=entry, group=codes),
        uno_c_index=0.712,
        integrated_brier=0.171,
        calibration=calibration_at(HORIZON_MONTHS, predicted_risk=risk, time=time, observed=observed, entry=entry),
        notes=("Uno's C and the Brier score are computed without regard to delayed entry.",),
        auc=AucOverTime(AUC_AT, 0.74 - AUC_AT / 600, 0.7 - AUC_AT / 600, 0.78 - AUC_AT / 600, AUC_AT * 4),
        decisions=decision_curve(risk, HORIZON_MONTHS, outcomes=Outcomes(time, observed, entry)),
    )


def _relevance(site: str, cohort: Cohort, learned: FloatArray) -> Relevance:
    names, by_marker = fold_to_markers(encode(cohort) * learned, columns(cohort.schema))
    return Relevance(site, pd.DataFrame(by_marker, columns=list(names)), by_marker.sum(axis=1))


def _rounds(sites: int, c_index: float, rng: np.random.Generator) -> pd.DataFrame:
    number = np.arange(1, ROUNDS + 1)
    return pd.DataFrame(
        {
            "round": number,
            "attempt": 0,
            "seconds": 0.31,
            "update_l2_norm": 0.4 * np.exp(-number / 25) + rng.uniform(0, 0.02, ROUNDS),
            "answered": sites,
            "rejected": "",
            "test_c_index": c_index - (c_index - 0.5) * np.exp(-number / 9) + rng.normal(0, 0.003, ROUNDS),
        }
    )


def _plan(schema: StudySchema, roster: tuple[str, ...], mode: PrivacyMode) -> StudyPlan:
    private = mode is PrivacyMode.LOCAL
    return StudyPlan(
        study="fake",
        schema_hash=schema.hash,
        model=ModelSpec(
            columns=len(columns(schema)),
            endpoints=tuple(endpoint.name for endpoint in schema.endpoints),
            grid=schema.grid,
            baseline_hazard=schema.baseline_hazard,
        ),
        training=TrainingSpec(rounds=ROUNDS, weight_decay=3.0),
        privacy=PrivacySpec(mode, 3.6, 1e-5, NOISE_MULTIPLIER, 2.0)
        if private
        else PrivacySpec(mode, None, 0.0, 0.0, None),
        roster=roster,
        quorum=len(roster),
    )


def _study(title: str, mode: PrivacyMode, sites: int) -> Study:
    return Study(
        name="fake",
        title=title,
        explain_site=None,
        data=DataSpec(Path("/home/somebody/tables/patients.csv"), Path("/home/somebody/tables/schema.toml")),
        sites=SitesSpec(Partition.HASH, count=sites),
        evaluation=EvaluationSpec(HORIZON_MONTHS, Split.RANDOM),
        settings=PlanSettings(
            hidden_units=(8,),
            linear_branch=True,
            baseline_weight=1.0,
            training=TrainingSpec(rounds=ROUNDS, weight_decay=3.0),
            privacy=PrivacyRequest(mode, 3.6 if mode is PrivacyMode.LOCAL else None, 1e-5, 2.0, reserve_rounds=2),
            held_out=HeldOutRequest(),
        ),
        seed=1,
    )
