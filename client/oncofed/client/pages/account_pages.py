"""Which pages sign somebody in and out, and what does an administrator manage?

A wrong name and a wrong password are one and the same answer, after the same work. An administrator gives out first
passwords, which their owners change; who disables an account or sets a password ends its sessions.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.accounts import SHORTEST_PASSWORD, Role
from oncofed.client.pages.desk import (
    Desk,
    Form,
    FormOf,
    Visit,
    desk_of,
    fields_of,
    peer_of_request,
    visit_of,
)
from oncofed.client.pages.launch_pages import after_sign_in
from oncofed.client.pages.password_turns import NoTurn
from oncofed.client.pages.rendering import ROLE_NAMES, first_page, page
from oncofed.client.pages.sessions import Way
from oncofed.client.pages.sign_on_pages import let_in, sign_in_form
from oncofed.client.pages.viewing_record import (
    ACCOUNTS,
    AUDIT,
    ROLE,
    SIGN_IN,
    SIGN_OUT,
    WAITS,
    WRONG_PASSWORD,
)
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.errors import InvalidInput
from oncofed.local_pages.forms import Fields
from oncofed.local_pages.languages import language_of
from oncofed.local_pages.refusals import PageRefused
from oncofed.words.language import Language, later

router = APIRouter()

_SEE_OTHER = 303
_ENTRIES = 100
_EVERYBODY = tuple(Role)
_GIVEN_HERE = tuple(role for role in Role if role is not Role.APPROVER)
"""Else one administrator could be both persons of a decision."""
NO_SUCH_PAGE = later("There is no such page.")

Administrator = Annotated[Visit, Depends(visit_of(Role.ADMINISTRATOR))]
AuditReader = Annotated[Visit, Depends(visit_of(Role.ADMINISTRATOR, Role.APPROVER, Role.IT))]
AdministratorForm = Annotated[Form, Depends(FormOf(Role.ADMINISTRATOR))]
Anybody = Annotated[Visit, Depends(visit_of(*_EVERYBODY))]
AnybodysForm = Annotated[Form, Depends(FormOf(*_EVERYBODY))]


@router.get("/")
def begin(visit: Anybody) -> Response:
    """To where the role begins."""
    return RedirectResponse(first_page(visit.session.role), _SEE_OTHER)


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """The form for name and password."""
    return sign_in_form(request, "")


@router.post("/sign-in")
def sign_in(request: Request, fields: Annotated[Fields, Depends(fields_of)]) -> Response:
    """A new session, for the right password."""
    desk, say = desk_of(request), language_of(request)
    name, password = fields.get("name", "").strip(), fields.get("password", "")
    then = fields.get("then", "")
    peer = peer_of_request(request)
    try:
        with desk.turns.turn(name, peer):
            account = desk.accounts.checked(name, password)
    except NoTurn as refused:
        desk.record.refused("", WAITS)
        return sign_in_form(request, wait_words(refused, say), then=then, status=429)
    if account is None:
        desk.turns.failed(name, peer)
        # Not a name that is none: people type their password there.
        desk.record.refused(name if desk.accounts.find(name) is not None else "", WRONG_PASSWORD)
        return sign_in_form(request, say("Name or password is wrong."), then=then, status=401)
    desk.turns.succeeded(name, peer)
    desk.record.viewed(account.name, SIGN_IN, Way.PASSWORD)
    answer = RedirectResponse(after_sign_in(desk, account.name, then) or first_page(account.role), _SEE_OTHER)
    return let_in(request, account, Way.PASSWORD, answer)


@router.post("/sign-out")
def sign_out(form: AnybodysForm) -> Response:
    """End the session, here and in the browser."""
    form.desk.sessions.end(form.visit.identifier)
    form.desk.record.viewed(form.by, SIGN_OUT)
    return signed_out(form.desk)


def signed_out(desk: Desk) -> Response:
    """To the sign-in page, without a cookie."""
    answer = RedirectResponse("/sign-in", _SEE_OTHER)
    answer.delete_cookie(desk.cookie, path="/", secure=desk.secure, httponly=True, samesite="strict")
    return answer


@router.get("/password")
def password_page(visit: Anybody) -> Response:
    """Where somebody changes the own password."""
    return page("password.html.j2", visit, {"said": "", "shortest": SHORTEST_PASSWORD})


@router.post("/password")
def change_password(form: AnybodysForm) -> Response:
    """The old one first; then all sessions of the account are over."""
    desk, peer, say = form.desk, form.visit.peer, form.visit.say

    def again(said: str, status: int = 400) -> Response:
        return page("password.html.j2", form.visit, {"said": said, "shortest": SHORTEST_PASSWORD}, status=status)

    if form.text("new") != form.text("again"):
        return again(say("The new password was typed in two ways."))
    try:
        with desk.turns.turn(form.by, peer):
            right = desk.accounts.checked(form.by, form.text("old")) is not None
            if right:
                told = partial(desk.record.changed, form.by, "own_password", account=form.by)
                desk.accounts.set_password(form.by, form.text("new"), told=told)
    except NoTurn as refused:
        desk.record.refused(form.by, WAITS)
        return again(wait_words(refused, say), 429)
    except InvalidInput as refused:
        return again(_said(refused, say))
    if not right:
        desk.turns.failed(form.by, peer)
        desk.record.refused(form.by, WRONG_PASSWORD)
        return again(say("The present password is wrong."))
    desk.turns.succeeded(form.by, peer)
    return signed_out(desk)


@router.get("/accounts")
def accounts_page(visit: Administrator) -> Response:
    """All accounts."""
    visit.desk.record.viewed(visit.by, ACCOUNTS)
    return _accounts(visit, "", status=200)


def _accounts(visit: Visit, said: str, *, status: int) -> Response:
    content = {
        "accounts": visit.desk.accounts.all(),
        "roles": _GIVEN_HERE,
        "by_command": Role.APPROVER,
        "role_names": ROLE_NAMES,
        "said": said,
        "shortest": SHORTEST_PASSWORD,
        "here": "/accounts",
    }
    return page("accounts.html.j2", visit, content, status=status)


def _is_approver(desk: Desk, name: str) -> bool:
    return any(each.name == name and each.role is Role.APPROVER for each in desk.accounts.all())


@router.post("/accounts/{change}")
def change_account(form: AdministratorForm, change: str) -> Response:
    """Add an account, set its password, disable or enable it."""
    desk, name, say = form.desk, form.text("name").strip(), form.visit.say
    if change not in ("add", "password", "disable", "enable"):
        raise PageRefused(404, NO_SUCH_PAGE)
    if change in ("password", "enable") and _is_approver(desk, name):
        desk.record.refused(form.by, ROLE)
        said = say("Approvers get their accounts and passwords by command, from root: two of them are two persons.")
        return _accounts(form.visit, said, status=403)
    if change == "disable" and name == form.by:
        return _accounts(form.visit, say("Nobody disables the own account."), status=400)
    told = partial(desk.record.changed, form.by, change, account=name)
    try:
        if change == "add":
            if (role := form.text("role")) not in _GIVEN_HERE:
                return _accounts(form.visit, say("Choose a role."), status=400)
            with desk.turns.turn(form.by, form.visit.peer):
                desk.accounts.add(name, Role(role), form.text("password"), told=partial(told, role=role))
            desk.turns.succeeded(form.by, form.visit.peer)
        elif change == "password":
            with desk.turns.turn(form.by, form.visit.peer):
                desk.accounts.set_password(name, form.text("password"), told=told)
            desk.turns.succeeded(form.by, form.visit.peer)
        else:
            desk.accounts.set_enabled(name, change == "enable", told=told)
    except NoTurn as refused:
        desk.record.refused(form.by, WAITS)
        return _accounts(form.visit, wait_words(refused, say), status=429)
    except InvalidInput as refused:
        return _accounts(form.visit, _said(refused, say), status=400)
    return RedirectResponse("/accounts", _SEE_OTHER)


def wait_words(refused: NoTurn, say: Language) -> str:
    """For whoever has to wait before the next password."""
    seconds = int(refused.seconds) + 1
    return say.several(
        "Too many passwords are tried. Try again in %(count)s second.",
        "Too many passwords are tried. Try again in %(count)s seconds.",
        seconds,
    )


def _said(refused: InvalidInput, say: Language) -> str:
    """What `accounts` refuses, in words of a page."""
    return " ".join(f"{say(f'The {fault.where} {fault.what}.')} {say(fault.remedy)}" for fault in refused.faults)


_OF_ACCOUNTS = (
    later("The name is not a usable name."),
    later("Use 1 to 64 letters, digits and _ . @ -, a letter or digit first."),
    later("The name has an account already."),
    later("Choose another, or set a new password for it."),
    later("The name has no account here."),
    later("`oncofed site pages users NODE` lists them."),
    later("The password has fewer than 12 characters."),
    later("The password has more than 200 characters."),
    later("The password is too easy to guess."),
    later("Take several words that do not belong together."),
)
"""What `accounts` says in its faults, as a page tells it."""


@router.get("/audit")
def audit_page(visit: AuditReader) -> Response:
    """The newest entries of the hospital's audit log, and whether it is unchanged."""
    visit.desk.record.viewed(visit.by, AUDIT)
    report = verify_audit_log(visit.desk.audit_log)
    content = {
        "entries": report.entries[: -_ENTRIES - 1 : -1],
        "lines": report.lines(visit.say),
        "here": "/audit",
    }
    return page("audit.html.j2", visit, content)
