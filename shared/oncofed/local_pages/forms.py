"""With which fields did a form of these pages come, and did it come from them?"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from oncofed.local_pages.refusals import PageRefused
from oncofed.words.language import later

_LARGEST_FORM_BYTES = 16_384
_MOST_FIELDS = 20

Fields = Mapping[str, str]


class FormRefused(PageRefused):
    """from_elsewhere: it is of another site, or of another kind than a form."""

    def __init__(self, status: int, words: str, *, from_elsewhere: bool = False) -> None:
        self.from_elsewhere = from_elsewhere
        super().__init__(status, words)


async def form_fields(request: Request) -> Fields:
    """The fields of a form of these pages. Raises FormRefused for any other body, or one that came from elsewhere."""
    if _comes_from_elsewhere(request) or _kind(request) != "application/x-www-form-urlencoded":
        raise FormRefused(403, later("This form did not come from these pages."), from_elsewhere=True)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM_BYTES:
            raise FormRefused(413, later("This form is too long."))
    try:
        found = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise FormRefused(400, later("This form cannot be read.")) from None
    return dict(found)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _comes_from_elsewhere(request: Request) -> bool:
    """Browsers say where a form was: both signs are looked at, since old ones know only one."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
