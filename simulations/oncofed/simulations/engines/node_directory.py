"""Which simulated node is which hospital? Each is asked for its partition once, before the first round.

Flower's simulation engine gives nodes random ids and lists them in any order; only the node itself knows its
``partition-id``. Hospital number i of the roster is the node of partition i. In a deployment this is no way to do it,
since a node could name itself what it likes; there the hospital's registered key says who it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from oncofed.errors import FederationFailure

PARTITION = "partition-id"
_QUERY = "partition"
_PATIENCE_SECONDS = 300.0  # Ray starts its processes with the first message


def answer_partition_queries(app: ClientApp) -> ClientApp:
    """Teach a ClientApp of a simulation to say its partition. Returns the same object."""

    @app.query(_QUERY)
    def partition(message: Message, context: Context) -> Message:
        return Message(
            RecordDict({_QUERY: ConfigRecord({PARTITION: partition_of(context)})}),
            reply_to=message,
        )

    return app


def partition_of(context: Context) -> int:
    """The partition of the node a message arrived at: its place in the roster."""
    return int(context.node_config[PARTITION])


def find_nodes(grid: Grid, *, roster: Sequence[str]) -> Mapping[str, int]:
    """Node id by hospital. Raises FederationFailure unless there is exactly one node for each."""
    asked = [
        Message(RecordDict(), dst_node_id=node_id, message_type=f"query.{_QUERY}") for node_id in grid.get_node_ids()
    ]
    replies = grid.send_and_receive(asked, timeout=_PATIENCE_SECONDS)
    node_of = {message.metadata.message_id: message.metadata.dst_node_id for message in asked}
    nodes: dict[int, int] = {}
    for reply in replies:
        if reply.has_content():
            record = reply.content.config_records[_QUERY]
            nodes[int(str(record[PARTITION]))] = node_of[reply.metadata.reply_to_message_id]
    if sorted(nodes) != list(range(len(roster))):
        raise FederationFailure(
            f"{len(roster)} hospitals need a simulated node each, but {len(nodes)} said who they are"
        )
    return {site: nodes[partition] for partition, site in enumerate(roster)}
