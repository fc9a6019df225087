"""Does the cohort's page name the patients that the table has: every category with its own, or not at all?"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
from tests.html_pages import Page
from tests.pages_hospital import ENTITY, MANY, hospital, served, with_many_tumours

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.cohort_view import dependence


def test_each_category_is_told_of_its_own_patients_or_left_out(tmp_path: Path) -> None:
    here = with_many_tumours()
    values = here.cohort.values[:, ENTITY]
    with served(tmp_path, shown=here) as found:
        browser = found.signed_in(Role.ANALYST)
        page = browser.get("/cohort?marker=entity").text
        table = browser.get("/cohort/dependence.csv?marker=entity").text
    rows = list(csv.DictReader(io.StringIO(table)))
    named = {MANY.index(row["value"]) for row in rows}
    assert named == {each for each in range(15) if (values == each).sum() >= 20} == set(range(1, 15, 2))
    relevance, place = here.endpoint(0).relevance, here.endpoint(0).sources.index("entity")
    for row in rows:
        own = relevance[here.units.cohort.values[:, ENTITY] == MANY.index(row["value"]), place]
        assert float(row["log_hazard_ratio_middle"]) == round(float(np.median(own)), 6) or (
            abs(float(row["log_hazard_ratio_middle"]) - np.median(own)) < 0.06
        )
    section = re.search(r"Contribution against value(.*?)</section>", page, flags=re.DOTALL)
    assert section is not None
    shown = set(re.findall(r"[Tt]umour ([a-o])\b", Page(section[1]).text))
    assert shown == {MANY[each][-1] for each in named}
    assert not re.search(r"\b\d+ patients\b(?<!20 patients)", Page(section[1]).text), "no count of a category"


def test_cut_into_bins_of_its_numbers_a_category_would_have_others_patients() -> None:
    """What the page once did with more than twelve categories: the check above must be able to fail."""
    from oncofed.client.pages import cohort_view  # noqa: PLC0415 - to change it

    here = with_many_tumours()
    honest = dependence(here, here.endpoint(0), here.everybody, source="entity")
    assert honest is not None
    before = cohort_view._has_many_values
    try:
        cohort_view._has_many_values = lambda marker, values: len(np.unique(values)) > 12
        wrong = dependence(here, here.endpoint(0), here.everybody, source="entity")
    finally:
        cohort_view._has_many_values = before
    assert wrong is not None
    assert wrong.labels != honest.labels


def test_a_cohort_too_small_for_anything_names_the_marker_of_which_it_says_nothing(tmp_path: Path) -> None:
    with served(tmp_path, shown=hospital(12)) as found:
        page = found.signed_in(Role.CLINICIAN).get("/cohort").text
    (chosen,) = re.findall(r" selected>([^<]+)</option>", page.partition('<select id="marker"')[2])
    (named,) = re.findall(r"<h2>Contribution against value: ([^<]*)</h2>", page)
    assert named.lower() == chosen.lower()


def test_the_page_counts_the_studys_markers_as_the_schema_does(tmp_path: Path) -> None:
    here = hospital()
    with served(tmp_path, shown=here) as found:
        analyst, clinician = found.signed_in(Role.ANALYST), found.signed_in(Role.CLINICIAN)
        cohort = Page(analyst.get("/cohort").text).text
        patient = Page(clinician.get(found.opened(clinician)).text).text
        table = analyst.get("/cohort/strongest.csv").text
    markers = len(here.schema.markers)
    carrying, of, told = re.search(  # type: ignore[union-attr]
        r"(\d+) of the study's (\d+) markers make up 90 % .*? and (\d+) are told", cohort
    ).groups()
    assert int(of) == markers == int(re.search(r"of (\d+) markers are known", patient)[1])  # type: ignore[index]
    shares = [float(row["share"]) for row in csv.DictReader(io.StringIO(table))]
    assert int(told) == len(shares)
    assert sum(shares[: int(carrying)]) >= 0.9 > sum(shares[: int(carrying) - 1])
