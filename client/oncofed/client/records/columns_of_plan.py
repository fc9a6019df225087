"""Do the columns that a plan names stand for what its words say of them?

Who approves reads of groups of tumours, of what was measured, of layers of data and of simpler models, and cannot read
a list of numbers. So each list is held against the schema, which came with the plan: what a study file asks for follows
from the schema (`oncofed.study`), and another list is an objection. Pure; torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import Modality, StudySchema
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.study.explanation_settings import entity_columns, vote_spec
from oncofed.study.readiness_settings import flags_of
from oncofed.study.value_settings import layers_of
from oncofed.survival.comparators import Comparator
from oncofed.survival.layers import Layer


def of_the_columns(plan: StudyPlan, schema: StudySchema) -> list[str]:
    """Objections, in words. The plan's model has as many inputs as the schema."""
    entities, shapes = entity_columns(schema), plan.model.time_shapes
    found = [words for each in plan.summaries for words in _of_summary(each, schema, entities)]
    if shapes is not None and shapes.entity_columns != entities:
        found.append("its hazards over time are of other groups of patients than the schema's tumour entities")
    levels, inputs = plan.model.entity_levels, columns(schema)
    if levels is not None and (
        levels.entity_columns != entities or any(inputs[each].weight != levels.encoded for each in entities)
    ):
        found.append("its calibration is of other groups of patients than the schema's tumour entities")
    found += [
        f'its comparator "{each.name}" does not look at whole markers of the schema'
        for each in plan.model.comparators
        if not _looks_at_markers(each, schema)
    ]
    found += [
        f'its layer "{each.name}" is not what the schema has of that kind of data'
        for each in plan.model.layers
        if not _is_a_modality(each, schema)
    ]
    return found


def _of_summary(spec: SummarySpec, schema: StudySchema, entities: tuple[int, ...]) -> Iterator[str]:
    groups, votes = spec.group_columns, spec.votes
    if spec.kind is SummaryKind.READINESS:
        if len(set(groups)) < len(groups) or not set(groups) <= flags_of(schema).keys():
            yield f'its count "{spec.name}" asks for more than what was measured'
    elif groups not in ((), entities):
        yield f'the groups of its figures "{spec.name}" are not the schema\'s tumour entities'
    if votes is not None and (
        votes.column_markers != vote_spec(schema, with_modalities=False).column_markers
        or votes.entity_columns not in ((), entities)
    ):
        yield f'the markers or tumour entities of its votes "{spec.name}" are not the schema\'s'


def _looks_at_markers(comparator: Comparator, schema: StudySchema) -> bool:
    inputs, names = columns(schema), {marker.name for marker in schema.markers}
    sources = {inputs[place].source for place in comparator.columns} & names
    own = {place for place, column in enumerate(inputs) if column.source in sources}
    return set(comparator.columns) == own and set(comparator.missing_columns) == {
        place for place in own if inputs[place].role is Role.MISSING
    }


def _is_a_modality(layer: Layer, schema: StudySchema) -> bool:
    try:
        (own,) = layers_of([Modality(layer.name)], schema)
    except (ValueError, InvalidInput):
        return False
    return layer == own
