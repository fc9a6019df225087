"""What does a catalog of translations say, which people write as a `.po` file?

The file is that of GNU gettext, and what is made of it is the standard library's `gettext.GNUTranslations`, which knows
how a language counts. Read as a file of ours, which a person edits: entries with `msgctxt`, `msgid`, `msgid_plural` and
`msgstr`, each one or several quoted strings; comments.

Refused, all faults at once: anything else, an entry that stands twice, and one that is marked as fuzzy.

Source: GNU gettext manual, "The Format of PO Files" and "The Format of GNU MO Files".
"""

from __future__ import annotations

import gettext
import io
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from oncofed.errors import Fault, InvalidInput

_CONTEXT_ENDS, _PLURAL_ENDS = "\x04", "\x00"
_MO_MAGIC = 0x950412DE
_HEADER_WORDS = 7
_LINE = re.compile(r'(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d)\])?)\s+)?("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Entry:
    """One text. plural: the English one of several; empty where there is none. said: in the catalog's language."""

    text: str
    said: tuple[str, ...]
    plural: str = ""
    context: str = ""

    @property
    def key(self) -> str:
        """By which `gettext` finds it."""
        return f"{self.context}{_CONTEXT_ENDS}{self.text}" if self.context else self.text


def read_catalog(written: str, *, where: str) -> tuple[Entry, ...]:
    """The entries of a `.po` file, its header first. Raises InvalidInput."""
    faults: list[Fault] = []
    found: dict[str, Entry] = {}
    for first, block in _blocks(written):
        parts: dict[str, str] = {}
        place = f"{where}: the entry at line {first}"
        last = ""
        for line in block:
            if line.startswith("#"):
                if line.startswith("#,") and "fuzzy" in line:
                    faults.append(Fault(place, "is marked as fuzzy", "Read its translation, and take the mark away."))
                continue
            part = _LINE.fullmatch(line)
            if part is None or not (part[1] or last):
                faults.append(Fault(place, "holds a line that is none of a catalog", "Write keyword and quoted text."))
                break
            last = part[1] or last
            parts[last] = parts.get(last, "") + json.loads(part[3])
        else:
            if not parts:
                continue
            said = tuple(parts[each] for each in sorted(parts) if each.startswith("msgstr"))
            if "msgid" not in parts or not said:
                faults.append(Fault(place, "is not whole", "Give it msgid and msgstr."))
                continue
            entry = Entry(parts["msgid"], said, parts.get("msgid_plural", ""), parts.get("msgctxt", ""))
            if entry.key in found:
                faults.append(Fault(place, "stands there twice", "Keep one of them."))
            found[entry.key] = entry
    if faults:
        raise InvalidInput(faults)
    return tuple(found.values())


def _blocks(written: str) -> list[tuple[int, list[str]]]:
    """Lines between empty ones, with the number of the first."""
    found: list[tuple[int, list[str]]] = []
    fresh = True
    for number, line in enumerate(written.splitlines(), start=1):
        if not line.strip():
            fresh = True
            continue
        if fresh:
            found.append((number, []))
        found[-1][1].append(line.strip())
        fresh = False
    return found


def translations(entries: tuple[Entry, ...]) -> gettext.GNUTranslations:
    """As the standard library has them. What is not translated is left out, and so stays English."""
    told = {
        f"{entry.key}{_PLURAL_ENDS}{entry.plural}" if entry.plural else entry.key: _PLURAL_ENDS.join(entry.said)
        for entry in entries
        if all(entry.said)
    }
    return gettext.GNUTranslations(io.BytesIO(_mo(told)))


def _mo(told: Mapping[str, str]) -> bytes:
    """The file that `msgfmt` would write, without its hash table."""
    keys = sorted(told, key=str.encode)
    texts = [each.encode() for each in (*keys, *(told[key] for key in keys))]
    start = 4 * _HEADER_WORDS + 8 * len(texts)
    table, content = b"", b""
    for text in texts:
        table += struct.pack("<II", len(text), start + len(content))
        content += text + b"\0"
    second = 4 * _HEADER_WORDS + 8 * len(keys)
    header = struct.pack("<7I", _MO_MAGIC, 0, len(keys), 4 * _HEADER_WORDS, second, 0, start)
    return header + table + content
