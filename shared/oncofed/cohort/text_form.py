"""How is the text of a table written, where it is no plain CSV file, and what is it as one?

Exports of hospitals and public studies separate cells by semicolons or tabs, are written in the encodings of older
machines, are packed (gzip), and begin with lines of remarks or with `sep=;`. A `TextForm` says which of these hold: it
is told by a person and never guessed, since the same bytes are other letters in another encoding. Refused, by name:
bytes that the named encoding does not have, a text of UTF-8 under the name of an older one (which has other letters for
its bytes), and an archive that is damaged or unpacks to more than any table.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum

from oncofed.cohort.csv_rows import COMMA
from oncofed.errors import Fault, InvalidInput

_GZIP = b"\x1f\x8b"
_LARGEST_BYTES = 8 << 30
_STEP_BYTES = 1 << 22


class Encoding(StrEnum):
    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    WINDOWS_1252 = "windows-1252"
    ISO_8859_1 = "iso-8859-1"
    ISO_8859_15 = "iso-8859-15"
    CP_850 = "cp850"


@dataclass(frozen=True)
class TextForm:
    """separator  between cells, one of `csv_rows.SEPARATORS`.
    comment    lines before the header that begin with it are remarks; None: there are none.
    quoted     whether a quotation mark puts a cell in quotes; False: it is a letter like others.
    zone       of the hospital, in which a moment of a Parquet file is a day; None: nobody said.
    stand_ins  days (YYYY-MM-DD) that mean "not known" there.
    """

    separator: str = COMMA
    encoding: Encoding = Encoding.UTF_8
    comment: str | None = None
    quoted: bool = True
    zone: tzinfo | None = None
    stand_ins: frozenset[str] = frozenset()


def plain_text(content: bytes, form: TextForm, *, name: str) -> bytes:
    """The same table as UTF-8, from its header line on. Raises InvalidInput; of the content nothing is told.

    content  of the file, packed or not.
    """
    if content.startswith(_GZIP):
        content = _unpacked(content, name)
    if form.encoding is not Encoding.UTF_8:
        content = _as_utf8(content, form.encoding, name)
    content = content.removeprefix(b"\xef\xbb\xbf")
    begin = 0
    while begin < len(content):
        end = content.find(b"\n", begin)
        end = len(content) if end < 0 else end + 1
        line = content[begin : min(end, begin + 1024)]
        remark = form.comment is not None and line.startswith(form.comment.encode())
        if not remark and (begin > 0 or line.strip().lower() != f"sep={form.separator}".encode()):
            break
        begin = end
    return content[begin:]


def _as_utf8(content: bytes, encoding: Encoding, name: str) -> bytes:
    if encoding is not Encoding.UTF_16 and not content.isascii() and _is_utf8(content):
        what = f"the file is written in utf-8, and not in {encoding.value}, in which it would have other letters"
        raise InvalidInput([Fault(name, what, "Leave the encoding out.")])
    try:
        return content.decode(encoding.value).encode()
    except UnicodeError:
        pass
    what = f"the file is not written in {encoding.value}"
    raise InvalidInput([Fault(name, what, "Name the encoding that it is written in.")])


def _is_utf8(content: bytes) -> bool:
    """By chance hardly any text of an older encoding is."""
    try:
        content.decode()
    except UnicodeError:
        return False
    return True


def _unpacked(content: bytes, name: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    fault = Fault(name, "its gzip archive is damaged", "Pack it again.")
    try:
        while content:  # an archive may have several parts, one behind the other
            part = zlib.decompressobj(wbits=31)
            while not part.eof:
                piece = part.decompress(content, _STEP_BYTES)
                content = part.unconsumed_tail
                size += len(piece)
                pieces.append(piece)
                if size > _LARGEST_BYTES:
                    what = f"it unpacks to more than {_LARGEST_BYTES >> 30} GiB"
                    raise InvalidInput([Fault(name, what, "Export the columns that are needed alone.")])
                if not piece and not content and not part.eof:
                    raise zlib.error
            content = part.unused_data.lstrip(b"\0")
        return b"".join(pieces)
    except zlib.error:
        pass
    raise InvalidInput([fault])
