"""How do an editor and a reader get to know what a file may hold? By JSON Schemas and tables, from its dataclasses.

Which files there are, the installed distributions say: entry points of `oncofed.files`, the name of a file's kind and
the dataclass that declares it (`oncofed.file_model`). What a key means stands below its field in the source; it is
read from there by this module alone.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from enum import Enum
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema

from oncofed.file_model import DeclaredField, declared_fields, item_of, pydantic_of
from oncofed.ranges import RANGES
from oncofed.texts import LINE, TEXTS

GROUP = "oncofed.files"


def declared_files() -> Mapping[str, type]:
    """By kind, such as "study", of what is installed."""
    return {found.name: found.load() for found in sorted(entry_points(group=GROUP))}


@cache
def meanings(owner: type) -> Mapping[str, str]:
    """By key: the text below the field, on one line. A link in it is written as from a page of docs/."""
    found: dict[str, str] = {}
    for base in reversed([each for each in owner.__mro__ if is_dataclass(each)]):
        (declared,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(declared, ast.ClassDef)
        for each, after in zip(declared.body, declared.body[1:], strict=False):
            if (
                isinstance(each, ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                assert isinstance(each.target, ast.Name)
                found[each.target.id] = " ".join(str(after.value.value).split())
    return found


# --- for an editor


class _WithoutOurMarks(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  # pydantic's own form


def json_schema(kind: str, owner: type) -> str:
    """The JSON Schema of a file, as text. What depends on several fields is not in it; `oncofed` tells that."""
    made = pydantic_of(owner).json_schema(schema_generator=_WithoutOurMarks)
    by_name = {each.__name__: each for each in _sections(owner)}
    for name, table in ({owner.__name__: made} | made.get("$defs", {})).items():
        for key, of_key in table.get("properties", {}).items():
            _describe(of_key, declared_fields(by_name[name])[key], meanings(by_name[name]).get(key))
            if _is_open(kind, _HEADINGS.get(name, ""), key):
                of_key.pop("default", None)
    made |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"oncofed: {kind} file"}
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _describe(of_key: dict[str, Any], field: DeclaredField, meaning: str | None) -> None:
    of_key.pop("title", None)
    of_key.pop("default", None)
    if meaning is not None:
        of_key["description"] = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", meaning)
    if field.default not in (MISSING, None) and not is_dataclass(field.default) and field.default != {}:
        of_key["default"] = _plain(field.default)
    item = item_of(field.hint)
    if of_key.get("type") != "object" and (str in (field.hint, item) or field.hint is Path):
        kind = TEXTS.get(field.name, LINE)
        of_text = of_key if item is None else of_key["items"]
        of_text |= {"minLength": int(item is None or not kind.or_empty), "maxLength": kind.most}
        if item is not None:
            of_key["uniqueItems"] = True


def _plain(value: Any) -> Any:
    return (
        [_plain(each) for each in value]
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
    )


_HEADINGS = {"ModelSection": "model", "TrainingSpec": "training", "PrivacyRequest": "privacy"}
"""Of the sections in which a study file may leave something open."""


def _sections(owner: type) -> Iterator[type]:
    yield owner
    for field in declared_fields(owner).values():
        for hint in (field.hint, item_of(field.hint)):
            if is_dataclass(hint):
                yield from _sections(hint)  # type: ignore[arg-type]  # a class, not a value


# --- for a reader


def reference_page(kind: str, owner: type) -> str:
    """A Markdown page for docs/reference/: a table for each section."""
    lines = [
        f"# {kind.capitalize()} file: reference",
        "",
        "Made by `oncofed schema reference docs/reference`.",
        "",
    ]
    for heading, section in _headed(owner, ""):
        lines += [f"## `{heading}`", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        for key, field in declared_fields(section).items():
            if field.hint is not object:
                meaning = re.sub(r"\]\((?!https?:)", "](../", meanings(section).get(key, "")).rstrip(".")
                default = _CHOSEN if _is_open(kind, heading, key) else _default_in_words(field)
                lines.append(f"| `{key}` | {_type_in_words(field)} | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _headed(owner: type, path: str) -> Iterator[tuple[str, Any]]:
    for key, field in declared_fields(owner).items():
        item, inner = item_of(field.hint), f"{path}{key}"
        if is_dataclass(field.hint):
            yield f"[{inner}]", field.hint
            yield from _headed(field.hint, f"{inner}.")  # type: ignore[arg-type]  # a class, not a value
        elif is_dataclass(item):
            yield (
                (
                    f"[[{inner}]]"
                    if len(get_args(field.hint)) == 1 or get_args(field.hint)[1] is ...
                    else f"[{inner}.NAME]"
                ),
                item,
            )


def _type_in_words(field: DeclaredField) -> str:
    hint, item = field.hint, item_of(field.hint)
    if is_dataclass(hint):
        return "section"
    if item is None:
        return _words_of(hint, field.name)
    if get_args(hint)[0] is str and get_args(hint)[1] is not ...:
        held = "texts" if item_of(item) is None else "lists of texts"
        held = _words_of(item, field.name).replace("number", "numbers") if item is float else held
        return f"section of any names and {held}"
    if get_args(hint)[1] is not ...:
        return (
            f"section of {_choices(get_args(hint)[0])} and {_words_of(item, field.name).replace('number', 'numbers')}"
        )
    count = RANGES.get(f"{field.name} (count)")
    if count is not None and count.least == count.most:
        return f"[lowest, highest], each {RANGES[field.name].words}"
    several = _choices(item) if isinstance(item, type) and issubclass(item, Enum) else _words_of(item, field.name)
    several = several.replace("number", "numbers", 1).replace("text", "texts", 1)
    return f"list of {several}" + (f", {count.words} of them" if count is not None and item in (int, float) else "")


def _words_of(hint: Any, name: str) -> str:
    if hint in (int, float):
        return f"{'whole ' * (hint is int)}number, {RANGES[name].words}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {_choices(hint)}"
    return {str: "text", Path: "path", bool: "true or false"}[hint]


def _choices(kind: type[Enum]) -> str:
    return ", ".join(f"`{each.value}`" for each in kind)


_CHOSEN = "[chosen](../study.md#settings-left-open)"


def _is_open(kind: str, heading: str, key: str) -> bool:
    """Whether a study file may leave it to the plan."""
    from oncofed.study.chosen_settings import OPEN  # noqa: PLC0415  # only a study file's page needs it

    return kind == "study" and f"{heading.strip('[]')}.{key}" in OPEN


def _default_in_words(field: DeclaredField) -> str:
    if field.default is MISSING or any(rule.needed for rule in field.rules):
        return "required"
    if field.default in (None, "", {}) or is_dataclass(field.default):
        return "none"
    return f"`{_plain(field.default) if isinstance(field.default, Enum | str) else json.dumps(_plain(field.default))}`"
