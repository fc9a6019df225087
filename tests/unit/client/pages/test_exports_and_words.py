"""Do exports stay what they say in a spreadsheet, and numbers what they are in words?"""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from tests.pages_hospital import hospital

from oncofed.client.pages import wording
from oncofed.client.pages.cohort_view import dependence, risk_groups, strongest_markers
from oncofed.client.pages.csv_export import csv_text
from oncofed.client.pages.figures import (
    dependence_figure,
    groups_figure,
    label,
    network_figure,
    strength_figure,
    survival_figure,
    waterfall_figure,
)
from oncofed.client.pages.interaction_view import strongest_interactions
from oncofed.client.pages.patient_view import patient_view
from oncofed.cohort.schema import Kind, Marker, Modality


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet() -> None:
    text = csv_text(("name", "value"), [("=cmd()", -1.5), ("+1", 2), ("@x", math.nan), ('a "b", c', 1e-9), ("-", 0)])
    rows = list(csv.reader(io.StringIO(text)))
    assert [row[0] for row in rows] == ["name", "'=cmd()", "'+1", "'@x", 'a "b", c', "'-"]
    assert [row[1] for row in rows] == ["value", "-1.5", "2", "", "1e-09", "0"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "1.00"), (math.log(2.5), "2.50"), (math.log(24), "24"), (9.0, "above 1000"), (-9.0, "below 0.001")],
)
def test_hazard_ratios(value: float, said: str) -> None:
    assert wording.hazard_ratio(value) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0 %"), (1e-4, "below 1 %"), (0.5, "50 %"), (0.999, "above 99 %"), (1.0, "100 %")]
)
def test_shares(share: float, said: str) -> None:
    assert wording.percent(share).replace("\N{NO-BREAK SPACE}", " ") == said


def test_counts_below_the_floor_are_not_told() -> None:
    assert [wording.floored(count, 10) for count in (0, 1, 9, 10, 1234)] == ["0", *["fewer than 10"] * 2, "10", "1,234"]


@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("age_years", "years", "age"),
        ("log10_ldh_u_per_l", "log10(U/l)", "log10 ldh"),
        ("quick_percent", "%", "quick"),
        ("uicc_stage", "", "uicc stage"),
        ("crp", "mg/l", "crp"),
    ],
)
def test_a_unit_stands_beside_the_name_and_not_in_it(name: str, unit: str, said: str) -> None:
    assert wording.marker_label(Marker(name, Modality.CLINICAL, Kind.CONTINUOUS, unit)) == said


def test_figures_are_json_and_equal_names_keep_their_places() -> None:
    shown = hospital()
    view, endpoint = patient_view(shown, 4, endpoint=0), shown.endpoint(0)
    everybody = np.ones(len(shown.cohort), dtype=np.bool_)
    strongest = strongest_markers(shown, endpoint, everybody)
    found = dependence(shown, endpoint, everybody, source="age_years")
    assert found is not None
    groups = risk_groups(shown, endpoint, everybody)
    figures = [
        survival_figure(view, shown.grid),
        waterfall_figure(view),
        strength_figure(strongest),
        dependence_figure(found),
        groups_figure(groups, shown.grid, endpoint="overall_survival"),
        network_figure(strongest_interactions(shown, endpoint, everybody) or ()),
    ]
    assert all(json.dumps(figure, allow_nan=False) for figure in figures)
    bars = waterfall_figure(view)["data"][0]
    assert len(set(bars["y"])) == len(bars["y"])
    assert sum(bars["x"][:-1]) == pytest.approx(bars["x"][-1], abs=1e-3)
    assert bars["x"][-1] == pytest.approx(view.log_hazard_ratio, abs=1e-4)


def test_labels_are_no_markup_and_short() -> None:
    assert label("<b>a & b</b>") == "&lt;b&gt;a &amp; b&lt;/b&gt;"
    assert len(label("x" * 500)) == 44
