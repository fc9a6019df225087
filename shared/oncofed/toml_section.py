"""Which faults does one table of a TOML file have?

A `Section` hands out the fields of one TOML table and notes every fault instead of stopping at the first: missing
fields, wrong types, numbers outside their ranges, texts that are not of their kind, unknown choices, and (on `close`)
fields that nobody asked for. A getter that noted a fault returns its default, or an empty value of its type; the caller
raises `InvalidInput` with the collected faults before such a placeholder can be used. Imports no torch.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content
from oncofed.ranges import Range, told
from oncofed.texts import LINE, TextKind, one_line
from oncofed.utf8_text import BOM, not_text

Choice = TypeVar("Choice", bound=StrEnum)


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


def parse_toml(text: str, *, where: str) -> dict[str, object]:
    """The content of a TOML text. Raises InvalidInput under the name `where` when it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # which quotes names of the text, however long they are
        said = one_line(str(error))
        said = said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}..."
        fault = Fault(where, f"the file is not valid TOML: {said}", "Correct it at the place named.")
    except (ValueError, RecursionError):  # out of Python itself, for an integer of thousands of digits, or deep nesting
        fault = Fault(where, "nests too deep, or holds a number of too many digits", "Write it plainly.")
    raise InvalidInput([fault])


def closest(word: str, known: list[str]) -> str:
    """A remedy for an unknown word: the likely intended one, and all the possible ones."""
    near = difflib.get_close_matches(word, known, n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    return f"{hint}Possible: {', '.join(known) if known else 'none'}."


class Section:
    """One TOML table. `where` names it in faults; `faults` is the list they are added to, shared between sections."""

    def __init__(self, where: str, content: object, faults: list[Fault]) -> None:
        self.where = where
        self.faults = faults
        self._asked: list[str] = []
        self._content: Mapping[str, object] = {}
        if isinstance(content, Mapping):
            self._content = content
        else:
            faults.append(Fault(where, "is not a section", "Write it as a TOML table with its own heading."))

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def fault(self, key: str, what: str, remedy: str) -> None:
        """Notes a fault of one field."""
        self.faults.append(Fault(f"{self.where}, {key}", what, remedy))

    def _take(self, key: str, *, required: bool) -> object | None:
        self._asked.append(key)
        value = self._content.get(key)
        if value is None and required:
            self.fault(key, "is missing", "Add this field.")
        return value

    def text(
        self, key: str, default: str | None = None, *, kind: TextKind = LINE, required: bool = False
    ) -> str | None:
        """A text of its kind that is not blank."""
        value = self._take(key, required=required)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip():
            self.fault(key, "is not a text", "Write a text in quotes that is not empty.")
            return default
        if wrong := kind.fault(value):
            self.fault(key, wrong, kind.remedy)
            return default
        return value

    def required_text(self, key: str, *, kind: TextKind = LINE) -> str:
        return self.text(key, kind=kind, required=True) or ""

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._take(key, required=False)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(key, "is not true or false", "Write true or false, without quotes.")
            return default
        return value

    def number(self, key: str, *, within: Range, required: bool = False) -> float | None:
        """A finite number in its range, or None when the field is absent or at fault."""
        value = self._number(key, within, required=required)
        return None if value is None else float(value)

    def whole_number(self, key: str, *, within: Range, required: bool = False) -> int | None:
        """A whole number in its range, or None when the field is absent or at fault."""
        assert within.whole
        value = self._number(key, within, required=required)
        assert value is None or isinstance(value, int)
        return value

    def _number(self, key: str, within: Range, *, required: bool) -> float | None:
        value = self._take(key, required=required)
        if value is None:
            return None
        if not _is_number(value):
            self.fault(key, "is not a finite number", "Write a number, without quotes.")
            return None
        assert isinstance(value, int | float)
        if within.whole and not isinstance(value, int):
            self.fault(key, "is not a whole number", "Write a whole number.")
            return None
        return value if self._lies(key, value, within) else None

    def _lies(self, key: str, number: float, within: Range, *, has: str = "is") -> bool:
        if number in within:
            return True
        side = f"below {told(within.least)}" if number < within.least else f"above {told(within.most)}"
        self.fault(key, f"{has} {side}", within.remedy)
        return False

    def number_or(self, key: str, default: float, *, within: Range) -> float:
        """As `number`, with a default for an absent field."""
        value = self.number(key, within=within)
        return default if value is None else value

    def whole_number_or(self, key: str, default: int, *, within: Range) -> int:
        """As `whole_number`, with a default for an absent field."""
        value = self.whole_number(key, within=within)
        return default if value is None else value

    def choice(self, key: str, kind: type[Choice], *, required: bool = False) -> Choice | None:
        """One of an enumeration's values, or None when the field is absent or at fault."""
        value = self._take(key, required=required)
        if value is None:
            return None
        known = [member.value for member in kind]
        if not isinstance(value, str) or value not in known:
            self.fault(key, "is not one of the known values", closest(str(value), known))
            return None
        return kind(value)

    def numbers(self, key: str, *, within: Range, count: Range, required: bool = False) -> tuple[float, ...] | None:
        """A list of finite numbers, each in its range, or None when the field is absent or at fault.

        count  how many there may be.
        """
        value = self._take(key, required=required)
        if value is None:
            return None
        if not isinstance(value, list) or not all(_is_number(item) for item in value):
            self.fault(key, "is not a list of finite numbers", "Write numbers in square brackets.")
            return None
        if within.whole and not all(isinstance(item, int) for item in value):
            self.fault(key, "holds a number that is not whole", "Write whole numbers.")
            return None
        wrong = [item for item in value if item not in within]
        if (wrong and not self._lies(key, wrong[0], within, has="holds a number")) or not self._lies(
            key, len(value), count, has="has a length"
        ):
            return None
        return tuple(float(item) for item in value)

    def texts(
        self, key: str, *, kind: TextKind = LINE, required: bool = False, blank_allowed: bool = False
    ) -> tuple[str, ...] | None:
        """A list of distinct texts of their kind, or None when the field is absent or at fault."""
        value = self._take(key, required=required)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fault(key, "is not a list of texts", "Write texts in quotes, in square brackets.")
            return None
        if not blank_allowed and not all(item.strip() for item in value):
            self.fault(key, "holds an empty text", "Remove the empty text.")
            return None
        wrong = next((found for item in value if item.strip() and (found := kind.fault(item))), None)
        if wrong:
            self.fault(key, f"holds a text that {wrong}", kind.remedy)
            return None
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            self.fault(key, f"names {_quoted(twice)} more than once", "Name each once.")
            return None
        return tuple(value)

    def section(self, key: str, *, heading: str, required: bool = False) -> Section | None:
        """A table inside this one; `heading` names it in faults."""
        value = self._take(key, required=False)
        if value is None and required:
            self.faults.append(Fault(heading, "the section is missing", "Add it."))
        return None if value is None else Section(heading, value, self.faults)

    def sections(self, key: str) -> list[object]:
        """The tables of an array of tables, unread: the caller makes a `Section` of each under its own heading."""
        value = self._take(key, required=False)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(key, "is not a list of sections", f"Write each under its own heading [[{key}]].")
            return []
        return value

    def ignore(self, key: str) -> None:
        """Takes note of a field that the caller judged itself, so that `close` says nothing more about it."""
        self._asked.append(key)

    def keys(self) -> list[str]:
        """Every field present, for a table whose fields are names the author chose."""
        return list(self._content)

    def close(self) -> None:
        """Notes a fault for each field that nobody asked for: a misspelt setting must fail."""
        for key in self._content:
            if key not in self._asked:
                self.fault(key, "is not a known field", closest(key, self._asked))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _quoted(words: list[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
