"""Is what stands on the what-if page what the model says of the other patient, and is nothing of it kept?

The truth is the model's own hazard of a patient who has these values: the network is asked directly, with a table that
is the other one, and the curve is reckoned interval by interval.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from httpx import Response
from tests.html_pages import Page, unsafe
from tests.pages_hospital import (
    ENTITY,
    GRID,
    IMAGE,
    SCHEMA,
    Served,
    Window,
    hospital,
    secret_of,
    served,
    with_causes,
)

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.what_if import Refused, changeable, levels, plausible, read, what_if
from oncofed.client.pages.wording import marker_value
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.survival.curves import cumulative_incidence

HOSPITAL = hospital()
ROW = next(row for row in range(1, 400, 2) if np.isnan(HOSPITAL.cohort.values[row, 1]))
"""CRP and all of RNA are missing."""
AGE, CRP, SMOKER, GENE = 0, 1, 2, 4
ASKED = {AGE: 75.0, CRP: 120.0, SMOKER: 1 - HOSPITAL.cohort.values[ROW, SMOKER], GENE: 2.0}


def log_hazard(asked: dict[int, float], *, of: HospitalPrognosis = HOSPITAL, endpoint: int = 0) -> np.ndarray:
    """(intervals,): the released network's of a patient who has these values, adjusted as the hospital's pages are."""
    values = of.cohort.values.copy()
    for place, value in asked.items():
        values[ROW, place] = value
    x = torch.as_tensor(encode(replace(of.cohort, values=values)))[ROW : ROW + 1]
    with torch.no_grad():
        ratio = float(of.network(x)[0, endpoint])
        released = of.network.log_hazard(x)[0, endpoint].numpy()
    fit = of.endpoint(endpoint).recalibration
    assert fit is not None
    return np.asarray(released + fit.corrections + (fit.slope - 1) * ratio)


def survival(moment: float, asked: dict[int, float], *, endpoint: int = 0) -> float:
    cumulative = 0.0
    for (begin, end), each in zip(pairwise(GRID.bounds), log_hazard(asked, endpoint=endpoint), strict=True):
        cumulative += min(max((moment - begin) / (end - begin), 0.0), 1.0) * float(np.exp(each))
    return float(np.exp(-cumulative))


@pytest.mark.parametrize("endpoint", [0, 1])
def test_the_curve_is_the_models_for_the_patient_who_has_the_other_values(endpoint: int) -> None:
    found = what_if(HOSPITAL, ROW, ASKED, endpoint=endpoint)
    for moment in (6.0, 17.0, 60.0):
        assert found.instead.curve.at(moment) == pytest.approx(survival(moment, ASKED, endpoint=endpoint), abs=2e-3)
        assert found.recorded.curve.at(moment) == pytest.approx(survival(moment, {}, endpoint=endpoint), abs=2e-3)
    apart = abs(survival(60.0, ASKED, endpoint=endpoint) - survival(60.0, {}, endpoint=endpoint))
    assert apart > 0.02, "the check must be able to fail"


def test_contributions_before_and_after_multiply_up_to_both_hazard_ratios() -> None:
    found, slope = what_if(HOSPITAL, ROW, ASKED, endpoint=0), HOSPITAL.endpoint(0).slope
    before, after = (
        sum(getattr(each, when) for each in found.changes) + rest
        for when, rest in zip(("before", "after"), found.rest, strict=True)
    )
    shift = float((log_hazard(ASKED) - log_hazard({}))[0])
    assert before == pytest.approx(slope * HOSPITAL.own(0, ROW).log_hazard_ratio)
    assert after - before == pytest.approx(shift)
    assert [each.label for each in found.changes][:2] == ["age", "CRP"]
    assert (found.changes[1].recorded, found.changes[1].instead) == ("not measured", "120 mg/l")
    assert found.changes[1].before == pytest.approx(slope * float(HOSPITAL.own(0, ROW).relevance[1]))


def test_of_endpoints_that_compete_it_is_the_incidence_of_the_other_patient() -> None:
    here = with_causes(600)
    found = what_if(here, ROW, {AGE: 85.0}, endpoint=0)
    hazards = np.exp(np.stack([log_hazard({AGE: 85.0}, of=here, endpoint=cause) for cause in (0, 1)]))
    times = np.array([6.0, 24.0, 60.0])
    truth = cumulative_incidence(hazards, grid=GRID, times=times)
    assert found.instead.competing is not None
    for place, moment in enumerate(times):
        assert found.instead.competing.at(moment) == pytest.approx(truth[:, place], abs=2e-3)
        assert 1 - found.instead.curve.at(moment) == pytest.approx(truth[0, place], abs=2e-3)


def test_groups_and_their_adjustment_stay_those_of_the_published_patients() -> None:
    before = HOSPITAL.cohort.content_hash
    changed = HOSPITAL.as_if(ROW, np.where(np.isnan(HOSPITAL.cohort.values[ROW]), 1.0, 2.0))
    assert len(changed.cohort) == 1
    assert changed.endpoint(0) is HOSPITAL.endpoint(0)
    assert changed.units is HOSPITAL.units
    assert HOSPITAL.cohort.content_hash == before


LOG = Marker("log10_crp_mg_per_l", Modality.LABORATORY, Kind.CONTINUOUS, "log10(mg/l)", (-1.0, 2.5), 0.7, 0.6)
STAGE = Marker("uicc_stage", Modality.CLINICAL, Kind.ORDINAL, "stage", (1.0, 4.0), 2.0, 1.0)


def test_a_value_is_read_in_the_unit_that_is_shown() -> None:
    assert read(LOG, " 10 ") == pytest.approx(1.0)
    assert plausible(LOG) == "0.1 to 316 mg/l"
    assert read(LOG, "316") == pytest.approx(np.log10(316), abs=1e-3)
    assert read(LOG, "317") == 2.5, "what is shown of an end is rounded, and means the end"
    assert read(LOG, "0.0995") == -1.0
    assert read(SCHEMA.markers[AGE], "75.5") == 75.5
    assert levels(STAGE) == [("1", 1.0), ("2", 2.0), ("3", 3.0), ("4", 4.0)]


PLATELETS = Marker("platelets", Modality.LABORATORY, Kind.CONTINUOUS, "1/µl", (0.0, 2e6), 250_000.0, 80_000.0)


@pytest.mark.parametrize(("marker", "value"), [(SCHEMA.markers[GENE], -0.614), (PLATELETS, 9_999.0)])
def test_what_the_page_writes_without_a_comma_can_be_typed_back(marker: Marker, value: float) -> None:
    assert read(marker, marker_value(marker, value)) == value


@pytest.mark.parametrize(
    ("marker", "typed", "word"),
    [
        (SCHEMA.markers[AGE], "121", "outside what the study takes as plausible"),
        (SCHEMA.markers[AGE], "120.004", "outside"),
        (SCHEMA.markers[AGE], "-1", "outside"),
        (SCHEMA.markers[AGE], "75,5", "decimal point"),
        (PLATELETS, "1,250", "decimal point"),
        (PLATELETS, "25,00", "decimal point"),
        (PLATELETS, "250,0000", "decimal point"),
        (PLATELETS, "250,000", "without commas"),
        (PLATELETS, "12,345", "without commas"),
        (SCHEMA.markers[AGE], "old", "no number"),
        (SCHEMA.markers[AGE], "nan", "no number"),
        (SCHEMA.markers[AGE], "1e999", ""),
        (LOG, "0", "above 0"),
        (LOG, "500", "outside"),
        (STAGE, "2.5", "whole levels"),
    ],
)
def test_what_is_no_plausible_value_is_refused_with_a_word(marker: Marker, typed: str, word: str) -> None:
    found = read(marker, typed)
    assert isinstance(found, Refused)
    assert word in found.why


# --- the page


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    treated = replace(
        SCHEMA.markers[SMOKER], name="chemotherapy", modality=Modality.TREATMENT
    )  # the same column of the network, so its weights stay
    markers = (*SCHEMA.markers[:SMOKER], treated, *SCHEMA.markers[SMOKER + 1 :])
    cohort = replace(HOSPITAL.cohort, schema=replace(SCHEMA, markers=markers))
    with served(tmp_path, shown=replace(HOSPITAL, cohort=cohort)) as found:
        yield found


def asked(here: Served, client: Window, **fields: str) -> Response:
    """The form of the patient's what-if page, sent as a browser does."""
    address = f"{here.opened(client, ROW)}/what-if"
    form = client.get(address)
    assert form.status_code == 200
    answer: Response = client.post(address, data={"form_secret": secret_of(form), "endpoint": "0", **fields})
    return answer


def test_the_page_tells_the_two_answers_and_that_one_is_not_the_patients(here: Served) -> None:
    answer = asked(here, here.signed_in(Role.CLINICIAN), value_0="75", value_1="120")
    said = Page(answer.text).text
    assert answer.status_code == 200
    for values in ({}, {AGE: 75.0, CRP: 120.0}):
        assert f"about {round(100 * survival(24.0, values))} are alive after" in said
    assert said.count("not the patient's values") >= 4
    assert "WHAT IF: not the patient's values" in said, "on paper, too"
    (picture,) = re.findall(r"<svg.*?</svg>", answer.text, re.DOTALL)
    assert "what if: not the patient's values" in Page(picture).text
    assert "not measured" in said
    assert "120 mg/l" in said
    assert answer.headers["cache-control"] == "no-store"
    assert answer.request.url.query == b""
    assert "script" not in "".join(unsafe(answer.text.partition("<main")[2].partition("</main>")[0]))


def test_what_the_table_says_itself_is_no_change(here: Served) -> None:
    recorded = f"{HOSPITAL.cohort.values[ROW, AGE]:.17g}"
    said = Page(asked(here, here.signed_in(Role.CLINICIAN), value_0=recorded).text).text
    assert "What was changed" not in said
    assert "What was changed" in Page(asked(here, here.signed_in(Role.CLINICIAN), value_0="75").text).text


def test_of_endpoints_that_compete_each_share_lies_within_the_limits_beside_it(tmp_path: Path) -> None:
    with served(tmp_path, shown=with_causes(1500)) as here:
        text = asked(here, here.signed_in(Role.CLINICIAN), value_0="85").text
    (row,) = re.findall(r"24\W+months</th>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"\d+", Page(each).text) for each in re.findall(r"<td.*?</td>", row, re.DOTALL)]
    shares, limits = cells[::2], cells[1::2]
    assert len(shares) == 2
    for (share,), (low, high) in zip(shares, limits, strict=True):
        assert int(low) < int(share) < int(high)


@pytest.mark.parametrize(
    ("with_slope", "basis"), [(True, "adjusted to this hospital"), (False, "by the model as released")]
)
def test_both_pages_say_alike_whether_the_hazard_ratio_is_adjusted(
    tmp_path: Path, with_slope: bool, basis: str
) -> None:
    shown = replace(HOSPITAL, noise_in_model=with_slope)
    fit = shown.endpoint(0).recalibration
    assert fit is not None
    assert fit.with_slope == with_slope
    with served(tmp_path, shown=shown) as here:
        client = here.signed_in(Role.CLINICIAN)
        other, patient = asked(here, client, value_0="75"), client.get(here.opened(client, ROW))
    assert re.search(rf"Hazard ratio {basis} [0-9]", Page(other.text).text)
    assert re.search(rf"This patient: hazard ratio {basis} [0-9]", Page(patient.text).text)


def test_nothing_of_it_is_kept_but_that_somebody_asked(here: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = here.signed_in(Role.CLINICIAN)
    here.opened(client, ROW)

    def held() -> dict[str, tuple[int, bytes]]:
        return {
            str(each): (each.stat().st_mtime_ns, each.read_bytes())
            for each in here.folder.rglob("*")
            if each != here.desk.audit_log
        }

    files, table = held(), here.desk.hospital.cohort.content_hash
    kept, sessions = set(here.desk.hospital._kept), str(here.desk.sessions._by_hash)
    before = len(here.entries())
    assert asked(here, client, value_0="75.4321", value_1="123.4567", another="gene 2").status_code in (200, 400)
    assert asked(here, client, value_0="75.4321").status_code == 200
    assert held() == files
    assert here.desk.hospital.cohort.content_hash == table
    assert set(here.desk.hospital._kept) == kept
    assert "75.4321" not in sessions + str(here.desk.sessions._by_hash) + str(vars(here.desk))
    assert [each.event for each in here.entries()[before:]] == ["page_search", "page_what_if", "page_what_if"] * 2
    logged = here.desk.audit_log.read_text() + caplog.text.replace("HTTP Request", "")
    for value in ("75.4321", "123.4567", "75.4", "MRN-0047"):
        assert value not in logged
    assert "POST /patients/{word}/what-if 200" in caplog.text


def test_a_second_form_knows_nothing_of_the_first(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    asked(here, client, value_0="75.4321")
    address = here.opened(client, ROW)
    for page in (address, f"{address}/what-if"):
        assert "75.43" not in client.get(page).text


@pytest.mark.parametrize(
    "fields",
    [
        {"value_2": "1"},  # a treatment
        {"value_3": "1"},  # the tumour
        {"value_99": "1"},
        {"value_00": "75"},
        {"value_-1": "1"},
        {"value_\N{SUPERSCRIPT TWO}": "1"},
        {"values_0": "75"},
        {"value_0": "75", "row": "6"},
        {"endpoint": "9", "value_0": "75"},
    ],
)
def test_a_tampered_form_is_refused_and_written_down(here: Served, fields: dict[str, str]) -> None:
    answer = asked(here, here.signed_in(Role.CLINICIAN), **fields)
    assert answer.status_code in (403, 404)
    assert "Hazard" not in answer.text
    assert here.events()[-1][0] == "page_refused"


def test_a_treatment_is_refused_by_name_with_a_word(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    for typed, word in (
        ("Chemotherapy", "Treatments are not changed here"),
        ("ENTITY", "The tumour is not changed here"),
        ("nothing of the kind", "No marker that may be changed is called so"),
    ):
        answer = asked(here, client, value_0="75", another=typed)
        assert answer.status_code == 400
        assert word in Page(answer.text).text
        assert 'name="value_2"' not in answer.text
        assert f"about {round(100 * survival(24.0, {AGE: 75.0}))} are alive" not in answer.text
    options = Page(client.get(f"{here.opened(client, ROW)}/what-if").text).values("value")
    assert "CRP" in options
    assert "Chemotherapy" not in options
    assert "Entity" not in options


def test_a_marker_is_added_by_its_name_and_what_was_typed_stays(here: Served) -> None:
    answer = asked(here, here.signed_in(Role.CLINICIAN), value_0="75", another=f"gene {IMAGE}")
    assert answer.status_code == 200
    assert 'name="value_4"' in answer.text
    assert 'value="75"' in answer.text
    assert IMAGE not in answer.text, "what somebody wrote into a name is text"


def test_a_value_that_is_not_plausible_is_told_at_its_field_and_nothing_is_computed(here: Served) -> None:
    answer = asked(here, here.signed_in(Role.CLINICIAN), value_0="300", value_1="many")
    said = Page(answer.text).text
    assert answer.status_code == 400
    assert "outside what the study takes as plausible" in said
    assert "Plausible: 0 to 120 years" in said
    assert "This is no number" in said, "all faults at once"
    assert "What was changed" not in said
    assert 'value="300"' in answer.text


def test_only_who_may_see_patients_may_ask(here: Served) -> None:
    address = f"{here.opened(here.signed_in(Role.CLINICIAN), ROW)}/what-if"
    for role in (Role.ANALYST, Role.ADMINISTRATOR):
        client = here.signed_in(role)
        data = {"form_secret": secret_of(client.get("/password")), "endpoint": "0", "value_0": "75"}
        assert client.get(address).status_code == client.post(address, data=data).status_code == 403
        assert here.events()[-1] == ("page_refused", "role", role.value)
    other = here.signed_in(Role.CLINICIAN)
    data = {"form_secret": secret_of(other.get("/password")), "endpoint": "0", "value_0": "75"}
    assert other.post(address, data=data).status_code == 404, "another session's patient"
    assert other.post(address, data=data | {"form_secret": "x"}).status_code == 403
    assert here.client().post(address, data=data).headers["location"] == "/sign-in"


def test_more_values_than_a_form_has_are_refused(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oncofed.client.pages.what_if_pages.MOST_VALUES", 1)
    client = here.signed_in(Role.CLINICIAN)
    assert asked(here, client, value_0="75", value_1="3").status_code == 403
    answer = asked(here, client, value_0="75", another="CRP")
    assert answer.status_code == 400
    assert "At most 1 values" in answer.text


def test_which_markers_may_be_changed_is_all_but_treatments_and_the_tumour(here: Served) -> None:
    assert changeable(here.desk.hospital.schema) == [0, 1, 4, 5]
    assert changeable(SCHEMA) == [0, 1, 2, 4, 5]
    assert ENTITY not in changeable(SCHEMA)
