"""How do the coordinator's pages become one application, and which answer does a refusal get?

Promises: every page but the sign-in needs a session; nothing here changes anything of the coordinator; a study that
cannot be read hides none of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from oncofed.errors import OncofedError
from oncofed.local_pages.forms import Fields, FormRefused, form_fields
from oncofed.local_pages.languages import keep_choice, language_of, own_address
from oncofed.local_pages.refusals import PageRefused, SignInNeeded
from oncofed.local_pages.rendering import environment_of, static_file, static_version
from oncofed.local_pages.shield import Shield, content_policy, has_other_host
from oncofed.server.deployment.runs import known_studies
from oncofed.server.pages.desk import Desk, cookie_of, desk_of, log, session_of
from oncofed.server.pages.views import of_server, overview, study_view
from oncofed.server.report.page import render_report
from oncofed.server.report.reading import read_deployed_study, written_of
from oncofed.words.language import Language, later
from oncofed.words.languages import languages
from oncofed.words.names import one_line
from oncofed.words.numbers import decimals, scientific, whole

FOLLOW_SECONDS = 5
_SEE_OTHER = 303
_NO_SUCH_PAGE = later("There is no such page.")
_NO_SUCH_STUDY = later("There is no such study here.")
# A report is one file with its own style; it holds no script, and nothing of it is loaded.
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


class StudyUnreadable(PageRefused):
    """fault: why, in English."""

    def __init__(self, fault: str) -> None:
        self.fault = one_line(fault)
        super().__init__(200, later("This study cannot be read."))


@cache
def templates_in(say: Language) -> jinja2.Environment:
    """Templates of one language: what they translate, and how their filters write numbers, is that language's."""
    filters: dict[str, Callable[..., str]] = {
        "decimals": partial(decimals, say=say),
        "say": say,
        "scientific": partial(scientific, say=say),
        "whole": partial(whole, say=say),
    }
    return environment_of("oncofed.server.pages", filters, say=say)


def _page(template: str, request: Request, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    desk, say = desk_of(request), language_of(request)
    common = {
        "name": one_line(desk.settings.name),
        "version": static_version(),
        "shown_at": say.moment_of(desk.now()),
        "form_secret": "",
        "follow_seconds": 0,
        "languages": languages(),
        "address": request.url.path if request.method == "GET" else "/",
    }
    text = templates_in(say).get_template(template).render({**common, **content})
    return HTMLResponse(text, status_code=status)


def show_overview(request: Request) -> Response:
    """All hospitals and studies."""
    session, (status, heard), say = session_of(request), desk_of(request).status(), language_of(request)
    return _page(
        "overview.html.j2",
        request,
        {
            "view": overview(status, say=say),
            "server": of_server(heard, now=status.at, say=say),
            "folder": str(status.folder),
            "form_secret": session.form_secret,
            "follow_seconds": FOLLOW_SECONDS,
        },
    )


def show_study(request: Request) -> Response:
    """One study."""
    session, desk, say = session_of(request), desk_of(request), language_of(request)
    status, heard = desk.status()
    found = next((each for each in status.studies if each.plan_hash == request.path_params["plan"]), None)
    if found is None:
        raise PageRefused(404, _NO_SUCH_STUDY)
    if found.study is None:
        raise StudyUnreadable(found.fault)
    try:
        written = written_of(desk.folder.study(found.plan_hash))
    except OncofedError:  # a note that somebody damaged keeps nobody from the study
        written = ()
    return _page(
        "study.html.j2",
        request,
        {
            "view": study_view(found, found.study, status, written=written, say=say),
            "plan": found.study.plan,
            "server": of_server(heard, now=status.at, say=say),
            "coordinator": str(desk.folder.root),
            "form_secret": session.form_secret,
            "follow_seconds": FOLLOW_SECONDS,
        },
    )


def show_report(request: Request) -> Response:
    """The report as `oncofed coordinator report` would write it now, in the reader's language."""
    session_of(request)
    desk, plan = desk_of(request), request.path_params["plan"]
    if plan not in known_studies(desk.folder):
        raise PageRefused(404, _NO_SUCH_STUDY)
    try:
        text = render_report(read_deployed_study(desk.folder.study(plan)), say=language_of(request))
    except OncofedError as fault:
        raise StudyUnreadable(str(fault)) from None
    return HTMLResponse(text, headers={"content-security-policy": _REPORT_POLICY})


def sign_in_page(request: Request) -> Response:
    """The form for the credential."""
    return _page("sign_in.html.j2", request, {"said": ""})


async def sign_in(request: Request) -> Response:
    """A new session, for the right credential."""
    desk, fields = desk_of(request), await _fields(request)
    if not desk.credential.is_right(fields.get("credential", "")):
        log.warning("refused: wrong_credential")
        return _page("sign_in.html.j2", request, {"said": later("This is not the credential.")}, status=401)
    log.info("signed in")
    desk.sessions.end(request.cookies.get(cookie_of(request), ""))
    answer = RedirectResponse("/", _SEE_OTHER)
    answer.set_cookie(cookie_of(request), desk.begin(), path="/", httponly=True, samesite="strict")
    return answer


async def sign_out(request: Request) -> Response:
    """End the session, here and in the browser."""
    session, fields = session_of(request), await _fields(request)
    if not session.is_own_form(fields.get("form_secret", "")):
        log.warning("refused: form")
        raise PageRefused(403, later("This form is out of date. Go back, load the page anew and try again."))
    desk_of(request).sessions.end(request.cookies.get(cookie_of(request), ""))
    log.info("signed out")
    return _signed_out(request)


async def choose_language(request: Request) -> Response:
    """Back to where the form was, in the language that was chosen. It needs no session and changes only a cookie."""
    fields = await _fields(request)
    answer = RedirectResponse(own_address(fields.get("back", "")), _SEE_OTHER)
    if not keep_choice(answer, fields.get("language", ""), secure=False):
        raise PageRefused(404, later("There is no such language."))
    return answer


async def _fields(request: Request) -> Fields:
    try:
        return await form_fields(request)
    except FormRefused:
        log.warning("refused: form")
        raise


def _signed_out(request: Request) -> Response:
    answer = RedirectResponse("/sign-in", _SEE_OTHER)
    answer.delete_cookie(cookie_of(request), path="/", httponly=True, samesite="strict")
    return answer


def show_static(request: Request) -> Response:
    """Style and script."""
    found = static_file(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return found


ROUTES = (
    Route("/", show_overview),
    Route("/studies/{plan}", show_study),
    Route("/studies/{plan}/report", show_report),
    Route("/sign-in", sign_in_page),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/language", choose_language, methods=["POST"]),
    Route("/static/{name}", show_static),
)


def _to_sign_in(request: Request, _: Exception) -> Response:
    return _signed_out(request)


def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, PageRefused)
    fault = refusal.fault if isinstance(refusal, StudyUnreadable) else ""
    return _page("refused.html.j2", request, {"said": refusal.words, "fault": fault}, status=refusal.status)


def _no_such_page(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    return _page("refused.html.j2", request, {"said": _NO_SUCH_PAGE, "fault": ""}, status=failure.status_code)


def application(desk: Desk) -> Starlette:
    """The pages, behind their shield."""

    def refuses(scope: Scope) -> str | None:
        return "host" if has_other_host(scope, desk.hosts) else None

    def told(reason: str) -> None:
        log.warning("refused: %s", reason)

    shield = Middleware(Shield, refuses=refuses, told=told, log=log, policy=content_policy(connect="'self'"))
    app = Starlette(
        routes=ROUTES,
        middleware=[shield],
        exception_handlers={SignInNeeded: _to_sign_in, PageRefused: _refused, HTTPException: _no_such_page},
    )
    app.state.desk = desk
    return app
