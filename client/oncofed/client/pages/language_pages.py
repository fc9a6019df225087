"""How does a reader choose the language of the pages?

With a form at the top of each page, whoever they are: it needs no session, changes nothing but a cookie of the own
browser, and so is refused only where it comes from elsewhere.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.desk import desk_of, fields_of
from oncofed.local_pages.forms import Fields
from oncofed.local_pages.languages import keep_choice, own_address
from oncofed.local_pages.refusals import PageRefused
from oncofed.words.language import later

router = APIRouter()


@router.post("/language")
def choose(request: Request, fields: Annotated[Fields, Depends(fields_of)]) -> Response:
    """Back to where the form was, in the language that was chosen."""
    answer = RedirectResponse(own_address(fields.get("back", "")), 303)
    if not keep_choice(answer, fields.get("language", ""), secure=desk_of(request).secure):
        raise PageRefused(404, later("There is no such language."))
    return answer
