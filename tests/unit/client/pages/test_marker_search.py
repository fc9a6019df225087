"""Does a filter list the markers that it names, all of them and no other, and without a word of a patient's?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.html_pages import Page
from tests.pages_hospital import Served, hospital, served, submit

from oncofed.client.pages.accounts import Role
from oncofed.cohort.schema import Modality

HOSPITAL = hospital()
ROW = 5
"""All of RNA is missing."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("pages"), shown=HOSPITAL) as found:
        yield found


def listed(here: Served, query: str) -> str:
    """What stands between the filter and the notes below the markers."""
    client = here.signed_in(Role.CLINICIAN)
    answer = client.get(here.opened(client, ROW) + query)
    assert answer.status_code == 200
    below = answer.text.partition('id="listed"')[2]
    return Page(below.partition('<p class="note">')[0]).text


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        ("?named=CRP", ("CRP Laboratory",), ("Age Clinical", "Smoker Clinical")),
        ("?named=crp_mg", ("CRP Laboratory",), ("Age Clinical",)),
        ("?kind=clinical", ("Age Clinical", "Smoker Clinical", "Entity Clinical"), ("CRP Laboratory",)),
        ("?kind=clinical&named=smok", ("Smoker Clinical", "1 marker"), ("Age Clinical", "CRP Laboratory")),
        ("?kind=laboratory&named=smok", ("No marker of this study",), ("Smoker Clinical",)),
        ("?kind=rna_expression&named=gene_2", ("Not measured: =gene 2()",), ("Age Clinical",)),
        ("?kind=rna_expression", ("RNA expression: none measured", "Not measured: =gene 2()"), ("Age Clinical",)),
        ("?kind=clinical", ("Age Clinical",), ("RNA expression: none measured",)),
        ("?endpoint=1&since=1&named=age", ("Age Clinical",), ("CRP Laboratory",)),
    ],
)
def test_the_filter_lists_what_it_names_and_nothing_else(
    here: Served, query: str, there: tuple[str, ...], not_there: tuple[str, ...]
) -> None:
    assert np.isnan(HOSPITAL.cohort.values[ROW, 4:]).all()
    said = listed(here, query)
    assert all(each in said for each in there), said
    assert not any(each in said for each in not_there), said


@pytest.mark.parametrize("query", ["?kind=treatment", "?named=chemo", "?named=e"])
def test_treatments_stay_apart_in_the_filter_and_on_paper(tmp_path: Path, query: str) -> None:
    """Paper has no folded tables (`details`), so what stands outside them is what is printed."""
    markers = list(HOSPITAL.schema.markers)
    markers[2] = replace(markers[2], name="chemotherapy", modality=Modality.TREATMENT)
    schema = replace(HOSPITAL.schema, markers=tuple(markers))
    with served(tmp_path, shown=replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, schema=schema))) as here:
        client = here.signed_in(Role.CLINICIAN)
        text = client.get(here.opened(client, ROW) + query).text
    found = text.partition('id="listed"')[2].partition("A contribution is what")[0]
    (folded,) = re.findall("<details.*?</details>", found, re.DOTALL)
    printed = Page(found.replace(folded, "")).text
    assert "Chemotherapy" in Page(folded).text
    assert "Chemotherapy" not in printed
    assert "None of these says whether a treatment helps." in printed
    assert ("Age Clinical" in printed) == (query == "?named=e")


def test_without_a_filter_the_strongest_stand_first(here: Served) -> None:
    said = listed(here, "")
    assert "The markers that contribute most" in said
    assert "Listed are those" not in said


def test_a_kind_that_the_study_does_not_have_is_refused(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    address = here.opened(client, ROW)
    for kind in ("protein_expression", "nothing", "<b>"):
        assert client.get(f"{address}?kind={kind}").status_code == 404
        assert here.events()[-1] == ("page_refused", "unknown_page", "clinician")


def test_what_is_typed_into_the_filter_is_text(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    answer = client.get(here.opened(client, ROW), params={"named": '"><script>window.planted=1</script>'})
    assert "<script>window" not in answer.text
    assert "window.planted" in answer.text


def test_of_the_patients_who_were_opened_a_part_of_the_identifier_finds_some(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    ids = HOSPITAL.cohort.patient_ids
    for row in (5, 17, 117, 118, 119, 120, 121, 122, 123, 124):
        here.opened(client, row)
    answer = submit(client, "/patients", "/patients/opened", part="-0011")
    names = [each for each in ids if f">{each}</a>" in answer.text]
    assert names == [ids[117], ids[118], ids[119]]
    assert "3 of the 10 whom you opened" in Page(answer.text).text
    last = client.get("/patients").text
    assert [each for each in ids if f">{each}</a>" in last] == list(ids[117:125]), "the last eight"
    nobody = submit(client, "/patients", "/patients/opened", part="00200")
    assert not [each for each in ids if f">{each}</a>" in nobody.text], "who was not opened is not found"
    assert here.client().post("/patients/opened", data={"part": "0"}).headers["location"] == "/sign-in"
