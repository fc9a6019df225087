"""Is what is no TOML text told by what it is, once, wherever it is read?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from oncofed.errors import InvalidInput
from oncofed.toml_file import parse_toml, read_toml, read_toml_text

ROOT = Path(__file__).parents[2]


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


LONG, DEEP = "has a key of more than 10 parts", "nests deeper than 10 brackets or braces"
DIGITS = "holds a number of too many digits"
KEY = ".".join("a" * 11)
CLOSINGS = {
    "a comment": "# it's \"so\n",
    "a text": 'b = "\\\\"\n',
    "a literal": "b = '\\'\n",
    "lines": 'b = """\na " \\""" b\n"""""\n',
    "literal lines": "b = '''\n' '' \\'''''\n",
    "an empty text": 'b = ""\n',
    "empty lines": 'b = """"""\n',
}
BEYOND = {
    "a key": (f"{KEY} = 1", LONG),
    "a heading": (f"[{KEY}]", LONG),
    "a heading of a list": (f"[[{KEY}]]", LONG),
    "inside of a table": (f"x = {{ {KEY} = 1 }}", LONG),
    "in quotes": ('"a".' * 10 + "'a' = 1", LONG),
    "with blanks": (KEY.replace(".", " \t. ") + " = 1", LONG),
    "lists": ("x = " + "[" * 11 + "]" * 11, DEEP),
    "tables": ("x = " + "{a=" * 11 + "1" + "}" * 11, DEEP),
    "lists over lines": ("x = " + "[ # [\n" * 11 + "]" * 11, DEEP),
    "a hexadecimal number": ("x = 0x" + "F" * 6_000, DIGITS),
    "a binary number": ("x = [0b" + "10_" * 40 + "1]", DIGITS),
    "an octal number": ("x = { y = 0o" + "7" * 66 + "}", DIGITS),
    **{f"after {name}": (f"{before}{KEY} = 1", LONG) for name, before in CLOSINGS.items()},
}


@pytest.mark.parametrize(("text", "what"), BEYOND.values(), ids=BEYOND)
def test_what_no_file_needs_is_refused_before_it_is_parsed(
    text: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is TOML; a parser takes memory by the square of the parts, and recursion by the depth."""
    assert tomllib.loads(text)
    monkeypatch.setattr(tomllib, "loads", pytest.fail)
    with pytest.raises(InvalidInput) as refused:
        parse_toml(text, where="schema.toml")
    (fault,) = refused.value.faults
    assert (fault.where, fault.what) == ("schema.toml", what)


HONEST = {
    "a key of ten": KEY[2:] + " = 1",
    "texts": f'x = "{KEY}.[[[[[[[[[[[[" # {KEY} [[[[[[[[[[[[[[[',
    "literals": f"x = '\"{KEY}[[[[[[[[[[[['",
    "lines": f'x = """\n{KEY}\n \\""" {KEY} [[[[[[[[[[[[[""""\ny = 1',
    "literal lines": f"x = '''\n{KEY}\n '' [[[[[[[[[[[[[[[[[\\'''''",
    "comments": f"# \"\"\" {KEY} '''\nx = 1 # [[[[[[[[[[[[[[[[[[",
    "many numbers": "x = [" + "1.5, " * 500 + "]",
    "many lists": "x = [" + "[1.5, 2.5], " * 500 + "]",
    "many keys": "".join(f"a.b{number}.c = 1.5\n" for number in range(500)),
    "many sections": "[[a]]\n" * 500,
    "numbers of other bases": "x = [0xdead_beef, 0b1010, 0o777]\nx0b1 = '0x" + "F" * 70 + "'",
    "a name of hexadecimal digits": "x_0x" + "F" * 70 + " = 1",
    "times": "x = [07:32:00.999, 1979-05-27T07:32:00.5]",
    "a text that is a key": f'"{KEY}" = 1',
}


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_what_stands_in_texts_and_comments_and_what_there_is_much_of_is_no_nesting(text: str) -> None:
    assert parse_toml(text, where="schema.toml") == tomllib.loads(text)


def test_there_is_one_reader_of_toml_files() -> None:
    """Another one would have to tell all of this again."""
    sources = [path for part in ("client", "server", "shared", "simulations") for path in (ROOT / part).rglob("*.py")]
    assert len(sources) > 200
    users = {path.name for path in sources if "tomllib" in path.read_text("utf-8")}
    assert users == {"toml_file.py", "study.py"}  # the latter for one value of `--set`
