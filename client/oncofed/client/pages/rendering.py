"""How does a view become a page? Templates of this package, with every value escaped.

A picture is an element that `drawing` has escaped already. A name that a template misspells is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.desk import Desk, Visit, address_of, desk_of
from oncofed.client.pages.patient_words import in_years
from oncofed.client.pages.wording import time
from oncofed.local_pages.languages import language_of
from oncofed.local_pages.rendering import environment_of, static_version
from oncofed.words.filled import knows, told
from oncofed.words.language import Language, later
from oncofed.words.languages import languages
from oncofed.words.names import capital, plain_name
from oncofed.words.numbers import hazard_ratio, number, percent, whole


@cache
def templates_in(say: Language) -> jinja2.Environment:
    """Templates of one language: what they translate, and how their filters write numbers, is that language's."""
    return environment_of(
        "oncofed.client.pages",
        {
            "capital": capital,
            "number": partial(number, say=say),
            "known": partial(knows, say),
            "hazard_ratio": partial(hazard_ratio, say=say),
            "in_years": partial(in_years, say=say),
            "percent": partial(percent, say=say),
            "say": say,
            "time": partial(time, say=say),
            "told": partial(told, say=say),
            "whole": partial(whole, say=say),
            "plain_name": plain_name,
        },
        say=say,
    )


def read_templates() -> None:
    """Compile all of them, which takes longer than to fill them in."""
    for say in languages():
        environment = templates_in(say)
        for name in environment.list_templates(extensions=["j2"]):
            environment.get_template(name)


ROLE_NAMES = {
    Role.CLINICIAN: later("clinician"),
    Role.ANALYST: later("analyst"),
    Role.ADMINISTRATOR: later("administrator"),
    Role.APPROVER: later("approver"),
    Role.IT: later("hospital IT"),
}
_OF_CONSOLE = (
    ("/plans", later("Plans")),
    ("/quality", later("Data quality")),
    ("/ledger", later("Privacy budget")),
    ("/audit", later("Audit log")),
    ("/node", later("Node")),
)
_LINKS = {
    Role.CLINICIAN: (
        ("/patients", later("Patients")),
        ("/board", later("Tumour board")),
        ("/cohort", later("Cohort")),
    ),
    Role.ANALYST: (("/cohort", later("Cohort")),),
    Role.ADMINISTRATOR: (("/accounts", later("Accounts")), ("/audit", later("Audit log"))),
    Role.APPROVER: _OF_CONSOLE,
    Role.IT: _OF_CONSOLE,
}


def first_page(role: Role) -> str:
    """Where a role begins."""
    return _LINKS[role][0][0]


def page(template: str, visit: Visit, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """A page for somebody who is signed in."""
    return _page(
        template,
        visit.desk,
        visit.say,
        {
            "address": visit.address,
            "account": visit.by,
            "role": visit.say(ROLE_NAMES[visit.session.role]),
            "links": _LINKS[visit.session.role],
            "form_secret": visit.session.form_secret,
            **content,
        },
        status,
    )


def open_page(template: str, request: Request, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """A page for anybody: it holds nothing of the hospital but its name."""
    nobody = {"account": "", "role": "", "links": (), "form_secret": "", "address": address_of(request)}
    return _page(template, desk_of(request), language_of(request), {**nobody, **content}, status)


def _page(template: str, desk: Desk, say: Language, content: Mapping[str, object], status: int) -> HTMLResponse:
    shown = desk.prognosis
    common = {
        "site": desk.site,
        "study": "" if shown is None else shown.study,
        "example": shown is not None and shown.example,
        "version": static_version(),
        "model": "" if shown is None else shown.plan_hash[:12],
        "shown_at": say.shown(desk.now()),
        "languages": languages(),
        "idle_seconds": int(desk.timeouts.idle),
        "here": "",
    }
    text = templates_in(say).get_template(template).render({**common, **content})
    return HTMLResponse(text, status_code=status)
