"""Are strengths, directions and counts what the relevances say, for a whole cohort and by entity?"""

from __future__ import annotations

import numpy as np
import pytest

from oncofed.client.patients.cohort_explanation import (
    SMALLEST_GROUP,
    Direction,
    explain_cohort,
    explain_entities,
    markers_carrying,
)
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.survival.grid import TimeGrid

SCHEMA = StudySchema(
    name="small",
    patient_id="patient_id",
    markers=(
        Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, centre=60, scale=10),
        Marker("albumin", Modality.LABORATORY, Kind.CONTINUOUS, centre=40, scale=5),
        Marker("sex", Modality.CLINICAL, Kind.BINARY),
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "skin"), reference_category="lung"),
    ),
    endpoints=(Endpoint("death", "months", "dead"),),
    grid=TimeGrid((0, 12, 24)),
    baseline_hazard=(0.01,),
    tumour_entity="entity",
)
NAMES = ("age", "albumin", "sex", "entity", "laboratory")


def cohort_and_relevance(count: int = 200, *, skin: int = 60) -> tuple[Cohort, np.ndarray]:
    rng = np.random.default_rng(8)
    values = np.column_stack(
        [
            rng.normal(60, 10, count),
            rng.normal(40, 5, count),
            rng.integers(0, 2, count).astype(float),
            np.r_[np.ones(skin), np.zeros(count - skin)],
        ]
    )
    values[::4, 1] = np.nan
    blank = np.zeros((count, 1))
    cohort = Cohort(SCHEMA, tuple(map(str, range(count))), values, blank, blank + 1, blank > 0)
    relevance = np.zeros((count, 5))
    relevance[:, 0] = (values[:, 0] - 60) / 10
    relevance[:, 1] = np.nan_to_num(-(values[:, 1] - 40) / 50, nan=-0.4)  # being unmeasured is good
    relevance[:, 2] = 0.01 * rng.normal(size=count)
    relevance[:, 3] = np.where(values[:, 3] == 1, -3.0, 0.0)
    relevance[:, 4] = 0.02 * np.isnan(values[:, 1])
    return cohort, relevance


def test_markers_come_strongest_first_with_direction_and_share() -> None:
    cohort, relevance = cohort_and_relevance()
    found = explain_cohort(NAMES, relevance, cohort)
    assert [role.name for role in found.markers[:3]] == ["entity", "age", "albumin"]
    by_name = {role.name: role for role in found.markers}
    assert by_name["age"].direction is Direction.RAISES
    assert by_name["albumin"].direction is Direction.LOWERS, "of the measured: the unmeasured would blur it"
    assert by_name["sex"].direction is Direction.MIXED
    assert by_name["entity"].direction is Direction.MIXED
    assert by_name["laboratory"].direction is Direction.RAISES
    assert sum(role.share for role in found.markers) == pytest.approx(1)
    assert by_name["entity"].strength == pytest.approx(0.9)
    assert by_name["entity"].mean == pytest.approx(-0.9)


def test_flipped_relevances_flip_directions() -> None:
    cohort, relevance = cohort_and_relevance()
    flipped = {role.name: role.direction for role in explain_cohort(NAMES, -relevance, cohort).markers}
    assert flipped["age"] is Direction.LOWERS
    assert flipped["albumin"] is Direction.RAISES


def test_how_many_markers_carry_90_percent() -> None:
    relevance = np.array([[5.0, -3.0, 1.0, 0.5, 0.5], [-5.0, 3.0, 1.0, -0.5, 0.5]])
    assert markers_carrying(relevance, share=0.9) == 3
    assert markers_carrying(relevance, share=0.8) == 2
    assert markers_carrying(relevance, share=1.0) == 5
    assert markers_carrying(np.zeros((3, 4)), share=0.9) == 0
    assert markers_carrying(np.zeros((0, 4)), share=0.9) == 0


def test_entities_are_explained_by_their_own_patients_and_small_ones_not_at_all() -> None:
    cohort, relevance = cohort_and_relevance()
    found = explain_entities(NAMES, relevance, cohort)
    assert [(entity, part.patients) for entity, part in found.items()] == [("lung", 140), ("skin", 60)]
    assert found["skin"].markers[0].name == "entity"
    assert found["lung"].markers[0].name == "age"
    cohort, relevance = cohort_and_relevance(skin=SMALLEST_GROUP - 1)
    assert list(explain_entities(NAMES, relevance, cohort)) == ["lung"]
