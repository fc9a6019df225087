"""Is a day written in one way wherever a language writes it?"""

from __future__ import annotations

from datetime import UTC, datetime

from oncofed.words.language import ENGLISH
from oncofed.words.languages import language_called

FIRST = datetime(2026, 12, 1, 8, 5, tzinfo=UTC)


def test_a_foot_writes_the_day_as_the_page_above_it_does() -> None:
    german = language_called("de")
    assert german.shown(FIRST) == "01.12.2026, 08:05 UTC"
    assert german.shown(FIRST).startswith(german.date(FIRST.date()))


def test_a_day_before_the_name_of_its_month_has_no_zero_in_front() -> None:
    assert ENGLISH.shown(FIRST) == "1 December 2026, 08:05 UTC"
