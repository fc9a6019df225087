"""Are labels of another language read, told where they are wrong, and shown on pages of that language alone?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from oncofed.client.pages.languages import languages
from oncofed.client.pages.marker_search import Filter
from oncofed.client.pages.what_if import found_by_name
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.words.language import ENGLISH
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
