"""May this request see what it asks for, and with which form did it come?

Every route names the roles that it is for; `visit_of` finds the session behind the cookie and refuses everybody else;
a form counts only with the session's own secret in it. A refusal is an entry of the audit log before it is
answered, and says nothing of what there would have been to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from oncofed.client.launch.launches import Launches
from oncofed.client.pages.accounts import Accounts, Role
from oncofed.client.pages.board_lists import BoardLists
from oncofed.client.pages.console import Console
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.password_turns import PasswordTurns
from oncofed.client.pages.sessions import Session, Sessions, Way
from oncofed.client.pages.viewing_record import FORM, NO_SESSION, ROLE, ViewingRecord
from oncofed.client.sign_on.proxy_names import ProxyNames, Why
from oncofed.local_pages.forms import Fields, FormRefused, form_fields
from oncofed.local_pages.languages import language_of
from oncofed.local_pages.refusals import PageRefused, SignInNeeded
from oncofed.local_pages.sessions import Timeouts
from oncofed.words.language import Language, later


@dataclass(frozen=True, eq=False)
class Desk:
    """All that the routes work with.

    prognosis     of the study that is shown; None where no study of this hospital has a model yet.
    console       where persons decide about plans; None where there is no node, as for a simulated run.
    launches      by which a record system opens patients; None where none is configured.
    names         by which a reverse proxy says who asks; None where none is configured.
    turns         around every check and every new hash of a password.
    secure        cookies go over TLS only. hosts: names under which the pages may be asked for.
    board         whom each clinician has put on a list for the tumour board.
    read_on       when the table was read, to the day.
    audit_log     shown to administrators. now: the time that stands on a page, in the hospital's zone.
    """

    prognosis: HospitalPrognosis | None
    accounts: Accounts
    sessions: Sessions
    turns: PasswordTurns
    record: ViewingRecord
    board: BoardLists
    audit_log: Path
    secure: bool
    hosts: frozenset[str]
    timeouts: Timeouts = Timeouts()  # noqa: RUF009 - frozen
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    console: Console | None = None
    launches: Launches | None = None
    read_on: date = field(default_factory=lambda: datetime.now().astimezone().date())
    names: ProxyNames | None = None

    @property
    def hospital(self) -> HospitalPrognosis:
        """Raises PageRefused where there is no model."""
        if self.prognosis is None:
            raise PageRefused(404, later("No study of this hospital has a model yet, so there is nothing to explain."))
        return self.prognosis

    @property
    def site(self) -> str:
        """The hospital's name."""
        if self.console is not None:
            return self.console.site
        return self.hospital.site

    @property
    def cookie(self) -> str:
        """The prefix makes browsers refuse a cookie that another host or plain HTTP has set."""
        return "__Host-oncofed" if self.secure else "oncofed_session"


@dataclass(frozen=True, eq=False)
class Visit:
    """A request by somebody who may make it. peer: whose connection it is. say: the language of the answer.

    address: of the page, where it can be asked for again; else empty. named: by the proxy; empty where it names nobody.
    """

    desk: Desk
    session: Session
    identifier: str
    peer: str
    say: Language
    address: str
    named: str = ""

    @property
    def by(self) -> str:
        return self.session.account


def desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def peer_of_request(request: Request) -> str:
    """As the shield has found it, for a form."""
    return str(request.state.peer)


def named_in(request: Request) -> str:
    """Whom the hospital's proxy names, as the shield has found it; empty where it names nobody."""
    return str(request.state.named)


def address_of(request: Request) -> str:
    """Of the page, with what is asked of it; empty where a form was sent."""
    if request.method != "GET":
        return ""
    asked = request.url.query
    return f"{request.url.path}?{asked}" if asked else request.url.path


def session_of(request: Request) -> Session | None:
    """The one behind the cookie. Which the proxy let begin is over once the proxy names nobody, or somebody else."""
    desk = desk_of(request)
    identifier = request.cookies.get(desk.cookie, "")
    session = desk.sessions.find(identifier, account=desk.accounts.find)
    if session is None:
        if identifier:  # over, or made up
            desk.record.refused("", NO_SESSION)
        return None
    if session.way is Way.PROXY and named_in(request) != session.account:
        desk.sessions.end(identifier)
        desk.record.refused(session.account, Why.OTHER)
        return None
    return session


def visit_of(*roles: Role) -> Callable[[Request], Visit]:
    """A dependency: the visit of somebody with one of these roles. Raises SignInNeeded or PageRefused."""

    def check(request: Request) -> Visit:
        desk = desk_of(request)
        session, identifier = session_of(request), request.cookies.get(desk.cookie, "")
        if session is None:
            raise SignInNeeded
        peer, say, named = peer_of_request(request), language_of(request), named_in(request)
        visit = Visit(desk, session, identifier, peer, say, address_of(request), named)
        if session.role not in roles:
            raise refusal(visit, ROLE, 403, later("Your account is not for this page."))
        return visit

    return check


def refusal(visit: Visit, reason: str, status: int, words: str) -> PageRefused:
    """Written down here, to be raised by the caller."""
    visit.desk.record.refused(visit.by, reason)
    return PageRefused(status, words)


async def fields_of(request: Request) -> Fields:
    """The fields of a form of these pages. Raises PageRefused for any other body, or one that came from elsewhere."""
    try:
        return await form_fields(request)
    except FormRefused as refused:
        if refused.from_elsewhere:
            desk_of(request).record.refused("", FORM)
        raise


@dataclass(frozen=True, eq=False)
class Form:
    """Somebody's form, which the session itself was given."""

    visit: Visit
    fields: Fields

    @property
    def desk(self) -> Desk:
        return self.visit.desk

    @property
    def by(self) -> str:
        return self.visit.by

    def text(self, name: str) -> str:
        """A field; empty when it is missing."""
        return self.fields.get(name, "")


class FormOf:
    """A dependency: a form of somebody with one of these roles. Raises SignInNeeded or PageRefused."""

    def __init__(self, *roles: Role) -> None:
        self._visit_of = visit_of(*roles)

    async def __call__(self, request: Request) -> Form:
        await run_in_threadpool(self._visit_of, request)
        fields = await fields_of(request)
        # Once more: who sends it slowly may have been signed out, or shut out, meanwhile.
        visit = await run_in_threadpool(self._visit_of, request)
        if not visit.session.is_own_form(fields.get("form_secret", "")):
            said = later("This form is out of date. Go back, load the page anew and try again.")
            raise refusal(visit, FORM, 403, said)
        return Form(visit, fields)
