"""Is what a clinician sees of a patient what a slow count over the hospital's patients gives?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.pages_hospital import ENTITY, hospital

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.missing_markers import could_change
from oncofed.client.pages.patient_view import PatientView, patient_view
from oncofed.client.pages.usual_values import UsualValues
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
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
def test_markers_and_kinds_of_data_add_up_to_the_patients_own(endpoint: int) -> None:
    for row in (0, ROW, 17):
        found = patient_view(HOSPITAL, row, endpoint=endpoint)
        own = log_hazard_ratio(HOSPITAL.cohort.values[[row]].copy(), endpoint)[0]
        assert found.log_hazard_ratio == pytest.approx(own, abs=1e-6)
        assert sum(each.log_hazard_ratio for each in found.modalities) == pytest.approx(own, abs=1e-6)
        # what is left out of the table of markers is what nobody would see
        assert sum(each.log_hazard_ratio for each in found.markers) == pytest.approx(own, abs=5e-3)
        sizes = [abs(each.log_hazard_ratio) for each in found.markers]
        assert sizes == sorted(sizes, reverse=True)


def test_the_percentile_is_the_share_of_peers_with_a_lower_risk(view: PatientView) -> None:
    entity = HOSPITAL.cohort.values[:, ENTITY]
    same = [row for row in range(len(entity)) if entity[row] == entity[ROW] and row != ROW]
    ratio = HOSPITAL.endpoint(0).log_hazard_ratio
    lower = sum(ratio[row] < ratio[ROW] for row in same)
    assert len(same) < len(entity) - 1
    assert view.percentile == pytest.approx(lower / len(same))


def test_a_rare_tumour_is_compared_with_all(view: PatientView) -> None:
    rare = patient_view(HOSPITAL, 0, endpoint=0)
    assert HOSPITAL.cohort.values[0, ENTITY] == 2
    assert not rare.peers.same_tumour
    assert len(rare.peers) == len(HOSPITAL.cohort)
    assert view.peers.same_tumour


def test_what_measuring_could_change_is_what_other_patients_values_would_give(view: PatientView) -> None:
    """Slow twin: each donor's RNA, as a whole, in the patient's place."""
    values, entity = HOSPITAL.cohort.values, HOSPITAL.cohort.values[:, ENTITY]
    assert np.isnan(values[ROW, 4:]).all()
    donors = [r for r in range(len(values)) if entity[r] == entity[ROW] and r != ROW and not np.isnan(values[r, 4])]
    donors = [donors[int(place)] for place in np.linspace(0, len(donors) - 1, 100)]
    own = log_hazard_ratio(values[[ROW]].copy())[0]
    answers = []
    for donor in donors:
        filled = values[[ROW]].copy()
        filled[0, 4:] = values[donor, 4:]
        answers.append(log_hazard_ratio(filled)[0] - own)
    low, high = np.quantile(answers, (0.1, 0.9))
    (rna,) = (each for each in view.missing if each.markers == 2)
    assert (rna.low, rna.high) == pytest.approx((low, high))
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
        donors = np.flatnonzero(peers.rows & ~np.isnan(values[:, column]) & (np.arange(len(values)) != ROW))
        donors = donors[np.linspace(0, len(donors) - 1, min(100, len(donors))).astype(int)]
        filled = np.repeat(values[[ROW]], len(donors), axis=0)
        filled[:, column] = values[donors, column]
        low, high = np.quantile(log_hazard_ratio(filled, 1) - own, (0.1, 0.9))
        found = missing[" ".join(marker.replace("_", " ").split())]
        assert (found.low, found.high) == pytest.approx((low, high))


@given(st.lists(st.integers(0, 9).map(float), min_size=2, max_size=40), st.data())
def test_leaving_one_value_out_by_its_place_is_leaving_it_out(values: list[float], data: st.DataObject) -> None:
    own = data.draw(st.sampled_from([*values, np.nan]))
    rest = list(values)
    if not np.isnan(own):
        rest.remove(own)
    others = UsualValues((np.sort(values),)).without(0, own)
    assert len(others) == len(rest)
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        assert others.quantile(share) == pytest.approx(np.quantile(rest, share))
    for value in (0.0, 4.0, own):
        assert others.with_value(value) == rest.count(value)


def test_a_marker_that_too_few_have_gets_no_range() -> None:
    values = HOSPITAL.cohort.values.copy()
    values[:, 4:] = np.nan
    values[10:19, 4:] = 1.0  # nine patients, one fewer than the floor
    few = with_values(HOSPITAL, values)
    (rna,) = could_change(few, ROW, few.peers(ROW), endpoint=0)
    assert rna.low is None
    values[19, 4:] = 2.0
    enough = with_values(HOSPITAL, values)
    assert could_change(enough, ROW, enough.peers(ROW), endpoint=0)[0].low is not None


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


def test_similar_are_those_with_the_nearest_contributions_and_the_patient_is_not_among_them(view: PatientView) -> None:
    prognosis, entity = HOSPITAL.endpoint(0), HOSPITAL.cohort.values[:, ENTITY]
    others = [row for row in range(len(entity)) if entity[row] == entity[ROW] and row != ROW]
    distance = {row: float(((prognosis.relevance[row] - prognosis.relevance[ROW]) ** 2).sum()) for row in others}
    wanted = min(50, len(others) // 4)
    nearest = sorted(others, key=lambda row: distance[row])[:wanted]
    assert view.similar is not None
    similar = view.similar.outcome
    assert similar.patients == wanted
    assert view.similar.log_hazard_ratio == pytest.approx(np.median(prognosis.log_hazard_ratio[nearest]))
    exit_, observed = HOSPITAL.cohort.exit[nearest, 0], HOSPITAL.cohort.observed[nearest, 0]
    slow = kaplan_meier(time=exit_, observed=observed & (exit_ <= 60))
    np.testing.assert_allclose(similar.survival, slow.at(similar.times))
    assert (similar.at_risk >= 10).all()
    assert similar.times[-1] < 60


def test_of_a_rare_tumour_enough_are_alike_for_a_curve() -> None:
    found = patient_view(hospital(60), ROW, endpoint=0)
    others = len(found.peers) - 1
    assert others // 4 < 10 < others // 2
    assert found.similar is not None
    assert found.similar.outcome.patients == min(20, others // 2)
    assert found.similar.outcome.has_curve


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


def test_a_patient_at_a_risk_unlike_the_similar_ones_is_said_to_be() -> None:
    prognosis = HOSPITAL.endpoint(0)
    highest = int(np.argmax(prognosis.log_hazard_ratio))
    found = patient_view(HOSPITAL, highest, endpoint=0).similar
    assert found is not None
    assert found.differ == "higher"
    middle = np.argsort(prognosis.log_hazard_ratio)[len(prognosis.log_hazard_ratio) // 2]
    other = patient_view(HOSPITAL, int(middle), endpoint=0).similar
    assert other is not None
    assert other.differ == ""


def test_with_too_few_patients_nothing_is_compared() -> None:
    few = patient_view(hospital(10), 4, endpoint=0)
    assert few.percentile is None
    assert few.similar is None
    assert few.curve.adjusted is None
    assert {row.usual_range for row in few.markers if row.measured} <= {"too few measured", ""}


def test_what_is_usual_is_told_from_the_peers(view: PatientView) -> None:
    (age,) = (row for row in view.markers if row.label == "age")
    entity = HOSPITAL.cohort.values[:, ENTITY]
    others = (entity == entity[ROW]) & (np.arange(len(entity)) != ROW)
    low, high = np.quantile(HOSPITAL.cohort.values[others, 0], (0.05, 0.95))
    assert age.usual_range == f"{low:.3g} to {high:.3g}"
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
        assert (crp.reference_range, crp.outside) == ("0 to 5", said)
        assert next(row for row in found.markers if row.label == "age").reference_range == ""


def test_the_floor_is_the_hospitals() -> None:
    strict = replace(HOSPITAL, smallest_group=200)
    assert patient_view(strict, ROW, endpoint=0).similar is None
