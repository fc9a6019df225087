"""How do the pages of a hospital become one application, and which answer does a refusal get?

FastAPI without its own pages: no schema, no documentation.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from oncofed.client.pages import (
    account_pages,
    board_pages,
    cohort_pages,
    console_pages,
    export_pages,
    language_pages,
    launch_pages,
    patient_pages,
    quality_pages,
    sheet_pages,
    sign_on_pages,
    twin_pages,
    what_if_pages,
)
from oncofed.client.pages.account_pages import NO_SUCH_PAGE, signed_out
from oncofed.client.pages.connections import RefusedConnections
from oncofed.client.pages.desk import Desk, desk_of
from oncofed.client.pages.peer_user import user_of_connection
from oncofed.client.pages.rendering import open_page
from oncofed.client.pages.viewing_record import UNKNOWN_PAGE
from oncofed.local_pages.refusals import PageRefused, SignInNeeded
from oncofed.local_pages.rendering import static_file
from oncofed.local_pages.shield import Shield, content_policy

_log = logging.getLogger("oncofed.client.pages")


def application(desk: Desk, *, refused_users: frozenset[int] = frozenset()) -> FastAPI:
    """The pages, behind their shield. refused_users: uids of this machine whose connections are refused."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    for pages in (
        *(account_pages, language_pages, patient_pages, board_pages, sheet_pages, twin_pages, export_pages),
        *(what_if_pages, cohort_pages, console_pages, quality_pages, launch_pages, sign_on_pages),
    ):
        app.include_router(pages.router)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        """Style and script: the only files that are served."""
        found = static_file(name)
        if found is None:
            raise HTTPException(404)
        return found

    @app.exception_handler(SignInNeeded)
    def to_sign_in(request: Request, _: Exception) -> Response:
        return sign_on_pages.to_sign_on(request) or signed_out(desk_of(request))

    @app.exception_handler(PageRefused)
    def refused(request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, PageRefused)
        return open_page("refused.html.j2", request, {"refusal": refusal.words}, status=refusal.status)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(HTTPException)
    def no_such_page(request: Request, failure: Exception) -> Response:
        desk_of(request).record.refused("", UNKNOWN_PAGE)
        status = failure.status_code if isinstance(failure, HTTPException) else 404
        return open_page("refused.html.j2", request, {"refusal": NO_SUCH_PAGE}, status=status)

    app.add_middleware(
        Shield,
        refuses=RefusedConnections(desk.hosts, refused_users, user_of_connection, desk.names),
        told=lambda reason: desk.record.refused("", reason),
        log=_log,
        policy=content_policy(),
    )
    return app
