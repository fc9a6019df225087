"""Do the models that were trained beside the network say on a patient's page what they say themselves?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.html_pages import Page
from tests.pages_hospital import GRID, SCHEMA, hospital, served, with_causes

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.beside import beside
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import MissingFlags, Modality, ModalityEncoding
from oncofed.study.comparator_settings import ComparatorSection, comparators_of
from oncofed.survival.comparators import Comparator
from oncofed.survival.network import network_with, parameter_count, parameter_vector

NAMES = [(column.source, column.role.value) for column in columns(SCHEMA)]
AGE, NO_AGE = (NAMES.index(("age_years", role)) for role in ("value", "missing"))
CRP, NO_CRP = (NAMES.index(("crp_mg_per_l", role)) for role in ("value", "missing"))
COMPARATORS = (
    Comparator("age", (AGE, NO_AGE), (NO_AGE,), 0.5),
    Comparator("age_and_crp", (AGE, NO_AGE, CRP, NO_CRP), (NO_AGE, NO_CRP), 0.5),
)


def with_comparators(here: HospitalPrognosis) -> HospitalPrognosis:
    """The network as it is, and behind its weights those of the comparators, in the order in which they travel."""
    spec = replace(here.network.spec, comparators=COMPARATORS)
    own = parameter_vector(here.network)
    more = np.random.default_rng(1).normal(scale=0.5, size=parameter_count(spec) - len(own))
    return replace(here, network=network_with(spec, np.concatenate([own, more])))


HOSPITAL = with_comparators(hospital())
MISSING = next(row for row in range(400) if np.isnan(HOSPITAL.cohort.values[row, 1]))
MEASURED = next(row for row in range(400) if not np.isnan(HOSPITAL.cohort.values[row, 1]))


def by_hand(here: HospitalPrognosis, row: int, *, place: int, endpoint: int) -> list[float]:
    """(intervals,), the hazard of a comparator: the public rate and its correction, times the weighted columns."""
    head, spec = here.network.heads[place], here.network.spec
    weights = head.linear.weight.detach().numpy()[endpoint]
    age, crp = here.cohort.values[row, :2]
    looked_at = [(age - 60.0) / 15.0, 0.0, (crp - 5.0) / 20.0, 0.0][: len(weights)]
    ratio = float(np.clip(looked_at, -3, 3) @ weights)
    correction = head.baseline.correction.detach().numpy()[endpoint]
    rate = spec.baseline_hazard[endpoint]
    return [
        rate * (end - begin) * float(np.exp(spec.baseline_weight * each + ratio))
        for (begin, end), each in zip(pairwise(GRID.bounds), correction, strict=True)
    ]


@pytest.mark.parametrize("endpoint", [0, 1])
def test_each_is_its_own_model_of_its_own_markers(endpoint: int) -> None:
    found = beside(HOSPITAL, MEASURED, endpoint=endpoint, times=[6.0, 24.0])
    assert [each.name for each in found] == ["This model, as released", "Age", "Age and crp"]
    assert [each.sees for each in found] == ["6 markers", "age", "age, CRP"]
    for place in (0, 1):
        hazards, had = by_hand(HOSPITAL, MEASURED, place=place, endpoint=endpoint), found[1 + place].had
        assert had is not None
        assert had[0] == pytest.approx(1 - np.exp(-hazards[0]))
        assert had[1] == pytest.approx(1 - np.exp(-sum(hazards[:3])))
    own = HOSPITAL.own(endpoint, MEASURED)
    released = np.exp(own.log_baseline_hazard + own.log_hazard_ratio)
    assert found[0].had is not None
    assert found[0].had[1] == pytest.approx(1 - np.exp(-released[:3].sum())), "as released, and not adjusted"


def test_of_endpoints_that_compete_each_tells_who_had_it_first() -> None:
    here = with_comparators(with_causes(200))
    row = next(row for row in range(200) if not np.isnan(here.cohort.values[row, 1]))
    first, second = (by_hand(here, row, place=1, endpoint=cause)[0] for cause in (0, 1))
    had = beside(here, row, endpoint=0, times=[6.0])[2].had
    assert had is not None
    assert had[0] == pytest.approx(first / (first + second) * (1 - np.exp(-first - second)))


def test_who_lacks_a_marker_has_no_figure_of_the_score_that_needs_it() -> None:
    found = beside(HOSPITAL, MISSING, endpoint=0, times=[6.0])
    assert [each.had is None for each in found] == [False, False, True]


@pytest.mark.parametrize("flags", [MissingFlags.MODALITY, MissingFlags.NONE])
def test_a_marker_without_a_flag_of_its_own_is_missing_all_the_same(flags: MissingFlags) -> None:
    schema = replace(SCHEMA, modalities={Modality.RNA_EXPRESSION: ModalityEncoding(weight=0.5, missing_flags=flags)})
    made = hospital()
    asked = comparators_of([ComparatorSection("gene", ("=gene_2()",))], schema, weight=0.5)
    spec = replace(made.network.spec, columns=len(columns(schema)), comparators=asked)
    weights = np.random.default_rng(1).normal(scale=0.5, size=parameter_count(spec))
    here = replace(
        made, network=network_with(spec, weights), cohort=replace(made.cohort, schema=schema), published=None
    )
    for row, lacks in ((4, False), (5, True)):
        assert np.isnan(here.cohort.values[row, 5]) == lacks
        assert (beside(here, row, endpoint=0, times=[6.0])[1].had is None) == lacks


def test_the_page_shows_them_or_says_that_there_are_none(tmp_path: Path) -> None:
    for shown, name in ((HOSPITAL, "with"), (hospital(), "without")):
        (tmp_path / name).mkdir()
        with served(tmp_path / name, shown=shown) as here:
            client = here.signed_in(Role.CLINICIAN)
            said = Page(client.get(here.opened(client, MISSING)).text.partition('id="beside"')[2]).text
        if name == "with":
            left = np.exp(-np.cumsum(by_hand(HOSPITAL, MISSING, place=0, endpoint=0)))
            told = " ".join(f"{100 * each:.0f} %" for each in left[1:])  # of 6, 12, 24 and 60 months, the whole years
            assert f"Age age {told}" in said
            assert said.count("not recorded") == 3
        else:
            assert "trained no model of stage" in said
