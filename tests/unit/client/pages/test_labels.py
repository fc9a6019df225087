"""Are labels of another language read, told where they are wrong, and shown on pages of that language alone?"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.pages_hospital import ENTITY, hospital, served

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.marker_search import Filter
from oncofed.client.pages.what_if import found_by_name
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.errors import InvalidInput
from oncofed.words.language import ENGLISH
from oncofed.words.languages import languages
from oncofed.words.markers import category_label, endpoint_label, marker_label

GERMAN = next(each for each in languages() if each.code == "de")
PLAIN = """
[schema]
name = "lung"
patient_id = "id"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "second_look"
time = "months"
event = "event"
baseline_hazard = 0.02
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 10
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["lung", "colon"]
reference_category = "lung"
"""
LABELLED = (
    PLAIN.replace('event = "event"', 'event = "event"\nlabel_de = "Zweitbefund"')
    .replace("scale = 10", 'scale = 10\nlabel_de = "Alter"')
    .replace('reference_category = "lung"', 'reference_category = "lung"\ncategory_labels_de = { lung = "Lunge" }')
)


def test_labels_are_shown_in_their_language_and_names_in_the_other() -> None:
    schema = parse_schema(LABELLED, where="s")
    age, entity = schema.markers
    told = [
        [
            marker_label(age, say=say),
            marker_label(entity, say=say),
            *(category_label(entity, each, say=say) for each in entity.categories),
            endpoint_label(schema.endpoints[0], say=say),
        ]
        for say in (ENGLISH, GERMAN)
    ]
    assert told == [
        ["age", "entity", "lung", "colon", "second look"],
        ["Alter", "entity", "Lunge", "colon", "Zweitbefund"],
    ]


def test_a_marker_is_found_by_its_label_and_by_its_name() -> None:
    schema = parse_schema(LABELLED, where="s")
    assert [found_by_name(schema, each, say=GERMAN) for each in ("alter", "AGE", "entity", "x")] == [[0], [0], [1], []]
    assert found_by_name(schema, "alter") == []
    assert [Filter(name=each).lets_through(schema.markers[0], say=GERMAN) for each in ("lter", "ag", "x")] == [1, 1, 0]


def test_labels_change_the_hash_and_schemas_without_them_keep_it() -> None:
    plain, labelled = (parse_schema(each, where="s") for each in (PLAIN, LABELLED))
    assert labelled.hash != plain.hash
    bare = replace(
        labelled,
        markers=tuple(replace(each, label_de="", category_labels_de=()) for each in labelled.markers),
        endpoints=tuple(replace(each, label_de="") for each in labelled.endpoints),
    )
    assert bare.hash == plain.hash


def test_a_schema_with_labels_is_written_as_it_is_read() -> None:
    schema = parse_schema(LABELLED, where="s")
    assert parse_schema(schema_as_toml(schema), where="s") == schema


def test_a_german_page_has_labels_wherever_the_english_one_has_names(tmp_path: Path) -> None:
    here = hospital()
    markers = list(here.schema.markers)
    markers[0] = replace(markers[0], label_de="Lebensalter")
    markers[ENTITY] = replace(
        markers[ENTITY], label_de="Diagnose", category_labels_de=("Lungenkarzinom", "Melanom", "")
    )
    schema = replace(here.schema, markers=tuple(markers))
    shown = replace(here, cohort=replace(here.cohort, schema=schema), published=None)
    with served(tmp_path, shown=shown) as pages:
        window = pages.signed_in(Role.CLINICIAN)
        address = pages.opened(window, int((here.cohort.values[:, ENTITY] == 0).argmax()))
        for asked, told in (
            (address, ("Lebensalter", "Diagnose", "Patienten mit Lungenkarzinom")),
            ("/cohort", ("Lebensalter", "Diagnose", "Lungenkarzinom", "Melanom")),
        ):
            german, english = (window.get(asked, headers={"accept-language": each}).text for each in ("de", "en"))
            words = re.findall(r"[a-z]+", re.sub(r"<[^>]*>", " ", german).lower())
            assert all(each in german and each not in english for each in told)
            assert not {"age", "entity"} & set(words), asked


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ('name = "age"', 'names = ["age", "age_2"]', "label_de: is one label of several markers"),
        ('lung = "Lunge" }', 'lunge = "Lunge" }', 'category_labels_de: names "lunge", which is none of the categories'),
        ('{ lung = "Lunge" }', "{ }", "category_labels_de: names no category"),
        ('label_de = "Alter"', 'label_de = "\\u202eretlA"', "label_de: holds a character that cannot be seen"),
        ('label_de = "Alter"', "label_de = 3", "label_de: is not a text"),
        ('label_de = "Alter"', 'label_fr = "Age"', "label_fr"),
        ('label_de = "Alter"', 'category_labels_de = { a = "b" }', "is not used by a continuous marker"),
    ],
)
def test_a_label_that_is_wrong_is_refused_by_its_field(right: str, wrong: str, what: str) -> None:
    assert right in LABELLED
    with pytest.raises(InvalidInput) as refused:
        parse_schema(LABELLED.replace(right, wrong, 1), where="s")
    (fault,) = refused.value.faults
    assert what in str(fault)
