"""How does a view become a page? Templates of an end's package, in a frame, style and script that both ends share.

Every value is escaped, and a name that a template misspells is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from starlette.responses import FileResponse, Response

from oncofed.words.language import ENGLISH, Language
from oncofed.words.templates import speaking

_HERE = "oncofed.local_pages"
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_STATIC = {"pages.css": _STYLE, "pages.js": _SCRIPT, "follow.js": _SCRIPT}


class _Compiled(jinja2.BytecodeCache):
    """Templates are compiled once for all languages: what differs between them is looked up when one is filled in."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._found.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._found[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()


def environment_of(
    package: str, filters: Mapping[str, Callable[..., Any]], *, say: Language = ENGLISH
) -> jinja2.Environment:
    """Templates of this package and, where it has none of a name, the shared ones; their texts in this language."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(_HERE)]),
        bytecode_cache=_COMPILED,
        optimized=False,  # or a filter of one language would be computed for all, where its value is a constant
    )
    environment.filters.update(filters)
    return speaking(environment, say)


@cache
def static_version() -> str:
    """Of style and script together: a browser keeps them for a day, and an update shall not be shown with old ones."""
    contents = [each.read_bytes() for each in sorted(_static().iterdir(), key=lambda each: each.name)]
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


def static_file(name: str) -> Response | None:
    """Style or script, the only files that are served; None for any other."""
    return FileResponse(Path(str(_static().joinpath(name))), media_type=_STATIC[name]) if name in _STATIC else None


def _static() -> Traversable:
    return files(_HERE).joinpath("static")
