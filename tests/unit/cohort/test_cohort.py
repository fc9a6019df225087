"""Is a cohort frozen, and does its hash notice every change?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import (
    DeathPolicy,
    Endpoint,
    Kind,
    Marker,
    MissingFlags,
    Modality,
    ModalityEncoding,
    StudySchema,
)
from oncofed.survival.grid import TimeGrid

SCHEMA = StudySchema(
    name="lung",
    patient_id="patient",
    markers=(
        Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("a", "b"), reference_category="a"),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=TimeGrid((0.0, 12.0, 60.0)),
    baseline_hazard=(0.01,),
    modalities={Modality.CLINICAL: ModalityEncoding()},
)


def cohort() -> Cohort:
    return Cohort(
        schema=SCHEMA,
        patient_ids=("P1", "P2", "P3"),
        values=np.array([[61.0, 0.0], [np.nan, 1.0], [55.0, np.nan]]),
        entry=np.array([[0.0], [1.0], [0.0]]),
        exit=np.array([[5.0], [6.0], [7.0]]),
        observed=np.array([[True], [False], [True]]),
    )


def test_nothing_about_a_cohort_can_be_changed() -> None:
    frozen = cohort()
    with pytest.raises(FrozenInstanceError):
        frozen.patient_ids = ()  # type: ignore[misc]  # that is the point
    for array in (frozen.values, frozen.entry, frozen.exit, frozen.observed, frozen.marker_values("age_years")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("field", ["values", "entry", "exit", "observed"])
def test_the_hash_notices_every_changed_number(field: str) -> None:
    original = cohort()
    array: np.ndarray = getattr(original, field)
    seen = {original.content_hash}
    for position in np.ndindex(array.shape):
        changed = array.copy()
        if array.dtype == bool:
            changed[position] = not array[position]
        else:
            changed[position] = 1.5 if np.isnan(array[position]) else np.nextafter(array[position], np.inf)
        seen.add(replace(original, **{field: changed}).content_hash)  # type: ignore[arg-type]  # by name
    assert len(seen) == 1 + array.size


def test_the_hash_notices_identifiers_order_and_schema() -> None:
    original = cohort()
    changed = [
        replace(original, patient_ids=("P1", "P2", "P4")),
        replace(original, patient_ids=("P1", "P", "2P3")),
        replace(original, patient_ids=("P1P2", "", "P3")),
        replace(original, schema=replace(SCHEMA, largest_encoded_value=4.0)),
        original.subset([1, 0, 2]),
        original.subset([0, 1]),
        original.subset([]),
    ]
    assert len({original.content_hash, *(other.content_hash for other in changed)}) == 1 + len(changed)
    assert cohort().content_hash == original.content_hash == original.subset([0, 1, 2]).content_hash


MARKER_CHANGES: list[dict[str, object]] = [
    {"name": "age"},
    {"modality": Modality.LABORATORY},
    {"kind": Kind.ORDINAL},
    {"unit": "months"},
    {"plausible_range": (0.0, 121.0)},
    {"centre": 61.0},
    {"scale": 10.0},
    {"categories": ("x",)},
    {"reference_category": "x"},
    {"missing_codes": ("-9",)},
    {"weight": 2.0},
    {"reference_range": (0.0, 5.0)},
    {"expected_log_hazard_ratios": (0.2,)},
    {"expected_log_hazard_ratios": (0.2,), "expected_source": "a paper"},
    {"label_de": "Alter"},
    {"category_labels_de": ("ein Wort",)},
]
ENDPOINT_CHANGES: list[dict[str, object]] = [
    {"name": "os"},
    {"time_column": "t"},
    {"event_column": "e"},
    {"entry_column": "x"},
    {"death_event_column": "d"},
    {"death": DeathPolicy.CENSORING},
    {"label_de": "Gesamtüberleben"},
]
SCHEMA_CHANGES: list[dict[str, object]] = [
    {"name": "colon"},
    {"patient_id": "id"},
    {"grid": TimeGrid((0.0, 12.0, 61.0))},
    {"grid": TimeGrid((0.0, 12.0, 60.0), "days")},
    {"baseline_hazard": (0.02,)},
    {"modalities": {}},
    {"modalities": {Modality.CLINICAL: ModalityEncoding(weight=2.0)}},
    {"modalities": {Modality.CLINICAL: ModalityEncoding(missing_weight=0.1)}},
    {"modalities": {Modality.CLINICAL: ModalityEncoding(missing_flags=MissingFlags.NONE)}},
    {"site_column": "hospital"},
    {"tumour_entity": "entity"},
    {"largest_encoded_value": 4.0},
    {"zero_time_becomes": 0.5},
]


def test_the_hash_of_a_schema_notices_every_public_constant() -> None:
    age, entity = SCHEMA.markers
    changed = [
        *(replace(SCHEMA, **change) for change in SCHEMA_CHANGES),  # type: ignore[arg-type]  # of mixed types
        *(replace(SCHEMA, markers=(replace(age, **change), entity)) for change in MARKER_CHANGES),  # type: ignore[arg-type]
        *(
            replace(SCHEMA, endpoints=(replace(SCHEMA.endpoints[0], **change),))  # type: ignore[arg-type]
            for change in ENDPOINT_CHANGES
        ),
        replace(SCHEMA, markers=(entity, age)),
    ]
    assert len({SCHEMA.hash, *(other.hash for other in changed)}) == 1 + len(changed)
    # A new field needs a line above.
    for value, changes in ((SCHEMA, SCHEMA_CHANGES), (age, MARKER_CHANGES), (SCHEMA.endpoints[0], ENDPOINT_CHANGES)):
        untested = set(value.__dataclass_fields__) - {key for change in changes for key in change}
        assert untested <= {"markers", "endpoints", "competes_with"}  # the last takes two endpoints: test_schema.py


def test_subset_takes_the_rows_in_the_given_order() -> None:
    part = cohort().subset(np.array([2, 0]))
    assert part.patient_ids == ("P3", "P1")
    np.testing.assert_array_equal(part.values, [[55.0, np.nan], [61.0, 0.0]])
    np.testing.assert_array_equal(part.exit, [[7.0], [5.0]])
    assert len(part) == 2


def test_marker_values_are_found_by_name() -> None:
    np.testing.assert_array_equal(cohort().marker_values("entity"), [0.0, 1.0, np.nan])
    with pytest.raises(KeyError, match="weight"):
        cohort().marker_values("weight")


SHAPE_BREAKERS: list[Callable[[Cohort], dict[str, object]]] = [
    lambda c: {"values": c.values[:, :1].copy()},
    lambda c: {"entry": c.entry[:2].copy()},
    lambda c: {"patient_ids": ("P1",)},
]


@pytest.mark.parametrize("breaker", SHAPE_BREAKERS)
def test_parts_that_do_not_fit_together_are_our_own_mistake(breaker: Callable[[Cohort], dict[str, object]]) -> None:
    with pytest.raises(AssertionError):
        replace(cohort(), **breaker(cohort()))  # type: ignore[arg-type]  # of mixed types
