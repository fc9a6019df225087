"""Do identifiers name patients? And is it told that two of them look the same, and of none that do not?"""

from __future__ import annotations

import pandas as pd
import pytest

from oncofed.cohort.identifiers import identifiers_in, tell_alike

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


@pytest.mark.parametrize(
    "cell",
    [
        *("1.23457E+11", "1,23457E+11", "1.2345678901234568e+17", "1E+15"),
        *("1.2345679E14", "1,2345679e14", "1.2345678901234568E16", "1.2E7"),
        *("-3.21037E+18", "-3.2103735721939410e+18", "\u22123,21037E+18", "-3.2103736E18"),
    ],
)
def test_an_identifier_that_a_program_has_rounded_names_nobody(cell: str) -> None:
    """Its neighbours look the same."""
    (fault,) = identifiers_in(pd.Series([cell, "7", cell]), where="here").faults
    assert (fault.what, fault.count) == (
        "the identifier is a number that a program has rounded, and may be several patients'",
        2,
    )


@pytest.mark.parametrize(
    "cell",
    [
        *("#N/A", "#N/D", "#NV", "#DIV/0!", "#REF!", "#BEZUG!", "#NAME?", "Err:502"),
        *("nan", "NULL", "Null", "(null)", "None", "\\N", "", ".", "-", "---", "?"),
    ],
)
def test_what_a_program_writes_where_there_is_no_identifier_is_none(cell: str) -> None:
    """Two patients of whom nobody knows who they are would be one."""
    found = identifiers_in(pd.Series(["7", cell]), where="here")
    assert [(fault.what, fault.count) for fault in found.faults] == [("the identifier is missing", 1)]
    assert found.names.to_pylist() == ["7", None]


def test_a_word_for_not_known_is_no_identifier_and_a_number_may_be_one() -> None:
    found = identifiers_in(pd.Series(["98", "99", "NA", "-9"]), where="here", missing=["99", "NA", "-9", "unbekannt"])
    assert found.names.to_pylist() == ["98", "99", None, None]


@pytest.mark.parametrize(
    "cell",
    [
        "NA",
        "12E5",
        "1E-05",
        "1e5",
        "3E+1A",
        "1.5",
        "P1.2E+11",
        "#12",
        "#A7",
        "NULLER",
        "Nan",
        "7e+1234",
        "1E14",
        "1.2E5",
        "1.2E1234",
    ],
)
def test_identifiers_that_only_resemble_these_are_identifiers(cell: str) -> None:
    found = identifiers_in(pd.Series([cell]), where="here")
    assert found.faults == ()
    assert found.names.to_pylist() == [cell]
