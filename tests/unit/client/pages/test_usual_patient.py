"""Is the usual patient made of middles that may be told, and does the model's difference from it add up?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.html_pages import Page
from tests.pages_hospital import ENTITY, hospital, served

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.usual_patient import against_usual, usual_patient
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import Modality
from oncofed.words.numbers import hazard_ratio

HOSPITAL = hospital()
VALUES = HOSPITAL.cohort.values
ROW = next(row for row in range(4, 400, 2) if not np.isnan(VALUES[row]).any())
LACKING = next(row for row in range(5, 400, 2) if np.isnan(VALUES[row, 1]))


def peers_values(row: int) -> np.ndarray:
    return np.asarray(VALUES[VALUES[:, ENTITY] == VALUES[row, ENTITY]])


def test_the_usual_patient_has_middles_of_the_tumour_on_public_steps_and_what_most_have() -> None:
    found, same = usual_patient(HOSPITAL, ROW, HOSPITAL.peers(ROW)), peers_values(ROW)
    for place, step in ((0, 1.0), (1, 2.0), (4, 0.1), (5, 0.1)):  # a tenth of 15, 20 and 1, or less
        measured = same[~np.isnan(same[:, place]), place]
        assert abs(found[place] - np.median(measured)) <= step
        assert found[place] == pytest.approx(step * round(found[place] / step)), "on the step, so nobody's value"
    assert found[2] == float(same[:, 2].mean() > 0.5)
    assert found[ENTITY] == VALUES[ROW, ENTITY]


def test_what_is_missing_and_treatments_make_no_difference() -> None:
    found = usual_patient(HOSPITAL, LACKING, HOSPITAL.peers(LACKING))
    assert np.array_equal(np.isnan(found), np.isnan(VALUES[LACKING]))
    markers = list(HOSPITAL.schema.markers)
    markers[0] = replace(markers[0], modality=Modality.TREATMENT)
    treated = replace(
        HOSPITAL, cohort=replace(HOSPITAL.cohort, schema=replace(HOSPITAL.schema, markers=tuple(markers)))
    )
    assert usual_patient(treated, ROW, treated.peers(ROW))[0] == VALUES[ROW, 0]
    assert usual_patient(HOSPITAL, ROW, HOSPITAL.peers(ROW))[0] != VALUES[ROW, 0]


@pytest.mark.parametrize("row", [ROW, LACKING])
def test_differences_add_up_to_what_the_model_says_of_both(row: int) -> None:
    found = against_usual(HOSPITAL, row, HOSPITAL.peers(row), endpoint=0)
    table = VALUES[[row, row]].copy()
    table[1] = usual_patient(HOSPITAL, row, HOSPITAL.peers(row))
    both = replace(HOSPITAL.cohort.subset([row, row]), values=table)
    with torch.no_grad():
        own, usual = HOSPITAL.network(torch.as_tensor(encode(both)))[:, 0].tolist()
    assert found.log_hazard_ratio == pytest.approx(HOSPITAL.endpoint(0).slope * (own - usual))
    assert abs(own - usual) > 0.01, "the check must be able to fail"
    parts = sum(each.log_hazard_ratio for each in found.differences) + found.rest
    assert parts == pytest.approx(found.log_hazard_ratio)
    sizes = [abs(each.log_hazard_ratio) for each in found.differences]
    assert sizes == sorted(sizes, reverse=True)


def having(values: np.ndarray) -> HospitalPrognosis:
    return replace(HOSPITAL, cohort=replace(HOSPITAL.cohort, values=values), published=None)


def test_of_too_few_who_have_it_measured_nothing_is_usual_and_the_page_says_so(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[19:, 1] = np.nan
    values[:19, 1] = 50.0
    values[4, ENTITY] = 0.0
    few = having(values)
    assert usual_patient(few, 4, few.peers(4))[1] == 50.0, "the patient's own, which makes no difference"
    with served(tmp_path, shown=few) as here:
        client = here.signed_in(Role.CLINICIAN)
        said = Page(client.get(here.opened(client, 4)).text.partition('id="baselines"')[2]).text
    assert "CRP 50 mg/l too few measured no difference" in said
    assert usual_patient(HOSPITAL, ROW, HOSPITAL.peers(ROW))[1] != VALUES[ROW, 1], "where enough have it, it does"


@pytest.mark.parametrize(
    ("tumour", "smokers", "usual"), [(20, 19, None), (25, 24, None), (60, 57, 1.0), (60, 30, None)]
)
def test_the_most_frequent_is_usual_only_where_shares_tell_which_it_is(
    tumour: int, smokers: int, usual: float | None
) -> None:
    """Shares of the smallest tumours that are told begin at 0 for every answer, and so do not say what most have."""
    values = VALUES.copy()
    values[:, ENTITY] = 0.0
    values[:tumour, ENTITY] = 1.0
    values[:tumour, 2] = np.arange(tumour) >= tumour - smokers
    here = having(values)
    for row in (0, tumour - 1):
        assert here.peers(row).same_tumour
        expected = values[row, 2] if usual is None else usual
        assert usual_patient(here, row, here.peers(row))[2] == expected
    no, yes = (against_usual(here, row, here.peers(row), endpoint=0) for row in (0, tumour - 1))
    told = [("Smoker", answer, "none can be told") for answer in ("no", "yes")] if usual is None else []
    found = [(each.label, each.own, each.why) for one in (no, yes) for each in one.not_told if each.label == "Smoker"]
    assert found == told


def test_the_page_tells_both_baselines(tmp_path: Path) -> None:
    with served(tmp_path, shown=HOSPITAL) as here:
        client = here.signed_in(Role.CLINICIAN)
        said = Page(client.get(here.opened(client, ROW)).text.partition('id="baselines"')[2]).text
    found = against_usual(HOSPITAL, ROW, HOSPITAL.peers(ROW), endpoint=0)
    assert f"Against the usual patient {hazard_ratio(found.log_hazard_ratio)}" in said
    assert "the same tumour and about the same predicted risk" in said
