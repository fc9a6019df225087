"""Is what a clinician sees of a patient what a slow count over the hospital's patients gives?"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pages_hospital import ENTITY, hospital, served, with_many_tumours

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.missing_markers import could_change
from oncofed.client.pages.patient_view import PatientView, patient_view
from oncofed.client.pages.similar import NobodySimilar
from oncofed.client.pages.units import REST
from oncofed.client.patients.held_out_split import HeldOutSplit
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import DeathPolicy, Modality
from oncofed.survival.kaplan_meier import kaplan_meier

HOSPITAL = hospital()
ROW = 5


@pytest.fixture(scope="module")
def view() -> PatientView:
    return patient_view(HOSPITAL, ROW, endpoint=0)


def log_hazard_ratio(values: np.ndarray[tuple[int, int], np.dtype[np.float64]], endpoint: int = 0) -> np.ndarray:
    count = len(values)
    cohort = Cohort(
        HOSPITAL.schema,
        tuple(map(str, range(count))),
        values,
        np.zeros((count, 2)),
        np.ones((count, 2)),
        np.zeros((count, 2), dtype=bool),
    )
    return np.asarray(HOSPITAL.network(torch.as_tensor(encode(cohort)))[:, endpoint].detach().numpy())


@pytest.mark.parametrize("endpoint", [0, 1])
def test_markers_kinds_of_data_and_reasons_add_up_to_the_patients_own(endpoint: int) -> None:
    recalibration = HOSPITAL.endpoint(endpoint).recalibration
    assert recalibration is not None
    assert abs(recalibration.slope - 1) > 0.01, "the two could not be told apart"
    for row in (0, ROW, 17):
        found = patient_view(HOSPITAL, row, endpoint=endpoint)
        own = recalibration.slope * log_hazard_ratio(HOSPITAL.cohort.values[[row]].copy(), endpoint)[0]
        assert sum(each.log_hazard_ratio for each in found.reasons) == pytest.approx(own, abs=5e-3)
        assert found.log_hazard_ratio == pytest.approx(own, abs=1e-6)
        assert sum(each.log_hazard_ratio for each in found.modalities) == pytest.approx(own, abs=1e-6)
        # what is left out of the table of markers is what nobody would see
        assert sum(each.log_hazard_ratio for each in found.markers) == pytest.approx(own, abs=5e-3)
        sizes = [abs(each.log_hazard_ratio) for each in found.markers]
        assert sizes == sorted(sizes, reverse=True)


def test_the_percentile_is_the_share_of_peers_with_a_lower_risk(view: PatientView) -> None:
    entity = HOSPITAL.cohort.values[:, ENTITY]
    ratio = log_hazard_ratio(HOSPITAL.cohort.values.copy())
    same = [row for row in range(len(entity)) if entity[row] == entity[ROW]]
    lower = sum(ratio[row] < ratio[ROW] for row in same)
    assert len(same) < len(entity) - 1
    assert view.percentile is not None
    assert view.percentile.low < lower / len(same) <= view.percentile.high
    assert (view.percentile.high - view.percentile.low) * len(same) >= 10


def test_a_rare_tumour_is_compared_with_all(view: PatientView) -> None:
    rare = patient_view(HOSPITAL, 0, endpoint=0)
    assert HOSPITAL.cohort.values[0, ENTITY] == 2
    assert not rare.peers.same_tumour
    assert len(rare.peers) == len(HOSPITAL.units.cohort)
    assert isinstance(rare.comparison, NobodySimilar)
    assert "at least 60 patients with the same tumour" in rare.comparison.why
    assert view.peers.same_tumour


def test_what_measuring_could_change_is_what_other_patients_values_would_give(view: PatientView) -> None:
    """Slow twin: each donor's RNA, as a whole, in the patient's place."""
    values, entity = HOSPITAL.cohort.values, HOSPITAL.cohort.values[:, ENTITY]
    assert np.isnan(values[ROW, 4:]).all()
    donors = [r for r in range(len(values)) if entity[r] == entity[ROW] and not np.isnan(values[r, 4])]
    donors = [donors[int(place)] for place in np.linspace(0, len(donors) - 1, 100)]
    own = log_hazard_ratio(values[[ROW]].copy())[0]
    answers = []
    for donor in donors:
        filled = values[[ROW]].copy()
        filled[0, 4:] = values[donor, 4:]
        answers.append(HOSPITAL.endpoint(0).slope * (log_hazard_ratio(filled)[0] - own))
    low, high = sorted(answers)[9], sorted(answers)[90]  # ten of a hundred lie outside, the limit among them
    (rna,) = (each for each in view.missing if each.markers == 2)
    assert rna.change is not None
    assert (rna.change.low, rna.change.high) == pytest.approx((low, high), abs=0.01001)
    assert rna.width > 0.01


def test_a_single_marker_is_taken_over_alone_and_the_rest_of_its_kind_stays() -> None:
    values = HOSPITAL.cohort.values.copy()
    values[ROW, 4:] = (np.nan, 0.7)
    values[ROW, 1] = np.nan
    changed = with_values(HOSPITAL, values)
    peers = changed.peers(ROW)
    missing = {each.name: each for each in could_change(changed, ROW, peers, endpoint=1)}
    own = log_hazard_ratio(values[[ROW]].copy(), 1)[0]
    for column, marker in ((1, "CRP"), (4, HOSPITAL.schema.markers[4].name)):
        of_groups = changed.units.cohort.values
        donors = np.flatnonzero(peers.rows & ~np.isnan(of_groups[:, column]))
        donors = donors[np.linspace(0, len(donors) - 1, min(100, len(donors))).astype(int)]
        filled = np.repeat(values[[ROW]], len(donors), axis=0)
        filled[:, column] = of_groups[donors, column]
        answers = sorted(log_hazard_ratio(filled, 1) - own)
        found = missing[" ".join(marker.replace("_", " ").split())].change
        assert found is not None
        assert (found.low, found.high) == pytest.approx((answers[9], answers[90]), abs=0.01001)


def test_a_marker_that_too_few_have_gets_no_range() -> None:
    values = HOSPITAL.cohort.values.copy()
    values[:, 4:] = np.nan
    values[10:49, 4:] = 1.0  # one patient fewer than there must be
    few = with_values(HOSPITAL, values)
    (rna,) = could_change(few, ROW, few.peers(ROW), endpoint=0)
    assert rna.change is None
    values[49, 4:] = 2.0
    enough = with_values(HOSPITAL, values)
    assert could_change(enough, ROW, enough.peers(ROW), endpoint=0)[0].change is not None


def with_values(of: HospitalPrognosis, values: np.ndarray) -> HospitalPrognosis:
    cohort = of.cohort
    changed = Cohort(
        cohort.schema,
        cohort.patient_ids,
        values.copy(),
        cohort.entry.copy(),
        cohort.exit.copy(),
        cohort.observed.copy(),
    )
    return HospitalPrognosis(of.site, of.study, of.plan_hash, of.network, changed, of.smallest_group)


def test_similar_patients_are_of_one_risk_and_everybody_is_in_one_group_alone() -> None:
    large = hospital(2000, seed=4)
    prognosis = large.endpoint(0)
    everybody = np.concatenate([part.rows for part in prognosis.parts])
    assert sorted(everybody.tolist()) == list(range(len(large.units.of)))
    lung = [part for part in prognosis.parts if part.unit == 0]
    assert min(len(part.rows) for part in lung) >= 50
    assert max(len(part.rows) for part in lung) < 110
    for part in prognosis.parts:
        assert len(set(large.units.of[part.rows])) == 1
        assert part.patients <= len(part.rows) < part.patients + 10
    # Parts follow one another: nobody of one has a higher risk than anybody of the next.
    ratio = prognosis.log_hazard_ratio
    ordered = sorted(lung, key=lambda part: part.log_hazard_ratio)
    for lower, higher in pairwise(ordered):
        assert ratio[lower.rows].max() <= ratio[higher.rows].min()
    within = np.mean([ratio[part.rows].var() for part in lung])
    assert within < 0.2 * ratio[large.units.of == 0].var()


def test_a_patients_similar_patients_have_the_same_tumour_and_risk_and_fared_as_is_told(view: PatientView) -> None:
    prognosis = HOSPITAL.endpoint(0)
    groups = [part.rows for part in prognosis.parts if part.unit == 0]
    own = HOSPITAL.own(0, ROW).log_hazard_ratio
    nearest = min(groups, key=lambda group: abs(float(np.median(prognosis.log_hazard_ratio[group])) - own))
    assert (HOSPITAL.units.cohort.values[nearest, ENTITY] == HOSPITAL.cohort.values[ROW, ENTITY]).all()
    assert view.similar is not None
    similar = view.similar.outcome
    exact = prognosis.slope * np.median(prognosis.log_hazard_ratio[nearest])
    assert view.similar.log_hazard_ratio == pytest.approx(exact, abs=0.05)
    assert abs(view.similar.log_hazard_ratio - view.log_hazard_ratio) < np.log(1.25)
    cohort = HOSPITAL.units.cohort
    exit_, observed = cohort.exit[nearest, 0], cohort.observed[nearest, 0]
    slow = kaplan_meier(time=exit_, observed=observed & (exit_ <= 60)).at(similar.times)
    assert (similar.low - 0.01 <= slow).all()
    assert (slow <= similar.high + 0.01).all()
    assert min(int((exit_ >= when).sum()) for when in similar.times) >= 20


def test_a_median_beyond_what_may_be_shown_is_not_said_to_be_unreached(view: PatientView) -> None:
    assert view.similar is not None
    seen = view.similar.outcome
    assert seen.times[-1] < 60
    never = replace(seen, median=np.inf)
    assert never.median_words("months") == f"not reached by {seen.times[-1]:.0f}\N{NO-BREAK SPACE}months"
    alone = replace(never, times=seen.times[:1], survival=seen.survival[:1])
    assert "not known" in alone.median_words("months")
    assert not alone.has_curve
    assert replace(seen, median=21.0).median_words("months") == "21\N{NO-BREAK SPACE}months"


def test_a_patient_at_a_risk_unlike_that_of_every_group_is_compared_with_none() -> None:
    prognosis, values = HOSPITAL.endpoint(0), HOSPITAL.cohort.values.copy()
    assert HOSPITAL.endpoint(0).relevance[:, 0].max() > 0.3, "a lower age is a higher hazard here"
    values[ROW, :2] = (1.0, np.nan)
    changed = replace(HOSPITAL, cohort=with_values(HOSPITAL, values).cohort, published=HOSPITAL.units)
    found = patient_view(changed, ROW, endpoint=0).comparison
    assert isinstance(found, NobodySimilar)
    assert found.why == "No group of patients with lung has about this patient's predicted risk in its middle."
    lung = np.flatnonzero(HOSPITAL.cohort.values[:, ENTITY] == 0).tolist()
    lowest = min(lung, key=lambda row: HOSPITAL.own(0, row).log_hazard_ratio)
    low = patient_view(HOSPITAL, lowest, endpoint=0)
    middles = [prognosis.slope * part.log_hazard_ratio for part in prognosis.parts if part.unit == 0]
    assert low.log_hazard_ratio < min(middles) - np.log(1.25)
    assert isinstance(low.comparison, NobodySimilar)


def test_of_many_rare_tumours_nobody_is_compared_with_another_tumour() -> None:
    """Together they are enough for groups of their own, which figures of outcomes use."""
    many = with_many_tumours()
    values = many.cohort.values[:, ENTITY]
    rare = [row for row in range(len(values)) if values[row] % 2 == 0]
    assert len(rare) >= 60
    assert any(part.unit == REST for part in many.endpoint(0).parts)
    views = [patient_view(many, row, endpoint=0) for row in rare[:20]]
    assert {type(each.comparison) for each in views} == {NobodySimilar}
    often = [patient_view(many, row, endpoint=0) for row in np.flatnonzero(values == 13)[:20].tolist()]
    assert any(each.similar is not None for each in often)


def test_without_the_rule_of_one_risk_a_patient_would_be_compared_with_others(
    view: PatientView, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in range(3, 400) if row not in (0, 1, 2)]
    unlike = next(row for row in rows if patient_view(HOSPITAL, row, endpoint=0).similar is None)
    monkeypatch.setattr("oncofed.client.pages.similar.SAME_RISK", 9.0)
    assert patient_view(HOSPITAL, unlike, endpoint=0).similar is not None
    assert view.similar is not None


def test_with_too_few_patients_nothing_is_compared() -> None:
    few = patient_view(hospital(19), 4, endpoint=0)
    assert few.percentile is None
    assert few.similar is None
    assert few.curve.adjusted is None
    assert {row.usual_range for row in few.markers if row.measured} <= {"too few measured", ""}


def test_what_is_usual_is_told_from_the_peers(view: PatientView) -> None:
    (age,) = (row for row in view.markers if row.label == "age")
    entity = HOSPITAL.cohort.values[:, ENTITY]
    same = entity == entity[ROW]
    low, high = np.quantile(HOSPITAL.cohort.values[same, 0], (0.05, 0.95))
    told = [float(each) for each in age.usual_range.removesuffix(" years").split(" to ")]
    assert told == pytest.approx([low, high], abs=1.5)
    assert all(each == int(each) for each in told), "of a public step, a year here"
    (smoker,) = (row for row in view.markers if row.label == "smoker")
    share = float((HOSPITAL.cohort.values[same, 2] == HOSPITAL.cohort.values[ROW, 2]).mean())
    limits = [float(each) for each in re.findall(r"\d+", smoker.usual_range)]
    assert limits[0] < 100 * share <= limits[1]
    assert (age.unit, age.reference) == ("years", "60")
    values = HOSPITAL.cohort.values.copy()
    values[ROW, 0] = 99.0
    old = patient_view(with_values(HOSPITAL, values), ROW, endpoint=0)
    assert next(row for row in old.markers if row.label == "age").unusual == "above"


def test_a_laboratory_value_stands_against_its_reference_range() -> None:
    values = HOSPITAL.cohort.values.copy()
    for value, said in ((4.9, ""), (5.1, "high"), (-0.1, "low")):
        values[ROW, 1] = value
        found = patient_view(with_values(HOSPITAL, values), ROW, endpoint=0)
        crp = next(row for row in found.markers if row.label == "CRP")
        assert (crp.reference_range, crp.outside) == ("0 to 5 mg/l", said)
        assert next(row for row in found.markers if row.label == "age").reference_range == ""


def test_the_floor_is_the_hospitals() -> None:
    strict = replace(HOSPITAL, smallest_group=200)
    assert patient_view(strict, ROW, endpoint=0).similar is None


def test_only_patients_set_aside_or_hidden_by_noise_say_how_far_risks_are_spread() -> None:
    split = HeldOutSplit(b"s" * 32, "registry", 0.5)
    rows = split.held_out(hospital(600).units.cohort.patient_ids)
    by_lot = replace(hospital(600), drawn=rows)
    found = by_lot.endpoint(0).recalibration
    assert found is not None
    assert (found.set_aside, found.with_slope) == (True, True)
    assert 0.3 * len(rows) < found.patients <= by_lot.set_aside.sum() <= rows.sum() < 0.6 * len(rows)
    assert not (by_lot.set_aside & ~rows).any()
    assert found.patients % by_lot.smallest_group == 0

    without = replace(hospital(600), noise_in_model=False).endpoint(0).recalibration
    assert without is not None
    assert (without.set_aside, without.with_slope, without.slope) == (False, False, 1.0)
    noised = hospital(600).endpoint(0).recalibration
    assert noised is not None
    assert (noised.set_aside, noised.with_slope) == (False, True)


def test_of_a_unit_with_few_patients_set_aside_none_is_taken() -> None:
    """So that two versions of the figure differ by the floor at least."""
    split = HeldOutSplit(b"s" * 32, "registry", 0.02)
    few = replace(hospital(600), drawn=split.held_out(hospital(600).units.cohort.patient_ids))
    assert few.drawn is not None
    drawn, strata = few.drawn, few.units.strata
    counts = {int(each): int(drawn[strata == each].sum()) for each in np.unique(strata)}
    assert any(0 < count < few.smallest_group for count in counts.values())
    for each, count in counts.items():
        assert few.set_aside[strata == each].sum() == (count if count >= few.smallest_group else 0)


def censored_by_death(death_event: str) -> HospitalPrognosis:
    """The second endpoint's follow-up ends with a death that this column tells."""
    here = hospital()
    first, second = here.schema.endpoints
    other = replace(second, death_event_column=death_event, death=DeathPolicy.CENSORING)
    return replace(here, cohort=replace(here.cohort, schema=replace(here.schema, endpoints=(first, other))))


def test_where_death_ends_follow_up_the_share_with_the_event_is_told_with_deaths_counted() -> None:
    here = censored_by_death("death")
    assert patient_view(here, ROW, endpoint=0).incidence is None
    shown = patient_view(here, ROW, endpoint=1)
    assert shown.incidence is not None
    assert shown.incidence.event is not None
    assert shown.incidence.died_before is not None
    of_death = patient_view(here, ROW, endpoint=0).curve.survival
    alone = 1 - shown.curve.survival  # in a world without death
    assert (shown.incidence.event[1:] < alone[1:]).all()
    none = 1 - shown.incidence.event - shown.incidence.died_before
    np.testing.assert_allclose(none, shown.curve.survival * of_death, atol=1e-9)


def test_of_a_study_without_an_endpoint_for_death_no_share_is_made_up() -> None:
    shown = patient_view(censored_by_death("another_column"), ROW, endpoint=1).incidence
    assert shown is not None
    assert shown.event is shown.died_before is None


def test_the_page_of_such_an_endpoint_says_what_its_curve_leaves_out(tmp_path: Path) -> None:
    for column, told in (("death", True), ("another_column", False)):
        (folder := tmp_path / column).mkdir()
        here = censored_by_death(column)
        with served(folder, shown=here) as pages:
            browser = pages.signed_in(Role.CLINICIAN)
            path = pages.opened(browser, ROW)
            texts = [browser.get(f"{path}?endpoint={number}").text for number in (0, 1)]
        assert ["leave out that patients may die first" in text for text in texts] == [False, True]
        assert ["with deaths counted" in text for text in texts] == [False, told]


@pytest.mark.parametrize("modality", [Modality.CLINICAL, Modality.TREATMENT])
def test_pages_warn_of_a_treatments_contribution(tmp_path: Path, modality: Modality) -> None:
    here = hospital()
    markers = tuple(
        replace(marker, modality=modality) if marker.name == "smoker" else marker for marker in here.schema.markers
    )
    changed = replace(here, cohort=replace(here.cohort, schema=replace(here.schema, markers=markers)))
    with served(tmp_path, shown=changed) as pages:
        clinician, analyst = pages.signed_in(Role.CLINICIAN), pages.signed_in(Role.ANALYST)
        texts = [clinician.get(pages.opened(clinician, ROW)).text, analyst.get("/cohort").text]
    said = ["treatment, which was chosen" in text or "Its contribution says nothing" in text for text in texts]
    assert said == [modality is Modality.TREATMENT] * 2
