"""Is a plan that asks by other columns than its words say found, and an honest one let through?

The schema's columns, counted by hand: 0, 1 sex and its flag; 2, 3, 4 the entities lung and skin and its flag; 5, 6 two
genes; 7 the flag of all of the genes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles import study_plan
from tests.installed_node import installed_node
from tests.summaries import counting

from oncofed.client.records.columns_of_plan import of_the_columns
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import PrivacyRefusal
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.protocol.plan_words import plan_in_words
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.layers import Layer
from oncofed.survival.time_shapes import TimeShapes

SCHEMA = parse_schema(
    """
[schema]
name = "tiny"
patient_id = "id"
tumour_entity = "entity"
[time]
unit = "months"
interval_bounds = [0, 12, 24, 60]
[modality.clinical]
missing_flags = "marker"
missing_weight = 0.5
[modality.dna_mutation]
missing_flags = "modality"
missing_weight = 0.5
[[endpoint]]
name = "overall_survival"
time = "months"
event = "dead"
baseline_hazard = 0.02
[[marker]]
name = "sex"
modality = "clinical"
kind = "binary"
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["bowel", "lung", "skin"]
reference_category = "bowel"
[[marker]]
name = "tp53"
modality = "dna_mutation"
kind = "binary"
[[marker]]
name = "kras"
modality = "dna_mutation"
kind = "binary"
""",
    where="schema",
)
GENES = Layer("dna_mutation", (5, 6, 7), (7,), 0.5)
SEX = Comparator("sex", (0, 1), (1,), 1.0)
SHAPES = TimeShapes(1, 24.0, 1.0, (2, 3))
LEVELS = EntityLevels((2, 3), 1.0)
VOTES = VoteSpec((0, 0, 1, 1, 1, 2, 3, 4), 5, entity_columns=(2, 3))


def spec(kind: SummaryKind, *, groups: tuple[int, ...] = (), votes: VoteSpec | None = None) -> SummarySpec:
    return SummarySpec("figures", kind, 10, 2.0, group_columns=groups, votes=votes)


def plan(*summaries: SummarySpec, **model: object) -> StudyPlan:
    base = ModelSpec(8, ("overall_survival",), SCHEMA.grid, SCHEMA.baseline_hazard, (3,))
    return replace(study_plan(), model=replace(base, **model), summaries=summaries)  # type: ignore[arg-type]  # by name


def test_the_columns_are_those_that_were_counted_by_hand() -> None:
    assert [column.source for column in columns(SCHEMA)] == [
        *("sex", "sex", "entity", "entity", "entity", "tp53", "kras", "dna_mutation")
    ]


def test_what_a_study_file_asks_for_is_let_through() -> None:
    honest = plan(
        spec(SummaryKind.READINESS, groups=(1, 4, 7)),
        spec(SummaryKind.CALIBRATION, groups=(2, 3)),
        spec(SummaryKind.CALIBRATION),
        spec(SummaryKind.KEY_MARKERS, votes=VOTES),
        spec(SummaryKind.INTERACTIONS, votes=replace(VOTES, markers=4, entity_columns=())),
        layers=(GENES,),
        comparators=(SEX, Comparator("all of it", (0, 1, 2, 3, 4, 5, 6), (1, 4), 0.3)),
        time_shapes=SHAPES,
        entity_levels=LEVELS,
    )
    assert of_the_columns(honest, SCHEMA) == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (plan(spec(SummaryKind.READINESS, groups=(0, 4, 7))), "asks for more than what was measured"),
        (plan(spec(SummaryKind.READINESS, groups=(7, 7, 7))), "asks for more than what was measured"),
        (plan(spec(SummaryKind.CALIBRATION, groups=(0,))), "are not the schema's tumour entities"),
        (plan(spec(SummaryKind.CALIBRATION, groups=(2,))), "are not the schema's tumour entities"),
        (
            plan(spec(SummaryKind.KEY_MARKERS, votes=replace(VOTES, entity_columns=(5,)))),
            "the markers or tumour entities of its votes",
        ),
        (
            plan(spec(SummaryKind.KEY_MARKERS, votes=replace(VOTES, entity_columns=(5, 6)))),  # as many, of genes
            "the markers or tumour entities of its votes",
        ),
        (
            plan(spec(SummaryKind.INTERACTIONS, votes=replace(VOTES, column_markers=(0, 0, 1, 1, 1, 2, 2, 4)))),
            "the markers or tumour entities of its votes",
        ),
        (plan(time_shapes=replace(SHAPES, entity_columns=(5, 6))), "its hazards over time"),
        (plan(time_shapes=replace(SHAPES, entity_columns=(3, 2))), "its hazards over time"),
        (plan(entity_levels=replace(LEVELS, entity_columns=(5, 6))), "its calibration is of other groups"),
        (plan(entity_levels=replace(LEVELS, entity_columns=(2,))), "its calibration is of other groups"),
        (plan(entity_levels=replace(LEVELS, encoded=0.5)), "its calibration is of other groups"),
        (plan(layers=(replace(GENES, columns=(0, 1), missing_columns=(1,)),)), 'its layer "dna_mutation"'),
        (plan(layers=(replace(GENES, missing_value=100.0),)), 'its layer "dna_mutation"'),
        (plan(layers=(replace(GENES, name="rna"),)), 'its layer "rna"'),
        (plan(comparators=(replace(SEX, columns=(0,), missing_columns=()),)), 'its comparator "sex"'),
        (plan(comparators=(replace(SEX, missing_columns=(0,)),)), 'its comparator "sex"'),
        (plan(comparators=(replace(SEX, columns=(7,), missing_columns=(7,)),)), 'its comparator "sex"'),
        (plan(comparators=(replace(SEX, columns=(2, 4), missing_columns=(4,)),)), 'its comparator "sex"'),
    ],
)
def test_other_columns_than_the_words_say_are_an_objection(asked: StudyPlan, told: str) -> None:
    (objection,) = of_the_columns(asked, SCHEMA)
    assert told in objection


def test_such_a_plan_cannot_be_approved() -> None:
    """Of the table of an installed hospital, column 0 is whether a patient is a woman, and 1 and 3 are flags."""
    with installed_node() as node:
        with pytest.raises(PrivacyRefusal, match="asks for more than what was measured"):
            node.approve(counting(node.plan(), flags=(0, 3), noise_multiplier=9.0))
        node.approve(counting(node.plan(), flags=(1, 3), noise_multiplier=9.0))


def test_words_name_a_comparators_markers_whatever_it_is_called() -> None:
    asked = plan(comparators=(Comparator("age", (0, 1), (1,), 1.0), replace(SEX, name="all", columns=(0, 2, 5, 99))))
    words = plan_in_words(asked, SCHEMA, parameters=9, columns=10_000)
    assert "age (sex); all (sex, entity, tp53)" in words
