"""Whom does the hospital's reverse proxy name in a request, and is it the proxy that says so?

Two proofs, since each alone has been lost before. The pages' unix socket lies in a folder that only the proxy's group
may enter: nobody else of this machine can ask. The secret stands in that one part of the proxy's configuration which
sets the name's header, too: a part that does not, such as one of before, passes on whatever a browser wrote there.

Refused: a name without the secret, a wrong secret, either of them twice, a name that no account can have, and other
spellings of the two headers (`X_Forwarded_User`), which some programs take for the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from oncofed.client.pages.accounts import is_usable_name
from oncofed.client.sign_on.settings import PROOF

_SHORTEST_SECRET = 32


class Why(StrEnum):
    """Reasons, as they stand in the audit log."""

    PROOF = "sign_on_proof"
    DOUBLED = "sign_on_doubled"
    SPELLING = "sign_on_spelling"
    NAME = "sign_on_name"
    ACCOUNT = "sign_on_account"
    OTHER = "sign_on_other"


class SignOnRefused(Exception):
    """The request is not answered."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(why)


def is_secret(said: str) -> bool:
    """Whether it is long enough, and of what a header may hold as it is."""
    return len(said) >= _SHORTEST_SECRET and said.isascii() and said.isprintable() and not set(said) & set(' "\\$;')


@dataclass(frozen=True, eq=False)
class ProxyNames:
    """header: of the name. sign_out: as of the section."""

    header: str
    secret: str = field(repr=False)
    sign_out: str | None = None

    def named(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The name; empty where the proxy names nobody. headers: of a request, in small letters. Raises SignOnRefused.

        Other spellings are looked for first: who sends one tries something, whatever else is right.
        """
        found: dict[bytes, list[bytes]] = {self.header.lower().encode(): [], PROOF.lower().encode(): []}
        for name, value in headers:
            if name in found:
                found[name].append(value)
            elif name.lower().strip().replace(b"_", b"-") in found:
                raise SignOnRefused(Why.SPELLING)
        names, proofs = found.values()
        if len(names) > 1 or len(proofs) > 1:
            raise SignOnRefused(Why.DOUBLED)
        if (names or proofs) and not self._is_own(proofs):
            raise SignOnRefused(Why.PROOF)
        if not names:
            return ""
        said = names[0].decode("latin-1")
        if not is_usable_name(said):
            raise SignOnRefused(Why.NAME)
        return said

    def _is_own(self, proofs: list[bytes]) -> bool:
        """Hashed first, so that not even the length is told by the time that it takes."""
        said = hashlib.sha256(b"".join(proofs)).digest()
        return hmac.compare_digest(said, hashlib.sha256(self.secret.encode()).digest())
