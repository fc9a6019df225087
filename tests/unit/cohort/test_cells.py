"""Do the same cells say the same, however they are stored?"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oncofed.cohort.cells import categories, numbers, words

NUMBER_LIKE = st.text(alphabet="0123456789+-.eE_ nax", max_size=8)


def slow_twin(text: str) -> float | None:
    """Python's own reading of a plain decimal number; None when it is none."""
    text = text.strip()
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, flags=re.ASCII):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


@given(st.lists(NUMBER_LIKE | st.floats().map(repr) | st.integers().map(str), max_size=6))
@example(["1.", ".5", "+3", "1e3", "1_0", "nan", "inf", "1e999", "-0"])
@example(["+1"])
@example(["1", "+"])
def test_texts_are_read_like_python_reads_them(cells: list[str]) -> None:
    read = numbers(pd.Series(cells, dtype=object))
    for cell, value, malformed in zip(cells, read.values, read.malformed, strict=True):
        expected = slow_twin(cell)
        assert malformed == (cell.strip() != "" and expected is None)
        assert (np.isnan(value) and expected is None) or value == expected


@example([-0.0, None])
@given(st.lists(st.none() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6), min_size=1))
def test_storage_does_not_matter(cells: list[float | None]) -> None:
    expected = np.array([np.nan if cell is None else float(cell) for cell in cells])
    stored = [
        pd.Series(cells, dtype=object),
        pd.Series(cells, dtype="Float64"),
        pd.Series(expected),
        pd.Series(["" if cell is None else f" {cell!r} " for cell in cells], dtype=object),
        pd.Series([None if cell is None else str(cell) for cell in cells], dtype="string"),
        pd.Series(pd.Categorical(cells)),
    ]
    for column in stored:
        read = numbers(column)
        np.testing.assert_array_equal(read.values, expected)
        assert not read.malformed.any()
        assert not np.signbit(read.values[read.values == 0]).any()


def test_codes_for_missing_count_as_text_and_as_number() -> None:
    codes = ["-999", "unknown"]
    for column in (["-999", "-999.0", "unknown", " unknown ", "", "1"], [-999, -999.0, None, np.nan, pd.NA, 1]):
        read = numbers(pd.Series(column, dtype=object), codes)
        np.testing.assert_array_equal(read.missing, [True] * 5 + [False])
        assert not read.malformed.any()
    np.testing.assert_array_equal(numbers(pd.Series([-999.0, 1.0]), codes).missing, [True, False])
    assert numbers(pd.Series(["Unknown", "NA"], dtype=object), codes).malformed.all()


def test_truth_is_a_number_only_where_it_may_be() -> None:
    for column in (pd.Series([True, False]), pd.Series([True, False], dtype="boolean"), pd.Series(["TRUE", "false"])):
        np.testing.assert_array_equal(numbers(column, truth_words=True).values, [1.0, 0.0])
        assert numbers(column).malformed.all()


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([np.inf, -np.inf]),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02"])),
        pd.Series([datetime.date(2024, 1, 1)] * 2),
        pd.Series([1 + 2j, 3j]),
        pd.Series([[1], {2: 3}]),
        pd.Series(["1,5", "20 24"], dtype=object),
        pd.Series(["\ud800", "1\ud800"]),
        pd.Series([b"\xff", b"x"]),
        pd.Series([pd.Interval(0, 1), pd.Interval(1, 2)]),
        pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
    ],
)
def test_what_is_no_number_is_malformed_and_raises_nothing(cells: pd.Series) -> None:
    read = numbers(cells)
    assert read.malformed.all()
    assert np.isnan(read.values).all()


def test_decimals_of_parquet_are_numbers() -> None:
    np.testing.assert_array_equal(numbers(pd.Series([Decimal("1.5"), None])).values, [1.5, np.nan])


def test_decimals_are_written_as_numbers_are() -> None:
    cells = [Decimal("1E+2"), Decimal("2.50"), Decimal("3.00"), Decimal("NaN"), None]
    assert words(pd.Series(cells)).to_pylist() == ["100", "2.5", "3", None, None]


def test_a_whole_number_is_its_digits() -> None:
    for column in (
        pd.Series([3, 12]),
        pd.Series([3.0, 12.0]),
        pd.Series(["3", " 12"]),
        pd.Series([3, 12.0], dtype=object),
    ):
        assert words(column).to_pylist() == ["3", "12"]
    assert words(pd.Series([2.5, np.nan])).to_pylist() == ["2.5", None]
    assert words(pd.Series(["007", "", " "])).to_pylist() == ["007", None, None]


def test_categories_are_indices_in_the_vocabulary() -> None:
    found = categories(pd.Series(["b", " a", "B", "", "unknown", None], dtype=object), ["a", "b"], ["unknown"])
    np.testing.assert_array_equal(found.values, [1, 0, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found.unknown, [False, False, True, False, False, False])
    grades = categories(pd.Series([2.0, np.nan, 4.0, -999.0]), ["1", "2", "3"], ["-999"])
    np.testing.assert_array_equal(grades.values, [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(grades.unknown, [False, False, True, False])


def test_a_number_of_which_the_vocabulary_has_two_spellings_is_neither_of_them() -> None:
    found = categories(pd.Series(["2.5", "2.50", "2.500", "3.0"]), ("2.5", "2.50", "3"))
    np.testing.assert_array_equal(found.values, [0, 1, np.nan, 2])
    assert found.unknown.tolist() == [False, False, True, False]
