"""Does a picture show the numbers that it is about, hold every name as text, and stay within its edges?"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from tests.html_pages import HOSTILE, unsafe
from tests.pages_hospital import hospital

from oncofed.client.pages.cohort_view import dependence, risk_groups, strongest_markers
from oncofed.client.pages.figures import BETTER, WORSE, groups_figure, survival_figure
from oncofed.client.pages.interaction_view import Interaction, strongest_interactions
from oncofed.client.pages.marker_figures import (
    dependence_figure,
    label,
    network_figure,
    strength_figure,
    waterfall_figure,
)
from oncofed.client.pages.outcome_parts import told_times
from oncofed.client.pages.patient_view import patient_view
from oncofed.picture import drawing
from oncofed.picture.axes import Key, legend, round_ticks, width_of
from oncofed.picture.drawing import INK, Picture, Stroke
from oncofed.survival.grid import TimeGrid

HOSPITAL = hospital()
VIEW, ENDPOINT = patient_view(HOSPITAL, 4, endpoint=0), HOSPITAL.endpoint(0)
EVERYBODY = HOSPITAL.everybody
ELEMENTS = {"svg", "rect", "line", "circle", "path", "text", "title"}


def pictures() -> list[Picture]:
    values, categories = (dependence(HOSPITAL, ENDPOINT, EVERYBODY, source=each) for each in ("age_years", "entity"))
    assert values is not None
    assert categories is not None
    return [
        survival_figure(VIEW, HOSPITAL.schema),
        waterfall_figure(VIEW),
        strength_figure(strongest_markers(HOSPITAL, ENDPOINT, EVERYBODY)),
        dependence_figure(values),
        dependence_figure(categories),
        groups_figure(risk_groups(HOSPITAL, ENDPOINT, EVERYBODY), HOSPITAL.grid, endpoint="overall_survival"),
        network_figure(strongest_interactions(HOSPITAL, ENDPOINT, EVERYBODY) or ()),
    ]


def tree_of(picture: Picture) -> ElementTree.Element:
    return ElementTree.fromstring(picture.svg)


def found(tree: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return tree.findall(f".//{{http://www.w3.org/2000/svg}}{name}")


def place(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def points(path: ElementTree.Element) -> np.ndarray:
    pairs = re.findall(r"([\d.-]+) ([\d.-]+)", path.attrib["d"])
    return np.array([[float(x), float(y)] for x, y in pairs])


def test_a_picture_is_made_of_marks_alone_and_every_number_is_one() -> None:
    for picture in pictures():
        tree = tree_of(picture)
        assert {each.tag.rpartition("}")[2] for each in tree.iter()} <= ELEMENTS
        written = " ".join(value for each in tree.iter() for value in each.attrib.values())
        assert not re.search(r"\b(nan|inf)\b|url\(", written)
        assert unsafe(picture.svg) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_is_it_is_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Interaction(name[:40], "\x00\x08 b", 0.1, True)
    picture = network_figure((pair,))
    assert unsafe(picture.svg) == []
    said = [each.text for each in found(tree_of(picture), "text")]
    begun = name[:1].upper() + name[1:16]
    assert [each for each in said if each and each.startswith(begun)], "as far as there is room for it"

    monkeypatch.setattr(drawing, "escape", Markup)
    assert unsafe(network_figure((pair,)).svg) != [] or "<" not in name, "the check must be able to fail"


def test_a_waterfall_begins_at_one_and_each_bar_where_the_last_has_ended() -> None:
    tree = tree_of(waterfall_figure(VIEW))
    bars = [each for each in found(tree, "rect") if each.attrib["fill"] in (WORSE, BETTER, INK)]
    numbers = [each for each in found(tree, "text") if re.fullmatch(r"[\d.]+", each.text or "")]
    ticks = [(float(each.text or ""), place(each, "x")[0]) for each in numbers]
    slope, start = np.polyfit([np.log(ratio) for ratio, _ in ticks], [x for _, x in ticks], 1)
    at = start
    for bar in bars[:-1]:
        x, width = place(bar, "x", "width")
        begin, end = (x, x + width) if bar.attrib["fill"] == WORSE else (x + width, x)
        assert begin == pytest.approx(at, abs=1.1)
        at = end
    own = start + slope * VIEW.log_hazard_ratio
    assert at == pytest.approx(own, abs=1.5)
    x, width = place(bars[-1], "x", "width")
    assert sorted((x, x + width)) == pytest.approx(sorted((start, own)), abs=1.5)
    shown = [each for each in VIEW.markers[:12] if abs(each.log_hazard_ratio) > 0.05]
    assert [bar.attrib["fill"] == WORSE for bar in bars[: len(shown)]] == [each.log_hazard_ratio > 0 for each in shown]


def test_a_curve_is_drawn_where_its_numbers_are() -> None:
    tree = tree_of(survival_figure(VIEW, HOSPITAL.schema))
    texts = {(each.text or "").replace("\N{NO-BREAK SPACE}", " "): each for each in found(tree, "text")}
    zero, whole = (place(texts[said], "y")[0] - 5 for said in ("0 %", "100 %"))
    begin, last = (place(texts[said], "x")[0] for said in ("0", "60"))
    (own,) = (each for each in found(tree, "path") if each.attrib.get("stroke-width") == "3")
    drawn = points(own)
    share = (drawn[:, 1] - zero) / (whole - zero)
    months = (drawn[:, 0] - begin) / (last - begin) * 60
    np.testing.assert_allclose(months, VIEW.curve.times, atol=0.02)
    np.testing.assert_allclose(share, VIEW.curve.survival, atol=5e-4)
    assert VIEW.curve.adjusted is not None
    (band,) = (each for each in found(tree, "path") if each.attrib.get("fill-opacity"))
    around = (points(band)[:, 1] - zero) / (whole - zero)
    limits = np.concatenate((VIEW.curve.adjusted.high, VIEW.curve.adjusted.low[::-1]))
    np.testing.assert_allclose(around, limits, atol=5e-4)


def test_what_the_pointer_is_told_are_the_curves_numbers() -> None:
    tree = tree_of(survival_figure(VIEW, HOSPITAL.schema))
    told = [each.text or "" for each in found(tree, "title")]
    assert len(told) == 61
    nearest = int(abs(VIEW.curve.times - 30).argmin())
    when, own, *_ = told[30].replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert when == "after 30 months"
    assert own.startswith(f"this patient {100 * VIEW.curve.survival[nearest]:.0f} % (band ")
    assert "similar patients 100" in told[0].replace("\N{NO-BREAK SPACE}", " ")


def test_a_limit_that_is_not_known_is_left_off() -> None:
    (group, *_) = risk_groups(HOSPITAL, ENDPOINT, EVERYBODY)
    falling = np.linspace(1.0, 0.5, 12)
    group = replace(group, survival=falling, low=falling, high=falling, times=np.arange(12.0))
    low = group.low.copy()
    low[5:8] = np.nan
    tree = tree_of(groups_figure([replace(group, low=low)], HOSPITAL.grid, endpoint="os"))
    (band,) = (each for each in found(tree, "path") if each.attrib.get("fill-opacity"))
    assert band.attrib["d"].count("M") == 2


def test_a_logarithmic_marker_is_shown_in_its_own_unit() -> None:
    age = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="age_years")
    assert age is not None
    ldh = replace(age, label="LDH", unit="U/l", logarithmic=True, at=10 ** np.linspace(2.0, 3.0, len(age.at)))
    tree = tree_of(dependence_figure(ldh))
    ticks = {each.text: place(each, "x")[0] for each in found(tree, "text") if each.text in ("100", "300", "1000")}
    assert len(ticks) == 3
    dots = [place(each, "cx")[0] for each in found(tree, "circle")]
    assert [dots[0], dots[-1]] == pytest.approx([ticks["100"], ticks["1000"]], abs=0.2)


def test_a_group_without_a_curve_has_no_line_and_no_key() -> None:
    assert VIEW.similar is not None
    outcome = VIEW.similar.outcome
    first = replace(outcome, **{name: getattr(outcome, name)[:1] for name in ("times", "survival", "low", "high")})
    view = replace(VIEW, comparison=replace(VIEW.similar, outcome=first))
    before, after = (survival_figure(each, HOSPITAL.schema).svg for each in (VIEW, view))
    assert ("observed:" in before, "observed:" in after) == (True, False)
    assert before.count("<path") == after.count("<path") + 1


def test_stages_are_told_by_whole_numbers_alone() -> None:
    age = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="age_years")
    assert age is not None
    four = {name: getattr(age, name)[:4] for name in ("middle", "spreads")}
    stage = replace(age, label="UICC stage", unit="", at=np.arange(1.0, 5.0), **four)
    below = [each for each in found(tree_of(dependence_figure(stage)), "text") if each.get("y") == "352"]
    assert [each.text for each in below] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("last", [1.0, 5.0, 60.0, 120.0, 365.0, 5000.0])
def test_a_time_axis_says_a_dozen_times_at_most(last: float) -> None:
    times = told_times(TimeGrid((0.0, last)))
    assert 2 <= len(times) <= 13
    assert times[0] == 0
    assert times[-1] <= last * (1 + 1e-9)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_within_the_axis_and_equally_far(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    assert 2 <= len(ticks) <= 9
    assert low - 1e-6 * span <= ticks[0] <= ticks[-1] <= low + span * (1 + 1e-6)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:.3g}".strip("0.").replace(".", "")[0] in "125"


@given(st.lists(st.text("abcMW i", min_size=1, max_size=30), min_size=1, max_size=8))
def test_a_legend_stays_within_the_picture(names: list[str]) -> None:
    marks, high = legend([Key(name, Stroke("#000000")) for name in names], left=60, top=0)
    rows = set()
    for name, mark in zip(names, (each for each in marks if each.startswith("<text")), strict=True):
        x, y = (float(value) for value in re.findall(r' [xy]="([\d.]+)"', mark))
        rows.add(y)
        assert x + width_of(name) <= 860
    assert high >= 22 * len(rows)


def test_labels_are_short() -> None:
    assert len(label("x" * 500)) == 44
    assert label("x" * 44) == "x" * 44


def contrast(colour: str) -> float:
    """Against white; WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (float(np.dot([0.2126, 0.7152, 0.0722], linear)) + 0.05)


def test_every_line_of_a_picture_and_the_ring_of_the_focus_stand_out_from_white() -> None:
    palette = [getattr(drawing, name) for name in ("BLUE", "SKY", "GREEN", "ORANGE", "VERMILLION", "PURPLE", "OLIVE")]
    style = files("oncofed.local_pages").joinpath("static", "pages.css").read_text()
    ring = re.search(r"--focus: (#\w{6})", style)
    assert ring is not None
    for colour in (*palette, drawing.GREY, drawing.QUIET, WORSE, BETTER, ring[1]):
        assert contrast(colour) >= 3, colour
    assert contrast("#e69f00") == pytest.approx(2.25, abs=0.01), "the yellow of before"
