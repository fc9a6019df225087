"""Which molecular markers does the synthetic consortium record: tumour DNA, copy number, RNA, protein?

212 of the 350 markers of `synthetic.markers`. Mutations are 0 or 1, copy number is the log2 ratio to a normal genome,
RNA and protein are z-scores against a public reference panel. Genes of one pathway share a latent factor. Shares of
mutated patients are rough pan-cancer figures; typical genes of an entity have that entity's own share.
"""

from __future__ import annotations

from oncofed.cohort.schema import Modality
from oncofed.simulations.synthetic.markers import MarkerGroup, SyntheticMarker

_MUTATED_PERCENT: dict[str, str] = {
    "cell cycle": "TP53=38 RB1=5 CDKN2A=9 CCND1=2 CDK12=3 CDKN1B=2 FBXW7=5 MYC=2",
    "RAS": "KRAS=15 NRAS=4 HRAS=2 BRAF=5 NF1=7 MAP2K1=2 MAP3K1=3 RAF1=2 RASA1=3 PTPN11=2 SPOP=2",
    "PI3K": "PIK3CA=14 PTEN=8 PIK3R1=4 AKT1=2 MTOR=3 TSC1=3 TSC2=3 STK11=5 NF2=3",
    "receptors": (
        "EGFR=5 ERBB2=4 ERBB3=3 FGFR1=2 FGFR2=3 FGFR3=3 MET=3 ALK=3 ROS1=3 RET=3 KIT=3 PDGFRA=3 NTRK1=2 "
        "NTRK3=3 GNAQ=1 GNA11=1 GNAS=3"
    ),
    "DNA repair": "BRCA1=3 BRCA2=5 ATM=6 ATR=4 CHEK2=2 PALB2=2 MLH1=2 MSH2=3 MSH6=3 POLE=3 ERCC2=2",
    "chromatin": (
        "ARID1A=9 KMT2C=10 KMT2D=10 SMARCA4=5 PBRM1=5 SETD2=5 BAP1=3 EP300=4 CREBBP=5 IDH1=3 DNMT3A=3 ATRX=5"
    ),
    "signalling": "APC=10 CTNNB1=5 SMAD4=5 NOTCH1=5 KEAP1=4 NFE2L2=3 VHL=2 TERT=12 CDH1=4 GATA3=3 MEN1=2",
}

_COPY_NUMBER_GENES: dict[str, str] = {
    "gains of 3q and 8q": "MYC PIK3CA SOX2 TERC RAD21 PRKDC TERT RICTOR",
    "gains of 1q and 7": "MDM4 MCL1 AKT3 EGFR MET CDK6 BRAF",
    "gains of 11q to 20q": "CCND1 FGF3 FGFR1 CDK4 MDM2 KRAS ERBB2 CCNE1 AURKA ZNF217 BCL2L1",
    "losses of 9p and 10q": "CDKN2A CDKN2B MTAP PTEN FAS JAK2",
    "losses of 13q and 17p": "RB1 BRCA2 TP53 NF1 MAP2K4 BRCA1",
    "losses of 3p, 5q and 18q": "VHL BAP1 FHIT APC SMAD4 DCC",
}

_RNA_GENES: dict[str, str] = {
    "proliferation": "MKI67 TOP2A CCNB1 AURKB BUB1 PLK1 FOXM1 MCM2 PCNA E2F1",
    "cytotoxic immunity": "CD8A GZMB PRF1 IFNG CXCL9 CXCL10 CD3E CD274 PDCD1 CTLA4 LAG3 TIGIT",
    "myeloid cells": "CD68 CD163 CSF1R S100A8 CXCL8 ARG1",
    "stroma": "COL1A1 FAP ACTA2 TGFB1 FN1 POSTN MMP9 VIM",
    "hypoxia": "HIF1A CA9 VEGFA SLC2A1 LDHA PDK1 ADM",
    "epithelial state": "EPCAM CDH1 KRT5 KRT18 ESR1 PGR AR ERBB2",
    "mesenchymal state": "ZEB1 SNAI2 TWIST1 CDH2 AXL",
    "drug response": "ABCB1 TYMS ERCC1 RRM1 TUBB3 BCL2 MCL1 BIRC5",
}

_PROTEINS: dict[str, str] = {
    "receptor staining": "ER PR HER2 EGFR AR MET PDL1",
    "cell cycle staining": "KI67 P53 P16 CYCLIN_D1 RB",
    "mismatch repair staining": "MLH1 MSH2 MSH6 PMS2",
    "signalling phosphoproteins": "PAKT PERK PSTAT3 PTEN BCL2 HIF1A",
}

_GENOME_WIDE = MarkerGroup(Modality.DNA_MUTATION, "DNA repair", 0.05)


def _z_scores(
    modality: Modality, groups: dict[str, str], suffix: str, unmeasured: float
) -> tuple[SyntheticMarker, ...]:
    return tuple(
        MarkerGroup(modality, group, unmeasured).continuous(f"{gene}_{suffix}", "z-score", (-8, 8), 0, 1, decimals=2)
        for group, genes in groups.items()
        for gene in genes.split()
    )


DNA_MUTATION: tuple[SyntheticMarker, ...] = (
    *(
        MarkerGroup(Modality.DNA_MUTATION, group, 0.02).binary(f"{gene}_mut", int(percent) / 100)
        for group, genes in _MUTATED_PERCENT.items()
        for gene, percent in (word.split("=") for word in genes.split())
    ),
    _GENOME_WIDE.continuous(
        "log10_tumour_mutational_burden_per_mb", "log10(1/Mb)", (-1.5, 3), 0.6, 0.45, decimals=2, unmeasured=0.1
    ),
    _GENOME_WIDE.binary("microsatellite_instability_high", 0.05),
    _GENOME_WIDE.continuous("homologous_recombination_deficiency_score", "points", (0, 120), 22, 15, unmeasured=0.3),
)

DNA_COPY_NUMBER: tuple[SyntheticMarker, ...] = tuple(
    MarkerGroup(Modality.DNA_COPY_NUMBER, group, 0.02).continuous(
        f"{gene}_cnv", "log2(ratio)", (-8, 8), 0, 0.5, decimals=2, extent=0.05
    )
    for group, genes in _COPY_NUMBER_GENES.items()
    for gene in genes.split()
)

RNA_EXPRESSION: tuple[SyntheticMarker, ...] = _z_scores(Modality.RNA_EXPRESSION, _RNA_GENES, "rna", 0.01)

PROTEIN_EXPRESSION: tuple[SyntheticMarker, ...] = _z_scores(Modality.PROTEIN_EXPRESSION, _PROTEINS, "protein", 0.06)
