"""Is the cohort view made of groups only, and are its numbers those of a slow count?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pages_hospital import ENTITY, hospital

from oncofed.client.interactions import model_interactions
from oncofed.client.pages.cohort_view import _bins, dependence, risk_groups, strongest_markers
from oncofed.client.pages.group_outcome import group_outcome
from oncofed.client.pages.hospital import Peers
from oncofed.client.pages.interaction_view import MOST_PAIRS, strongest_interactions
from oncofed.cohort.encoding import columns, encode

HOSPITAL = hospital()
ENDPOINT = HOSPITAL.endpoint(0)
EVERYBODY = np.ones(len(HOSPITAL.cohort), dtype=np.bool_)


def test_strength_is_the_mean_absolute_contribution() -> None:
    found = strongest_markers(HOSPITAL, ENDPOINT, EVERYBODY)
    by_source = {each.source: each.strength for each in found}
    for place, source in enumerate(ENDPOINT.sources):
        expected = sum(abs(row) for row in ENDPOINT.relevance[:, place]) / len(ENDPOINT.relevance)
        assert by_source.get(source, 0.0) == pytest.approx(expected)
    assert sum(each.share for each in found) == pytest.approx(1)
    assert [each.strength for each in found] == sorted(by_source.values(), reverse=True)


def test_a_group_below_the_floor_is_not_described() -> None:
    rare = HOSPITAL.of_entity(2).rows
    assert 0 < rare.sum() < 10
    assert strongest_markers(HOSPITAL, ENDPOINT, rare) == ()
    assert dependence(HOSPITAL, ENDPOINT, rare, source="age_years") is None
    assert risk_groups(HOSPITAL, ENDPOINT, rare) == ()
    assert 2 not in HOSPITAL.entities_shown()
    assert group_outcome("few", HOSPITAL.cohort, rare, endpoint=0, grid=HOSPITAL.grid, floor=10) is None


def test_every_dot_of_a_dependence_is_a_group_of_the_floors_size() -> None:
    for source in ("age_years", "crp_mg_per_l", "smoker", "entity"):
        found = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source=source)
        assert found is not None
        assert min(found.counts) >= 10
    entity = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="entity")
    assert entity is not None
    assert entity.left_out == 1
    assert "rare" not in entity.labels


def test_a_dependence_is_the_contribution_of_those_with_such_values() -> None:
    found = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="smoker")
    assert found is not None
    for label, median in zip(found.labels, found.median, strict=True):
        rows = HOSPITAL.cohort.values[:, 2] == (label == "yes")
        assert median == pytest.approx(np.median(ENDPOINT.relevance[rows, ENDPOINT.sources.index("smoker")]))


@given(st.lists(st.integers(0, 6), min_size=10, max_size=200), st.integers(5, 12))
@settings(deadline=None)
def test_bins_keep_the_floor_and_lose_nobody_whatever_the_ties(values: list[int], floor: int) -> None:
    groups = _bins(np.array(values, dtype=np.float64), floor)
    assert (np.sum(groups, axis=0) == 1).all()
    assert len(groups) == 1 or min(int(group.sum()) for group in groups) >= floor
    ranges = [(np.array(values)[group].min(), np.array(values)[group].max()) for group in groups]
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))


def test_risk_groups_are_thirds_and_part_as_their_risk_says() -> None:
    groups = risk_groups(HOSPITAL, ENDPOINT, EVERYBODY)
    assert [group.name for group in groups] == ["low risk", "middle risk", "high risk"]
    assert sum(group.patients for group in groups) == len(HOSPITAL.cohort)
    at_two_years = [float(np.interp(24, group.times, group.survival)) for group in groups]
    assert at_two_years == sorted(at_two_years, reverse=True)
    assert at_two_years[0] - at_two_years[2] > 0.2


def test_no_step_of_a_groups_curve_is_a_patients_day() -> None:
    """Times are of a public axis: moving one death inside an interval of it changes nothing that is shown."""
    rows = HOSPITAL.of_entity(0).rows
    before = group_outcome("lung", HOSPITAL.cohort, rows, endpoint=0, grid=HOSPITAL.grid, floor=10)
    assert before is not None
    assert set(before.times) <= set(np.linspace(0, 60, 61))
    assert (before.at_risk >= 10).all()


def test_peers_of_one_entity_are_all_of_it() -> None:
    lung = HOSPITAL.of_entity(0)
    assert isinstance(lung, Peers)
    assert len(lung) == int((HOSPITAL.cohort.values[:, ENTITY] == 0).sum())


def test_interactions_are_the_models_and_of_groups_only() -> None:
    pairs = strongest_interactions(HOSPITAL, ENDPOINT, EVERYBODY)
    assert pairs is not None
    assert [pair.strength for pair in pairs] == sorted((pair.strength for pair in pairs), reverse=True)
    assert len(pairs) <= MOST_PAIRS
    of_model = model_interactions(
        HOSPITAL.network,
        torch.as_tensor(encode(HOSPITAL.cohort)),
        columns(HOSPITAL.schema),
        names=tuple(marker.name for marker in HOSPITAL.schema.markers),
        values=np.ones(HOSPITAL.cohort.values.shape),
        endpoint=0,
    )
    assert pairs[0].strength == pytest.approx(of_model.strength.max())
    assert {pair.worse_together for pair in pairs if "entity" in (pair.first, pair.second)} == {None}
    assert strongest_interactions(HOSPITAL, ENDPOINT, HOSPITAL.of_entity(2).rows) is None
