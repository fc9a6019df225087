"""Does a schema's hash tell schemas apart, and only schemas that differ?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import pytest

from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, ModalityEncoding, StudySchema
from oncofed.survival.grid import TimeGrid

AGE = Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (18.0, 110.0), centre=65.0, scale=12.0)
SCHEMA = StudySchema(
    name="lung",
    patient_id="patient",
    markers=(AGE, Marker("KRAS", Modality.DNA_MUTATION, Kind.BINARY)),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=TimeGrid((0.0, 6.0, 12.0)),
    baseline_hazard=(1.0,),
    modalities={Modality.DNA_MUTATION: ModalityEncoding(weight=2.0)},
    zero_time_becomes=1.0,
)
SPELT_OTHERWISE = {
    "whole centre": replace(SCHEMA, markers=(replace(AGE, centre=65), SCHEMA.markers[1])),
    "whole range": replace(SCHEMA, markers=(replace(AGE, plausible_range=(18, 110)), SCHEMA.markers[1])),
    "minus zero": replace(SCHEMA, markers=(AGE, replace(SCHEMA.markers[1], centre=-0.0))),
    "whole bounds": replace(SCHEMA, grid=TimeGrid((0, 6, 12))),
    "whole hazard": replace(SCHEMA, baseline_hazard=(1,)),
    "whole weight": replace(SCHEMA, modalities={Modality.DNA_MUTATION: ModalityEncoding(weight=2)}),
    "whole zero time": replace(SCHEMA, zero_time_becomes=1),
    "whole largest value": replace(SCHEMA, largest_encoded_value=3),
}


@pytest.mark.parametrize("same", SPELT_OTHERWISE.values(), ids=SPELT_OTHERWISE)
def test_equal_schemas_hash_alike_however_their_numbers_are_spelt(same: StudySchema) -> None:
    assert same == SCHEMA
    assert same.hash == SCHEMA.hash


@pytest.mark.parametrize(
    "other",
    [
        replace(SCHEMA, markers=(replace(AGE, centre=65.00000000000001), SCHEMA.markers[1])),
        replace(SCHEMA, markers=SCHEMA.markers[::-1]),
        replace(SCHEMA, markers=(replace(AGE, unit="1.0"), SCHEMA.markers[1])),
        replace(SCHEMA, zero_time_becomes=None),
        replace(SCHEMA, modalities={}),
    ],
)
def test_schemas_that_differ_in_anything_hash_otherwise(other: StudySchema) -> None:
    assert other != SCHEMA
    assert other.hash != SCHEMA.hash


def test_a_schema_from_before_reference_ranges_and_competing_endpoints_keeps_its_hash() -> None:
    """Plans that hospitals have signed name it."""
    endpoints = [_without(("competes_with", "label_de"), endpoint) for endpoint in SCHEMA.endpoints]
    later = ("reference_range", "expected_log_hazard_ratios", "expected_source", "label_de", "category_labels_de")
    markers = [_without(later, marker) for marker in SCHEMA.markers]
    written = asdict(SCHEMA) | {"markers": markers, "endpoints": endpoints}
    canonical = json.dumps(_floats(written), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert hashlib.sha256(canonical.encode()).hexdigest() == SCHEMA.hash
    shown = replace(SCHEMA, markers=(replace(AGE, reference_range=(18.0, 65.0)), SCHEMA.markers[1]))
    assert shown.hash != SCHEMA.hash


def test_that_endpoints_compete_is_one_schema_whichever_of_them_says_so() -> None:
    cancer, heart, other = (Endpoint(name, "months", name) for name in ("cancer", "heart", "other"))
    by_the_first = _of(replace(cancer, competes_with=("heart", "other")), heart, other)
    in_a_chain = _of(cancer, replace(heart, competes_with=("cancer",)), replace(other, competes_with=("heart",)))
    assert by_the_first.hash == in_a_chain.hash
    assert [in_a_chain.competing(number) for number in range(3)] == [(1, 2), (0, 2), (0, 1)]
    assert len({by_the_first.hash, _of(cancer, heart, other).hash, _of(cancer, *_pair(heart, other)).hash}) == 3
    assert [_of(cancer, *_pair(heart, other)).competing(number) for number in range(3)] == [(), (2,), (1,)]


def _pair(one: Endpoint, two: Endpoint) -> tuple[Endpoint, Endpoint]:
    return replace(one, competes_with=(two.name,)), two


def _of(*endpoints: Endpoint) -> StudySchema:
    return replace(SCHEMA, endpoints=endpoints, baseline_hazard=(0.01,) * len(endpoints))


def _without(names: tuple[str, ...], described: Marker | Endpoint) -> dict[str, object]:
    return {key: value for key, value in asdict(described).items() if key not in names}


def _floats(value: object) -> object:
    if isinstance(value, dict):
        return {key: _floats(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_floats(each) for each in value]
    return float(value) + 0.0 if isinstance(value, int | float) else value
