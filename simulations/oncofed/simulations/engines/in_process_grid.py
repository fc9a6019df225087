"""How do the real ServerApp and ClientApp run in one process, without Ray and without a network?

`InProcessGrid` is a subclass of Flower's public `Grid`: sending a message runs the ClientApp at once, one node after
the other, and the reply is the result. Serial on purpose: reproducible, and hospitals in threads would share torch.

Promises: each node keeps a Context of its own. What a node is given is made of fresh containers around the sender's
immutable bytes, so that nothing a node does to its message reaches another node or the server; no array is copied.
As on Flower's SuperLink, a node can only answer the question it was asked, and an exception becomes an error reply.

Time: hospitals of a deployment work side by side, so the timeout applies to each node's own time. A node that took
longer has run (it cannot be interrupted) but its reply is dropped as late.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from uuid import uuid4

from flwr.app import ArrayRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from oncofed.simulations.engines.node_directory import PARTITION

_RUN_ID = 1
_SERVER_NODE_ID = 1
_FIRST_NODE_ID = 1000
_CLIENT_APP_RAISED = 2  # Flower's code


class InProcessGrid(Grid):
    """A Grid over `node_count` simulated nodes that all run `client_app`; node i is partition i."""

    def __init__(self, client_app: ClientApp, *, node_count: int) -> None:
        # Message(...) asks this process-wide value who is sending; Flower's own engines set it just so.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, _RUN_ID, _SERVER_NODE_ID
        self._client_app = client_app
        self._run = Run.create_empty(_RUN_ID)
        self._contexts: Mapping[int, Context] = {
            _FIRST_NODE_ID + partition: Context(
                run_id=_RUN_ID,
                node_id=_FIRST_NODE_ID + partition,
                node_config={PARTITION: partition, "num-partitions": node_count},
                state=RecordDict(),
                run_config={},
            )
            for partition in range(node_count)
        }
        self._sent: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        """Keep Flower's description of the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Flower's older way to make a message; required of a Grid."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """All nodes, in order of their partition."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Give each message its id and keep it until its reply is pulled."""
        message_ids = []
        for message in messages:
            message_id = uuid4().hex
            # There is no public way to set it, and the sender must know it: every Grid of Flower's does this.
            message.metadata.__dict__["_message_id"] = message_id
            self._sent[message_id] = message
            message_ids.append(message_id)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Run the ClientApp for each message that was not pulled before."""
        return self._replies(message_ids, timeout=None)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push and pull. A reply is dropped when its node took longer than `timeout` seconds."""
        return self._replies(self.push_messages(messages), timeout=timeout)

    def _replies(self, message_ids: Iterable[str], *, timeout: float | None) -> list[Message]:
        replies = []
        for message_id in message_ids:
            if message_id in self._sent:
                began = time.perf_counter()
                reply = self._run_node(self._sent.pop(message_id))
                if timeout is None or time.perf_counter() - began <= timeout:
                    replies.append(reply)
        return replies

    def _run_node(self, sent: Message) -> Message:
        node_id = sent.metadata.dst_node_id
        try:
            reply = self._client_app(_isolated(sent), self._contexts[node_id])
        except Exception as error:  # as Flower's own engines do
            return _with_id(Message(Error(_CLIENT_APP_RAISED, f"{type(error)}:<'{error}'>"), reply_to=sent))
        asked, told = sent.metadata, reply.metadata
        if (told.reply_to_message_id, told.src_node_id) != (asked.message_id, node_id):
            return _with_id(Message(Error(_CLIENT_APP_RAISED, "a reply to another message"), reply_to=sent))
        return _with_id(reply)


def run_in_process(server_app: ServerApp, client_app: ClientApp, *, node_count: int) -> None:
    """Run both apps to the end. Exceptions of the ServerApp come out as they are."""
    grid = InProcessGrid(client_app, node_count=node_count)
    server_app(grid, Context(_RUN_ID, _SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config={}))


def _with_id(reply: Message) -> Message:
    reply.metadata.__dict__["_message_id"] = uuid4().hex
    return reply


def _isolated(message: Message) -> Message:
    """The same message in containers of its own. Arrays are made anew around the same immutable bytes."""
    isolated = copy(message)
    isolated.__dict__["_metadata"] = copy(message.metadata)
    if message.has_content():
        isolated.content = _isolated_records(message.content)
    return isolated


def _isolated_records(content: RecordDict) -> RecordDict:
    # `copy` of these dictionaries is shallow and skips the type checks of their assignment, which are what costs.
    records = content.copy()
    for key, record in content.items():
        if isinstance(record, ArrayRecord):
            arrays = record.copy()
            for name, array in record.items():
                arrays[name] = copy(array)
            records[key] = arrays
        elif any(isinstance(value, list) for value in record.values()):
            records[key] = deepcopy(record)
        else:
            records[key] = record.copy()
    return records
