"""How does a template become one page that anybody can read offline?

Pages include `templates/page.html.j2`, which holds the common style sheet and a content security policy that allows
neither scripts nor loading anything.

Promises: every value is escaped; a name that the template misspells is an error; the file is written whole or not at
all, with the rights that the user's umask gives.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import jinja2

from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import capital, plain_name
from oncofed.words.numbers import counted, decimals, hazard_ratio, percent, scientific, signed, whole
from oncofed.words.templates import speaking

_COMMON = "oncofed.server.report"


def rendered(package: str, content: Mapping[str, object], *, say: Language = ENGLISH) -> str:
    """`report.html.j2` of this package's folder templates/, filled in."""
    return templates_of(package, say).get_template("report.html.j2").render(content)


@cache
def templates_of(package: str, say: Language) -> jinja2.Environment:
    """Texts and numbers are those of the language."""
    packages = dict.fromkeys((package, _COMMON))
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in packages]),
    )
    environment.filters.update(
        capital=capital,
        counted=counted,
        decimals=partial(decimals, say=say),
        hazard_ratio=partial(hazard_ratio, say=say),
        percent=partial(percent, say=say),
        plain_name=plain_name,
        say=say,
        scientific=partial(scientific, say=say),
        signed=partial(signed, say=say),
        whole=partial(whole, say=say),
    )
    return speaking(environment, say)


def write_page(page: str, path: Path) -> None:
    """Write the file. An existing one is replaced."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)  # mkstemp's own rights would lock out the reader's colleagues
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
