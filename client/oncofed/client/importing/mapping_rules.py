"""When does one key of a mapping file suit the keys before it?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Any

from oncofed.client.importing.analytes import BY_NAME
from oncofed.client.importing.mapping_choices import Near
from oncofed.client.importing.same_words import as_compared, digits
from oncofed.cohort.instants import region
from oncofed.errors import Fault
from oncofed.file_model import ABSENT, Known, Rule, Wrong
from oncofed.toml_file import closest

DAY_TOKENS = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{1,2})", "DD": r"(?P<day>\d{1,2})"}


def strftime_of(form: str) -> str:
    """The form of a day, as `date.strftime` takes it."""
    for token, sign in {"YYYY": "%Y", "MM": "%m", "DD": "%d"}.items():
        form = form.replace(token, sign)
    return form


def only_beside(key: str, *, beside: bool = True, needed: bool = False) -> Rule:
    """The field needs that one, before it, or (beside false) cannot stand with it. needed: that one needs it, too."""

    def judge(value: Any, known: Known) -> Any:
        if key not in known.before:
            return value
        there = known.before[key] not in (None, ())
        if value not in (None, (), False) and there is not beside:
            if beside:
                raise Wrong(f"has no meaning without {key}", f"Add {key}, or remove it.")
            raise Wrong(f"stands beside {key}", "Keep one of the two.")
        if needed and there and value in (None, ()):
            raise Wrong(*ABSENT)
        return value

    return Rule(judge)


def only_where(key: str, *choices: object) -> Rule:
    """The field has a meaning only where that one, before it, is one of these choices."""

    def judge(value: Any, known: Known) -> Any:
        if value is not None and key in known.before and known.before[key] not in choices:
            raise Wrong(f"has no meaning for this {key}", "Remove it.")
        return value

    return Rule(judge)


def told_apart(contacts: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    """Some source tells contacts. One column may have days of events and contacts only where another says which."""
    if known.before.get("event_date") and not contacts and not _names_columns(known.before.get("contacts")):
        raise Wrong(*ABSENT)
    if known.before.get("event_date") in (contacts or ()) and known.before.get("event") is None:
        raise Wrong("makes an event of each last contact", "Name the column that says who had the event (event).")
    return contacts


def _names_columns(contacts: Mapping[str, tuple[str, ...]] | None) -> bool:
    """None: not known, since it is at fault."""
    return contacts is None or any(contacts.values())


def meant_twice(where: str, **lists: tuple[str, ...]) -> Iterator[Fault]:
    """Where a word stands in two lists, one of them would win in silence."""
    for (key, words), (other, more) in combinations(lists.items(), 2):
        if _meanings(words) & _meanings(more):
            yield Fault(f"{where}, {key}", f"has a word that stands under {other}, too", "Keep one of the two.")


def _meanings(words: tuple[str, ...]) -> set[str]:
    return {digits(as_compared(word)) for word in words}


def missing_values(where: str, values: tuple[str, ...], missing: tuple[str, ...]) -> Iterator[Fault]:
    """Where a word for "not known" is a value that no cell has, and that is made of what a source tells."""
    if _meanings(values) & _meanings(missing):
        what = f"has a word that is a value here ({' and '.join(values)}: whether there is one)"
        yield Fault(f"{where}, missing", what, "Give it words of its own here, without this one, such as missing = [].")


def one_nearness(where: str, said: Sequence[Near | None]) -> Iterator[Fault]:
    """Where two identifiers would be one patient in a source, and two in another, nobody knows whose a row is."""
    if {Near.ALIKE, Near.DIFFER} <= {*said}:
        remedy = "Say one of the two in all sources that say it, and write the identifiers of the others alike."
        yield Fault(f"{where}: near_identifiers", "is alike in one source and differ in another", remedy)


def among_analytes(name: str | None, known: Known) -> str | None:
    if name is not None and name not in BY_NAME:
        raise Wrong("is not in the table of analytes", closest(name, list(BY_NAME)))
    return name


def rising_window(window: tuple[int, ...] | None, known: Known) -> tuple[int, ...] | None:
    if window is not None and window[0] > window[1]:
        raise Wrong("is reversed", "Write [first day, last day], such as [-90, 0].")
    return window


def day_form(text: str | None, known: Known) -> str | None:
    if text is not None and any(text.count(token) != 1 for token in DAY_TOKENS):
        raise Wrong("does not say where year, month and day stand", "Write it with YYYY, MM and DD, as DD.MM.YYYY.")
    return text


def true_alone(said: bool | None, known: Known) -> bool | None:
    """A truth whose contrary is another key's matter."""
    if said is False:
        raise Wrong("says nothing as false", "Remove it, and name each server with its files under servers.")
    return said


def known_zone(name: str | None, known: Known) -> str | None:
    if name is None or region(name) is not None:
        return name
    raise Wrong("is no time zone of a place", "Write it as the public list of zones does, such as Europe/Berlin.")


def iso_day(text: str | None, known: Known) -> str | None:
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise Wrong("is not a day", "Write it as YYYY-MM-DD, in quotes.")
