"""Which ClientApp does an installed hospital's SuperNode run? `app`: the relay, connected to the node's own guard.

A fresh process imports this for every message, so it imports Flower, gRPC and the codec, and nothing else. Where the
guard is, the node's environment says (see `guard_channel`); nothing in a message can point it elsewhere.
"""

from __future__ import annotations

from functools import lru_cache

from oncofed.client.relay.guard_channel import GuardChannel, channel_from_environment
from oncofed.client.relay.relay import build_client_app


@lru_cache(maxsize=1)
def _guard() -> GuardChannel:
    return channel_from_environment()


app = build_client_app(lambda _: _guard())
