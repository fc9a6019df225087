"""Does the page of a patient's kinds of data answer a clinician's questions, and rightly, where the truth is known?

The hospital's model is linear and its patients' values are normal with known correlations (`tests.twin_hospital`): what
must stand on the page is a sum or an integral, and none of it comes from the code that is tested.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.html_pages import Page, unsafe
from tests.pages_hospital import IMAGE, Served, Window, hospital, served, with_causes
from tests.twin_hospital import ASSAYS, CORRELATED, HORIZON, NAMES, ROW, WEIGHTS, Truth
from tests.twin_hospital import hospital as twin_hospital

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.next_measurement import Unsaid
from oncofed.client.pages.patient_view import outlook
from oncofed.client.pages.twin_view import ToMeasure, TwinView, shares_at, twin_view
from oncofed.words.numbers import hazard_ratio

HERE = twin_hospital()
TRUTH = Truth.of(HERE.cohort)


def view(of: HospitalPrognosis = HERE, row: int = ROW) -> TwinView:
    return twin_view(of, row, outlook(of, row, endpoint=0), of.peers(row), moment=HORIZON)


def told(found: TwinView, name: str) -> ToMeasure:
    (each,) = (each for each in found.to_measure if each.name == name)
    return each


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("CRP", TRUTH.moves(*TRUTH.of_crp())),
        ("rna panel", TRUTH.moves(*TRUTH.of_rna())),
        ("kras test", TRUTH.of_kras()),
    ],
)
def test_the_expected_change_is_the_integral_given_what_is_known(name: str, truth: float) -> None:
    """Rounded down by a step at most, and known from two hundred patients."""
    change = told(view(), name).change
    assert truth - 0.025 < change < truth + 0.012
    assert change > 0.02, "the check must be able to fail"


def test_what_foretells_a_result_is_named_and_only_that() -> None:
    found = view()
    assert told(found, "CRP").goes_with == ("albumin",)
    assert told(found, "rna panel").goes_with == ("protein a",)
    assert told(found, "kras test").goes_with == ()


def test_most_results_put_it_where_the_closed_form_has_them() -> None:
    for name, (mean, deviation) in (("CRP", TRUTH.of_crp()), ("rna panel", TRUTH.of_rna())):
        found = told(view(), name)
        assert found.holds == "eight in ten"
        tail = 1.2816 * deviation
        for there, truth in ((found.high, mean - tail), (found.low, mean + tail)):
            assert there == pytest.approx(TRUTH.survival(truth), abs=0.03)


def test_an_answer_that_forgets_what_is_known_would_be_too_wide() -> None:
    mean, deviation = TRUTH.of_crp()
    forgetful = TRUTH.moves(0.0, WEIGHTS["crp"])
    assert abs(forgetful - TRUTH.moves(mean, deviation)) > 0.03
    assert deviation < 0.75 * WEIGHTS["crp"]
    assert CORRELATED["crp", "albumin"] == -0.7


def test_why_nothing_is_said_of_the_rest() -> None:
    assert {each.name: each.why for each in view().not_said} == {
        "protein b": Unsaid.TOO_FEW,
        "myc": Unsaid.MAY_BE_NOISE,
    }
    silent = view(twin_hospital(weight_noise=None))
    assert {each.name: each.why for each in silent.not_said} == {"protein b": Unsaid.TOO_FEW}
    assert not told(silent, "myc").moves, "where nobody knows the noise, a small weight hardly moves anything"


def test_what_moves_it_most_stands_first_whatever_assays_the_study_names_first() -> None:
    for assays in (HERE.assays, HERE.assays[::-1]):
        found = view(replace(HERE, assays=assays)).to_measure
        changes = [each.change for each in found]
        assert len(changes) > 2
        assert changes == sorted(changes, reverse=True)


def test_markers_that_hardly_move_it_are_counted() -> None:
    each = [
        ToMeasure(name, markers, change, 0.4, 0.6, "eight in ten", ())
        for name, markers, change in (("a", 3, 0.2), ("b", 4, 0.0), ("c", 5, 0.009), ("d", 6, 0.01))
    ]
    found = TwinView(0.5, (), tuple(each), (), priced=False)
    assert (found.hardly, [one.name for one in found.worth]) == (4 + 5, ["a", "d"])


def test_treatments_and_the_tumour_are_not_measured() -> None:
    values = HERE.cohort.values.copy()
    values[ROW, [NAMES.index("chemotherapy"), NAMES.index("entity")]] = np.nan
    found = view(replace(HERE, cohort=replace(HERE.cohort, values=values), published=HERE.units))
    names = [*(each.name for each in found.to_measure), *(each.name for each in found.not_said)]
    assert {*names} == {*("CRP", "rna panel", "kras test", "protein b", "myc")}


def test_kinds_of_data_multiply_up_to_the_patients_own_hazard_ratio() -> None:
    kinds = {marker.name: marker.modality.value for marker in HERE.schema.markers}
    truth: dict[str, float] = {}
    for name, part in TRUTH.parts.items():
        truth[kinds[name]] = truth.get(kinds[name], 0.0) + part
    layers = {each.total.kind.value: each for each in view().layers}
    assert list(layers) == [
        *("clinical", "laboratory", "body_composition", "dna_mutation", "dna_copy_number"),
        *("rna_expression", "protein_expression", "treatment"),
    ]
    for kind, part in truth.items():
        assert layers[kind].total.log_hazard_ratio == pytest.approx(part, abs=1e-9)
    assert sum(each.total.log_hazard_ratio for each in layers.values()) == pytest.approx(TRUTH.log_hazard_ratio())
    assert layers["laboratory"].total.measured == "1 of 2"


def test_how_far_a_kind_usually_moves_is_the_mean_rounded_down() -> None:
    layers = {each.total.kind.value: each for each in view().layers}
    # Two correlated normal numbers; the mean of an absolute normal number.
    crp, albumin = WEIGHTS["crp"], WEIGHTS["albumin"]
    variance = crp**2 + albumin**2 + 2 * crp * albumin * CORRELATED["crp", "albumin"]
    truth = math.sqrt(2 / math.pi * variance)
    usual = layers["laboratory"].usual
    assert usual is not None
    assert truth - 0.06 < usual < truth + 0.03
    assert layers["dna_mutation"].usual is None, "of one yes or no a mean is a count"
    assert layers["treatment"].usual is None


@pytest.mark.parametrize("causes", [False, True])
@pytest.mark.parametrize("endpoint", [0, 1])
def test_shares_are_those_of_the_patients_own_curve(causes: bool, endpoint: int) -> None:
    """With the hospital's adjustment, and with what competes."""
    here = with_causes(600) if causes else hospital()
    assert here.endpoint(endpoint).recalibration is not None
    for row in (5, 8):
        found = outlook(here, row, endpoint=endpoint)
        for moment in (12.0, 60.0):
            share = shares_at(here, here.encoded(row), endpoint=endpoint, moment=moment)
            assert share[0] == pytest.approx(found.curve.at(moment), abs=1e-9)


# The page.


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shown=HERE) as found:
        yield found


@pytest.fixture
def window(here: Served) -> Window:
    return here.signed_in(Role.CLINICIAN)


@pytest.fixture
def text(here: Served, window: Window) -> str:
    return words_of(window, f"{here.opened(window, ROW)}/twin")


def words_of(window: Window, address: str) -> str:
    answer = window.get(address)
    assert answer.status_code == 200
    return " ".join(Page(answer.text).text.split())


def row_of(text: str, name: str) -> str:
    """From the name on, as it is read out."""
    return text[text.index(name) :][:200]


def test_1_what_does_the_model_say_and_how_much_does_it_know(text: str) -> None:
    assert f"Of 100 such patients, about {round(100 * TRUTH.survival())} are alive after 3 years." in text
    assert "6 of 12 markers are known." in text


def test_2_which_kinds_of_data_are_there(text: str) -> None:
    for kind, measured in (
        ("Clinical", "2 of 2"),
        ("Laboratory", "1 of 2"),
        ("Body composition", "1 of 1"),
        ("DNA mutations", "0 of 1"),
        ("DNA copy numbers", "0 of 1"),
        ("RNA expression", "0 of 2"),
        ("Protein expression", "1 of 2"),
    ):
        assert re.search(rf"{kind} (stands out |may be noise )?{measured}", text), kind


def test_3_what_does_each_kind_add_to_this_patient(text: str) -> None:
    for kind, names in (("Laboratory", ["crp", "albumin"]), ("Clinical", ["age_years", "entity"])):
        assert hazard_ratio(sum(TRUTH.parts[name] for name in names)) in row_of(text, kind)
    assert hazard_ratio(TRUTH.log_hazard_ratio()) in row_of(text, "This patient: hazard ratio by the model as released")


def test_4_is_it_more_than_noise(text: str) -> None:
    """Of one column of length z noise alone has 0.03 z: a weight of 0.3 is ten deviations."""
    assert "Laboratory stands out 1 of 2" in text
    assert "“Stands out”: further out than nearly any of them." in text


def test_5_how_far_does_it_move_such_patients(text: str) -> None:
    assert "how far the kind moves patients with lung in the mean, times or divided by, at least" in text
    assert re.search(r"Laboratory stands out 1 of 2 [▲▼] [\d.]+ 1\.[67]\d", text)


def test_6_what_could_be_measured_and_how_far_would_it_move(text: str) -> None:
    now = round(100 * TRUTH.survival())
    assert f"of 100 such patients, {now} are alive after 3 years" in text
    for name, truth in (("CRP", TRUTH.moves(*TRUTH.of_crp())), ("Rna panel (2 markers)", TRUTH.moves(*TRUTH.of_rna()))):
        found = re.search(rf"{re.escape(name)} (\d+) (\d+) to (\d+) ", text)
        assert found is not None, name
        change, low, high = map(int, found.groups())
        assert 100 * truth - 3.5 < change <= 100 * truth + 1
        assert low < now < high


def test_7_what_foretells_it(text: str) -> None:
    assert re.search(r"CRP .{0,80} albumin", text)
    assert re.search(r"Kras test .{0,80} nothing that is known", text)


def test_8_what_does_it_cost(text: str) -> None:
    assert re.search(r"Rna panel .{0,60} 700 14 protein a", text)
    assert re.search(r"Kras test .{0,60} 120 5 ", text)
    assert re.search(r"CRP .{0,60} not said not said albumin", text)


def test_9_why_is_nothing_said_of_the_rest(text: str) -> None:
    few, noise = (
        text.index("Too few other patients of this hospital have it"),
        text.index("may be noise of its training"),
    )
    assert few < text.index("1 marker: Protein b") < noise < text.index("1 marker: Myc")
    assert "the study has released no means and spreads of markers" in text


def test_10_which_option_and_what_is_not_known(text: str) -> None:
    assert "Nothing is said of options for this patient. The study has released no comparison of options" in text
    assert "What the model makes of treatments says who is given them, not what they do." in text
    assert "Options are never put in an order here" in text
    assert "When the event comes for this patient: every figure is of many such patients." in text
    assert "What two measurements would tell together: each line is of one alone." in text
    for word in ("recommend ", "recommended for", "best option", "rank"):
        assert word not in text.lower()


def test_without_assays_it_says_that_no_price_is_known(tmp_path: Path) -> None:
    with served(tmp_path, shown=twin_hospital(assays=())) as here, here.signed_in(Role.CLINICIAN) as window:
        said = words_of(window, f"{here.opened(window, ROW)}/twin")
    assert "Prices and days are not known: the study names no assays." in said
    assert "RNA expression (all 2 markers)" in said
    assert "Price" not in said.replace("Prices and days", "")
    assert ASSAYS[0].name.replace("_", " ") not in said


def test_of_a_rare_tumour_it_says_once_whose_patients_are_meant(tmp_path: Path) -> None:
    with served(tmp_path, shown=hospital(12)) as here, here.signed_in(Role.CLINICIAN) as window:
        said = words_of(window, f"{here.opened(window, 4)}/twin")
    assert "how far the kind moves patients of this hospital in the mean" in said


def test_a_view_is_written_down_before_it_is_shown(here: Served, window: Window) -> None:
    address = here.opened(window, ROW)
    before = len(here.entries())
    assert window.get(f"{address}/twin").status_code == 200
    (entry,) = here.entries()[before:]
    assert (entry.event, entry.by) == ("page_twin", "clinician")
    assert entry.code.startswith("patient.")


@pytest.mark.parametrize(
    ("role", "asked", "status"),
    [
        (Role.CLINICIAN, "?endpoint=7", 404),
        (Role.CLINICIAN, "?endpoint=x", 404),
        (Role.ANALYST, "", 403),
        (Role.ADMINISTRATOR, "", 403),
    ],
)
def test_nobody_else_sees_it(here: Served, role: Role, asked: str, status: int) -> None:
    word = here.opened(here.signed_in(Role.CLINICIAN), ROW)
    window = here.signed_in(role)
    address = here.opened(window, ROW) if role is Role.CLINICIAN else word
    assert window.get(f"{address}/twin{asked}").status_code == status
    assert here.events()[-1][0] == "page_refused"


def test_a_word_of_another_session_opens_nothing(here: Served) -> None:
    word = here.opened(here.signed_in(Role.CLINICIAN), ROW)
    assert here.signed_in(Role.CLINICIAN).get(f"{word}/twin").status_code == 404


def test_names_of_ill_will_are_text(tmp_path: Path) -> None:
    with served(tmp_path, shown=hospital()) as here, here.signed_in(Role.CLINICIAN) as window:
        for row in range(1, 9):
            answer = window.get(f"{here.opened(window, row)}/twin")
            assert answer.status_code == 200
            inside = answer.text.partition("<main")[2].partition("</main>")[0]
            assert [each for each in unsafe(inside) if not each.startswith("a href=/patients/")] == []
            assert IMAGE not in answer.text


def test_means_of_others_are_told_in_steps_of_what_ten_of_them_can_move() -> None:
    """Of the mutation ten of two hundred donors have a tenth of all that the mean can be: those who have it move
    survival by one and the same number, nobody else moves it.
    """
    a_step = abs(TRUTH.survival(WEIGHTS["kras"]) - TRUTH.survival()) * 10 / 200
    steps = told(view(), "kras test").change / a_step
    assert steps == pytest.approx(round(steps), abs=0.04), "but for residuals that are left one out"
    assert 3 < steps < 0.3 * 20

    values = HERE.units.cohort.marker_values("myc").clip(-3, 3)  # as far as the network reads a value
    moved = np.where(np.isnan(values), 0.0, np.abs(WEIGHTS["myc"] * values))
    lung = int((HERE.units.cohort.marker_values("entity") == 0).sum())
    a_step = float(np.sort(moved)[-10:].mean()) * 10 / (lung // 10 * 10)
    (layer,) = (each for each in view().layers if each.total.kind.value == "dna_copy_number")
    assert layer.usual is not None
    assert layer.usual / a_step == pytest.approx(round(layer.usual / a_step), abs=1e-6)
    assert layer.usual / a_step > 20
