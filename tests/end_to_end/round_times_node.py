"""``python -m tests.end_to_end.round_times_node NODE supernode|superexec``: a hospital's process that notes the time.

The fork server's children import this module again, so it imports at its top only what a relay needs anyway.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.end_to_end.fake_relay_app import EchoGuard

from oncofed.client.relay import superexec
from oncofed.client.relay.flower_names import replace_in
from oncofed.protocol.messages import ContributeRequest, Contribution

TIMES = "ONCOFED_TEST_TIMES"
SITE = "ONCOFED_TEST_SITE"


def note(event: str) -> None:
    line = json.dumps({"event": event, "at": time.time(), "site": os.environ.get(SITE, "")}) + "\n"
    with Path(os.environ[TIMES]).open("a") as file:
        file.write(line)


def timed_supernode() -> None:
    from flwr.common import serde  # noqa: PLC0415 - a relay has no use for it
    from flwr.supernode import fleet_http_connection, start_client_internal  # noqa: PLC0415 - a relay has no use for it

    from oncofed.client.relay import supernode  # noqa: PLC0415 - as above

    push, receive = start_client_internal._push_messages, serde.message_from_proto

    def timed_push(*, state: Any, object_store: Any, send: Any, push_object: Any) -> None:
        note("stored")

        def timed_send(*args: Any) -> Any:
            note("reply seen")
            return send(*args)

        push(state=state, object_store=object_store, send=timed_send, push_object=push_object)
        note("sent")

    def timed_receive(message: Any) -> Any:
        note("received")
        return receive(message)

    replace_in(start_client_internal, "_push_messages", timed_push)
    replace_in(fleet_http_connection, "message_from_proto", timed_receive)
    supernode.main()


class TimedExecutor(superexec.WarmExecutor):
    def launch(self, spec: Any) -> Any:
        note("launched")
        return super().launch(spec)


def timed_relay(relay_app: str, runtime_api_address: str, token: str, parent: int) -> None:
    note("relay begins")
    inner = EchoGuard.contribute

    def contribute(self: EchoGuard, request: ContributeRequest) -> Contribution:
        note("app begins")
        answer = inner(self, request)
        note("app ends")
        return answer

    EchoGuard.contribute = contribute  # type: ignore[method-assign]  # a test's stand-in
    _run_relay(relay_app, runtime_api_address, token, parent)


_run_relay = superexec.run_relay


def timed_superexec() -> None:
    superexec.run_relay = timed_relay
    superexec.WarmExecutor = TimedExecutor  # type: ignore[misc]  # a test's stand-in
    superexec.main(relay_app="tests.end_to_end.fake_relay_app:app")


if __name__ == "__main__":
    {"supernode": timed_supernode, "superexec": timed_superexec}[sys.argv.pop()]()
