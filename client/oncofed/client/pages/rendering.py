"""How does a view become a page? Templates of this package, with every value escaped.

A picture is an element that `drawing` has escaped already. A name that a template misspells is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import jinja2
from fastapi.responses import HTMLResponse

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.desk import Desk, Visit
from oncofed.client.pages.patient_words import in_years
from oncofed.client.pages.wording import time
from oncofed.local_pages.rendering import environment_of, static_version
from oncofed.words.names import capital, plain_name
from oncofed.words.numbers import hazard_ratio, number, percent


@cache
def _environment() -> jinja2.Environment:
    return environment_of(
        "oncofed.client.pages",
        {
            "capital": capital,
            "number": number,
            "hazard_ratio": hazard_ratio,
            "in_years": in_years,
            "percent": percent,
            "time": time,
            "plain_name": plain_name,
        },
    )


def read_templates() -> None:
    """Compile all of them, which takes longer than to fill them in."""
    for name in _environment().list_templates():
        _environment().get_template(name)


_LINKS = {
    Role.CLINICIAN: (("/patients", "Patients"), ("/cohort", "Cohort")),
    Role.ANALYST: (("/cohort", "Cohort"),),
    Role.ADMINISTRATOR: (("/accounts", "Accounts"), ("/audit", "Audit log")),
}


def first_page(role: Role) -> str:
    """Where a role begins."""
    return _LINKS[role][0][0]


def page(template: str, visit: Visit, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """A page for somebody who is signed in."""
    return _page(
        template,
        visit.desk,
        {
            "account": visit.by,
            "role": visit.session.role.value,
            "links": _LINKS[visit.session.role],
            "form_secret": visit.session.form_secret,
            **content,
        },
        status,
    )


def open_page(template: str, desk: Desk, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """A page for anybody: it holds nothing of the hospital but its name."""
    return _page(template, desk, {"account": "", "role": "", "links": (), "form_secret": "", **content}, status)


def _page(template: str, desk: Desk, content: Mapping[str, object], status: int) -> HTMLResponse:
    common = {
        "site": desk.hospital.site,
        "study": desk.hospital.study,
        "example": desk.hospital.example,
        "version": static_version(),
        "model": desk.hospital.plan_hash[:12],
        "shown_at": f"{desk.now():%d %B %Y, %H:%M %Z}".lstrip("0"),
        "idle_seconds": int(desk.timeouts.idle),
        "here": "",
    }
    text = _environment().get_template(template).render({**common, **content})
    return HTMLResponse(text, status_code=status)
