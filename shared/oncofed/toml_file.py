"""What does a TOML file hold, before anybody asks what it means?"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content
from oncofed.texts import one_line
from oncofed.utf8_text import BOM, not_text


def read_toml(path: Path) -> dict[str, object]:
    """The content of a TOML file. Raises InvalidInput when it is missing, no file, not UTF-8 or not TOML."""
    return parse_toml(read_toml_text(path), where=path.name)


def read_toml_text(path: Path) -> str:
    """The text of a TOML file, with LF line ends. Raises InvalidInput with one fault for what is no such text."""
    content = file_content(path, most=_LARGEST_BYTES)
    if (found := not_text(content)) is not None:
        again = "Put back the copy that you keep of it; a full disk or a copy that broke off leaves such bytes."
        raise InvalidInput([Fault(path.name, f"the file {found.what}", again if found.damaged else _AS_UTF8)])
    if content.startswith(BOM):
        raise InvalidInput([Fault(path.name, "the file begins with a byte order mark (BOM)", _AS_UTF8)])
    text = content.decode("utf-8").replace("\r\n", "\n")
    if "\r" in text:
        remedy = "Save it with the line ends of Linux (LF) or Windows (CR LF)."
        raise InvalidInput([Fault(path.name, "the file has line ends of an old Macintosh (CR)", remedy)])
    return text


_LARGEST_BYTES = 4_000_000
_AS_UTF8 = "Save it as UTF-8 without a byte order mark; in Notepad: Save as, encoding UTF-8, not UTF-8 with BOM."
_MOST_SAID = 200


_MOST_PARTS = 10
"""Of a key; no file of ours has more than three."""

_DEEPEST = 10
"""Brackets and braces within one another; no file of ours has more than three."""

_QUOTED_OR_SAID = re.compile(
    r'''"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+(?:""")?"{0,2}|"(?:[^"\\\n]++|\\.)*+"?'''
    r"""|'''(?:[^']++|'(?!''))*+(?:''')?'{0,2}|'[^'\n]*+'?|#[^\n]*+"""
)
"""A text in any of TOML's quotes, or a comment. One that is not closed goes on to the end (of the line): so far may
anybody read who parses it, and no further."""

_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_MOST_PARTS},}}+")
_LONG_NUMBER = re.compile(r"(?<![\w-])0[xob]\w{65}")
"""Hexadecimal, octal or binary, of more digits than any machine's number has. Python reads one of any length, and then
cannot write it in a message."""

_BETWEEN_BRACKETS = re.compile(r"[^][{}]++")


def parse_toml(text: str, *, where: str) -> dict[str, object]:
    """The content of a TOML text. Raises InvalidInput under the name `where` when it is not TOML.

    Refuses, before it is parsed, what no file needs and would cost whoever parses it memory without end: a parser keeps
    every beginning of a dotted key, so that one of 40 kB takes gigabytes; and what nests deep ends its recursion, or
    that of somebody who reads the content later.
    """
    if beyond := _beyond_any_file(text):
        raise InvalidInput([Fault(where, beyond, "Write it plainly.")])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # which quotes names of the text, however long they are
        said = one_line(str(error))
        said = said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}..."
        fault = Fault(where, f"the file is not valid TOML: {said}", "Correct it at the place named.")
    except ValueError:  # out of Python itself, for an integer of thousands of digits
        fault = Fault(where, "holds a number of too many digits", "Write it plainly.")
    raise InvalidInput([fault])


def _beyond_any_file(text: str) -> str:
    """What is wrong, in one pass over the text; empty if nothing."""
    bare = _QUOTED_OR_SAID.sub("_", text)
    if _LONG_KEY.search(bare):
        return f"has a key of more than {_MOST_PARTS} parts"
    if _LONG_NUMBER.search(bare):
        return "holds a number of too many digits"
    depth = 0
    for bracket in _BETWEEN_BRACKETS.sub("", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            return f"nests deeper than {_DEEPEST} brackets or braces"
    return ""


def closest(word: str, known: list[str]) -> str:
    """A remedy for an unknown word: the likely intended one, and all the possible ones."""
    near = difflib.get_close_matches(word, known, n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    return f"{hint}Possible: {', '.join(known) if known else 'none'}."
