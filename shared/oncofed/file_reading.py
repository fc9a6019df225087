"""Which value does a TOML file hold, and what is wrong with it if none?

`oncofed.file_model` makes a pydantic model of the dataclasses that declare the file; its errors are told here.

Promise: every fault of the content is told at once (of more than a thousand, their number), with file, section, field
and remedy, in our own words. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import ValidationError

from oncofed.errors import Fault
from oncofed.file_model import ABSENT, Known, Wrong, declared_fields, inner, is_named, item_of, pydantic_of, span_of
from oncofed.ranges import RANGES, Range, told
from oncofed.toml_file import closest

Declared = TypeVar("Declared")
_NOWHERE = Path()
_MOST_TOLD = 1_000
"""Faults of a file; to tell one, with what may have been meant, takes longer than to find it."""


def _nothing_between(right: list[Any], all_: bool) -> list[Fault]:
    return []


def read_declared(
    kind: type[Declared],
    content: object,
    *,
    where: str,
    faults: list[Fault],
    folder: Path = _NOWHERE,
    between: Callable[[list[Any], bool], list[Fault]] = _nothing_between,
) -> Declared | None:
    """The value in the content of a file; None when it has faults, which are added to the list, all of them.

    where    the name of the file. folder: its folder, for paths that are relative to it.
    between  (the sections that are right, whether that is all) -> what is wrong between them.
    """
    known, value, errors = Known({}, folder, faults, []), None, []
    try:
        adapter = pydantic_of(kind)  # type: ignore[arg-type]  # a class can be a key
        value = cast(Declared, adapter.validate_python(content, context=known))
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
    found: dict[tuple[int | str, ...], Fault] = {}
    for error in errors[:_MOST_TOLD]:
        spot = _spot(error["loc"], kind, content, where)
        if error["type"] == "too_short" and is_dataclass(item_of(spot.hint)) and error["input"]:
            continue  # of several sections none is right
        fault = _fault(spot, error["type"], error["input"], error.get("ctx", {}))
        found.setdefault((*error["loc"][: spot.depth], fault.where), fault)  # of a list, the first
    faults.extend([*found.values(), *between(known.right, not errors)])
    if len(errors) > _MOST_TOLD:
        faults.append(Fault(where, f"has {len(errors) - _MOST_TOLD:,} faults more", "Mend those that are told first."))
    return None if faults else value


@dataclass(frozen=True)
class _Spot:
    """Where pydantic found a fault.

    place   file and section, in words. key: of the section, or empty for the section itself.
    hint    what belongs there; None for a key that nobody declared.
    name    under which its range stands. known: the keys that there are. listed: whether it is one value of a list.
    depth   how many steps lead to the section.
    """

    place: str
    key: str
    hint: Any
    name: str = ""
    known: tuple[str, ...] = ()
    listed: bool = False
    depth: int = 0


def _spot(steps: Sequence[int | str], kind: type, content: Any, file: str) -> _Spot:
    spot, path, names = _Spot(file, "", kind), "", None
    for depth, step in enumerate(steps, start=1):
        # A word of pydantic's own is none of a list's, though somebody may have one where it looks for a key.
        inside = step in content if isinstance(content, dict) else isinstance(content, list) and isinstance(step, int)
        content = content[step] if inside else None
        names = names if step == "[key]" else None
        # pydantic's word for the key itself, which comes after it, and which somebody may have for a key.
        if step == "[key]" and names is not None and not inside:
            spot = replace(spot, hint=names)
        elif is_dataclass(spot.hint):
            known = declared_fields(spot.hint)  # type: ignore[arg-type]  # a class, not a value
            # pydantic's own name, where the key is absent
            key = str(step) if inside else str(step).removeprefix(inner(""))
            found = known.get(key)
            hint, name = (None, "") if found is None else (found.hint, found.name)
            spot = replace(spot, key=key, hint=hint, name=name, known=tuple(known))
        elif is_named(spot.hint):
            names, item = get_args(spot.hint)
            spot = replace(spot, key=str(step), hint=item, known=() if names is str else tuple(names))
        elif is_dataclass(item_of(spot.hint)):
            title = content.get("name") if isinstance(content, dict) else None
            title = f'"{title}"' if isinstance(title, str) and title.strip() else f"number {int(step) + 1}"
            spot = replace(spot, place=f"{file}: [[{spot.key}]] {title}", key="", hint=item_of(spot.hint))
            spot = replace(spot, depth=depth)
        else:
            spot = replace(spot, hint=item_of(spot.hint), listed=True)
        if spot.key and (is_dataclass(spot.hint) or is_named(spot.hint)):
            path = f"{path}.{spot.key}".lstrip(".")
            place = f"{spot.place}, {spot.key}" if "[[" in spot.place else f"{file}: [{path}]"
            spot = replace(spot, place=place, key="", depth=depth)
    return spot


def _fault(spot: _Spot, kind: str, value: object, context: Mapping[str, Any]) -> Fault:
    """kind, value, context: pydantic's of an error."""
    told, item = context.get("error"), item_of(spot.hint)
    key = told.key if isinstance(told, Wrong) and told.key else spot.key
    if isinstance(told, Wrong) and told.section:
        spot = replace(spot, place=f"{spot.place.partition(': [')[0]}: [{told.section}]")
    if is_dataclass(item) and kind in ("missing", "too_short"):
        return Fault(f"{spot.place}: [[{key}]]", "there is none", "Add at least one such section.")
    return Fault(f"{spot.place}, {key}" if key else spot.place, *_told(spot, kind, value, context))


def _told(spot: _Spot, kind: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:  # noqa: PLR0911, PLR0912  # a table
    """What is wrong, and the remedy."""
    hint, item = spot.hint, item_of(spot.hint)
    match kind:
        case "value_error" if spot.listed and not value.strip():
            return "holds an empty text", "Remove the empty text."
        case "value_error":
            told = context["error"]
            return f"{'holds a text that ' * spot.listed}{told.what}", told.remedy
        case "missing":
            return ABSENT if spot.key else ("the section is missing", "Add it.")
        case "extra_forbidden":
            return "is not a known field", closest(spot.key, list(spot.known))
        case "too_short" | "too_long":
            span = span_of(spot.name)
            return _beyond(span, len(value), "has a length")[0], f"List {span.words}; usual: {span.usual_words}."
        case "greater_than_equal" | "less_than_equal":
            return _beyond(RANGES[spot.name], value, "holds a number" if spot.listed else "is")
        case "enum" if spot.key not in spot.known:
            what = "is not a known field" if spot.key else f"is not a known {hint.__name__.lower()}"
            return what, closest(value if isinstance(value, str) else "", list(spot.known))
    if is_dataclass(hint) or is_named(hint):
        return "is not a section", "Write it as a TOML table with its own heading."
    if is_dataclass(item):
        return "is not a list of sections", f"Write each under its own heading [[{spot.key}]]."
    if hint is bool:
        return "is not true or false", "Write true or false, without quotes."
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = [member.value for member in hint]
        if spot.listed and not isinstance(value, str):
            return "is not a list of texts", f"Possible: {', '.join(known)}."
        word = value if isinstance(value, str) else ""
        what = f'"{word}" is not a {hint.__name__.lower()}' if spot.listed else "is not one of the known values"
        return what, closest(word, known)
    if hint is int and isinstance(value, float):
        whole = "holds a number that is not whole" if spot.listed else "is not a whole number"
        return whole, "Write whole numbers." if spot.listed else "Write a whole number."
    if (item or hint) in (int, float):
        if spot.listed or item is not None:
            return "is not a list of finite numbers", "Write numbers in square brackets."
        return "is not a finite number", "Write a number, without quotes."
    if spot.listed or item is not None:
        return "is not a list of texts", "Write texts in quotes, in square brackets."
    return "is not a text", "Write a text in quotes that is not empty."


def _beyond(span: Range, number: float, has: str) -> tuple[str, str]:
    return f"{has} {f'below {told(span.least)}' if number < span.least else f'above {told(span.most)}'}", span.remedy
