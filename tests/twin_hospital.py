"""A hospital with all kinds of data and a model whose truth is known in closed form, for the page of a patient's kinds
of data.

Continuous values are normal with known correlations, the model is linear and stands as released, so what each kind
adds, and what measuring something would change given what is known, are sums and integrals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm
from tests.pages_hospital import PLAN_HASH, identifiers

from oncofed.client.fit.adoption import NOBODY_DECIDED
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.protocol.plan import ModelSpec
from oncofed.study.assay_settings import Assay
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import network_with, parameter_count

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 12.0, 24.0, 36.0, 60.0))
RATE = 0.02
HORIZON = 36.0
NOISE = 0.03


def _z(name: str, modality: Modality) -> Marker:
    return Marker(name, modality, Kind.CONTINUOUS, "z", (-9.0, 9.0))


SCHEMA = StudySchema(
    name="twin",
    patient_id="record_number",
    markers=(
        Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 10.0),
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "colon"), reference_category="lung"),
        _z("crp", Modality.LABORATORY),
        _z("albumin", Modality.LABORATORY),
        _z("muscle", Modality.BODY_COMPOSITION),
        Marker("kras", Modality.DNA_MUTATION, Kind.BINARY),
        _z("myc", Modality.DNA_COPY_NUMBER),
        _z("gene_a", Modality.RNA_EXPRESSION),
        _z("gene_b", Modality.RNA_EXPRESSION),
        _z("protein_a", Modality.PROTEIN_EXPRESSION),
        _z("protein_b", Modality.PROTEIN_EXPRESSION),
        Marker("chemotherapy", Modality.TREATMENT, Kind.BINARY),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=GRID,
    baseline_hazard=(RATE,),
    modalities={each: ModalityEncoding(missing_flags=MissingFlags.NONE) for each in Modality},
    tumour_entity="entity",
)
NAMES = [marker.name for marker in SCHEMA.markers]
WEIGHTS = {
    "age_years": 0.3,
    "entity": 0.2,
    "crp": 0.5,
    "albumin": -0.3,
    "muscle": -0.2,
    "kras": 0.6,
    "myc": 0.02,
    "gene_a": 0.4,
    "gene_b": -0.3,
    "protein_a": 0.25,
    "protein_b": 0.5,
    "chemotherapy": -0.4,
}
"""Log hazard ratios: of ten years of age, of one standard deviation, or of having it."""
CORRELATED = {("crp", "albumin"): -0.7, ("gene_a", "protein_a"): 0.6}
KRAS = 0.3
"""Share of patients with the mutation."""
ASSAYS = (
    Assay("rna_panel", ("gene_a", "gene_b"), 700.0, 14.0),
    Assay("kras_test", ("kras",), 120.0, 5.0),
)
PATIENTS = 1600
ROW = 7
"""Of whom CRP, KRAS, the copy number, all RNA and one of two proteins are not measured."""
MISSING = ("crp", "kras", "myc", "gene_a", "gene_b", "protein_b")


def hospital(*, assays: tuple[Assay, ...] = ASSAYS, weight_noise: float | None = NOISE) -> HospitalPrognosis:
    rng = np.random.default_rng(15)
    covariance = np.eye(len(NAMES))
    for (one, other), value in CORRELATED.items():
        covariance[NAMES.index(one), NAMES.index(other)] = covariance[NAMES.index(other), NAMES.index(one)] = value
    values = rng.multivariate_normal(np.zeros(len(NAMES)), covariance, size=PATIENTS)
    values[:, NAMES.index("age_years")] = 60 + 10 * values[:, NAMES.index("age_years")].clip(-4, 4)
    for name, share in (("entity", 0.25), ("kras", KRAS), ("chemotherapy", 0.5)):
        values[:, NAMES.index(name)] = rng.random(PATIENTS) < share
    values[ROW, NAMES.index("entity")] = 0
    values[30:, NAMES.index("protein_b")] = np.nan
    values[ROW, [NAMES.index(name) for name in MISSING]] = np.nan
    shape = (PATIENTS, 1)
    empty = Cohort(SCHEMA, identifiers(PATIENTS), values, np.zeros(shape), np.ones(shape), np.zeros(shape, dtype=bool))
    spec = ModelSpec(len(columns(SCHEMA)), ("overall_survival",), GRID, (RATE,), hidden_units=())
    vector = np.zeros(parameter_count(spec))
    linear = [WEIGHTS[column.source] for column in columns(SCHEMA)]
    vector[GRID.intervals :] = linear
    ratio = encode(empty) @ np.array(linear)
    death = rng.exponential(size=PATIENTS) / (RATE * np.exp(ratio))
    end = rng.uniform(6, 60, PATIENTS)
    exits = np.maximum(np.minimum(death, end), 0.01)[:, None]
    cohort = Cohort(SCHEMA, empty.patient_ids, values, np.zeros(shape), exits, (death <= end)[:, None])
    return HospitalPrognosis(
        "Bonn",
        "twin",
        PLAN_HASH,
        network_with(spec, vector),
        cohort,
        weight_noise=weight_noise,
        decided=NOBODY_DECIDED,
        assays=assays,
    )


@dataclass(frozen=True)
class Truth:
    """Of ROW. parts: what each marker adds to the log hazard ratio."""

    parts: dict[str, float]

    @classmethod
    def of(cls, cohort: Cohort) -> Truth:
        own = dict(zip(NAMES, cohort.values[ROW], strict=True))
        own["age_years"] = (own["age_years"] - 60) / 10
        return cls({name: 0.0 if np.isnan(value) else WEIGHTS[name] * value for name, value in own.items()})

    def log_hazard_ratio(self) -> float:
        return sum(self.parts.values())

    def survival(self, more: float = 0.0) -> float:
        return float(np.exp(-RATE * HORIZON * np.exp(self.log_hazard_ratio() + more)))

    def moves(self, mean: float, deviation: float) -> float:
        """Expected absolute change of survival, where measuring adds a normal number to the log hazard ratio."""
        now = self.survival()
        inside = [0.0] if abs(mean) < 8 * deviation else None
        return float(
            quad(
                lambda z: abs(self.survival(z) - now) * norm.pdf(z, mean, deviation),
                mean - 8 * deviation,
                mean + 8 * deviation,
                points=inside,
                limit=200,
            )[0]
        )

    def of_crp(self) -> tuple[float, float]:
        """Mean and deviation of what CRP adds, given albumin."""
        correlation = CORRELATED["crp", "albumin"]
        albumin = self.parts["albumin"] / WEIGHTS["albumin"]
        return WEIGHTS["crp"] * correlation * albumin, abs(WEIGHTS["crp"]) * float(np.sqrt(1 - correlation**2))

    def of_rna(self) -> tuple[float, float]:
        """The same of both genes together, given the protein."""
        correlation = CORRELATED["gene_a", "protein_a"]
        protein = self.parts["protein_a"] / WEIGHTS["protein_a"]
        variance = WEIGHTS["gene_a"] ** 2 * (1 - correlation**2) + WEIGHTS["gene_b"] ** 2
        return WEIGHTS["gene_a"] * correlation * protein, float(np.sqrt(variance))

    def of_kras(self) -> float:
        """Expected absolute change: with the mutation, or none."""
        return KRAS * abs(self.survival(WEIGHTS["kras"]) - self.survival())
