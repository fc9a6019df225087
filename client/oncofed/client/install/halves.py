"""Which secrets of a node lie in two halves, with two users, and do the halves fit?

The guard knows the relay by its token, of which it has the SHA-256; SuperNode and relay know each other by a secret
that both have. Promises of `fit_halves`: afterwards both pairs fit, whatever was lost; a pair that fits stays. Of two
halves that do not fit neither is of use, so both are made anew, and a kill in between is mended by the next time.
"""

from __future__ import annotations

import hmac
import secrets

from oncofed.client.guard.token import fits, new_token, read_digits, token_sha256
from oncofed.client.install.folder import NodeFolder, NodeUsers, owner_of
from oncofed.errors import InvalidInput
from oncofed.secret_files import read_secret, write_secret

_SECRET_BYTES = 32


def tokens_fit(folder: NodeFolder) -> bool:
    """Whether the guard would know the relay by its token; else no question reaches it."""
    try:
        return fits(read_digits(folder.token), sha256=read_digits(folder.token_sha256))
    except InvalidInput:  # one of them is lost, or is none
        return False


def secrets_fit(folder: NodeFolder) -> bool:
    """Whether SuperNode and relay would know each other; else no message of the coordinator reaches the relay."""
    try:
        # No links: what root reads here it gives to the relay.
        of_node, of_relay = (read_secret(path, follow=False) for path in (folder.node_secret, folder.relay_secret))
    except InvalidInput:
        return False
    return len(of_node) == _SECRET_BYTES and hmac.compare_digest(of_node, of_relay)


def fit_halves(folder: NodeFolder, users: NodeUsers | None) -> None:
    """Make anew, each half for its user, what does not fit. For one command at a time: `set_up_alone`."""
    guard, node, relay = (owner_of(role, users) for role in ("guard", "node", "relay"))
    if not tokens_fit(folder):
        token = new_token()
        folder.token_sha256.unlink(missing_ok=True)
        folder.token.unlink(missing_ok=True)
        write_secret(folder.token_sha256, token_sha256(token).encode(), owner=guard)
        write_secret(folder.token, token.encode(), mode=0o400, owner=relay)
    if not secrets_fit(folder):
        secret = secrets.token_bytes(_SECRET_BYTES)
        folder.node_secret.unlink(missing_ok=True)
        folder.relay_secret.unlink(missing_ok=True)
        write_secret(folder.node_secret, secret, mode=0o400, owner=node)
        write_secret(folder.relay_secret, secret, mode=0o400, owner=relay)
