"""How is a consortium made of which the true value of each layer of data is known?

Clinical history is recorded of everybody. Laboratory, mutations, copy number, RNA and protein are layers: each is
measured of a patient as a whole or not at all, by what the hospital has and by indication (the young and fit are
sequenced more often), which is decided by recorded clinical history alone. RNA and protein see the same pathways, and
laboratory and protein the same inflammation, so what they say overlaps; copy number says nothing at all.

The hazard follows from all layers of a patient, *whether they were measured or not*, as in a real hospital (and other
than in `synthetic.hazard`): log hazard ratio f = sum over layers of effect * z, z = (value - centre) / scale of the
schema. Given clinical history, the markers of laboratory, RNA and protein are normal, and mutations independent, so the
law of what was not measured, given what was, is known exactly; `synthetic.layered_truth` has the hazards that follow.

Invented from public constants alone. The same arguments give the same table, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.synthetic.outcomes import FollowUp, draw_follow_up
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ALWAYS_KNOWN = Modality.CLINICAL
LAYERS = (
    Modality.LABORATORY,
    Modality.DNA_MUTATION,
    Modality.DNA_COPY_NUMBER,
    Modality.RNA_EXPRESSION,
    Modality.PROTEIN_EXPRESSION,
)
SAYS_NOTHING = Modality.DNA_COPY_NUMBER

CLINICAL_EFFECTS = {"age_years": 0.25, "sex_male": 0.08, "ecog_performance_status": 0.28, "uicc_stage": 0.32}
MUTATED_SHARES = {"TP53": 0.38, "KRAS": 0.18, "STK11": 0.07, "PIK3CA": 0.14, "BRAF": 0.06, "KEAP1": 0.05}
MUTATION_EFFECTS = {"TP53": 0.28, "KRAS": 0.32, "STK11": 0.45, "PIK3CA": 0.0, "BRAF": 0.25, "KEAP1": 0.4}

_INFLAMMATION, _PROLIFERATION, _HYPOXIA, _IMMUNITY = range(4)


@dataclass(frozen=True)
class _Block:
    """Markers of one layer that share a factor. effects: of each, in log hazard ratio per standard deviation.

    severity, factor  loadings on the recorded severity and on the factor; the rest is each marker's own.
    """

    layer: Modality
    factor: int
    severity: float
    loading: float
    effects: dict[str, float]


_BLOCKS = (
    _Block(
        Modality.LABORATORY,
        _INFLAMMATION,
        0.3,
        0.55,
        {"log10_crp": 0.14, "albumin": -0.14, "log10_ldh": 0.16, "haemoglobin": -0.12, "log10_nlr": 0.1, "sodium": 0.0},
    ),
    _Block(
        Modality.RNA_EXPRESSION,
        _PROLIFERATION,
        0.15,
        0.6,
        {"MKI67_rna": 0.14, "AURKB_rna": 0.1, "FOXM1_rna": 0.08, "PCNA_rna": 0.0},
    ),
    _Block(
        Modality.RNA_EXPRESSION,
        _HYPOXIA,
        0.1,
        0.6,
        {"CA9_rna": 0.12, "VEGFA_rna": 0.1, "ADM_rna": 0.06, "PDK1_rna": 0.0},
    ),
    _Block(
        Modality.RNA_EXPRESSION,
        _IMMUNITY,
        -0.1,
        0.6,
        {"CD8A_rna": -0.12, "GZMB_rna": -0.08, "CXCL9_rna": -0.06, "PDCD1_rna": 0.0},
    ),
    _Block(Modality.PROTEIN_EXPRESSION, _PROLIFERATION, 0.15, 0.6, {"KI67_protein": 0.14, "P16_protein": 0.05}),
    _Block(Modality.PROTEIN_EXPRESSION, _HYPOXIA, 0.1, 0.6, {"HIF1A_protein": 0.1, "GLUT1_protein": 0.0}),
    _Block(Modality.PROTEIN_EXPRESSION, _INFLAMMATION, 0.2, 0.5, {"PSTAT3_protein": 0.12, "IL6R_protein": 0.0}),
    _Block(
        SAYS_NOTHING,
        _INFLAMMATION,
        0.0,
        0.0,
        dict.fromkeys(("MYC_cnv", "CDKN2A_cnv", "EGFR_cnv", "PTEN_cnv", "RB1_cnv", "ERBB2_cnv"), 0.0),
    ),
)


@dataclass(frozen=True, eq=False)
class NormalMarkers:
    """The markers that are normal given severity, in the schema's order. All public.

    severity    (markers,), the mean of z per unit of recorded severity. covariance: (markers, markers), of z given it.
    effects     (markers,), log hazard ratio per z. layers: of each, as numbers of `LAYERS`.
    """

    names: tuple[str, ...]
    severity: FloatArray
    loadings: FloatArray
    own: FloatArray
    effects: FloatArray
    layers: IntArray

    @property
    def covariance(self) -> FloatArray:
        found: FloatArray = self.loadings @ self.loadings.T + np.diag(self.own**2)
        return found


def normal_markers() -> NormalMarkers:
    """Of all consortia alike."""
    names, severity, loadings, own, effects, layers = [], [], [], [], [], []
    for block in sorted(_BLOCKS, key=lambda block: LAYERS.index(block.layer)):
        for name, effect in block.effects.items():
            names.append(name)
            severity.append(block.severity)
            loadings.append([block.loading if factor == block.factor else 0.0 for factor in range(4)])
            own.append(float(np.sqrt(1 - block.loading**2)))
            effects.append(effect)
            layers.append(LAYERS.index(block.layer))
    return NormalMarkers(
        tuple(names), np.array(severity), np.array(loadings), np.array(own), np.array(effects), np.array(layers)
    )


def layered_schema() -> StudySchema:
    """Public constants only. Every layer has one flag that says that it was not measured."""
    clinical = (
        Marker("age_years", ALWAYS_KNOWN, Kind.CONTINUOUS, "years", (18.0, 100.0), 60.0, 15.0),
        Marker("sex_male", ALWAYS_KNOWN, Kind.BINARY),
        Marker("ecog_performance_status", ALWAYS_KNOWN, Kind.ORDINAL, "", (0.0, 4.0), 0.0, 1.0),
        Marker("uicc_stage", ALWAYS_KNOWN, Kind.ORDINAL, "", (1.0, 4.0), 1.0, 1.0),
    )
    normal = normal_markers()
    of_layer: dict[Modality, tuple[Marker, ...]] = {
        layer: tuple(
            Marker(name, layer, Kind.CONTINUOUS, "standard deviations", (-9.0, 9.0))
            for name, number in zip(normal.names, normal.layers, strict=True)
            if LAYERS[number] is layer
        )
        for layer in LAYERS
    }
    of_layer[Modality.DNA_MUTATION] = tuple(
        Marker(f"{gene}_mut", Modality.DNA_MUTATION, Kind.BINARY, centre=share)
        for gene, share in MUTATED_SHARES.items()
    )
    always = ModalityEncoding(weight=1.0, missing_weight=0.03, missing_flags=MissingFlags.MARKER)
    by_layer = ModalityEncoding(weight=1.0, missing_weight=0.3, missing_flags=MissingFlags.MODALITY)
    return StudySchema(
        name="layered_consortium",
        patient_id="patient_id",
        site_column="hospital",
        markers=(*clinical, *(marker for layer in LAYERS for marker in of_layer[layer])),
        endpoints=(Endpoint("overall_survival", "survival_months", "death_observed", entry_column="entry_months"),),
        grid=TimeGrid((0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0)),
        baseline_hazard=(0.012,),
        modalities={ALWAYS_KNOWN: always, **dict.fromkeys(LAYERS, by_layer)},
        largest_encoded_value=6.0,
    )


@dataclass(frozen=True, eq=False)
class LayeredPatients:
    """Patients with all that is true of them. One row each.

    hospital   number. clinical: (patients, 4), as recorded. severity: (patients,), that follows from it.
    z          (patients, normal markers), whether measured or not. mutated: (patients, genes), 0 or 1.
    measured   (patients, layers).
    follow_up  of overall survival; what it says of further treatments is not meant.
    """

    hospital: IntArray
    clinical: FloatArray
    z: FloatArray
    mutated: FloatArray
    measured: NDArray[np.bool_]
    follow_up: FollowUp

    def __len__(self) -> int:
        return len(self.clinical)

    def rows(self, index: IntArray | NDArray[np.bool_]) -> LayeredPatients:
        """Some of them, in that order."""
        rows = np.arange(len(self))[index]
        parts = {name: getattr(self, name)[rows] for name in ("hospital", "clinical", "z", "mutated", "measured")}
        return LayeredPatients(**parts, follow_up=self.follow_up.subset(rows))

    @property
    def severity(self) -> FloatArray:
        return severity_of(self.clinical)

    @property
    def always_known(self) -> FloatArray:
        """(patients,): what clinical history adds to f."""
        standardised = (self.clinical - np.array([60.0, 0.0, 0.0, 1.0])) / np.array([15.0, 1.0, 1.0, 1.0])
        found: FloatArray = standardised @ np.array(list(CLINICAL_EFFECTS.values()))
        return found

    @property
    def by_layer(self) -> FloatArray:
        """(patients, layers): what each adds to f, measured or not."""
        normal = normal_markers()
        found = np.stack(
            [(self.z * normal.effects)[:, normal.layers == number].sum(axis=1) for number in range(len(LAYERS))], axis=1
        )
        found[:, LAYERS.index(Modality.DNA_MUTATION)] += of_mutations(self.mutated)
        return np.asarray(found)


def of_mutations(mutated: FloatArray) -> FloatArray:
    """(patients,): what they add to f. The schema's centre is the public share: on average they add nothing."""
    found: FloatArray = (mutated - np.array(list(MUTATED_SHARES.values()))) @ np.array(list(MUTATION_EFFECTS.values()))
    return found


def severity_of(clinical: FloatArray) -> FloatArray:
    """(patients,), about standard normal: of recorded performance status and stage."""
    found: FloatArray = 0.6 * (clinical[:, 2] - 0.95) + 0.5 * (clinical[:, 3] - 2.5)
    return found


@dataclass(frozen=True, eq=False)
class LayeredConsortium:
    """One table of all hospitals' patients, and the truth.

    seed, hospitals  the arguments it was made with.
    table            one row a patient: patient_id, hospital, the schema's markers, entry_months, survival_months,
                     death_observed.
    patients         the same rows, with what was not measured.
    """

    seed: int
    hospitals: int
    schema: StudySchema
    table: pd.DataFrame
    patients: LayeredPatients

    @property
    def true_log_hazard(self) -> pd.DataFrame:
        """patient_id, what clinical history and each layer add to f (measured or not), and their sum."""
        parts = {ALWAYS_KNOWN.value: self.patients.always_known}
        parts |= {layer.value: self.patients.by_layer[:, number] for number, layer in enumerate(LAYERS)}
        frame = pd.DataFrame({"patient_id": self.table["patient_id"], **parts})
        return frame.assign(total=frame[list(parts)].sum(axis=1))


def generate_layered(*, patients: int = 12_000, hospitals: int = 8, seed: int = 1) -> LayeredConsortium:
    """Raises InvalidInput unless patients >= hospitals >= 1 and seed >= 0."""
    faults = []
    if hospitals < 1 or patients < hospitals:
        faults.append(Fault("patients", "are fewer than the hospitals", "Give every hospital at least one patient."))
    if seed < 0:
        faults.append(Fault("seed", "is negative", "Choose a whole number from 0."))
    if faults:
        raise InvalidInput(faults)
    drawn = draw_layered(patients=patients, hospitals=hospitals, rng=np.random.default_rng([seed, 1]))
    schema = layered_schema()
    return LayeredConsortium(seed, hospitals, schema, _table(schema, drawn, hospitals), drawn)


def draw_layered(*, patients: int, hospitals: int, rng: np.random.Generator) -> LayeredPatients:
    """Those who are in the table: who was followed when they came under observation. Sorted by hospital."""
    kept: list[LayeredPatients] = []
    wanted = patients
    while wanted > 0:
        some = _arriving(wanted + wanted // 4 + 10, hospitals, rng)
        some = some.rows(np.flatnonzero(some.follow_up.in_table)[:wanted])
        kept.append(some)
        wanted -= len(some)
    parts = {
        name: np.concatenate([getattr(each, name) for each in kept])
        for name in ("hospital", "clinical", "z", "mutated", "measured")
    }
    all_of_them = LayeredPatients(**parts, follow_up=FollowUp.concatenate([each.follow_up for each in kept]))
    return all_of_them.rows(np.argsort(all_of_them.hospital, kind="stable"))


def _arriving(patients: int, hospitals: int, rng: np.random.Generator) -> LayeredPatients:
    shares = np.arange(1, hospitals + 1) ** -0.5
    hospital = rng.choice(hospitals, size=patients, p=shares / shares.sum())
    sicker = 0.3 * ((hospital * 0.618) % 1.0 - 0.5)  # hospitals' patients differ
    fitness = rng.standard_normal(patients) + sicker
    clinical = np.stack(
        [
            np.clip(np.round(63 + 12 * (rng.standard_normal(patients) + sicker)), 18, 100),
            (rng.random(patients) < 0.54).astype(np.float64),
            np.searchsorted((-0.4, 0.7, 1.4, 2.2), fitness).astype(np.float64),
            1.0 + np.searchsorted((-1.0, -0.1, 0.7), 0.4 * fitness + 0.9165 * rng.standard_normal(patients)),
        ],
        axis=1,
    )
    normal = normal_markers()
    factors = rng.standard_normal((patients, normal.loadings.shape[1]))
    z = np.outer(severity_of(clinical), normal.severity) + factors @ normal.loadings.T
    z = np.round(z + normal.own * rng.standard_normal(z.shape), 3)
    mutated = (rng.random((patients, len(MUTATED_SHARES))) < np.array(list(MUTATED_SHARES.values()))).astype(np.float64)
    drawn = LayeredPatients(hospital, clinical, z, mutated, _measured(hospital, clinical, rng), _NOT_YET)
    delayed = np.where(hospital % 3 == 1, 0.6, 0.0)
    follow_up = draw_follow_up(
        death_log_hazard=drawn.always_known + drawn.by_layer.sum(axis=1),
        next_treatment_log_hazard=np.full(patients, -200.0),  # never
        delayed_entry_share=delayed,
        rng=rng,
    )
    return replace(drawn, follow_up=follow_up)


_NOBODY, _NEVER = np.zeros(0), np.zeros(0, dtype=np.bool_)
_NOT_YET = FollowUp(_NOBODY, _NOBODY, _NEVER, _NOBODY, _NEVER, _NEVER)


def _measured(hospital: IntArray, clinical: FloatArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(patients, layers). Who is sent to sequencing follows from recorded history, and from the hospital's means."""
    patients = len(hospital)
    sent = 1 / (1 + np.exp(-(1.6 - 0.5 * (clinical[:, 0] - 63) / 12 - 0.5 * (clinical[:, 2] - 0.95))))
    is_sent = rng.random(patients) < sent
    by_chance = rng.random((patients, len(LAYERS)))
    found = {
        Modality.LABORATORY: by_chance[:, 0] < 0.97,
        Modality.DNA_MUTATION: is_sent & (by_chance[:, 1] < 0.97),
        Modality.DNA_COPY_NUMBER: is_sent & (by_chance[:, 2] < 0.97),
        Modality.RNA_EXPRESSION: is_sent & (by_chance[:, 3] < 0.9) & (hospital % 5 != 4),
        Modality.PROTEIN_EXPRESSION: is_sent & (by_chance[:, 4] < 0.85) & (hospital % 5 != 3),
    }
    return np.stack([found[layer] for layer in LAYERS], axis=1)


def _table(schema: StudySchema, drawn: LayeredPatients, hospitals: int) -> pd.DataFrame:
    normal, genes = normal_markers(), list(MUTATED_SHARES)
    width = max(2, len(str(hospitals)))
    columns: dict[str, object] = {
        "patient_id": [f"P{number:06d}" for number in range(1, len(drawn) + 1)],
        "hospital": [f"hospital_{number + 1:0{width}d}" for number in drawn.hospital],
    }
    seen = {modality: drawn.measured[:, number] for number, modality in enumerate(LAYERS)}
    for place, name in enumerate(CLINICAL_EFFECTS):
        columns[name] = pd.Series(drawn.clinical[:, place]).astype("Int16")
    for marker in schema.markers:
        if marker.name in normal.names:
            columns[marker.name] = np.where(seen[marker.modality], drawn.z[:, normal.names.index(marker.name)], np.nan)
        elif marker.modality in seen:
            cells = np.where(seen[marker.modality], drawn.mutated[:, genes.index(marker.name[: -len("_mut")])], np.nan)
            columns[marker.name] = pd.Series(cells).astype("Int8")
    columns["entry_months"] = drawn.follow_up.entry_months
    columns["survival_months"] = drawn.follow_up.survival_months
    columns["death_observed"] = drawn.follow_up.death_observed.astype(np.int8)
    return pd.DataFrame(columns)
