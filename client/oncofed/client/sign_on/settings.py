"""In which header does the hospital's reverse proxy say who asks for a page?

The section [sign_on] of site.toml. Without it no header says anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from oncofed.file_model import Known, Rule, Wrong

PROOF = "X-Sign-On-Secret"
"""The header in which the proxy shows that it is the proxy."""
_USABLE = re.compile(r"X(?:-[A-Za-z0-9]+)+|Remote-User")
_TAKEN = ("x-real-ip", PROOF.lower())


def _of_the_proxy(header: str, _: Known) -> str:
    if not _USABLE.fullmatch(header) or header.lower() in _TAKEN:
        remedy = "Write for example X-Forwarded-User: X- and more words of letters and digits, or Remote-User."
        raise Wrong("is no header for a name", remedy)
    return header


@dataclass(frozen=True)
class SignOnSection:
    """The section [sign_on]: the hospital's reverse proxy signs people on to the pages."""

    header: Annotated[str, Rule(_of_the_proxy)]
    """The header in which the proxy writes the account's name, such as `X-Forwarded-User`. It counts on `--socket`
    alone, beside the secret of `guard/sign_on.secret` in `X-Sign-On-Secret`."""
    sign_out: str | None = None
    """Where somebody signs out of the hospital's own sign-on: a link for who has signed out of the pages."""
