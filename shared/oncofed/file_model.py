"""What may a TOML file hold, by the frozen dataclasses that declare it?

A dataclass declares a table: its fields are the keys, their types and defaults are the file's, and the text below a
field is what the key means. A pydantic model is made of it once: strict, and without room for a key that nobody
declared. The range of a number is in `oncofed.ranges` and the kind of a text in `oncofed.texts`, under class and field,
or under the name that an `As` gives. A field that must suit those before it has a `Rule`. `oncofed.file_reading` reads
by it. Imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticKnownError

from oncofed.errors import Fault
from oncofed.ranges import RANGES, Range
from oncofed.texts import LINE, TEXTS, TextKind


@dataclass(frozen=True)
class As:
    """A field of a file that becomes another one, whose range or kind of text it has. name: such as "Marker.weight"."""

    name: str


@dataclass(frozen=True)
class Known:
    """before: those fields of the section before the judged one that are right. folder: of the file.

    faults  of the file, for what another file that it names has. right: the sections that are, so far.
    """

    before: Mapping[str, Any]
    folder: Path
    faults: list[Fault]
    right: list[object]


@dataclass(frozen=True)
class Rule:
    """judge  (value, or None for an absent key; what is known) -> the value to keep, or None for the default.

    It raises `Wrong`. needed: whether the key is, as a rule.
    """

    judge: Callable[[Any, Known], Any]
    needed: bool = False


class Wrong(ValueError):  # so that pydantic goes on, and finds all
    """A rule's answer. key: of which it is told, if not the one with the rule; or which, of a section with one.

    section  where it is told, if not where the rule is.
    """

    def __init__(self, what: str, remedy: str, *, key: str = "", section: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy, self.key, self.section = what, remedy, key, section


ABSENT = ("is missing", "Add this field.")


def needed_where(key: str, *choices: object) -> Rule:
    """The field may be left out unless that one, before it, is one of these choices."""

    def judge(value: Any, known: Known) -> Any:
        if value is None and known.before.get(key) in choices:
            raise Wrong(*ABSENT)
        return value

    return Rule(judge)


@dataclass(frozen=True)
class DeclaredField:
    """One key of a table.

    name     under which its range or kind of text stands.
    hint     without `| None`: there is no such value in a file.
    default  MISSING for a required one.
    """

    key: str
    name: str
    hint: Any
    default: Any
    rules: tuple[Rule, ...]


@cache
def declared_fields(owner: type) -> Mapping[str, DeclaredField]:
    """By key."""
    hints, found = get_type_hints(owner, include_extras=True), {}
    for each in fields(owner):
        hint, *notes = get_args(hints[each.name]) if get_origin(hints[each.name]) is Annotated else (hints[each.name],)
        if get_origin(hint) is UnionType:  # X | None
            (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
        name = next((note.name for note in notes if isinstance(note, As)), f"{owner.__name__}.{each.name}")
        default = each.default if each.default_factory is MISSING else each.default_factory()
        rules = tuple(note for note in notes if isinstance(note, Rule))
        found[each.name] = DeclaredField(each.name, name, hint, default, rules)
    return found


def item_of(hint: Any) -> Any:
    """What a list holds, or a section whose keys are names; None for another hint."""
    return get_args(hint)[0] if get_origin(hint) is tuple else get_args(hint)[1] if is_named(hint) else None


def is_named(hint: Any) -> bool:
    """Whether it is a section whose keys are names."""
    return get_origin(hint) is Mapping


@cache
def pydantic_of(owner: type) -> TypeAdapter[Any]:
    """What pydantic makes of a declaring dataclass."""
    return TypeAdapter(_table(owner))


_ABSENT = object()


def _table(owner: type) -> Any:
    members: dict[str, Any] = {}
    for each in declared_fields(owner).values():
        kind = _type(each.hint, each.name)
        if each.rules:
            kind = Annotated[kind, WrapValidator(partial(_judged, each))]
        default: Any = ... if each.default is MISSING else _ABSENT if each.rules else each.default
        members[inner(each.key)] = (kind, Field(default, validation_alias=each.key, validate_default=bool(each.rules)))
    config = ConfigDict(strict=True, extra="forbid", frozen=True)
    model = create_model(owner.__name__, __config__=config, **members)

    def value(made: Any, info: ValidationInfo) -> Any:
        section = owner(**{key: getattr(made, inner(key)) for key in declared_fields(owner)})
        _known(info).right.append(section)
        return section

    return Annotated[model, AfterValidator(value)]


def _known(info: ValidationInfo) -> Known:
    assert isinstance(info.context, Known)
    return info.context


def inner(key: str) -> str:
    """Its name in the model, where names such as `schema` mean something to pydantic."""
    return f"key_of_file_{key}"


def _type(hint: Any, name: str, *, listed: bool = False) -> Any:
    item = item_of(hint)
    if is_dataclass(hint):
        return _table(hint)  # type: ignore[arg-type]  # a class, not a value
    if is_named(hint):
        return dict[_type(get_args(hint)[0], name), _type(item, name)]  # type: ignore[misc]  # as below
    if get_origin(hint) is tuple:
        span = span_of(name)
        count = Field(min_length=1) if is_dataclass(item) else Field()
        if span is not _OF_ANY_LIST:
            count = Field(min_length=int(span.least), max_length=int(span.most))
        no_more = BeforeValidator(partial(_no_more_than, int(span.most)))
        distinct = [AfterValidator(_distinct)] if item is str else []
        several = tuple[_type(item, name, listed=True), ...]  # type: ignore[misc, valid-type]  # made as the program runs
        return Annotated[(several, Strict(False), count, no_more, *distinct)]
    if hint in (str, Path):
        kind = TEXTS.get(name, LINE)
        text = Annotated[str, AfterValidator(partial(_of_kind, kind, kind.or_empty and listed))]
        return Annotated[text, AfterValidator(_path)] if hint is Path else text
    if hint in (int, float):
        within = Field(ge=RANGES[name].least, le=RANGES[name].most)
        finite = (Field(allow_inf_nan=False), AfterValidator(_without_sign_of_zero)) if hint is float else ()
        return Annotated[(hint, within, *finite)]
    return Annotated[hint, Strict(False)] if isinstance(hint, type) and issubclass(hint, Enum) else hint


def _judged(each: DeclaredField, value: Any, read: Callable[[Any], Any], info: ValidationInfo) -> Any:
    kept = None if value is _ABSENT else read(value)
    before = {name.removeprefix(inner("")): right for name, right in info.data.items()}
    known = replace(_known(info), before=before)
    for rule in each.rules:
        kept = rule.judge(kept, known)
    return each.default if kept is None else kept


def _without_sign_of_zero(number: float) -> float:
    """-0.0 is 0, and would be told as -0."""
    return number + 0.0


def span_of(name: str) -> Range:
    """Of how many there may be in a list."""
    return RANGES.get(f"{name} (count)", _OF_ANY_LIST)


_OF_ANY_LIST = Range(0, 20_000, 0, 2_000, whole=True)
"""Where a list has no range: as many as there may be markers."""


def _no_more_than(most: int, several: object) -> object:
    """pydantic's own bound would look at all before it counts them."""
    if isinstance(several, list | tuple) and len(several) > most:
        raise PydanticKnownError("too_long", {"field_type": "List", "max_length": most, "actual_length": len(several)})
    return several


def _path(text: str) -> Path:
    return Path(text)


def _of_kind(kind: TextKind, or_empty: bool, text: str) -> str:
    if not text.strip() and not (or_empty and text == ""):
        raise Wrong("is not a text", "Write a text in quotes that is not empty.")
    if fault := kind.fault(text):
        raise Wrong(fault, kind.remedy)
    return text


def _distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    twice = [f'"{text}"' for text, times in sorted(Counter(texts).items()) if times > 1]
    if twice:
        raise Wrong(f"names {', '.join(twice)} more than once", "Name each once.")
    return texts
