"""How is a statement, and a model's card, written as Markdown?

What people said stands in a block quotation under its key, so that nobody takes it for the run's own words; no HTML in
it counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from oncofed.server.card.model_card import Entry, ModelCard
from oncofed.server.card.statement import NOT_STATED, Statement
from oncofed.words.names import one_line


def heading(text: str) -> str:
    """A title on one line."""
    return without_html(one_line(text))


def without_html(text: str) -> str:
    """Whatever reads it: an angle bracket begins nothing."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def quoted_lines(found: Statement) -> Iterator[str]:
    """The lines of a statement."""
    if found.said:
        yield without_html(found.said)
    for key, text in found.quoted:
        if not text:
            continue
        if found.said or (key, text) != found.quoted[0]:
            yield ""
        yield f"From the study file, `[reporting]` `{key}`:"
        yield ""
        for line in without_html(text).splitlines():
            yield f"> {line}".rstrip()
    silent = ", ".join(f"`{key}`" for key, text in found.quoted if not text)
    if silent:
        yield from [""] * bool(found.stated)
        yield f"{NOT_STATED} in the study file: {silent}"
    elif not found.stated:
        yield NOT_STATED


def card_markdown(card: ModelCard) -> str:
    """A page."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: ModelCard) -> Iterator[str]:
    yield f"# Model card: {heading(card.title)}"
    yield ""
    yield (
        "Made by the run from what it knows. What people said is quoted from the study file, section [reporting]; "
        f'where nobody said anything, it reads "{NOT_STATED}". The entries are those of the Applied Model Card of '
        "the Coalition for Health AI; model_card.xml holds the same for programs."
    )
    yield from _entries(card.entries)
    yield from ["", "## Key metrics"]
    for group in card.metrics:
        yield from ["", f"### {group.asks}", ""]
        yield from _told(group.before)
        yield ""
        if group.figures:
            yield from ("| figure | value |", "|---|---|")
            yield from (f"| {_cell(each.label)} | {each.shown} |" for each in group.figures)
        else:
            yield f"Figures: {NOT_STATED}"
        yield ""
        yield from _told(group.after)
    yield from _entries(card.rest)


def _cell(text: str) -> str:
    return without_html(text).replace("|", "\\|")


def _entries(entries: Sequence[Entry]) -> Iterator[str]:
    for section, inside in groupby(entries, key=lambda each: each.place[0]):
        yield from ["", f"## {SECTIONS[section]}", ""]
        yield from _told(tuple(inside))


def _told(entries: Sequence[Entry]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        yield from [""] * bool(number)
        yield f"**{entry.asks}**"
        yield ""
        yield from quoted_lines(entry.said)


SECTIONS = {
    "BasicInfo": "Model",
    "ReleaseInfo": "Release",
    "ModelSummary": "Summary",
    "UsesAndDirections": "Uses and directions",
    "Warnings": "Warnings",
    "TrustIngredients": "How it was made",
    "Resources": "Resources",
    "Bibliography": "Bibliography",
}
