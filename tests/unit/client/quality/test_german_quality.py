"""Is the page on a table's quality German, whatever is found, but for what validation says, which is marked?"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from tests.clean_hospital import schema, schema_text, table
from tests.command_line import oncofed
from tests.german_reports import foreign, read, with_a_point, words_in

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.quality_record import Picture, _read, _written
from oncofed.client.pages.quality_view import told_quality
from oncofed.client.quality.content import table_content
from oncofed.client.quality.page import quality_page
from oncofed.client.quality.report import QualityReport, quality_report
from oncofed.words.filled import Filled, told
from oncofed.words.languages import language_called

GERMAN = language_called("de")
DAY = date(2026, 1, 1)
NAMES = words_in(
    ["clean", "table.csv", "oncofed", "survival", "L", "U", "log", "missing codes", "entry"]
    + [each for marker in schema().markers for each in (marker.name, marker.unit, *marker.categories)]
)


def spoilt() -> pd.DataFrame:
    found = table()
    found.loc[0:2, "entity"] = "Bronchialkarzinom"  # a fault of validation
    found.loc[10:16, "sodium"] = 777.25  # likewise
    found["albumin"] /= 10  # g/dl
    found["calcium"] = None
    found.loc[found["entity"] == "breast", "entity"] = "colon"
    found.loc[found.index % 9 == 0, "months"] = 0.0
    found.loc[found.index[:200], "months"] = 7.0
    found.loc[found.index[:200], "dead"] = 1
    found.loc[found["diagnosed"].astype(str).str.startswith("2017"), "haemoglobin"] = None
    return found


def report(rows: pd.DataFrame, *, zero: str | None = "diagnosed", cut: date | None = DAY) -> QualityReport:
    return quality_report(table_content(rows, schema(), where="table.csv", zero_column=zero), cut=cut, today=DAY)


def long_ago() -> QualityReport:
    """Follow-up in days, where the schema has months; patients who came late."""
    return report(table().assign(months=lambda rows: rows["months"] * 30.4), cut=date(2015, 1, 1))


@pytest.mark.parametrize(
    "found",
    [report(table()), report(spoilt()), report(spoilt(), zero=None), long_ago()],
    ids=["clean", "spoilt", "by tumour", "long ago"],
)
def test_no_word_of_the_page_is_another_languages_and_no_number_has_a_point(found: QualityReport) -> None:
    page = read(quality_page(found, made_on=DAY, say=GERMAN))
    assert not foreign(page, NAMES)
    assert not with_a_point([each for each in page if "." in each and "table.csv" not in each])
    assert "Datenqualität von table.csv, 01.01.2026." in " ".join(page)


def test_what_is_found_is_told_with_its_figures_and_a_fault_in_english_is_marked() -> None:
    html = quality_page(report(spoilt()), made_on=DAY, say=GERMAN)
    page = " ".join(read(html))
    for words in (
        "der Median sieht nach g/dl aus und nicht nach g/l",
        "niemand hat einen Wert",
        "Nur für dieses Krankenhaus",
        "viele Ereignisse liegen zum selben Zeitpunkt",
        "600 Patienten, gemessen am Schema clean.",
        "0 bis 3 Monate",
    ):
        assert words in page, words
    assert '<span lang="en">' in html


def test_the_file_for_programs_is_english_and_copies_keep_how_they_are_said(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(schema_text())
    spoilt().to_csv(tmp_path / "table.csv", index=False)
    command = (
        "cohort",
        "quality",
        tmp_path / "table.csv",
        "--schema",
        tmp_path / "schema.toml",
        "--out",
        tmp_path / "q",
    )
    said = oncofed(*command, "--language", "de")
    assert "Datenqualität von table.csv" in (tmp_path / "q/quality.html").read_text("utf-8")
    findings = json.loads((tmp_path / "q/quality.json").read_text("utf-8"))["findings"]
    assert any(each["what"] == "its median looks like g/dl and not like g/l" for each in findings)
    assert "Suspects, to look at" in said.text


def test_a_text_that_is_taken_from_the_catalog_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = dict(GERMAN.translations._catalog)  # type: ignore[attr-defined]  # of gettext
    assert catalog.pop("Patients by year")
    monkeypatch.setattr(GERMAN.translations, "_catalog", catalog)
    page = read(quality_page(report(table()), made_on=DAY, say=GERMAN))
    assert {"Patients", "by", "year"} <= foreign(page, NAMES)


def test_a_filled_sentence_is_its_english_text() -> None:
    words = Filled("after %(end)s %(unit)s", end="60", unit="months")
    assert words == "after 60 months"
    assert json.dumps(words) == '"after 60 months"'
    assert Filled("45 % of all") == "45 % of all"


def test_a_picture_that_is_kept_says_its_sentences_in_german_too(tmp_path: Path) -> None:
    found = report(table().assign(albumin=lambda rows: rows["albumin"] / 10))
    told_of_it = told_quality(found, Disclosure(floor=10))
    (median,) = (each.what for each in told_of_it.findings if "median" in each.what)
    picture = Picture(told_of_it, DAY, 10, ())
    path = tmp_path / "kept.json"
    path.write_bytes(_written(picture))
    path.chmod(0o600)
    again = _read(path)
    assert again == picture
    (kept,) = (each.what for each in again.told.findings if "median" in each.what)
    assert kept == median
    assert told(kept, say=GERMAN) == "der Median sieht nach g/dl aus und nicht nach g/l"
    assert told(str(kept), say=GERMAN) == kept, "a plain text knows no other words"
