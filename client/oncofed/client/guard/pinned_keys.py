"""Which keys does a node's guard go by: its coordinator's, the node's, its own?"""

from __future__ import annotations

from oncofed.client.guard.node_guard import PinnedKeys
from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_signing_key


def pinned_keys(folder: NodeFolder, settings: SiteSettings) -> PinnedKeys:
    """Raises InvalidInput for one that is missing, damaged or not enrolled."""
    return PinnedKeys(settings.enrolled.key, _node_key(folder), read_signing_key(folder.answer_key))


def _node_key(folder: NodeFolder) -> str:
    try:
        text = folder.node_public_key.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        remedy = "Run `oncofed site request`; the guard's user must be able to read this file, which is public."
        raise InvalidInput([Fault(str(folder.node_public_key), "is missing or cannot be read", remedy)]) from None
    return text
