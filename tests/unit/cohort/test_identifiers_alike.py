"""Is it told that two identifiers look the same, and of none that do not?"""

from __future__ import annotations

import pytest

from oncofed.cohort.identifiers import tell_alike

ALIKE = {
    "capitals": ("P1", "p1"),
    "full width": ("P1", "\uff301"),
    "Cyrillic": ("PACE-1", "\u0420\u0410\u0421\u0415-1"),
    "small Cyrillic": ("aceopxy1", "\u0430\u0441\u0435\u043e\u0440\u0445\u04431"),
    "Greek": ("AHN1", "\u0391\u0397\u039d1"),
    "a variation selector": ("A", "A\ufe0f"),
    "a filler": ("A", "A\u3164"),
    "a joiner": ("A1", "A\u034f1"),
    "a control character": ("A", "A\x7f"),
    "a blank": ("A 1", "A1"),
    "a ligature": ("\ufb01-1", "fi-1"),
}


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_identifiers_that_look_alike_are_counted_and_not_named(pair: tuple[str, str]) -> None:
    told: list[str] = []
    tell_alike((*pair, "Z9"), where="registry", tell=told.append)
    (said,) = told
    assert said.startswith("registry: 2 identifiers look like another one")
    assert not any(each in said for each in ("Z9", "P1", "PACE", "AHN"))


@pytest.mark.parametrize(
    "pair", [("A0", "AO"), ("1-23", "12-3"), ("\u00c41", "A1"), ("007", "7"), ("\u0416", "X"), ("\u0663", "3x")]
)
def test_identifiers_that_look_different_are_told_of_nowhere(pair: tuple[str, str]) -> None:
    tell_alike(pair, where="registry", tell=pytest.fail)
