"""Does a record system open the one patient of its launch, and can nobody open anybody else's with it?

The record system is a stand-in on loopback, which checks the client by itself. Each defence is seen to be needed: the
same attempt opens a page where the test takes the defence out, or the stand-in is made to allow what it must refuse.
"""

from __future__ import annotations

import json
import logging
import socket
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from httpx import Response
from tests.html_pages import Page
from tests.pages_hospital import PASSWORD, Served, Window, hospital, served
from tests.record_system import CLIENT, MRN, TOKEN, RecordSystem, record_system

from oncofed.client.launch import issuer, launches
from oncofed.client.launch.issuer import Issuer
from oncofed.client.launch.launches import Launches, UnderWay, patients_in
from oncofed.client.launch.refusals import LaunchRefused
from oncofed.client.launch.settings import KnownBy, LaunchSection
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.viewing_record import patient_code
from oncofed.errors import InvalidInput

HOSPITAL = hospital()
ROW = 7
PATIENT = HOSPITAL.cohort.patient_ids[ROW]
ADDRESSES = ("/launch", "/launch/begin", "/launch/back", "/launch/open")


@pytest.fixture(scope="module")
def only_system() -> Iterator[RecordSystem]:
    with record_system() as found:
        yield found


@pytest.fixture
def system(only_system: RecordSystem) -> RecordSystem:
    """As it is at first."""
    vars(only_system).update(vars(RecordSystem(port=only_system.port)))
    only_system.launches = {"of-7": PATIENT, "opaque": "eb3a"}
    return only_system


@pytest.fixture
def here(tmp_path: Path, system: RecordSystem) -> Iterator[Served]:
    with served(tmp_path, shown=HOSPITAL) as found:
        configure(found, system)
        yield found


def settings(at: RecordSystem, /, **other: object) -> LaunchSection:
    first = LaunchSection(at.issuer, f"{at.root}/authorize", f"{at.root}/token", CLIENT, KnownBy.ID)
    return replace(first, **other)  # type: ignore[arg-type]


def configure(here: Served, at: RecordSystem, /, patients: dict[str, str] | None = None, **other: object) -> None:
    section = settings(at, **other)
    found = Launches(
        section,
        pages="http://pages.example",
        ask=Issuer(section, at.secret, here.clock, lambda: date(2026, 11, 30)).patient,
        clock=here.clock,
        patients=patients,
    )
    here.desk = replace(here.desk, launches=found)


def by_identifier(here: Served, system: RecordSystem, *identifiers: dict[str, Any], patient: str = "eb3a") -> None:
    configure(here, system, known_by=KnownBy.IDENTIFIER, system=MRN)
    system.patients["eb3a"] = {"resourceType": "Patient", "id": patient, "identifier": list(identifiers)}


def onward(answer: Response) -> str:
    """Where a page of ours leads by itself."""
    assert answer.status_code == 200, answer.text
    (content,) = [
        value
        for tag, name, value in Page(answer.text).attributes
        if tag == "meta" and name == "content" and "url=" in value
    ]
    return unescape(content.partition("url=")[2])


def asks_code(client: Window, system: RecordSystem, launch: str = "of-7") -> str:
    """The address at the record system to which the browser is sent."""
    begun = client.get(onward(client.get("/launch", params={"iss": system.issuer, "launch": launch})))
    assert begun.status_code == 303, begun.text
    address: str = begun.headers["location"]
    assert address.startswith(f"{system.root}/authorize?")
    return address


def comes_back(system: RecordSystem, address: str) -> str:
    """As the record system answers it: the way back to the pages."""
    found = httpx.get(address).headers["location"]
    assert found.startswith("http://pages.example/launch/back?")
    return str(found.removeprefix("http://pages.example"))


def launched(client: Window, system: RecordSystem, launch: str = "of-7") -> Response:
    """All the way."""
    answer: Response = client.get(onward(client.get(comes_back(system, asks_code(client, system, launch)))))
    return answer


def assert_refused(here: Served, answer: Response, reason: str, *, by: str = "clinician", status: int = 403) -> None:
    assert answer.status_code == status
    assert PATIENT not in answer.text
    assert here.events()[-1] == ("page_refused", reason, by)
    assert not any(event in ("page_launch", "page_patient") for event, _, _ in here.events())


def test_a_launch_opens_its_patient_and_nobody_else(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    answer = launched(client, system)
    assert answer.status_code == 303, answer.text
    assert PATIENT in client.get(answer.headers["location"]).text
    code = patient_code(b"k" * 32, PATIENT)
    assert here.events()[-2:] == [("page_launch", code, "clinician"), ("page_patient", code, "clinician")]
    (session,) = here.desk.sessions._by_hash.values()
    assert list(session.opened.values()) == [ROW]
    assert session.launches.begun == OrderedDict()
    assert system.asked == ["POST /token"], "an id is asked for no resource"


def test_a_patient_is_known_by_an_identifier_of_the_configured_system(here: Served, system: RecordSystem) -> None:
    other = {"system": "urn:example:insurance", "value": HOSPITAL.cohort.patient_ids[8]}
    old = {"system": MRN, "value": HOSPITAL.cohort.patient_ids[9], "use": "old"}
    by_identifier(here, system, other, old, {"system": MRN, "value": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    assert PATIENT in client.get(launched(client, system, "opaque").headers["location"]).text
    assert system.asked == ["POST /token", "GET /fhir/Patient/eb3a"]
    assert system.authorized[0]["scope"] == "launch patient/Patient.rs"


def test_a_table_of_the_hospital_says_whom_the_record_system_means(here: Served, system: RecordSystem) -> None:
    configure(here, system, patients={"eb3a": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    assert PATIENT in client.get(launched(client, system, "opaque").headers["location"]).text
    other = launched(client, system, "of-7")
    assert other.status_code == 403, "a name that is not in the table is not taken as it is"


@pytest.mark.parametrize(
    "table",
    [
        *("record,patient,patient\na,P1,P2\n", "patient,record,record\nP1,a,b\n", "record\na\n"),
        *("record,patient,note\na,P1,x\n", "record,patient\na,P1,P2\n", "record,patient\na\n", "\n"),
        *("record,patient\na,P1\na,P2\n", "record,patient\na,P1\n a ,P2\n", 'record,patient\n"a,P1\n'),
        *("record,patient\na,\n", "record,patient\na, \n"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, table: str) -> None:
    path = tmp_path / "launch-patients.csv"
    path.touch(mode=0o600)
    path.write_text(table)
    with pytest.raises(InvalidInput) as refused:
        patients_in(path)
    assert not any(name in str(refused.value) for name in ("P1", "P2"))


def test_a_table_is_read_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "launch-patients.csv"
    path.touch(mode=0o600)
    path.write_text("\ufeffpatient,record\nP1,a\nP1, A\n")  # as Excel begins a file in UTF-8
    assert patients_in(path) == {"a": "P1", "A": "P1"}


def test_a_file_for_the_record_system_says_whom_it_means_as_the_record_system_does(
    here: Served, system: RecordSystem
) -> None:
    def subject() -> object:
        client = here.signed_in(Role.CLINICIAN)
        return client.get(f"{here.opened(client, ROW)}/risk-assessment.json").json()["subject"]

    reference = f"{system.issuer}/Patient/{PATIENT}"
    assert subject() == {"type": "Patient", "reference": reference}, "an id is no identifier"
    by_identifier(here, system)
    assert subject() == {"type": "Patient", "identifier": {"system": MRN, "value": PATIENT}}
    configure(here, system, patients={"eb3a": PATIENT})
    assert subject() == {"type": "Patient", "identifier": {"value": PATIENT}}, "a name that it does not know"


def test_pages_with_a_secret_say_who_they_are(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    system.secret = "s3cret+ of%2B:"
    configure(here, system)
    client = here.signed_in(Role.CLINICIAN)
    assert launched(client, system).status_code == 303
    here.desk = replace(here.desk, launches=None)
    configure(here, replace(system, secret=None))
    client = here.signed_in(Role.CLINICIAN)
    assert launched(client, system).status_code == 403
    assert here.events()[-1] == ("page_refused", "launch_server", "clinician")


# --- unknown issuer


def test_an_unknown_issuer_is_refused_before_anything_is_asked(here: Served, system: RecordSystem) -> None:
    client, own = here.signed_in(Role.CLINICIAN), system.issuer
    for other in (
        *("https://elsewhere.example/fhir", "", f"{own}/other", f"{own}?x=1", f"{own}#", f"{own}//"),
        own.replace("/fhir", "/FHIR"),
        own.replace("127.0.0.1", "127.0.0.1.elsewhere.example"),
        own.replace("http://", "http://x@"),
    ):
        asked = {"iss": other, "launch": "of-7"}
        assert_refused(here, client.get("/launch", params=asked), "launch_issuer", by="")
        assert_refused(here, client.get("/launch/begin", params=asked), "launch_issuer")
    assert system.asked == []


def test_without_the_comparison_another_issuer_would_begin(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaunchSection, "is_issuer", lambda self, address: True)
    asked = {"iss": "https://elsewhere.example/fhir", "launch": "of-7"}
    assert here.signed_in(Role.CLINICIAN).get("/launch", params=asked).status_code == 200


def test_a_launch_that_is_no_word_is_refused(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    for launch in ("", " ", "a b", "a\r\nb", "x" * 5000):
        answer = client.get("/launch", params={"iss": system.issuer, "launch": launch})
        assert_refused(here, answer, "launch_issuer", by="")


# --- state


def test_a_state_of_another_session_opens_nothing(here: Served, system: RecordSystem) -> None:
    first, second = here.signed_in(Role.CLINICIAN), here.signed_in(Role.CLINICIAN)
    way = comes_back(system, asks_code(first, system))
    assert_refused(here, second.get(onward(second.get(way))), "launch_state")
    assert system.asked == [], "its code was shown to nobody"


def test_without_the_sessions_own_states_it_would(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = UnderWay()
    first, second = here.signed_in(Role.CLINICIAN), here.signed_in(Role.CLINICIAN)
    for session in here.desk.sessions._by_hash.values():
        session.launches = shared
    way = comes_back(system, asks_code(first, system))
    assert second.get(onward(second.get(way))).status_code == 303


def test_a_made_up_state_and_none_open_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    asks_code(client, system)
    for asked in ({"code": "code-1", "state": "made-up"}, {"code": "code-1"}, {}):
        assert_refused(here, client.get("/launch/open", params=asked), "launch_state")
    assert system.asked == []


def test_a_state_is_good_once_and_for_ten_minutes(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    way = comes_back(system, asks_code(client, system))
    here.clock.seconds += 601
    assert_refused(here, client.get(onward(client.get(way))), "launch_state")
    way = comes_back(system, asks_code(client, system))
    here.clock.seconds += 599
    last = onward(client.get(way))
    assert client.get(last).status_code == 303
    again = client.get(last)
    assert (again.status_code, here.events()[-1]) == (403, ("page_refused", "launch_state", "clinician"))
    assert system.asked == ["POST /token"]


def test_a_session_keeps_no_more_than_five_launches(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    ways = [comes_back(system, asks_code(client, system)) for _ in range(6)]
    assert_refused(here, client.get(onward(client.get(ways[0]))), "launch_state")
    assert client.get(onward(client.get(ways[1]))).status_code == 303


def test_who_is_not_signed_in_comes_back_to_nothing(here: Served, system: RecordSystem) -> None:
    way = comes_back(system, asks_code(here.signed_in(Role.CLINICIAN), system))
    stranger = here.client()
    answer = stranger.get(onward(stranger.get(way)))
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert here.events()[-1] == ("page_refused", "launch_state", "")
    assert system.asked == []


# --- code


def test_a_code_is_shown_once_whatever_the_server_allows(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.reuses = True
    client = here.signed_in(Role.CLINICIAN)
    way = comes_back(system, asks_code(client, system))
    (code,) = parse_qs(urlsplit(way).query)["code"]
    assert client.get(onward(client.get(way))).status_code == 303

    def with_a_new_state() -> Response:
        (state,) = parse_qs(urlsplit(asks_code(client, system)).query)["state"]
        answer: Response = client.get("/launch/open", params={"code": code, "state": state})
        return answer

    assert with_a_new_state().status_code == 403
    assert here.events()[-1] == ("page_refused", "launch_code", "clinician")
    assert system.asked == ["POST /token"], "nobody was asked again"
    monkeypatch.setattr(Launches, "_is_new", lambda self, code: True)
    with_a_new_state()
    assert system.asked == ["POST /token"] * 2, "without the memory it would be"


def test_a_code_that_the_server_does_not_know_opens_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    (state,) = parse_qs(urlsplit(asks_code(client, system)).query)["state"]
    answer = client.get("/launch/open", params={"code": "of-somebody-else", "state": state})
    assert_refused(here, answer, "launch_code")


def test_a_code_is_bound_to_the_session_that_began_by_its_verifier(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Injected: somebody else's code with an own state. The stand-in knows by PKCE that they do not belong together."""
    first, second = here.signed_in(Role.CLINICIAN), here.signed_in(Role.CLINICIAN)
    (code,) = parse_qs(urlsplit(comes_back(system, asks_code(first, system))).query)["code"]

    def injected(code: str) -> Response:
        (state,) = parse_qs(urlsplit(asks_code(second, system)).query)["state"]
        answer: Response = second.get("/launch/open", params={"code": code, "state": state})
        return answer

    assert_refused(here, injected(code), "launch_code")
    verifier = "one-verifier-for-all" * 3
    words = iter(("state-of-the-first-session", verifier, "state-of-the-second-session", verifier))
    monkeypatch.setattr(launches, "secrets", SimpleNamespace(token_urlsafe=lambda _: next(words)))
    (code,) = parse_qs(urlsplit(comes_back(system, asks_code(first, system))).query)["code"]
    assert injected(code).headers["location"].startswith("/patients/"), "with one verifier for all it would open"


def test_a_code_that_is_no_word_is_shown_to_nobody(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    for code in ("", " ", "a b", "x" * 5000):
        (state,) = parse_qs(urlsplit(asks_code(client, system)).query)["state"]
        assert_refused(here, client.get("/launch/open", params={"code": code, "state": state}), "launch_code")
    assert system.asked == []


def test_of_too_many_codes_the_oldest_is_forgotten_and_the_newest_is_not(
    system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "_MOST_CODES", 2)
    found = Launches(settings(system), pages="http://pages.example", ask=lambda code, **_: PATIENT, clock=lambda: 0.0)

    def opens(code: str) -> bool:
        session = UnderWay()
        found.begin(session, issuer=system.issuer, launch="of-7")
        (state,) = session.begun
        try:
            return found.end(session, state=state, code=code, error="") == PATIENT
        except LaunchRefused:
            return False

    assert [opens(code) for code in ("one", "two", "three", "three", "two", "one")] == [True] * 3 + [False] * 2 + [True]


# --- patient


def test_a_patient_who_is_not_one_of_the_table_opens_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    for patient in (
        *(None, "", "nobody", "../fhir", 7, [PATIENT], {"id": PATIENT}),
        *(PATIENT.lower(), f" {PATIENT}", f"{PATIENT}/x", PATIENT[:-1]),
    ):
        system.answer = {"patient": patient}
        assert_refused(here, launched(client, system), "launch_patient")


def test_a_found_identifier_in_other_letters_would_open_somebody_by_the_search_for_people(here: Served) -> None:
    assert HOSPITAL.row_of(PATIENT.lower()) == ROW, "a person may type so"
    assert HOSPITAL.row_exactly(PATIENT.lower()) is None


UNREADABLE: tuple[object, ...] = ({"end": "30.11.2031"}, {"end": 2031}, {"end": ""}, "2031", [])


def test_a_patient_without_one_identifier_is_nobody(here: Served, system: RecordSystem) -> None:
    right = {"system": MRN, "value": PATIENT}
    by_identifier(here, system, right)
    client = here.signed_in(Role.CLINICIAN)
    for identifiers in (
        [],
        [{**right, "system": "urn:example:insurance"}],
        [{"value": PATIENT}],
        [{**right, "use": "old"}],
        *([{**right, "period": {"end": end}}] for end in ("2019", "2026-10", "2026-11-29", "2026-11-29T23:59:59Z")),
        *(
            [{**right, "period": {"start": start}}]
            for start in ("2027", "2026-12", "2026-12-01", "2026-12-01T00:00:00Z")
        ),
        *([{**right, "period": period}] for period in UNREADABLE),
        *([{**right, "value": value}] for value in ([PATIENT], {"value": PATIENT}, 7, f" {PATIENT}", "\ud800")),
        [right, {**right, "value": HOSPITAL.cohort.patient_ids[8]}],
        [{**right, "value": "nobody"}],
        [{"system": MRN}],
        ["text"],
        "text",
        None,
    ):
        system.patients["eb3a"]["identifier"] = identifiers
        assert_refused(here, launched(client, system, "opaque"), "launch_patient")


@pytest.mark.parametrize("end", ["2026", "2026-11", "2026-11-30", "2026-11-30T00:00:00Z", "2031-05-01"])
def test_an_identifier_is_good_from_its_first_day_to_the_end_of_its_last(
    here: Served, system: RecordSystem, end: str
) -> None:
    own = {"system": MRN, "value": PATIENT, "period": {"start": "2026-11-30T23:00:00Z", "end": end}}
    before = {"system": MRN, "value": HOSPITAL.cohort.patient_ids[8], "period": {"end": "2026-11-29"}}
    by_identifier(here, system, own, before)
    client = here.signed_in(Role.CLINICIAN)
    assert PATIENT in client.get(launched(client, system, "opaque").headers["location"]).text


def test_a_record_that_was_merged_into_another_opens_nothing(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    other = {"reference": "Patient/another"}
    client = here.signed_in(Role.CLINICIAN)
    system.patients["eb3a"]["link"] = [{"other": other, "type": "replaced-by"}]
    assert_refused(here, launched(client, system, "opaque"), "launch_patient")
    system.patients["eb3a"]["link"] = [{"other": other, "type": "replaces"}, {"other": other, "type": "seealso"}]
    assert launched(client, system, "opaque").status_code == 303, "the one that is left"


def test_an_identifier_goes_into_a_file_as_the_record_systems_only_where_it_is(system: RecordSystem) -> None:
    """Where a file says whom the record system means, the table's names are the hospital's own."""
    section = settings(system, known_by=KnownBy.IDENTIFIER, system=MRN)
    for patients, expected in ((None, MRN), ({"eb3a": PATIENT}, None)):
        found = Launches(
            section, pages="http://pages.example", ask=lambda code, **_: "", clock=lambda: 0.0, patients=patients
        )
        assert found.system == expected


@pytest.mark.parametrize(
    ("rows", "faulty"),
    [
        ("a,1\nb,2\n", 0),
        ("a,1\na,2\n", 1),
        ("a,1\na,1\na,2\n", 2),
        ("a,1\n,2\n", 1),
        ("a,1\nb,\n", 1),
        ("a,1\nb, \n", 1),
    ],
)
def test_a_table_that_names_a_record_twice_or_nobody_is_refused(rows: str, faulty: int, tmp_path: Path) -> None:
    file = tmp_path / "patients.csv"
    file.write_text(f"record,patient\n{rows}")
    file.chmod(0o600)
    if not faulty:
        assert patients_in(file) == {"a": "1", "b": "2"}
        return
    with pytest.raises(InvalidInput) as refused:
        patients_in(file)
    (fault,) = refused.value.faults
    assert fault.count == faulty


def test_an_id_that_is_none_is_asked_for_nowhere(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    for patient in ("../Patient/eb3a", "eb3a?x=1", "eb3a/../eb3a", "eb3a#", "e" * 65, "eb3a\n", ".", ".."):
        system.answer = {"patient": patient}
        assert_refused(here, launched(client, system, "opaque"), "launch_patient")
    assert set(system.asked) == {"POST /token"}


def test_another_patients_resource_is_not_taken_for_the_launchs(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT}, patient="another")
    assert_refused(here, launched(here.signed_in(Role.CLINICIAN), system, "opaque"), "launch_patient")


# --- token


def test_a_token_that_is_over_or_none_opens_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    answers: tuple[dict[str, Any], ...] = (
        *({"expires_in": each} for each in (0, -5, "3600", True)),
        *({"token_type": each} for each in ("mac", None)),
        *({"access_token": each} for each in (None, "", "a\r\nx: y", 5)),
    )
    for system.answer in answers:
        assert_refused(here, launched(client, system), "launch_token")


def test_a_token_that_is_over_when_it_comes_is_not_used(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    section, late = settings(system, known_by=KnownBy.IDENTIFIER, system=MRN), iter((0.0, 61.0))
    way = Issuer(section, None, lambda: next(late)).patient
    found = Launches(section, pages="http://pages.example", ask=way, clock=here.clock)
    here.desk = replace(here.desk, launches=found)
    system.answer = {"expires_in": 60}
    assert_refused(here, launched(here.signed_in(Role.CLINICIAN), system, "opaque"), "launch_token")
    assert system.asked == ["POST /token"]


def test_a_token_that_fhir_refuses_opens_nothing(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    for system.fhir in (401, 403):
        assert_refused(here, launched(client, system, "opaque"), "launch_token")


# --- elsewhere


def test_no_answer_leads_elsewhere(here: Served, system: RecordSystem) -> None:
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    with record_system() as other:
        for status in (302, 307):
            system.location, system.status, system.fhir = f"{other.root}/token", status, 200
            assert_refused(here, launched(client, system, "opaque"), "launch_elsewhere")
            system.location, system.status, system.fhir = f"{other.root}/fhir/Patient/eb3a", 200, status
            assert_refused(here, launched(client, system, "opaque"), "launch_elsewhere")
        assert other.asked == []


def test_followed_an_answer_would_carry_the_code_elsewhere(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Follows(httpx.AsyncClient):
        def __init__(self, **options: object) -> None:
            super().__init__(**{**options, "follow_redirects": True})  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "AsyncClient", Follows)
    with record_system() as other:
        system.location, system.status = f"{other.root}/token", 307
        launched(here.signed_in(Role.CLINICIAN), system)
        assert other.asked == ["POST /token"]


def test_the_record_system_sends_the_browser_back_to_the_configured_address_alone(
    here: Served, system: RecordSystem
) -> None:
    client = here.signed_in(Role.CLINICIAN)
    asked = {
        "iss": system.issuer,
        "launch": "of-7",
        "redirect_uri": "https://elsewhere.example/",
        "next": "//elsewhere",
    }
    begun = client.get(onward(client.get("/launch", params=asked)))
    sent = parse_qs(urlsplit(begun.headers["location"]).query)
    assert sent["redirect_uri"] == ["http://pages.example/launch/back"]
    assert "elsewhere" not in begun.headers["location"]


def test_a_sign_in_leads_nowhere_else(here: Served) -> None:
    client = here.client()
    for then in (
        *("https://elsewhere.example/", "//elsewhere.example", "launch=of-7", "x" * 9000),
        "iss=https%3A%2F%2Felsewhere.example&launch=of-7",
    ):
        answer = client.post("/sign-in", data={"name": "clinician", "password": PASSWORD, "then": then})
        assert (answer.status_code, answer.headers["location"]) == (303, "/patients")
        assert here.events()[-1] == ("page_refused", "launch_elsewhere", "clinician")


# --- servers that fail


def test_an_answer_that_cannot_be_used_opens_nothing(here: Served, system: RecordSystem) -> None:
    client, token = here.signed_in(Role.CLINICIAN), {"access_token": TOKEN, "token_type": "Bearer", "patient": PATIENT}
    large = json.dumps({**token, "more": "x" * 300_000}).encode()
    for system.raw in (b"", b"[]", b"null", b"{", b"\xff", b'{"a":' + b"[" * 100_000, large):
        assert_refused(here, launched(client, system), "launch_server")


def test_a_server_that_fails_or_is_not_there_opens_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    system.status = 500
    assert_refused(here, launched(client, system), "launch_server")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configure(here, system, token=f"http://127.0.0.1:{port}/token")
    client = here.signed_in(Role.CLINICIAN)
    assert_refused(here, launched(client, system), "launch_server")


def test_a_server_that_answers_byte_by_byte_is_not_waited_for(
    here: Served, system: RecordSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole answer would open the patient."""
    client = here.signed_in(Role.CLINICIAN)
    monkeypatch.setattr(issuer, "_SECONDS", 0.5)
    system.drips = 40
    assert_refused(here, launched(client, system), "launch_server")
    monkeypatch.undo()
    assert launched(client, system).status_code == 303


def test_a_launch_that_the_record_system_declines_opens_nothing(here: Served, system: RecordSystem) -> None:
    client = here.signed_in(Role.CLINICIAN)
    (state,) = parse_qs(urlsplit(asks_code(client, system)).query)["state"]
    back = client.get("/launch/back", params={"error": "access_denied<script>", "state": state})
    assert "script>" not in onward(back)
    assert_refused(here, client.get(onward(back)), "launch_declined")


# --- who, and what is kept


def test_other_roles_begin_no_launch(here: Served, system: RecordSystem) -> None:
    for role in set(Role) - {Role.CLINICIAN}:
        client = here.signed_in(role)
        way = onward(client.get("/launch", params={"iss": system.issuer, "launch": "of-7"}))
        assert_refused(here, client.get(way), "role", by=role.value)
        assert_refused(here, client.get("/launch/open", params={"code": "c", "state": "s"}), "role", by=role.value)


def test_who_signs_in_goes_on_with_the_launch(here: Served, system: RecordSystem) -> None:
    client = here.client()
    page = client.get(onward(client.get("/launch", params={"iss": system.issuer, "launch": "of-7"})))
    (then,) = [value for tag, name, value in Page(page.text).attributes if name == "value" and value.startswith("iss=")]
    wrong = client.post("/sign-in", data={"name": "clinician", "password": "wrong", "then": then})
    assert then in Page(wrong.text).values("value"), "kept over a wrong password"
    signed = client.post("/sign-in", data={"name": "clinician", "password": PASSWORD, "then": then})
    begun = client.get(onward(client.get(signed.headers["location"])))
    answer = client.get(onward(client.get(comes_back(system, begun.headers["location"]))))
    assert PATIENT in client.get(answer.headers["location"]).text


def test_without_a_configuration_nothing_can_be_launched(here: Served, system: RecordSystem) -> None:
    here.desk = replace(here.desk, launches=None)
    client = here.signed_in(Role.CLINICIAN)
    for address in ADDRESSES:
        answer = client.get(address, params={"iss": system.issuer, "launch": "of-7", "code": "c", "state": "s"})
        assert_refused(here, answer, "unknown_page", by="", status=404)


def test_no_log_holds_a_code_a_token_a_state_or_the_patient(
    here: Served, system: RecordSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    by_identifier(here, system, {"system": MRN, "value": PATIENT})
    client = here.signed_in(Role.CLINICIAN)
    way = comes_back(system, asks_code(client, system, "opaque"))
    assert client.get(onward(client.get(way))).status_code == 303
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("oncofed")]
    assert any("/launch/open" in each for each in ours), "the check must see what is logged"
    words = [TOKEN, PATIENT, "eb3a", *(value for values in parse_qs(urlsplit(way).query).values() for value in values)]
    written = "\n".join(ours) + here.desk.audit_log.read_text()
    assert [word for word in words if word in written] == []


def test_pages_of_a_launch_run_and_load_nothing(here: Served, system: RecordSystem) -> None:
    client = here.client()
    page = client.get("/launch", params={"iss": system.issuer, "launch": '"><script>alert(1)</script>'})
    assert page.status_code == 200
    assert Page(page.text).tags["script"] == 0
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert urlsplit(onward(page)).netloc == ""
