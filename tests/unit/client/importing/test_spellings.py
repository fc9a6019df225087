"""Of which texts must a hospital be asked whether they are one?"""

from __future__ import annotations

import pandas as pd
import pytest

from oncofed.client.importing.readings import Column, identifiers
from oncofed.client.importing.spellings import Spellings


def asked(cell: str, word: str, decimal: str = ".", missing: tuple[str, ...] = ()) -> bool:
    """Of a cell and a word of the mapping."""
    return bool(Column(pd.Series([cell], dtype=object), decimal, missing).near([word]).any())


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
    [
        *[("1.0", "10"), ("1,5", "15"), ("1.2", "12"), ("1-2", "12"), ("<5", "5"), ("-5", "5")],
        *[("10,0", "100"), ("12,5", "125"), ("10.0", "100"), ("100,00", "10000"), ("0,125", "125"), ("1.000", "1")],
        *[("Lenalidomid 2,5 mg", "Lenalidomid 25 mg"), ("2.5mg", "25mg"), ("L 0,125 mg", "L 125 mg")],
        *[("Lenalidomid 10,0 mg", "Lenalidomid 100 mg"), ("162.09", "162.9"), ("Dosis 100.5 mg", "Dosis 1005 mg")],
    ],
)
def test_numbers_are_taken_by_their_value(cell: str, word: str) -> None:
    assert not asked(cell, word)
    assert not asked(word, cell)


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        *[("10,0", "10"), ("10,00", "10"), ("1.234", "1234"), ("162,9", "162.9"), ("32.4", "324"), ("C 34.1", "C341")],
        *[("5-323.4", "5-3234"), ("8-54.1", "8541"), ("TP-53.1", "TP-531"), ("C-34.1", "C34.1")],
        *[("Lenalidomid 2,50 mg", "Lenalidomid 2.5 mg"), ("Lenalidomid 10,0 mg", "Lenalidomid 10 mg")],
        *[("SI", "s\u00ed"), ("Harnsaeure", "Harns\u00e4ure"), ("LUNGENOEDEM", "Lungen\u00f6dem"), ("1'234", "1234")],
    ],
)
def test_one_number_or_word_in_two_spellings_is_asked(cell: str, word: str) -> None:
    assert asked(cell, word)
    assert asked(word, cell)


def test_a_whole_number_is_its_digits_as_its_source_writes_them() -> None:
    def is_ten(cell: str, decimal: str) -> bool:
        return bool(Column(pd.Series([cell], dtype=object), decimal).among(["10"]).all())

    assert is_ten("10.0", ".")
    assert is_ten("10,0", ",")
    assert is_ten("10.0", ",")
    assert not is_ten("10,0", ".")
    assert not is_ten("10.000", ",")


def test_an_identifier_is_its_text_or_the_digits_of_its_number() -> None:
    texts = ["12,0", "120", "1.000", "007"]
    assert identifiers(Column(pd.Series([*texts, " -9.0 "], dtype=object), ","), ["-9"]).tolist() == [*texts, None]
    assert identifiers(Column(pd.Series([1.0, 12.0]))).tolist() == ["1", "12"]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        *[(f"{mark}A2", "A2", True) for mark in "-<=~\u2013+>#"],
        *[(f"A2{mark}", "A2", True) for mark in "-+>.!"],
        *[("1.234", "1234", True), ("5678,0", "5678", True), ("12.345", "12345", True), ("1'234", "1234", True)],
        *[("12,0", "120", False), ("12,0", "12", True), ("1-11", "11-1", False), ("A/007", "A-7", True)],
        *[("1.234,00", "1234", True), ("1,234.0", "12340", False), ("A-1-2", "A-12", True), ("A-1-2", "A1-2", True)],
        *[("A-12", "A1-2", False), ("1-1-1", "11-1", True), ("12-1-1", "1-211", False)],
        *[("1.000", "1", True), ("1.000", "1000", True), ("1.0000", "10000", False), ("12.50", "12.5", True)],
        *[("B 12.5", "B 125", True), ("B 12.50", "B12.5", True), ("1.0", "1.00", True), ("1.1", "11", True)],
        *[("12.000,0", "12000", True), ("12.000", "12.0", True), ("10.2", "1.02", False), ("1.10.0", "1.1", False)],
        ("1,5", "15", True),  # whose else?
    ],
)
def test_of_an_identifier_letters_and_digits_count(one: str, other: str, near: bool) -> None:
    assert (Spellings([other], names=True).near(one) == {other}) is near
    assert (Spellings([one], names=True).near(other) == {one}) is near


@pytest.mark.parametrize(
    ("cell", "word", "near"),
    [
        *[
            ("source:C341", "source:C34.1", True),
            ("source:19885", "source:1988-5", True),
            ("C341", "source:C341", False),
        ],
        *[
            ("source:'CRP", "source:CRP", True),
            ("source:00123", "source:123", True),
            ("source:C341", "source:C34.1*", True),
        ],
        *[("source:53234", "source:5-32*", True), ("source:50697003", "source:5-*", False)],
    ],
)
def test_a_code_of_a_hospital_is_looked_at_behind_its_prefix(cell: str, word: str, near: bool) -> None:
    assert asked(cell, word) is near
    assert Column(pd.Series(["source:10.0"], dtype=object)).among(["source:10"]).all()


@pytest.mark.parametrize(("cell", "word"), [("", "*"), ("NA", "Na"), ("k. A.", "k.A.*")])
def test_what_is_empty_is_near_to_nothing(cell: str, word: str) -> None:
    assert not asked(cell, word, missing=("NA", "k. A."))


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
        *[("C341", "C34.1*", True), ("C34", "C34.*", True), ("I100", "I10.0*", True), ("5323", "5-323*", True)],
        *[("854", "8-54*", True), ("L01FF02", "L01FF-02*", True), ("HER2+", "HER2-*", False), ("100", "10,0*", False)],
    ],
)
def test_a_number_of_another_catalogue_does_not_go_on_behind_a_beginning(cell: str, begin: str, wanted: bool) -> None:
    assert asked(cell, begin) is wanted


def test_what_has_neither_letter_nor_digit_is_near_to_nothing() -> None:
    assert not asked("?", "")
    assert not Spellings([""]).near("?")
