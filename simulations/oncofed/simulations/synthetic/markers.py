"""Which 350 markers does the synthetic consortium record, and how is each one distributed?

The shape is that of Keyl et al. (Nature Cancer 2025): clinical history, laboratory values, CT-derived body composition,
tumour DNA, RNA and protein, and treatment. Centres, scales and plausible ranges are public constants chosen from units
and medical knowledge; a population's own means differ from them, as they would. Skewed laboratory values are recorded
as decimal logarithms (``log10_crp_mg_per_l``), as a laboratory's export script would write them.

The molecular markers are in `synthetic.genes`, the study's schema is in `synthetic.schema`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.simulations.synthetic.entities import ENTITIES, REFERENCE_ENTITY


@dataclass(frozen=True)
class SyntheticMarker:
    """A marker of the schema and its distribution.

    Behind each marker stands a standard normal value: part frailty and part disease extent of the patient (both shared
    by all modalities), part a factor shared by the markers of `group`, the rest its own. A continuous marker is
    `centre + scale * (that value, slightly shifted)`; the others cut it at the quantiles of `shares`.

    frailty, extent  correlation of the value with the patient's frailty and disease extent.
    unmeasured       share of patients without it, where its modality was measured at all.
    decimals         to which a continuous value is recorded.
    shares           binary: (share of ones,); ordinal and categorical: the share of each level, adding up to 1.
    """

    marker: Marker
    group: str
    frailty: float = 0.0
    extent: float = 0.0
    unmeasured: float = 0.0
    decimals: int = 0
    shares: tuple[float, ...] = ()


REFERENCE_RANGES = {
    "log10_crp_mg_per_l": (-1.0, 0.7),
    "leukocytes_per_nl": (4.0, 11.0),
    "haemoglobin_g_per_dl": (12.0, 17.5),
    "log10_ldh_u_per_l": (2.1, 2.4),
    "log10_bilirubin_mg_per_dl": (-0.7, 0.08),
    "albumin_g_per_l": (35.0, 52.0),
    "log10_creatinine_mg_per_dl": (-0.3, 0.08),
    "urea_mg_per_dl": (17.0, 49.0),
    "sodium_mmol_per_l": (135.0, 145.0),
    "potassium_mmol_per_l": (3.5, 5.1),
    "calcium_mmol_per_l": (2.15, 2.55),
    "magnesium_mmol_per_l": (0.66, 1.07),
}
"""Usual values in health, for both sexes together, as textbooks of laboratory medicine give them; shown, never used."""


@dataclass(frozen=True)
class MarkerGroup:
    """A modality's markers that share a latent factor, to write a catalogue without repeating both."""

    modality: Modality
    name: str
    unmeasured: float

    def continuous(
        self,
        name: str,
        unit: str,
        plausible_range: tuple[float, float],
        centre: float,
        scale: float,
        *,
        decimals: int = 0,
        frailty: float = 0.0,
        extent: float = 0.0,
        unmeasured: float | None = None,
    ) -> SyntheticMarker:
        # As floats, so that a schema read back from its file has the same hash.
        low, high = plausible_range
        usual = REFERENCE_RANGES.get(name)
        marker = Marker(
            name, self.modality, Kind.CONTINUOUS, unit, (float(low), float(high)), float(centre), float(scale)
        )
        return SyntheticMarker(
            replace(marker, reference_range=usual),
            group=self.name,
            frailty=frailty,
            extent=extent,
            unmeasured=self.unmeasured if unmeasured is None else unmeasured,
            decimals=decimals,
        )

    def ordinal(
        self,
        name: str,
        unit: str,
        lowest: int,
        shares: tuple[float, ...],
        *,
        centre: float,
        scale: float = 1.0,
        frailty: float = 0.0,
        extent: float = 0.0,
    ) -> SyntheticMarker:
        """Levels `lowest`, `lowest + 1`, ... with the given shares."""
        plausible_range = (float(lowest), float(lowest + len(shares) - 1))
        return SyntheticMarker(
            Marker(name, self.modality, Kind.ORDINAL, unit, plausible_range, float(centre), float(scale)),
            group=self.name,
            frailty=frailty,
            extent=extent,
            unmeasured=self.unmeasured,
            shares=shares,
        )

    def binary(self, name: str, share: float, *, frailty: float = 0.0, extent: float = 0.0) -> SyntheticMarker:
        return SyntheticMarker(
            Marker(name, self.modality, Kind.BINARY),
            group=self.name,
            frailty=frailty,
            extent=extent,
            unmeasured=self.unmeasured,
            shares=(share,),
        )

    def categorical(self, name: str, shares: dict[str, float], reference: str, *, weight: float) -> SyntheticMarker:
        total = sum(shares.values())
        return SyntheticMarker(
            Marker(
                name,
                self.modality,
                Kind.CATEGORICAL,
                categories=tuple(shares),
                reference_category=reference,
                weight=weight,
            ),
            group=self.name,
            unmeasured=self.unmeasured,
            shares=tuple(share / total for share in shares.values()),
        )


TUMOUR_ENTITY = "tumour_entity"
SMOKING_STATUS = "smoking_status"
UICC_STAGE = "uicc_stage"
METASTATIC_SITES = ("liver", "lung", "bone", "brain", "peritoneal", "adrenal")

_PERSON = MarkerGroup(Modality.CLINICAL, "person", 0.01)
_HISTORY = MarkerGroup(Modality.CLINICAL, "history", 0.08)
_TUMOUR = MarkerGroup(Modality.CLINICAL, "tumour", 0.05)
_VITALS = MarkerGroup(Modality.CLINICAL, "vitals", 0.12)

CLINICAL: tuple[SyntheticMarker, ...] = (
    MarkerGroup(Modality.CLINICAL, "person", 0.0).categorical(
        TUMOUR_ENTITY, {entity.name: entity.share for entity in ENTITIES}, REFERENCE_ENTITY, weight=2.0
    ),
    _PERSON.continuous("age_years", "years", (18, 105), 65, 12, decimals=1, frailty=0.15),
    _PERSON.binary("sex_male", 0.52),
    _PERSON.ordinal(
        "ecog_performance_status", "level", 0, (0.33, 0.38, 0.19, 0.08, 0.02), centre=1, frailty=0.3, extent=0.09
    ),
    _TUMOUR.ordinal(UICC_STAGE, "stage", 1, (0.16, 0.20, 0.27, 0.37), centre=3, extent=0.75),
    _HISTORY.ordinal(
        "charlson_comorbidity_index",
        "points",
        0,
        (0.30, 0.24, 0.18, 0.12, 0.08, 0.05, 0.03),
        centre=2,
        scale=2,
        frailty=0.21,
    ),
    _PERSON.continuous("body_mass_index_kg_per_m2", "kg/m2", (11, 75), 26, 5, decimals=1, frailty=-0.12),
    _PERSON.continuous("height_cm", "cm", (120, 220), 170, 10),
    _HISTORY.categorical(SMOKING_STATUS, {"never": 0.42, "former": 0.36, "current": 0.22}, "never", weight=1.0),
    _HISTORY.continuous("log10_pack_years", "log10(years)", (-1, 2.4), 1.0, 0.6, decimals=2, frailty=0.06),
    _PERSON.continuous(
        "weight_loss_6_months_percent", "%", (-20, 50), 4, 5, decimals=1, frailty=0.24, extent=0.12, unmeasured=0.2
    ),
    _TUMOUR.ordinal("tumour_extent_t", "level", 1, (0.16, 0.28, 0.34, 0.22), centre=3, extent=0.27),
    _TUMOUR.ordinal("nodal_status_n", "level", 0, (0.42, 0.26, 0.22, 0.10), centre=1, extent=0.27),
    _TUMOUR.ordinal("histological_grade", "grade", 1, (0.14, 0.48, 0.38), centre=2, extent=0.09),
    _TUMOUR.ordinal("metastatic_organ_count", "organs", 0, (0.62, 0.18, 0.11, 0.06, 0.03), centre=1, extent=0.36),
    *(
        _TUMOUR.binary(f"metastasis_{site}", share, extent=0.21)
        for site, share in zip(METASTATIC_SITES, (0.36, 0.32, 0.26, 0.11, 0.18, 0.10), strict=True)
    ),
    _TUMOUR.continuous("log10_largest_lesion_mm", "log10(mm)", (0, 2.7), 1.5, 0.3, decimals=2, extent=0.24),
    _TUMOUR.binary("lymphovascular_invasion", 0.34, extent=0.15),
    _TUMOUR.binary("perineural_invasion", 0.22, extent=0.12),
    _TUMOUR.binary("residual_tumour_after_resection", 0.12, extent=0.15),
    _HISTORY.continuous("log10_days_since_diagnosis", "log10(days)", (0, 4.2), 1.6, 0.6, decimals=2),
    _HISTORY.ordinal("previous_treatment_lines", "lines", 0, (0.68, 0.17, 0.09, 0.04, 0.02), centre=1, extent=0.18),
    _HISTORY.binary("emergency_admission", 0.16, frailty=0.24),
    _HISTORY.binary("diabetes_mellitus", 0.19, frailty=0.09),
    _HISTORY.binary("arterial_hypertension", 0.46, frailty=0.06),
    _HISTORY.binary("coronary_heart_disease", 0.15, frailty=0.12),
    _HISTORY.binary("heart_failure", 0.08, frailty=0.18),
    _HISTORY.binary("atrial_fibrillation", 0.10, frailty=0.12),
    _HISTORY.binary("chronic_obstructive_pulmonary_disease", 0.13, frailty=0.12),
    _HISTORY.binary("chronic_kidney_disease", 0.12, frailty=0.15),
    _HISTORY.binary("liver_cirrhosis", 0.04, frailty=0.12),
    _HISTORY.binary("previous_stroke", 0.06, frailty=0.12),
    _HISTORY.binary("previous_malignancy", 0.12),
    _HISTORY.binary("venous_thromboembolism", 0.09, frailty=0.12, extent=0.12),
    _VITALS.ordinal(
        "pain_score_nrs",
        "points",
        0,
        (0.34, 0.12, 0.14, 0.12, 0.09, 0.08, 0.05, 0.03, 0.02, 0.01),
        centre=2,
        scale=2.5,
        frailty=0.18,
        extent=0.12,
    ),
    _VITALS.continuous("systolic_blood_pressure_mmhg", "mmHg", (60, 260), 130, 18, frailty=-0.06),
    _VITALS.continuous("heart_rate_per_min", "1/min", (30, 200), 78, 14, frailty=0.18),
    _VITALS.continuous("body_temperature_celsius", "°C", (33, 42), 36.7, 0.5, decimals=1, frailty=0.09),
    _VITALS.continuous("oxygen_saturation_percent", "%", (60, 100), 96, 2.5, frailty=-0.18),
)

_INFLAMMATION = MarkerGroup(Modality.LABORATORY, "inflammation", 0.08)
_BLOOD = MarkerGroup(Modality.LABORATORY, "blood count", 0.06)
_LIVER = MarkerGroup(Modality.LABORATORY, "liver", 0.10)
_KIDNEY = MarkerGroup(Modality.LABORATORY, "kidney and salts", 0.12)
_NUTRITION = MarkerGroup(Modality.LABORATORY, "nutrition", 0.20)
_CLOTTING = MarkerGroup(Modality.LABORATORY, "clotting", 0.18)
_TUMOUR_MARKERS = MarkerGroup(Modality.LABORATORY, "tumour markers", 0.45)

_LOG10_U_PER_L = "log10(U/l)"

LABORATORY: tuple[SyntheticMarker, ...] = (
    _INFLAMMATION.continuous(
        "log10_crp_mg_per_l", "log10(mg/l)", (-1, 2.8), 1.0, 0.6, decimals=2, frailty=0.27, extent=0.12, unmeasured=0.06
    ),
    _INFLAMMATION.continuous(
        "log10_neutrophil_to_lymphocyte_ratio", "log10(ratio)", (-1, 2.2), 0.55, 0.3, decimals=2, frailty=0.21
    ),
    _INFLAMMATION.continuous("leukocytes_per_nl", "1/nl", (0.1, 80), 8, 3, decimals=1, frailty=0.12),
    _INFLAMMATION.continuous("monocytes_percent", "%", (0, 60), 8, 2.5, decimals=1),
    _INFLAMMATION.continuous("eosinophils_percent", "%", (0, 60), 2.4, 1.8, decimals=1),
    _INFLAMMATION.continuous("basophils_percent", "%", (0, 10), 0.6, 0.3, decimals=1),
    _INFLAMMATION.continuous(
        "log10_interleukin_6_ng_per_l", "log10(ng/l)", (-0.5, 4), 1.0, 0.6, decimals=2, frailty=0.21, unmeasured=0.5
    ),
    _INFLAMMATION.continuous(
        "log10_procalcitonin_ug_per_l", "log10(µg/l)", (-2.5, 2.5), -1.1, 0.5, decimals=2, frailty=0.18, unmeasured=0.45
    ),
    _INFLAMMATION.continuous("log10_ferritin_ug_per_l", "log10(µg/l)", (0, 4.5), 2.3, 0.5, decimals=2, frailty=0.18),
    _INFLAMMATION.continuous("fibrinogen_g_per_l", "g/l", (0.3, 15), 4.2, 1.2, decimals=1, frailty=0.18),
    _BLOOD.continuous("haemoglobin_g_per_dl", "g/dl", (3, 24), 12.5, 2, decimals=1, frailty=-0.27, extent=-0.06),
    _BLOOD.continuous("erythrocytes_per_pl", "1/pl", (1, 8.5), 4.3, 0.65, decimals=2, frailty=-0.18),
    _BLOOD.continuous("mean_corpuscular_volume_fl", "fl", (50, 140), 90, 6.5),
    _BLOOD.continuous("mean_corpuscular_haemoglobin_pg", "pg", (15, 50), 30, 2.5, decimals=1),
    _BLOOD.continuous("red_cell_distribution_width_percent", "%", (9, 40), 14.5, 2, decimals=1, frailty=0.21),
    _BLOOD.continuous("thrombocytes_per_nl", "1/nl", (2, 1500), 270, 95, extent=0.06),
    _BLOOD.continuous("mean_platelet_volume_fl", "fl", (5, 16), 10.2, 1, decimals=1),
    _BLOOD.continuous("reticulocytes_per_mille", "‰", (0, 150), 14, 6, decimals=1, unmeasured=0.4),
    _LIVER.continuous(
        "log10_ldh_u_per_l", _LOG10_U_PER_L, (1.5, 4.3), 2.35, 0.15, decimals=2, frailty=0.12, extent=0.21
    ),
    _LIVER.continuous("log10_alt_u_per_l", _LOG10_U_PER_L, (0, 4), 1.4, 0.28, decimals=2),
    _LIVER.continuous("log10_ast_u_per_l", _LOG10_U_PER_L, (0, 4), 1.45, 0.25, decimals=2, extent=0.09),
    _LIVER.continuous("log10_ggt_u_per_l", _LOG10_U_PER_L, (0, 4), 1.65, 0.4, decimals=2, extent=0.12),
    _LIVER.continuous(
        "log10_alkaline_phosphatase_u_per_l", _LOG10_U_PER_L, (0.8, 3.8), 1.98, 0.22, decimals=2, extent=0.18
    ),
    _LIVER.continuous("log10_bilirubin_mg_per_dl", "log10(mg/dl)", (-1.5, 1.8), -0.25, 0.28, decimals=2, extent=0.09),
    _LIVER.continuous("cholinesterase_u_per_l", "U/l", (200, 20000), 6800, 2000, frailty=-0.24, unmeasured=0.3),
    _LIVER.continuous("log10_lipase_u_per_l", _LOG10_U_PER_L, (0, 4), 1.5, 0.25, decimals=2, unmeasured=0.3),
    _NUTRITION.continuous(
        "albumin_g_per_l", "g/l", (8, 65), 38, 5, decimals=1, frailty=-0.27, extent=-0.06, unmeasured=0.08
    ),
    _NUTRITION.continuous("total_protein_g_per_l", "g/l", (25, 130), 68, 7, decimals=1, frailty=-0.15),
    _NUTRITION.continuous(
        "prealbumin_g_per_l", "g/l", (0.02, 0.6), 0.22, 0.07, decimals=2, frailty=-0.24, unmeasured=0.5
    ),
    _NUTRITION.continuous("cholesterol_mg_per_dl", "mg/dl", (40, 500), 190, 45),
    _NUTRITION.continuous("log10_triglycerides_mg_per_dl", "log10(mg/dl)", (1, 3.5), 2.1, 0.22, decimals=2),
    _NUTRITION.continuous("glucose_mg_per_dl", "mg/dl", (20, 900), 112, 30, frailty=0.06),
    _NUTRITION.continuous("haemoglobin_a1c_percent", "%", (3, 18), 5.9, 0.9, decimals=1, unmeasured=0.45),
    _NUTRITION.continuous("transferrin_g_per_l", "g/l", (0.3, 6), 2.3, 0.5, decimals=2, frailty=-0.15, unmeasured=0.35),
    _NUTRITION.continuous("vitamin_d_nmol_per_l", "nmol/l", (5, 300), 48, 24, frailty=-0.09, unmeasured=0.5),
    _KIDNEY.continuous(
        "log10_creatinine_mg_per_dl", "log10(mg/dl)", (-0.8, 1.3), -0.05, 0.14, decimals=2, frailty=0.09
    ),
    _KIDNEY.continuous("estimated_gfr_ml_per_min", "ml/min/1.73m2", (3, 160), 78, 22, frailty=-0.15),
    _KIDNEY.continuous("urea_mg_per_dl", "mg/dl", (4, 300), 36, 15, frailty=0.15),
    _KIDNEY.continuous("uric_acid_mg_per_dl", "mg/dl", (0.5, 20), 5.6, 1.7, decimals=1),
    _KIDNEY.continuous("sodium_mmol_per_l", "mmol/l", (105, 170), 139, 3.5, frailty=-0.15),
    _KIDNEY.continuous("potassium_mmol_per_l", "mmol/l", (2, 8), 4.2, 0.45, decimals=1),
    _KIDNEY.continuous("calcium_mmol_per_l", "mmol/l", (1.2, 4.5), 2.3, 0.15, decimals=2),
    _KIDNEY.continuous("phosphate_mmol_per_l", "mmol/l", (0.2, 4), 1.1, 0.22, decimals=2, unmeasured=0.3),
    _KIDNEY.continuous("magnesium_mmol_per_l", "mmol/l", (0.2, 2.5), 0.82, 0.1, decimals=2, unmeasured=0.3),
    _KIDNEY.continuous("log10_tsh_mu_per_l", "log10(mU/l)", (-2.5, 2.3), 0.2, 0.35, decimals=2, unmeasured=0.3),
    _CLOTTING.continuous("quick_percent", "%", (5, 150), 93, 15, frailty=-0.15),
    _CLOTTING.continuous("partial_thromboplastin_time_s", "s", (15, 180), 29, 5, decimals=1),
    _CLOTTING.continuous(
        "log10_d_dimer_mg_per_l", "log10(mg/l)", (-1.5, 2.2), 0.0, 0.45, decimals=2, frailty=0.18, extent=0.12
    ),
    _CLOTTING.continuous("antithrombin_percent", "%", (10, 180), 94, 15, frailty=-0.15),
    _TUMOUR_MARKERS.continuous("log10_cea_ug_per_l", "log10(µg/l)", (-0.7, 4.5), 0.6, 0.5, decimals=2, extent=0.18),
    _TUMOUR_MARKERS.continuous(
        "log10_ca_19_9_ku_per_l", "log10(kU/l)", (-0.5, 5.5), 1.3, 0.65, decimals=2, extent=0.15
    ),
    _TUMOUR_MARKERS.continuous("log10_ca_125_ku_per_l", "log10(kU/l)", (0, 4.7), 1.5, 0.5, decimals=2, extent=0.18),
)

_MUSCLE = MarkerGroup(Modality.BODY_COMPOSITION, "muscle", 0.02)
_FAT = MarkerGroup(Modality.BODY_COMPOSITION, "fat", 0.02)
_ORGANS = MarkerGroup(Modality.BODY_COMPOSITION, "organs", 0.12)

BODY_COMPOSITION: tuple[SyntheticMarker, ...] = (
    _MUSCLE.continuous("skeletal_muscle_index_cm2_per_m2", "cm2/m2", (15, 110), 47, 9, decimals=1, frailty=-0.24),
    _MUSCLE.continuous("skeletal_muscle_density_hu", "HU", (-20, 80), 37, 10, decimals=1, frailty=-0.21),
    _MUSCLE.continuous("psoas_muscle_index_cm2_per_m2", "cm2/m2", (1, 20), 6.2, 1.8, decimals=1, frailty=-0.18),
    _MUSCLE.continuous("muscle_volume_index_l_per_m2", "l/m2", (0.5, 6), 2.6, 0.5, decimals=2, frailty=-0.18),
    _MUSCLE.continuous("intermuscular_fat_index_cm2_per_m2", "cm2/m2", (0, 40), 5, 2.5, decimals=1, frailty=0.12),
    _FAT.continuous("subcutaneous_fat_index_cm2_per_m2", "cm2/m2", (0, 350), 65, 32, decimals=1),
    _FAT.continuous("visceral_fat_index_cm2_per_m2", "cm2/m2", (0, 250), 52, 32, decimals=1),
    _FAT.continuous("subcutaneous_fat_density_hu", "HU", (-130, -30), -98, 9, decimals=1, frailty=0.12),
    _FAT.continuous("visceral_fat_density_hu", "HU", (-130, -30), -90, 9, decimals=1, frailty=0.15),
    _FAT.continuous("epicardial_fat_volume_ml", "ml", (0, 500), 120, 50),
    _FAT.continuous("total_fat_to_muscle_ratio", "ratio", (0, 15), 2.4, 1.1, decimals=2),
    _ORGANS.continuous("liver_density_hu", "HU", (-20, 90), 56, 10, decimals=1),
    _ORGANS.continuous("liver_volume_ml", "ml", (400, 6000), 1550, 380, extent=0.09),
    _ORGANS.continuous("spleen_volume_ml", "ml", (20, 3000), 230, 110),
    _ORGANS.continuous("vertebral_bone_density_hu", "HU", (0, 500), 140, 45, frailty=-0.18),
    _ORGANS.continuous("log10_aortic_calcium_score", "log10(Agatston)", (0, 4.6), 2.2, 0.9, decimals=2, frailty=0.12),
    _ORGANS.continuous(
        "log10_pleural_effusion_ml", "log10(ml)", (0, 4), 0.8, 0.7, decimals=2, frailty=0.12, extent=0.15
    ),
    _ORGANS.continuous("log10_ascites_ml", "log10(ml)", (0, 4.3), 0.7, 0.7, decimals=2, frailty=0.09, extent=0.15),
)

_LOCAL = MarkerGroup(Modality.TREATMENT, "local treatment", 0.01)
_SYSTEMIC = MarkerGroup(Modality.TREATMENT, "systemic treatment", 0.01)

TREATMENT: tuple[SyntheticMarker, ...] = (
    _LOCAL.binary("surgery_curative_intent", 0.42, frailty=-0.12, extent=-0.3),
    _LOCAL.binary("surgery_palliative_intent", 0.08, extent=0.18),
    _LOCAL.binary("radiotherapy_curative_intent", 0.20, extent=-0.09),
    _LOCAL.binary("radiotherapy_palliative_intent", 0.14, extent=0.21),
    _LOCAL.binary("chemoradiotherapy", 0.13),
    _LOCAL.binary("ablation", 0.04, extent=0.06),
    _LOCAL.binary("stereotactic_radiotherapy", 0.06, extent=0.06),
    _SYSTEMIC.binary("neoadjuvant_chemotherapy", 0.13, frailty=-0.06, extent=-0.06),
    _SYSTEMIC.binary("adjuvant_chemotherapy", 0.16, frailty=-0.06, extent=-0.09),
    _SYSTEMIC.binary("palliative_chemotherapy", 0.30, frailty=-0.06, extent=0.3),
    _SYSTEMIC.binary("platinum_based_chemotherapy", 0.26, frailty=-0.06, extent=0.12),
    _SYSTEMIC.binary("taxane", 0.17, extent=0.06),
    _SYSTEMIC.binary("fluoropyrimidine", 0.22, extent=0.06),
    _SYSTEMIC.binary("immune_checkpoint_inhibitor", 0.20, extent=0.15),
    _SYSTEMIC.binary("tyrosine_kinase_inhibitor", 0.10, extent=0.12),
    _SYSTEMIC.binary("anti_vegf_therapy", 0.09, extent=0.15),
    _SYSTEMIC.binary("anti_egfr_therapy", 0.05, extent=0.12),
    _SYSTEMIC.binary("anti_her2_therapy", 0.04),
    _SYSTEMIC.binary("parp_inhibitor", 0.03, extent=0.06),
    _SYSTEMIC.binary("endocrine_therapy", 0.11, frailty=0.06),
    _SYSTEMIC.binary("corticosteroids", 0.16, frailty=0.18, extent=0.12),
    _SYSTEMIC.binary("blood_transfusion", 0.10, frailty=0.21),
    _SYSTEMIC.binary("opioids", 0.22, frailty=0.18, extent=0.18),
    _SYSTEMIC.binary("early_palliative_care", 0.09, frailty=0.18, extent=0.21),
)
