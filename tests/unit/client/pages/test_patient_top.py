"""Does the top of a patient's page say what the model says, of one hazard ratio, as a slow reckoning of it gives it?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.html_pages import Page
from tests.pages_hospital import ENTITY, GRID, Served, hospital, served

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.marker_rows import MarkerRow, by_noise_alone, reasons_of
from oncofed.client.pages.missing_markers import completeness
from oncofed.client.pages.patient_view import PatientView, Status, patient_view
from oncofed.client.pages.patient_words import (
    completeness_words,
    event_words,
    headline,
    scenarios,
    sentence,
    status_words,
)
from oncofed.cohort.schema import Endpoint, Modality
from oncofed.explanation.training_noise import STANDS_OUT
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.network import network_with, parameter_vector

HOSPITAL = replace(hospital(), weight_noise=0.05)
ROW = 5
DEATH = event_words(HOSPITAL.schema.endpoints[0])
SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def view() -> PatientView:
    return patient_view(HOSPITAL, ROW, endpoint=0)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("pages"), shown=HOSPITAL) as found:
        yield found


def survival(moment: float, *, since: float = 0.0, of: HospitalPrognosis = HOSPITAL, row: int = ROW) -> float:
    """Interval by interval: each lives a share of the interval's cumulative hazard, times the one hazard ratio."""
    prognosis = of.endpoint(0)
    found = prognosis.recalibration
    assert found is not None
    own = of.own(0, row)
    ratio = np.exp(found.slope * own.log_hazard_ratio)
    cumulative = 0.0
    for (begin, end), log_hazard, correction in zip(
        pairwise(GRID.bounds), of.own(0, row).log_baseline_hazard, found.corrections, strict=True
    ):
        lived = max(0.0, min(moment, end) - max(since, begin)) / (end - begin)
        cumulative += lived * float(np.exp(log_hazard + correction)) * ratio
    return float(np.exp(-cumulative))


def told(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_sentence_is_of_the_curve_three_years_on_or_as_near_as_the_grid_has_a_year(view: PatientView) -> None:
    count = round(100 * survival(24.0))  # of 12, 24 and 60 months
    assert sentence(view.curve, DEATH, GRID) == f"Of 100 such patients, about {count} are alive after 2{SPACE}years."
    nobody = replace(view.curve, adjusted=None, released=np.full(241, 0.001))
    assert "about fewer than 1 are alive" in sentence(nobody, DEATH, GRID)


def test_scenarios_are_where_the_curve_crosses_tenths_and_quarters() -> None:
    values = HOSPITAL.cohort.values.copy()
    values[ROW, :2] = (1.0, np.nan)  # a lower age is a higher hazard here
    ill = replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, values=values), published=HOSPITAL.units)
    shown = patient_view(ill, ROW, endpoint=0)
    said = scenarios(shown.curve, DEATH, GRID)
    lower, upper, middle, worst, best = told(said)
    for moment, share in ((lower, 0.75), (upper, 0.25), (middle, 0.5), (worst, 0.9), (best, 0.1)):
        assert survival(moment, of=ill) == pytest.approx(share, abs=0.03), said
    assert shown.curve.median == pytest.approx(middle, abs=0.5)


def test_a_time_beyond_the_grid_is_more_than_that() -> None:
    low = int(np.argmin([HOSPITAL.own(0, row).log_hazard_ratio for row in range(400)]))
    assert survival(60.0, row=low) > 0.5
    said = scenarios(patient_view(HOSPITAL, low, endpoint=0).curve, DEATH, GRID)
    assert f"Best tenth: more than 60{SPACE}months." in said
    assert "middle: more than 60" in said or "three in four" in said


@pytest.mark.parametrize("since", [12.0, 24.0])
def test_of_those_alive_later_the_curve_is_the_share_of_them(since: float) -> None:
    shown = patient_view(HOSPITAL, ROW, endpoint=0, since=since)
    for moment in (since, since + 5, 60.0):
        assert shown.curve.at(moment) == pytest.approx(survival(moment, since=since), abs=2e-3)
        assert survival(moment, since=since) == pytest.approx(survival(moment) / survival(since))
        whole = patient_view(HOSPITAL, ROW, endpoint=0).curve
        of_all = np.interp([moment, since], whole.times, whole.released)
        released = np.interp(moment, shown.curve.times, shown.curve.released)
        assert released == pytest.approx(of_all[0] / of_all[1], abs=2e-3)
    assert shown.curve.adjusted is not None
    assert shown.curve.adjusted.low[0] == shown.curve.adjusted.high[0] == 1
    assert (shown.curve.adjusted.low <= shown.curve.survival).all()
    later = 60.0 if since == 24.0 else 24.0
    count, year = round(100 * survival(later, since=since)), round(later / 12)
    begun = f"{round(since / 12)}{SPACE}{'year' if since == 12 else 'years'}"
    said = sentence(shown.curve, DEATH, GRID)
    assert said == f"Of 100 such patients alive at {begun}, about {count} are alive after {year}{SPACE}years."


def test_status_is_the_tables_in_the_endpoints_words() -> None:
    assert DEATH.without == "alive"
    other = event_words(HOSPITAL.schema.endpoints[1])
    assert other.without == "without the event"
    assert event_words(Endpoint("os", "t", "e")).had == "died"
    assert event_words(Endpoint("pfs", "t", "e", death_event_column="death")).had == "had the event"
    assert status_words(Status(True, 26.0), DEATH, GRID) == f"died after 26{SPACE}months"
    assert status_words(Status(False, 14.0), DEATH, GRID) == f"alive when last seen, after 14{SPACE}months"
    for row in (3, 4, 5, 6):
        found = patient_view(HOSPITAL, row, endpoint=1).status
        assert found == Status(bool(HOSPITAL.cohort.observed[row, 1]), float(HOSPITAL.cohort.exit[row, 1]))


def test_completeness_is_what_filling_everything_at_once_would_do() -> None:
    """Both missing: CRP from one patient and RNA from another, whatever they are; slow and with all pairs of them."""
    row = next(r for r in range(3, 400) if np.isnan(HOSPITAL.cohort.values[r, [1, 4]]).all())
    peers = HOSPITAL.peers(row)
    slope = HOSPITAL.endpoint(0).slope
    found = completeness(HOSPITAL, row, peers, endpoint=0, slope=slope)
    assert (found.known, found.markers, found.not_told, found.little) == (3, 6, 0, False)
    assert found.change is not None
    values, entity = HOSPITAL.cohort.values, HOSPITAL.cohort.values[row, ENTITY]
    same = [r for r in range(400) if values[r, ENTITY] == entity]
    rng, answers = np.random.default_rng(1), []
    with_crp = [r for r in same if not np.isnan(values[r, 1])]
    with_rna = [r for r in same if not np.isnan(values[r, 4])]
    own = HOSPITAL.own(0, row).log_hazard_ratio
    table = values.copy()
    for place in range(250):
        table[3 + place] = values[row]
        table[3 + place, 1] = values[rng.choice(with_crp), 1]
        table[3 + place, 4:] = values[rng.choice(with_rna), 4:]
    filled = replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, values=table), published=HOSPITAL.units)
    answers = [slope * (filled.own(0, 3 + place).log_hazard_ratio - own) for place in range(250)]
    low, high = np.quantile(answers, [0.1, 0.9])
    assert (found.change.low, found.change.high) == pytest.approx((low, high), abs=0.12)
    assert high - low > 0.3, "the check must be able to fail"
    said = completeness_words(found)
    assert said.startswith("3 of 6 markers are known. If the others were measured, the hazard could be 0.")
    assert "eight in ten" in said
    assert completeness_words(replace(found, known=6)) == "All 6 markers are known."
    assert "For 2 of these 3 too few" in completeness_words(replace(found, not_told=2))
    assert replace(found, known=2).little


def marker(label: str, modality: Modality, part: float, by_noise: float | None = None) -> MarkerRow:
    return MarkerRow(label, modality, "1", "", "", "", "", "", "", part, str(part), True, by_noise)


def test_reasons_are_the_strongest_then_the_rest_by_kind_and_treatments_apart() -> None:
    rows = [
        marker("chemotherapy", Modality.TREATMENT, 0.9),
        *(marker(f"lab {each}", Modality.LABORATORY, 0.8 - each / 10) for each in range(7)),
        marker("sex", Modality.CLINICAL, 0.05),
        marker("surgery", Modality.TREATMENT, -0.02),
    ]
    whole = sum(row.log_hazard_ratio for row in rows)
    found = reasons_of(rows, whole=whole)
    assert [each.label for each in found] == [
        *(f"Lab {each}" for each in range(5)),
        "Other laboratory",
        "Sex",
        "Treatments given",
    ]
    assert [each.is_treatment for each in found] == [False] * 7 + [True]
    assert sum(each.log_hazard_ratio for each in found) == pytest.approx(whole)
    assert (found[5].beside, found[-1].beside) == ("2 markers", "2 markers")
    more = reasons_of(rows, whole=whole + 0.3)
    assert more[-1].label == "Everything else"
    assert more[-1].log_hazard_ratio == pytest.approx(0.3)


def test_a_marker_stands_out_only_beyond_the_noise_of_training_and_sums_have_the_noise_of_their_parts() -> None:
    limit = STANDS_OUT * 0.1
    for part, said in ((limit + 0.01, "stands out"), (-limit - 0.01, "stands out"), (limit - 0.01, "may be noise")):
        assert marker("a", Modality.CLINICAL, part, 0.1).noise == said
    assert marker("a", Modality.CLINICAL, 5.0).noise == ""
    assert marker("a", Modality.CLINICAL, 0.5, 0.1).noise_range == "0.82 to 1.22"  # exp of 1.96 tenths
    strong = [marker(str(each), Modality.CLINICAL, 9.0, 0.1) for each in range(5)]
    four = [marker(f"x{each}", Modality.LABORATORY, limit / 2 + 0.001, 0.1) for each in range(4)]
    (*_, rest) = reasons_of([*strong, *four], whole=45 + 2 * limit + 0.004)
    assert rest.noise == "stands out", "twice the noise of one, and four times its effect"


def test_of_a_marker_that_calibration_by_entity_moves_no_noise_is_told() -> None:
    own = HOSPITAL.endpoint(0).sources[0]
    moved = tuple(place for place, column in enumerate(HOSPITAL.columns) if column.source == own)
    spec = replace(HOSPITAL.network.spec, entity_levels=EntityLevels(moved, 1.0))
    network = network_with(spec, parameter_vector(HOSPITAL.network))
    before = by_noise_alone(HOSPITAL, HOSPITAL.endpoint(0), ROW)
    after = by_noise_alone(replace(HOSPITAL, network=network), HOSPITAL.endpoint(0), ROW)
    assert before is not None
    assert after is not None
    assert np.isnan(after).tolist() == [source == own for source in HOSPITAL.endpoint(0).sources]
    assert after[1:].tolist() == before[1:].tolist()
    rows = patient_view(replace(HOSPITAL, network=network), ROW, endpoint=0).markers
    assert {row.by_noise is None for row in rows} == {True, False}
    assert all(not (row.noise or row.noise_range) for row in rows if row.by_noise is None)


def test_each_rows_noise_is_the_length_of_its_columns_times_the_deviation_and_the_spread_here(
    view: PatientView,
) -> None:
    slope = HOSPITAL.endpoint(0).slope
    age, smoker = (next(row for row in view.markers if row.label == name) for name in ("age", "smoker"))
    values = HOSPITAL.cohort.values[ROW]
    assert age.by_noise == pytest.approx(0.05 * slope * abs(values[0] - 60) / 15)
    assert smoker.by_noise == pytest.approx(0.05 * slope * values[2])
    assert {row.noise for row in patient_view(hospital(), ROW, endpoint=0).markers} == {""}


def test_the_headline_is_of_tumour_stage_and_age_as_far_as_they_are_known() -> None:
    values = HOSPITAL.cohort.values.copy()
    values[ROW, 0], values[ROW, ENTITY] = 64.6, 0.0
    changed = replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, values=values), published=HOSPITAL.units)
    assert headline(changed, ROW) == "lung, 65 years"
    assert headline(changed, ROW, between="_") == "lung, 65_years"
    values = values.copy()
    values[ROW, 0] = values[ROW, ENTITY] = np.nan
    unknown = replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, values=values), published=HOSPITAL.units)
    assert headline(unknown, ROW) == ""


def test_there_is_one_hazard_ratio_on_the_page_of_curve_tile_reasons_and_table(pages: Served) -> None:
    """Read back: parts multiply up to the tile, and the curve follows from it and from the reference patient's."""
    browser = pages.signed_in(Role.CLINICIAN)
    text = browser.get(pages.opened(browser, ROW)).text
    prognosis = HOSPITAL.endpoint(0)
    assert prognosis.recalibration is not None
    assert abs(prognosis.slope - 1) > 0.01
    (tile,) = re.findall(r"<dt>Hazard ratio</dt><dd>([\d.]+)", text)
    (foot,) = re.findall(r"<tfoot><tr>.*?<td class=\"num\">([\d.]+)</td>", text, flags=re.DOTALL)
    assert tile == foot
    reasons = re.search(r'<table class="reasons">(.*?)</table>', text, flags=re.DOTALL)
    assert reasons is not None
    parts = [float(each) for each in re.findall(r"[▲▼] ([\d.]+)</b>", reasons[1])]
    table = re.search(r'id="markers"(.*?)By kind of data', text, flags=re.DOTALL)
    assert table is not None
    rows = [float(each) for each in re.findall(r"[▲▼] ([\d.]+)</b>", table[1])]
    kinds = re.search(r"By kind of data(.*?)</table>", text, flags=re.DOTALL)
    assert kinds is not None
    totals = [float(each) for each in re.findall(r"[▲▼] ([\d.]+)</b>", kinds[1])]
    for found in (parts, rows, totals):
        assert np.prod(found) == pytest.approx(float(tile), rel=0.03)
    at_60 = re.search(r"60.months</th><td class=\"num\">(\d+)", text)
    assert at_60 is not None
    baseline = HOSPITAL.own(0, ROW).log_baseline_hazard + prognosis.recalibration.corrections
    assert float(at_60[1]) / 100 == pytest.approx(np.exp(-np.exp(baseline).sum() * float(tile)), abs=0.01)
    released = np.exp(HOSPITAL.own(0, ROW).log_hazard_ratio)
    assert abs(released - float(tile)) > 0.006, "the two could not be told apart"


def test_a_page_of_those_alive_later_says_so_and_no_other_time_can_be_asked_for(pages: Served) -> None:
    browser = pages.signed_in(Role.CLINICIAN)
    address = pages.opened(browser, ROW)
    first, later = browser.get(address), browser.get(f"{address}?endpoint=0&since=1")
    assert f"{address}?endpoint=0&amp;since=1" in first.text
    assert "Of 100 such patients alive at 1" in Page(later.text).text.replace(SPACE, " ")
    for asked in ("9", "-1", "x", "1.5", "001"):
        assert browser.get(f"{address}?since={asked}").status_code == 404


def test_no_sentence_of_a_page_runs_into_the_next_and_no_word_into_a_word(pages: Served) -> None:
    browser = pages.signed_in(Role.CLINICIAN)
    address = pages.opened(browser, ROW)
    for page in (address, f"{address}?since=1", f"{address}?endpoint=1", "/cohort", "/patients"):
        text = browser.get(page).text
        prose = re.sub(r"<svg.*?</svg>|<script.*?</script>", "", text, flags=re.DOTALL)
        prose = re.sub(r"</?(?:strong|b|span|a|i|code)\b[^>]*>", "", prose)  # which part no words
        prose = re.sub(r"<[^>]*>", "\n", prose)
        glued = re.findall(r"[a-z][.,;:?][A-Z“]\w*|\w\(\w+|[a-z]\)[a-z]\w*|ratiosadjusted|\bmodelas\b", prose)
        assert [each for each in glued if "=" not in each and "gene" not in each] == [], page


def test_identifiers_are_found_in_any_case_and_each_is_written_down_as_the_table_has_it(tmp_path: Path) -> None:
    here = hospital(60)
    ids = ("MRN-0047-a", "mrn-0047-A", *here.cohort.patient_ids[2:])
    with served(tmp_path, shown=replace(here, cohort=replace(here.cohort, patient_ids=ids))) as found:
        shown = found.desk.hospital
        assert shown.row_of(ids[5].lower()) == shown.row_of(ids[5]) == 5
        assert (shown.row_of("MRN-0047-a"), shown.row_of("mrn-0047-A")) == (0, 1)
        assert shown.row_of("mrn-0047-a") is None, "two patients differ in nothing else"
        browser = found.signed_in(Role.CLINICIAN)
        secret = re.search(r'name="form_secret" value="([^"]+)"', browser.get("/patients").text)
        assert secret is not None
        codes = set()
        for typed in (ids[5], ids[5].lower()):
            answer = browser.post("/patients/find", data={"form_secret": secret[1], "patient_id": typed})
            assert answer.status_code == 303
            codes.add(found.events()[-1][1])
        assert len(codes) == 1


def test_the_reference_patients_values_have_the_units_of_the_markers(pages: Served) -> None:
    browser = pages.signed_in(Role.CLINICIAN)
    text = browser.get(pages.opened(browser, ROW)).text
    for marker in HOSPITAL.schema.markers[:2]:
        assert f"<td>{marker.centre:g} <i>{marker.unit}</i></td>" in text
    assert "<td>lung</td>" in text, "a category has none"
