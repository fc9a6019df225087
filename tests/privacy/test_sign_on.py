"""Can somebody be signed in whom the hospital's reverse proxy did not name?

Through the application on the proxy's socket, and with bytes of our own on a real one. What the proxy does in front is
tried with nginx in tests/end_to_end/test_sign_on_behind_proxy.py.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from httpx import Response
from starlette.types import Receive, Scope, Send
from tests.console_site import FIRST, Site, ask_for_two, console_site
from tests.html_pages import Page
from tests.pages_hospital import PASSWORD, SECOND, Served, Window, hospital, secret_of, served, submit

from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages import console_pages, desk
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.application import application
from oncofed.client.pages.of_node import names_of
from oncofed.client.pages.serving import Place
from oncofed.client.pages.sessions import Way
from oncofed.client.records.decisions import Decision
from oncofed.client.sign_on.proxy_names import ProxyNames, SignOnRefused, Why
from oncofed.errors import InvalidInput
from oncofed.local_pages.listening import server_of

HOSPITAL = hospital()
HEADER = "X-Forwarded-User"
SECRET = "3c9fa85b1d7b4d0e8a52c6f0917e4b2d"
NAMES = ProxyNames(HEADER, SECRET, sign_out="https://sign-on.hospital.example/out")
PROVEN = {HEADER: "clinician", "X-Sign-On-Secret": SECRET}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shown=HOSPITAL) as found:
        found.desk = replace(found.desk, names=NAMES)
        yield found


def browser(here: Served, headers: dict[str, str] | None = None, *, on_socket: bool = True) -> Window:
    """Behind the proxy, which adds these headers to each request."""
    app = application(here.desk)

    async def on_the_socket(scope: Scope, receive: Receive, send: Send) -> None:
        if on_socket:
            scope = {**scope, "server": ("/run/oncofed-pages/pages.sock", None)}
        await app(scope, receive, send)

    given = PROVEN if headers is None else headers
    found = Window(on_the_socket, base_url="http://pages.example", follow_redirects=False, headers=given)
    here.clients.append(found)
    return found


def onward(answer: Response) -> str:
    """Where a page of ours leads by itself."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


def signed_on(client: Window, address: str = "/") -> Response:
    """All the way from an address, as a browser goes it: to the answer that is not of the way."""
    answer: Response = client.get(onward(client.get(address)))
    while answer.status_code == 303 and answer.headers["location"] != address:
        answer = client.get(answer.headers["location"])
    return answer


def told(here: Served) -> list[tuple[str, str, str]]:
    return [each for each in here.events() if each[0] in ("page_sign_in", "page_refused", "page_sign_out")]


# --- whom the proxy names


def test_whom_the_proxy_names_is_signed_in_and_goes_where_it_was_going(here: Served) -> None:
    client = browser(here)
    answer = signed_on(client, "/cohort?group=all&by=%C3%A4")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/cohort?group=all&by=%C3%A4"
    assert client.get("/patients").status_code == 200
    assert told(here) == [("page_sign_in", "by_proxy", "clinician")]
    page = client.get(here.opened(client))
    assert HOSPITAL.cohort.patient_ids[5] in page.text


def test_the_own_account_goes_on_beside_it_and_the_log_says_which_way(here: Served) -> None:
    for headers in (PROVEN, {"X-Sign-On-Secret": SECRET}, {}):
        client = browser(here, headers)
        answer = client.post("/sign-in", data={"name": "analyst", "password": PASSWORD})
        assert answer.status_code == 303, headers
        assert "analyst" in client.get("/cohort").text
    assert told(here) == [("page_sign_in", "by_password", "analyst")] * 3


def test_the_role_is_the_accounts_and_a_header_gives_none(here: Served) -> None:
    for role in Role:
        client = browser(here, {**PROVEN, HEADER: role.value, "X-Forwarded-Groups": "administrator", "X-Role": "it"})
        signed_on(client)
        for address, roles in {
            "/patients": {Role.CLINICIAN},
            "/cohort": {Role.CLINICIAN, Role.ANALYST},
            "/accounts": {Role.ADMINISTRATOR},
        }.items():
            assert client.get(address).status_code == (200 if role in roles else 403), (role, address)


def test_no_account_no_session(here: Served) -> None:
    for name in ("dr.strange", "Clinician", "CLINICIAN"):
        answer = signed_on(browser(here, {**PROVEN, HEADER: name}))
        assert answer.status_code == 403
        assert "no account of these pages has that name" in answer.text
        assert told(here)[-1] == ("page_refused", "sign_on_account", "")
        assert "set-cookie" not in answer.headers
    assert not any(event == "page_sign_in" for event, _, _ in here.events())


def test_an_account_that_ends_is_out_with_its_next_click_and_does_not_come_back(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    assert client.get("/patients").status_code == 200
    here.desk.accounts.set_enabled("clinician", False)
    answer = client.get("/patients")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert told(here)[-1] == ("page_refused", "no_session", "")
    assert "Go on as" not in client.get("/sign-in").text
    assert client.get("/sign-on").status_code == 403
    assert signed_on(browser(here)).status_code == 403
    here.desk.accounts.set_enabled("clinician", True)
    assert signed_on(browser(here)).status_code == 303


def test_off_the_headers_say_nothing_at_all(here: Served) -> None:
    here.desk = replace(here.desk, names=None)
    for headers in (PROVEN, {HEADER: "clinician"}, {HEADER: "clinician, it"}, {"x_forwarded_user": "clinician"}):
        client = browser(here, headers)
        answer = client.get("/patients")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert client.get("/sign-on").status_code == 404
        assert told(here)[-1] == ("page_refused", "unknown_page", "")


def test_on_a_port_they_say_nothing_either(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(here, on_socket=False)
    assert client.get("/patients").headers["location"] == "/sign-in"
    assert client.get("/sign-on").headers["location"] == "/sign-in"
    assert told(here) == []
    monkeypatch.setattr("oncofed.client.pages.connections.ends_of", lambda scope: None)  # as if a port were a socket
    assert signed_on(client).status_code == 303


# --- who is not the proxy


SPOOFED = {
    "stripped of the secret": ([(HEADER, "clinician")], Why.PROOF),
    "with a wrong secret": ([(HEADER, "clinician"), ("X-Sign-On-Secret", SECRET[:-1])], Why.PROOF),
    "with a secret and more": ([(HEADER, "clinician"), ("X-Sign-On-Secret", SECRET + "0")], Why.PROOF),
    "with no secret in it": ([(HEADER, "clinician"), ("X-Sign-On-Secret", "")], Why.PROOF),
    "a wrong secret alone": ([("X-Sign-On-Secret", "0" * 32)], Why.PROOF),
    "two names": ([(HEADER, "clinician"), (HEADER, "administrator"), ("X-Sign-On-Secret", SECRET)], Why.DOUBLED),
    "one name twice": ([(HEADER, "clinician"), (HEADER, "clinician"), ("X-Sign-On-Secret", SECRET)], Why.DOUBLED),
    "two secrets": (
        [(HEADER, "clinician"), ("X-Sign-On-Secret", SECRET), ("X-Sign-On-Secret", SECRET)],
        Why.DOUBLED,
    ),
    "halves of a secret": (
        [(HEADER, "clinician"), ("X-Sign-On-Secret", SECRET[:16]), ("X-Sign-On-Secret", SECRET[16:])],
        Why.DOUBLED,
    ),
    "underscores": ([("X_Forwarded_User", "clinician"), ("X-Sign-On-Secret", SECRET)], Why.SPELLING),
    "one underscore": ([("X-Forwarded_User", "clinician"), ("X-Sign-On-Secret", SECRET)], Why.SPELLING),
    "underscores beside": (
        [(HEADER, "clinician"), ("x_forwarded_user", "administrator"), ("X-Sign-On-Secret", SECRET)],
        Why.SPELLING,
    ),
    "a secret with underscores": ([(HEADER, "clinician"), ("X_Sign_On_Secret", SECRET)], Why.SPELLING),
    "an empty name": ([(HEADER, ""), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "a list": ([(HEADER, "clinician, administrator"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "what Apache writes for nobody": ([(HEADER, "(null)"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "a long name": ([(HEADER, "c" * 65), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "a name with a role": ([(HEADER, "clinician;role=it"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "another alphabet": ([(HEADER, "\u0441linician"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "letters of Latin-1": ([(HEADER, "clinici\u00e4n"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "wide letters": ([(HEADER, "\uff43linician"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "a blank inside": ([(HEADER, "clini\u00a0cian"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
    "a tab inside": ([(HEADER, "clini\tcian"), ("X-Sign-On-Secret", SECRET)], Why.NAME),
}


@contextmanager
def on_a_socket(here: Served) -> Iterator[Path]:
    """A real server on a unix socket."""
    with TemporaryDirectory(prefix="oncofed-") as folder, socket.socket(socket.AF_UNIX) as listening:
        path = Path(folder, "pages.sock")
        listening.bind(str(path))
        listening.listen()
        server = server_of(application(here.desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield path
        finally:
            server.should_exit = True
            thread.join()


def answered(path: Path, headers: list[tuple[str, str]] | bytes, *, address: str = "/sign-on") -> tuple[int, str]:
    """Status and location of what our own bytes are answered."""
    lines = headers if isinstance(headers, bytes) else b"".join(f"{n}: {v}\r\n".encode() for n, v in headers)
    asked = f"GET {address} HTTP/1.1\r\nHost: pages.example\r\nConnection: close\r\n".encode() + lines + b"\r\n"
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        line.sendall(asked)
        said = b""
        while part := line.recv(65_536):
            said += part
    head = said.partition(b"\r\n\r\n")[0].decode("latin-1")
    place = re.search(r"(?im)^location: (.+?)\r?$", head)
    return int(head.split()[1]), place[1] if place else ""


def test_bytes_of_the_proxy_are_answered_and_no_others(here: Served) -> None:
    with on_a_socket(here) as path:
        status, place = answered(path, list(PROVEN.items()))
        assert (status, place) == (303, "/sign-on?then=%2F&begun=true")
        assert told(here) == [("page_sign_in", "by_proxy", "clinician")]
        shouted = [(name.upper(), value) for name, value in PROVEN.items()]
        assert answered(path, shouted)[0] == 303, "the case of a header's name says nothing"
        for attempt, (headers, why) in SPOOFED.items():
            for address in ("/sign-on", "/", "/patients", "/sign-in", "/static/pages.css"):
                before = len(here.entries())
                assert answered(path, headers, address=address) == (421, ""), attempt
                here.clock.seconds += 60  # who is not signed in has thirty lines a minute
                assert [each.code for each in here.entries()[before:]] == [why], attempt
    assert len([event for event, _, _ in here.events() if event == "page_sign_in"]) == 2


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Forwarded-User: \r\n administrator\r\nX-Sign-On-Secret: %s\r\n",
        b"X-Forwarded-User : administrator\r\nX-Sign-On-Secret: %s\r\n",
        b"X-Forwarded-User: admini\x00strator\r\nX-Sign-On-Secret: %s\r\n",
        b"X-Forwarded-User: \xff\xfe\r\nX-Sign-On-Secret: %s\r\n",
        b"X-Forwarded-User: nobody\rX-Forwarded-User: administrator\r\nX-Sign-On-Secret: %s\r\n",
        b"Connection: X-Sign-On-Secret\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-User: administrator\r\n",
    ],
    ids=["folded", "a blank before the colon", "a zero", "no text", "a lone return", "a trailer"],
)
def test_lines_that_programs_read_in_two_ways_let_nobody_in(here: Served, lines: bytes) -> None:
    filled = lines % SECRET.encode() if b"%s" in lines else lines
    with on_a_socket(here) as path:
        try:
            status, place = answered(path, filled)
        except (IndexError, ConnectionError):  # the line was shut without a word
            status, place = 400, ""
    assert status in (400, 421) or place == "/sign-in", (status, place)
    assert not any(event == "page_sign_in" for event, _, _ in here.events())


def test_without_the_proof_any_bytes_would_be_let_in(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProxyNames, "_is_own", lambda self, proofs: True)
    with on_a_socket(here) as path:
        assert answered(path, [(HEADER, "administrator")])[0] == 303
    assert told(here) == [("page_sign_in", "by_proxy", "administrator")]


# --- sessions


def test_the_session_is_of_whom_the_proxy_names_and_of_nobody_else(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    patient = here.opened(client)
    for headers in ({**PROVEN, HEADER: "analyst"}, {"X-Sign-On-Secret": SECRET}, {}):
        other, again = browser(here, headers), browser(here)
        signed_on(again)
        word = here.opened(again)
        other.cookies = again.cookies
        answer = other.get(word)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in"
        assert told(here)[-1] == ("page_refused", "sign_on_other", "clinician")
        assert again.get(word).headers["location"] == "/sign-in", "it is over for good"
    assert client.get(patient).status_code == 200, "that of another browser is not"


def test_without_that_check_a_stolen_cookie_would_do(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(here)
    signed_on(client)
    word = here.opened(client)
    thief = browser(here, {**PROVEN, HEADER: "analyst"})
    thief.cookies = client.cookies
    monkeypatch.setattr(desk, "named_in", lambda request: "clinician")
    assert thief.get(word).status_code == 200


def test_forms_need_the_sessions_secret_and_our_own_site(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    patient = HOSPITAL.cohort.patient_ids[5]
    assert client.post("/patients/find", data={"patient_id": patient}).status_code == 403
    assert told(here)[-1] == ("page_refused", "form", "clinician")
    form = {"form_secret": secret_of(client.get("/patients")), "patient_id": patient}
    elsewhere = {"origin": "https://evil.example"}
    assert client.post("/patients/find", data=form, headers=elsewhere).status_code == 403
    assert client.post("/patients/find", data=form).status_code == 303
    assert client.post("/sign-on", data={}).status_code == 405


def test_who_signs_out_is_told_of_the_other_sign_on_and_not_let_in_again_unasked(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    word = here.opened(client)
    answer = submit(client, "/patients", "/sign-out")
    assert answer.headers["location"] == "/sign-in"
    assert told(here)[-1] == ("page_sign_out", "", "clinician")
    page = client.get("/sign-in")
    assert "Go on as clinician" in page.text
    assert 'href="https://sign-on.hospital.example/out"' in page.text
    assert "http-equiv" not in page.text
    assert told(here)[-1] == ("page_sign_out", "", "clinician")
    assert signed_on(client).status_code == 303
    assert client.get(word).status_code == 404, "a new session knows no patient of the old one"


def test_idleness_ends_it_and_the_next_click_asks(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    here.clock.seconds += 901
    answer = client.get("/patients")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert [event for event, _, _ in told(here)].count("page_sign_in") == 1


def test_a_link_from_another_site_ends_no_session_and_begins_none(here: Served) -> None:
    client = browser(here)
    signed_on(client)
    word = here.opened(client)
    stranger = browser(here)  # the same browser: the cookie stays away from what another site began
    led = stranger.get("/patients", headers={"sec-fetch-site": "cross-site"})
    assert "set-cookie" not in led.headers
    direct = stranger.get("/sign-on", params={"then": "/patients"}, headers={"sec-fetch-site": "cross-site"})
    assert "set-cookie" not in direct.headers
    assert onward(led) == onward(direct) == "/sign-on?then=%2Fpatients"
    assert client.get(onward(led), headers={"sec-fetch-site": "same-origin"}).headers["location"] == "/patients"
    assert client.get(word).status_code == 200
    assert [event for event, _, _ in told(here)].count("page_sign_in") == 1


@pytest.mark.parametrize(
    "then", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/\r\nx"]
)
def test_it_leads_nowhere_else(here: Served, then: str) -> None:
    client = browser(here)
    answer = client.get("/sign-on", params={"then": then})
    assert parse_qs(urlsplit(answer.headers["location"]).query)["then"] == ["/"]
    assert client.get("/sign-on", params={"then": then}).headers["location"] == "/"


def test_a_browser_without_cookies_is_told_and_does_not_go_round(here: Served) -> None:
    client = browser(here)
    answer = client.get("/sign-on")
    client.cookies.clear()
    assert client.get(answer.headers["location"]).status_code == 403
    assert [event for event, _, _ in told(here)].count("page_sign_in") == 1


def test_nobody_signs_on_so_often_that_others_are_forgotten(here: Served) -> None:
    other = here.signed_in(Role.ANALYST)
    here.clock.seconds += 1
    account = here.desk.accounts.find("clinician")
    assert account is not None
    begun = [here.desk.sessions.begin(account, Way.PROXY) for _ in range(1200)]
    assert other.get("/cohort").status_code == 200
    left = [each for each in begun if here.desk.sessions.find(each, account=here.desk.accounts.find) is not None]
    assert left == begun[-100:]


def test_a_launch_goes_on_after_it(here: Served) -> None:
    asked = urlencode({"iss": "https://fhir.example/r4", "launch": "of-7"})
    client = browser(here)
    assert client.get(f"/launch/begin?{asked}").status_code == 404, "none is configured"

    class Any:
        def begin(self, under_way: object, *, issuer: str, launch: str) -> str:
            return f"{issuer}/authorize?{launch}"

    here.desk = replace(here.desk, launches=Any())  # type: ignore[arg-type]
    client = browser(here)
    first = onward(client.get(f"/launch/begin?{asked}"))
    kept = client.get(first).headers["location"]
    back = client.get(kept).headers["location"]
    assert back == f"/launch/begin?{asked}"
    assert client.get(back).headers["location"] == "https://fhir.example/r4/authorize?of-7"


def test_the_page_says_it_in_german_too(here: Served) -> None:
    client = browser(here)
    page = Page(client.get("/sign-in", headers={"accept-language": "de"}).text)
    assert "Weiter als clinician" in page.text
    assert "Dort abmelden" in page.text


# --- two persons are two


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with console_site(tmp_path) as found:
        found.here.desk = replace(found.here.desk, names=NAMES)
        ask_for_two(found)
        yield found


def named(site: Site, name: str) -> Window:
    """Signed on by the proxy."""
    client = browser(site.here, {**PROVEN, HEADER: name})
    signed_on(client)
    return client


def test_one_person_by_password_and_by_proxy_is_one(site: Site) -> None:
    assert site.says(named(site, FIRST), "approve").status_code == 303
    own = site.here.signed_in(FIRST)
    assert site.says(own, "approve").status_code == 409
    assert "one person counts once" in site.says(own, "approve").text
    assert site.guard_looks() == 0
    assert site.state() is None
    assert site.says(named(site, SECOND), "approve").status_code == 303
    site.guard_looks()
    assert site.state() is Decision.APPROVED


def test_the_own_password_is_asked_for_as_with_own_accounts(site: Site) -> None:
    assert site.says(named(site, FIRST), "approve", password="wrong").status_code == 401
    assert site.says(named(site, FIRST), "approve", password="").status_code == 401
    assert site.state() is None


def test_whom_the_proxy_names_decides_as_no_other_approver(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody knows a colleague's password, and the proxy knows somebody."""
    client = browser(site.here, {**PROVEN, HEADER: FIRST})
    assert client.post("/sign-in", data={"name": SECOND, "password": PASSWORD}).status_code == 303
    for decision in ("approve", "decline"):
        answer = site.says(client, decision)
        assert answer.status_code == 403
        assert "you are another approver" in answer.text
        assert site.told()[-1] == ("page_refused", "sign_on_other", SECOND)
    assert not any(event in ("approval_wanted", "decline_wanted") for event, _, _ in site.told())
    beside = browser(site.here, {**PROVEN, HEADER: "clinician"})  # a clinician with an approver's account
    beside.post("/sign-in", data={"name": SECOND, "password": PASSWORD})
    assert site.says(beside, "approve").status_code == 303
    monkeypatch.setattr(console_pages, "_is_another_approver", lambda visit: False)
    assert site.says(client, "decline").status_code == 303


# --- what is configured

SITE = """
[site]
name = "bonn"
[sign_on]
header = "X-Forwarded-User"
"""
ON_SOCKET = Place(socket=Path("/run/oncofed-pages/pages.sock"), name="prognosis.hospital.example")


def configured(root: Path, settings: str = SITE, secret: bytes | None = SECRET.encode()) -> NodeFolder:
    folder = NodeFolder(root)
    folder.guard.mkdir()
    folder.settings.write_text(settings)
    if secret is not None:
        folder.sign_on_secret.touch(mode=0o600)
        folder.sign_on_secret.write_bytes(secret)
    return folder


def test_it_is_off_without_the_section_and_on_a_port(tmp_path: Path) -> None:
    assert names_of(configured(tmp_path, SITE.partition("[sign_on]")[0]), ON_SOCKET) is None
    (other := tmp_path / "other").mkdir()
    assert names_of(configured(other), Place(port=8440)) is None


def test_a_section_that_is_whole_is_taken_and_its_secret_is_in_no_text(tmp_path: Path) -> None:
    found = names_of(configured(tmp_path, secret=f"{SECRET}\n".encode()), ON_SOCKET)
    assert found is not None
    assert (found.header, found.secret) == (HEADER, SECRET)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "secret",
    [None, b"", b"short", b"\n", b"a" * 31, b"\xff" * 40, b"two words of which the secret is", b'"' + b"a" * 40],
)
def test_a_secret_that_is_none_is_refused(tmp_path: Path, secret: bytes | None) -> None:
    with pytest.raises(InvalidInput):
        names_of(configured(tmp_path, secret=secret), ON_SOCKET)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    folder = configured(tmp_path)
    folder.sign_on_secret.chmod(0o640)
    with pytest.raises(InvalidInput, match="others than its owner"):
        names_of(folder, ON_SOCKET)


@pytest.mark.parametrize(
    "header",
    [
        *(
            "Host",
            "Cookie",
            "Authorization",
            "Origin",
            "X-Real-IP",
            "x-real-ip",
            "X-Sign-On-Secret",
            "X-sign-on-SECRET",
        ),
        *("X_Forwarded_User", "X-", "X-Forwarded-User ", "X-User:", "X-\u00dcser", "", "X--User", "User"),
    ],
)
def test_a_header_that_is_none_for_a_name_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InvalidInput, match="sign_on"):
        names_of(configured(tmp_path, SITE.replace(HEADER, header)), ON_SOCKET)


@pytest.mark.parametrize("header", ["X-Forwarded-User", "X-Auth-Request-User", "X-authentik-username", "Remote-User"])
def test_headers_that_are_usual_are_taken(tmp_path: Path, header: str) -> None:
    found = names_of(configured(tmp_path, SITE.replace(HEADER, header)), ON_SOCKET)
    assert found is not None
    assert found.named([(header.lower().encode(), b"klein"), (b"x-sign-on-secret", SECRET.encode())]) == "klein"
    with pytest.raises(SignOnRefused):
        found.named([(header.lower().encode(), b"klein")])
