"""Does what was captured hold anything that was planted in a hospital's data?

Texts are looked for as they are, in UTF-16, in hexadecimal, in base64 at each of its three offsets, and as numbers of
their characters. Numbers are looked for in decimal (as whole numbers and with a fraction of zero, not inside a longer
number), and as the bytes of a float64 or 64-bit integer in both orders. What is captured is plaintext:
`tests.recording_proxy` takes gRPC's frames apart first. Choose counts of four digits and more, or chance finds them.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_NUMBER = 1000


@dataclass(frozen=True)
class Planted:
    """texts: record numbers and texts of exceptions. numbers: exact counts."""

    texts: tuple[str, ...]
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        assert all(len(text) >= 6 for text in self.texts)
        assert all(abs(number) >= SMALLEST_NUMBER for number in self.numbers)


def leaks_in(captured: Sequence[bytes], planted: Planted) -> list[str]:
    """One line for each thing found, each piece of the capture searched by itself."""
    found = []
    for piece in captured:
        for text in planted.texts:
            found += [f"{text!r} as {form}" for form, pattern in _forms_of_text(text) if re.search(pattern, piece)]
        for number in planted.numbers:
            found += [f"{number} as {form}" for form, pattern in _forms_of_number(number) if re.search(pattern, piece)]
    return sorted(set(found))


_LAST_BITS = 8
"""What a library computes of one patient and of many differs in its last bits, and is told all the same."""


def fractions_in(captured: Sequence[bytes], fractions: Iterable[float]) -> list[float]:
    """Those that a capture holds as a float64 but for its last bits, in either order and at any place, or as digits.

    For numbers with many digits, such as a patient's relevances, of which there may be thousands. 0 is passed over.
    """
    sought = {value for value in map(float, fractions) if value != 0}
    as_bits = {_first_bits(value) + beside: value for value in sought for beside in (-1, 0, 1)}
    as_text = {f"{abs(value):.6g}".encode(): value for value in sought}
    patterns = np.array(list(as_bits), dtype=np.uint64)
    values = list(as_bits.values())
    found: set[float] = set()
    for piece in captured:
        for offset in range(8):
            words = np.frombuffer(piece, "<u8", count=max(0, (len(piece) - offset) // 8), offset=offset)
            for read in (words, words.byteswap()):
                found.update(
                    values[place] for place in np.flatnonzero(np.isin(patterns, read >> np.uint64(_LAST_BITS)))
                )
        found.update(as_text[digits] for digits in set(re.findall(rb"\d+\.\d{4,}", piece)) & as_text.keys())
    return sorted(found)


def _first_bits(value: float) -> int:
    return int.from_bytes(struct.pack(">d", value), "big") >> _LAST_BITS


def _forms_of_text(text: str) -> Iterator[tuple[str, bytes]]:
    plain = text.encode()
    yield "text", re.escape(plain)
    yield "UTF-16", re.escape(text.encode("utf-16-le"))
    yield "hexadecimal", b"(?i)" + plain.hex().encode()
    for offset in range(3):
        # Only the digits that depend on nothing but the text: the first and the last may mix with neighbours.
        digits = base64.b64encode(b"\0" * offset + plain)
        first = -(-8 * offset // 6)
        last = (8 * (offset + len(plain))) // 6
        yield "base64", re.escape(digits[first:last])
    yield "characters as numbers", re.escape(struct.pack(f"<{len(plain)}d", *plain))


def _forms_of_number(number: int) -> Iterator[tuple[str, bytes]]:
    yield "decimal text", rb"(?<![0-9A-Za-z.])%d(?:\.0*)?(?![0-9A-Za-z])" % number
    yield "float64", re.escape(struct.pack("<d", number))
    yield "float64, big-endian", re.escape(struct.pack(">d", number))
    yield "integer", re.escape(struct.pack("<q", number))
    yield "integer, big-endian", re.escape(struct.pack(">q", number))
