"""Which keys does a node's guard go by: its coordinator's, the node's, its own?"""

from __future__ import annotations

from dataclasses import dataclass, field

from oncofed.client.guard.trust import Pinned
from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import plain_bytes
from oncofed.protocol.plan import Member
from oncofed.protocol.signing import public_key_of
from oncofed.secret_files import LARGEST_SECRET, read_signing_key


@dataclass(frozen=True)
class PinnedKeys:
    """coordinator  Ed25519, 32 raw bytes, as pinned at `site accept`. node  this hospital's own, OpenSSH, one line.

    answer  the guard's own private key, Ed25519, 32 raw bytes.
    """

    coordinator: bytes
    node: str
    answer: bytes = field(repr=False)

    def pinned(self, site: str) -> Pinned:
        """What the hospital of this name knows before any plan."""
        return Pinned(self.coordinator, Member(site, self.node, public_key_of(self.answer).hex()))


def pinned_keys(folder: NodeFolder, settings: SiteSettings) -> PinnedKeys:
    """Raises InvalidInput for one that is missing, damaged or not enrolled."""
    return PinnedKeys(settings.enrolled.key, _node_key(folder), read_signing_key(folder.answer_key))


def _node_key(folder: NodeFolder) -> str:
    try:
        text = plain_bytes(folder.node_public_key, most=LARGEST_SECRET).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        remedy = "Run `oncofed site request`; the guard's user must be able to read this file, which is public."
        raise InvalidInput([Fault(str(folder.node_public_key), "is missing or cannot be read", remedy)]) from None
    return text
