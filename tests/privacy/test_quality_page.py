"""Does the console's page of data quality tell what is wrong with a table, and nothing of few patients?

What it tells is held against counts that are made here, of the table itself. The rules are seen to be needed: without
them the same page tells exact counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.routing import APIRoute
from tests.clean_hospital import schema, table
from tests.console_site import FIRST, Site, console_site
from tests.html_pages import Page
from tests.installed_node import PATIENTS, SOURCE
from tests.installed_node import table as registry
from tests.pages_hospital import SECOND
from tests.unit.client.quality.test_quality_findings import WIDE

from oncofed.client.pages import quality_pages, quality_record, quality_view
from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.quality_record import marks_of, may_follow
from oncofed.client.pages.quality_view import ToldQuality, told_quality
from oncofed.client.patients.sources import read_source
from oncofed.client.quality.content import table_content
from oncofed.client.quality.findings import Level
from oncofed.client.quality.report import QualityReport, quality_report
from oncofed.cohort.schema import StudySchema

READERS = ("approver", "it", SECOND)
NOBODYS = ("clinician", "analyst", "administrator")
RULES = Disclosure(10)
DAY = date(2026, 1, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with console_site(tmp_path) as found:
        yield found


def looked(site: Site, name: str = FIRST) -> Page:
    answer = site.here.signed_in(name).get("/quality")
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def write(site: Site, found: pd.DataFrame) -> None:
    found.to_csv(site.node.table_path, index=False)


def spoilt(rows: int, *, age: float = 300.0) -> pd.DataFrame:
    """The registry with an age that nobody has, in so many rows."""
    found = registry()
    found.loc[: rows - 1, "age"] = age
    return found


# --- who may


def test_every_route_of_the_page_is_tried_here() -> None:
    assert [each.path for each in quality_pages.router.routes if isinstance(each, APIRoute)] == ["/quality"]


@pytest.mark.parametrize("name", READERS)
def test_who_reads_plans_reads_it_and_that_is_written_down(site: Site, name: str) -> None:
    assert "How good the data are" in looked(site, name).text
    assert [(one.event, one.plan_hash, one.by) for one in site.node.entries()][-2:] == [
        ("page_quality_made", site.hash, name),
        ("page_quality", site.hash, name),
    ]


@pytest.mark.parametrize("name", NOBODYS)
def test_other_roles_are_refused_and_that_is_written_down(site: Site, name: str) -> None:
    answer = site.here.signed_in(name).get("/quality")
    assert (answer.status_code, "How good" in answer.text) == (403, False)
    assert site.told()[-1] == ("page_refused", "role", name)


def test_nobody_reads_it_without_signing_in(site: Site) -> None:
    client = site.here.client()
    assert client.get("/quality").headers["location"] == "/sign-in"
    client.cookies.set("oncofed_session", "made up")
    assert client.get("/quality").headers["location"] == "/sign-in"
    assert site.told()[-1] == ("page_refused", "no_session", "")


@pytest.mark.parametrize("asked", [f"plan={'0' * 64}", "plan=x", "source=elsewhere", "source=../../etc/passwd"])
def test_a_plan_or_source_that_is_not_there_is_refused_and_written_down(site: Site, asked: str) -> None:
    assert site.here.signed_in(FIRST).get(f"/quality?{asked}").status_code == 404
    assert site.told()[-1] == ("page_refused", "unknown_page", FIRST)


# --- what it tells


def test_a_fault_stands_there_with_its_rows_rounded_down(site: Site) -> None:
    write(site, spoilt(37))
    page = looked(site)
    assert "The table would be refused as it is." in page.text
    assert 'column "age" : lies outside the plausible range 0 to 120 in years at least 30 rows' in page.text
    assert "At least 1,230 patients." in page.text
    assert " 37 " not in page.text
    assert f"{PATIENTS:,}" not in page.text
    assert str(PATIENTS) not in page.text


def test_a_fault_of_few_rows_stands_there_without_their_number(site: Site) -> None:
    write(site, spoilt(3))
    assert "in years fewer than 10 rows" in looked(site).text


def test_of_a_table_of_few_nothing_is_told(site: Site) -> None:
    write(site, spoilt(3).head(19))
    text = looked(site).text
    assert "The table has fewer than 20 patients, so nothing is told of it here." in text
    assert "plausible" not in text
    assert "Events" not in text


def test_no_cell_and_no_identifier_is_on_it_or_in_its_file(site: Site) -> None:
    found = spoilt(40, age=312.25)
    write(site, found)
    text = site.here.signed_in(FIRST).get("/quality").text
    (path,) = site.node.folder.guard.glob("pages-quality-*.json")
    assert path.stat().st_mode & 0o077 == 0
    for said in (text, path.read_text()):
        assert "MRN-0047" not in said
        assert "312.25" not in said
    assert json.loads(path.read_text())["told"]["patients"] == PATIENTS // 10 * 10


def test_a_table_that_cannot_be_read_is_told_and_no_page_is_lost(site: Site) -> None:
    site.node.table_path.unlink()
    text = looked(site).text
    assert "This cannot be looked at now." in text
    site.node.folder.policy.write_text("nonsense")
    assert "This cannot be looked at now." in looked(site).text


def test_a_name_of_a_source_is_text(site: Site) -> None:
    site.node.set_policy(f'name = "{SOURCE}"', "name = \"<b onload='x()'>\"")
    answer = site.here.signed_in(FIRST).get("/quality")
    assert "<b onload" not in answer.text


def test_the_plans_page_leads_to_it(site: Site) -> None:
    client = site.here.signed_in("it")
    (address,) = re.findall(r'href="(/quality\?[^"]*)"', client.get(site.address).text)
    assert "How good the data are" in client.get(unescape(address)).text


# --- it is the report of the command


def exact(spoilt: pd.DataFrame, of: StudySchema) -> QualityReport:
    return quality_report(table_content(spoilt, of, where="table"), cut=None, today=DAY)


def told(spoilt: pd.DataFrame, of: StudySchema | None = None) -> ToldQuality:
    return told_quality(exact(spoilt, of or schema(**WIDE)), RULES)


def test_every_finding_of_the_command_is_told_but_that_something_is_absent() -> None:
    found = table(0)
    found["creatinine"] = pd.to_numeric(found["creatinine"]) * 88.42
    found.loc[:24, "months"] = 900.0
    found["haemoglobin"] = np.nan
    report = exact(found, schema(**WIDE))
    assert {each.what for each in report.findings} > {"nobody has it", "followed for more than 40 years"}
    shown = told_quality(report, RULES)
    wanted = {(each.about, each.what) for each in report.findings if each.told is None}
    assert {(each.about, each.what) for each in shown.findings if not each.of} == wanted
    assert len(wanted) >= 2
    assert [each.about for each in shown.findings if each.of == quality_view.OF_MARKER] == ["haemoglobin"]
    assert [each.rows for each in shown.findings if "40 years" in each.what] == [20]


def test_what_is_absent_and_what_few_have_is_told_alike() -> None:
    few, none = table(0), table(0)
    none["haemoglobin"] = np.nan
    few.loc[9:, "haemoglobin"] = np.nan
    assert told(few) == told(none)
    nobody, some = table(0), table(0)
    nobody["dead"] = 0
    some["dead"] = 0
    some.loc[[0, 40], "dead"] = 1
    assert (
        [each.what for each in told(some).findings]
        == [quality_view.FEW_EVENTS]
        == [each.what for each in told(nobody).findings]
    )


def test_no_number_of_the_report_counts_fewer_than_the_floor() -> None:
    found = table(0)
    found.loc[:6, "months"] = 900.0
    shown = told(found)
    numbers = [shown.patients, *shown.group_patients, *(each.rows for each in shown.findings if each.rows is not None)]
    for each in shown.endpoints:
        numbers += [each.followed, each.events, each.inside, *each.by_interval]
    assert len(numbers) > 5
    assert not [each for each in numbers if each % 10]
    assert 7 in [each.count for each in exact(found, schema(**WIDE)).findings], "there is something to hide"


def test_shares_hold_the_true_one_and_are_as_wide_as_the_floor() -> None:
    found = table(0)
    rows = np.random.default_rng(1).permutation(len(found))[: len(found) // 3]
    found.loc[rows, "albumin"] = np.nan
    (row,) = (each for each in told(found).missing if each.marker == "albumin")
    truth = float(found["albumin"].isna().mean())
    assert row.of_all is not None
    assert row.of_all.low < truth <= row.of_all.high
    assert row.of_all.high - row.of_all.low >= 10 / len(found)


def test_one_patient_more_or_less_with_a_marker_is_told_alike() -> None:
    """As the group's own table, by the rules of every other page: most single changes change nothing."""
    found = table(0)
    before, changes = told(found), 0
    for row in range(40):
        other = found.copy()
        other.loc[row, "albumin"] = np.nan
        changes += told(other) != before
    assert changes <= 40 * 0.2


# --- two pictures of one table


def test_a_picture_stays_until_the_rows_of_a_crowd_have_changed(site: Site) -> None:
    write(site, spoilt(12))
    assert "at least 10 rows" in looked(site).text
    write(site, spoilt(31))  # 19 more
    page = looked(site)
    assert "at least 10 rows" in page.text
    assert "The table has changed since, in too few rows for another picture" in page.text
    write(site, spoilt(32))
    page = looked(site)
    assert "at least 30 rows" in page.text
    assert "has changed since" not in page.text
    assert [one.event for one in site.node.entries()].count("page_quality_made") == 2


def test_without_the_rule_a_single_row_makes_another_picture(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    write(site, spoilt(9))
    assert "fewer than 10 rows" in looked(site).text
    monkeypatch.setattr(quality_record, "may_follow", lambda *_: True)
    write(site, spoilt(10))
    assert "at least 10 rows" in looked(site).text


def test_a_picture_outlives_the_process_and_a_damaged_one_is_made_anew(site: Site) -> None:
    write(site, spoilt(12))
    looked(site)
    write(site, spoilt(20))
    assert site.here.desk.console is not None
    site.here.desk.console.quality._looked.clear()
    assert "at least 10 rows" in looked(site).text
    (path,) = site.node.folder.guard.glob("pages-quality-*.json")
    path.write_text('{"form": 1}')
    site.here.desk.console.quality._looked.clear()
    assert "at least 20 rows" in looked(site).text


def test_a_stricter_floor_is_not_served_an_older_picture(site: Site) -> None:
    looked(site)
    site.node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\nsmallest_group = 15")
    text = looked(site).text
    assert "smallest_group" in text
    assert "At least 1,230 patients." not in text


@pytest.mark.parametrize(
    ("change", "follows"),
    [
        (lambda rows: rows, False),
        (lambda rows: rows.head(len(rows) - 20), True),
        (lambda rows: rows.head(len(rows) - 19), False),
        (lambda rows: rows.assign(months=rows["months"] + 1), True),
        # Everybody's follow-up goes on, and one patient is new, whose values would be told.
        (lambda rows: rows.assign(months=rows["months"] + 1).head(len(rows) - 1), False),
        (lambda rows: rows.assign(albumin=rows["albumin"].where(rows.index != 3)), False),
        (lambda rows: rows.assign(albumin=rows["albumin"].where(rows.index > 60)), True),
    ],
)
def test_which_change_is_enough(change: Callable[[pd.DataFrame], pd.DataFrame], follows: bool) -> None:
    before = table(0)
    before["months"] = pd.to_numeric(before["months"])

    def picture(rows: pd.DataFrame) -> quality_record.Picture:
        content = table_content(rows, schema(), where="table")
        marks = marks_of(rows, content, key=b"k" * 32)
        return quality_record.Picture(told(rows, schema()), DAY, 10, marks)

    now = picture(change(before))
    assert may_follow(picture(before), now.marks, RULES) is follows
    assert not may_follow(replace(picture(before), floor=1000), now.marks, RULES)


def test_marks_say_nothing_without_the_key() -> None:
    rows = table(0)
    content = table_content(rows, schema(), where="table")
    first, second = (marks_of(rows, content, key=bytes([each]) * 32) for each in (1, 2))
    assert [len(each) for each in first] == [len(rows)] * 3
    assert not any(old & new for old, new in zip(first, second, strict=True))


def test_a_table_is_read_once_while_it_stays_as_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    def counted(*given: Any, **named: Any) -> pd.DataFrame:
        nonlocal reads
        reads += 1
        return read_source(*given, **named)

    monkeypatch.setattr(quality_record, "read_source", counted)
    for _ in range(3):
        looked(site)
    assert reads == 1


def test_levels_stand_in_their_order() -> None:
    found = table(0)
    found.loc[:24, "months"] = -1.0
    found.loc[30:60, "months"] = 900.0
    levels = [each.level for each in told(found).findings]
    assert levels == sorted(levels, key=list(Level).index)
    assert len(set(levels)) > 1
