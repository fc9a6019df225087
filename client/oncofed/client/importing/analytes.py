"""What is publicly known of the laboratory values that oncology uses: codes, units, what can be, what is usual?

One row each: LOINC codes (of the substance in blood, serum or plasma, whatever the unit), the unit that schemas use,
the range outside of which a value is in another unit or wrong, and the usual range in health, by sex where it differs.
Usual ranges differ between laboratories: these are for eyes, and for a ratio to the limit where a hospital has none of
its own. Promise: a factor between units is exact arithmetic on a molar mass (or a valence, or a definition such as
1 kat = 60,000,000 U); where there is no such constant, there is no conversion.

Sources: LOINC (public codes); molar masses from the formulas and standard atomic weights; haemoglobin in mol is of one
chain, a quarter of the molecule; triglycerides are told as triolein.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from oncofed.client.importing.units import Dimension, spelt, unit_of

Span = tuple[float, float]


@dataclass(frozen=True)
class Analyte:
    """One laboratory value.

    name             how mappings call it.
    words            what columns of tables call it, in small letters.
    loinc            codes.
    unit             of the ranges.
    plausible        what can be in a living patient.
    usual            in health; of women and men where `usual_men` stands beside it.
    grams_per_mole   of the substance; None: mass and amount are not converted.
    valence          charges of an ion.
    grams_per_unit   for what is told both in grams and in units.
    enzyme           whether U/l and kat/l are one thing.
    skewed           whether its logarithm is what models use.
    """

    name: str
    words: tuple[str, ...]
    loinc: tuple[str, ...]
    unit: str
    plausible: Span
    usual: Span
    usual_men: Span | None = None
    grams_per_mole: str | None = None
    valence: int | None = None
    grams_per_unit: str | None = None
    enzyme: bool = False
    skewed: bool = False

    @property
    def counted(self) -> bool:
        """Whether it is cells in a volume: then `G/l` is giga per litre."""
        return self.unit.startswith("10^")

    @property
    def bridges(self) -> Mapping[Dimension, Fraction]:
        """How much of the substance one base unit of a dimension is. Dimensions that are absent cannot be had."""
        own = unit_of(self.unit, counted=self.counted)
        assert own is not None, self.unit
        found = {own.dimension: Fraction(1)}
        if self.grams_per_mole is not None:
            found = {Dimension.SUBSTANCE: Fraction(1), Dimension.MASS: 1 / Fraction(self.grams_per_mole)}
        if self.valence is not None:
            found[Dimension.EQUIVALENT] = Fraction(1, self.valence)
        if self.enzyme:
            found[Dimension.CATALYTIC] = Fraction(60_000_000)
        if self.grams_per_unit is not None:
            found[Dimension.UNITS] = Fraction(self.grams_per_unit)
        return found


def _enzyme(name: str, words: tuple[str, ...], loinc: tuple[str, ...], most: float, usual: Span, men: Span) -> Analyte:
    return Analyte(name, words, loinc, "U/l", (0, most), usual, men, enzyme=True, skewed=True)


def _cells(
    name: str, words: tuple[str, ...], loinc: tuple[str, ...], most: float, usual: Span, *, skewed: bool = False
) -> Analyte:
    return Analyte(name, words, loinc, "10^9/l", (0, most), usual, skewed=skewed)


ANALYTES: tuple[Analyte, ...] = (
    # Proteins
    Analyte("albumin", ("albumin", "alb"), ("1751-7",), "g/l", (8, 65), (35, 52)),
    Analyte(
        "total_protein", ("total protein", "gesamteiweiß", "gesamteiweiss"), ("2885-2",), "g/l", (20, 150), (64, 83)
    ),
    Analyte(
        "crp",
        ("crp", "c-reactive protein", "c-reaktives protein"),
        ("1988-5", "30522-7"),
        "mg/l",
        (0, 700),
        (0, 5),
        skewed=True,
    ),
    Analyte("procalcitonin", ("procalcitonin", "pct"), ("33959-8",), "ug/l", (0, 1000), (0, 0.5), skewed=True),
    Analyte("ferritin", ("ferritin",), ("2276-4",), "ug/l", (0.5, 100_000), (15, 150), (30, 400), skewed=True),
    Analyte("transferrin", ("transferrin",), ("3034-6",), "g/l", (0.3, 8), (2, 3.6)),
    Analyte("fibrinogen", ("fibrinogen",), ("3255-7",), "g/l", (0.2, 15), (1.8, 3.5)),
    Analyte("beta2_microglobulin", ("beta-2-microglobulin", "b2m"), ("1952-1",), "mg/l", (0.3, 100), (0.8, 2.4)),
    Analyte("interleukin_6", ("interleukin 6", "il-6", "il6"), ("26881-3",), "ng/l", (0, 500_000), (0, 7), skewed=True),
    # Enzymes
    _enzyme(
        "ldh",
        ("ldh", "lactate dehydrogenase", "laktatdehydrogenase"),
        ("2532-0", "14804-9"),
        30_000,
        (135, 214),
        (135, 225),
    ),
    _enzyme("alt", ("alt", "alat", "gpt", "alanine aminotransferase"), ("1742-6",), 20_000, (0, 35), (0, 50)),
    _enzyme("ast", ("ast", "asat", "got", "aspartate aminotransferase"), ("1920-8",), 30_000, (0, 35), (0, 50)),
    _enzyme(
        "alp",
        ("alp", "ap", "alkaline phosphatase", "alkalische phosphatase"),
        ("6768-6",),
        10_000,
        (35, 105),
        (40, 130),
    ),
    _enzyme("ggt", ("ggt", "gamma-gt", "y-gt", "gamma-glutamyltransferase"), ("2324-2",), 10_000, (0, 40), (0, 60)),
    _enzyme("lipase", ("lipase",), ("3040-3",), 30_000, (13, 60), (13, 60)),
    _enzyme("amylase", ("amylase",), ("1798-8",), 30_000, (28, 100), (28, 100)),
    _enzyme("cholinesterase", ("cholinesterase", "che"), ("2098-2",), 30_000, (3_900, 10_800), (4_600, 11_500)),
    # Blood count
    Analyte(
        "haemoglobin",
        ("haemoglobin", "hemoglobin", "hämoglobin", "hb", "hgb"),
        ("718-7", "59260-0"),
        "g/dl",
        (2, 25),
        (12, 16),
        (13.5, 17.5),
        grams_per_mole="16114.5",
    ),
    Analyte(
        "haematocrit",
        ("haematocrit", "hematocrit", "hämatokrit", "hct", "hkt"),
        ("4544-3", "20570-8"),
        "%",
        (5, 75),
        (36, 46),
        (40, 52),
    ),
    Analyte("mcv", ("mcv", "mean corpuscular volume"), ("787-2",), "fl", (40, 150), (80, 98)),
    Analyte(
        "erythrocytes",
        ("erythrocytes", "erythrozyten", "rbc"),
        ("789-8",),
        "10^12/l",
        (0.5, 10),
        (3.9, 5.2),
        (4.4, 5.9),
    ),
    _cells(
        "leucocytes",
        ("leucocytes", "leukocytes", "leukozyten", "wbc"),
        ("6690-2", "26464-8"),
        1000,
        (4, 10),
        skewed=True,
    ),
    _cells("neutrophils", ("neutrophils", "neutrophile", "anc"), ("751-8", "26499-4"), 500, (1.8, 7.7), skewed=True),
    _cells("lymphocytes", ("lymphocytes", "lymphozyten", "alc"), ("731-0", "26474-7"), 1000, (1, 4), skewed=True),
    _cells("monocytes", ("monocytes", "monozyten"), ("742-7", "26484-6"), 300, (0.2, 0.9)),
    _cells("eosinophils", ("eosinophils", "eosinophile"), ("711-2", "26449-9"), 300, (0.02, 0.5)),
    _cells("platelets", ("platelets", "thrombocytes", "thrombozyten", "plt"), ("777-3", "26515-7"), 5000, (150, 400)),
    # Kidney, liver, metabolism
    Analyte(
        "creatinine",
        ("creatinine", "kreatinin"),
        ("2160-0", "14682-9"),
        "umol/l",
        (5, 3000),
        (45, 84),
        (59, 104),
        grams_per_mole="113.120",
        skewed=True,
    ),
    Analyte(
        "urea", ("urea", "harnstoff"), ("3091-6", "22664-7"), "mmol/l", (0.3, 120), (2.8, 8.1), grams_per_mole="60.056"
    ),
    Analyte(
        "urea_nitrogen",
        ("bun", "urea nitrogen", "harnstoff-n"),
        ("3094-0",),
        "mmol/l",
        (0.3, 120),
        (2.8, 8.1),
        grams_per_mole="28.014",
    ),
    Analyte(
        "uric_acid",
        ("uric acid", "urate", "harnsäure"),
        ("3084-1", "14933-6"),
        "umol/l",
        (20, 2500),
        (140, 340),
        (200, 420),
        grams_per_mole="168.112",
    ),
    Analyte(
        "bilirubin",
        ("bilirubin", "bilirubin gesamt", "total bilirubin"),
        ("1975-2", "14631-6"),
        "umol/l",
        (0, 1200),
        (0, 21),
        grams_per_mole="584.673",
        skewed=True,
    ),
    Analyte(
        "glucose",
        ("glucose", "glukose"),
        ("2345-7", "14749-6"),
        "mmol/l",
        (0.3, 80),
        (3.9, 5.6),
        grams_per_mole="180.156",
    ),
    Analyte(
        "cholesterol",
        ("cholesterol", "cholesterin"),
        ("2093-3", "14647-2"),
        "mmol/l",
        (0.3, 40),
        (3, 5.2),
        grams_per_mole="386.664",
    ),
    Analyte(
        "triglycerides",
        ("triglycerides", "triglyzeride"),
        ("2571-8", "14927-8"),
        "mmol/l",
        (0.1, 120),
        (0.4, 1.7),
        grams_per_mole="885.453",
        skewed=True,
    ),
    Analyte(
        "iron",
        ("iron", "eisen"),
        ("2498-4", "14798-3"),
        "umol/l",
        (0.3, 200),
        (7, 26),
        (9, 31),
        grams_per_mole="55.845",
    ),
    # Electrolytes
    Analyte(
        "sodium",
        ("sodium", "natrium"),
        ("2951-2",),
        "mmol/l",
        (90, 200),
        (135, 145),
        grams_per_mole="22.990",
        valence=1,
    ),
    Analyte(
        "potassium",
        ("potassium", "kalium"),
        ("2823-3",),
        "mmol/l",
        (1, 12),
        (3.5, 5.1),
        grams_per_mole="39.098",
        valence=1,
    ),
    Analyte(
        "chloride",
        ("chloride", "chlorid"),
        ("2075-0",),
        "mmol/l",
        (50, 160),
        (98, 107),
        grams_per_mole="35.45",
        valence=1,
    ),
    Analyte(
        "calcium",
        ("calcium", "kalzium"),
        ("17861-6", "2000-8"),
        "mmol/l",
        (0.8, 6),
        (2.15, 2.55),
        grams_per_mole="40.078",
        valence=2,
    ),
    Analyte(
        "magnesium",
        ("magnesium",),
        ("19123-9", "2601-3"),
        "mmol/l",
        (0.1, 6),
        (0.66, 1.07),
        grams_per_mole="24.305",
        valence=2,
    ),
    Analyte(
        "phosphate",
        ("phosphate", "phosphat"),
        ("2777-1", "14879-1"),
        "mmol/l",
        (0.1, 10),
        (0.81, 1.45),
        grams_per_mole="30.974",
    ),
    # Coagulation
    Analyte("inr", ("inr",), ("6301-6",), "1", (0.5, 20), (0.9, 1.2)),
    Analyte("aptt", ("aptt", "ptt"), ("14979-9",), "s", (10, 250), (25, 37)),
    # Tumour markers and thyroid
    Analyte("cea", ("cea", "carcinoembryonic antigen"), ("2039-6",), "ug/l", (0, 200_000), (0, 5), skewed=True),
    Analyte("ca_19_9", ("ca 19-9", "ca19-9", "ca199"), ("24108-3",), "kU/l", (0, 2_000_000), (0, 37), skewed=True),
    Analyte("ca_125", ("ca 125", "ca-125", "ca125"), ("10334-1",), "kU/l", (0, 200_000), (0, 35), skewed=True),
    Analyte("ca_15_3", ("ca 15-3", "ca15-3", "ca153"), ("6875-9",), "kU/l", (0, 50_000), (0, 30), skewed=True),
    Analyte("cyfra_21_1", ("cyfra 21-1", "cyfra"), ("25390-6",), "ug/l", (0, 5_000), (0, 3.3), skewed=True),
    Analyte("psa", ("psa", "prostate specific antigen"), ("2857-1",), "ug/l", (0, 50_000), (0, 4), skewed=True),
    Analyte(
        "afp",
        ("afp", "alpha-fetoprotein", "alpha-1-fetoprotein"),
        ("1834-1",),
        "ug/l",
        (0, 5_000_000),
        (0, 7),
        grams_per_unit="0.00000000121",
        skewed=True,
    ),
    Analyte("tsh", ("tsh", "thyrotropin"), ("3016-3", "11580-8"), "mU/l", (0, 500), (0.4, 4), skewed=True),
    Analyte(
        "free_t4",
        ("ft4", "free t4", "free thyroxine"),
        ("3024-7", "14920-3"),
        "pmol/l",
        (0.5, 130),
        (12, 22),
        grams_per_mole="776.87",
    ),
)

BY_NAME: Mapping[str, Analyte] = {analyte.name: analyte for analyte in ANALYTES}
BY_LOINC: Mapping[str, Analyte] = {code: analyte for analyte in ANALYTES for code in analyte.loinc}


def factor_between(written: str, wanted: str, analyte: Analyte | None) -> Fraction | None:
    """By what a number in the unit `written` is multiplied to be in the unit `wanted`; None where that is not known.

    analyte  None: only units of one dimension, and one and the same text, whatever it means.
    """
    if spelt(written) == spelt(wanted):
        return Fraction(1)
    counted = analyte is not None and analyte.counted
    start, end = unit_of(written, counted=counted), unit_of(wanted, counted=counted)
    if start is None or end is None:
        return None
    if start.dimension is end.dimension and (analyte is None or start.dimension in analyte.bridges):
        return start.factor / end.factor
    if analyte is None or not {start.dimension, end.dimension} <= set(analyte.bridges):
        return None
    return start.factor * analyte.bridges[start.dimension] / (end.factor * analyte.bridges[end.dimension])
