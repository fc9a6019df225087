"""Is a number written in one way, never as more than it is, and never as nan or -0?"""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.cohort.schema import Modality
from oncofed.words.names import MODALITY_NAMES, capital, one_line, plain_name, shortened
from oncofed.words.numbers import counted, decimals, hazard_ratio, number, percent, scientific, signed, whole

NAN, INFINITY, MINUS = float("nan"), float("inf"), "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.0, "1.00"),
        (2.5, "2.50"),
        (9.99, "9.99"),
        (9.996, "10"),
        (24.4, "24"),
        (999.0, "999"),
        (1000.0, "1000"),
        (1001.0, "above 1000"),
        (0.5, "0.50"),
        (0.1, "0.10"),
        (0.0994, "0.099"),
        (0.0123, "0.012"),
        (0.001, "0.001"),
        (0.00099, "below 0.001"),
    ],
)
def test_hazard_ratios(ratio: float, said: str) -> None:
    assert hazard_ratio(math.log(ratio)) == said


def test_hazard_ratios_without_a_number() -> None:
    assert [hazard_ratio(value) for value in (800.0, -800.0, INFINITY, -INFINITY, NAN)] == [
        *("above 1000", "below 0.001") * 2,
        "not computed",
    ]


@given(st.floats(-6.9, 6.9))
def test_a_hazard_ratio_is_written_to_six_per_cent_and_never_as_none(log_hazard_ratio: float) -> None:
    written = float(hazard_ratio(log_hazard_ratio))
    assert written == pytest.approx(math.exp(log_hazard_ratio), rel=0.06)
    assert (written > 1) == (log_hazard_ratio > 0) or written == 1


@pytest.mark.parametrize(
    ("share", "digits", "said"),
    [
        (0.0, 0, "0 %"),
        (1e-4, 0, "below 1 %"),
        (0.004, 0, "below 1 %"),
        (0.256, 0, "26 %"),
        (0.999, 0, "above 99 %"),
        (1.0, 0, "100 %"),
        (1 - 1e-15, 0, "100 %"),
        (1e-4, 1, "below 0.1 %"),
        (0.0042, 1, "0.4 %"),
        (0.9999, 1, "above 99.9 %"),
        (-0.001, 0, "0 %"),
        (-0.12, 0, f"{MINUS}12 %"),
        (None, 0, "not computed"),
        (NAN, 1, "not computed"),
        (INFINITY, 0, "infinite"),
    ],
)
def test_shares(share: float | None, digits: int, said: str) -> None:
    assert percent(share, digits).replace("\N{NO-BREAK SPACE}", " ") == said


@given(st.floats(1e-6, 1 - 1e-6), st.integers(0, 3))
def test_only_none_is_0_and_only_all_is_100_per_cent(share: float, digits: int) -> None:
    assert not re.match(r"(0|0\.0+|100|100\.0+)\s", percent(share, digits))


def test_decimals_signs_and_counts() -> None:
    assert [decimals(value) for value in (None, NAN, 0.7126, -1234.5, -0.0001)] == [
        "not computed",
        "not computed",
        "0.713",
        f"{MINUS}1,234.500",
        "0.000",
    ]
    assert [decimals(value) for value in (INFINITY, -INFINITY)] == ["infinite", "minus infinite"]
    assert [signed(value) for value in (0.25, -0.25, 0.001, -0.001, -0.0)] == [
        *("+0.25", f"{MINUS}0.25"),
        *("0.00",) * 3,
    ]
    assert [whole(value) for value in (0, 1200, -0.2)] == ["0", "1,200", "0"]
    assert [counted(count, "round", "rounds") for count in (0, 1, 1200)] == ["0 rounds", "1 round", "1,200 rounds"]
    assert [scientific(value) for value in (1e-5, 2.5e-7, 0.001, 0.0)] == [
        "1e-5 (1 in 100,000)",
        "2.5e-7 (1 in 4,000,000)",
        "0.001 (1 in 1,000)",
        "0",
    ]
    assert [number(value) for value in (-1.17, 250_000.0, 1e12, 0.00012)] == [
        f"{MINUS}1.17",
        "250,000",
        "1e+12",
        "0.00012",
    ]


def test_names() -> None:
    assert plain_name(" tp53_\n mutation ") == "tp53 mutation"
    assert [shortened("abcdef", limit) for limit in (6, 5)] == ["abcdef", "abcd…"]
    assert one_line("a\x00b\nc") == "a\N{REPLACEMENT CHARACTER}b c"
    assert capital("mRNA") == "MRNA"
    assert set(MODALITY_NAMES) == set(Modality)
    assert len(set(MODALITY_NAMES.values())) == len(Modality)
