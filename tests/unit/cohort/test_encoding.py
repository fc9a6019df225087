"""Do public constants alone turn patients into inputs, each patient by itself?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, Role, columns, encode
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.survival.grid import TimeGrid


def schema(flags: MissingFlags = MissingFlags.MARKER) -> StudySchema:
    return StudySchema(
        name="lung",
        patient_id="patient",
        markers=(
            Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0, weight=2.0),
            Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("a", "b", "c"), reference_category="b"),
            Marker("KRAS", Modality.DNA_MUTATION, Kind.BINARY),
            Marker("TP53", Modality.DNA_MUTATION, Kind.BINARY, centre=1.0),
            Marker("ecog", Modality.CLINICAL, Kind.ORDINAL, plausible_range=(0.0, 4.0), centre=1.0, scale=2.0),
        ),
        endpoints=(Endpoint("overall_survival", "months", "death"),),
        grid=TimeGrid((0.0, 12.0, 60.0)),
        baseline_hazard=(0.01,),
        modalities={
            Modality.CLINICAL: ModalityEncoding(0.5, 0.04, flags),
            Modality.DNA_MUTATION: ModalityEncoding(0.25, 0.03, flags),
        },
    )


def cohort(values: list[list[float]], of: StudySchema | None = None) -> Cohort:
    rows = len(values)
    return Cohort(
        schema=of or schema(),
        patient_ids=tuple(f"P{row}" for row in range(rows)),
        values=np.array(values, dtype=np.float64).reshape(rows, 5),
        entry=np.zeros((rows, 1)),
        exit=np.ones((rows, 1)),
        observed=np.ones((rows, 1), dtype=bool),
    )


REFERENCE = [60.0, 1.0, 0.0, 1.0, 1.0]
MISSING = [np.nan] * 5


def slow_twin(patient: list[float], of: StudySchema) -> list[float]:
    """One cell at a time, column by column as `columns` announces them."""
    found = []
    by_name = {marker.name: (marker, value) for marker, value in zip(of.markers, patient, strict=True)}
    for column in columns(of):
        if column.source not in by_name:
            members = [value for marker, value in by_name.values() if marker.modality == column.source]
            found.append(column.weight if all(math.isnan(value) for value in members) else 0.0)
            continue
        marker, value = by_name[column.source]
        if column.role is Role.MISSING:
            found.append(column.weight if math.isnan(value) else 0.0)
        elif column.role is Role.CATEGORY:
            found.append(column.weight if value == marker.categories.index(column.category) else 0.0)
        elif math.isnan(value):
            found.append(0.0)
        else:
            limit = of.largest_encoded_value
            found.append(column.weight * max(-limit, min(limit, (value - marker.centre) / marker.scale)))
    return found


def test_columns_are_announced_in_order_with_their_weights() -> None:
    assert columns(schema()) == (
        Column("age_years", Role.VALUE, 1.0),
        Column("age_years", Role.MISSING, 0.04),
        Column("entity", Role.CATEGORY, 0.5, "a"),
        Column("entity", Role.CATEGORY, 0.5, "c"),
        Column("entity", Role.MISSING, 0.04),
        Column("KRAS", Role.VALUE, 0.25),
        Column("KRAS", Role.MISSING, 0.03),
        Column("TP53", Role.VALUE, 0.25),
        Column("TP53", Role.MISSING, 0.03),
        Column("ecog", Role.VALUE, 0.5),
        Column("ecog", Role.MISSING, 0.04),
    )


def test_one_patient_by_hand() -> None:
    # Age (75 - 60) / 15 x 2 x 0.5 = 1; category a; KRAS mutated; TP53 not, though the reference is; ECOG (3 - 1) / 2.
    encoded = encode(cohort([[75.0, 0.0, 1.0, 0.0, 3.0]]))
    np.testing.assert_array_equal(encoded, [[1.0, 0, 0.5, 0, 0, 0.25, 0, -0.25, 0, 0.5, 0]])


@pytest.mark.parametrize("flags", list(MissingFlags))
def test_the_reference_patient_is_the_zero_vector(flags: MissingFlags) -> None:
    of = schema(flags)
    encoded = encode(cohort([REFERENCE], of))
    assert encoded.shape == (1, len(columns(of)))
    assert (encoded == 0).all()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (MissingFlags.MARKER, {"age_years": 0.04, "entity": 0.04, "KRAS": 0.03, "TP53": 0.03, "ecog": 0.04}),
        (MissingFlags.MODALITY, {"clinical": 0.04, "dna_mutation": 0.03}),
        (MissingFlags.NONE, {}),
    ],
)
def test_what_is_missing_sets_its_flag_alone(flags: MissingFlags, expected: dict[str, float]) -> None:
    of = schema(flags)
    encoded = encode(cohort([MISSING], of))[0]
    assert {
        c.source: value for c, value in zip(columns(of), encoded, strict=True) if c.role is Role.MISSING
    } == expected
    assert sum(abs(encoded)) == pytest.approx(sum(expected.values()))


def test_a_modality_flag_needs_the_whole_modality_to_be_missing() -> None:
    of = schema(MissingFlags.MODALITY)
    partly = [60.0, 1.0, np.nan, 1.0, np.nan]
    wholly = [60.0, 1.0, np.nan, np.nan, 1.0]
    encoded = encode(cohort([partly, wholly], of))
    flag = columns(of).index(Column("dna_mutation", Role.MISSING, 0.03))
    np.testing.assert_array_equal(encoded[:, flag], [0.0, 0.03])
    assert not np.delete(encoded, flag, axis=1).any()


def test_a_hospital_without_a_modality_is_encoded_like_any_other() -> None:
    patients = [[75.0, 0.0, np.nan, np.nan, 3.0], [60.0, 2.0, np.nan, np.nan, 1.0]]
    encoded = encode(cohort(patients))
    genes = [index for index, column in enumerate(columns(schema())) if column.source in ("KRAS", "TP53")]
    np.testing.assert_array_equal(encoded[:, genes], [[0, 0.03, 0, 0.03]] * 2)
    assert np.isfinite(encoded).all()


CELLS = st.sampled_from([math.nan, 0.0, 1.0, 2.0, 1e30, -1e30, 1.7e308, -1.7e308]) | st.floats(-200, 200)
PATIENTS = st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=1, max_size=5)


@given(PATIENTS, st.sampled_from(MissingFlags))
def test_every_patient_is_encoded_as_the_slow_twin_does(patients: list[list[float]], flags: MissingFlags) -> None:
    of = schema(flags)
    encoded = encode(cohort(patients, of))
    assert np.isfinite(encoded).all()
    np.testing.assert_allclose(encoded, [slow_twin(patient, of) for patient in patients], rtol=1e-14, atol=0)
    largest = [c.weight * (of.largest_encoded_value if c.role is Role.VALUE else 1.0) for c in columns(of)]
    assert (abs(encoded) <= np.array(largest) * (1 + 1e-15)).all()


@given(PATIENTS, st.data())
def test_removing_a_patient_leaves_the_others_byte_identical(patients: list[list[float]], data: st.DataObject) -> None:
    whole = cohort(patients)
    gone = data.draw(st.integers(0, len(patients) - 1))
    kept = [row for row in range(len(patients)) if row != gone]
    assert encode(whole.subset(kept)).tobytes() == encode(whole)[kept].tobytes()


def test_values_beyond_the_range_of_float64_are_cut_like_any_other() -> None:
    tiny = replace(schema().markers[0], scale=1e-10)
    of = replace(schema(), markers=(tiny, *schema().markers[1:]))
    assert encode(cohort([[1.7e308, 1, 0, 1, 1]], of))[0, 0] == 3.0


def test_no_patients_and_no_markers_still_have_a_shape() -> None:
    assert encode(cohort([])).shape == (0, 11)
    bare = replace(schema(), markers=())
    empty = Cohort(bare, ("P",), np.zeros((1, 0)), np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1), dtype=bool))
    assert encode(empty).shape == (1, 0)
