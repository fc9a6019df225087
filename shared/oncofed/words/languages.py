"""In which languages are pages and reports whole?

A language stands here only when its catalogs have every text of every page and of every report that speaks it, which
tests hold it to. `de.po` has the texts of a hospital's pages and of what all ends say; `de_coordinator.po` those that
the coordinator's pages have besides, `de_plans.po` what a plan asks for, `de_quality.po` what is
found in a table, `de_reports.po` those of reports.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from oncofed.words.catalog import Entry, read_catalog, translations
from oncofed.words.language import ENGLISH, NARROW_SPACE, Language

CATALOGS = ("", "_coordinator", "_plans", "_quality", "_reports")
"""What follows a language's code in the names of its files."""


def catalog_text(code: str, *, part: str = "") -> str:
    """The `.po` file of a language. part: of `CATALOGS`."""
    return files("oncofed.words").joinpath("catalogs", f"{code}{part}.po").read_text(encoding="utf-8")


def catalog_entries(code: str) -> tuple[Entry, ...]:
    """Of all files of a language, the header first."""
    found: list[Entry] = []
    for part in CATALOGS:
        read = read_catalog(catalog_text(code, part=part), where=f"{code}{part}.po")
        found += [each for each in read if each.text or not found]
    return tuple(found)


@cache
def languages() -> tuple[Language, ...]:
    """English first. Read once: a catalog is part of the program."""
    german = Language(
        "de",
        "Deutsch",
        decimal=",",
        thousands=NARROW_SPACE,
        day="%d.%m.%Y",
        moment="%d.%m.%Y %H:%M:%S",
        shown_at="%d.%m.%Y, %H:%M %Z",
        translations=translations(catalog_entries("de")),
    )
    return (ENGLISH, german)


def language_called(code: str) -> Language:
    """Of `languages`. Raises KeyError where there is none."""
    return {each.code: each for each in languages()}[code]
