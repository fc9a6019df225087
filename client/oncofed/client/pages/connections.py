"""Which connections to a hospital's pages are refused before any page sees them?

A host name that is not ours, and a connection of the users that run what the coordinator sends, or one of which the
system does not say whose it is; on the proxy's socket, a name that the proxy did not write. What the desk needs to
know, the peer and whom the proxy names, stands in the request's state.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from starlette.types import Scope

from oncofed.client.pages.peer_user import UserOf, ends_of, peer_of
from oncofed.client.pages.viewing_record import HOST, NODE_USER, UNKNOWN_USER
from oncofed.client.sign_on.proxy_names import ProxyNames, SignOnRefused
from oncofed.local_pages.shield import has_other_host

_log = logging.getLogger("oncofed.client.pages")


@dataclass(frozen=True, eq=False)
class RefusedConnections:
    """user_of: of a connection's two ends, who made it, or None when that is not known. names: None: of no proxy."""

    hosts: Collection[str]
    refused_users: frozenset[int]
    user_of: UserOf
    names: ProxyNames | None = None

    def __call__(self, scope: Scope) -> str | None:
        """As `shield.Refuses` says."""
        if has_other_host(scope, self.hosts):
            return HOST
        ends = ends_of(scope)
        asked = self.refused_users or scope["method"] == "POST"
        user = self.user_of(*ends) if asked and ends is not None else None
        if self.refused_users and ends is not None:
            if user is None:
                _log.warning("a connection was refused: the system does not say which user of this machine made it")
                return UNKNOWN_USER
            if user in self.refused_users:
                return NODE_USER
        named = ""
        if self.names is not None and ends is None:  # whoever can connect to loopback could write any name
            try:
                named = self.names.named(scope["headers"])
            except SignOnRefused as refused:
                return refused.why
        scope.setdefault("state", {}).update(peer=peer_of(scope, user), named=named)
        return None
