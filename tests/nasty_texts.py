"""Which texts would a hostile file hold? A fixed list, and as many more as wanted, made of pieces of it."""

from __future__ import annotations

import random
import unicodedata

NASTY = (
    "the model\x1b[12A\r\x1b[JPROMISE: epsilon 0.10",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "a\rb",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a\x07",
    "abc\x08\x08\x08xyz",
    "a\x00b",
    "a\x7fb",
    "a\x0bb\x0cc",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
    "\u202egnp.exe",
    "a\u2066b\u2069",
    "a\u200bb",
    "a\ufeffb",
    "a\u00adb",
    "a\ue000b",
    "a\U000e0041b",
    "a\uffffb",
    "a\u0378b",
    "\u0301lone",
    "z" + "\u0335" * 40,
    "e\u0301",
    "\u3164",
    "\u2800",
    "a\u3164b",
    "a\ufe0fb",
    " a",
    "a ",
    "   ",
    "a\u00a0b",
    "x" * 10_000,
)
"""No field takes any of these, but one that may have several lines."""
ONLY_LINES = (
    "../../x",
    "/etc/passwd",
    '=HYPERLINK("http://evil.example")',
    "a;=cmd|' /C calc'!A0",
    "$(reboot)",
    "<b>",
    "%n",
)
"""Fine as a line, and nothing that a path or a command is made of."""
SURROGATES = ("a\ud800b", "\udcff")
"""Only JSON can hold them."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def made(count: int) -> list[str]:
    """Pieces of nasty texts inside harmless ones, and characters from all of Unicode. The same at each call."""
    draws = random.Random(20_261_129)
    found = []
    for _ in range(count):
        text = draws.choice(("lung", "CA 19-9", "β2-microglobulin", ""))
        for _ in range(draws.randint(1, 3)):
            piece = draws.choice((*NASTY[:-1], *ONLY_LINES, chr(draws.randrange(0xD800)), chr(draws.randrange(0x20))))
            place = draws.randint(0, len(text))
            text = text[:place] + piece + text[place:]
        found.append(text)
    return found


def controls_in(text: str) -> list[str]:
    """Characters that no terminal, log, CSV file or page may be given; a line's end is none."""
    return [each for each in text if each != "\n" and unicodedata.category(each) in _INVISIBLE]


def short(text: str) -> str:
    """Names a test."""
    return ascii(text)[:40]
