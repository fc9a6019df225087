"""Are the public constants of laboratory values right? Each against another source than the table itself."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.client.importing.analytes import ANALYTES, BY_LOINC, BY_NAME, LISTS, Analyte, factor_between
from oncofed.client.importing.units import unit_of

ATOMIC_WEIGHTS = {
    "H": 1.008,
    "C": 12.011,
    "N": 14.007,
    "O": 15.999,
    "Na": 22.98977,
    "Mg": 24.305,
    "P": 30.973762,
    "Cl": 35.45,
    "K": 39.0983,
    "Ca": 40.078,
    "Fe": 55.845,
    "I": 126.90447,
    "Co": 58.933194,
    "Cu": 63.546,
    "Zn": 65.38,
}
FORMULAS = {
    "creatinine": "C4H7N3O",
    "urea": "CH4N2O",
    "urea_nitrogen": "N2",
    "uric_acid": "C5H4N4O3",
    "bilirubin": "C33H36N4O6",
    "glucose": "C6H12O6",
    "cholesterol": "C27H46O",
    "triglycerides": "C57H104O6",
    "iron": "Fe",
    "sodium": "Na",
    "potassium": "K",
    "chloride": "Cl",
    "calcium": "Ca",
    "magnesium": "Mg",
    "phosphate": "P",
    "free_t4": "C15H11I4NO4",
    "t4": "C15H11I4NO4",
    "free_t3": "C15H12I3NO4",
    "t3": "C15H12I3NO4",
    "bilirubin_direct": "C33H36N4O6",
    "bilirubin_indirect": "C33H36N4O6",
    "hdl_cholesterol": "C27H46O",
    "ldl_cholesterol": "C27H46O",
    "iron_binding_capacity": "Fe",
    "calcium_ionised": "Ca",
    "ammonia": "NH3",
    "lactate": "C3H6O3",
    "vitamin_b12": "C63H88CoN14O14P",
    "folate": "C19H19N7O6",
    "vitamin_d": "C27H44O2",
    "copper": "Cu",
    "zinc": "Zn",
    "cortisol": "C21H30O5",
    "testosterone": "C19H28O2",
}
CHARGES = {"sodium": 1, "potassium": 1, "chloride": 1, "calcium": 2, "calcium_ionised": 2, "magnesium": 2}
PRINTED = [  # as laboratories print them, rounded
    ("creatinine", "mg/dl", "µmol/l", 88.4),
    ("bilirubin", "mg/dl", "µmol/l", 17.1),
    ("glucose", "mg/dl", "mmol/l", 0.0555),
    ("urea", "mg/dl", "mmol/l", 0.1665),
    ("urea_nitrogen", "mg/dl", "mmol/l", 0.357),
    ("uric_acid", "mg/dl", "µmol/l", 59.48),
    ("calcium", "mg/dl", "mmol/l", 0.2495),
    ("magnesium", "mg/dl", "mmol/l", 0.4114),
    ("phosphate", "mg/dl", "mmol/l", 0.3229),
    ("iron", "µg/dl", "µmol/l", 0.179),
    ("cholesterol", "mg/dl", "mmol/l", 0.02586),
    ("triglycerides", "mg/dl", "mmol/l", 0.01129),
    ("free_t4", "ng/dl", "pmol/l", 12.87),
    ("haemoglobin", "g/dl", "mmol/l", 0.6206),
    ("ammonia", "µg/dl", "µmol/l", 0.587),
    ("lactate", "mg/dl", "mmol/l", 0.111),
    ("vitamin_b12", "pg/ml", "pmol/l", 0.7378),
    ("folate", "ng/ml", "nmol/l", 2.266),
    ("vitamin_d", "ng/ml", "nmol/l", 2.496),
    ("copper", "µg/dl", "µmol/l", 0.1574),
    ("zinc", "µg/dl", "µmol/l", 0.153),
    ("t3", "ng/ml", "nmol/l", 1.536),
    ("free_t3", "pg/ml", "pmol/l", 1.536),
    ("cortisol", "µg/dl", "nmol/l", 27.59),
    ("testosterone", "ng/dl", "nmol/l", 0.03467),
    ("ldl_cholesterol", "mg/dl", "mmol/l", 0.02586),
    ("troponin_t", "ng/ml", "ng/l", 1000.0),
    ("d_dimer", "ng/ml", "mg/l", 0.001),
    ("t_helper_cells", "/µl", "10^9/l", 0.001),
    ("calcium", "mval/l", "mmol/l", 0.5),
    ("sodium", "mEq/l", "mmol/l", 1.0),
    ("ldh", "U/l", "µkat/l", 0.016667),
    ("alt", "µkat/l", "U/l", 60.0),
    ("afp", "kU/l", "µg/l", 1.21),
    ("albumin", "g/dl", "g/l", 10.0),
    ("crp", "mg/dl", "mg/l", 10.0),
    ("psa", "ng/ml", "µg/l", 1.0),
    ("ca_19_9", "U/ml", "kU/l", 1.0),
    ("tsh", "µIU/ml", "mU/l", 1.0),
    ("ferritin", "ng/ml", "µg/l", 1.0),
    ("leucocytes", "/µl", "10^9/l", 0.001),
    ("platelets", "1000/µl", "10^9/l", 1.0),
    ("platelets", "G/l", "10^9/l", 1.0),
    ("platelets", "Tsd/µl", "10^9/l", 1.0),
    ("neutrophils", "cells/mm3", "10^9/l", 0.001),
    ("erythrocytes", "Mio/µl", "10^12/l", 1.0),
    ("erythrocytes", "T/l", "10^12/l", 1.0),
    ("haematocrit", "l/l", "%", 100.0),
]


def molar_mass(formula: str) -> float:
    return sum(ATOMIC_WEIGHTS[element] * int(many or 1) for element, many in re.findall(r"([A-Z][a-z]?)(\d*)", formula))


def test_molar_masses_are_those_of_the_formulas() -> None:
    told = {each.name: float(each.grams_per_mole) for each in ANALYTES if each.grams_per_mole is not None}
    assert set(told) == {*FORMULAS, "haemoglobin", "mchc"}
    for name, formula in FORMULAS.items():
        assert told[name] == pytest.approx(molar_mass(formula), rel=2e-5), name


@pytest.mark.parametrize("name", ["haemoglobin", "mchc"])
def test_haemoglobin_in_mol_is_of_one_chain_of_four(name: str) -> None:
    assert float(BY_NAME[name].grams_per_mole or 0) * 4 == pytest.approx(64_458, rel=1e-4)


def test_valences_are_the_charges_of_the_ions() -> None:
    assert {each.name: each.valence for each in ANALYTES if each.valence is not None} == CHARGES


@pytest.mark.parametrize(("name", "written", "wanted", "printed"), PRINTED)
def test_a_factor_is_the_one_that_laboratories_print(name: str, written: str, wanted: str, printed: float) -> None:
    found = factor_between(written, wanted, BY_NAME[name])
    assert found is not None
    assert float(found) == pytest.approx(printed, rel=2e-3)


def test_there_and_back_is_exactly_one() -> None:
    for name, written, wanted, _ in PRINTED:
        there, back = (factor_between(*pair, BY_NAME[name]) for pair in ((written, wanted), (wanted, written)))
        assert there is not None
        assert back is not None
        assert there * back == Fraction(1), name


@pytest.mark.parametrize(
    ("name", "written", "wanted"),
    [
        ("crp", "mg/l", "nmol/l"),  # no molar mass that laboratories agree on
        ("ca_125", "U/ml", "ukat/l"),  # a unit of its own, and no enzyme
        ("albumin", "g/dl", "%"),
        ("phosphate", "mval/l", "mmol/l"),  # its charge depends on the pH
        ("creatinine", "mg/dl", "furlong"),
        ("platelets", "g/l", "mg/l"),
    ],
)
def test_where_no_constant_is_known_nothing_is_converted(name: str, written: str, wanted: str) -> None:
    assert factor_between(written, wanted, BY_NAME[name]) is None


def test_without_an_analyte_only_units_of_one_kind_are_converted() -> None:
    assert factor_between("g/dl", "g/l", None) == 10
    assert factor_between("mg/dl", "µmol/l", None) is None
    assert factor_between("points", "Points", None) == 1
    assert factor_between("points", "score", None) is None


@pytest.mark.parametrize("analyte", ANALYTES, ids=lambda analyte: analyte.name)
def test_ranges_lie_in_one_another(analyte: Analyte) -> None:
    low, high = analyte.plausible
    for usual in (analyte.usual, analyte.usual_men or analyte.usual):
        assert low <= usual[0] < usual[1] <= high


TOLD_IN_NO_OTHER_UNIT = {"mm/h", "pg", "ml/min/1.73m2", "mosm/kg"}


@pytest.mark.parametrize("analyte", ANALYTES, ids=lambda analyte: analyte.name)
def test_its_unit_is_known_and_those_elsewhere_are_converted(analyte: Analyte) -> None:
    if analyte.unit in TOLD_IN_NO_OTHER_UNIT:
        assert not analyte.elsewhere
    else:
        assert unit_of(analyte.unit, counted=analyte.counted) is not None
    for unit in analyte.elsewhere:
        assert factor_between(unit, analyte.unit, analyte) not in (None, 1), unit


def test_no_name_word_or_code_stands_for_two_analytes() -> None:
    for found in (
        [each.name for each in ANALYTES],
        [word for each in ANALYTES for word in each.words],
        [code for each in ANALYTES for code in each.loinc],
    ):
        assert len(found) == len(set(found))
    assert len(ANALYTES) >= 140


@pytest.mark.parametrize("analyte", ANALYTES, ids=lambda analyte: analyte.name)
def test_each_code_says_in_which_public_list_it_was_looked_up(analyte: Analyte) -> None:
    assert len(analyte.looked_up) == len(analyte.loinc)
    assert set(analyte.looked_up) <= set(LISTS)


@pytest.mark.parametrize("code", BY_LOINC)
def test_a_loinc_code_has_its_check_digit(code: str) -> None:
    digits, check = code.split("-")
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    assert (10 - total % 10) % 10 == int(check)


@given(st.text(max_size=12), st.booleans())
def test_any_text_is_a_unit_or_none(text: str, counted: bool) -> None:
    found = unit_of(text, counted=counted)
    assert found is None or found.factor > 0


@pytest.mark.parametrize("text", ["mg/dL", "MG/DL", " mg / dl ", "[mg]/dL"])
def test_capitals_blanks_and_brackets_are_not_compared(text: str) -> None:
    assert unit_of(text) == unit_of("mg/dl")


@pytest.mark.parametrize(
    ("written", "wanted", "factor"),
    [
        ("mm3", "ml", Fraction(1, 1000)),
        ("cm³", "ml", Fraction(1)),
        ("l", "ml", Fraction(1000)),
        ("mm^2", "cm2", Fraction(1, 100)),
        ("m²", "cm2", Fraction(10_000)),
        ("HU", "HU", Fraction(1)),
        ("ml", "cm2", None),
        ("ml", "mg/l", None),
    ],
)
def test_volumes_and_areas_of_body_composition_are_converted(
    written: str, wanted: str, factor: Fraction | None
) -> None:
    assert factor_between(written, wanted, None) == factor


@pytest.mark.parametrize(
    ("unit", "power"),
    [
        ("x1000/uL", 9),
        ("x 1000/mm3", 9),
        ("1000/ul", 9),
        ("x100/ul", 8),
        ("10000/ul", 10),
        ("x10^3/uL", 9),
        ("10*3/uL", 9),
        ("10e03/ul", 9),
        ("x103/ul", 9),
        ("109/l", 9),
        ("1010/l", 10),
        ("x10^12/L", 12),
        ("K/uL", 9),
        ("K/mcL", 9),
        ("thou/uL", 9),
        ("Tsd./µl", 9),
        ("Mio./µl", 12),
        ("/ul", 6),
    ],
)
def test_a_power_of_ten_is_read_in_full_or_by_its_exponent(unit: str, power: int) -> None:
    """By litre. 1000 is no tenth to the power of nought."""
    found = unit_of(unit, counted=True)
    assert found is not None
    assert found.factor == Fraction(10) ** power


@pytest.mark.parametrize("unit", ["x10/L", "×10/L", "x 10/ul", "10/L", "x10 cells/L"])
def test_a_ten_without_its_exponent_is_no_unit(unit: str) -> None:
    """What is left of x10⁹/L where a program could not write the ⁹."""
    assert unit_of(unit, counted=True) is None
    assert unit_of(unit) is None


@pytest.mark.parametrize(
    ("analyte", "unit"),
    [
        ("egfr_creatinine", "mL/min/{1.73_m2}"),
        ("egfr_creatinine", "ml/min/1,73m²"),
        ("egfr_creatinine", "mL/min/1.73 m^2"),
        ("esr", "mm/hr"),
        ("esr", "mm/1h"),
        ("aptt", "sek."),
        ("ca_19_9", "[arb'U]/mL"),
    ],
)
def test_a_unit_is_the_same_however_laboratories_write_it(analyte: str, unit: str) -> None:
    found = BY_NAME[analyte]
    assert factor_between(unit, found.unit, found) == 1


@pytest.mark.parametrize("unit", ["mg*24h", "thou", "mc/l", "tsd.l"])
def test_what_only_resembles_a_unit_is_none(unit: str) -> None:
    assert unit_of(unit, counted=True) is None


@pytest.mark.parametrize(
    "unit", ["mg/dL", "g/L", "10*3/uL", "10*9/L", "U/L", "k[IU]/L", "ng/mL", "umol/L", "meq/L", "/uL"]
)
def test_ucum_codes_are_known(unit: str) -> None:
    assert unit_of(unit) is not None or unit_of(unit, counted=True) is not None


@pytest.mark.parametrize(
    ("written", "wanted", "factor"),
    [
        *[(unit, "mU/l", None) for unit in ("MU/l", "MU/L", "M[IU]/L", "MIE/l", "ME/l", "PU/l")],
        *[(unit, "mU/l", 1) for unit in ("mU/l", "mu/l", "m[IU]/L", "mIE/l", "µU/ml", "UIU/ML")],
        ("MU/l", "MU/l", 1),
        ("MU/l", "U/l", None),
        *[(f"M{unit}", f"m{unit}", None) for unit in ("Bq", "V", "eV", "W", "Pa", "J", "Hz")],
        *[(unit, "mg/dl", 1) for unit in ("MG/DL", "Mg/dl")],  # a megagram is none
        *[(unit, "pg/ml", 1) for unit in ("PG/ML", "Pg/mL")],
        *[(unit, "mval/l", 1) for unit in ("MVAL/L", "MEQ/L")],
        ("MM/H", "mm/h", 1),
        ("G/l", "g/l", None),  # of what is counted, giga
        ("g/L", "g/l", 1),
        ("G/dl", "g/dl", 1),
    ],
)
def test_capitals_are_compared_where_they_would_be_another_prefix(
    written: str, wanted: str, factor: int | None
) -> None:
    """Mega for milli is a thousand million times too much: nobody guesses it."""
    assert factor_between(written, wanted, None) == factor


def test_an_analyte_says_whether_g_is_gram_or_giga() -> None:
    assert factor_between("G/L", "g/l", BY_NAME["albumin"]) == 1
    assert factor_between("g/l", "10^9/l", BY_NAME["platelets"]) == 1
