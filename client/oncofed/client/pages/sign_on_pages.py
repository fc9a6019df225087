"""How is somebody signed in whom the hospital's reverse proxy names?

Whom it names has an account here, with the role that the account has; a session then begins and ends like any other,
and is over, too, once the proxy names nobody, or somebody else. Off unless site.toml has [sign_on]; the shield has
refused every name that the proxy did not write.

A cookie goes with no request that another site began (SameSite=Strict). So who comes from elsewhere is led on from a
page of ours before anything begins, or each click on a link to these pages would end a session that is there.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.accounts import Account
from oncofed.client.pages.desk import address_of, desk_of, named_in, session_of
from oncofed.client.pages.rendering import open_page
from oncofed.client.pages.sessions import Way
from oncofed.client.pages.viewing_record import SIGN_IN, UNKNOWN_PAGE
from oncofed.client.sign_on.proxy_names import Why
from oncofed.local_pages.languages import own_address
from oncofed.local_pages.refusals import PageRefused
from oncofed.words.language import later

router = APIRouter()

_SEE_OTHER = 303
_ELSEWHERE = ("cross-site", "same-site")


@router.get("/sign-on")
def sign_on(request: Request, then: str = "/", begun: Annotated[bool, Query()] = False) -> Response:
    """A session for whom the proxy names; then to where somebody was going. begun: just now."""
    desk, name = desk_of(request), named_in(request)
    if desk.names is None:
        desk.record.refused("", UNKNOWN_PAGE)
        raise PageRefused(404, later("Nobody is signed on by a proxy here."))
    if request.headers.get("sec-fetch-site") in _ELSEWHERE:
        return _onward(request, then)
    session = session_of(request)
    if session is not None:
        return RedirectResponse(own_address(then), _SEE_OTHER)
    if not name:
        return RedirectResponse("/sign-in", _SEE_OTHER)
    account = desk.accounts.find(name)
    if account is None:
        desk.record.refused("", Why.ACCOUNT)
        said = later(
            "Your hospital's sign-on says who you are, and no account of these pages has that name, or it is disabled. "
            "Ask the administrator of these pages."
        )
        raise PageRefused(403, said)
    if begun:  # else a browser without cookies would go round for ever
        raise PageRefused(403, later("Your browser keeps no cookie of these pages, so nobody can be signed in."))
    desk.record.viewed(account.name, SIGN_IN, Way.PROXY)
    answer = RedirectResponse(f"/sign-on?{urlencode({'then': own_address(then), 'begun': 'true'})}", _SEE_OTHER)
    return let_in(request, account, Way.PROXY, answer)


def let_in(request: Request, account: Account, way: Way, answer: Response) -> Response:
    """With the cookie of a new session in it; the one that was there is over."""
    desk = desk_of(request)
    before = request.cookies.get(desk.cookie, "")
    if before:
        desk.sessions.end(before)
    identifier = desk.sessions.begin(account, way)
    answer.set_cookie(desk.cookie, identifier, path="/", secure=desk.secure, httponly=True, samesite="strict")
    return answer


def to_sign_on(request: Request) -> Response | None:
    """For who is not signed in: the way to be, where the proxy names somebody.

    None where a form was sent, and where a session was: whoever left it, or signed out, is not let in again unasked.
    """
    desk = desk_of(request)
    address = address_of(request)
    if not address or not named_in(request) or request.cookies.get(desk.cookie):
        return None
    return _onward(request, address)


def _onward(request: Request, then: str) -> Response:
    return open_page("sign_on.html.j2", request, {"onward": _address(then), "address": ""})


def _address(then: str) -> str:
    return f"/sign-on?{urlencode({'then': own_address(then)})}"


def sign_in_form(request: Request, said: str, *, then: str = "", onward: str = "/", status: int = 200) -> Response:
    """then: a launch that waits. onward: where somebody was going. Whom the proxy names goes on without a password."""
    desk, name = desk_of(request), named_in(request)
    account = desk.accounts.find(name) if name else None
    content = {
        "said": said,
        "then": then,
        "named": "" if account is None else account.name,
        "onward": _address(onward),
        "leave": "" if desk.names is None or not name else desk.names.sign_out or "",
    }
    return open_page("sign_in.html.j2", request, content, status=status)
