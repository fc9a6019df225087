"""Can anybody see the coordinator's pages without its credential, or change anything through them?

Each defence is seen to be needed: the same attempt succeeds where the test takes the defence out, or has the right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.routing import Route
from tests.command_line import oncofed
from tests.coordinator_pages import HOST, Shown, running_study, shown
from tests.html_pages import Page

from oncofed.local_pages import forms
from oncofed.server.pages.application import ROUTES
from oncofed.server.pages.credential import Credential

COOKIE = f"oncofed_coordinator_{HOST.partition(':')[2]}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shown]:
    with shown(tmp_path) as found:
        yield found


def addresses(here: Shown) -> tuple[str, ...]:
    study = here.study("seen")
    study.round(1)
    return ("/", f"/studies/{study.plan.hash}", f"/studies/{study.plan.hash}/report")


def test_every_route_is_one_of_those_that_are_tried_here(here: Shown) -> None:
    pages = {"/", "/studies/{plan}", "/studies/{plan}/report"}
    assert {route.path for route in ROUTES} == pages | {"/sign-in", "/sign-out", "/language", "/static/{name}"}
    posts = {route.path for route in ROUTES if isinstance(route, Route) and "POST" in (route.methods or ())}
    assert posts == {"/sign-in", "/sign-out", "/language"}, "nothing else is done here"


def test_nothing_is_shown_without_the_credential(here: Shown) -> None:
    paths, stranger, client = addresses(here), here.client(), here.signed_in()
    for path in paths:
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "Aachen" not in answer.text
        assert client.get(path).status_code == 200
        assert "Aachen" in client.get(path).text, "the check must be able to fail"
    assert "Aachen" not in stranger.get("/sign-in").text


@pytest.mark.parametrize("typed", ["", "x", "\N{SNOWMAN}", "{token}x", "{token[0]}", "{admin}"])
def test_another_credential_is_refused(here: Shown, typed: str) -> None:
    admin = here.folder.admin_token.read_text()
    client, wrong = here.client(), typed.format(token=here.token, admin=admin)
    answer = client.post("/sign-in", data={"credential": wrong})
    assert answer.status_code == 401
    assert COOKIE not in client.cookies
    assert client.get("/").status_code == 303
    assert client.post("/sign-in", data={"credential": f" {here.token}\n"}).status_code == 303
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("content", [None, "", "\n", "short\n"])
def test_a_file_that_is_no_credential_lets_nobody_in(here: Shown, content: str | None) -> None:
    if content is None:
        here.folder.pages_token.unlink()
    else:
        here.folder.pages_token.write_text(content)
    for typed in ("", (content or "").strip(), "None"):
        assert here.client().post("/sign-in", data={"credential": typed}).status_code == 401


def test_a_file_that_others_may_read_lets_nobody_in(here: Shown) -> None:
    token = here.token
    here.folder.pages_token.chmod(0o640)
    assert here.client().post("/sign-in", data={"credential": token}).status_code == 401
    here.folder.pages_token.chmod(0o600)
    assert here.client().post("/sign-in", data={"credential": token}).status_code == 303


def test_a_tampered_cookie_is_no_session(here: Shown) -> None:
    client = here.signed_in()
    right = client.cookies[COOKIE]
    for wrong in (right[:-1], right + "A", right.swapcase(), here.token, "A" * len(right)):
        stranger = here.client()
        stranger.cookies.set(COOKIE, wrong)
        assert stranger.get("/").status_code == 303
    stranger = here.client()
    stranger.cookies.set(COOKIE, right)
    assert stranger.get("/").status_code == 200, "the check must be able to fail"


def test_a_cookie_is_for_these_pages_alone_and_no_script(here: Shown) -> None:
    answer = here.client().post("/sign-in", data={"credential": here.token})
    given = answer.headers["set-cookie"].lower()
    assert "httponly" in given
    assert "samesite=strict" in given
    assert "domain" not in given
    assert here.token not in given


def test_pages_of_another_port_keep_their_session(here: Shown) -> None:
    """A browser gives all cookies of a host to each of its ports."""
    client = here.client()
    client.cookies.set("oncofed_coordinator_8442", "theirs")
    client.get("/")
    client.post("/sign-in", data={"credential": here.token})
    assert client.cookies["oncofed_coordinator_8442"] == "theirs"
    assert client.get("/").status_code == 200


def test_each_sign_in_is_another_session_and_ends_the_one_before(here: Shown) -> None:
    client = here.signed_in()
    before = client.cookies[COOKIE]
    client.post("/sign-in", data={"credential": here.token})
    assert client.cookies[COOKIE] != before
    stranger = here.client()
    stranger.cookies.set(COOKIE, before)
    assert stranger.get("/").status_code == 303


def test_a_new_credential_ends_every_session(here: Shown) -> None:
    client, before = here.signed_in(), here.token
    assert client.get("/").status_code == 200
    assert here.desk.credential.make(anew=True)
    assert here.token != before
    assert client.get("/").status_code == 303
    assert here.client().post("/sign-in", data={"credential": before}).status_code == 401
    again = here.signed_in()
    here.folder.pages_token.unlink()
    assert again.get("/").status_code == 303, "nor does one live on when it is taken away"


def test_a_session_ends_when_its_page_is_closed_and_after_a_working_day(here: Shown) -> None:
    client = here.signed_in()
    for _ in range(31):
        here.clock.seconds += 890
        assert client.get("/").status_code == 200
    here.clock.seconds += 8 * 3600 - 31 * 890 + 1
    assert client.get("/").status_code == 303
    idle = here.signed_in()
    here.clock.seconds += 901
    assert idle.get("/").status_code == 303


def test_signing_out_needs_the_form_of_the_page_and_ends_the_session(here: Shown) -> None:
    client = here.signed_in()
    cookie = client.cookies[COOKIE]
    assert client.post("/sign-out", data={"form_secret": "wrong"}).status_code == 403
    page = Page(client.get("/").text)
    *_, secret = (value for tag, name, value in page.attributes if tag == "input" and name == "value")
    assert client.post("/sign-out", data={"form_secret": secret}).status_code == 303
    stranger = here.client()
    stranger.cookies.set(COOKIE, cookie)
    assert stranger.get("/").status_code == 303


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_form_from_elsewhere_is_refused(
    here: Shown, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = here.client()
    fields = {"credential": here.token}
    assert client.post("/sign-in", data=fields, headers=headers).status_code == 403
    assert client.post("/sign-in", json=fields).status_code == 403
    assert client.post("/sign-in", data={"credential": "x" * 20_000}).status_code == 413
    monkeypatch.setattr(forms, "_comes_from_elsewhere", lambda request: False)
    assert client.post("/sign-in", data=fields, headers=headers).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:8442", "127.0.0.1:8441.evil.example", ""])
def test_a_host_that_is_not_this_machine_is_refused(here: Shown, host: str) -> None:
    """A name of another site that was made to lead to loopback."""
    client = here.signed_in()
    for path in ("/", "/sign-in", "/static/pages.css"):
        assert client.get(path, headers={"host": host}).status_code == 421
    here.desk = replace(here.desk, hosts=frozenset({host}))
    assert here.client().get("/sign-in", headers={"host": host}).status_code == 200


def test_every_answer_has_the_strict_headers_and_is_kept_by_nobody(here: Shown) -> None:
    client = here.signed_in()
    answers = [client.get(path) for path in (*addresses(here), "/sign-in", "/nothing", "/studies/x")]
    answers += [client.post("/sign-in", data={"credential": "x"}), client.get("/", headers={"host": "x"})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    pages = [each.headers["content-security-policy"] for each in answers[:2]]
    assert all("script-src 'self'" in each and "unsafe" not in each for each in pages)
    assert "script" not in answers[2].headers["content-security-policy"], "a report runs nothing"
    assert client.get("/static/secret").status_code == 404
    assert client.get("/static/..%2f..%2fpages.token").status_code == 404


def test_a_page_asks_nobody_else_for_anything(here: Shown) -> None:
    client = here.signed_in()
    with running_study(here) as study:
        for path in ("/", f"/studies/{study.plan.hash}", "/sign-in"):
            page = Page(client.get(path).text)
            assert page.tags["style"] == 0
            assert not [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")]
            links = page.values("href") + page.values("src") + page.values("action")
            assert len(links) >= 3
            assert [each for each in links if not each.startswith(("/", "#", "data:,"))] == []
            assert all(client.get(each).status_code == 200 for each in links if each.startswith("/static/"))


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_looking_changes_nothing_in_the_folder(here: Shown) -> None:
    paths = addresses(here)
    with running_study(here):
        before = fingerprint(here.folder.root)
        client = here.signed_in()
        for path in paths:
            assert client.get(path).status_code == 200
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert client.request(method, path).status_code == 405
        assert fingerprint(here.folder.root) == before


def test_the_credential_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    credential = Credential(tmp_path / "pages.token")
    mask = os.umask(0)
    try:
        assert credential.make()
    finally:
        os.umask(mask)
    assert credential.path.stat().st_mode & 0o777 == 0o600
    first = credential.path.read_text().strip()
    assert len(first) >= 43, "256 bits"
    assert not credential.make()
    assert credential.path.read_text().strip() == first
    assert credential.make(anew=True)
    assert credential.path.read_text().strip() != first
    assert credential.path.stat().st_mode & 0o777 == 0o600


def test_the_log_names_no_credential(here: Shown, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client = here.client()
    client.post("/sign-in", data={"credential": "a wrong one"})
    client.post("/sign-in", data={"credential": here.token})
    client.get("/")
    lines = [record.getMessage() for record in caplog.records if record.name == "oncofed.server.pages"]
    assert "refused: wrong_credential" in lines
    assert "signed in" in lines
    assert any("GET show_overview 200" in line for line in lines)
    assert "a wrong one" not in caplog.text
    assert here.token not in caplog.text
    assert client.cookies[COOKIE] not in caplog.text


def test_a_taken_port_and_another_folder_are_refused_and_make_nothing(here: Shown, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    said = oncofed("coordinator", "pages", other)
    assert said.code == 2
    assert "no coordinator's folder" in said.text
    assert list(other.iterdir()) == []


def test_the_host_of_the_tests_is_the_commands_own() -> None:
    said = oncofed("coordinator", "pages", "--help")
    assert said.code == 0
    assert f"default: {HOST.partition(':')[2]}" in said.text
