"""Of which texts must a hospital be asked whether they are one?"""

from __future__ import annotations

import pandas as pd
import pytest

from oncofed.client.importing.readings import Column
from oncofed.client.importing.spellings import Spellings


def asked(cell: str, word: str) -> bool:
    """Of a cell and a word of the mapping."""
    return bool(Column(pd.Series([cell], dtype=object)).near([word]).any())


@pytest.mark.parametrize(
    "other",
    ["c341", "C34.1!", "C34.1*", "C34.1+", "(C34.1)", "#C34.1", "'C34.1", "{C34.1}", "C34.1:", "C34.1®"],
)
def test_marks_about_a_text_are_no_other_text(other: str) -> None:
    assert asked(other, "C34.1")
    assert asked("C34.1", other) or other.endswith("*")  # of a word that is the sign of a beginning


@pytest.mark.parametrize("other", ["\uff21\uff11", "\u04101", "\u03911"])
def test_letters_that_look_alike_are_asked(other: str) -> None:
    assert Spellings(["A1"]).near(other) == {"A1"}
    assert Spellings([other]).near("A1") == {other}


@pytest.mark.parametrize(
    ("cell", "word"),
    [("1.0", "10"), ("1,5", "15"), ("1.2", "12"), ("1-2", "12"), ("<5", "5"), ("-5", "5")],
)
def test_numbers_are_taken_by_their_value(cell: str, word: str) -> None:
    assert not asked(cell, word)
    assert not asked(word, cell)


def test_a_code_of_digits_is_asked_without_its_mark() -> None:
    """As ICD-9 is written in claims."""
    assert asked("1629", "162.9")
    assert asked("1629", "162.*")


@pytest.mark.parametrize(("one", "other"), [("HER2+", "HER2-"), ("HER2+++", "HER2++"), ("HER2", "HER2-")])
def test_signs_of_a_finding_are_its_meaning(one: str, other: str) -> None:
    assert not asked(one, other)
    assert not asked(other, one)


@pytest.mark.parametrize(
    ("cell", "begin", "wanted"),
    [
        ("50697003", "5-*", False),
        ("10", "1-*", False),
        ("532000001", "5-32*", False),
        ("53234", "5-32*", True),
        ("5/323", "5-*", True),
        ("C341", "C34.*", True),
        ("C34", "C34.*", False),
    ],
)
def test_a_number_of_another_catalogue_does_not_go_on_behind_a_beginning(cell: str, begin: str, wanted: bool) -> None:
    assert asked(cell, begin) is wanted


def test_what_has_neither_letter_nor_digit_is_near_to_nothing() -> None:
    assert not asked("?", "")
    assert not Spellings([""]).near("?")
