"""Which table, and which markers and endpoints of it, does a study ask for?"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.table import Tell, keep_to_oneself, read_table
from oncofed.cohort.validation import named_columns
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.study import DataSpec, Study
from oncofed.simulations.synthetic.consortium import generate


def table_of(study: Study, *, tell: Tell = keep_to_oneself) -> tuple[pd.DataFrame, StudySchema, str]:
    """The table before it is cut, its schema, and its name for faults."""
    return tables_of(study.data, tell=tell)


def tables_of(data: DataSpec, *, tell: Tell = keep_to_oneself) -> tuple[pd.DataFrame, StudySchema, str]:
    """The same, of a study's [data] alone."""
    if data.table is None:
        made = generate(
            patients=data.synthetic_patients,
            hospitals=data.synthetic_hospitals,
            seed=data.synthetic_seed,
        )
        return made.table, _asked(data, made.schema), "synthetic consortium"
    assert data.schema is not None
    schema = _asked(data, read_schema(data.schema))
    return read_table(data.table, columns=named_columns(schema), tell=tell), schema, data.table.name


def _asked(data: DataSpec, schema: StudySchema) -> StudySchema:
    """The schema with the endpoints, and the markers of the modalities, that the study asks for, at its weights."""
    encodings = dict(schema.modalities)
    for modality, weight in data.modality_weights:
        encodings[modality] = replace(schema.encoding_of(modality), weight=weight)
    schema = _of_endpoints(data, replace(schema, modalities=encodings))
    if data.modalities is None:
        return schema
    names = {marker.name for marker in schema.markers if marker.modality in data.modalities}
    if not names:
        remedy = f"The schema has: {', '.join(sorted({marker.modality for marker in schema.markers}))}."
        raise InvalidInput([Fault("[data], modalities", "leave no marker", remedy)])
    return schema.of_markers(names)


def _of_endpoints(data: DataSpec, schema: StudySchema) -> StudySchema:
    if data.endpoints is None:
        return schema
    names = [endpoint.name for endpoint in schema.endpoints]
    if unknown := [name for name in data.endpoints if name not in names]:
        remedy = f"The schema has: {', '.join(names)}."
        raise InvalidInput([Fault("[data], endpoints", f"name {unknown[0]}, which is none of the schema's", remedy)])
    kept = [number for number, name in enumerate(names) if name in data.endpoints]
    for number in kept:
        if left := [names[other] for other in schema.competing(number) if other not in kept]:
            what = f"name {names[number]} without {left[0]}, which competes with it"
            remedy = "Name all that compete, or none: the risk of one follows from the hazards of all."
            raise InvalidInput([Fault("[data], endpoints", what, remedy)])
    markers = schema.markers
    if 0 not in kept:  # what is expected, is expected of the first
        markers = tuple(replace(each, expected_log_hazard_ratios=(), expected_source="") for each in markers)
    return replace(
        schema,
        markers=markers,
        endpoints=tuple(schema.endpoints[number] for number in kept),
        baseline_hazard=tuple(schema.baseline_hazard[number] for number in kept),
    )
