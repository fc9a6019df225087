"""A relay that lets an exception out, as Flower's own examples do: Flower sends its text to the coordinator.

``python -m tests.end_to_end.leaking_relay_app NODE`` is a hospital's SuperExec that runs it in place of the product's.
"""

from __future__ import annotations

import os
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from oncofed.client.install.folder import NodeFolder
from oncofed.client.relay.app import app as honest
from oncofed.client.relay.guard_channel import TOKEN_FILE_VARIABLE
from oncofed.client.relay.superexec import main
from oncofed.protocol.codec import GUARD_QUERY, decode_question
from oncofed.protocol.wire_form import Method

app = ClientApp()


@app.query(GUARD_QUERY)
def ask(message: Message, context: Context) -> Message:
    if decode_question(message.content)[0] is not Method.CONTRIBUTE:
        return honest(message, context)
    from tests.end_to_end.odd_guard import secrets_of  # noqa: PLC0415 - torch, which the others need not wait for

    node = Path(os.environ[TOKEN_FILE_VARIABLE]).resolve().parent.parent
    record, patients, deaths = secrets_of(NodeFolder(node))
    raise ValueError(f"{record} is one of {patients} patients, of whom {deaths} died")


if __name__ == "__main__":
    main(relay_app="tests.end_to_end.leaking_relay_app:app")
