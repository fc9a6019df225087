"""Is a file what its name says, and if not, what is it?

Exports keep the name and change the content: a spreadsheet or a gzip archive called .csv, a text in the encoding of an
old machine. Told by the first bytes and by the encoding, before anybody looks for cells. Nothing is guessed: a file
that is not UTF-8 text is refused, since the same bytes are other letters in each of the older encodings.
"""

from __future__ import annotations

from oncofed.errors import Fault, InvalidInput
from oncofed.utf8_text import not_text

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


def refuse_if_not(suffix: str, content: bytes, *, name: str) -> None:
    """Raises InvalidInput for content that is not of the kind that `suffix` (.csv, .parquet) says."""
    if (found := _other_kind(suffix, content)) is not None:
        what, remedy = found
        raise InvalidInput([Fault(name, f"the file cannot be read as {suffix}: {what}", remedy)])


def _other_kind(suffix: str, content: bytes) -> tuple[str, str] | None:
    """What it is instead, and the remedy."""
    by_beginning = [(beginning, f"it is {kind}", remedy) for beginning, kind, remedy in _SIGNATURES]
    for beginning, what, remedy in by_beginning:
        if content.startswith(beginning):
            return None if suffix == ".parquet" and beginning == b"PAR1" else (what, remedy)
    if suffix == ".parquet":
        return "it is no Parquet file", "Write it again, for example with pandas.DataFrame.to_parquet."
    return _not_utf8(content)


def _not_utf8(content: bytes) -> tuple[str, str] | None:
    found = not_text(content)
    if found is None:
        return None
    again = "Such bytes are left by a full disk or a copy that broke off. Copy or export it again."
    return f"it {found.what}", again if found.damaged else _TO_UTF8
