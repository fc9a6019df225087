"""Does a cell say what a person reads in it, and nothing that nobody wrote?"""

from __future__ import annotations

from datetime import date
from decimal import Decimal as Exact
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Decimal, Limits, Thousands
from oncofed.client.importing.readings import Column, numbers
from oncofed.client.importing.typed_cells import TypedColumns

NAN = float("nan")


def source(decimal: Decimal = Decimal.POINT, thousands: Thousands | None = None) -> Source:
    return Source(name="s", path=Path("s.csv"), patient="id", decimal=decimal, thousands=thousands)


def read(text: str, of: Source, limits: Limits = Limits.FAULT) -> float:
    return float(numbers(Column(pd.Series([text])), of, ["NA"], limits=limits).values[0])


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "wanted"),
    [
        ("1.5", "point", None, 1.5),
        ("1,5", "comma", None, 1.5),
        ("+1,5", "comma", None, 1.5),
        ("-0,05", "comma", None, -0.05),
        (",5", "comma", None, 0.5),
        ("1,5e3", "comma", None, 1500.0),
        ("1,5", "point", None, NAN),
        ("1.234", "comma", None, NAN),  # 1.234 or 1234? Nobody knows
        ("1.234", "comma", "point", 1234.0),
        ("1.234,5", "comma", "point", 1234.5),
        ("12.34", "comma", "point", NAN),
        ("1,234.5", "point", "comma", 1234.5),
        ("1,234", "point", None, NAN),
        ("1 234,5", "comma", "blank", 1234.5),
        ("1'234.5", "point", "apostrophe", 1234.5),
        ("nan", "point", None, NAN),
        ("inf", "point", None, NAN),
        ("1e999", "point", None, NAN),
        ("١٢", "point", None, NAN),
        ("1.5 mg/l", "point", None, NAN),
    ],
)
def test_a_number_is_one_only_as_its_source_writes_them(
    text: str, decimal: str, thousands: str | None, wanted: float
) -> None:
    found = numbers(
        Column(pd.Series([text])),
        source(Decimal(decimal), None if thousands is None else Thousands(thousands)),
        [],
    )
    np.testing.assert_array_equal(found.values, [wanted])
    assert found.malformed[0] == np.isnan(wanted)


@given(st.decimals(min_value=-10_000_000, max_value=10_000_000, places=2))
def test_a_number_that_a_german_program_writes_is_read_back(number: Exact) -> None:
    text = f"{number:,.2f}".translate({ord(","): ".", ord("."): ","})
    assert read(text, source(Decimal.COMMA, Thousands.POINT)) == float(number)


@pytest.mark.parametrize(
    ("text", "limits", "wanted", "limited"),
    [
        ("<0,5", Limits.AT_LIMIT, 0.5, True),
        ("< 0,5", Limits.HALF, 0.25, True),
        ("≤0,5", Limits.HALF, 0.25, True),
        (">100", Limits.HALF, 100.0, True),
        (">= 100", Limits.AT_LIMIT, 100.0, True),
        ("<0,5", Limits.MISSING, NAN, True),
        ("<0,5", Limits.FAULT, NAN, True),
        ("<x", Limits.AT_LIMIT, NAN, False),
        ("0,5<", Limits.AT_LIMIT, NAN, False),
        ("NA", Limits.AT_LIMIT, NAN, False),
    ],
)
def test_a_limit_of_detection_is_what_the_mapping_says(text: str, limits: Limits, wanted: float, limited: bool) -> None:
    found = numbers(Column(pd.Series([text])), source(Decimal.COMMA), ["NA"], limits=limits)
    np.testing.assert_array_equal(found.values, [wanted])
    assert bool(found.limited[0]) is limited
    assert bool(found.malformed[0]) is (bool(np.isnan(wanted)) and not limited and text != "NA")


@pytest.mark.parametrize(
    ("text", "words", "wanted"),
    [
        ("<5", {"5": "0.05"}, 0.05),  # a code of the laboratory
        ("< 5", {"5.0": "7"}, 5.0),
        ("<5.0", {"5": "0.05"}, 0.05),
        (">3+", {"3+": "3"}, 3.0),
        ("<5", {"<5": "1"}, 1.0),
        ("<6", {"5": "0.05"}, 6.0),
        ("<unclear", {"5": "0.05"}, NAN),
    ],
)
def test_a_word_of_the_mapping_means_the_same_behind_an_operator(
    text: str, words: dict[str, str], wanted: float
) -> None:
    found = numbers(Column(pd.Series([text])), source(), [], translated=words, limits=Limits.AT_LIMIT)
    np.testing.assert_array_equal(found.values, [wanted])
    assert bool(found.limited[0]) is (not np.isnan(wanted) and text not in words)
    assert bool(found.malformed[0]) is bool(np.isnan(wanted))


@pytest.mark.parametrize("cells", [[1, 2], [1.0, 2.0], ["1", "2.0"], [Exact("1.00"), Exact(2)]])
def test_a_cell_means_the_same_however_it_is_stored(cells: list[object]) -> None:
    column = Column(pd.Series(cells))
    np.testing.assert_array_equal(numbers(column, source(), []).values, [1, 2])
    np.testing.assert_array_equal(column.among(["2"]), [False, True])
    np.testing.assert_array_equal(numbers(column, source(), [], translated={"2": "7"}).values, [1, 7])
    np.testing.assert_array_equal(numbers(column, source(), ["1"]).values, [NAN, 2])
    np.testing.assert_array_equal(column.empty(["2"]), [False, True])


@pytest.mark.parametrize(
    ("text", "form", "wanted"),
    [
        ("2021-03-04", "YYYY-MM-DD", date(2021, 3, 4)),
        ("04.03.2021", "DD.MM.YYYY", date(2021, 3, 4)),
        ("4.3.2021", "DD.MM.YYYY", date(2021, 3, 4)),
        ("03/04/2021", "MM/DD/YYYY", date(2021, 3, 4)),
        ("2021-03-04 23:59", "YYYY-MM-DD", date(2021, 3, 4)),
        ("2021-03-04T23:59:10+01:00", "YYYY-MM-DD", date(2021, 3, 4)),
        ("20210304", "YYYYMMDD", date(2021, 3, 4)),
        ("00.03.2021", "DD.MM.YYYY", None),
        ("31.02.2021", "DD.MM.YYYY", None),
        ("04.03.21", "DD.MM.YYYY", None),
        ("04x03x2021", "DD.MM.YYYY", None),
        ("04.03.1021", "DD.MM.YYYY", None),
        ("2211-03-04", "YYYY-MM-DD", date(2211, 3, 4)),  # shifted, as those of MIMIC-IV are
        ("2221-03-04", "YYYY-MM-DD", None),
        ("2021-03", "YYYY-MM-DD", None),
    ],
)
def test_a_day_is_one_only_in_its_form(text: str, form: str, wanted: date | None) -> None:
    days, malformed = Column(pd.Series([text])).days(form, [])
    assert bool(malformed[0]) is (wanted is None)
    if wanted is not None:
        assert date.fromordinal(int(days[0])) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2020-12-31 23:30:00+00:00", date(2021, 1, 1)),
        ("2020-12-31T23:30:00.123Z", date(2021, 1, 1)),
        ("2020-12-31 23:30+00", date(2021, 1, 1)),
        ("2021-01-01T00:30:00+01:00", date(2021, 1, 1)),
        ("2020-12-31 18:30:00-0500", date(2021, 1, 1)),
        ("2020-12-31 23:30:00", date(2020, 12, 31)),
        ("2020-12-31", date(2020, 12, 31)),
        ("2020-07-31 22:30:00Z", date(2020, 8, 1)),  # in summer
    ],
)
def test_a_moment_with_its_zone_is_the_day_that_it_was_at_the_hospital(text: str, wanted: date) -> None:
    days, malformed = Column(pd.Series([text])).days("YYYY-MM-DD", [], ZoneInfo("Europe/Berlin"))
    assert not malformed.any()
    assert date.fromordinal(int(days[0])) == wanted


@pytest.mark.parametrize("cells", [[True, False, None], [True, False]])
def test_true_and_false_are_words_without_capitals_and_no_numbers(cells: list[bool | None]) -> None:
    column = Column(pd.Series(cells))
    for yes in ("true", "True", "TRUE"):
        assert column.among([yes]).tolist() == [True, False, False][: len(cells)]
    read = numbers(column, source(), [])
    assert read.malformed.tolist() == [True, True, False][: len(cells)]
    assert numbers(column, source(), [], truths=True).values[:2].tolist() == [1.0, 0.0]
    assert numbers(column, source(), [], translated={"True": "7", "FALSE": "8"}).values[:2].tolist() == [7.0, 8.0]
    assert column.indices({"TRUE": "yes", "False": "no"}, ("no", "yes"))[:2].tolist() == [1.0, 0.0]
    assert column.empty([]).tolist() == [False, False, True][: len(cells)]


def test_an_unknown_day_is_none_and_no_fault() -> None:
    days, malformed = Column(pd.Series(["", "unbekannt", None])).days("DD.MM.YYYY", ["unbekannt"])
    assert np.isnan(days).all()
    assert not malformed.any()


def test_a_word_that_ends_in_a_star_is_a_beginning() -> None:
    column = Column(pd.Series(["C34.1", "C50", "c34", ""]))
    np.testing.assert_array_equal(column.among(["C34*"]), [True, False, False, False])
    np.testing.assert_array_equal(column.among(["*"]), [True, True, True, False])


@pytest.mark.parametrize(
    "stored", [["TRUE", "FALSE", "no word"], ["true", "false", "no word"], [True, False, "no word"]]
)
@pytest.mark.parametrize("words", [("TRUE", "FALSE"), ("true", "false"), ("True", " False")])
def test_true_and_false_have_no_capitals_beside_words_either(stored: list[object], words: tuple[str, str]) -> None:
    """One cell with a remark makes a column of texts of a spreadsheet's truths."""
    packed = TypedColumns(["a"], source())
    packed.add([[cell] for cell in stored])
    column, (yes, no) = Column(packed.frame()["a"]), words
    assert column.among([yes]).tolist() == [True, False, False]
    assert column.empty([no]).tolist() == [False, True, False]
    assert column.indices({yes: "b", no: "a"}, ("a", "b"))[:2].tolist() == [1.0, 0.0]
    assert numbers(column, source(), [], translated={yes: "7", no: "8"}).values[:2].tolist() == [7.0, 8.0]
    assert column.among(["no word"]).tolist() == [False, False, True]
    assert column.among(["No word"]).tolist() == [False, False, False]


@pytest.mark.parametrize("stored", [[True, False], ["true", "false"], ["TRUE", "FALSE"], ["True", "False"]])
@pytest.mark.parametrize("words", [{"true": "0", "false": "1"}, {"TRUE": "0", "FALSE": "1"}])
def test_what_a_mapping_says_of_true_and_false_wins(stored: list[object], words: dict[str, str]) -> None:
    """The column tells of an intact protein, the marker of a deficient one."""
    column = Column(pd.Series(stored, dtype=object))
    assert numbers(column, source(), [], translated=words, truths=True).values.tolist() == [0.0, 1.0]
    assert numbers(column, source(), [], translated={"unknown": "0"}, truths=True).values.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("cells", "words", "wanted", "left_out"),
    [
        (["1", "2", "2.0"], {"2": "1"}, [NAN, 1, 1], [True, False, False]),  # a sex of 1 and 2
        (["1", "0", "true"], {"1": "0"}, [0, NAN, NAN], [False, True, True]),
        ([True, False], {"1": "0", "0": "1"}, [NAN, NAN], [True, True]),
        ([1, 0], {"true": "0", "FALSE": "1"}, [NAN, NAN], [True, True]),
        (["1.0", "false"], {"True": "0", "False": "1"}, [NAN, 1], [True, False]),
        (["true", "false"], {"true": "0"}, [0, NAN], [False, True]),
        (["TRUE", "x"], {"FALSE": "1"}, [NAN, NAN], [True, False]),
        (["1", "0", "true", "no"], {"no": "0"}, [1, 0, 1, 0], [False] * 4),
        (["3", "<3", "4"], {"4": "3"}, [NAN, NAN, 3], [True, False, False]),
    ],
)
def test_a_code_that_the_words_leave_out_means_nothing(
    cells: list[object], words: dict[str, str], wanted: list[float], left_out: list[bool]
) -> None:
    read = numbers(Column(pd.Series(cells)), source(), [], translated=words, truths=True, codes=True)
    np.testing.assert_array_equal(read.values, wanted)
    assert read.unlisted.tolist() == left_out
    assert read.malformed.tolist() == np.isnan(wanted).tolist()
    measured = numbers(Column(pd.Series(["5", "7"])), source(), [], translated={"5": "0.5"})
    assert measured.values.tolist() == [0.5, 7.0]  # of a continuous marker


@given(st.permutations([0.0, -0.0, 0.0]))
def test_the_sign_of_nothing_depends_on_no_order(cells: list[float]) -> None:
    assert np.signbit(numbers(Column(pd.Series(cells)), source(), []).values).tolist() == [False] * 3


BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    "clock",
    [
        "T23:30:00Z",
        " 23:30 UTC",
        " 23:30:00.000 Z",
        " 23:30:00,5 GMT",
        " 23:30+00:00",
        " 23:30 +0000",
        " 23:59:60Z",
        " 24:00Z",
        " 22:30-01:00",
        " 23:30 GMT+00:00",
        " 11:30:00 PM +00:00",  # as SQL Server prints it
        "T23:30Z[UTC]",
        " 23:30:00 +0000 UTC",
        " 23:30 UTC+0",
        " 23:30 Zulu",
    ],
)
@pytest.mark.parametrize(("form", "day"), [("YYYY-MM-DD", "2020-12-31"), ("DD.MM.YYYY", "31.12.2020")])
def test_a_text_with_a_moment_is_the_day_that_it_was_at_the_hospital(form: str, day: str, clock: str) -> None:
    column = Column(pd.Series([day + clock]))
    there = {BERLIN: date(2021, 1, 1), NEW_YORK: date(2020, 12, 31)}
    for zone, wanted in there.items():
        days, malformed = column.days(form, [], zone)
        assert days.tolist() == [wanted.toordinal()]
        assert not malformed.any()
    days, malformed = column.days(form, [])
    assert malformed.tolist() == [not clock.endswith("-01:00")]  # another clock than UTC's is the hospital's


@pytest.mark.parametrize(
    "clock",
    [
        "",
        " 23:30",
        " 23:30:00.5",
        " 23:30 MEZ",
        " 23:30 Uhr",
        " 23:30+01:00",
        " 00:00Z",
        " 12:00-13:00",
        " 11:00-12:00",
    ],
)
def test_a_text_that_tells_no_moment_in_utc_needs_no_time_zone(clock: str) -> None:
    column = Column(pd.Series([f"2020-12-31{clock}"]))
    for zone in (None, BERLIN):
        days, malformed = column.days("YYYY-MM-DD", [], zone)
        assert days.tolist() == [date(2020, 12, 31).toordinal()]
        assert not malformed.any()


def test_a_moment_in_utc_that_cannot_be_read_is_no_day() -> None:
    for zone in (None, BERLIN):
        assert Column(pd.Series(["2020-12-31 23:30 night UTC"])).days("YYYY-MM-DD", [], zone)[1].all()


@pytest.mark.parametrize(
    ("cells", "wanted", "moved"),
    [
        (["2021-01-01T00:00:00Z", "2021-02-01 00:00 UTC", "2021-03-01", ""], [1, 1, 1], 0),
        (["2021-01-01T00:00:00+01:00", "2021-02-01T00:00:00.000+01:00", "2021-03-01 00:00"], [1, 1, 1], 0),
        (["2021-01-01T00:00:00Z", "2021-02-01T00:00:00Z", "2021-03-01T12:00:00Z"], [0, 0, 1], 2),
        (["2021-01-01T00:00:00Z", "2021-02-01 13:00", "2021-03-01"], [0, 1, 1], 1),
        (["2021-01-01T00:00:00Z", "2099-12-31T23:30:00Z", "2021-03-01"], [1, None, 1], 0),
        (["2021-01-01T00:30:00Z", "2021-02-01T12:00 AM +00:00", "2021-03-01"], [0, 0, 1], 0),
    ],
)
def test_a_column_of_nothing_but_midnights_holds_days(cells: list[str], wanted: list[int | None], moved: int) -> None:
    """Midnight in UTC is the evening before in New York. Wanted: the first of the month, or the day before."""
    told = Column(pd.Series(cells)).told_days("YYYY-MM-DD", ["2099-12-31"], NEW_YORK)
    days = [
        np.nan if each is None else date(2021, month, 1).toordinal() - (1 - each)
        for month, each in enumerate(wanted, start=1)
    ]
    np.testing.assert_array_equal(told.values[:3], days)
    assert int(told.moved.sum()) == moved
    assert not told.malformed.any()


@pytest.mark.parametrize("cell", ["2099-12-31", "2099-12-31T23:30:00Z", "2099-12-31 23:59:59", "2100-01-01T04:00Z"])
def test_a_day_that_is_missing_is_so_at_every_hour(cell: str) -> None:
    """As it is written, and as it was at the hospital."""
    for zone in (BERLIN, NEW_YORK):
        told = Column(pd.Series([cell, "2021-01-01T08:00:00Z"])).told_days("YYYY-MM-DD", ["2099-12-31"], zone)
        gone = zone is NEW_YORK or not cell.startswith("2100")
        assert told.missing.tolist() == [gone, False]
    assert Column(pd.Series(["9999-12-31 00:00:00"])).told_days("YYYY-MM-DD", ["9999-12-31"]).missing.all()


def test_without_a_mark_between_them_a_month_has_two_digits() -> None:
    assert Column(pd.Series(["2021111", "20211101"])).days("YYYYMMDD", [])[1].tolist() == [True, False]
