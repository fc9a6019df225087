"""Which 38 tumour entities does the synthetic consortium treat, and how do their patients differ?

Invented, with clinically sensible directions; no row of a real table went into it. Everything is fixed here, before any
training and whatever the seed of a consortium.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TumourEntity:
    """One solid tumour entity.

    share               of all patients; the shares add up to 1 over `ENTITIES` after division by their sum.
    log_hazard_ratio    of death, against the reference entity, all else equal.
    male_share          probability of male sex.
    age_offset_years    mean age against the consortium's.
    extent_offset       mean disease extent (stage, metastases) against the consortium's, in standard deviations.
    hallmark_alterations  share of patients with an alteration, where it is typical; other alterations have the
                        catalogue's share.
    """

    name: str
    share: float
    log_hazard_ratio: float
    male_share: float
    age_offset_years: float
    extent_offset: float
    hallmark_alterations: tuple[tuple[str, float], ...] = ()


REFERENCE_ENTITY = "colon_adenocarcinoma"

ENTITIES: tuple[TumourEntity, ...] = (
    TumourEntity("lung_adenocarcinoma", 0.115, 0.32, 0.55, 1, 0.4, (("KRAS_mut", 0.32), ("EGFR_mut", 0.16))),
    TumourEntity("lung_squamous_cell_carcinoma", 0.050, 0.41, 0.75, 4, 0.2, (("TP53_mut", 0.78),)),
    TumourEntity("small_cell_lung_carcinoma", 0.028, 0.69, 0.60, 2, 0.7, (("TP53_mut", 0.88), ("RB1_mut", 0.70))),
    TumourEntity("pleural_mesothelioma", 0.012, 0.61, 0.80, 6, 0.1, (("BAP1_mut", 0.35), ("NF2_mut", 0.30))),
    TumourEntity("breast_carcinoma", 0.100, -0.53, 0.01, -6, -0.4, (("PIK3CA_mut", 0.35), ("GATA3_mut", 0.12))),
    TumourEntity("colon_adenocarcinoma", 0.085, 0.00, 0.54, 3, 0.1, (("APC_mut", 0.75), ("KRAS_mut", 0.42))),
    TumourEntity("rectal_adenocarcinoma", 0.042, -0.05, 0.63, 0, 0.0, (("APC_mut", 0.78), ("KRAS_mut", 0.42))),
    TumourEntity("anal_carcinoma", 0.010, -0.32, 0.35, 0, -0.3, (("PIK3CA_mut", 0.28),)),
    TumourEntity("gastric_adenocarcinoma", 0.035, 0.41, 0.65, 2, 0.3, (("CDH1_mut", 0.12),)),
    TumourEntity("oesophageal_adenocarcinoma", 0.022, 0.41, 0.85, 2, 0.2, (("TP53_mut", 0.72),)),
    TumourEntity("oesophageal_squamous_cell_carcinoma", 0.014, 0.45, 0.72, 1, 0.1, (("TP53_mut", 0.85),)),
    TumourEntity("pancreatic_adenocarcinoma", 0.052, 0.77, 0.52, 4, 0.5, (("KRAS_mut", 0.90), ("SMAD4_mut", 0.28))),
    TumourEntity("hepatocellular_carcinoma", 0.030, 0.53, 0.80, 2, 0.0, (("CTNNB1_mut", 0.30), ("TERT_mut", 0.50))),
    TumourEntity("intrahepatic_cholangiocarcinoma", 0.016, 0.61, 0.52, 2, 0.3, (("IDH1_mut", 0.15),)),
    TumourEntity("gallbladder_carcinoma", 0.008, 0.65, 0.35, 5, 0.3),
    TumourEntity("small_bowel_adenocarcinoma", 0.008, 0.21, 0.55, 0, 0.2, (("KRAS_mut", 0.45),)),
    TumourEntity("gastrointestinal_stromal_tumour", 0.012, -0.57, 0.52, 0, -0.2, (("KIT_mut", 0.75),)),
    TumourEntity("neuroendocrine_tumour", 0.025, -0.45, 0.52, -2, 0.2, (("MEN1_mut", 0.25),)),
    TumourEntity("prostate_adenocarcinoma", 0.060, -0.65, 1.00, 6, -0.3, (("SPOP_mut", 0.10),)),
    TumourEntity("urothelial_carcinoma", 0.036, 0.24, 0.75, 6, 0.0, (("FGFR3_mut", 0.18), ("TERT_mut", 0.65))),
    TumourEntity("clear_cell_renal_carcinoma", 0.026, -0.24, 0.66, 0, 0.0, (("VHL_mut", 0.60), ("PBRM1_mut", 0.38))),
    TumourEntity("papillary_renal_carcinoma", 0.008, -0.16, 0.72, 0, -0.1, (("MET_mut", 0.10),)),
    TumourEntity("testicular_germ_cell_tumour", 0.014, -1.05, 1.00, -26, -0.2),
    TumourEntity("ovarian_carcinoma", 0.030, 0.08, 0.00, -1, 0.5, (("TP53_mut", 0.90), ("BRCA1_mut", 0.14))),
    TumourEntity("endometrial_carcinoma", 0.022, -0.32, 0.00, 2, -0.4, (("PTEN_mut", 0.60), ("PIK3CA_mut", 0.50))),
    TumourEntity("cervical_carcinoma", 0.014, 0.08, 0.00, -12, -0.1, (("PIK3CA_mut", 0.28),)),
    TumourEntity("vulvar_carcinoma", 0.006, 0.00, 0.00, 6, -0.3, (("TP53_mut", 0.60),)),
    TumourEntity("cutaneous_melanoma", 0.040, -0.13, 0.57, -4, 0.1, (("BRAF_mut", 0.48), ("NRAS_mut", 0.26))),
    TumourEntity("uveal_melanoma", 0.006, 0.32, 0.52, -2, 0.2, (("GNAQ_mut", 0.48), ("BAP1_mut", 0.45))),
    TumourEntity("thyroid_carcinoma", 0.016, -0.93, 0.32, -13, -0.2, (("BRAF_mut", 0.55), ("TERT_mut", 0.15))),
    TumourEntity("head_and_neck_squamous_cell_carcinoma", 0.050, 0.13, 0.75, -1, 0.1, (("TP53_mut", 0.70),)),
    TumourEntity("salivary_gland_carcinoma", 0.007, -0.21, 0.55, -2, 0.0),
    TumourEntity("glioblastoma", 0.030, 0.85, 0.60, 0, -0.2, (("TERT_mut", 0.75), ("PTEN_mut", 0.33))),
    TumourEntity("lower_grade_glioma", 0.012, -0.29, 0.55, -18, -0.8, (("IDH1_mut", 0.75), ("ATRX_mut", 0.40))),
    TumourEntity("soft_tissue_sarcoma", 0.024, 0.16, 0.54, -6, 0.1),
    TumourEntity("osteosarcoma", 0.006, -0.08, 0.56, -26, 0.1, (("RB1_mut", 0.25),)),
    TumourEntity("thymoma", 0.006, -0.61, 0.50, -4, 0.0),
    TumourEntity("carcinoma_of_unknown_primary", 0.023, 0.69, 0.52, 2, 0.9, (("TP53_mut", 0.50),)),
)
