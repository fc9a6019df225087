"""Does an editor accept what the readers accept, and refuse what they refuse by type or range?"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from tests.options_asked import ASKED, BENCHMARK

from oncofed.file_commands import schema
from oncofed.file_model import declared_fields, item_of
from oncofed.file_reading import read_declared
from oncofed.file_reference import declared_files, json_schema
from oncofed.ranges import RANGES

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = declared_files()
SCHEMAS = {kind: Draft202012Validator(json.loads(json_schema(kind, owner))) for kind, owner in FILES.items()}

POLICY = """
[[source]]
name = "registry"
kind = "csv"
path = "/srv/patients.csv"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0
[[peer]]
name = "essen"
card = "4f1c 22aa 90b1 7d3e 5c0f 8812 aa31 0b7e"
"""
SITE = """
[launch]
issuer = "https://fhir.example/r4"
authorize = "https://fhir.example/authorize"
token = "https://fhir.example/token"
client = "oncofed"
known_by = "identifier"
system = "urn:example:mrn"
[sign_on]
header = "X-Forwarded-User"
[site]
name = "essen"
[sockets]
runtime = "127.0.0.1:9094"
[coordinator]
address = "c.example.org:9443"
public_key = "%s"
[users]
guard = "a"
node = "b"
relay = "c"
"""
COORDINATOR = """
[coordinator]
name = "lung"
address = "c.example.org:9443"
listen = "0.0.0.0:9443"
names = ["c.example.org"]
"""


def written() -> Iterator[tuple[str, str, str]]:
    """(kind, title, text) of each file that the repository holds or that a command writes."""
    for root in ("simulations/studies", "server/oncofed/server/templates", "client/oncofed/client/templates"):
        for path in sorted((REPOSITORY / root).rglob("*.toml")):
            if path.stem in FILES:
                yield path.stem, str(path.relative_to(REPOSITORY)), path.read_text("utf-8")
    template = (REPOSITORY / "client/oncofed/client/templates/policy.toml").read_text("utf-8")
    yield "policy", "policy", template + POLICY
    yield "site", "site", SITE % ("ab" * 32)
    yield "coordinator", "coordinator", COORDINATOR


WRITTEN = list(written())


def errors(kind: str, content: object) -> list[str]:
    return [error.message for error in SCHEMAS[kind].iter_errors(content)]


@pytest.mark.parametrize("kind", FILES)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind].schema)
    assert any(each == kind for each, _, _ in WRITTEN)


@pytest.mark.parametrize(("kind", "title", "text"), WRITTEN, ids=[title for _, title, _ in WRITTEN])
def test_every_file_of_the_repository_is_accepted(kind: str, title: str, text: str) -> None:
    told = errors(kind, tomllib.loads(text))
    if title.endswith("templates/policy.toml"):  # a template, which has no source yet
        assert told == ["'source' is a required property"]
    else:
        assert told == []


def values_of_another_type_or_range(hint: Any, name: str) -> Iterator[object]:
    item = item_of(hint)
    if hint is object:
        return
    if is_dataclass(hint) or (item is not None and isinstance(hint, type)):
        yield from (3, "text")
    elif hint in (int, float):
        span = RANGES[name]
        yield from ("1", True, span.most + 1 if span.whole else span.most * 1.001, span.least - 1)
        if hint is int:
            yield span.least + 0.5
    elif hint is bool:
        yield from (0, "true")
    elif isinstance(hint, type) and (issubclass(hint, Enum) or hint in (str, Path)):
        yield from (3, "" if hint is not Path else 3.5, ["a"])
    elif item is not None and not is_dataclass(item):
        yield 3
        if type(hint).__name__ == "GenericAlias" and hint.__args__[1] is ...:
            count = RANGES.get(f"{name} (count)")
            for wrong in values_of_another_type_or_range(item, name):
                if wrong != "":
                    yield [wrong] * max(1, int(count.least) if count else 1)
            if count is not None and count.most < 300:
                yield [0.5] * int(count.most + 1)


def places(owner: Any, content: Any) -> Iterator[tuple[Any, Any]]:
    """(section's declaration, its content) of each section in a file."""
    yield owner, content
    for key, field in declared_fields(owner).items():
        if key not in content:
            continue
        if is_dataclass(field.hint):
            yield from places(field.hint, content[key])
        elif is_dataclass(item_of(field.hint)):
            inner = content[key] if isinstance(content[key], list) else content[key].values()
            for each in inner:
                yield from places(item_of(field.hint), each)


def fields_of(kind: str) -> set[tuple[str, str]]:
    def of(owner: Any) -> Iterator[tuple[str, str]]:
        for key, field in declared_fields(owner).items():
            yield owner.__name__, key
            for hint in (field.hint, item_of(field.hint)):
                if is_dataclass(hint):
                    yield from of(hint)

    return set(of(FILES[kind]))


@pytest.mark.parametrize("kind", FILES)
def test_whatever_the_reader_refuses_by_type_or_range_the_schema_refuses(kind: str, tmp_path: Path) -> None:
    tried: set[tuple[str, str]] = set()
    for _, title, text in (each for each in WRITTEN if each[0] == kind and "tcga" not in each[1]):
        content = tomllib.loads(text)
        if kind == "schema":
            content |= {"modality": {"clinical": {}}}
        if kind == "study":
            content |= {
                key: content.get(key, {})
                for key in (
                    *("model", "training", "held_out", "explanations"),
                    *("readiness", "validation", "reporting", "value", "panel"),
                )
            }
            content |= {"consortium": content.get("consortium", {}), "evaluation": {"horizon": 12}}
            content["sites"] = {"partition": "column"}
            content["comparator"] = [{"name": "age", "markers": ["age"]}]
            content["assay"] = {"blood": {}}
            content |= tomllib.loads(ASKED + BENCHMARK)
        for place, (owner, _) in enumerate(places(FILES[kind], content)):
            for key, field in declared_fields(owner).items():
                if (owner.__name__, key) in tried:
                    continue
                tried.add((owner.__name__, key))
                for value in [*values_of_another_type_or_range(field.hint, field.name)]:
                    spoilt = copy.deepcopy(content)
                    list(places(FILES[kind], spoilt))[place][1][key] = value
                    assert read_declared(FILES[kind], spoilt, where="f", faults=[], folder=tmp_path) is None, (
                        key,
                        value,
                    )
                    assert errors(kind, spoilt), (title, owner.__name__, key, value)
            misspelt = copy.deepcopy(content)
            list(places(FILES[kind], misspelt))[place][1]["surely_unknown"] = 1
            assert errors(kind, misspelt), (title, owner.__name__)
    assert tried == fields_of(kind)


@pytest.mark.parametrize("kind", FILES)
def test_a_required_field_is_required_by_both(kind: str) -> None:
    for owner, name in ((FILES[kind], FILES[kind].__name__),):
        required = {key for key, field in declared_fields(owner).items() if not _has_default(field)}
        assert set(SCHEMAS[kind].schema.get("required", [])) == required, name


def _has_default(field: Any) -> bool:
    return type(field.default).__name__ != "_MISSING_TYPE"


def test_the_command_writes_one_for_each_kind_of_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(schema, ["json-schema", str(tmp_path / "schemas")])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == {f"{kind}.schema.json" for kind in FILES}
    assert {"study", "schema", "mapping", "policy", "site", "coordinator"} == set(FILES)
    for kind in FILES:
        assert (tmp_path / "schemas" / f"{kind}.schema.json").read_text() == json_schema(kind, FILES[kind])


def test_a_key_says_in_the_editor_what_it_means() -> None:
    keys = SCHEMAS["study"].schema["$defs"]["TrainingSpec"]["properties"]
    assert keys["local_steps"]["default"] == 10
    rounds = keys["rounds"]  # which the plan chooses where the file does not say it
    assert rounds == {
        "type": "integer",
        "minimum": 0,
        "maximum": 10_000,
        "description": "Fixed before training. More rounds mean more noise in each. 0 is for the plans of "
        "`[readiness]` and `[validation]` alone, which train nothing.",
    }
