"""How does a view become a page? Templates of this package, with every value escaped.

A figure travels as JSON in an attribute, where escaping is the same as everywhere; a script of ours reads it. A name
that a template misspells is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import jinja2
from fastapi.responses import HTMLResponse

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.desk import Desk, Visit
from oncofed.client.pages.figures import Figure
from oncofed.client.pages.plotly_script import plotly_styles
from oncofed.client.pages.wording import capital, floored, hazard_ratio, percent, time, words


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.PackageLoader("oncofed.client.pages"),
    )
    environment.filters.update(
        capital=capital,
        floored=floored,
        hazard_ratio=hazard_ratio,
        json=_json,
        percent=percent,
        time=time,
        words=words,
    )
    return environment


def _json(figure: Figure) -> str:
    return json.dumps(figure, allow_nan=False, separators=(",", ":"))


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
        "idle_seconds": int(desk.timeouts.idle),
        "here": "",
        "plotly_styles": plotly_styles(),
    }
    text = _environment().get_template(template).render({**common, **content})
    return HTMLResponse(text, status_code=status)
