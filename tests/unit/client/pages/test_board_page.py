"""Is a list for the tumour board its clinician's own, in a person's order, and every act of it written down?

What a line says is held against the patient's own page. Each defence is seen to be needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from httpx import Response
from tests.html_pages import Page
from tests.pages_hospital import PASSWORD, Served, Window, hospital, secret_of, served, submit, with_causes

from oncofed.client.pages import board_lists, board_pages
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.board_lists import MOST, BoardLists, Change
from oncofed.client.pages.viewing_record import patient_code
from oncofed.errors import RecordUnwritable
from oncofed.words.languages import languages

HOSPITAL = hospital()
IDS = HOSPITAL.cohort.patient_ids
GERMAN = languages()[1]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shown=HOSPITAL) as found:
        found.desk.accounts.add("other", Role.CLINICIAN, PASSWORD)
        yield found


@pytest.fixture
def window(here: Served) -> Window:
    return here.signed_in(Role.CLINICIAN)


def put(window: Window, *rows: int) -> None:
    for row in rows:
        assert submit(window, "/board", "/board/find", patient_id=IDS[row]).status_code == 303


def listed(window: Window) -> list[str]:
    """Identifiers, in the order of the page."""
    return re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', window.get("/board").text)


def words(window: Window) -> dict[str, str]:
    """Of each listed patient, the session's word."""
    found = re.findall(r'<th scope="row"><a href="/patients/([^?"]*)\?[^"]*">([^<]*)</a>', window.get("/board").text)
    return {patient_id: word for word, patient_id in found}


def act(window: Window, what: str, row: int | None = None) -> Response:
    word = {} if row is None else {"word": words(window)[IDS[row]]}
    return submit(window, "/board", f"/board/{what}", **word)


def code(row: int) -> str:
    return patient_code(b"k" * 32, IDS[row])


# --- the list


def test_patients_are_put_on_it_by_identifier_moved_taken_off_and_all_cleared(window: Window) -> None:
    assert "Nobody is on your list." in window.get("/board").text
    put(window, 9, 4, 30)
    assert listed(window) == [IDS[9], IDS[4], IDS[30]]
    act(window, "up", 30)
    assert listed(window) == [IDS[9], IDS[30], IDS[4]]
    act(window, "down", 9)
    assert listed(window) == [IDS[30], IDS[9], IDS[4]]
    act(window, "up", 30)
    act(window, "down", 4)
    assert listed(window) == [IDS[30], IDS[9], IDS[4]], "at an end nobody moves"
    put(window, 9)
    assert listed(window) == [IDS[30], IDS[9], IDS[4]], "nobody is on it twice"
    act(window, "remove", 9)
    assert listed(window) == [IDS[30], IDS[4]]
    act(window, "clear")
    assert listed(window) == []


def test_the_order_is_a_persons_whatever_the_risks(window: Window) -> None:
    """No page ranks patients, so no order of the list may come from what the model says."""
    rows = [7, 3, 12, 5, 20]
    put(window, *rows)
    assert listed(window) == [IDS[row] for row in rows]
    text = window.get("/board").text.lower()
    assert "sort" not in text
    assert "percentile" not in text


def test_who_was_opened_can_be_filtered_and_put_on_it(here: Served, window: Window) -> None:
    for row in (15, 16, 27):
        here.opened(window, row)
    answer = submit(window, "/board", "/board/filter", part="0001")
    found = re.findall(r"<li>([^<]*) <form", answer.text)
    assert found == [IDS[16], IDS[15]]
    (word,) = re.findall(IDS[15] + r' <form.*?name="word" value="([^"]*)"', answer.text, flags=re.S)
    assert submit(window, "/board", "/board/add", word=word).status_code == 303
    assert listed(window) == [IDS[15]]
    assert IDS[15] not in re.findall(r"<li>([^<]*) <form", window.get("/board").text)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("endpoint", [0, 1])
def test_each_line_says_what_the_patients_own_page_says_and_leads_there(
    window: Window, endpoint: int, language: str
) -> None:
    put(window, 5, 8)
    window.headers["accept-language"] = language
    board = window.get(f"/board?endpoint={endpoint}").text
    lines = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", board, flags=re.S)
    assert len(lines) == 2
    for line in lines:
        address = unescape(re.findall(r'href="([^"]*)"', line)[0])
        assert address.endswith(f"?endpoint={endpoint}")
        page = Page(window.get(address).text).text
        said = [" ".join(unescape(each).split()) for each in re.findall(r"<span>(.*?)</span>", line, flags=re.S)[:3]]
        assert len(said) == 3
        for each in said:
            plain = re.sub(r"<[^>]*>", "", each)
            assert plain.partition(": ")[0] in page or plain in page
        assert re.search(r"\d", said[0])


def test_the_table_says_as_of_when_the_data_are(here: Served, window: Window) -> None:
    put(window, 5)
    assert f"as it was read on {here.desk.read_on:%Y-%m-%d}." in window.get("/board").text


def test_of_endpoints_that_compete_the_line_says_what_comes_first(tmp_path: Path) -> None:
    shown = with_causes(600)
    with served(tmp_path, shown=shown) as found:
        client = found.signed_in(Role.CLINICIAN)
        submit(client, "/board", "/board/find", patient_id=shown.cohort.patient_ids[5])
        assert "die of other causes" in client.get("/board").text


# --- what is kept


def test_the_file_has_codes_and_no_identifier_and_is_its_owners_alone(here: Served, window: Window) -> None:
    put(window, 5, 6)
    path = here.desk.board.path
    content = path.read_text()
    assert code(5) in content
    assert not [each for each in IDS if each in content]
    assert path.stat().st_mode & 0o077 == 0


def test_it_outlives_the_session_and_ends_two_weeks_later(here: Served, window: Window) -> None:
    put(window, 5)
    assert listed(here.signed_in(Role.CLINICIAN)) == [IDS[5]]
    for days, kept in ((13, 1), (15, 0), (-1, 0)):
        now = datetime.now(UTC) + timedelta(days=days)
        lists = replace(here.desk.board, now=lambda now=now: now)  # type: ignore[misc]
        assert len(lists.of("clinician")) == kept


def test_a_list_is_of_one_study_and_takes_no_more_than_it_shows(tmp_path: Path) -> None:
    lists = BoardLists(tmp_path / "board.json", study="a")
    for number in range(MOST):
        assert lists.change("x", Change.ADD, f"c{number}", told=lambda: None)
    assert not lists.change("x", Change.ADD, "one more", told=lambda: pytest.fail("nothing changes"))
    assert len(lists.of("x")) == MOST
    assert replace(lists, study="b").of("x") == ()
    assert lists.of("y") == ()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"clinician ab": 1}', '{"a b": {"changed_at": "x", "codes": []}}'])
def test_a_damaged_file_is_no_list_and_no_fault(here: Served, window: Window, content: str) -> None:
    here.desk.board.path.write_text(content)
    assert window.get("/board").status_code == 200
    put(window, 5)
    assert listed(window) == [IDS[5]]


def test_who_is_not_in_the_table_any_more_is_told_and_no_code_is(here: Served, window: Window) -> None:
    here.desk.board.change("clinician", Change.ADD, "patient.gone", told=lambda: None)
    text = window.get("/board").text
    assert "1 patient of your list is not in the table any more." in text
    assert "patient.gone" not in text


def test_a_full_list_says_so(window: Window) -> None:
    put(window, *range(MOST))
    answer = submit(window, "/board", "/board/find", patient_id=IDS[100])
    assert answer.status_code == 409
    assert "The list is full: 40 patients at most." in answer.text


# --- who may, and what is written down


def test_every_route_is_tried_here() -> None:
    routes = [each.path for each in board_pages.router.routes if isinstance(each, APIRoute)]
    assert routes == ["/board", "/board/filter", "/board/find", "/board/{act}"]


def test_every_act_and_every_view_is_written_down_with_the_patient(here: Served, window: Window) -> None:
    put(window, 5, 6)
    window.get("/board")
    assert here.events()[-2:] == [("page_board", code(5), "clinician"), ("page_board", code(6), "clinician")]
    for what, row, event in (
        ("up", 6, "moved"),
        ("down", 6, "moved"),
        ("remove", 6, "removed"),
        ("clear", None, "cleared"),
    ):
        act(window, what, row)
        wanted = (f"page_board_{event}", "" if row is None else code(row), "clinician")
        assert here.events()[-1] == wanted
    put(window, 7)
    assert here.events()[-2:] == [("page_search", code(7), "clinician"), ("page_board_added", code(7), "clinician")]


def test_what_cannot_be_written_down_is_not_done(here: Served, window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    put(window, 5)
    before = here.desk.board.of("clinician")

    def full(*_: object) -> None:
        raise RecordUnwritable("the disk is full")

    with pytest.raises(RecordUnwritable):
        here.desk.board.change("clinician", Change.CLEAR, "", told=full)
    assert here.desk.board.of("clinician") == before


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CLINICIAN])
def test_another_role_is_refused_and_written_down(here: Served, window: Window, role: Role) -> None:
    put(window, 5)
    client = here.signed_in(role)
    answer = client.get("/board")
    assert (answer.status_code, IDS[5] in answer.text) == (403, False)
    secret = secret_of(client.get("/password"))
    for what in ("find", "filter", *Change):
        assert client.post(f"/board/{what}", data={"form_secret": secret, "patient_id": IDS[6]}).status_code == 403
        assert here.events()[-1] == ("page_refused", "role", role.value)
    assert listed(window) == [IDS[5]]


def test_another_account_sees_nothing_of_it_and_changes_nothing(here: Served, window: Window) -> None:
    put(window, 5, 6)
    word = words(window)[IDS[5]]
    other = here.signed_in("other")
    assert IDS[5] not in other.get("/board").text
    for what in (Change.REMOVE, Change.UP, Change.ADD):
        answer = submit(other, "/board", f"/board/{what}", word=word)
        assert answer.status_code == 404
        assert here.events()[-1] == ("page_refused", "unknown_patient", "other")
    submit(other, "/board", "/board/clear")
    assert listed(window) == [IDS[5], IDS[6]]


def test_a_form_without_the_sessions_secret_or_from_elsewhere_is_refused_and_written_down(
    here: Served, window: Window
) -> None:
    put(window, 5)
    foreign = secret_of(here.signed_in("other").get("/board"))
    for secret in ("", "x", foreign):
        assert window.post("/board/clear", data={"form_secret": secret}).status_code == 403
        assert here.events()[-1] == ("page_refused", "form", "clinician")
    secret = secret_of(window.get("/board"))
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert window.post("/board/clear", data={"form_secret": secret}, headers=elsewhere).status_code == 403
    assert here.events()[-1][:2] == ("page_refused", "form")
    assert listed(window) == [IDS[5]]
    assert window.post("/board/clear", data={"form_secret": secret}).status_code == 303, (
        "the check must be able to pass"
    )


def test_nobody_acts_without_a_session(here: Served, window: Window) -> None:
    put(window, 5)
    client = here.client()
    client.cookies.set("oncofed_session", "made up")
    assert client.get("/board").headers["location"] == "/sign-in"
    assert client.post("/board/clear", data={}).headers["location"] == "/sign-in"
    assert here.events()[-1] == ("page_refused", "no_session", "")
    assert listed(window) == [IDS[5]]


@pytest.mark.parametrize(("what", "reason"), [("sort", "unknown_page"), ("up", "unknown_patient")])
def test_an_act_or_a_patient_that_is_none_is_refused_and_written_down(
    here: Served, window: Window, what: str, reason: str
) -> None:
    assert submit(window, "/board", f"/board/{what}", word="made up").status_code == 404
    assert here.events()[-1] == ("page_refused", reason, "clinician")


def test_an_identifier_that_is_none_finds_nobody(here: Served, window: Window) -> None:
    answer = submit(window, "/board", "/board/find", patient_id="MRN-0047-0000")
    assert answer.status_code == 404
    assert here.events()[-2:] == [("page_search", "not_found", "clinician"), ("page_board", "", "clinician")]
    assert listed(window) == []


def test_without_the_lock_of_accounts_a_list_would_be_anybodys(
    here: Served, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(window, 5)
    other = here.signed_in("other")
    assert listed(other) == []
    monkeypatch.setattr(board_lists.BoardLists, "_key", lambda self, account: f"clinician {self.study}")
    assert listed(other) == [IDS[5]]


def test_the_list_of_a_whole_board_in_german_has_no_english_word(window: Window) -> None:
    put(window, 5, 6)
    window.headers["accept-language"] = "de"
    text = Page(window.get("/board").text).text
    assert "In der Reihenfolge, die Sie ihnen gaben" in text
    assert "Von 100 solchen Patienten" in text
    assert GERMAN("Put on the list") in text
