"""Does a file become the value that its dataclasses declare, and is each fault in it named in our own words?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest

from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import ABSENT, As, Known, Rule, Wrong, needed_where
from oncofed.file_reading import read_declared
from oncofed.toml_file import parse_toml


class Engine(StrEnum):
    GRID = "grid"
    RAY = "ray"


def _above_rate(rounds: int | None, known: Known) -> int | None:
    if rounds is not None and rounds <= known.before.get("rate", 0):
        raise Wrong("is not above rate", "Raise it.")
    return rounds


@dataclass(frozen=True)
class Inner:
    x: Annotated[int, As("TrainingSpec.rounds")] = 7


@dataclass(frozen=True)
class Run:
    name: str = "nameless"
    resume: bool = False
    rate: Annotated[float, As("HeldOutRequest.budget_share")] = 0.5
    rounds: Annotated[int, As("TrainingSpec.rounds"), Rule(_above_rate)] = 60
    engine: Engine = Engine.GRID
    seed: Annotated[int | None, As("Study.seed"), needed_where("engine", Engine.RAY)] = None
    bounds: Annotated[tuple[float, ...], As("TimeGrid.bounds")] = ()
    units: Annotated[tuple[int, ...], As("PlanSettings.hidden_units")] = ()
    sites: tuple[str, ...] = ()
    schema: Path = Path("schema.toml")
    privacy: Inner = field(default_factory=Inner)
    weights: Annotated[Mapping[Engine, float], As("Marker.weight")] = field(default_factory=dict)
    engines: tuple[Engine, ...] = (Engine.GRID,)


@dataclass(frozen=True)
class Part:
    name: str


@dataclass(frozen=True)
class File:
    run: Run
    part: tuple[Part, ...] = ()
    inner: Mapping[Engine, Inner] = field(default_factory=dict)


def faults_of(content: object) -> list[Fault]:
    faults: list[Fault] = []
    assert read_declared(File, content, where="a.toml", faults=faults) is None
    assert all(fault.remedy.endswith(".") for fault in faults)
    return faults


def test_what_is_written_becomes_the_value_and_what_is_not_has_its_default() -> None:
    content = {
        "run": {
            "name": "a",
            "resume": True,
            "rate": 0,
            "rounds": 3,
            "engine": "ray",
            "seed": 1,
            "bounds": [0, 1.5],
            "units": [4],
            "sites": ["a", "b"],
            "schema": "b.toml",
            "privacy": {"x": 1},
            "weights": {"ray": 2},
        },
        "part": [{"name": "first"}],
        "inner": {"grid": {"x": 2}},
    }
    faults: list[Fault] = []
    run = Run(
        "a", True, 0.0, 3, Engine.RAY, 1, (0.0, 1.5), (4,), ("a", "b"), Path("b.toml"), Inner(1), {Engine.RAY: 2.0}
    )
    assert read_declared(File, content, where="a.toml", faults=faults) == File(
        run, (Part("first"),), {Engine.GRID: Inner(2)}
    )
    assert read_declared(File, {"run": {}}, where="a.toml", faults=faults) == File(Run())
    assert faults == []


BAD: list[tuple[str, object, str]] = [
    ("name", 3, "is not a text"),
    ("name", " ", "is not a text"),
    ("name", "a\nb", "holds a character that cannot be seen, such as a line's end or a control or direction character"),
    ("resume", 1, "is not true or false"),
    ("rate", True, "is not a finite number"),
    ("rate", "1", "is not a finite number"),
    ("rate", float("inf"), "is not a finite number"),
    ("rate", float("nan"), "is not a finite number"),
    ("rate", -1, "is below 0"),
    ("rate", 2, "is above 0.99"),
    ("rounds", 2.0, "is not a whole number"),
    ("rounds", -1, "is below 0"),
    ("rounds", True, "is not a finite number"),
    ("bounds", [0.5, -1], "holds a number below 0"),
    ("bounds", [0], "has a length below 2"),
    ("bounds", [1, "2"], "is not a list of finite numbers"),
    ("bounds", 3, "is not a list of finite numbers"),
    ("units", [1, 2.0], "holds a number that is not whole"),
    ("units", [4] * 9, "has a length above 8"),
    ("engine", "rays", "is not one of the known values"),
    ("engine", 3, "is not one of the known values"),
    ("key_of_file_name", 1, "is not a known field"),
    ("sites", "abc", "is not a list of texts"),
    ("sites", ["a", 3], "is not a list of texts"),
    ("sites", ["a", ""], "holds an empty text"),
    (
        "sites",
        ["a", "b\n"],
        "holds a text that holds a character that cannot be seen, such as a line's end or a "
        "control or direction character",
    ),
    ("sites", ["a", "a"], 'names "a" more than once'),
    ("schema", 3, "is not a text"),
    ("roundz", 1, "is not a known field"),
]


@pytest.mark.parametrize(("key", "value", "what"), BAD)
def test_a_wrong_field_is_one_fault_with_place_and_remedy(key: str, value: object, what: str) -> None:
    (fault,) = faults_of({"run": {key: value}})
    assert (fault.where, fault.what) == (f"a.toml: [run], {key}", what)


@pytest.mark.parametrize("within", [lambda one: one, lambda one: [one], lambda one: {"a": one}])
def test_a_number_that_no_message_can_hold_in_place_of_a_word_is_a_fault(within: Callable[[int], object]) -> None:
    """Python refuses to write an integer of more than 4,300 digits."""
    for key in ("engine", "engines", "sites", "name"):
        (fault,) = faults_of({"run": {key: within(16**6_000)}})
        assert fault.where == f"a.toml: [run], {key}"
        assert fault.what.startswith("is not ")


SECTIONS: list[tuple[object, str, str]] = [
    ({}, "a.toml: [run]", "the section is missing"),
    ({"run": 3}, "a.toml: [run]", "is not a section"),
    ({"run": {}, "part": 3}, "a.toml, part", "is not a list of sections"),
    ({"run": {}, "part": []}, "a.toml: [[part]]", "there is none"),
    ({"run": {}, "part": [{}]}, "a.toml: [[part]] number 1, name", "is missing"),
    ({"run": {}, "part": [{"name": "b", "y": 1}]}, 'a.toml: [[part]] "b", y', "is not a known field"),
    ({"run": {}, "parts": []}, "a.toml, parts", "is not a known field"),
    ({"run": {"privacy": {"x": -1}}}, "a.toml: [run.privacy], x", "is below 0"),
    ({"run": {"weights": {"ray": -1}}}, "a.toml: [run.weights], ray", "is below 0"),
    ({"run": {"weights": {"rey": 1}}}, "a.toml: [run.weights], rey", "is not a known field"),
    ({"run": {}, "inner": {"rey": {}}}, "a.toml: [inner.rey]", "is not a known engine"),
    ({"run": {"weights": {"[key]": 1}}}, "a.toml: [run.weights], [key]", "is not a known field"),
    ({"run": {"[key]": 1}}, "a.toml: [run], [key]", "is not a known field"),
    ({"run": {}, "inner": {"[key]": []}}, "a.toml: [inner.[key]]", "is not a known engine"),
    ({"run": {}, "inner": {"[key]": {}}}, "a.toml: [inner.[key]]", "is not a known engine"),
    ({"run": {}, "inner": {"ray": {"[key]": 1}}}, "a.toml: [inner.ray], [key]", "is not a known field"),
    ({"run": {}, "inner": {"ray": {"x": -1}}}, "a.toml: [inner.ray], x", "is below 0"),
]


OWN_WORDS = ("[key]", "key_of_file_x", "key_of_file_[key]", "enum", "x", "name", "ray", "0", "run")
"""Of pydantic, of ours, and keys that there are: as anybody may write them, at any place."""
ANY_VALUE: tuple[object, ...] = (
    *([], {}, 0, 1, -1, 0.5, 9**99, float("nan"), float("inf"), True, "", "x", "[key]", "ray", "grid"),
    *([[]], [{}], [1], ["[key]"], ["ray", "ray"], [[["[key]"]]], [None], [0.5, "x"]),
)


def _below(word: str, value: object) -> dict[str, object]:
    return {word: value}


def _below_twice(word: str, value: object) -> dict[str, object]:
    return {"ray": {word: value}, word: value}


def any_content() -> Iterator[dict[str, Any]]:
    """Each value below each word, alone and in the other one's table or list, in every place of a file."""
    within: list[Callable[[object], Any]] = [lambda value: value, lambda value: [value], lambda value: [{}, value]]
    for own in OWN_WORDS:
        within.append(partial(_below, own))
        within.append(partial(_below_twice, own))
    for word, value, inner in itertools.product(OWN_WORDS, ANY_VALUE, within):
        for place in ("name", "resume", "rate", "rounds", "engine", "bounds", "sites", "privacy", "weights", "engines"):
            yield {"run": {place: inner({word: value})}}
        yield {"run": inner({word: value})}
        yield {"run": {word: inner(value)}}
        for place in ("part", "inner", word):
            yield {"run": {}, place: inner({word: value})}
            yield {"run": {}, place: inner(value)}


def test_no_key_and_no_value_anywhere_is_an_error_of_ours() -> None:
    told = 0
    for content in itertools.islice(any_content(), 0, None, 5):  # a step that meets every word, value and place
        faults: list[Fault] = []
        made = read_declared(File, content, where="a.toml", faults=faults)
        assert (made is None) == bool(faults)
        assert all(str(fault).startswith("a.toml") for fault in faults)
        told += bool(faults)
    assert told > 2_000


@pytest.mark.parametrize(("content", "where", "what"), SECTIONS)
def test_a_fault_names_its_section_by_the_heading(content: object, where: str, what: str) -> None:
    assert [(fault.where, fault.what) for fault in faults_of(content)] == [(where, what)]


def test_a_rule_sees_what_is_right_before_it_and_knows_an_absent_key() -> None:
    assert [(fault.where, fault.what) for fault in faults_of({"run": {"engine": "ray"}})] == [
        ("a.toml: [run], seed", ABSENT[0])
    ]
    assert [fault.what for fault in faults_of({"run": {"engine": "rays"}})] == ["is not one of the known values"]


def test_an_unknown_word_is_answered_with_the_nearest_known_one() -> None:
    (fault,) = faults_of({"run": {"enginne": "ray"}})
    assert 'Did you mean "engine"?' in fault.remedy
    (fault,) = faults_of({"run": {"engine": "rays"}})
    assert 'Did you mean "ray"? Possible: grid, ray.' in fault.remedy


def test_all_faults_are_told_at_once_and_those_between_right_sections_too() -> None:
    faults: list[Fault] = []
    content = {
        "run": {"rate": -1, "rounds": "many"},
        "part": [{"name": "b"}, {"name": "c", "y": 1}, {"name": "c", "y": 1}],
    }

    def between(right: list[object], all_: bool) -> list[Fault]:
        assert not all_
        return [Fault("b", f"{sum(isinstance(each, Part) for each in right)} right", "Go on.")]

    assert read_declared(File, content, where="a.toml", faults=faults, between=between) is None
    assert [fault.where for fault in faults] == [
        "a.toml: [run], rate",
        "a.toml: [run], rounds",
        'a.toml: [[part]] "c", y',
        'a.toml: [[part]] "c", y',
        "b",
    ]
    assert faults[-1].what == "1 right"


def test_no_fault_speaks_pydantics_english() -> None:
    told = " ".join(
        f"{fault.what} {fault.remedy}" for key, value, _ in BAD for fault in faults_of({"run": {key: value}})
    )
    for theirs in ("pydantic", "Input should", "http", "valid", "_type"):
        assert theirs not in told


def test_what_python_itself_cannot_read_is_a_fault_of_the_file() -> None:
    with pytest.raises(InvalidInput, match="too many digits"):
        parse_toml("x = " + "9" * 5_000, where="policy.toml")
