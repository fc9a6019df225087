"""How is a `StudySchema` written as TOML?

Promise: `oncofed.cohort.schema_file.read_schema` reads the file back to an equal schema. Neighbouring markers that
differ in nothing but their name share one [[marker]] section under `names`, as a person would write them.

A TOML text, number or array of both is written as JSON, which TOML reads alike (toml.io, v1.0.0, "String", "Array").
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby

from oncofed.cohort.schema import Endpoint, Kind, Marker, StudySchema

TomlTable = dict[str, str | float | list[str] | list[float] | dict[str, float] | dict[str, str]]

_WIDTH = 100


def schema_as_toml(schema: StudySchema, *, comment: str = "") -> str:
    """The text of a schema file. comment: lines of plain words to put above it."""
    header: TomlTable = {"name": schema.name, "patient_id": schema.patient_id}
    header |= {} if schema.site_column is None else {"site_column": schema.site_column}
    header |= {} if schema.tumour_entity is None else {"tumour_entity": schema.tumour_entity}
    header["largest_encoded_value"] = schema.largest_encoded_value
    time: TomlTable = {"unit": schema.grid.unit, "interval_bounds": list(schema.grid.bounds)}
    time |= {} if schema.zero_time_becomes is None else {"zero_time_becomes": schema.zero_time_becomes}
    sections = [("[schema]", header), ("[time]", time)]
    for endpoint, hazard in zip(schema.endpoints, schema.baseline_hazard, strict=True):
        sections.append(("[[endpoint]]", _endpoint(endpoint, hazard)))
    for modality, encoding in schema.modalities.items():
        written: TomlTable = {"weight": encoding.weight, "missing_weight": encoding.missing_weight}
        sections.append((f"[modality.{modality.value}]", written | {"missing_flags": encoding.missing_flags.value}))
    for alike, members in groupby(schema.markers, key=lambda marker: replace(marker, name="")):
        sections.append(("[[marker]]", _marker(alike, [marker.name for marker in members])))
    above = ["".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())] if comment else []
    return "\n".join(above + [_section(heading, content) for heading, content in sections])


def _endpoint(endpoint: Endpoint, baseline_hazard: float) -> TomlTable:
    found: TomlTable = {"name": endpoint.name, "time": endpoint.time_column, "event": endpoint.event_column}
    if endpoint.entry_column is not None:
        found["entry"] = endpoint.entry_column
    if endpoint.death_event_column is not None:
        found |= {"death_event": endpoint.death_event_column, "death": endpoint.death.value}
    if endpoint.competes_with:
        found["competes_with"] = list(endpoint.competes_with)
    found |= {"label_de": endpoint.label_de} if endpoint.label_de else {}
    return found | {"baseline_hazard": baseline_hazard}


def _marker(alike: Marker, names: list[str]) -> TomlTable:
    """alike: what the markers under `names` have in common. Only fields that their kind uses may be written."""
    found: TomlTable = {"name": names[0]} if len(names) == 1 else {"names": names}
    found |= {"modality": alike.modality.value, "kind": alike.kind.value}
    found |= {"unit": alike.unit} if alike.unit else {}
    if alike.kind is Kind.CATEGORICAL:
        found |= {"categories": list(alike.categories), "reference_category": alike.reference_category}
    else:
        found |= {} if alike.plausible_range is None else {"plausible_range": list(alike.plausible_range)}
        found |= {} if alike.reference_range is None else {"reference_range": list(alike.reference_range)}
        found |= {"centre": alike.centre, "scale": alike.scale}
    if alike.expected_log_hazard_ratios:
        found |= {**_expected(alike), "expected_source": alike.expected_source}
    found |= {"missing_codes": list(alike.missing_codes)} if alike.missing_codes else {}
    found |= {"label_de": alike.label_de} if alike.label_de else {}
    labels = {name: label for name, label in zip(alike.categories, alike.category_labels_de, strict=False) if label}
    found |= {"category_labels_de": labels} if labels else {}
    return found | ({"weight": alike.weight} if alike.weight != 1.0 else {})


def _expected(alike: Marker) -> TomlTable:
    if alike.kind is not Kind.CATEGORICAL:
        return {"expected_log_hazard_ratio": alike.expected_log_hazard_ratios[0]}
    by_category = dict(zip(alike.categories, alike.expected_log_hazard_ratios, strict=True))
    del by_category[alike.reference_category]
    return {"expected_log_hazard_ratios": by_category}


def _cell(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _section(heading: str, content: Mapping[str, object]) -> str:
    return "".join(f"{line}\n" for line in (heading, *(_field(key, value) for key, value in content.items())))


def _field(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_cell(name)} = {_cell(each)}" for name, each in value.items())
        return f"{key} = {{ {inside} }}"
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return line
    cells = ", ".join(json.dumps(cell, ensure_ascii=False).replace(" ", "\0") for cell in value)
    wrapped = textwrap.fill(
        cells, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )
    return f"{key} = [\n{wrapped},\n]".replace("\0", " ")
