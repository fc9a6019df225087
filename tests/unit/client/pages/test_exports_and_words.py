"""Do exports stay what they say in a spreadsheet, and numbers what they are in words?"""

from __future__ import annotations

import csv
import io
import math

import pytest

from oncofed.client.pages import wording
from oncofed.client.pages.csv_export import csv_text
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.words import markers


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet() -> None:
    text = csv_text(("name", "value"), [("=cmd()", -1.5), ("+1", 2), ("@x", math.nan), ('a "b", c', 1e-9), ("-", 0)])
    rows = list(csv.reader(io.StringIO(text)))
    assert [row[0] for row in rows] == ["name", "'=cmd()", "'+1", "'@x", 'a "b", c', "'-"]
    assert [row[1] for row in rows] == ["value", "-1.5", "2", "", "1e-09", "0"]


@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("age_years", "years", "age"),
        ("log10_ldh_u_per_l", "log10(U/l)", "LDH"),
        ("log10_pack_years", "log10(years)", "pack years"),
        ("log10_ferritin_ug_per_l", "log10(µg/l)", "ferritin"),
        ("leukocytes_per_nl", "1/nl", "leukocytes"),
        ("body_temperature_celsius", "°C", "body temperature"),
        ("total_fat_to_muscle_ratio", "ratio", "total fat to muscle ratio"),
        ("quick_percent", "%", "quick"),
        ("uicc_stage", "", "UICC stage"),
        ("crp", "mg/l", "CRP"),
    ],
)
def test_a_unit_stands_beside_the_name_and_not_in_it(name: str, unit: str, said: str) -> None:
    assert markers.marker_label(Marker(name, Modality.CLINICAL, Kind.CONTINUOUS, unit)) == said


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        ("mg/l", 22.387, "22.39 mg/l"),
        ("log10(mg/l)", 1.35, "22.4 mg/l"),
        ("log10(U/l)", -1.0, "0.1 U/l"),
        ("log2(ratio)", -1.17, "\N{MINUS SIGN}1.17 log2(ratio)"),
        ("cm2/m2", 41.0, "41 cm\N{SUPERSCRIPT TWO}/m\N{SUPERSCRIPT TWO}"),
        ("1/nl", 250000.0, "250,000 1/nl"),
        ("stage", 4.0, "4"),
        ("ratio", 0.5, "0.5"),
    ],
)
def test_a_value_is_shown_as_a_laboratory_reports_it(unit: str, value: float, said: str) -> None:
    marker = Marker("uicc_stage", Modality.CLINICAL, Kind.CONTINUOUS, unit)
    assert f"{wording.marker_value(marker, value)} {markers.shown_unit(marker)}".strip() == said


def test_a_reference_range_is_in_the_unit_of_the_value() -> None:
    marker = Marker(
        "log10_crp",
        Modality.LABORATORY,
        Kind.CONTINUOUS,
        "log10(mg/l)",
        (-1.0, 3.0),
        1.0,
        0.5,
        reference_range=(-1.0, 0.7),
    )
    assert wording.reference_range(marker) == "0.1 to 5 mg/l"
    assert wording.reference_value(marker) == "10"
    assert wording.against_reference(marker, 1.35) == "high"
    assert wording.against_reference(marker, -1.1) == "low"
    assert {wording.against_reference(marker, limit) for limit in (-1.0, 0.7)} == {""}, "a limit lies inside"
