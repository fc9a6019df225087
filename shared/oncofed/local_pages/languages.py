"""Which of the languages that there are does a reader of the pages want?

Whoever has chosen one keeps it: the choice is a cookie that says a language and nothing else, and lasts a year. Before
that it is the browser's (RFC 9110, 12.5.4), of the languages that are there the one that is liked best, else English.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from oncofed.words.language import Language
from oncofed.words.languages import languages

COOKIE = "oncofed_language"
_YEAR_SECONDS = 365 * 86_400
_LONGEST_HEADER = 500


def language_of(request: Request) -> Language:
    """The chosen one, else the browser's."""
    known = {each.code: each for each in languages()}
    chosen = known.get(request.cookies.get(COOKIE, ""))
    return chosen or known[_liked_best(request.headers.get("accept-language", "")[:_LONGEST_HEADER], tuple(known))]


def _liked_best(header: str, known: tuple[str, ...]) -> str:
    """Of `de-AT, de;q=0.9, en;q=0.5`. What a header does not name, or names in another form, counts as not wanted."""
    best, liked = known[0], 0.0
    for place, each in enumerate(header.split(",")):
        named, _, weight = (part.strip().lower() for part in each.partition(";"))
        code = named.partition("-")[0]
        if code not in known:
            continue
        quality = _quality(weight) - 1e-6 * place  # of equal ones, the first
        if quality > liked:
            best, liked = code, quality
    return best


def _quality(weight: str) -> float:
    if not weight:
        return 1.0
    name, _, written = weight.partition("=")
    digits = written.strip().replace(".", "", 1)
    return min(float(written), 1.0) if name.strip() == "q" and digits.isascii() and digits.isdigit() else 0.0


def keep_choice(answer: Response, code: str, *, secure: bool) -> bool:
    """Whether it is a language of the pages; then the browser keeps it."""
    if code not in {each.code for each in languages()}:
        return False
    answer.set_cookie(COOKIE, code, max_age=_YEAR_SECONDS, path="/", secure=secure, httponly=True, samesite="strict")
    return True


def own_address(address: str) -> str:
    """An address of these pages, to go back to; the first page for any other."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isascii()
    return address if inside and address.isprintable() else "/"
