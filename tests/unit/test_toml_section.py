"""Does a section of a TOML file name each of its faults, and hand out what is right?"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import pytest

from oncofed.errors import Fault, InvalidInput
from oncofed.ranges import Range
from oncofed.toml_section import Section, parse_toml

ANY = Range(-1e6, 1e6, 0, 1)
PART = Range(0, 1, 0, 1)
WHOLE = Range(1, 100, 1, 100, whole=True)


class Engine(StrEnum):
    GRID = "grid"
    RAY = "ray"


def section(**content: object) -> Section:
    return Section("study.toml: [run]", content, [])


def test_right_fields_are_handed_out_without_a_fault() -> None:
    run = section(
        name="a", resume=True, rounds=60, rate=0.5, engine="ray", bounds=[0, 1.5], sites=["a", "b"], privacy={"x": 1}
    )
    assert run.required_text("name") == "a"
    assert run.flag("resume", False) is True
    assert run.whole_number("rounds", within=WHOLE, required=True) == 60
    assert run.number("rate", within=PART) == 0.5
    assert run.choice("engine", Engine) is Engine.RAY
    assert run.numbers("bounds", within=ANY, count=WHOLE) == (0.0, 1.5)
    assert run.texts("sites") == ("a", "b")
    inner = run.section("privacy", heading="study.toml: [privacy]")
    assert inner is not None
    assert inner.whole_number("x", within=WHOLE) == 1
    run.close()
    inner.close()
    assert run.faults == []


def test_absent_fields_that_are_not_required_are_no_fault() -> None:
    run = section()
    assert run.text("name") is None
    assert run.text("name", "default") == "default"
    assert run.flag("resume", True) is True
    assert (run.number("a", within=ANY), run.whole_number("b", within=WHOLE), run.choice("c", Engine)) == (
        None,
        None,
        None,
    )
    assert (run.numbers("d", within=ANY, count=WHOLE), run.texts("e"), run.sections("f")) == (None, None, [])
    assert run.section("g", heading="[g]") is None
    run.close()
    assert run.faults == []


BAD: list[tuple[dict[str, object], Callable[[Section], object], str]] = [
    ({"x": 3}, lambda s: s.text("x"), "is not a text"),
    ({"x": " "}, lambda s: s.required_text("x"), "is not a text"),
    ({}, lambda s: s.required_text("x"), "is missing"),
    ({"x": 1}, lambda s: s.flag("x", False), "is not true or false"),
    ({"x": True}, lambda s: s.number("x", within=ANY), "is not a finite number"),
    ({"x": float("inf")}, lambda s: s.number("x", within=ANY), "is not a finite number"),
    ({"x": -1}, lambda s: s.number("x", within=PART), "is below 0"),
    ({"x": 2}, lambda s: s.number("x", within=PART), "is above 1"),
    ({"x": 2.0}, lambda s: s.whole_number("x", within=WHOLE), "is not a whole number"),
    ({"x": 0}, lambda s: s.whole_number("x", within=WHOLE), "is below 1"),
    ({}, lambda s: s.whole_number("x", within=WHOLE, required=True), "is missing"),
    ({"x": [0.5, -1]}, lambda s: s.numbers("x", within=PART, count=WHOLE), "holds a number below 0"),
    ({"x": [1, 2.0]}, lambda s: s.numbers("x", within=WHOLE, count=WHOLE), "holds a number that is not whole"),
    ({"x": []}, lambda s: s.numbers("x", within=PART, count=WHOLE), "has a length below 1"),
    ({"x": "rays"}, lambda s: s.choice("x", Engine), "is not one of the known values"),
    ({"x": [1, "2"]}, lambda s: s.numbers("x", within=ANY, count=WHOLE), "is not a list of finite numbers"),
    ({"x": "abc"}, lambda s: s.texts("x"), "is not a list of texts"),
    ({"x": ["a", ""]}, lambda s: s.texts("x"), "holds an empty text"),
    ({"x": ["a", "a"]}, lambda s: s.texts("x"), 'names "a" more than once'),
    ({"x": {}}, lambda s: s.sections("x"), "is not a list of sections"),
    ({"x": 1}, lambda s: s.close(), "is not a known field"),
]


@pytest.mark.parametrize(("content", "ask", "what"), BAD)
def test_a_wrong_field_is_one_fault_with_place_and_remedy(
    content: dict[str, object], ask: Callable[[Section], object], what: str
) -> None:
    run = section(**content)
    assert ask(run) in (None, "", False, [])
    assert [(fault.where, fault.what) for fault in run.faults] == [("study.toml: [run], x", what)]
    assert run.faults[0].remedy.endswith(".")


def test_an_unknown_word_is_answered_with_the_nearest_known_one() -> None:
    run = section(enginne="ray")
    run.choice("engine", Engine)
    run.close()
    assert 'Did you mean "engine"?' in run.faults[0].remedy


def test_sections_share_one_list_of_faults() -> None:
    faults: list[Fault] = []
    outer = Section("a.toml", {"run": {"x": 1}, "list": 3}, faults)
    inner = outer.section("run", heading="a.toml: [run]")
    assert inner is not None
    inner.close()
    outer.section("list", heading="a.toml: [list]")
    outer.section("none", heading="a.toml: [none]", required=True)
    assert [fault.where for fault in faults] == ["a.toml: [run], x", "a.toml: [list]", "a.toml: [none]"]


@pytest.mark.parametrize("text", ["x = " + "[" * 20_000, "x = " + "9" * 5_000], ids=["deep", "long"])
def test_what_python_itself_cannot_read_is_a_fault_of_the_file(text: str) -> None:
    with pytest.raises(InvalidInput, match="too deep"):
        parse_toml(text, where="policy.toml")
