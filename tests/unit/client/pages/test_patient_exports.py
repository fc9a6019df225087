"""Does a file of one patient's prognosis say what the page says, no more, and is it a FHIR RiskAssessment?

The page as it is served is the truth here, and for FHIR the models of `fhir.resources` (R4B, in which RiskAssessment
and Device are R4's), with what these do not look at: codes and the invariants of the specification.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydantic import ValidationError
from tests.html_pages import Page
from tests.pages_hospital import IMAGE, SCHEMA, SCRIPT, Served, Window, hospital, served, with_causes

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.risk_assessment import risk_assessment
from oncofed.client.pages.told_prognosis import ToldTime, bounds_of, told_prognosis
from oncofed.client.pages.viewing_record import ViewingRecord, patient_code
from oncofed.cohort.schema import DeathPolicy, Endpoint
from oncofed.errors import RecordUnwritable

ROW = 5
OF_THE_FILE = {
    "format",
    "warning",
    "made_at",
    "made_by",
    "software",
    "plan_hash",
    "notes",
    "basis",
    "event",
    "unit",
    "of",
}
"""What a file says of itself, and of what a page says in other words (`basis`, `event`) or with others (`of`)."""
STATUS = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}
DEVICE_NAMES = {
    *("udi-label-name", "user-friendly-name", "patient-reported-name", "manufacturer-name", "model-name", "other"),
}
UNITS = {"d", "wk", "mo", "a", "%"}


@cache
def whole() -> HospitalPrognosis:
    """Of invented patients, and with noise whose size is known."""
    return replace(hospital(), example=True, weight_noise=0.05)


@cache
def competing() -> HospitalPrognosis:
    return with_causes()


@cache
def with_deaths_first() -> HospitalPrognosis:
    """Progression, of which death is no event, beside overall survival."""
    progression = Endpoint(
        "progression", "months_2", "event_2", death_event_column="death", death=DeathPolicy.CENSORING
    )
    schema = replace(SCHEMA, endpoints=(SCHEMA.endpoints[0], progression))
    here = hospital()
    return replace(here, cohort=replace(here.cohort, schema=schema), published=None)


KINDS: dict[str, tuple[Callable[[], HospitalPrognosis], int]] = {
    "one": (whole, 0),
    "competing": (competing, 0),
    "death may come first": (with_deaths_first, 1),
}


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Served, Window, str, int]]:
    """With a clinician who has opened one patient, whose page has this address; the endpoint."""
    shown, endpoint = KINDS[request.param]
    with served(tmp_path, shown=shown()) as here:
        client = here.signed_in(Role.CLINICIAN)
        yield here, client, here.opened(client, ROW), endpoint


def text_of(html: str) -> str:
    return " ".join(Page(html).text.replace("\N{NO-BREAK SPACE}", " ").split()).lower()


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, name)
    else:
        yield name, value


def test_a_file_says_nothing_that_the_page_does_not_say(opened: tuple[Served, Window, str, int]) -> None:
    here, client, address, endpoint = opened
    page = text_of(client.get(f"{address}?endpoint={endpoint}").text)
    told = client.get(f"{address}/prognosis.json?endpoint={endpoint}").json()
    said = [(name, each) for name, each in leaves(told) if name not in OF_THE_FILE]
    texts = [(name, each) for name, each in said if isinstance(each, str) and each]
    assert len(texts) > 40
    absent = [(name, each) for name, each in texts if text_of(each) not in page]
    assert absent == []
    numbers = {(name, each) for name, each in said if isinstance(each, float | int) and not isinstance(each, bool)}
    bounds = set(here.desk.hospital.grid.bounds)
    assert {name for name, _ in numbers} == {"time"}
    assert {each for _, each in numbers} <= bounds, "no number but bounds of the public grid"
    assert told["model"]["plan_hash"].startswith(re.findall(r"study lung \((\w+)\)", page)[0])
    assert told["patient"] == here.desk.hospital.cohort.patient_ids[ROW]
    assert "not a medical device" in told["warning"]
    assert "no decision" in told["warning"]


def test_it_is_a_risk_assessment(opened: tuple[Served, Window, str, int]) -> None:
    here, client, address, endpoint = opened
    answer = client.get(f"{address}/risk-assessment.json?endpoint={endpoint}")
    assert answer.headers["content-type"].startswith("application/fhir+json")
    found = answer.json()
    RiskAssessment.model_validate(found)
    assert faults(found) == []
    assert found["subject"]["identifier"] == {"value": here.desk.hospital.cohort.patient_ids[ROW]}
    assert datetime.fromisoformat(found["occurrenceDateTime"]).tzinfo is not None
    model, time_zero = found["contained"]
    assert time_zero["resourceType"] == "Observation", "it has the element effective[x]"
    assert set(re.findall(r'"reference": "#([\w-]+)"', json.dumps(found))) == {model["id"], time_zero["id"]}  # dom-3
    assert found["performer"] == {"reference": f"#{model['id']}"}
    assert here.desk.hospital.plan_hash in [each["value"] for each in model["version"]]
    assert "not a medical device" in found["note"][0]["text"]
    is_example = "HTEST" in json.dumps(found.get("meta", {}))
    assert is_example == here.desk.hospital.example


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_has_come_already(tmp_path: Path, kind: str) -> None:
    """A risk of dying, of somebody who is dead, is not to be taken for one of somebody who lives."""
    shown, endpoint = KINDS[kind]
    with served(tmp_path, shown=shown()) as here:
        client = here.signed_in(Role.CLINICIAN)
        observed, over = here.desk.hospital.cohort.observed, ": this is what the model says of time zero"
        own, any_event = observed[:, endpoint], observed.any(axis=1)
        courses = [(own, over, ""), (~any_event, "", "when last seen")]
        if kind != "one":
            courses.append((any_event & ~own, over, "· died"))
        for rows, end, words in courses:
            address = here.opened(client, int(rows.argmax()))
            page = text_of(client.get(f"{address}?endpoint={endpoint}").text)
            found = client.get(f"{address}/risk-assessment.json?endpoint={endpoint}").json()
            recorded = found["note"][1]["text"]
            assert text_of(recorded) in page
            assert words in recorded
            assert "since time zero · " in recorded
            assert recorded.endswith(f" (today's table){end}")


def faults(found: dict[str, Any]) -> list[str]:
    """What the library does not look at."""
    wrong = [] if found["status"] in STATUS else ["status"]
    wrong += ["deviceName" for name in found["contained"][0]["deviceName"] if name["type"] not in DEVICE_NAMES]
    for each in found["prediction"]:
        # ras-2, and what a probability is
        high, low = (each.get("probabilityRange", {}).get(side, {}).get("value") for side in ("high", "low"))
        ends = [end for end in (low, each.get("probabilityDecimal"), high) if end is not None]
        if not ends or sorted(ends) != ends or not 0 <= min(ends) <= max(ends) <= 100:
            wrong.append("probability")
        starts, stops = (offset_of(each["whenPeriod"][side]) for side in ("_start", "_end"))
        if not starts == 0 < stops:  # per-1
            wrong.append("when")
    codes = {each["code"] for each in quantities(found)}
    return wrong + ([] if codes <= UNITS else ["unit"])


def offset_of(moment: dict[str, Any]) -> float:
    (extension,) = moment["extension"]
    assert extension["url"] == "http://hl7.org/fhir/StructureDefinition/cqf-relativeDateTime"
    inner = {each["url"]: each for each in extension["extension"]}
    assert inner.keys() == {"target", "targetPath", "relationship", "offset"}, "each once, in R4"
    assert inner["targetPath"]["valueString"] == "effective"
    return float(inner["offset"]["valueDuration"]["value"])


def quantities(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("system") == "http://unitsofmeasure.org":
            yield value
        for each in value.values():
            yield from quantities(each)
    elif isinstance(value, list):
        for each in value:
            yield from quantities(each)


def test_its_probabilities_are_of_the_event_and_as_the_page_rounds_them(tmp_path: Path) -> None:
    with served(tmp_path, shown=whole()) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = here.opened(client, ROW)
        page = text_of(client.get(address).text)
        found = client.get(f"{address}/risk-assessment.json").json()
    (table,) = re.findall(r"observed, similar patients (.*?)show", page)[:1] or [page]
    alive = dict(re.findall(r"(\d+) months (\d+) %", table))
    assert len(alive) >= 3
    told = {str(int(offset_of(each["whenPeriod"]["_end"]))): each["probabilityDecimal"] for each in found["prediction"]}
    assert told == {when: 100 - int(share) for when, share in alive.items() if when in told}
    assert all(each["outcome"]["text"].startswith("overall survival: died within") for each in found["prediction"])


def test_of_what_competes_each_has_its_probability_and_they_leave_room_for_none(tmp_path: Path) -> None:
    with served(tmp_path, shown=competing()) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = here.opened(client, ROW)
        page = text_of(client.get(address).text)
        found = client.get(f"{address}/risk-assessment.json").json()
    by_time: dict[float, list[int]] = {}
    for each in found["prediction"]:
        by_time.setdefault(offset_of(each["whenPeriod"]["_end"]), []).append(each["probabilityDecimal"])
    for when, (own, other) in by_time.items():
        assert re.search(rf"\b{when:.0f} months {own} % .*?{other} % {100 - own - other} %", page)


def test_each_reason_stands_in_the_rationale_as_on_the_page(opened: tuple[Served, Window, str, int]) -> None:
    _, client, address, endpoint = opened
    page = text_of(client.get(f"{address}?endpoint={endpoint}").text)
    found = client.get(f"{address}/risk-assessment.json?endpoint={endpoint}").json()
    lines = found["prediction"][0]["rationale"].splitlines()
    told = [re.fullmatch(r"(.*?): (.*), hazard times ([\d.]+).*", line) for line in lines[1:]]
    markers = [each for each in told if each is not None]
    assert len(markers) >= 3
    for each in markers:
        name, value, ratio = (text.lower() for text in each.groups())
        assert name.removesuffix(": none measured") in page
        assert value in page
        assert ratio in page
    assert all(text_of(each["display"].partition(": ")[2]) in page for each in found["basis"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("status"),
        lambda found: found.pop("subject"),
        lambda found: found.update(status="surely"),
        lambda found: found.update(occurrenceDateTime="yesterday"),
        lambda found: found.update(method="a text"),
        lambda found: found.update(risk="high"),
        lambda found: found["contained"][0].update(id="a model"),
        lambda found: found["contained"][0]["deviceName"][0].update(type="name"),
        lambda found: found["prediction"][0].update(probabilityDecimal=101),
        lambda found: found["prediction"][0].update(probabilityDecimal="high"),
        lambda found: found["prediction"][0].update(probabilityRange={"low": {"value": 1}}),
        lambda found: found["prediction"][0].update(horizon=12),
        lambda found: found["prediction"][0]["outcome"].update(words="x"),
    ],
)
def test_a_spoilt_one_is_found(tmp_path: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    found = copy.deepcopy(sound())
    spoil(found)
    with pytest.raises((ValidationError, AssertionError)):
        assert faults_of_any(found) == []


def faults_of_any(found: dict[str, Any]) -> list[str]:
    RiskAssessment.model_validate(found)
    return faults(found)


@cache
def sound() -> dict[str, Any]:
    told = told_prognosis(whole(), ROW, endpoint=0, at=datetime(2026, 11, 30, tzinfo=UTC), by="clinician")
    return json.loads(json.dumps(risk_assessment(told)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("without", "had"),
    [("52", (48, 48)), ("below 1", (99, 100)), ("above 99", (0, 1)), ("100", (0, 0)), ("0", (100, 100))],
)
def test_a_share_that_is_told_as_a_bound_is_a_range(without: str, had: tuple[int, int]) -> None:
    written = f"{without}\N{NO-BREAK SPACE}%"
    assert ToldTime("12 months", 12.0, written).had == had
    assert ToldTime("12 months", 12.0, "", event=written).had == bounds_of(written)


# --- who may take it


@pytest.mark.parametrize("name", ["prognosis", "risk-assessment"])
def test_clinicians_alone_take_a_file_of_a_patient_and_it_is_written_down(tmp_path: Path, name: str) -> None:
    with served(tmp_path, shown=whole()) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = f"{here.opened(client, ROW)}/{name}.json"
        answer = client.get(address)
        patient = here.desk.hospital.cohort.patient_ids[ROW]
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}.json"'
        assert answer.headers["cache-control"] == "no-store"
        assert here.events()[-1] == ("page_patient_export", patient_code(b"k" * 32, patient), "clinician")
        for role in set(Role) - {Role.CLINICIAN}:
            answer = here.signed_in(role).get(address)
            assert (answer.status_code, here.events()[-1]) == (403, ("page_refused", "role", role.value))
            assert patient not in answer.text
        other = here.signed_in(Role.CLINICIAN).get(address)
        assert (other.status_code, here.events()[-1]) == (404, ("page_refused", "unknown_patient", "clinician"))
        assert here.client().get(address).headers["location"] == "/sign-in"
        assert client.get(f"{address}?endpoint=7").status_code == 404
        assert client.get(f"{address}?endpoint=-1").status_code == 404


def test_what_cannot_be_written_down_is_not_given_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, shown=whole()) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = here.opened(client, ROW)

        def full(self: ViewingRecord, by: str, event: str, patient_id: str) -> None:
            raise RecordUnwritable("the disk is full")

        monkeypatch.setattr(ViewingRecord, "patient", full)
        for name in ("prognosis", "risk-assessment"):
            answer = client.get(f"{address}/{name}.json")
            assert answer.status_code == 500
            assert here.desk.hospital.cohort.patient_ids[ROW] not in answer.text


def test_names_of_ill_will_are_text_in_a_file_that_no_browser_takes_for_a_page(tmp_path: Path) -> None:
    with served(tmp_path, shown=whole()) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = here.opened(client, 4)  # with RNA measured
        for name in ("prognosis", "risk-assessment"):
            answer = client.get(f"{address}/{name}.json")
            assert IMAGE in json.dumps(answer.json(), ensure_ascii=False).replace('\\"', '"') or SCRIPT in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "json" in answer.headers["content-type"]


def test_the_page_leads_to_both_files_of_its_endpoint(opened: tuple[Served, Window, str, int]) -> None:
    _, client, address, endpoint = opened
    links = Page(client.get(f"{address}?endpoint={endpoint}").text).values("href")
    for name in ("prognosis", "risk-assessment"):
        assert f"{address}/{name}.json?endpoint={endpoint}" in links
