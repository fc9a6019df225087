"""When are two texts the same text to the person who wrote them?

A keyboard, a file system and a spreadsheet write one and the same word in different ways: "ö" as one character or as
an "o" and two dots (macOS), a blank that does not break a line, a mark that nobody sees (byte order, text direction,
soft hyphen). `plain` undoes what cannot be seen, and nothing else: capitals and letters of other alphabets stay.
"""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

_UNSEEN = r"\p{Cf}+"
_BLANK = r"\p{Zs}"


def plain(text: str) -> str:
    """Composed (NFC), without format characters (Cf), every kind of blank an ordinary one."""
    if text.isascii():
        return text
    kept = "".join(
        " " if unicodedata.category(letter) == "Zs" else letter
        for letter in text
        if unicodedata.category(letter) != "Cf"
    )
    return unicodedata.normalize("NFC", kept)


def plain_cells(cells: pa.Array) -> pa.Array:
    """`plain` of each cell of a string array, trimmed; null stays null."""
    if not pc.all(pc.string_is_ascii(cells), min_count=0).as_py():
        cells = pc.replace_substring_regex(cells, pattern=_UNSEEN, replacement="")
        cells = pc.replace_substring_regex(cells, pattern=_BLANK, replacement=" ")
        cells = pc.utf8_normalize(cells, form="NFC")
    return pc.utf8_trim_whitespace(cells)
