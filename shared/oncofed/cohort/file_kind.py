"""Is a file what its name says, and if not, what is it?

Exports keep the name and change the content: a spreadsheet or a gzip archive called .csv, a text in the encoding of an
old machine. Told by the first bytes and by the encoding, before anybody looks for cells. Nothing is guessed: a file
that is not UTF-8 text is refused, since the same bytes are other letters in each of the older encodings.
"""

from __future__ import annotations

import codecs

from oncofed.errors import Fault, InvalidInput

_TO_UTF8 = "Save it as UTF-8; in Excel: Save As, CSV UTF-8."
_AS_CSV = "Export it as a CSV file in UTF-8 with commas."
_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it first (gunzip)."),
    (b"PK\x03\x04", "an Excel or other zip file", _AS_CSV),
    (b"PK\x05\x06", "an empty zip file", _AS_CSV),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", _AS_CSV),
    (b"PAR1", "a Parquet file", "Let its name end in .parquet."),
    (b"ARROW1", "an Arrow (Feather) file", "Write it as Parquet, or as CSV."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it first."),
    (b"SQLite format 3\x00", "an SQLite database", "Name it as a source of kind sql, or export the table."),
    (b"%PDF", "a PDF document", _AS_CSV),
    (b"ORC", "an ORC file", "Write it as Parquet, or as CSV."),
    (b"{\\rtf", "a text document", _AS_CSV),
    (b"$FL2", "an SPSS file", _AS_CSV),
    (b"<stata_dta>", "a Stata file", _AS_CSV),
    (b"HEADER RECORD*******", "a SAS file", _AS_CSV),
)
_ENCODINGS = (  # the longer marks first: one begins with another
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_MOSTLY = 0.8
"""Of the bytes at a place. Half as much for UTF-16, whose letters beyond Latin have no zero byte."""
_NOT_IN_WINDOWS_1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


def refuse_if_not(suffix: str, content: bytes, *, name: str) -> None:
    """Raises InvalidInput for content that is not of the kind that `suffix` (.csv, .parquet) says."""
    if (found := _other_kind(suffix, content)) is not None:
        what, remedy = found
        raise InvalidInput([Fault(name, f"the file cannot be read as {suffix}: {what}", remedy)])


def _other_kind(suffix: str, content: bytes) -> tuple[str, str] | None:
    """What it is instead, and the remedy."""
    by_beginning = [(beginning, f"it is {kind}", remedy) for beginning, kind, remedy in _SIGNATURES]
    if suffix == ".csv":
        by_beginning += [(mark, f"it is written in {encoding}", _TO_UTF8) for mark, encoding in _ENCODINGS]
    for beginning, what, remedy in by_beginning:
        if content.startswith(beginning):
            return None if suffix == ".parquet" and beginning == b"PAR1" else (what, remedy)
    if suffix == ".parquet":
        return "it is no Parquet file", "Write it again, for example with pandas.DataFrame.to_parquet."
    return _not_utf8(content)


def _not_utf8(content: bytes) -> tuple[str, str] | None:
    if b"\x00" in content:
        return _with_nul(content)
    if (at := _first_not_utf8(content)) is None:
        return None
    line = content.count(b"\n", 0, at) + 1
    return f"it is not written in UTF-8 but {_likely_encoding(content)}, as line {line} shows", _TO_UTF8


def _with_nul(content: bytes) -> tuple[str, str]:
    """In another encoding each letter has zeros at the same places and none at another; damage is nothing but zeros."""
    if (encoding := _wide_encoding(content)) is not None:
        return f"it is written in {encoding}", _TO_UTF8
    first = content.index(0)
    line = content.count(b"\n", 0, first) + 1
    what = f"it is damaged: it holds {content.count(0):,} NUL bytes, the first at byte {first + 1:,}, in line {line:,}"
    return what, "Such bytes are left by a full disk or a copy that broke off. Copy or export it again."


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
