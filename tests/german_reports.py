"""Which words and numbers of a report in German are of another language? By the catalogs' own words, and by names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from html import unescape

from tests.page_texts import entries

WORD = re.compile(r"[^\W\d_]+")
_POINT = re.compile(r"\d\.\d")
_NO_WORDS = re.compile(r"<code>.*?</code>|<[^>]*>|%\(\w+\)s|&\w+;")
_DATE = re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{4}\b")


def read(page: str) -> list[str]:
    """What is read, heard or pointed at, but for what is marked as English, and settings in their own words."""
    page = re.sub(r"<style.*?</style>", "", page, flags=re.S)
    page = re.sub(r'<(?!html)(\w+)[^>]* lang="en"[^>]*>.*?</\1>', "", page, flags=re.S)
    page = re.sub(r'<(\w+) class="mono[^"]*">.*?</\1>', "", page, flags=re.S)
    page = re.sub(r"<code[^>]*>.*?</code>|[0-9a-f]{32,}|[0-9a-f]{12}(?=&hellip;)", "", page, flags=re.S)
    labels = re.findall(r'(?:aria-label|title|alt)="([^"]*)"', page)
    return [unescape(each).strip() for each in (*labels, *re.split(r"<[^>]*>", page)) if each.strip()]


@cache
def _german() -> frozenset[str]:
    """Words of the catalogs, but for the names of what is filled in, elements and commands."""
    said = (each for entry in entries("de").values() for each in entry.said)
    plain = (_NO_WORDS.sub(" ", each) for each in said)
    return frozenset(word.lower() for each in plain for word in WORD.findall(each))


def words_in(names: Iterable[str]) -> set[str]:
    """Of names, which stand in a report as they were written."""
    return {word.lower() for each in names for word in WORD.findall(each.replace("_", " "))}


def foreign(lines: Iterable[str], names: set[str]) -> set[str]:
    """Words that neither the catalogs nor the names have."""
    found = {word for each in lines for word in WORD.findall(each)}
    return {word for word in found if word.lower() not in _german() | names}


def with_a_point(lines: Iterable[str]) -> list[str]:
    """What has a decimal point; a date has none."""
    return [each for each in lines if _POINT.search(_DATE.sub("", each)) and "1.73m2" not in each]
