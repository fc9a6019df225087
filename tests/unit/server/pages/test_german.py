"""Are the coordinator's pages, and the report that they show, in the language that their reader wants?

Names, and what only a record or a fault says, stand there as they were written; the latter is marked as English.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.command_line import oncofed
from tests.coordinator_pages import BEGAN, Shown, running_study, shown
from tests.german_reports import foreign, read, with_a_point, words_in

from oncofed.words.languages import language_called, languages

GERMAN = language_called("de")
NAMES = words_in(
    [
        "Aachen",
        "Bonn",
        "Coburg",
        "lung",
        "spoilt",
        "test",
        "oncofed",
        "superlink",
        "superexec",
        "UTC",
        "c",
        "seconds",
        "ε",
        "δ",
        "MB",
    ]
    + ["full batch", "fedadam", "os", "progression", "local", "not ready", "not approved", "id", "the final model"]
    + [each.name for each in languages()]
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shown]:
    with shown(tmp_path) as found:
        yield found


def german(client: Any, address: str) -> list[str]:
    answer = client.get(address, headers={"accept-language": "de"})
    assert '<html lang="de">' in answer.text
    return read(answer.text)


def test_no_word_of_a_page_is_another_languages_and_no_number_has_a_point(here: Shown) -> None:
    client = here.signed_in()
    assert not foreign(german(client, "/"), NAMES)  # without a study
    with running_study(here) as study:
        here.hears(
            {"Aachen": "online", "Bonn": "offline"},
            since={"Aachen": BEGAN - timedelta(days=2), "Bonn": BEGAN - timedelta(minutes=12)},
        )
        assert oncofed("coordinator", "suspend", here.folder.root, "Coburg").code == 0
        pages = ("/", f"/studies/{study.plan.hash}", "/sign-in", "/nothing", "/studies/x")
        for address in pages:
            page = german(client, address)
            assert not foreign(page, NAMES | words_in([str(here.folder.root)])), address
            assert not with_a_point(page), address
        rounds = " ".join(german(client, f"/studies/{study.plan.hash}"))
    assert "Runde 2 von 4 ist fertig" in rounds
    assert "02.03.2026 10:36:00 UTC" in rounds
    assert "in etwa 10 Minuten" in rounds


def test_a_finished_study_and_its_report_are_german(here: Shown, tmp_path: Path) -> None:
    study, client = here.study(), here.signed_in()
    study.files.note("started", round=0, attempt=0)
    for number in range(1, 5):
        study.round(number)
    study.finish(here.folder, Bonn="refused")
    schema = words_in(each for marker in here_schema(study.plan) for each in marker)
    for address in (f"/studies/{study.plan.hash}", f"/studies/{study.plan.hash}/report"):
        page = german(client, address)
        assert not foreign(page, NAMES | schema | words_in([str(here.folder.root), *study.plan.released])), address
        assert not with_a_point([each for each in page if "Ed25519" not in each]), address
    assert "How the rounds went" in client.get(f"/studies/{study.plan.hash}/report").text
    written = tmp_path / "bericht.html"
    command = ("coordinator", "report", here.folder.root, study.plan.hash, "--out", written)
    assert oncofed(*command, "--language", "de").code == 0
    assert read(written.read_text("utf-8")) == page
    assert oncofed(*command).code == 0
    assert "How the rounds went" in written.read_text("utf-8")


def here_schema(plan: Any) -> Iterator[tuple[str, ...]]:
    """Names of markers, their units and categories."""
    from tests.end_to_end.flower_processes import SIGNED_SCHEMA  # noqa: PLC0415

    from oncofed.cohort.schema_file import parse_schema  # noqa: PLC0415

    for marker in parse_schema(SIGNED_SCHEMA.read_text(), where="schema").markers:
        yield (marker.name, marker.unit, *marker.categories)
    yield plan.model.endpoints


def test_a_choice_is_kept_by_the_browser_and_leads_back(here: Shown) -> None:
    client = here.signed_in()
    answer = client.post("/language", data={"language": "de", "back": "/studies/x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/x")
    assert "Krankenhäuser und Studien" in client.get("/", headers={"accept-language": "en"}).text
    assert client.post("/language", data={"language": "en", "back": "//evil.example"}).headers["location"] == "/"
    assert "Hospitals and studies" in client.get("/", headers={"accept-language": "de"}).text
    assert client.post("/language", data={"language": "xx", "back": "/"}).status_code == 404


def test_what_only_a_record_says_is_marked_as_english(here: Shown) -> None:
    study = here.study("spoilt")
    (study.folder / "plan.json").write_text("{")
    client = here.signed_in()
    page = client.get("/", headers={"accept-language": "de"}).text
    assert '<span lang="en">' in page
    assert not foreign(read(page), NAMES)


def test_a_text_that_is_taken_from_the_catalog_is_found(here: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    told = dict(GERMAN.translations._catalog)  # type: ignore[attr-defined]  # of gettext
    assert told.pop("Every hospital that was ever enrolled")
    monkeypatch.setattr(GERMAN.translations, "_catalog", told)
    assert "enrolled" in foreign(german(here.signed_in(), "/"), NAMES)
