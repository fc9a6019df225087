"""Is the cohort view made of groups only, and are its numbers those of a slow count?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pages_hospital import ENTITY, hospital

from oncofed.client.pages import interaction_view
from oncofed.client.pages.cohort_view import bins, dependence, risk_groups, strongest_markers
from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.group_outcome import group_outcome
from oncofed.client.pages.hospital import Peers
from oncofed.client.pages.interaction_view import MOST_PAIRS, strongest_interactions
from oncofed.client.pages.outcome_parts import Part, public_axis
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Kind
from oncofed.explanation.interactions import model_interactions
from oncofed.survival.kaplan_meier import kaplan_meier

HOSPITAL = hospital()
ENDPOINT = HOSPITAL.endpoint(0)
EVERYBODY = HOSPITAL.everybody
UNITS = HOSPITAL.units.cohort


def test_strength_is_the_mean_absolute_contribution_rounded_down() -> None:
    found = strongest_markers(HOSPITAL, ENDPOINT, EVERYBODY)
    by_source = {each.source: each.strength for each in found}
    of_many_values = ("age_years", "crp_mg_per_l")
    for source in of_many_values:
        parts = sorted(abs(row) for row in ENDPOINT.relevance[:, ENDPOINT.sources.index(source)])
        top = sum(parts[-10:]) / 10
        exact = sum(min(part, top) for part in parts) / len(parts)
        step = top * 10 / 390
        assert exact - step * (1 + 1e-9) <= by_source[source] < exact
        assert by_source[source] / step == pytest.approx(round(by_source[source] / step))
    # Of few values: what shares, each within a twentieth or so, and middle contributions make.
    smoker = ENDPOINT.relevance[:, ENDPOINT.sources.index("smoker")]
    assert by_source["smoker"] == pytest.approx(float(np.abs(smoker).mean()), rel=0.2)
    assert sum(each.share for each in found) == pytest.approx(1)
    assert [each.strength for each in found] == sorted(by_source.values(), reverse=True)


def test_a_direction_is_that_of_the_contributions() -> None:
    found = {each.source: each.direction for each in strongest_markers(HOSPITAL, ENDPOINT, EVERYBODY)}
    told = 0
    for place, source in enumerate(ENDPOINT.sources):
        marker = next((each for each in HOSPITAL.schema.markers if each.name == source), None)
        if marker is None or "hazard" not in found.get(source, "") or marker.kind is Kind.CATEGORICAL:
            continue
        values = UNITS.values[:, HOSPITAL.schema.markers.index(marker)]
        measured = ~np.isnan(values)
        slope = np.polyfit(values[measured], ENDPOINT.relevance[measured, place], 1)[0]
        assert found[source].endswith("higher hazard" if slope > 0 else "lower hazard"), (source, found[source], slope)
        told += 1
    assert told >= 2


def test_a_tumour_that_few_have_is_in_no_figure() -> None:
    assert 0 < (HOSPITAL.cohort.values[:, ENTITY] == 2).sum() < 10
    assert 2 not in HOSPITAL.entities_shown()
    assert not (UNITS.values[:, ENTITY] == 2).any()
    assert len(UNITS) == 397
    few = HOSPITAL.of_entity(2)
    assert strongest_markers(HOSPITAL, ENDPOINT, few) == ()
    assert dependence(HOSPITAL, ENDPOINT, few, source="age_years") is None
    assert risk_groups(HOSPITAL, ENDPOINT, few) == ()
    assert group_outcome("none", [], axis=public_axis(HOSPITAL.grid), disclosure=HOSPITAL.disclosure) is None


def test_a_dependence_is_the_contribution_of_those_with_such_values() -> None:
    found = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="smoker")
    assert found is not None
    for label, middle in zip(found.labels, found.middle, strict=True):
        rows = UNITS.values[:, 2] == (label == "yes")
        exact = np.median(ENDPOINT.relevance[rows, ENDPOINT.sources.index("smoker")])
        assert middle == pytest.approx(exact, abs=0.06)  # half a step of a tenth of the largest
    assert found.spreads[0] is not None
    age = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="age_years")
    assert age is not None
    assert set(age.at % 1) == {0.0}, "of a public step, a year here"


@given(st.lists(st.integers(0, 6), min_size=20, max_size=400), st.integers(5, 12))
@settings(deadline=None)
def test_bins_are_told_and_lose_nobody_whatever_the_ties(values: list[int], floor: int) -> None:
    groups = bins(np.array(values, dtype=np.float64), Disclosure(floor))
    if len(values) < 2 * floor:
        assert groups == []
        return
    assert (np.sum(groups, axis=0) == 1).all()
    assert min(int(group.sum()) for group in groups) >= 2 * floor
    ranges = [(np.array(values)[group].min(), np.array(values)[group].max()) for group in groups]
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))


def test_risk_groups_part_as_their_risk_says() -> None:
    groups = risk_groups(HOSPITAL, ENDPOINT, EVERYBODY)
    assert [group.name for group in groups] == ["low risk", "middle risk", "high risk"]
    at_15 = [at for group in groups if (at := group.at(15)) is not None]
    assert len(at_15) == 3
    assert at_15 == sorted(at_15, reverse=True)
    assert groups[1].at(60) is None


def test_a_curve_is_near_the_one_of_a_slow_count() -> None:
    """And no further from it than the limits say that chance and rounding may put it."""
    large = hospital(2000, seed=4)
    cohort, endpoint = large.units.cohort, large.endpoint(0)
    for third, found in enumerate(risk_groups(large, endpoint, large.everybody)):
        rows = np.concatenate([part.rows for part in endpoint.parts if part.third == third])
        exit_, observed = cohort.exit[rows, 0], cohort.observed[rows, 0]
        slow = kaplan_meier(time=exit_, observed=observed & (exit_ <= 60)).at(found.times)
        np.testing.assert_allclose(found.survival, slow, atol=0.08)
        assert (found.low - 0.01 <= slow).all()
        assert (slow <= found.high + 0.01).all()
        assert found.survival[-1] < 0.95, "the check must be able to fail"


def test_where_everybody_is_followed_a_curve_is_the_share_who_are_left() -> None:
    """With a floor of one patient nothing is rounded."""
    left = np.array([1000, 600, 300, 300])
    part = Part(0, 0, False, 1000, 0.0, 1000 - left, left, 0 * left, np.arange(1000))
    found = group_outcome("all", [part], axis=np.array([0.0, 6.0, 12.0, 18.0]), disclosure=Disclosure(1))
    assert found is not None
    assert found.survival.tolist() == [1.0, 0.6, 0.3, 0.3]
    # Greenwood's deviation of the logarithm: sqrt(d / (n (n - d))), added up.
    spread = 1.96 * np.sqrt(400 / (1000 * 600))
    assert found.low[1] == pytest.approx(0.6 * np.exp(-spread), abs=0.006)
    assert found.high[1] == pytest.approx(0.6 * np.exp(spread), abs=0.006)


def test_peers_of_one_entity_are_all_of_it() -> None:
    lung = HOSPITAL.of_entity(0)
    assert isinstance(lung, Peers)
    assert len(lung) == int((HOSPITAL.cohort.values[:, ENTITY] == 0).sum())
    assert lung.unit == 0


def test_interactions_are_the_models_and_of_groups_only() -> None:
    pairs = strongest_interactions(HOSPITAL, ENDPOINT, EVERYBODY)
    assert pairs is not None
    assert [pair.strength for pair in pairs] == sorted((pair.strength for pair in pairs), reverse=True)
    assert len(pairs) <= MOST_PAIRS
    of_model = model_interactions(
        HOSPITAL.network,
        torch.as_tensor(encode(UNITS)),
        columns(HOSPITAL.schema),
        names=tuple(marker.name for marker in HOSPITAL.schema.markers),
        values=np.ones(UNITS.values.shape),
        endpoint=0,
    )
    # The root of what is lost by rounding the share of the patients who have both.
    assert pairs[0].strength == pytest.approx(of_model.strength.max(), rel=0.1)
    assert {pair.worse_together for pair in pairs if "entity" in (pair.first, pair.second)} == {None}
    assert strongest_interactions(HOSPITAL, ENDPOINT, HOSPITAL.of_entity(2)) is None


def test_of_a_pair_that_fewer_have_than_twice_the_floor_nothing_is_told() -> None:
    """Of 100 patients and a strength of 0.5 in them as a whole: 15 have both, 25, or all of them."""
    strength = np.full((1, 3), 0.5)
    told = interaction_view._told(strength, np.array([[15.0, 25.0, 100.0]]), 100, Disclosure(10))
    assert told.tolist() == [[0.0, pytest.approx(np.sqrt(0.2)), 0.5]]
