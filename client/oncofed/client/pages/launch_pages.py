"""How does the hospital's record system open a patient's page, so that nobody types an identifier?

`/launch?iss=&launch=` leads to the record system's server and back with a code, for which that server says whose launch
it was. The session's cookie goes with no request that another site began (SameSite=Strict), so `/launch` and
`/launch/back`, to which others lead, do nothing but lead on, from a page of ours; what follows knows who asks.
The patient is one of the table, by the whole identifier, or nobody's page opens. Off unless site.toml has [launch].
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from oncofed.client.launch.launches import Launches
from oncofed.client.launch.refusals import LaunchRefused, Why
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.desk import Desk, Visit, address_of, desk_of, refusal, visit_of
from oncofed.client.pages.rendering import open_page
from oncofed.client.pages.sign_on_pages import sign_in_form, to_sign_on
from oncofed.client.pages.viewing_record import LAUNCH, UNKNOWN_PAGE
from oncofed.local_pages.languages import language_of
from oncofed.local_pages.refusals import PageRefused, SignInNeeded
from oncofed.words.language import later

router = APIRouter()

_SEE_OTHER = 303
_clinician = visit_of(Role.CLINICIAN)
_WORDS = {
    Why.ISSUER: later("This launch does not come from this hospital's record system."),
    Why.STATE: later(
        "This launch was not begun in this session, or too long ago. Start it again in the record system."
    ),
    Why.CODE: later("This launch was used already. Start it again in the record system."),
    Why.TOKEN: later("The record system's permission is over. Start it again in the record system."),
    Why.PATIENT: later("The record system's patient is none of this hospital's table."),
    Why.ELSEWHERE: later("The record system's answer leads to another address, and is not followed."),
    Why.DECLINED: later("The record system declined the launch."),
    Why.SERVER: later("The record system's server gave no answer that can be used. Try again."),
}


def _launches(desk: Desk) -> Launches:
    """Raises PageRefused where none is configured."""
    if desk.launches is None:
        desk.record.refused("", UNKNOWN_PAGE)
        raise PageRefused(404, later("No record system may open patients here."))
    return desk.launches


@router.get("/launch")
def launch(request: Request, iss: str = "", launch: str = "") -> Response:
    """From the record system. Nobody is known here yet."""
    desk = desk_of(request)
    try:
        _launches(desk).refuse_other(iss, launch)
    except LaunchRefused as refused:
        desk.record.refused("", refused.why)
        raise PageRefused(403, _WORDS[refused.why]) from None
    return _onward(request, "/launch/begin", iss=iss, launch=launch)


@router.get("/launch/begin")
def begin(request: Request, iss: str = "", launch: str = "") -> Response:
    """To the record system's server, for a code. Who is not signed in signs in first."""
    launches = _launches(desk_of(request))
    try:
        visit = _clinician(request)
    except SignInNeeded:
        say = language_of(request)
        said = say("Sign in, and the record system's patient opens.")
        then = urlencode({"iss": iss, "launch": launch})
        return to_sign_on(request) or sign_in_form(request, said, then=then, onward=address_of(request))
    try:
        return RedirectResponse(launches.begin(visit.session.launches, issuer=iss, launch=launch), _SEE_OTHER)
    except LaunchRefused as refused:
        raise _refused(visit, refused) from None


@router.get("/launch/back")
def back(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """From the record system's server."""
    _launches(desk_of(request))
    return _onward(request, "/launch/open", code=code, state=state, error="declined" if error else "")


@router.get("/launch/open")
def open_patient(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """That patient's page, and no other's."""
    desk = desk_of(request)
    launches = _launches(desk)
    try:
        visit = _clinician(request)
    except SignInNeeded:
        desk.record.refused("", Why.STATE)
        raise
    try:
        patient = launches.end(visit.session.launches, state=state, code=code, error=error)
        row = desk.hospital.row_exactly(patient)
        if row is None:
            raise LaunchRefused(Why.PATIENT)
    except LaunchRefused as refused:
        raise _refused(visit, refused) from None
    desk.record.patient(visit.by, LAUNCH, desk.hospital.cohort.patient_ids[row])
    return RedirectResponse(f"/patients/{visit.session.word_for(row)}", _SEE_OTHER)


def _onward(request: Request, address: str, **asked: str) -> Response:
    """A page of ours that goes on by itself, or by its link where a browser does not."""
    return open_page("launch.html.j2", request, {"onward": f"{address}?{urlencode(asked)}", "address": ""})


def _refused(visit: Visit, refused: LaunchRefused) -> PageRefused:
    return refusal(visit, refused.why, 403, _WORDS[refused.why])


def after_sign_in(desk: Desk, by: str, then: str) -> str | None:
    """Where a launch goes on that waited for a sign-in; None for anything that is none, which is written down."""
    if not then:
        return None
    asked = {name: values[0] for name, values in parse_qs(then[:8000]).items() if name in ("iss", "launch")}
    try:
        if desk.launches is None or len(asked) < 2:
            raise LaunchRefused(Why.ELSEWHERE)
        desk.launches.refuse_other(asked["iss"], asked["launch"])
    except LaunchRefused:
        desk.record.refused(by, Why.ELSEWHERE)
        return None
    # Not to begin itself: after a form, browsers hold it to the content policy, which leads nowhere else.
    return f"/launch?{urlencode(asked)}"
