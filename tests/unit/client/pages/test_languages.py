"""Is every page whole in each language that it is offered in: words, numbers, dates, pictures, and what is typed?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from httpx import Response
from tests.installed_node import installed_node
from tests.page_texts import ROOT, entries, texts
from tests.pages_hospital import PASSWORD, SCHEMA, SECOND, Served, Window, hospital, served, submit, with_causes

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.recalibration import Decided
from oncofed.client.pages.what_if import Refused, read
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.ranges import RANGES
from oncofed.words.language import ENGLISH, NARROW_SPACE, Language
from oncofed.words.languages import languages

GERMAN = next(each for each in languages() if each.code == "de")
PLACE = re.compile(r"%\((\w+)\)s")
WORD = re.compile(r"[^\W\d_]+")
DATE = re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{4}\b")
ALIKE = frozenset(
    {"Name", "Marker", "Median", "Patient", "progression", "administrator"}
    | {"3 Training", "Score", "Training", "Software", "Quorum", "Delta", "Epsilon", "Plan %(hash)s"}
    | {"5 Plan", "7 Plan", "4 Plan", "online", "offline"}
)
"""Texts that are the same in both languages; others that are would not have been translated."""


# --- the catalog


def test_every_text_of_the_pages_is_in_the_german_catalog_and_nothing_else_is() -> None:
    assert entries("de").keys() == texts().keys(), "python -m tests.page_texts de says what is lacking or left over"


def test_every_text_is_translated() -> None:
    for (_, text), entry in entries("de").items():
        wanted = 2 if entry.plural else 1
        assert len(entry.said) == wanted, text
        assert all(each.strip() for each in entry.said), text
        plain = WORD.findall(re.sub(r"<[^>]*>", "", PLACE.sub("", text)))
        assert entry.said[0] != text or text in ALIKE or len(plain) == 0 or _is_a_name(text), text


def _is_a_name(text: str) -> bool:
    return text in (
        "Patient %(name)s",
        "Patient %(patient_id)s",
        "Patient %(patient_id)s, %(name)s",
        "%(count)s marker",
    )


def test_what_is_filled_in_is_the_same_in_both_languages() -> None:
    for (_, text), entry in entries("de").items():
        for said in entry.said:
            assert sorted(set(PLACE.findall(said))) == sorted(set(PLACE.findall(text))), text
            assert re.findall(r"</?\w[^>]*>", said) == re.findall(r"</?\w[^>]*>", text), text
            assert bool(PLACE.sub("", said).count("%") % 2) == bool(PLACE.sub("", text).count("%") % 2), text
            assert (said[0] == " ") == (text[0] == " "), text


def test_no_text_ends_an_attribute_in_which_it_stands() -> None:
    """Templates do not escape what a catalog says, since it may hold elements."""
    for (_, text), entry in entries("de").items():
        for said in (text, entry.plural, *entry.said):
            assert '"' not in re.sub(r"<[^>]*>", "", said), text


def test_every_text_that_holds_an_element_stands_in_a_template() -> None:
    """What code says is escaped, so that an element would be seen."""
    code = [each for each in texts().values() if "<" in each.text and not each.place.split(":")[0].endswith(".j2")]
    assert not code


# --- the pages


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    shown = replace(hospital(), weight_noise=0.02)
    with served(tmp_path_factory.mktemp("pages"), shown=shown) as found:
        yield found


@pytest.fixture(scope="module")
def window(here: Served) -> Window:
    return here.signed_in(Role.CLINICIAN)


@pytest.fixture(scope="module")
def address(here: Served, window: Window) -> str:
    return here.opened(window, 4)


def german(window: Window, address: str) -> Response:
    answer: Response = window.get(address, headers={"accept-language": "de"})
    assert '<html lang="de">' in answer.text
    return answer


def sentences(answer: Response) -> list[str]:
    """What is read, heard or pointed at: texts, labels of elements, titles of marks. Not what is marked as English."""
    page = re.sub(r'<(?!html)(\w+)[^>]* lang="en"[^>]*>.*?</\1>', "", answer.text, flags=re.S)
    page = re.sub(r"<code>.*?</code>|[0-9a-f]{32,}|([0-9a-f]{4} ?){8,}", "", page, flags=re.S)  # commands, and hashes
    labels = re.findall(r'(?:aria-label|data-how|placeholder|title)="([^"]*)"', page)
    return [unescape(each).strip() for each in (*labels, *re.split(r"<[^>]*>", page)) if each.strip()]


def names_of(found: Served) -> set[str]:
    """Words of the schema, the hospital and its patients: they stand there in whatever language they were written."""
    schema = found.desk.hospital.schema
    said = [schema.name, found.desk.hospital.site, *(role.value for role in Role), "oncofed", "HR", "UTC"]
    said.append(found.desk.hospital.plan_hash[:12])
    said += [each for marker in schema.markers for each in (marker.name, marker.unit, *marker.categories)]
    said += [*(endpoint.name for endpoint in schema.endpoints), *found.desk.hospital.cohort.patient_ids[:20]]
    said += [language.name for language in languages()]
    return {word.lower() for each in said for word in WORD.findall(each.replace("_", " "))}


def foreign(answer: Response, names: set[str]) -> set[str]:
    """Words that the catalog never says."""
    german_words = {
        word.lower() for entry in entries("de").values() for said in entry.said for word in WORD.findall(said)
    }
    found = {word for each in sentences(answer) for word in WORD.findall(each)}
    return {word for word in found if word.lower() not in german_words | names}


def test_no_page_of_a_patient_has_a_word_that_is_not_german(here: Served, window: Window, address: str) -> None:
    names = names_of(here)
    for asked in (
        "",
        "?since=1",
        "?endpoint=1",
        "?kind=laboratory",
        "?named=zzz",
        "?kind=rna_expression&named=gene",
        "/twin",
        "/sheet",
        "/sheet?endpoint=1",
    ):
        answer = german(window, f"{address}{asked}")
        assert answer.status_code == 200
        assert not foreign(answer, names | {"zzz"}), asked


def test_no_other_page_has_a_word_that_is_not_german(here: Served, window: Window) -> None:
    names, administrator = names_of(here), here.signed_in(Role.ADMINISTRATOR)
    for row in (2, 3):
        submit(window, "/board", "/board/find", patient_id=here.desk.hospital.cohort.patient_ids[row])
    for who, asked in (
        *(
            (window, each)
            for each in (
                "/patients",
                "/board",
                "/board?endpoint=1",
                "/cohort",
                "/cohort?marker=age_years",
                "/password",
                "/cohort?entity=0",
            )
        ),
        *((administrator, each) for each in ("/accounts", "/audit", "/patients", "/nowhere")),
        (here.client(), "/sign-in"),
    ):
        assert not foreign(german(who, asked), names), asked


def test_no_answer_about_other_values_has_a_word_that_is_not_german(here: Served, window: Window, address: str) -> None:
    names = names_of(here)
    secret = {"accept-language": "de"}
    window.headers.update(secret)
    try:
        for typed in (
            {"value_0": "50,5"},
            {"value_0": "50.5"},
            {"value_0": "500"},
            {"another": "zzz"},
            {"another": "entity"},
        ):
            answer = submit(window, f"{address}/what-if", f"{address}/what-if", endpoint="0", **typed)
            assert not foreign(answer, names | {"zzz"}), typed
    finally:
        window.headers.pop("accept-language")


def test_pages_of_endpoints_that_compete_have_no_word_that_is_not_german(tmp_path: Path) -> None:
    shown = replace(with_causes(600), decided=Decided("2026-11-30", {}))
    with served(tmp_path, shown=shown) as found:
        window = found.signed_in(Role.CLINICIAN)
        names = names_of(found)
        for asked in (found.opened(window), f"{found.opened(window)}/sheet", "/cohort"):
            answer = german(window, asked)
            assert not foreign(answer, names), asked
            assert "/sheet" in asked or "30.11.2026" in answer.text, "a date in German"


def test_a_word_that_is_not_german_is_found(here: Served, window: Window, address: str) -> None:
    """The check itself: the English page is full of them."""
    answer = window.get(address, headers={"accept-language": "en"})
    assert len(foreign(answer, names_of(here))) > 100


def test_what_the_style_sheet_says_it_says_in_german_too() -> None:
    style = (ROOT / "shared/oncofed/local_pages/static/pages.css").read_text(encoding="utf-8")
    said = re.findall(r'([^{}]*?)\s*\{[^{}]*content: ("[^;]*[A-Za-z]{2}[^;]*);', style)
    told = {" ".join(where.split()) for where, _ in said}
    plain = {each for each in told if ":lang(de)" not in each and "@bottom" not in each}
    assert len(plain) == 4, "labels of a narrow screen"
    assert {f":lang(de) {each}" for each in plain} <= told
    assert [text.split('"')[1] for where, text in said if "@bottom-right" in where] == ["Page ", "Seite "]


def test_what_forms_refuse_is_said_in_german(here: Served) -> None:
    window = here.signed_in(Role.ADMINISTRATOR)
    window.headers["accept-language"] = "de"
    names = names_of(here)
    for address, typed in (
        ("/accounts/add", {"name": "?", "role": "analyst", "password": "plum copper violin"}),
        ("/accounts/add", {"name": "analyst", "role": "analyst", "password": "plum copper violin"}),
        ("/accounts/add", {"name": "other", "role": "analyst", "password": "short"}),
        ("/accounts/add", {"name": "other", "role": "analyst", "password": "x" * 201}),
        ("/accounts/add", {"name": "other", "role": "analyst", "password": "a" * 20}),
        ("/accounts/add", {"name": "other", "role": "none", "password": "plum copper violin"}),
        ("/accounts/disable", {"name": "administrator"}),
        ("/accounts/disable", {"name": "nobody"}),
    ):
        answer = submit(window, "/accounts", address, **typed)
        assert answer.status_code == 400
        assert not foreign(answer, names | {"nodes"}), typed
    wrong = here.client().post(
        "/sign-in", data={"name": "analyst", "password": "wrong"}, headers={"accept-language": "de"}
    )
    assert "Name oder Passwort ist falsch." in wrong.text


# --- numbers


def test_tables_and_pictures_have_decimal_commas_and_no_decimal_point(window: Window, address: str) -> None:
    for asked in (address, "/cohort"):
        page = german(window, asked).text
        pictures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.S))
        tables = "".join(re.findall(r"<table.*?</table>", page, flags=re.S))
        for part in (pictures, tables):
            said = [unescape(each) for each in re.split(r"<[^>]*>", part)]
            assert sum(bool(re.search(r"\d,\d", each)) for each in said) > 3, "numbers with decimals are there"
        said = [DATE.sub("", unescape(each)) for each in re.split(r"<[^>]*>", page)]
        assert not [each for each in said if re.search(r"\d\.\d", each)]


def test_numbers_of_both_languages_are_the_same_but_for_their_signs(window: Window, address: str) -> None:
    def numbers(language: str) -> list[str]:
        page = window.get(address, headers={"accept-language": language}).text
        table = re.findall(r'<table class="markers">.*?</table>', page, flags=re.S)[0]
        return re.findall(r"\d+(?:[.,]\d+)?", re.sub(r"<[^>]*>", " ", table))

    english, told = numbers("en"), numbers("de")
    assert len(english) > 10
    assert [each.replace(",", ".") for each in told] == english


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("1.5", "1,5"),
        ("12,345.678", f"12{NARROW_SPACE}345,678"),
        ("1,234,567", f"1{NARROW_SPACE}234{NARROW_SPACE}567"),
        ("no. 5", "no. 5"),
        ("5.", "5."),
        ("1 to 2", "1 to 2"),
    ],
)
def test_signs_of_a_number(written: str, told: str) -> None:
    assert GERMAN.figures(written) == told
    assert ENGLISH.figures(written) == written


def test_no_number_that_a_page_writes_reads_as_another_one() -> None:
    """A German reader would take a point for thousands, an English one a comma for decimals: neither ever stands so."""
    assert "." not in GERMAN.figures("1,234,567.89")
    assert GERMAN.thousands not in ".,"


AGE = SCHEMA.markers[0]


@pytest.mark.parametrize(
    ("say", "typed", "value"),
    [
        (GERMAN, "61,5", 61.5),
        (GERMAN, " 61,5 ", 61.5),
        (GERMAN, "61", 61.0),
        (GERMAN, "0,5", 0.5),
        (GERMAN, "61.5", None),
        (GERMAN, "1.061,5", None),
        (GERMAN, "6,1,5", None),
        (ENGLISH, "61.5", 61.5),
        (ENGLISH, "61,5", None),
    ],
)
def test_a_value_is_typed_with_the_decimal_sign_of_its_page_alone(
    say: Language, typed: str, value: float | None
) -> None:
    found = read(AGE, typed, say=say)
    assert isinstance(found, Refused) if value is None else found == value


def test_a_negative_value_may_be_typed_as_a_german_page_writes_it() -> None:
    marker = Marker("base_excess", Modality.LABORATORY, Kind.CONTINUOUS, "mmol/l", (-30.0, 30.0), 0.0, 2.0)
    assert read(marker, "\N{MINUS SIGN}2,5", say=GERMAN) == -2.5


def test_what_if_answers_the_same_to_the_same_value_in_both_languages(
    here: Served, window: Window, address: str
) -> None:
    told = []
    for language, typed in (("en", "61.5"), ("de", "61,5")):
        window.headers["accept-language"] = language
        answer = submit(window, f"{address}/what-if", f"{address}/what-if", endpoint="0", value_0=typed)
        assert answer.status_code == 200
        told.append(re.findall(r"<strong>(\d+[.,]\d\d)</strong>", answer.text))
    window.headers.pop("accept-language")
    assert told[0]
    assert [each.replace(",", ".") for each in told[1]] == told[0]


# --- which language


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("en-GB, de;q=0.9", "en"),
        ("fr, de;q=0.3, en;q=0.2", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=x", "en"),
        ("de;q=0.5, en;q=0.5", "de"),
        ("\N{SUPERSCRIPT TWO};q=\N{SUPERSCRIPT TWO}", "en"),
        ("de;q=1.0.0.0, " * 9, "en"),
    ],
)
def test_the_language_is_the_browser_s_until_one_is_chosen(here: Served, header: str, code: str) -> None:
    answer = here.client().get("/sign-in", headers={"accept-language": header.encode()})
    assert f'<html lang="{code}">' in answer.text


def test_a_choice_lasts_and_leads_back_to_its_page(here: Served) -> None:
    window = here.signed_in(Role.CLINICIAN)
    page = f"{here.opened(window)}?endpoint=1"
    assert f'name="back" value="{page}"' in window.get(page).text
    answer = window.post("/language", data={"language": "de", "back": page})
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("oncofed_language=de", "Max-Age=31536000", "HttpOnly", "SameSite=strict"))
    assert '<html lang="de">' in window.get(page, headers={"accept-language": "en"}).text
    window.post("/language", data={"language": "en", "back": page})
    assert '<html lang="en">' in window.get(page, headers={"accept-language": "de"}).text


def test_a_choice_on_an_encrypted_address_travels_encrypted_alone(tmp_path: Path) -> None:
    with served(tmp_path, secure=True) as found:
        answer = found.client().post("/language", data={"language": "de", "back": "/sign-in"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "back", ["https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example", "x", "", "/\r\nx: y"]
)
def test_a_choice_leads_nowhere_else(here: Served, back: str) -> None:
    answer = here.client().post("/language", data={"language": "de", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_language_that_is_not_there_or_a_form_from_elsewhere_is_refused(here: Served) -> None:
    assert here.client().post("/language", data={"language": "xx", "back": "/"}).status_code == 404
    elsewhere = {"sec-fetch-site": "cross-site"}
    answer = here.client().post("/language", data={"language": "de", "back": "/"}, headers=elsewhere)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_two_readers_have_two_languages_at_once(here: Served, window: Window, address: str) -> None:
    """No language is kept where another request would find it, nor in what is computed once for all."""
    pages = [
        window.get(each, headers={"accept-language": code}).text
        for each in ("/cohort", address)
        for code in ("de", "en", "de")
    ]
    secret = re.compile(r'name="form_secret" value="[^"]*"|\d\d:\d\d UTC')
    first, other, again, *rest = (secret.sub("", each) for each in pages)
    assert first == again != other
    assert rest[0] == rest[2] != rest[1]


def test_no_page_of_the_console_has_a_word_that_is_not_german(tmp_path: Path) -> None:
    with installed_node() as node:
        node.enrol()
        guard, plan = node.guard(), node.plan()
        guard.offer_plan(node.offer())
        node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\npersons_to_approve = 2")
        with served(tmp_path, node=node.folder) as found:
            approver, second = found.signed_in(Role.APPROVER), found.signed_in(SECOND)
            names = {
                "bonn",
                "tiny",
                "registry",
                "second",
                "epsilon",
                "e",
                "oncofed",
                "utc",
                *(role.value for role in Role),
            }
            # What the plan says itself, and the fields of which it may have an unusual one.
            own = [*plan.roster, *plan.released, *RANGES, *(language.name for language in languages())]
            names |= {word.lower() for each in own for word in WORD.findall(each.replace("_", " "))}
            address = f"/plans/{plan.hash}"
            for window in (approver, second, found.signed_in(Role.IT)):
                window.headers["accept-language"] = "de"
                fields = dict(
                    re.findall(r'name="(form_secret|plan_seal|looked_on)" value="([^"]*)"', window.get(address).text)
                )
                for password in ("wrong password", PASSWORD):
                    typed = {**fields, "source": "registry", "password": password}
                    answer = window.post(f"{address}/approve", data=typed, follow_redirects=True)
                    assert not foreign(answer, names), password
                for asked in ("/plans", address, "/quality", "/ledger", "/node", "/patients", "/plans/x"):
                    assert not foreign(
                        german(window, asked), names | {"age", "sex", "female", "overall", "survival"}
                    ), asked
            assert "zur Freigabe bereit" in german(approver, "/plans").text
            assert "Nichts sieht falsch aus." in german(approver, "/quality").text
