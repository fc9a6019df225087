"""Does a section of a TOML file name each of its faults, and hand out what is right?"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from oncofed.errors import Fault, InvalidInput
from oncofed.ranges import Range
from oncofed.toml_section import Section, parse_toml, read_toml, read_toml_text

ROOT = Path(__file__).parents[2]

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


TEXT = 'name = "Bonn"\nplace = "Köln"\n'


def _file(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


NO_TOML: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "BOM": (_file(b"\xef\xbb\xbf" + TEXT.encode()), "begins with a byte order mark (BOM)", "not UTF-8 with BOM"),
    "UTF-16": (_file(TEXT.encode("utf-16")), "is written in UTF-16", "Save it as UTF-8"),
    "UTF-16 without a mark": (_file(TEXT.encode("utf-16-le")), "is written in UTF-16", "Save it as UTF-8"),
    "UTF-32": (_file(TEXT.encode("utf-32")), "is written in UTF-32", "Save it as UTF-8"),
    "Windows": (_file(TEXT.encode("cp1252")), "probably in Windows-1252 (Latin-1), as line 2", "Save it as UTF-8"),
    "NUL": (_file(TEXT.encode() + bytes(9)), "holds 9 NUL bytes, the first at byte 31, in line 3", "Put back the copy"),
    "CR": (_file(TEXT.replace("\n", "\r").encode()), "line ends of an old Macintosh (CR)", "LF"),
    "a folder": (Path.mkdir, "is a folder, not a file", "Name the file inside it"),
    "a pipe": (os.mkfifo, "is a named pipe (FIFO), not a file", "to a file"),
    "a dangling link": (lambda path: path.symlink_to("gone"), "is a link to a file that does not exist", "link"),
    "nothing": (lambda path: None, "the file does not exist", "Check the path"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file", "Check the path"),
    "large": (_file(b"#" * 4_000_001), "is larger than 4,000,000 bytes", "right file"),
    "no TOML": (_file(b"name == 3"), "is not valid TOML: Invalid value (at line 1, column 7)", "place named"),
}


@pytest.mark.parametrize(("make", "what", "remedy"), NO_TOML.values(), ids=NO_TOML)
def test_a_file_that_holds_no_toml_text_is_one_fault_with_its_remedy(
    make: Callable[[Path], object], what: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    make(path)
    for read in (read_toml, read_toml_text):
        if what.startswith("is not valid") and read is read_toml_text:
            continue
        with pytest.raises(InvalidInput) as refused:
            read(path)
        (fault,) = refused.value.faults
        assert fault.where == "policy.toml"
        assert what in fault.what
        assert remedy in fault.remedy


def test_line_ends_of_windows_are_line_ends(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert read_toml(tmp_path / "site.toml") == {"name": "Bonn", "place": "Köln"}
    assert read_toml_text(tmp_path / "site.toml") == TEXT


def test_what_the_parser_quotes_of_a_file_stays_short_and_on_one_line() -> None:
    for key in ('"\u202eevil"', '"' + "long" * 5_000 + '"'):
        with pytest.raises(InvalidInput) as refused:
            parse_toml(f"[a.{key}]\n[a.{key}]\n", where="schema.toml")
        said = str(refused.value)
        assert "is not valid TOML: Cannot declare" in said
        assert len(said) < 400
        assert said.replace("\n", "").isprintable()


def test_there_is_one_reader_of_toml_files() -> None:
    """Another one would have to tell all of this again."""
    sources = [path for part in ("client", "server", "shared", "simulations") for path in (ROOT / part).rglob("*.py")]
    assert len(sources) > 200
    users = {path.name for path in sources if "tomllib" in path.read_text("utf-8")}
    assert users == {"toml_section.py", "study.py"}  # the latter for one value of `--set`
