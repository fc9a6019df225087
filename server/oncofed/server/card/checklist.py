"""Which answer does a run give to each item of TRIPOD+AI?

`checklist` puts together what the run knows and what the study file says; `checklist_markdown` and `checklist_json`
write it down. An item that nobody answers reads "not stated".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from oncofed.server.card.items import ITEMS, Item
from oncofed.server.card.known import Known
from oncofed.server.card.markdown import heading, quoted_lines
from oncofed.server.card.methods import methods_said
from oncofed.server.card.results import results_said
from oncofed.server.card.statement import NOT_STATED, Statement, statement

SOURCE = (
    "TRIPOD+AI statement (Collins et al., BMJ 385:e078378, 2024, CC BY 4.0); the items stand here in a few words of "
    "our own, and theirs count."
)


@dataclass(frozen=True)
class Answer:
    """One item, and what there is to say."""

    item: Item
    said: Statement


def checklist(known: Known) -> tuple[Answer, ...]:
    """One answer for each item, in TRIPOD+AI's order."""
    by_run = {**methods_said(known), **results_said(known)}
    return tuple(Answer(item, statement(known.reporting, by_run.get(item.number, ""), *item.texts)) for item in ITEMS)


def checklist_markdown(known: Known) -> str:
    """A page."""
    return "\n".join(_lines(known)) + "\n"


def _lines(known: Known) -> Iterator[str]:
    yield f"# TRIPOD+AI checklist: {heading(known.title)}"
    yield ""
    yield (
        "Made by the run from what it knows. What people said is quoted from the study file, section "
        f'[reporting]; where nobody said anything, it reads "{NOT_STATED}".'
    )
    yield ""
    yield f"Source of the items: {SOURCE}"
    for section, answers in groupby(checklist(known), key=lambda each: each.item.section):
        yield ""
        yield f"## {section}"
        for answer in answers:
            yield ""
            yield f"**{answer.item.number}** {answer.item.asks}"
            yield ""
            yield from quoted_lines(answer.said)


def checklist_json(known: Known) -> dict[str, Any]:
    """The same for programs."""
    return {
        "source": SOURCE,
        "study": known.title,
        "items": [
            {
                "item": answer.item.number,
                "section": answer.item.section,
                "asks": answer.item.asks,
                "stated": answer.said.stated,
                "by_the_run": answer.said.said or None,
                "from_the_study_file": {key: text or None for key, text in answer.said.quoted},
                "text": answer.said.as_text(),
            }
            for answer in checklist(known)
        ],
    }
