"""Are two schemas told apart in words, field by field, and is it said which differences concern tables?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from tests.command_line import oncofed

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
from oncofed.cohort.schema_difference import Difference, as_json, differences
from oncofed.survival.grid import TimeGrid

ALBUMIN = Marker(
    "albumin",
    Modality.LABORATORY,
    Kind.CONTINUOUS,
    "g/l",
    (8.0, 65.0),
    centre=43.0,
    scale=8.0,
    missing_codes=("-1", "NA"),
)
ENTITY = Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "colon"), reference_category="lung")
DEATH = Endpoint("survival", "months", "dead", entry_column="entry")
RELAPSE = Endpoint("relapse", "months_to_relapse", "relapsed", death_event_column="dead")
SCHEMA = StudySchema(
    name="ours",
    patient_id="patient",
    markers=(ALBUMIN, ENTITY),
    endpoints=(DEATH, RELAPSE),
    grid=TimeGrid((0.0, 12.0, 24.0)),
    baseline_hazard=(0.02, 0.01),
    modalities={Modality.LABORATORY: ModalityEncoding(weight=2.0)},
    site_column="hospital",
    tumour_entity="entity",
)


def with_albumin(**changed: Any) -> StudySchema:
    return replace(SCHEMA, markers=(replace(ALBUMIN, **changed), ENTITY))


def with_entity(**changed: Any) -> StudySchema:
    return replace(SCHEMA, markers=(ALBUMIN, replace(ENTITY, **changed)))


def with_relapse(**changed: Any) -> StudySchema:
    return replace(SCHEMA, endpoints=(DEATH, replace(RELAPSE, **changed)))


def with_laboratory(**changed: Any) -> StudySchema:
    return replace(SCHEMA, modalities={Modality.LABORATORY: replace(ModalityEncoding(weight=2.0), **changed)})


NO_TABLE_FITS_BOTH = {
    "Marker.name": with_albumin(name="Albumin_"),
    "Marker.modality": with_albumin(modality=Modality.CLINICAL),
    "Marker.kind": with_albumin(kind=Kind.ORDINAL),
    "Marker.unit": with_albumin(unit="g/dl"),
    "Marker.plausible_range": with_albumin(plausible_range=(0.8, 6.5)),
    "Marker.missing_codes": with_albumin(missing_codes=("-1",)),
    "Marker.categories": with_entity(categories=("lung", "colon", "breast")),
    "Endpoint.name": with_relapse(name="progression"),
    "Endpoint.time_column": with_relapse(time_column="days"),
    "Endpoint.event_column": with_relapse(event_column="progressed"),
    "Endpoint.entry_column": with_relapse(entry_column="entry"),
    "Endpoint.death_event_column": with_relapse(death_event_column="died"),
    "Endpoint.death": with_relapse(death=DeathPolicy.CENSORING),
    "Endpoint.competes_with": with_relapse(competes_with=("survival",)),
    "StudySchema.patient_id": replace(SCHEMA, patient_id="id"),
    "StudySchema.markers": replace(SCHEMA, markers=(ALBUMIN,)),
    "StudySchema.endpoints": replace(SCHEMA, endpoints=(DEATH,), baseline_hazard=(0.02,)),
    "StudySchema.site_column": replace(SCHEMA, site_column=None),
    "StudySchema.grid": replace(SCHEMA, grid=TimeGrid((0.0, 12.0, 24.0), "days")),
    "StudySchema.zero_time_becomes": replace(SCHEMA, zero_time_becomes=0.02),
}
CONSTANTS = {
    "Marker.centre": with_albumin(centre=40.0),
    "Marker.scale": with_albumin(scale=5.0),
    "Marker.weight": with_albumin(weight=0.5),
    "Marker.reference_range": with_albumin(reference_range=(35.0, 52.0)),
    "Marker.expected_log_hazard_ratios": with_albumin(expected_log_hazard_ratios=(-0.2,)),
    "Marker.expected_source": with_albumin(expected_log_hazard_ratios=(-0.2,), expected_source="Lee 2020"),
    "Marker.label_de": with_albumin(label_de="Albumin i. S."),
    "Marker.category_labels_de": with_entity(category_labels_de=("Lunge", "")),
    "Endpoint.label_de": with_relapse(label_de="Rezidiv"),
    "Marker.reference_category": with_entity(reference_category="colon"),
    "ModalityEncoding.weight": with_laboratory(weight=1.0),
    "ModalityEncoding.missing_weight": with_laboratory(missing_weight=0.1),
    "ModalityEncoding.missing_flags": with_laboratory(missing_flags=MissingFlags.NONE),
    "StudySchema.name": replace(SCHEMA, name="theirs"),
    "StudySchema.tumour_entity": replace(SCHEMA, tumour_entity=None),
    "StudySchema.largest_encoded_value": replace(SCHEMA, largest_encoded_value=4.0),
    "StudySchema.baseline_hazard": replace(SCHEMA, baseline_hazard=(0.02, 0.03)),
    "StudySchema.modalities": replace(SCHEMA, modalities={**SCHEMA.modalities, Modality.CLINICAL: ModalityEncoding()}),
    "the bounds of the grid": replace(SCHEMA, grid=TimeGrid((0.0, 6.0, 24.0))),
    "the order of markers": replace(SCHEMA, markers=(ENTITY, ALBUMIN)),
    "the order of endpoints": replace(SCHEMA, endpoints=(RELAPSE, DEATH), baseline_hazard=(0.01, 0.02)),
    "the order of categories": with_entity(categories=("colon", "lung")),
    "the capitals of a unit": with_albumin(unit="G / L"),
    "the order of missing codes": with_albumin(missing_codes=("NA", "-1")),
}
ALL = NO_TABLE_FITS_BOTH | CONSTANTS


def test_no_field_of_a_schema_is_forgotten() -> None:
    every = {
        f"{owner.__name__}.{field.name}"
        for owner in (StudySchema, Marker, Endpoint, ModalityEncoding)
        for field in fields(owner)
    }
    assert every <= set(ALL)


@pytest.mark.parametrize("other", ALL.values(), ids=ALL)
def test_one_changed_field_is_told_and_whether_it_concerns_tables(
    other: StudySchema, request: pytest.FixtureRequest
) -> None:
    assert other.hash != SCHEMA.hash, "the case changes something"
    found = differences(SCHEMA, other)
    assert found
    name = request.node.callspec.id
    assert all(each.fits for each in found) == (name in CONSTANTS), [str(each) for each in found]


@pytest.mark.parametrize("other", ALL.values(), ids=ALL)
def test_the_other_way_round_the_same_is_told_with_both_exchanged(other: StudySchema) -> None:
    there = {(each.about, each.field, str(each.first), str(each.second)) for each in differences(SCHEMA, other)}
    back = {(each.about, each.field, str(each.second), str(each.first)) for each in differences(other, SCHEMA)}
    assert there == back


def test_a_capital_that_is_another_prefix_is_another_unit() -> None:
    for one, other, fits in (("mU/l", "MU/l", False), ("pg/l", "Pg/l", False), ("mU/L", "m U/l", True)):
        (found,) = differences(with_albumin(unit=one), with_albumin(unit=other))
        assert (found.field, found.fits, bool(found.hint)) == ("unit", fits, fits), (one, other)


def test_a_schema_does_not_differ_from_itself() -> None:
    assert differences(SCHEMA, with_albumin(centre=43)) == ()
    assert json.loads(as_json(())) == {"fit": True, "same": True, "differences": []}


def test_a_marker_that_is_spelt_otherwise_is_missing_and_the_near_miss_is_named() -> None:
    told = [str(each) for each in differences(SCHEMA, with_albumin(name="Albumin_"))]
    assert told[:2] == [
        'marker "albumin" is in A and missing in B (the other has "Albumin_": is that the same?)',
        'marker "Albumin_" is in B and missing in A (the other has "albumin": is that the same?)',
    ]


def test_words_say_what_each_schema_says() -> None:
    assert [str(each) for each in differences(SCHEMA, with_albumin(unit="g/dl", plausible_range=(0.8, 6.5)))] == [
        'marker "albumin", unit: "g/l" in A, "g/dl" in B',
        'marker "albumin", plausible range: [8, 65] in A, [0.8, 6.5] in B',
    ]
    assert [str(each) for each in differences(SCHEMA, with_entity(categories=("lung", "breast")))] == [
        'marker "entity", categories of its own: ["colon"] in A, ["breast"] in B'
    ]
    assert str(Difference("schema", "site_column", "hospital", None, fits=False)) == (
        'schema, site column: "hospital" in A, nothing in B'
    )


# --- the command

FILE = """
[schema]
name = "ours"
patient_id = "patient"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "survival"
time = "months"
event = "dead"
baseline_hazard = 0.02
[[marker]]
name = "albumin"
modality = "laboratory"
kind = "continuous"
unit = "g/l"
plausible_range = [8, 65]
centre = 43
scale = 8
"""


def files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [folder / name for name in contents]


def test_the_command_ends_with_1_where_tables_do_not_fit_and_with_0_where_they_do(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        {
            "a.toml": FILE,
            "b.toml": FILE.replace('"g/l"', '"g/dl"'),
            "c.toml": FILE.replace("centre = 43", "centre = 40"),
        },
    )
    other = oncofed("schema", "diff", paths[0], paths[1])
    assert other.code == 1
    assert 'marker "albumin", unit: "g/l" in A, "g/dl" in B' in other.text
    constant = oncofed("schema", "diff", paths[0], paths[2])
    assert constant.code == 0
    assert "Constants of the network" in constant.text
    same = oncofed("schema", "diff", paths[0], paths[0])
    assert same.code == 0
    assert "The two say the same." in same.text


def test_the_command_says_the_same_to_programs(tmp_path: Path) -> None:
    paths = files(tmp_path, {"a.toml": FILE, "b.toml": FILE.replace('"g/l"', '"g/dl"')})
    told = oncofed("schema", "diff", "--json", *paths)
    assert told.code == 1
    content = json.loads(told.text)
    assert (content["fit"], content["same"]) == (False, False)
    assert content["differences"] == [
        {"about": 'marker "albumin"', "field": "unit", "first": "g/l", "second": "g/dl", "fits": False, "hint": ""}
    ]


def test_the_faults_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    paths = files(tmp_path, {"a.toml": FILE.replace('"months"', '"moons"', 1), "b.toml": FILE + "surplus = 1\n"})
    told = oncofed("schema", "diff", *paths)
    assert told.code == 2
    assert "a.toml" in told.text
    assert "b.toml" in told.text
