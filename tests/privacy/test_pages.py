"""Can somebody see on a hospital's pages, or in their logs, what is not for them?

Each defence is seen to be needed: the same attempt succeeds, or the same search finds something, where the test takes
the defence out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import jinja2
import pytest
from fastapi.routing import APIRoute
from markupsafe import Markup
from tests.html_pages import Page, unsafe
from tests.pages_hospital import PASSWORD, PLAN_HASH, Served, hospital, secret_of, served, submit

from oncofed.client.pages import (
    account_pages,
    board_pages,
    cohort_pages,
    connections,
    export_pages,
    launch_pages,
    password_turns,
    patient_pages,
    peer_user,
    rendering,
    sheet_pages,
    twin_pages,
    what_if_pages,
)
from oncofed.client.pages import accounts as accounts_module
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.sessions import Session
from oncofed.client.pages.viewing_record import ViewingRecord, patient_code, views_of
from oncofed.client.records.audit_log import AuditLog
from oncofed.errors import RecordUnwritable
from oncofed.local_pages import forms, shield
from oncofed.local_pages.rendering import static_version
from oncofed.picture import drawing

HOSPITAL = hospital()
PAGES = {
    "/patients": {Role.CLINICIAN},
    "/board": {Role.CLINICIAN},
    "/cohort": {Role.CLINICIAN, Role.ANALYST},
    "/cohort/strongest.csv": {Role.CLINICIAN, Role.ANALYST},
    "/cohort/dependence.csv?marker=age_years": {Role.CLINICIAN, Role.ANALYST},
    "/cohort/interactions.csv": {Role.CLINICIAN, Role.ANALYST},
    "/cohort/risk-groups.csv": {Role.CLINICIAN, Role.ANALYST},
    "/accounts": {Role.ADMINISTRATOR},
    "/audit": {Role.ADMINISTRATOR, Role.APPROVER, Role.IT},
    "/password": set(Role),
}
FORMS = {
    "/patients/find": {Role.CLINICIAN},
    "/patients/opened": {Role.CLINICIAN},
    "/board/find": {Role.CLINICIAN},
    "/board/filter": {Role.CLINICIAN},
    "/board/add": {Role.CLINICIAN},
    "/board/clear": {Role.CLINICIAN},
    "/accounts/add": {Role.ADMINISTRATOR},
    "/accounts/password": {Role.ADMINISTRATOR},
    "/accounts/disable": {Role.ADMINISTRATOR},
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shown=HOSPITAL) as found:
        yield found


def test_every_route_is_one_of_those_that_are_tried_here(here: Served) -> None:
    here.client()
    routers = (
        *(account_pages.router, cohort_pages.router, patient_pages.router, twin_pages.router, what_if_pages.router),
        *(export_pages.router, launch_pages.router, sheet_pages.router, board_pages.router),
    )
    routes = {route.path for router in routers for route in router.routes if isinstance(route, APIRoute)}
    tried = {address.partition("?")[0] for address in PAGES} | {
        "/patients/find",
        "/patients/opened",
        *("/board/find", "/board/filter", "/board/{act}"),  # tests/unit/client/pages/test_board_page.py
        "/patients/{word}",
        "/patients/{word}/twin",
        "/patients/{word}/sheet",  # tests/unit/client/pages/test_sheet_page.py
        "/patients/{word}/what-if",
        "/patients/{word}/prognosis.json",  # tests/unit/client/pages/test_patient_exports.py
        "/patients/{word}/risk-assessment.json",
        *("/launch", "/launch/begin", "/launch/back", "/launch/open"),  # test_launch.py
    }
    assert routes == tried | {"/", "/sign-in", "/sign-out", "/accounts/{change}"}


@pytest.mark.parametrize("role", Role)
def test_a_role_sees_its_pages_and_no_other(here: Served, role: Role) -> None:
    client = here.signed_in(role)
    for address, roles in PAGES.items():
        answer = client.get(address)
        assert answer.status_code == (200 if role in roles else 403), address
        if role not in roles:
            assert here.events()[-1] == ("page_refused", "role", role.value)
    secret = secret_of(client.get("/password"))
    for address, roles in FORMS.items():
        answer = client.post(address, data={"form_secret": secret, "patient_id": "x"})
        assert (answer.status_code == 403) == (role not in roles), address


def test_without_the_check_of_roles_an_analyst_would_see_patients(
    here: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = here.opened(here.signed_in(Role.CLINICIAN))
    analyst = here.signed_in(Role.ANALYST)
    assert analyst.get("/patients").status_code == 403
    assert analyst.get(word).status_code == 403
    monkeypatch.setattr(Session, "role", Role.CLINICIAN, raising=False)
    (session,) = (each for each in here.desk.sessions._by_hash.values() if each.account == "analyst")
    session.role = Role.CLINICIAN  # as if the page had not asked
    account = replace(here.desk.accounts.find("analyst"), role=Role.CLINICIAN)  # type: ignore[type-var]
    monkeypatch.setattr(here.desk.accounts, "find", lambda name: account)
    assert analyst.get("/patients").status_code == 200


def test_nobody_sees_anything_without_signing_in(here: Served) -> None:
    client = here.client()
    for address in [*PAGES, "/", "/patients/abc"]:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in"), address
    for address in FORMS:
        assert client.post(address, data={}).headers["location"] == "/sign-in"


def test_another_sessions_patient_cannot_be_opened(here: Served) -> None:
    first, second = here.signed_in(Role.CLINICIAN), here.signed_in(Role.CLINICIAN)
    address = here.opened(first)
    assert first.get(address).status_code == 200
    answer = second.get(address)
    assert answer.status_code == 404
    assert HOSPITAL.cohort.patient_ids[5] not in answer.text
    assert here.events()[-1] == ("page_refused", "unknown_patient", "clinician")


def test_without_words_of_its_own_a_session_would_open_anothers_patient(
    here: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "row_of", lambda self, word: 5)
    assert here.signed_in(Role.CLINICIAN).get("/patients/anything").status_code == 200


@pytest.mark.parametrize(
    "word", ["0", "5", "MRN-0047-00005", "..%2f..%2fetc%2fpasswd", "%00", "x" * 500, "'%20or%201=1", "%F0%9F%92%A9"]
)
def test_a_made_up_address_opens_no_patient(here: Served, word: str) -> None:
    client = here.signed_in(Role.CLINICIAN)
    here.opened(client)
    answer = client.get(f"/patients/{word}")
    assert answer.status_code == 404
    assert here.events()[-1][0] == "page_refused"


@pytest.mark.parametrize(
    "typed", ["../../etc/passwd", "/etc/passwd", "MRN-0047-0000", "%", "MRN-0047-00005\x00", "' or 1=1", "*", ""]
)
def test_a_made_up_identifier_finds_nobody(here: Served, typed: str) -> None:
    client = here.signed_in(Role.CLINICIAN)
    answer = submit(client, "/patients", "/patients/find", patient_id=typed)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert not typed or typed not in Page(answer.text).text
    assert here.events()[-1] == ("page_search", "not_found", "clinician")


def test_static_files_are_the_two_and_no_path_leads_elsewhere(here: Served) -> None:
    client = here.client()
    for name in ("pages.css", "pages.js"):
        assert client.get(f"/static/{name}").status_code == 200
    for name in ("..%2fdesk.py", "../desk.py", "%2e%2e/desk.py", "..%2f..%2f..%2fetc%2fpasswd", "/etc/passwd", ""):
        answer = client.get(f"/static/{name}")
        assert answer.status_code in (303, 404), name
        assert "import" not in answer.text


def test_a_tampered_session_is_refused_and_written_down(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    cookie = client.cookies["oncofed_session"]
    other = here.client()
    for forged in (cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), "administrator", cookie + cookie):
        other.cookies.set("oncofed_session", forged)
        answer = other.get("/patients")
        assert answer.headers["location"] == "/sign-in"
        assert here.events()[-1] == ("page_refused", "no_session", "")
    other.cookies.set("oncofed_session", cookie)
    assert other.get("/patients").status_code == 200, "the check must be able to pass"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    with served(tmp_path, shown=HOSPITAL) as plain:
        answer = plain.client().post("/sign-in", data={"name": "analyst", "password": PASSWORD})
        set_cookie = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in set_cookie.split(";")}
        assert "secure" not in set_cookie, "loopback has no TLS"
    (tmp_path / "tls").mkdir()
    with served(tmp_path / "tls", shown=HOSPITAL, secure=True) as behind_tls:
        answer = behind_tls.client().post("/sign-in", data={"name": "analyst", "password": PASSWORD})
        set_cookie = answer.headers["set-cookie"]
        assert set_cookie.startswith("__Host-")
        assert "Secure" in set_cookie


def test_signing_in_gives_a_new_session_and_ends_the_old_one(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    before = client.cookies["oncofed_session"]
    client.post("/sign-in", data={"name": "analyst", "password": PASSWORD})
    assert client.cookies["oncofed_session"] != before
    other = here.client()
    other.cookies.set("oncofed_session", before)
    assert other.get("/patients").status_code == 303


def test_signing_out_and_idleness_end_the_session(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    cookie = client.cookies["oncofed_session"]
    assert submit(client, "/patients", "/sign-out").status_code == 303
    client.cookies.set("oncofed_session", cookie)
    assert client.get("/patients").status_code == 303
    idle = here.signed_in(Role.CLINICIAN)
    here.clock.seconds += 901
    assert idle.get("/patients").status_code == 303


def test_a_form_without_the_sessions_secret_is_refused(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client, patient = here.signed_in(Role.CLINICIAN), HOSPITAL.cohort.patient_ids[5]
    other = secret_of(here.signed_in(Role.CLINICIAN).get("/patients"))
    for secret in ({}, {"form_secret": ""}, {"form_secret": other}, {"form_secret": "\u00fc"}):
        answer = client.post("/patients/find", data={"patient_id": patient, **secret})
        assert answer.status_code == 403
        assert here.events()[-1] == ("page_refused", "form", "clinician")
    monkeypatch.setattr(Session, "is_own_form", lambda self, secret: True)
    assert client.post("/patients/find", data={"patient_id": patient}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"content-type": "text/plain"},
    ],
)
def test_a_form_from_elsewhere_is_refused_even_for_signing_in(
    here: Served, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, fields = here.client(), {"name": "analyst", "password": PASSWORD}
    answer = client.post("/sign-in", data=fields, headers=headers)
    assert answer.status_code == 403
    assert here.events()[-1] == ("page_refused", "form", "")
    own = {"origin": "http://pages.example", "sec-fetch-site": "same-origin"}
    assert client.post("/sign-in", data=fields, headers=own).status_code == 303
    monkeypatch.setattr(forms, "_comes_from_elsewhere", lambda request: False)
    if "content-type" not in headers:
        assert client.post("/sign-in", data=fields, headers=headers).status_code == 303


def test_a_huge_or_broken_form_is_refused(here: Served) -> None:
    client = here.client()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/sign-in", content=b"name=" + b"a" * 20_000, headers=kind).status_code == 413
    assert client.post("/sign-in", content=b"&".join([b"a=b"] * 50), headers=kind).status_code == 400
    assert client.post("/sign-in", content=b"\xff\xfe=1", headers=kind).status_code == 400
    assert client.post("/sign-in", content=b"name=%ff", headers=kind).status_code == 400


def test_guessing_a_password_is_slowed_down_and_written_down(here: Served) -> None:
    client = here.client()
    for _ in range(3):
        answer = client.post("/sign-in", data={"name": "clinician", "password": "wrong"})
        assert answer.status_code == 401
        assert here.events()[-1] == ("page_refused", "wrong_password", "clinician")
    right = {"name": "clinician", "password": PASSWORD}
    assert client.post("/sign-in", data=right).status_code == 429, "even the right one has to wait"
    here.clock.seconds += 2
    assert client.post("/sign-in", data=right).status_code == 303


def test_who_knows_a_name_does_not_lock_it_elsewhere(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ends_of", lambda scope: None)  # as on the socket, where the proxy says who asks
    monkeypatch.setattr(peer_user, "ends_of", lambda scope: None)
    client, right = here.client(), {"name": "clinician", "password": PASSWORD}
    for _ in range(4):
        client.post("/sign-in", data={**right, "password": "wrong"}, headers={"x-real-ip": "10.1.0.66"})
    assert client.post("/sign-in", data=right, headers={"x-real-ip": "10.1.0.66"}).status_code == 429
    assert client.post("/sign-in", data=right, headers={"x-real-ip": "10.1.0.7"}).status_code == 303
    monkeypatch.setattr(password_turns, "_mark", lambda *parts: parts[-1].encode())  # by the name alone
    for _ in range(4):
        client.post("/sign-in", data={**right, "password": "wrong"}, headers={"x-real-ip": "10.1.0.66"})
    assert client.post("/sign-in", data=right, headers={"x-real-ip": "10.1.0.7"}).status_code == 429


def test_on_loopback_nobody_says_who_he_is(here: Served) -> None:
    client, right = here.client(), {"name": "clinician", "password": PASSWORD}
    for number in range(4):
        client.post("/sign-in", data={**right, "password": "wrong"}, headers={"x-real-ip": f"10.1.0.{number}"})
    assert client.post("/sign-in", data=right, headers={"x-real-ip": "10.1.0.9"}).status_code == 429


def test_a_browser_behind_the_proxy_is_known_by_what_one_subscriber_has() -> None:
    def peer(address: str | None) -> str:
        headers = [] if address is None else [(b"x-real-ip", address.encode())]
        scope = {"type": "http", "client": None, "server": ("/run/pages.sock", None), "headers": headers}
        return peer_user.peer_of(scope, None)

    assert peer("192.0.2.7") != peer("192.0.2.8")
    assert peer("2001:db8::1") == peer("2001:db8::ffff:2") != peer("2001:db8:0:1::1")
    assert peer(None) == peer("a, b") == peer("")


@pytest.mark.parametrize("form", ["/sign-in", "/password", "/accounts/add", "/accounts/password"])
def test_every_scrypt_of_the_pages_is_inside_a_turn(here: Served, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    running: list[int] = []
    derived = accounts_module._derived

    def seen(password: str, account: accounts_module.Account) -> bytes:
        running.append(here.desk.turns.running)
        return derived(password, account)

    fields = {"name": "dr.neu", "password": "a long new password", "role": "analyst"}
    fields |= {"old": PASSWORD, "new": fields["password"], "again": fields["password"]}
    administrator = here.signed_in(Role.ADMINISTRATOR)
    submit(administrator, "/accounts", "/accounts/add", **{**fields, "name": "dr.alt"})
    monkeypatch.setattr(accounts_module, "_derived", seen)
    if form == "/sign-in":
        here.client().post(form, data=fields)
    else:
        submit(
            administrator, "/accounts", form, **{**fields, "name": "dr.alt" if form.endswith("password") else "dr.neu"}
        )
    assert running, "the form must make the server work"
    assert set(running) == {1}


def test_a_change_of_password_is_slowed_down_like_a_sign_in(here: Served) -> None:
    client, new = here.signed_in(Role.CLINICIAN), "another long password"
    answers = [submit(client, "/password", "/password", old="wrong", new=new, again=new) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert submit(client, "/password", "/password", old=PASSWORD, new=new, again=new).status_code == 429
    here.clock.seconds += 2
    assert submit(client, "/password", "/password", old=PASSWORD, new=new, again=new).status_code == 303


def test_an_unknown_name_and_a_wrong_password_are_the_same_answer(here: Served) -> None:
    client = here.client()
    answers = [client.post("/sign-in", data={"name": name, "password": "wrong"}) for name in ("clinician", "nobody")]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].text == answers[1].text
    for _ in range(3):
        last = client.post("/sign-in", data={"name": "nobody", "password": "wrong"})
    assert last.status_code == 429
    # A name that is none may be a password that went into the wrong field.
    assert "nobody" not in here.desk.audit_log.read_text()


def test_another_sites_name_that_leads_here_is_refused(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    answer = client.get("/patients", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert here.events()[-1] == ("page_refused", "host", "")
    permissive = Served(replace(here.desk, hosts=frozenset({"evil.example"})), here.clock, here.folder)
    assert permissive.client().get("/sign-in", headers={"host": "evil.example"}).status_code == 200


def test_the_users_that_run_what_the_coordinator_sends_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oncofed.client.pages.application.user_of_connection", lambda client, server: 61001)
    with served(tmp_path, shown=HOSPITAL, users=frozenset({61001, 61002})) as here:
        assert here.client().get("/sign-in").status_code == 421
        assert here.events()[-1] == ("page_refused", "node_user", "")
        here.refused_users = frozenset({61002})
        assert here.client().get("/sign-in").status_code == 200


def test_a_connection_of_which_nobody_knows_whose_it_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(tmp_path, shown=HOSPITAL, users=frozenset({61001})) as here:
        monkeypatch.setattr("oncofed.client.pages.application.user_of_connection", lambda client, server: None)
        assert here.client().get("/sign-in").status_code == 421
        assert here.events()[-1] == ("page_refused", "unknown_user", "")
        assert "does not say which user" in caplog.text
        monkeypatch.setattr("oncofed.client.pages.application.user_of_connection", lambda client, server: 0)
        assert here.client().get("/sign-in").status_code == 200
        here.refused_users = frozenset()  # where no user is refused, none has to be known
        monkeypatch.setattr("oncofed.client.pages.application.user_of_connection", lambda client, server: None)
        assert here.client().get("/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("client", "server", "ends"),
    [
        (None, ("/run/pages.sock", None), False),
        (("", 0), ("/run/pages.sock", None), False),
        (None, ("127.0.0.1", 8440), True),
        (None, None, True),
        (("127.0.0.1", 0), ("127.0.0.1", 8440), True),
    ],
)
def test_only_a_unix_socket_has_no_ends_to_be_asked_for(client: object, server: object, ends: bool) -> None:
    assert (peer_user.ends_of({"type": "http", "client": client, "server": server}) is not None) == ends


def test_names_and_categories_are_text_on_every_page(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def scripts(answer: str) -> list[str]:
        page = Page(answer)
        handlers = [name for _, name, _ in page.attributes if name.startswith("on")]
        inline = re.findall(r"<script(?![^>]*\bsrc=\"/static/)[^>]*>", answer)
        images = ["img"] * page.tags["img"]
        return handlers + inline + images

    clinician = here.signed_in(Role.CLINICIAN)
    row = next(row for row in range(0, 400, 2) if HOSPITAL.cohort.values[row, 3] == 1)
    address = here.opened(clinician, row)
    shown = [clinician.get(each).text for each in (address, "/cohort", "/cohort?entity=1&marker=entity")]
    assert all("window.planted" in each for each in shown[1:]), "what was planted must be on the page"
    assert [scripts(each) for each in shown] == [[], [], []]

    rendering.templates_in.cache_clear()
    real = jinja2.Environment

    def careless(**options: object) -> jinja2.Environment:
        return real(**{**options, "autoescape": False, "bytecode_cache": None})  # type: ignore[arg-type]

    monkeypatch.setattr(jinja2, "Environment", careless)
    try:
        assert scripts(clinician.get("/cohort?entity=1&marker=entity").text) != []
    finally:
        rendering.templates_in.cache_clear()


def test_pictures_hold_names_as_text_and_nothing_that_runs_or_loads(
    here: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinician = here.signed_in(Role.CLINICIAN)

    def pictures() -> list[str]:
        answers = [clinician.get(each).text for each in (here.opened(clinician), "/cohort?marker=entity")]
        return [picture for text in answers for picture in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]

    shown = pictures()
    assert len([picture for picture in shown if "<text" in picture]) == 6, "bars beside reasons have no words"
    assert any("planted" in each for each in shown)
    assert [problem for each in shown for problem in unsafe(each)] == []
    monkeypatch.setattr(drawing, "escape", Markup)
    assert [problem for each in pictures() for problem in unsafe(each)] != [], "the check must be able to fail"


def test_every_answer_forbids_scripts_frames_and_keeping(here: Served) -> None:
    clinician = here.signed_in(Role.CLINICIAN)
    address = here.opened(clinician)
    addresses = (address, "/patients", "/cohort", "/cohort/strongest.csv", "/nothing", "/accounts", "/static/x")
    for answer in [clinician.get(each) for each in addresses] + [here.client().get("/sign-in")]:
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert policy["frame-ancestors"] == "'none'"
        assert "http" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert "max-age" in clinician.get("/static/pages.css").headers["cache-control"]


def test_an_update_is_never_shown_with_the_style_and_script_of_before(
    here: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept by browsers for a day, under an address that their content gives."""
    client = here.client()

    def addresses() -> list[str]:
        page = Page(client.get("/sign-in").text)
        return [each for each in page.values("href") + page.values("src") if each.startswith("/static/")]

    before = addresses()
    assert len(before) == 2
    assert all(client.get(each).status_code == 200 for each in before)
    real = Path.read_bytes
    changed = {"pages.css": b"/* changed */"}
    monkeypatch.setattr(Path, "read_bytes", lambda path: real(path) + changed.get(path.name, b""))
    static_version.cache_clear()
    try:
        assert set(addresses()).isdisjoint(before)
    finally:
        static_version.cache_clear()


def test_every_view_is_written_down_with_who_and_a_code_for_whom(here: Served) -> None:
    clinician, administrator = here.signed_in(Role.CLINICIAN), here.signed_in(Role.ADMINISTRATOR)
    patient = HOSPITAL.cohort.patient_ids[5]
    code = patient_code(b"k" * 32, patient)
    clinician.get(here.opened(clinician))
    clinician.get("/cohort")
    clinician.get("/cohort/strongest.csv")
    administrator.get("/audit")
    submit(administrator, "/accounts", "/accounts/add", name="dr.neu", role="analyst", password="a long new password")
    events = here.events()
    assert ("page_search", code, "clinician") in events
    assert ("page_patient", code, "clinician") in events
    assert ("page_cohort", "", "clinician") in events
    assert ("page_export", "strongest", "clinician") in events or (
        "page_export",
        "strongest_markers",
        "clinician",
    ) in events
    assert ("page_audit", "", "administrator") in events
    assert ("page_accounts", "add", "administrator") in events
    changed = next(entry for entry in here.entries() if entry.event == "page_accounts" and entry.code)
    assert (changed.facts["of_account"], changed.facts["role"]) == ("dr.neu", "analyst")
    assert "dr.neu" in administrator.get("/audit").text
    assert {entry.plan_hash for entry in here.entries()} == {PLAN_HASH}
    found = views_of(here.desk.audit_log, key=b"k" * 32, patient_id=patient)
    assert [entry.event for entry in found] == ["page_search", "page_patient"]
    assert views_of(here.desk.audit_log, key=b"j" * 32, patient_id=patient) == (), "the code needs the key"


def test_what_cannot_be_written_down_is_not_shown(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    clinician = here.signed_in(Role.CLINICIAN)
    address = here.opened(clinician)

    def full(*_: object, **__: object) -> None:
        raise RecordUnwritable("audit.jsonl cannot be written")

    monkeypatch.setattr(AuditLog, "append", full)
    for page in (address, f"{address}/twin", "/cohort", "/cohort/strongest.csv"):
        answer = clinician.get(page)
        assert answer.status_code == 500
        assert "Hazard" not in answer.text
    monkeypatch.setattr(ViewingRecord, "patient", lambda *_: None)
    assert clinician.get(address).status_code == 200, "the check must be able to pass"


def test_refusals_of_strangers_do_not_fill_the_disk(here: Served) -> None:
    client = here.client()
    for _ in range(200):
        client.get("/nothing")
    assert len(here.entries()) == 31
    assert here.events()[-1] == ("page_refused", "more_of_the_same", "")
    here.clock.seconds += 60
    client.get("/nothing")
    assert here.events()[-1] == ("page_refused", "unknown_page", "")


def whole_visit(here: Served) -> None:
    """Everything that a clinician, an analyst and an administrator do, and what goes wrong."""
    clinician = here.signed_in(Role.CLINICIAN)
    address = here.opened(clinician)
    for each in (
        address,
        f"{address}?endpoint=1",
        "/cohort",
        "/cohort?entity=0",
        "/cohort/dependence.csv?marker=smoker",
    ):
        assert clinician.get(each).status_code == 200
    submit(clinician, "/patients", "/patients/find", patient_id="MRN-0047-99999")
    clinician.get(f"/patients/{quote(HOSPITAL.cohort.patient_ids[5])}")
    here.signed_in(Role.ANALYST).get(address)
    here.signed_in(Role.ADMINISTRATOR).get("/audit")


def test_no_log_holds_an_identifier_a_word_of_a_patient_or_a_value(
    here: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    whole_visit(here)
    words = {word for session in here.desk.sessions._by_hash.values() for word in session.opened}
    assert words
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("oncofed")]
    assert len(lines) >= 15
    assert any("GET /patients/{word} 200" in line for line in lines)
    logged = "\n".join(lines) + here.desk.audit_log.read_text()
    age = f"{HOSPITAL.cohort.values[5, 0]:.4g}"
    for secret in ("MRN-0047", age, PASSWORD, *words):
        assert secret not in logged, secret
    caplog.clear()
    logging.getLogger("oncofed.client.pages").info("GET %s", f"/patients/{next(iter(words))}")
    assert any(word in caplog.text for word in words), "a leak planted on purpose is found"


def test_a_failure_inside_tells_nobody_what_it_was_about(
    here: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinician = here.signed_in(Role.CLINICIAN)
    address = here.opened(clinician)

    def failing(*_: object, **__: object) -> None:
        raise KeyError("MRN-0047-00005 has age 61")

    monkeypatch.setattr("oncofed.client.pages.patient_pages.patient_view", failing)
    answer = clinician.get(address)
    assert answer.status_code == 500
    assert answer.headers["x-frame-options"] == "DENY"
    assert "MRN" not in answer.text
    assert "KeyError" in caplog.text
    assert "MRN" not in caplog.text
    assert shield._FAILED in answer.text


def test_no_address_of_a_page_holds_an_identifier(here: Served) -> None:
    clinician = here.signed_in(Role.CLINICIAN)
    address = here.opened(clinician)
    for page in (clinician.get(address), clinician.get("/patients")):
        assert "MRN-0047-00005" in page.text, "the page itself says who it is about"
        found = Page(page.text)
        for attribute in ("href", "action", "src"):
            assert not [value for value in found.values(attribute) if "MRN" in value]


def test_an_administrator_manages_accounts_and_sees_no_patient(here: Served) -> None:
    administrator, clinician = here.signed_in(Role.ADMINISTRATOR), here.signed_in(Role.CLINICIAN)
    clinician.get(here.opened(clinician))
    for page in ("/accounts", "/audit"):
        assert "MRN" not in administrator.get(page).text
    assert submit(administrator, "/accounts", "/accounts/disable", name="clinician").status_code == 303
    assert clinician.get("/patients").status_code == 303, "the running session is over at once"
    assert submit(administrator, "/accounts", "/accounts/disable", name="administrator").status_code == 400
    assert (
        submit(administrator, "/accounts", "/accounts/add", name="x", role="king", password=PASSWORD).status_code == 400
    )
    assert submit(administrator, "/accounts", "/accounts/nothing", name="x").status_code == 404


def test_a_changed_password_ends_all_sessions(here: Served) -> None:
    first, second = here.signed_in(Role.CLINICIAN), here.signed_in(Role.CLINICIAN)
    new = "another long password"
    wrong = submit(first, "/password", "/password", old="wrong", new=new, again=new)
    assert wrong.status_code == 400
    assert submit(first, "/password", "/password", old=PASSWORD, new=new, again="x" * 20).status_code == 400
    assert submit(first, "/password", "/password", old=PASSWORD, new=new, again=new).status_code == 303
    assert first.get("/patients").status_code == second.get("/patients").status_code == 303
    assert here.client().post("/sign-in", data={"name": "clinician", "password": new}).status_code == 303
