"""Which value does a TOML file hold, by the frozen dataclasses that declare it, and what is wrong with it if none?

A dataclass declares a table: its fields are the keys, their types and defaults are the file's, and the text below a
field is what the key means. A pydantic model is made of it once: strict, and without room for a key that nobody
declared. The range of a number is in `oncofed.ranges` and the kind of a text in `oncofed.texts`, under class and field,
or under the name that an `As` gives. A field that must suit those before it has a `Rule`.

Promise: every fault of the content is told at once (of more than a thousand, their number), with file, section, field
and remedy, in our own words. Imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticKnownError

from oncofed.errors import Fault
from oncofed.ranges import RANGES, Range, told
from oncofed.texts import LINE, TEXTS, TextKind
from oncofed.toml_file import closest

Declared = TypeVar("Declared")
_NOWHERE = Path()
_MOST_TOLD = 1_000
"""Faults of a file; to tell one, with what may have been meant, takes longer than to find it."""


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


# --- what is declared


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
    return get_args(hint)[0] if get_origin(hint) is tuple else get_args(hint)[1] if _is_named(hint) else None


def _is_named(hint: Any) -> bool:
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
        members[_inner(each.key)] = (kind, Field(default, validation_alias=each.key, validate_default=bool(each.rules)))
    config = ConfigDict(strict=True, extra="forbid", frozen=True)
    model = create_model(owner.__name__, __config__=config, **members)

    def value(made: Any, info: ValidationInfo) -> Any:
        section = owner(**{key: getattr(made, _inner(key)) for key in declared_fields(owner)})
        _known(info).right.append(section)
        return section

    return Annotated[model, AfterValidator(value)]


def _known(info: ValidationInfo) -> Known:
    assert isinstance(info.context, Known)
    return info.context


def _inner(key: str) -> str:
    """Its name in the model, where names such as `schema` mean something to pydantic."""
    return f"key_of_file_{key}"


def _type(hint: Any, name: str, *, listed: bool = False) -> Any:
    item = item_of(hint)
    if is_dataclass(hint):
        return _table(hint)  # type: ignore[arg-type]  # a class, not a value
    if _is_named(hint):
        return dict[_type(get_args(hint)[0], name), _type(item, name)]  # type: ignore[misc]  # as below
    if get_origin(hint) is tuple:
        span = _span_of(name)
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
    before = {name.removeprefix(_inner("")): right for name, right in info.data.items()}
    known = replace(_known(info), before=before)
    for rule in each.rules:
        kept = rule.judge(kept, known)
    return each.default if kept is None else kept


def _without_sign_of_zero(number: float) -> float:
    """-0.0 is 0, and would be told as -0."""
    return number + 0.0


def _span_of(name: str) -> Range:
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


# --- what is told


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
            key = str(step) if inside else str(step).removeprefix(_inner(""))
            found = known.get(key)
            hint, name = (None, "") if found is None else (found.hint, found.name)
            spot = replace(spot, key=key, hint=hint, name=name, known=tuple(known))
        elif _is_named(spot.hint):
            names, item = get_args(spot.hint)
            spot = replace(spot, key=str(step), hint=item, known=() if names is str else tuple(names))
        elif is_dataclass(item_of(spot.hint)):
            title = content.get("name") if isinstance(content, dict) else None
            title = f'"{title}"' if isinstance(title, str) and title.strip() else f"number {int(step) + 1}"
            spot = replace(spot, place=f"{file}: [[{spot.key}]] {title}", key="", hint=item_of(spot.hint))
            spot = replace(spot, depth=depth)
        else:
            spot = replace(spot, hint=item_of(spot.hint), listed=True)
        if spot.key and (is_dataclass(spot.hint) or _is_named(spot.hint)):
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
            return _beyond(_span_of(spot.name), len(value), "has a length")
        case "greater_than_equal" | "less_than_equal":
            return _beyond(RANGES[spot.name], value, "holds a number" if spot.listed else "is")
        case "enum" if spot.key not in spot.known:
            what = "is not a known field" if spot.key else f"is not a known {hint.__name__.lower()}"
            return what, closest(value if isinstance(value, str) else "", list(spot.known))
    if is_dataclass(hint) or _is_named(hint):
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
