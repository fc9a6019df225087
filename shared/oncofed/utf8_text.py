"""Is this UTF-8 text, and if not, what is it?

For whatever people write with an editor or a spreadsheet. Told by the bytes; nothing is guessed: the same bytes are
other letters in each of the older encodings. No message repeats anything of the text. Imports nothing of the package.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

BOM = codecs.BOM_UTF8
_ENCODINGS = (  # the longer marks first: one begins with another
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_MOSTLY = 0.8
"""Of the bytes at a place. Half as much for UTF-16, whose letters beyond Latin have no zero byte."""
_NOT_IN_WINDOWS_1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


@dataclass(frozen=True)
class NotText:
    """what: in words, after "it". damaged: no program meant it so; else it is text in another encoding."""

    what: str
    damaged: bool = False


def not_text(content: bytes) -> NotText | None:
    """What it is instead of UTF-8 text, with or without a byte order mark; None where it is that."""
    for mark, encoding in _ENCODINGS:
        if content.startswith(mark):
            return NotText(f"is written in {encoding}")
    if b"\x00" in content:
        return _with_nul(content)
    if (at := _first_not_utf8(content)) is None:
        return None
    line = content.count(b"\n", 0, at) + 1
    return NotText(f"is not written in UTF-8 but {_likely_encoding(content)}, as line {line} shows")


def _with_nul(content: bytes) -> NotText:
    """In another encoding each letter has zeros at the same places and none at another; damage is nothing but zeros."""
    if (encoding := _wide_encoding(content)) is not None:
        return NotText(f"is written in {encoding}")
    first = content.index(0)
    line = content.count(b"\n", 0, first) + 1
    return NotText(
        f"is damaged: it holds {content.count(0):,} NUL bytes, the first at byte {first + 1:,}, in line {line:,}",
        damaged=True,
    )


def _wide_encoding(content: bytes) -> str | None:
    start = content[:4096]
    zeros = [start[place::4].count(0) / max(len(start[place::4]), 1) for place in range(4)]
    if min(zeros) > 0:  # no place is always a letter's
        return None
    if sorted(zeros)[1] > _MOSTLY:
        return "UTF-32"
    if max(min(zeros[0], zeros[2]), min(zeros[1], zeros[3])) > _MOSTLY / 2:
        return "UTF-16"
    return None


def _first_not_utf8(content: bytes) -> int | None:
    """The place of the first byte that cannot be UTF-8. In pieces: a table may be large."""
    if content.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    step = 1 << 22
    for begin in range(0, len(content), step):
        kept = len(decoder.getstate()[0])  # of a letter that the last piece cut
        try:
            decoder.decode(content[begin : begin + step], final=begin + step >= len(content))
        except UnicodeDecodeError as error:
            return begin - kept + error.start
    return None


def _likely_encoding(content: bytes) -> str:
    if _NOT_IN_WINDOWS_1252.intersection(content):
        return "in an encoding of old computers (DOS or Macintosh)"
    return "probably in Windows-1252 (Latin-1)"
